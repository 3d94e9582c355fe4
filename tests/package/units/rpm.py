"""Run in the booted system of test_packages.py, as root: the RPM packages installed, upgraded and
removed, so that their scripts do on the units what they say. The libraries that they need are the
machine's, which rpm doesn't know."""

import glob
import os
import pwd
import re
import shutil
import subprocess
import unittest

from manager import HERE, SECONDS, show, systemctl, until

ETC = "/etc/tlsmsg"
SPOOL = "tlsmsg-spool@localhost:12345"
SECOND = "tlsmsg-server@second.service"


def rpm(*words):
    """Returns what it and the packages' scripts say. On Debian it wants to be told that it is meant."""
    here = [] if words[0] == "--query" else ["--nodeps", "--force-debian"]
    done = subprocess.run(["rpm", *words, *here], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=SECONDS, encoding="utf-8", check=False)
    if done.returncode != 0 or "scriptlet failed" in done.stdout:
        raise AssertionError(f"rpm {words}: exit {done.returncode}: {done.stdout}")
    return done.stdout


def packages(version, *names):
    return [path for name in names
            for path in glob.glob(os.path.join(HERE, version, f"{name}-[0-9]*.rpm"))]


def read(name):
    with open(os.path.join(ETC, name), encoding="utf-8") as file:
        return file.read()


def access(name):
    found = os.stat(os.path.join(ETC, name))
    return found.st_mode & 0o777, pwd.getpwuid(found.st_uid).pw_name


def enabled(unit):
    done = subprocess.run(["systemctl", "is-enabled", unit], capture_output=True, timeout=SECONDS,
                          encoding="utf-8", check=False)
    return done.stdout.strip() == "enabled"


def state(*units):
    return [(enabled(unit), show(unit, "ActiveState")) for unit in units]


def program(unit):
    """What the unit's process runs: of a file that was replaced, the name says so."""
    return os.readlink(f"/proc/{show(unit, 'MainPID')}/exe")


def answers(text):
    done = subprocess.run(["tlsmsg-client", "--ca", f"{ETC}/certs/ca.crt", "-q", "-m", text],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          encoding="utf-8", check=False)
    if not done.stdout.endswith(f"：{text}\n"):
        raise AssertionError(f"{done.stdout!r}, {done.stderr!r}")


class Rpm(unittest.TestCase):
    def test_first_installation(self):
        rpm("--install", *packages("now", "libtlsmsg", "tlsmsg-client", "tlsmsg-server"))
        self.assertEqual(pwd.getpwnam("tlsmsg").pw_shell, "/sbin/nologin")
        self.assertEqual([access("certs"), access("certs/server.key"), access("ca"),
                          access("ca/ca.key")],
                         [(0o755, "root"), (0o600, "tlsmsg"), (0o700, "root"), (0o600, "root")])
        self.assertFalse(os.path.exists(os.path.join(ETC, "certs", "ca.key")))
        # Files are as they were packed; who they belong to, too.
        self.assertEqual(rpm("--verify", "tlsmsg-server", "tlsmsg-client", "libtlsmsg"), "")
        self.assertEqual(state("tlsmsg.service", "tlsmsg.socket", "tlsmsg-renew.timer"),
                         [(False, "inactive")] * 3)
        subprocess.run(["tlsmsg-server", "--config", f"{ETC}/server.conf", "--check", "--user",
                        "tlsmsg"], stdin=subprocess.DEVNULL, timeout=SECONDS, check=True)
        systemctl("enable", "--now", "tlsmsg")
        answers("hello")
        self.upgrade()
        self.removal()

    def upgrade(self):
        """What runs goes on with the new programs, and what was changed stays."""
        with open(os.path.join(ETC, "server.conf"), "a", encoding="utf-8") as file:
            file.write("# mine\n")
        text = re.sub(r"/(var/lib)/tlsmsg", r"/\1/tlsmsg-server-second", read("server.conf"))
        with open(os.path.join(ETC, "second.conf"), "w", encoding="utf-8") as file:
            file.write(text + "listen 12346\n")
        units = SECOND, "tlsmsg-renew.timer", SPOOL + ".timer"
        systemctl("enable", "--now", *units)
        certificate = read("certs/server.crt")
        rpm("--upgrade", *packages("next", "libtlsmsg", "tlsmsg-client", "tlsmsg-server"))
        self.assertEqual(state("tlsmsg.service", *units), [(True, "active")] * 4)
        for unit in ("tlsmsg.service", SECOND):
            until(lambda unit=unit: program(unit), "/usr/bin/tlsmsg-server")
        self.assertIn("# mine\n", read("server.conf"))
        self.assertFalse(glob.glob(ETC + "/*.rpm*"))
        self.assertEqual(read("certs/server.crt"), certificate)
        answers("after the upgrade")

    def removal(self):
        rpm("--erase", "tlsmsg-client")
        self.assertEqual(show(SPOOL + ".timer", "ActiveState"), "inactive")
        rpm("--erase", "tlsmsg-server", "libtlsmsg")
        for unit in ("tlsmsg.service", SECOND, "tlsmsg-renew.timer"):
            self.assertNotEqual(show(unit, "ActiveState"), "active")
        self.assertEqual(glob.glob("/etc/systemd/system/*.wants/tlsmsg*"), [])
        # Configuration, certificates and messages stay, and who they belong to.
        self.assertIn("# mine\n", read("server.conf.rpmsave"))
        self.assertEqual(access("certs/server.key"), (0o600, "tlsmsg"))
        self.assertTrue(os.path.exists("/var/lib/tlsmsg/store.db"))

    def test_in_the_place_of_0_1(self):
        """With its options, its certificates, and running as it was."""
        self.addCleanup(shutil.rmtree, ETC)
        shutil.rmtree(ETC, ignore_errors=True)
        rpm("--install", *packages("now", "tlsmsg"))
        with open(os.path.join(ETC, "server.env"), "w", encoding="ascii") as file:
            file.write("TLSMSG_OPTIONS='--cert /etc/tlsmsg/certs/server.crt "
                       "--key /etc/tlsmsg/certs/server.key --log-level info'\n")
        shutil.copytree(os.path.join(HERE, "certs"), os.path.join(ETC, "certs"))
        shutil.chown(os.path.join(ETC, "certs", "server.key"), "tlsmsg", "tlsmsg")
        systemctl("daemon-reload")
        systemctl("enable", "--now", "tlsmsg.service")
        said = rpm("--upgrade", *packages("now", "libtlsmsg", "tlsmsg-client", "tlsmsg-server"))
        self.assertEqual(rpm("--query", "--all", "--queryformat", "%{NAME}", "tlsmsg"), "")
        self.assertRegex(read("server.conf"), r"(?m)^log-level info$")
        self.assertIn(f"cp -p {ETC}/certs/ca.* {ETC}/ca\n", said)
        self.assertEqual(state("tlsmsg.service", "tlsmsg.socket"),
                         [(True, "active"), (False, "inactive")])
        until(lambda: program("tlsmsg.service"), "/usr/bin/tlsmsg-server")
        answers("with the old certificate")
        rpm("--erase", "tlsmsg-client", "tlsmsg-server", "libtlsmsg")


if __name__ == "__main__":
    unittest.main(verbosity=2)
