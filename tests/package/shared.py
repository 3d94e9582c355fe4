"""The project with a shared library, as distributions build it: what packages are made of, and what
is installed in other places. It is kept in the folder of the build under test, where several tests
configure it one after the other, each for itself (package_build of CMakeLists.txt is their lock), and
little is compiled again. Without optimising: what is in it is run, but nobody waits for it."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
CMAKE = os.environ.get("TLSMSG_CMAKE", "cmake")
CC = os.environ.get("TLSMSG_CC", "cc")
GENERATOR = os.environ.get("TLSMSG_GENERATOR", "Unix Makefiles")
PLAINTEXT = os.environ.get("TLSMSG_PLAINTEXT", "0") == "1"
FOLDER = os.path.join(BUILD, "shared")
SECONDS = 600
# What packages have on, where it is installed: by pkg-config's name, the option, which packages may
# depend on the library, and how its name begins.
OPTIONAL = {name: choice for name, choice in {
    "libedit": ("TLSMSG_EDITLINE", ("client",), "libedit"),
    "sqlite3": ("TLSMSG_SQLITE", ("server", "client"), "libsqlite3"),
    "libpq": ("TLSMSG_POSTGRESQL", ("server",), "libpq")}.items()
    if subprocess.run(["pkg-config", "--exists", name], check=False).returncode == 0}
if "sqlite3" not in OPTIONAL or PLAINTEXT:
    OPTIONAL.pop("libpq", None)
if PLAINTEXT:
    OPTIONAL.pop("sqlite3", None)


def run(*command, timeout=SECONDS, env=None, check=True):
    """Runs a command; a failure shows what it said. LC_ALL=C, since output is compared."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False,
                          env={**os.environ, "LC_ALL": "C", **(env or {})},
                          encoding="utf-8", errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done


def configure(build, *words):
    """Where the last test had its files installed is forgotten."""
    run(CMAKE, "-S", ROOT, "-B", build, "-G", GENERATOR, f"-DCMAKE_C_COMPILER={CC}",
        "-UCMAKE_INSTALL_*DIR", "-UCMAKE_INSTALL_PREFIX", "-UTLSMSG_SYSTEMD_DIR",
        "-UTLSMSG_ZSH_DIR", "-UTLSMSG_PACKAGER", "-DCMAKE_BUILD_TYPE=Debug", "-DTLSMSG_TESTS=OFF",
        f"-DTLSMSG_PLAINTEXT={'ON' if PLAINTEXT else 'OFF'}", *words)
    run(CMAKE, "--build", build, "--parallel", str(os.cpu_count() or 1))


def built(*words):
    """Builds it, configured with these words as well. Returns its folder."""
    configure(FOLDER, "-DBUILD_SHARED_LIBS=ON",
              *(f"-D{option}=ON" for option, _, _ in OPTIONAL.values()), *words)
    return FOLDER


def version():
    with open(os.path.join(ROOT, "include", "tlsmsg", "tlsmsg.h"), encoding="utf-8") as file:
        return re.search(r'TLSMSG_VERSION "([\d.]+)"', file.read()).group(1)


def listed_symbols():
    with open(os.path.join(ROOT, "packaging", "symbols.txt"), encoding="utf-8") as file:
        return file.read().split()
