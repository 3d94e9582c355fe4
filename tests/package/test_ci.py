"""What is written twice says the same: .ci/run and the workflow file run the same commands; the
version stands in one place and everything else has it from there; the list of places that an option
has to be added to is the list that test_options.py looks at, and it fails for each of them."""

import datetime
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import plain_yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
SECONDS = 60
RELEASES = {"12": "bookworm", "13": "trixie"}
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def output(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          encoding="utf-8", check=True).stdout


def section(name):
    """A part of the guide for contributors, from its heading to the next."""
    found = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", read("docs", "CONTRIBUTING.md"),
                      re.M | re.S)
    if found is None:
        raise AssertionError(f"docs/CONTRIBUTING.md has no section '{name}'")
    return found.group(1)


def paths(text):
    """The code spans that name files or folders of the project."""
    spans = re.findall(r"`([^`\s]+)`", text)
    return [span for span in spans if "/" in span or span.endswith(".md")]


class Workflow(unittest.TestCase):
    PREPARATION = ("set -euo pipefail", 'cd "$(dirname "$0")/.."', 'export CI="${CI:-true}"')

    def setUp(self):
        lines = [line for line in read(".ci", "run").splitlines()
                 if line and not line.startswith("#")]
        self.assertEqual(tuple(lines[:len(self.PREPARATION)]), self.PREPARATION)
        self.commands = lines[len(self.PREPARATION):]
        self.workflow = plain_yaml.load(read(".github", "workflows", "ci.yml"))
        (self.job,) = self.workflow["jobs"].values()

    def test_one_file(self):
        found = sorted(os.listdir(os.path.join(ROOT, ".github", "workflows")))
        self.assertEqual(found, ["ci.yml"], "hold the new workflow against .ci/run as well")

    def test_same_commands(self):
        steps = self.job["steps"]
        (checkout,) = (at for at, step in enumerate(steps) if "uses" in step)
        self.assertRegex(steps[checkout]["uses"], r"\Aactions/checkout@v\d+\Z")
        # A bare system has no git, which the checkout needs; all else is the scripts' business.
        self.assertEqual([step["run"].split()[-1] for step in steps[:checkout]], ["git"])
        self.assertEqual([step.get("run") for step in steps[checkout + 1:]], self.commands)
        for step in steps:
            self.assertLessEqual(set(step), {"name", "run", "uses"}, "a condition, or another way")

    def test_commands_exist(self):
        self.assertTrue(self.commands)
        self.assertTrue(os.access(os.path.join(ROOT, ".ci", "run"), os.X_OK))
        for command in self.commands:
            with self.subTest(command=command):
                self.assertRegex(command, r"\A\./[\w./-]+( --?[\w-]+| [\w-]+)*\Z")
                program, *words = command.split()
                self.assertTrue(os.access(os.path.join(ROOT, program), os.X_OK))
                shown = output(os.path.join(ROOT, program), "--help")
                for word in words:
                    self.assertIn(word, shown)

    def test_both_releases(self):
        self.assertEqual(self.job["container"], "debian:${{ matrix.debian }}")
        wanted = re.search(r"\(Debian (\d+) or (\d+)\)", read("README.md")).groups()
        self.assertEqual(self.job["strategy"]["matrix"],
                         {"debian": [RELEASES[number] for number in wanted]})
        self.assertEqual(self.job["strategy"]["fail-fast"], "false")

    def test_nothing_is_skipped_or_given(self):
        self.assertEqual(self.job["env"], {"CI": "true"})
        self.assertEqual(self.workflow["permissions"], {"contents": "read"})
        self.assertEqual(self.workflow["on"], {"push": None, "pull_request": None})
        self.assertEqual(set(self.job), {"runs-on", "strategy", "container", "timeout-minutes",
                                         "env", "steps"})
        self.assertGreater(int(self.job["timeout-minutes"]), 0)

    def test_reader(self):
        """What the reader of these files takes and what it refuses."""
        self.assertEqual(plain_yaml.load('a:\n  b: c d\n  # x\n  e:\nf:\n  - "1"\n  - g: [h, i]\n'
                                         '    j: k\n'),
                         {"a": {"b": "c d", "e": None}, "f": ["1", {"g": ["h", "i"], "j": "k"}]})
        for text in ("", "  a: b", "a: b\na: c", "a: 'b'", "a: {b: c}", "a: |\n  b", "a: *b",
                     "a: b: c", "a: b # c", "a:\tb", "a: b ", "a:\n    b: c\n  d: e", "a: [b",
                     'a: "b', "a:b", "- a\nb: c", "a: b\n  c: d", "a\n"):
            with self.subTest(text=text), self.assertRaises(plain_yaml.Refused):
                plain_yaml.load(text)


