"""What the environment tells the integration tests.

TLSMSG_BUILD_DIR      the folder that holds tlsmsg-server and tlsmsg-client (TLS or plaintext)
TLSMSG_TEST_SLOWDOWN  multiplies every deadline (valgrind, sanitizers); default 1
TLSMSG_WRAPPER        words put before both programs, e.g. "valgrind -q --error-exitcode=99"
TLSMSG_DOCUMENT       a folder with the document's programs as server.py and client.py
"""

import functools
import os
import re
import shlex
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLOWDOWN = float(os.environ.get("TLSMSG_TEST_SLOWDOWN", "1"))
WRAPPER = shlex.split(os.environ.get("TLSMSG_WRAPPER", ""))
DOCUMENT = os.environ.get("TLSMSG_DOCUMENT", "")


class SettingsError(Exception):
    """The tests cannot run at all; the text says what to set."""


def scaled(seconds):
    """A deadline in seconds, stretched for slow runs."""
    return seconds * SLOWDOWN


def seconds(value):
    """A duration for the programs' command line, stretched like the deadlines around it."""
    return f"{scaled(value):g}"


def build_dir():
    folder = os.environ.get("TLSMSG_BUILD_DIR", "")
    if not folder:
        raise SettingsError("TLSMSG_BUILD_DIR must name the folder that holds tlsmsg-server")
    for name in ("tlsmsg-server", "tlsmsg-client"):
        if not os.access(os.path.join(folder, name), os.X_OK):
            raise SettingsError(f"TLSMSG_BUILD_DIR={folder} holds no program {name}")
    return os.path.abspath(folder)


@functools.cache
def is_built_with(option):
    """Whether that build folder was configured with an option, such as TLSMSG_POSTGRESQL."""
    with open(os.path.join(build_dir(), "CMakeCache.txt"), encoding="utf-8") as cache:
        return f"\n{option}:BOOL=ON\n" in cache.read()


def program(name):
    """The words that start one of the two programs."""
    return [*WRAPPER, os.path.join(build_dir(), name)]


@functools.cache
def version_line(name):
    done = subprocess.run([os.path.join(build_dir(), name), "--version"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=scaled(20), check=False)
    if done.returncode != 0:
        raise SettingsError(f"{name} --version ended with {done.returncode}: {done.stderr!r}")
    return done.stdout.decode("utf-8")


@functools.cache
def is_plaintext():
    """Whether TLSMSG_BUILD_DIR holds the plaintext build, by its own words."""
    line = version_line("tlsmsg-server")
    if re.search(r"\(plaintext\)\n\Z", line):
        return True
    if re.search(r"\(TLS, OpenSSL \S+\)\n\Z", line):
        return False
    raise SettingsError(f"cannot tell the build from {line!r}")
