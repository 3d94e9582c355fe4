"""The library as a part of another project: by add_subdirectory and by FetchContent it is built and
nothing else is, no choice of the parent's is made for it, nothing is installed that it didn't ask
for. The archive hides what a shared library hides, whatever flags it is built with. Folders to
install in may be absolute."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import shared
from shared import BUILD, CC, CMAKE, GENERATOR, ROOT, listed_symbols

PLAINTEXT = "ON" if shared.PLAINTEXT else "OFF"
PROJECT = os.path.join(ROOT, "tests", "package", "embedded")
# With clang it takes a linker's plugin that is not always there.
LTO = ["-DCMAKE_C_FLAGS=-flto=auto -ffat-lto-objects"] if "clang" not in CC else []
RUN_SECONDS = 30


def run(*command, **options):
    return shared.run(*command, **options).stdout


def build(folder, *words):
    run(CMAKE, "--build", folder, "--parallel", str(os.cpu_count() or 1), *words)


def global_names(*files):
    return set(re.findall(r"^\w+ [A-Z] (\w+)$",
                          run("nm", "--defined-only", "--extern-only", *files), re.M))


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, _, names in os.walk(folder) for name in names)


def programs_below(folder):
    """What can be run of what was built, CMake's own trials left out."""
    found = []
    for name in files_below(folder):
        path = os.path.join(folder, name)
        if "CMakeFiles" not in name and os.access(path, os.X_OK):
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF" and ".so" not in name:
                    found.append(name)
    return found


def consume(folder, libraries):
    """Somebody else's program finds what is installed, by CMake and by pkg-config."""
    consumer = os.path.join(folder, "consumer")
    examples = os.path.join(ROOT, "docs", "examples")
    run(CMAKE, "-S", os.path.join(ROOT, "tests", "package", "consumer"), "-B", consumer,
        "-G", GENERATOR, f"-DCMAKE_C_COMPILER={CC}", f"-DEXAMPLES={examples}", "-DWANTED=",
        f"-Dtlsmsg_DIR={libraries}/cmake/tlsmsg")
    build(consumer, "--target", "ask")
    if shutil.which("pkg-config"):
        path = {"PKG_CONFIG_PATH": os.path.join(libraries, "pkgconfig")}
        flags = run("pkg-config", "--cflags", "--libs", "tlsmsg", env=path).split()
        run(CC, os.path.join(examples, "ask.c"), "-o", os.path.join(folder, "ask"), *flags)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tlsmsg-embedded-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.build = os.path.join(self.folder, "build")

    def objects(self):
        """The library's."""
        return [os.path.join(self.build, name) for name in files_below(self.build)
                if name.endswith(".o") and re.search(r"CMakeFiles/tlsmsg(_base)?\.dir/", name)]

    def internal_names(self):
        """The names that the library's own files use among themselves, and its users must not see."""
        build(self.build, "--target", "tlsmsg")
        names = global_names(*self.objects()) - set(listed_symbols())
        self.assertGreater(len(names), 50)
        return names


