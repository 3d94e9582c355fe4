"""The packages of one cpack run, read: what is in which, what each depends on. Debian's are installed
by packaging/test-deb.sh, in roots of each release; RPM's here, in a booted system over this machine's
files."""

import glob
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import shared
from shared import BUILD, OPTIONAL, ROOT, SECONDS, version
from test_units import boot, why_not

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = {"DEB": ("dpkg-deb", "dpkg-shlibdeps", "file"), "RPM": ("rpmbuild", "rpm")}
# What each package must have; no file may be in two.
FILES = {
    "server": ["/usr/bin/tlsmsg-server", "/usr/lib/systemd/system/tlsmsg.service",
               "/usr/lib/systemd/system/tlsmsg-server@.service",
               "/usr/lib/systemd/system/tlsmsg.socket", "/etc/tlsmsg/server.conf",
               "/usr/lib/systemd/system/tlsmsg-renew.service",
               "/usr/lib/systemd/system/tlsmsg-renew.timer", "/usr/libexec/tlsmsg/certbot-deploy",
               "/etc/logrotate.d/tlsmsg",
               "/usr/share/man/man1/tlsmsg-server.1", "/usr/share/man/man7/tlsmsg.7",
               "/usr/bin/tlsmsg-certs", "/usr/share/man/man1/tlsmsg-certs.1",
               "/usr/bin/tlsmsg-ticket-keys", "/usr/share/man/man1/tlsmsg-ticket-keys.1",
               "/usr/share/bash-completion/completions/tlsmsg-server",
               "/usr/share/bash-completion/completions/tlsmsg-certs",
               "/usr/share/bash-completion/completions/tlsmsg-ticket-keys"],
    "client": ["/usr/bin/tlsmsg-client", "/usr/share/man/man1/tlsmsg-client.1",
               "/usr/share/bash-completion/completions/tlsmsg-client"],
    "library": [],
    "development": ["/usr/include/tlsmsg/tlsmsg.h", "/usr/share/man/man3/tlsmsg.3"]}
if "sqlite3" in OPTIONAL:
    FILES["server"] += ["/usr/bin/tlsmsg-store", "/usr/share/man/man1/tlsmsg-store.1",
                        "/usr/share/bash-completion/completions/tlsmsg-store"]
    FILES["client"] += ["/usr/lib/systemd/system/tlsmsg-spool@.service",
                        "/usr/lib/systemd/system/tlsmsg-spool@.timer"]
# Of the server's, in the folder of documents; where there are several servers, they share a database.
EXAMPLES = ["handle.py", "store-to-csv.py"]
if "libpq" in OPTIONAL:
    EXAMPLES += ["fleet/" + name for name in os.listdir(os.path.join(ROOT, "packaging", "fleet"))]


def run(*command):
    return shared.run(*command).stdout


def soname_version():
    return version().rpartition(".")[0]


def setUpModule():
    """Builds once for both kinds."""
    if not any(all(map(shutil.which, tools)) for tools in TOOLS.values()):
        raise unittest.SkipTest("neither dpkg-dev nor rpm is installed")
    Built.folder = shared.built("-DCMAKE_INSTALL_PREFIX=/usr",
                                 "-DTLSMSG_PACKAGER=Some Body <some@body.example>")
    Built.made = tempfile.mkdtemp(prefix="tlsmsg-packages-")
    unittest.addModuleCleanup(shutil.rmtree, Built.made)