class Version(unittest.TestCase):
    def setUp(self):
        header = read("include", "tlsmsg", "tlsmsg.h")
        (self.version,) = re.findall(r'^#define TLSMSG_VERSION "(\d+\.\d+\.\d+)"$', header, re.M)

    def test_one_place(self):
        """Written out in the header and in the changelog's headings; in no other file."""
        pattern = re.compile(rf"(?<![\w.]){re.escape(self.version)}(?!\w|\.\d)")
        found = set()
        for folder, below, names in os.walk(ROOT):
            top = folder == ROOT
            below[:] = [name for name in below if name not in (".git", "__pycache__")
                        and not (top and (name.startswith(("build", "cmake-build"))
                                          or name == "certs"))]
            for name in names:
                path = os.path.join(folder, name)
                if os.path.samefile(folder, BUILD) or not os.path.isfile(path):
                    continue
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if name == "CHANGELOG.md":
                    text = re.sub(r"(?m)^## .*$", "", text)
                if pattern.search(text):
                    found.add(os.path.relpath(path, ROOT))
        self.assertEqual(found, {os.path.join("include", "tlsmsg", "tlsmsg.h")})

    def test_build_and_packages(self):
        for program in ("tlsmsg-server", "tlsmsg-client"):
            words = output(os.path.join(BUILD, program), "--version")
            self.assertTrue(words.startswith(f"{program} {self.version} ("), words)
        for file, line in (("CPackConfig.cmake", f'set(CPACK_PACKAGE_VERSION "{self.version}")'),
                           ("packaging/tlsmsg.pc", f"Version: {self.version}"),
                           ("packaging/tlsmsgConfigVersion.cmake",
                            f'set(PACKAGE_VERSION "{self.version}")')):
            with self.subTest(file=file):
                self.assertIn(line, read(BUILD, *file.split("/")).splitlines())

    def test_changelog(self):
        """Newest first; what the header says is its newest version or one that is to come."""
        headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.M)
        self.assertTrue(headings)
        if headings[0] == "Unreleased":
            headings.pop(0)
            newest = None
        else:
            newest = self.version
        releases = []
        for heading in headings:
            match = re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", heading)
            self.assertIsNotNone(match, f"'{heading}' is not of the form X.Y.Z - YYYY-MM-DD")
            datetime.date.fromisoformat(match.group(2))
            releases.append((tuple(map(int, match.group(1).split("."))), match.group(2)))
        self.assertEqual(releases, sorted(releases, reverse=True))
        self.assertEqual(len({number for number, _ in releases}), len(releases), "twice")
        ours = tuple(map(int, self.version.split(".")))
        self.assertTrue(all(number <= ours for number, _ in releases), "of a version to come")
        if newest:
            self.assertEqual(releases[0][0], ours)

    def test_manuals(self):
        """They are of whatever version they come with."""
        for path in sorted(glob.glob(os.path.join(ROOT, "docs", "man", "*"))):
            with self.subTest(manual=os.path.basename(path)):
                self.assertRegex(read(path), r"(?m)^\.Os$")

    def test_release_section(self):
        text = section("Release")
        for word in ("`TLSMSG_VERSION`", "`include/tlsmsg/tlsmsg.h`", "`CHANGELOG.md`",
                     "TLSMSG_PACKAGER", "packaging/test-deb.sh"):
            self.assertIn(word, text)
        contact = re.search(r'set\(CPACK_PACKAGE_CONTACT "(.*)"\)',
                            read(BUILD, "CPackConfig.cmake")).group(1)
        cache = re.search(r"^TLSMSG_PACKAGER:STRING=(.*)$", read(BUILD, "CMakeCache.txt"), re.M)
        self.assertEqual(contact, cache.group(1))


