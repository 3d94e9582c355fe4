"""The version stands in one place, and everything else has it from there. The guide for contributors
names what there is."""

import datetime
import glob
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
SECONDS = 60
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
        if headings[0] == "[Unreleased]":
            headings.pop(0)
            newest = None
        else:
            newest = self.version
        releases = []
        for heading in headings:
            match = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading)
            self.assertIsNotNone(match, f"'{heading}' is not of the form [X.Y.Z] - YYYY-MM-DD")
            datetime.date.fromisoformat(match.group(2))
            releases.append((tuple(map(int, match.group(1).split("."))), match.group(2)))
        self.assertEqual(releases, sorted(releases, reverse=True))
        self.assertEqual(len({number for number, _ in releases}), len(releases), "twice")
        ours = tuple(map(int, self.version.split(".")))
        self.assertTrue(all(number <= ours for number, _ in releases), "of a version to come")
        if newest:
            self.assertEqual(releases[0][0], ours)

    def test_changelog_kinds(self):
        """Under the headings of Keep a Changelog, an entry a line, what breaks first."""
        for version in re.split(r"^## .*$", read("CHANGELOG.md"), flags=re.M)[1:]:
            kinds = re.findall(r"^### (.*)$", version, re.M)
            self.assertTrue(kinds)
            self.assertEqual(len(set(kinds)), len(kinds), "twice")
            self.assertLessEqual(set(kinds), {"Added", "Changed", "Deprecated", "Removed", "Fixed",
                                              "Security"})
            for part in re.split(r"^### .*\n", version, flags=re.M)[1:]:
                entries = part.split("\n")
                self.assertEqual([], [one for one in entries if one and not one.startswith("- ")])
                breaks = [one.startswith("- **Breaking**") for one in entries if one]
                self.assertEqual(breaks, sorted(breaks, reverse=True))
            if "**Breaking**" in version:
                self.assertEqual(kinds[0], "Changed")

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


class Guide(unittest.TestCase):
    def test_every_path_exists(self):
        """The guide for contributors names files that are there."""
        named = paths(read("docs", "CONTRIBUTING.md"))
        self.assertGreater(len(named), 10)
        for path in named:
            self.assertTrue(os.path.exists(os.path.join(ROOT, path.removeprefix("./"))), path)


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