class Built:
    """What both kinds of packages have in common; mixed into a TestCase for each."""
    folder = made = ""
    kind = ""
    names = {}
    documents = ""

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in TOOLS[cls.kind] if not shutil.which(tool)]
        if missing:
            raise unittest.SkipTest(f"{missing[0]} is not installed")
        cls.out = os.path.join(cls.made, cls.kind)
        run("cpack", "--config", os.path.join(cls.folder, "CPackConfig.cmake"), "-G", cls.kind,
            "-B", cls.out)

    def package(self, component):
        (path,) = glob.glob(os.path.join(self.out, self.names[component] + "[_-][0-9]*"))
        return path

    def test_which(self):
        made = glob.glob(os.path.join(self.out, f"*.{self.kind.lower()}"))
        self.assertEqual(sorted(made), sorted(map(self.package, self.names)))

    def test_files(self):
        found = {}
        for component, wanted in FILES.items():
            files = self.files(component)
            own = EXAMPLES if component == "server" else []
            for name in wanted + [f"/usr/share/doc/{self.documents}/examples/{name}" for name in own]:
                self.assertTrue({name, name + ".gz"} & set(files), f"{component}: {name}")
            for name in files:
                self.assertNotIn(name, found, f"in {component}, and in {found.get(name)}")
                found[name] = component
        libraries = {os.path.basename(name): component for name, component in found.items()
                     if "libtlsmsg.so" in name}
        self.assertEqual(libraries, {
            "libtlsmsg.so": "development", f"libtlsmsg.so.{soname_version()}": "library",
            f"libtlsmsg.so.{version()}": "library"})

    def test_optional_libraries(self):
        """Each is a dependency of the package that uses it; the library's has none of them."""
        for _, owners, begin in OPTIONAL.values():
            users = {component for component in FILES
                     if any(name.startswith(begin) for name in self.needs(component))}
            self.assertIn(owners[0], users, begin)
            self.assertLessEqual(users, set(owners), begin)

    def test_nothing_is_searched_elsewhere(self):
        """Below /usr the loader finds the library; a path of one's own would be a door."""
        folder = self.unpacked()
        for name in ("tlsmsg-server", "tlsmsg-client"):
            self.assertNotRegex(run("readelf", "--dynamic", os.path.join(folder, "usr", "bin", name)),
                                r"\((RUNPATH|RPATH)\)")


class Debian(Built, unittest.TestCase):
    kind = "DEB"
    documents = "tlsmsg-server"
    names = {"server": "tlsmsg-server", "client": "tlsmsg-client",
             "library": f"libtlsmsg{soname_version()}", "development": "libtlsmsg-dev",
             "transitional": "tlsmsg"}

    def files(self, component):
        listed = run("dpkg-deb", "--contents", self.package(component)).splitlines()
        return [line.split()[5].removeprefix(".") for line in listed if not line.startswith("d")]

    def field(self, component, name):
        return run("dpkg-deb", "--field", self.package(component), name).strip()

    def needs(self, component):
        return self.field(component, "Depends").split(", ")

    def unpacked(self):
        folder = os.path.join(self.out, "unpacked")
        for component in ("server", "client"):
            run("dpkg-deb", "--extract", self.package(component), folder)
        return folder

    def test_dependencies(self):
        library = [word.split()[0] for word in self.field("library", "Depends").split(", ")]
        self.assertEqual(len(library), 2, library)
        self.assertRegex(" ".join(library), r"\Alibc6 libssl3(t64)?\Z")
        ours = f"{self.names['library']} (= {version()})"
        for component in ("server", "client", "development"):
            self.assertIn(ours, self.field(component, "Depends").split(", "))
        for component in ("server", "client"):
            for name in ("Breaks", "Replaces"):
                self.assertEqual(self.field(component, name), "tlsmsg (<< 0.2~)")
            self.assertEqual(self.field(component, "Maintainer"), "Some Body <some@body.example>")

    def test_transitional(self):
        """It upgrades what tlsmsg 0.1 was to what is in its place, and does nothing itself."""
        self.assertEqual(sorted(self.field("transitional", "Depends").split(", ")),
                         [f"tlsmsg-client (= {version()})", f"tlsmsg-server (= {version()})"])
        self.assertEqual(self.field("transitional", "Architecture"), "all")
        self.assertNotRegex(run("dpkg-deb", "--info", self.package("transitional")),
                            r"postinst|prerm|postrm|conffiles")
        self.assertTrue(all(name.startswith("/usr/share/doc/tlsmsg/")
                            for name in self.files("transitional")))

    def test_news(self):
        """Who upgrades from 0.1 is told how to move the CA's key, as the package's script tells it."""
        path = os.path.join(self.unpacked(), "usr/share/doc/tlsmsg-server/NEWS.Debian.gz")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            news = file.read()
        self.assertRegex(news, r"(?m)\Atlsmsg \(0\.2\) unstable; urgency=medium$")
        with open(os.path.join(ROOT, "packaging", "from-0.1.sh"), encoding="utf-8") as file:
            told = re.search(r"(?ms)^    cat <<END$(.*?)^END$", file.read())
        commands = re.findall(r"(?m)^  (\w.*)$", told.group(1))
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.assertIn("    " + command.replace("$certs", "/etc/tlsmsg/certs")
                          .replace("$ca", "/etc/tlsmsg/ca") + "\n", news)

    def test_configuration(self):
        """What is in /etc is a conffile, and nothing else is."""
        conffiles = run("dpkg-deb", "--info", self.package("server"), "conffiles").split()
        self.assertEqual(sorted(conffiles),
                         sorted(name for name in self.files("server") if name.startswith("/etc/")))