def load_options_test(root):
    """tests/package/test_options.py as a module of its own, on another folder's texts."""
    spec = importlib.util.spec_from_file_location("options_under_test",
                                                  os.path.join(HERE, "test_options.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT = root
    return module


def try_options(root):
    """What becomes of its tests that are about options; and the files below root that it read."""
    module = load_options_test(root)
    suite, seen = unittest.TestSuite(), set()
    for case in (module.Server, module.Client):
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    Reads.into, Reads.root = seen, root + os.sep
    try:
        result = unittest.TestResult()
        suite.run(result)
    finally:
        Reads.into = None
    return result, seen


class Reads:
    """Where a test looks: the files that it opens or names to a program."""
    into, root = None, ""

    @classmethod
    def hook(cls, event, words):
        if cls.into is None or event not in ("open", "subprocess.Popen"):
            return
        for path in [words[0]] if event == "open" else words[1]:
            if isinstance(path, str) and path.startswith(cls.root):
                cls.into.add(os.path.relpath(path, cls.root))


class Checklist(unittest.TestCase):
    """The list of "Add an option"."""

    @classmethod
    def setUpClass(cls):
        sys.addaudithook(Reads.hook)

    def setUp(self):
        text = section("Add an option")
        self.items = dict(re.findall(r"^(\d)\. (.*)$", text, re.M))
        first, last, missing = re.search(
            r"`ctest -R package_options` compares (\d) to (\d) with .* (\d) lacks", text).groups()
        enforced = [str(at) for at in range(int(first), int(last) + 1)]
        self.places = self.files(enforced)
        self.complete = self.files([at for at in enforced if int(at) <= int(missing)])

    def files(self, items):
        found = set()
        for path in paths("\n".join(self.items[at] for at in items)):
            full = os.path.join(ROOT, path)
            found |= {f"{path}/{name}" for name in os.listdir(full)} if os.path.isdir(full) \
                else {path}
        return found

    def copy(self):
        folder = os.path.realpath(tempfile.mkdtemp(prefix="tlsmsg-options-"))
        self.addCleanup(shutil.rmtree, folder)
        for name in ("docs", "packaging"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(folder, name))
        shutil.copy(os.path.join(ROOT, "README.md"), folder)
        return folder

    def unbroken(self, folder):
        """How it is before anything is changed; without that nothing would be shown below."""
        result, seen = try_options(folder)
        bad = [case.id() for case, _ in result.failures + result.errors]
        self.assertEqual(bad, [], "test_options.py fails by itself: that comes first")
        self.assertGreater(result.testsRun, 10)
        return result, seen

    def test_every_path_exists(self):
        self.assertEqual(sorted(self.items), [str(at + 1) for at in range(len(self.items))])
        for path in paths(read("docs", "CONTRIBUTING.md")):
            if path.startswith("."):
                path = path.removeprefix("./")
            self.assertTrue(os.path.exists(os.path.join(ROOT, path)), path)

    def test_names_what_the_test_reads(self):
        """No place is enforced that the list does not name, and none named that is not."""
        _, seen = self.unbroken(self.copy())
        self.assertEqual(seen, self.places)

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_each_place_is_enforced(self):
        """An option that a place calls something else, or does not have at all."""
        folder = self.copy()
        self.unbroken(folder)
        for place in sorted(self.places):
            path = os.path.join(folder, place)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            broken = {"differs": re.sub(r"\bquiet\b", "quyet", text)}
            if place in self.complete:
                broken["lacks"] = re.sub(r"(?m)^.*\bquiet\b.*\n", "", text, count=1)
                if place.endswith(".bash"):
                    broken["lacks"] = re.sub(r"-q --quiet ?|--quiet ?", "", text)
            for how, changed in broken.items():
                with self.subTest(place=place, how=how):
                    self.assertNotEqual(changed, text)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(changed)
                    result, _ = try_options(folder)
                    self.assertFalse(result.wasSuccessful())
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def test_rows(self):
        """Where --help has its options from."""
        for program in ("server", "client"):
            path = f"src/app/{program}/options.c"
            self.assertIn(path, self.files(["2"]))
            shown = re.findall(r"^  (?:-\w, |    )--([a-z0-9-]+)",
                               output(os.path.join(BUILD, f"tlsmsg-{program}"), "--help"), re.M)
            self.assertGreater(len(shown), 10)
            text = read(path) + read("src", "options", "table.c")
            for name in shown:
                self.assertIn(f'"{name}"', text)


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
