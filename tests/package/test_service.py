"""The units as systemd reads them: nothing in them is unknown to it, and the service keeps little
that it does not need (systemd-analyze(1)'s exposure, 0 to 10, stays under 2)."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
PLAINTEXT = os.environ.get("TLSMSG_PLAINTEXT", "0") == "1"
UNITS = ("tlsmsg.service", "tlsmsg-server@.service", "tlsmsg.socket") + \
    (() if PLAINTEXT else ("tlsmsg-renew.service", "tlsmsg-renew.timer"))
# The client's, where it can keep messages.
if os.path.exists(os.path.join(BUILD, "tlsmsg-store")):
    UNITS += ("tlsmsg-spool@.service", "tlsmsg-spool@.timer")
SECONDS = 60


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], stdin=subprocess.DEVNULL, timeout=SECONDS,
                          capture_output=True, encoding="utf-8", check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})


def read(name):
    with open(os.path.join(BUILD, "packaging", name), encoding="utf-8") as file:
        return file.read()


class Units(unittest.TestCase):
    def test_nothing_is_left_to_fill_in(self):
        for name in (*UNITS, "server.conf", *(() if PLAINTEXT else ("certbot-deploy",))):
            self.assertIsNone(re.search(r"@\w+@", read(name)), name)

    def test_service_does_what_the_program_can(self):
        """What the program's side of it was written for."""
        service = read("tlsmsg.service")
        for line in ("Type=notify", "User=tlsmsg",
                     """ExecReload=/bin/sh -c 'kill -HUP "$$MAINPID"'"""):
            self.assertIn(line + "\n", service)
        options = re.search(r"^ExecStart=(\S+) --config (\S+)$", service, re.M)
        self.assertIsNotNone(options)
        self.assertEqual([os.path.basename(word) for word in options.groups()],
                         ["tlsmsg-server", "server.conf"])
        # Messages are at one place, where the unit lets it write.
        kept = re.findall(r"(?m)^(store|quiet|transcript)\b *(.*)$", read("server.conf"))
        if os.path.exists(os.path.join(BUILD, "tlsmsg-store")):
            self.assertEqual(kept, [("store", "/var/lib/tlsmsg/store.db"), ("quiet", "")])
            self.assertIn("\nStateDirectory=tlsmsg\n", service)
        else:
            self.assertEqual(kept, [("transcript", "/var/log/tlsmsg/transcript.json")])
            self.assertIn("\nLogsDirectory=tlsmsg\n", service)

    def test_units_run_what_every_system_has(self):
        """The smallest Debian that systemd runs on is without /bin/kill, for one."""
        for name in UNITS:
            for program in re.findall(r"(?m)^Exec\w+=(\S+)", read(name)):
                self.assertRegex(os.path.basename(program), r"^(sh|flock|systemctl|tlsmsg-\w+)$",
                                 f"{name}: {program}")

    def test_packages_make_the_unit_s_folders(self):
        """The configuration is checked before the first start, by the user that will serve."""
        service = read("tlsmsg.service")
        for script in ("debian/server/postinst.in", "rpm/post.in"):
            with open(os.path.join(ROOT, "packaging", script), encoding="utf-8") as file:
                text = file.read()
            for key, above in (("State", "lib"), ("Logs", "log")):
                name, mode = (re.search(rf"(?m)^{key}Directory{of}=(\S+)$", service).group(1)
                              for of in ("", "Mode"))
                self.assertIn(f"install -d -m {mode.lstrip('0')} -o tlsmsg -g tlsmsg "
                              f"/var/{above}/{name}\n", text, script)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_exposure(self):
        path = os.path.join(BUILD, "packaging", "tlsmsg.service")
        done = analyze("security", "--offline=true", "--threshold=20", path)
        self.assertEqual(done.returncode, 0, done.stdout[-300:])
        self.assertNotIn("ignoring", done.stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_keys_are_known(self):
        """A copy whose program exists, without the manuals, which may not be installed."""
        with tempfile.TemporaryDirectory() as folder:
            for name in UNITS:
                text = re.sub(r"(?m)^Documentation=.*\n", "", read(name))
                text = re.sub(r"(?m)^(Exec\w+=)\S+/tlsmsg-\w+", r"\1/bin/true", text)
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            done = analyze("verify", *(os.path.join(folder, name) for name in UNITS))
            ours = [line for line in done.stderr.splitlines() if "tlsmsg" in line]
            self.assertEqual(ours, [])


class TakenOver(unittest.TestCase):
    """What becomes of an environment's options (server.env of 0.1) when they are taken over."""

    CASES = (
        ("TLSMSG_OPTIONS=\"--cert /a.crt --key=/a.key -q\"\n", "cert /a.crt\nkey /a.key\nquiet\n"),
        ("# x\nTLSMSG_OPTIONS=-l '*:123' -n5\n", "listen *:123\naccept 5\n"),
        ('TLSMSG_OPTIONS="--reply \\"got {message} ok\\" \\\n  --allow \'CN=a b\'"\n',
         "reply got {message} ok\nallow CN=a b\n"),
        ("TLSMSG_OPTIONS=\"--quiet\"\nTLSMSG_OPTIONS='-w 2'\n", "workers 2\n"),
        ("OTHER=1\n", ""),
        # Left for the server to name, with its line.
        ('TLSMSG_OPTIONS="--quiet stray"\n', "quiet stray\n"))

    def test_lines(self):
        with open(os.path.join(ROOT, "packaging", "from-0.1.sh"), encoding="utf-8") as file:
            function = re.search(r"(?ms)^configuration\(\) \{$.*?^\}$", file.read()).group()
        for text, wanted in self.CASES:
            with self.subTest(text=text), tempfile.NamedTemporaryFile("w") as file:
                file.write(text)
                file.flush()
                done = subprocess.run(["sh", "-ec", function + '\nconfiguration "$1"', "sh",
                                       file.name], stdout=subprocess.PIPE, encoding="utf-8",
                                      timeout=SECONDS, check=True)
                self.assertEqual(done.stdout, wanted)


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