class Rpm(Built, unittest.TestCase):
    kind = "RPM"
    documents = "tlsmsg"
    names = {"server": "tlsmsg-server", "client": "tlsmsg-client", "library": "libtlsmsg",
             "development": "libtlsmsg-devel"}

    def query(self, component, *words):
        return run("rpm", "--query", "--package", *words, self.package(component)).splitlines()

    def files(self, component):
        """Without folders and build ids, which packages may share."""
        return [line.split()[-1] for line in self.query(component, "--qf",
                                                        "[%{FILEMODES:perms} %{FILENAMES}\n]")
                if not line.startswith("d") and "/.build-id/" not in line]

    def unpacked(self):
        folder = os.path.join(self.out, "unpacked")
        os.makedirs(folder, exist_ok=True)
        for component in ("server", "client"):
            with subprocess.Popen(["rpm2cpio", self.package(component)],
                                  stdout=subprocess.PIPE) as archive:
                subprocess.run(["cpio", "--extract", "--make-directories", "--quiet"], cwd=folder,
                               stdin=archive.stdout, timeout=SECONDS, check=True)
        return folder

    def needs(self, component):
        return {re.sub(r"[( ].*", "", line) for line in self.query(component, "--requires")}

    def test_dependencies(self):
        self.assertEqual({name for name in self.needs("library") if name.startswith("lib")},
                         {"libc.so.6", "libcrypto.so.3", "libssl.so.3"})
        for component in ("server", "client", "development"):
            self.assertIn(f"libtlsmsg = {version()}", self.query(component, "--requires"))
        self.assertLessEqual({"openssl", "shadow-utils"}, self.needs("server"))
        for component in ("server", "client"):
            self.assertEqual(self.query(component, "--obsoletes"), ["tlsmsg < 0.2"])

    def test_configuration(self):
        self.assertEqual(self.query("server", "--configfiles"),
                         [name for name in self.files("server") if name.startswith("/etc/")])

    def test_scripts(self):
        """The service's user before its files, certificates after them; the loader's cache."""
        scripts = "\n".join(self.query("server", "--scripts"))
        for kind in ("preinstall", "postinstall", "preuninstall", "postuninstall"):
            self.assertIn(f"{kind} scriptlet", scripts)
        self.assertLess(scripts.index("useradd"), scripts.index("tlsmsg-certs"))
        self.assertIn("/sbin/ldconfig", "\n".join(self.query("library", "--scripts")))

    def later(self, folder):
        """The same once more as the next version, and what stands in for 0.1."""
        run("cpack", "--config", os.path.join(self.folder, "CPackConfig.cmake"), "-G", "RPM", "-B",
            os.path.join(folder, "next"), "-D", f"CPACK_PACKAGE_VERSION={version()}.1",
            "-D", "CPACK_COMPONENTS_ALL=library;client;server")
        run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}/old", "--define",
            f"_rpmdir {folder}/now", "--define", "_build_name_fmt %%{NAME}-%%{VERSION}.rpm",
            "--define", f"folder {HERE}/tlsmsg-0.1.0", os.path.join(HERE, "tlsmsg-0.1.0.spec"))

    @unittest.skipUnless("sqlite3" in OPTIONAL, "SQLite's development files are not installed")
    def test_installed(self):
        """units/rpm.py: installed, upgraded and removed, over the machine's own libraries."""
        reason = why_not()
        if reason:
            self.skipTest(reason)
        folder = tempfile.mkdtemp(prefix="tlsmsg-rpm-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        os.makedirs(os.path.join(folder, "above"))
        os.makedirs(os.path.join(folder, "now"))
        for component in ("library", "client", "server"):
            shutil.copy(self.package(component), os.path.join(folder, "now"))
        self.later(folder)
        run(os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out",
            os.path.join(folder, "certs"))
        shutil.copy(os.path.join(HERE, "units", "manager.py"), folder)
        shutil.copy(os.path.join(HERE, "units", "rpm.py"), os.path.join(folder, "inside.py"))
        code, said = boot(folder, os.path.join(folder, "above"))
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"\nRan 2 tests ")


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
