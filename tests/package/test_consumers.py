"""The installed library: programs of others find it by CMake and by pkg-config, static and shared,
from a staged and then moved tree; they are built and run. The library exports what
packaging/symbols.txt lists, C++ compilers take the headers."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from shared import BUILD, CC, CMAKE, GENERATOR, PLAINTEXT, ROOT, built, configure, listed_symbols, \
    run, version

CXX = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
SHARED = os.environ.get("TLSMSG_SHARED", "0") == "1"
EXAMPLES = os.path.join(ROOT, "docs", "examples")
RUN_SECONDS = 30
# A place that is not there: what depends on it after the move can't work.
CONFIGURED_PREFIX = "/opt/tlsmsg-as-configured"


class Workshop:
    """Scratch folder with the certificates, shared by all tests of this file."""
    folder = None
    credentials = []
    trust = []

    @classmethod
    def open(cls):
        if cls.folder is not None:
            return
        cls.folder = tempfile.mkdtemp(prefix="tlsmsg-package-")
        unittest.addModuleCleanup(shutil.rmtree, cls.folder)
        if not PLAINTEXT:
            certs = os.path.join(cls.folder, "certs")
            run(os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out", certs)
            cls.credentials = [os.path.join(certs, "server.crt"), os.path.join(certs, "server.key")]
            cls.trust = [os.path.join(certs, "ca.crt")]


def build_of(kind):
    """The folder of a build with that kind of library: the one under test, or one made here."""
    if (kind == "shared") == SHARED:
        return BUILD
    if kind == "shared":
        return built()
    folder = os.path.join(Workshop.folder, "build-static")
    configure(folder, "-DBUILD_SHARED_LIBS=OFF")
    return folder


class Installed:
    """Tests of one kind of installed tree; mixed into a TestCase for each."""
    kind = ""

    @classmethod
    def setUpClass(cls):
        Workshop.open()
        stage = os.path.join(Workshop.folder, "stage-" + cls.kind)
        run(CMAKE, "--install", build_of(cls.kind), "--prefix", CONFIGURED_PREFIX,
            env={"DESTDIR": stage})
        cls.prefix = os.path.join(Workshop.folder, "moved", cls.kind)
        os.makedirs(os.path.dirname(cls.prefix), exist_ok=True)
        os.rename(stage + CONFIGURED_PREFIX, cls.prefix)
        shutil.rmtree(stage)

    def find(self, name):
        for folder, _, files in os.walk(self.prefix):
            if name in files:
                return os.path.join(folder, name)
        raise AssertionError(f"{name} is not installed")

    def environment(self):
        """For programs that have no run path to the library."""
        if self.kind == "static":
            return {}
        return {"LD_LIBRARY_PATH": os.path.dirname(self.find("libtlsmsg.so"))}

    def pkg_config(self, *words):
        path = os.path.dirname(self.find("tlsmsg.pc"))
        return run("pkg-config", *words, "tlsmsg", env={"PKG_CONFIG_PATH": path}).stdout.split()

    def configure(self, name, *words, check=True):
        build = os.path.join(Workshop.folder, f"consumer-{self.kind}-{name}")
        done = run(CMAKE, "-S", os.path.join(ROOT, "tests", "package", "consumer"), "-B", build,
                   "-G", GENERATOR, f"-DCMAKE_C_COMPILER={CC}", f"-DEXAMPLES={EXAMPLES}",
                   f"-DCMAKE_PREFIX_PATH={self.prefix}", *words, check=check)
        return build, done

    def converse(self, folder):
        """Runs the three examples in a folder: each client asks a server of its own."""
        variables = {**os.environ, **self.environment()}
        for client in ("ask", "poll_client"):
            command = [os.path.join(folder, "server"), *Workshop.credentials]
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables,
                                  encoding="utf-8") as server:
                try:
                    address = server.stdout.readline().strip()
                    self.assertRegex(address, r"^127\.0\.0\.1:\d+$")
                    done = run(os.path.join(folder, client), address, "你好", *Workshop.trust,
                               timeout=RUN_SECONDS, env=variables)
                    self.assertEqual(done.stdout, "that was 6 bytes\n")
                    self.assertEqual(server.wait(RUN_SECONDS), 0)
                finally:
                    server.kill()

    def test_find_package(self):
        build, _ = self.configure("right", f"-DWANTED={version()}")
        run(CMAKE, "--build", build)
        self.converse(build)

    def test_find_package_wants_a_version_that_fits(self):
        _, done = self.configure("version", "-DWANTED=99.0", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("99.0", done.stdout)

    def test_openssl_is_needed_for_static_tls_alone(self):
        _, done = self.configure("openssl", "-DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON", check=False)
        needed = self.kind == "static" and not PLAINTEXT
        self.assertEqual(done.returncode != 0, needed, done.stdout)

    @unittest.skipUnless(shutil.which("pkg-config"), "pkg-config is not installed")
    def test_pkg_config(self):
        folder = os.path.join(Workshop.folder, f"consumer-{self.kind}-pkg-config")
        os.mkdir(folder)
        for name in ("server", "ask", "poll_client"):
            run(CC, "-std=c11", "-Wall", "-Wextra", "-Werror", *self.pkg_config("--cflags"),
                os.path.join(EXAMPLES, name + ".c"), "-o", os.path.join(folder, name),
                *self.pkg_config("--libs"))
        self.converse(folder)

    @unittest.skipUnless(shutil.which("pkg-config"), "pkg-config is not installed")
    def test_pkg_config_facts(self):
        self.assertEqual(self.pkg_config("--modversion"), [version()])
        self.assertEqual(self.pkg_config("--variable=transport"),
                         ["plaintext" if PLAINTEXT else "TLS"])
        needed = self.kind == "static" and not PLAINTEXT
        self.assertEqual("openssl" in self.pkg_config("--print-requires"), needed)
        self.assertEqual("-lssl" in self.pkg_config("--libs"), needed)
        # Of a shared library's users OpenSSL's development files are not asked.
        self.assertEqual(self.pkg_config("--print-requires-private"), [])

    def test_nothing_names_where_it_was_built(self):
        for name in ("tlsmsg.pc", "tlsmsgConfig.cmake", "tlsmsgTargets.cmake"):
            with open(self.find(name), encoding="utf-8") as file:
                text = file.read()
            for place in (CONFIGURED_PREFIX, Workshop.folder, BUILD, ROOT):
                self.assertNotIn(place, text, name)

    def compile_headers(self, compiler, language, standard, *warnings):
        """Each header by itself; what a strict user's compiler says is an error."""
        include = os.path.join(self.prefix, "include")
        headers = sorted(os.listdir(os.path.join(include, "tlsmsg")))
        self.assertEqual(headers, ["client.h", "error.h", "options.h", "server.h", "tls.h", "tlsmsg.h"])
        for header in headers:
            source = os.path.join(Workshop.folder, "one.source")
            with open(source, "w", encoding="utf-8") as file:
                file.write(f"#include <tlsmsg/{header}>\n")
            with self.subTest(header=header, standard=standard):
                run(compiler, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", *warnings,
                    "-fsyntax-only", "-I", include, "-x", language, source)

    def test_headers_in_c(self):
        self.compile_headers(CC, "c", "-std=c11", "-Wstrict-prototypes")

    @unittest.skipUnless(CXX, "no C++ compiler is installed")
    def test_headers_in_cplusplus(self):
        for standard in ("c++11", "c++17", "c++20"):
            self.compile_headers(CXX, "c++", "-std=" + standard, "-Wold-style-cast")

    def test_programs_run_in_the_moved_tree(self):
        for name in ("tlsmsg-server", "tlsmsg-client"):
            done = run(os.path.join(self.prefix, "bin", name), "--version", timeout=RUN_SECONDS)
            self.assertTrue(done.stdout.startswith(f"{name} {version()} ("), done.stdout)

    def test_scripts_under_their_installed_names(self):
        for name in ("tlsmsg-certs", "tlsmsg-ticket-keys"):
            done = run(os.path.join(self.prefix, "bin", name), "--help", timeout=RUN_SECONDS)
            self.assertTrue(done.stdout.startswith(f"Usage: {name} "), done.stdout)
            self.assertNotIn(".sh", done.stdout)

    @unittest.skipIf(PLAINTEXT, "a server in plaintext needs no certificate")
    def test_texts_name_the_installed_scripts(self):
        program = os.path.join(self.prefix, "bin", "tlsmsg-server")
        for words, says in (([], "(tlsmsg-certs makes them)"),
                            (["--cert", "none"], "(tlsmsg-certs makes one)"),
                            ([*self.server_options(), "--ticket-keys", "none"],
                             "(tlsmsg-ticket-keys makes one)")):
            done = run(program, "--check", *words, timeout=RUN_SECONDS, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stdout)

    @staticmethod
    def server_options():
        return ["--cert", Workshop.credentials[0], "--key", Workshop.credentials[1]]


class Static(Installed, unittest.TestCase):
    kind = "static"

    @unittest.skipUnless(shutil.which("nm"), "nm is not installed")
    def test_internal_names_are_local(self):
        """A program may have a function of the same name as one inside of the library."""
        lines = run("nm", "--defined-only", "--extern-only", self.find("libtlsmsg.a")).stdout
        self.assertEqual(sorted(re.findall(r"^\w+ [A-Z] (\w+)$", lines, re.M)), listed_symbols())


class Shared(Installed, unittest.TestCase):
    kind = "shared"

    def test_names(self):
        library = self.find("libtlsmsg.so")
        real = os.path.basename(os.path.realpath(library))
        self.assertEqual(real, "libtlsmsg.so." + version())
        self.assertNotEqual(os.readlink(library), real, "the linker's name leads to the soname")

    @unittest.skipUnless(shutil.which("nm"), "nm is not installed")
    def test_exported_symbols(self):
        lines = run("nm", "-D", "--defined-only", self.find("libtlsmsg.so")).stdout.splitlines()
        exported = sorted(line.split()[-1].split("@")[0] for line in lines)
        self.assertEqual(exported, listed_symbols())


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
