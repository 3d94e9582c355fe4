"""The units as systemd reads them: nothing in them is unknown to it, and the service keeps little
that it does not need (systemd-analyze(1)'s exposure, 0 to 10, stays under 2)."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
UNITS = ("tlsmsg.service", "tlsmsg-server@.service", "tlsmsg.socket")
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
        for name in (*UNITS, "server.env"):
            self.assertIsNone(re.search(r"@\w+@", read(name)), name)

    def test_service_does_what_the_program_can(self):
        """What the program's side of it was written for."""
        service = read("tlsmsg.service")
        for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "User=tlsmsg"):
            self.assertIn(line + "\n", service)
        options = re.search(r"^ExecStart=(\S+) \$TLSMSG_OPTIONS$", service, re.M)
        self.assertIsNotNone(options)
        self.assertEqual(os.path.basename(options.group(1)), "tlsmsg-server")
        self.assertRegex(read("server.env"), r'(?m)^TLSMSG_OPTIONS="--')

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
                text = re.sub(r"(?m)^(Exec\w+=)\S+/tlsmsg-server", r"\1/bin/true", text)
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            done = analyze("verify", *(os.path.join(folder, name) for name in UNITS))
            ours = [line for line in done.stderr.splitlines() if "tlsmsg" in line]
            self.assertEqual(ours, [])


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