@unittest.skipUnless(shutil.which("nm"), "nm is not installed")
class Embedded(Case):
    def embed(self, way, *words, names=()):
        source = os.path.join(self.folder, "names.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("/* The parent's own. */\n")
        run(CMAKE, "-S", PROJECT, "-B", self.build, "-G", GENERATOR, f"-DCMAKE_C_COMPILER={CC}",
            f"-DTLSMSG_SOURCE={ROOT}", f"-DWAY={way}", f"-DNAMES={source}",
            f"-DTLSMSG_PLAINTEXT={PLAINTEXT}", *words)
        if names is None:
            with open(source, "a", encoding="utf-8") as file:
                for name in sorted(self.internal_names()):
                    file.write(f"int {name}(void);\nint {name}(void) {{ return 7; }}\n")
        build(self.build)

    def says(self, asserts, at="mine"):
        self.assertRegex(run(os.path.join(self.build, at), timeout=RUN_SECONDS),
                         rf"\A\d+\.\d+\.\d+, asserts {asserts}\n\Z")

    def alone(self):
        """Nothing is there beside the parent's program and the library."""
        self.assertEqual(programs_below(self.build), ["mine"])
        self.assertFalse(os.path.exists(os.path.join(self.build, "compile_commands.json")))
        self.assertIn("Total Tests: 1\n", run("ctest", "--test-dir", self.build, "-N"))
        with open(os.path.join(self.build, "CMakeCache.txt"), encoding="utf-8") as file:
            cache = file.read()
        self.assertRegex(cache, r"(?m)^CMAKE_BUILD_TYPE:STRING=$")
        # Variables of ours in the parent's cache bear our name.
        self.assertIsNone(re.search(r"(?m)^CMAKE_INSTALL_LIBDIR:", cache))

    def install(self, *words):
        """Configures anew, which compiles nothing, and installs. Returns what came."""
        if words:
            run(CMAKE, self.build, *words)
        prefix = os.path.join(self.folder, "prefix")
        shutil.rmtree(prefix, ignore_errors=True)
        run(CMAKE, "--install", self.build, "--prefix", prefix)
        return files_below(prefix)

    def test_add_subdirectory(self):
        """Built as distributions do it; with functions of every name that the library uses inside."""
        self.embed("add_subdirectory", *LTO, names=None)
        self.says("on")
        self.alone()
        self.assertEqual(self.install(), ["bin/mine"])
        archive = os.path.join(self.build, "tlsmsg", "src", "libtlsmsg.a")
        self.assertEqual(sorted(global_names(archive)), listed_symbols())
        # Installed when that is asked for, each kind of file in a tree of its own.
        at = {name: os.path.join(self.folder, "to", name.lower()) for name in ("LIB", "INCLUDE")}
        self.assertEqual(self.install("-DTLSMSG_INSTALL=ON", "-DCMAKE_INSTALL_DATADIR=share",
                                      *(f"-DCMAKE_INSTALL_{name}DIR={path}"
                                        for name, path in at.items()))[0], "bin/mine")
        self.assertEqual(sorted(global_names(os.path.join(at["LIB"], "libtlsmsg.a"))),
                         listed_symbols())
        consume(self.folder, at["LIB"])
        self.asked_for()

    def asked_for(self):
        """All of it, archive and programs in one build. The archive's floors above the base, which knows
        where programs go, are not compiled again: CMake's switch means the others."""
        above = [path for path in self.objects() if "/tlsmsg.dir/" in path]
        before = [os.stat(path).st_mtime_ns for path in above]
        run(CMAKE, self.build, "-UCMAKE_INSTALL_*DIR", "-DTLSMSG_PROGRAMS=ON", "-DTLSMSG_INSTALL=ON",
            "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON")
        build(self.build)
        self.assertEqual([os.stat(path).st_mtime_ns for path in above], before)
        self.says("on")
        found = self.install()
        for name in ("bin/mine", "bin/tlsmsg-server", "bin/tlsmsg-client",
                     "include/tlsmsg/tlsmsg.h", "share/man/man1/tlsmsg-server.1",
                     "lib/systemd/system/tlsmsg.service"):
            self.assertIn(name, found)
        (archive,) = (name for name in found if name.endswith("libtlsmsg.a"))
        archive = os.path.join(self.folder, "prefix", archive)
        self.assertEqual(sorted(global_names(archive)), listed_symbols())

    def test_fetch_content(self):
        """A shared library, optimised at the link by CMake's own switch."""
        self.embed("FetchContent", "-DBUILD_SHARED_LIBS=ON",
                   "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON", "-DCMAKE_UNITY_BUILD=ON", names=None)
        self.says("on")
        self.alone()
        self.assertEqual(self.install(), ["bin/mine"])
        # What a user of the library needs, and no more.
        found = self.install("-DTLSMSG_INSTALL=ON")
        self.assertIn("include/tlsmsg/tlsmsg.h", found)
        self.assertEqual([name for name in found if name.startswith("bin/")], ["bin/mine"])
        self.assertEqual([name for name in found
                          if re.search(r"systemd|completion|man1|(^|/)etc/", name)], [])

    def test_tests_need_the_programs(self):
        with self.assertRaisesRegex(AssertionError, "TLSMSG_TESTS needs TLSMSG_PROGRAMS"):
            self.embed("add_subdirectory", "-DTLSMSG_TESTS=ON")


class AbsoluteFolders(Case):
    """The whole project, each kind of file in a tree of its own, as some distributions have it."""

    def test_shared(self):
        at = {name: os.path.join(self.folder, "to", name.lower())
              for name in ("BIN", "LIB", "LIBEXEC", "INCLUDE", "DATAROOT", "SYSCONF")}
        run(CMAKE, "--install", shared.built(
            f"-DCMAKE_INSTALL_PREFIX={self.folder}/unused",
            *(f"-DCMAKE_INSTALL_{name}DIR={path}" for name, path in at.items()),
            f"-DTLSMSG_SYSTEMD_DIR={self.folder}/to/units"))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "unused")))
        done = run(os.path.join(at["BIN"], "tlsmsg-client"), "--version", timeout=RUN_SECONDS,
                   env={"LD_LIBRARY_PATH": ""})
        self.assertRegex(done, r"\Atlsmsg-client \d")
        with open(os.path.join(self.folder, "to", "units", "tlsmsg.service"),
                  encoding="utf-8") as file:
            unit = file.read()
        self.assertIn(f"ExecStart={at['BIN']}/tlsmsg-server ", unit)
        self.assertIn(at["SYSCONF"] + "/tlsmsg/", unit)
        consume(self.folder, at["LIB"])


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
