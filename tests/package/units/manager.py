"""The service manager, as what runs in a booted system asks it."""

import subprocess
import time

HERE = "/run/test"
SECONDS = 30


def systemctl(*words, code=0):
    done = subprocess.run(["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=SECONDS, encoding="utf-8", check=False)
    if code is not None and (done.returncode == 0) != (code == 0):
        raise AssertionError(f"systemctl {' '.join(words)}: exit {done.returncode}: {done.stderr}"
                             + journal(words[-1]))
    return done.stdout


def show(unit, name):
    return systemctl("show", "--value", "--property", name, unit).strip()


def journal(unit):
    """What the unit's own processes and the manager about it have said so far."""
    subprocess.run(["journalctl", "--sync"], timeout=SECONDS, check=True)
    return subprocess.run(["journalctl", "--unit", unit, "--no-pager", "--output", "cat", "--all"],
                          capture_output=True, timeout=SECONDS, encoding="utf-8",
                          check=True).stdout


def until(what, wanted):
    """Waits until a function returns what is wanted."""
    ends = time.monotonic() + SECONDS
    while (found := what()) != wanted:
        if time.monotonic() > ends:
            raise AssertionError(f"{found!r} instead of {wanted!r}")
        time.sleep(0.05)
