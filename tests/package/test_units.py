"""The installed units, run by systemd: one that is booted for this, in namespaces over this
machine's files, so that nothing of what it does lasts. units/inside.py is what is run in it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
CMAKE = os.environ.get("TLSMSG_CMAKE", "cmake")
PLAINTEXT = os.environ.get("TLSMSG_PLAINTEXT", "0") == "1"
STORE = os.path.exists(os.path.join(BUILD, "tlsmsg-store"))
SECONDS = 120
UNITS = {
    "test.target": "[Unit]\nDescription=The test\nWants=test.service\n",
    # Without its default dependencies nothing of the machine's own comes along.
    "test.service": """[Unit]
Description=What is tried
DefaultDependencies=no
Wants=systemd-journald.service
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/usr/bin/env python3 -B /run/test/inside.py
Environment=PYTHONDONTWRITEBYTECODE=1
StandardOutput=file:/run/test/out
StandardError=file:/run/test/out
ExecStopPost=/bin/sh -c 'echo "$EXIT_STATUS" >/run/test/code; systemctl --no-block exit 0'
TimeoutStartSec=100
"""}


class Group:
    """A control group for the manager to own, since it would find this test's own in its way."""

    def __init__(self):
        top = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") \
            else "/sys/fs/cgroup"
        self.path = tempfile.mkdtemp(prefix="tlsmsg-test-", dir=top)

    def join(self):
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write("0")

    def close(self):
        for _ in range(50):
            try:
                for folder, _, _ in os.walk(self.path, topdown=False):
                    os.rmdir(folder)
                return
            except OSError:
                time.sleep(0.1)


def boot(folder, above):
    """Runs folder/inside.py in there. Returns its exit code, None when it was never run, and what
    it or the manager said."""
    os.mkdir(os.path.join(folder, "units"))
    for name, text in UNITS.items():
        with open(os.path.join(folder, "units", name), "w", encoding="utf-8") as file:
            file.write(text)
    group = Group()
    try:
        done = subprocess.run(
            ["unshare", "--cgroup", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork",
             "--kill-child", os.path.join(HERE, "units", "boot.sh"), folder, above,
             "test.target"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SECONDS, preexec_fn=group.join, encoding="utf-8", errors="replace",
            check=False)
    finally:
        group.close()
    code, said = None, done.stdout
    if os.path.exists(os.path.join(folder, "code")):
        with open(os.path.join(folder, "code"), encoding="ascii") as file:
            code = int(file.read().strip() or 0)
        with open(os.path.join(folder, "out"), encoding="utf-8", errors="replace") as file:
            said = file.read()
    return code, said


def why_not():
    """What is in the way of booting systemd here, or None. Tried with a file that does nothing."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/lib/systemd/systemd"):
        return "systemd is not installed"
    with tempfile.TemporaryDirectory(prefix="tlsmsg-units-") as folder:
        os.mkdir(os.path.join(folder, "above"))
        with open(os.path.join(folder, "inside.py"), "w", encoding="ascii") as file:
            file.write("")
        try:
            code, said = boot(folder, os.path.join(folder, "above"))
        except (OSError, subprocess.SubprocessError) as error:
            return f"no systemd can be booted here: {error}"
        return None if code == 0 else f"no systemd can be booted here: {said[-200:]!r}"


class Units(unittest.TestCase):
    def test_units(self):
        reason = why_not()
        if reason:
            self.skipTest(reason)
        with tempfile.TemporaryDirectory(prefix="tlsmsg-units-") as folder:
            above = os.path.join(folder, "above")
            os.mkdir(above)
            os.chmod(folder, 0o755)
            os.chmod(above, 0o755)
            subprocess.run([CMAKE, "--install", BUILD], env={**os.environ, "DESTDIR": above},
                           stdout=subprocess.DEVNULL, timeout=SECONDS, check=True)
            for name in ("inside.py", "manager.py"):
                shutil.copy(os.path.join(HERE, "units", name), folder)
            shutil.copy(os.path.join(ROOT, "packaging", "systemd", "logrotate"), folder)
            with open(os.path.join(folder, "settings"), "w", encoding="utf-8") as file:
                file.write(f"{'plaintext' if PLAINTEXT else 'tls'} {'store' if STORE else ''}\n")
            if not PLAINTEXT:
                # The server's certificate ends so soon that the timer renews it.
                subprocess.run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out",
                                os.path.join(folder, "certs"), "--ca-dir",
                                os.path.join(folder, "ca"), "--days", "20"],
                               timeout=SECONDS, check=True, stdout=subprocess.DEVNULL)
            code, said = boot(folder, above)
            self.assertEqual(code, 0, said)
            self.assertRegex(said, r"\nRan \d+ tests ")


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
