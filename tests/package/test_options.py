"""One list of options: what each program's --help shows is in its manual, in docs/options.md and in
the completions of three shells, with the same short forms and values; nothing is there that --help
does not show. What the README names is there. Manuals are clean."""

import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
PROGRAMS = ("tlsmsg-server", "tlsmsg-client")
# In builds that have it.
STORE = "tlsmsg-store"
HAS_STORE = os.path.exists(os.path.join(BUILD, STORE))
# Under the names that they have when installed.
SCRIPTS = {"tlsmsg-certs": "gen-certs.sh", "tlsmsg-ticket-keys": "rotate-ticket-keys.sh"}
SECONDS = 30


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          encoding="utf-8", check=True).stdout


def help_of(program):
    """What --help prints, each option's text on its line."""
    script = SCRIPTS.get(program)
    text = run(os.path.join(ROOT, "scripts", script) if script else os.path.join(BUILD, program),
               "--help")
    return re.sub(r"\n {16,}", " ", text) if script else text


def help_options(program):
    """{long name: (short letter or "", value or "")} as --help shows them."""
    options = {}
    for line in help_of(program).splitlines():
        match = re.match(r"  (?:-(\w), |    )--([a-z0-9-]+)(?: (\S+))?(?: {1,}\S.*)$", line)
        if match:
            options[match.group(2)] = (match.group(1) or "", match.group(3) or "")
    return options


def help_texts(program):
    """{long name: what --help says of it}."""
    spaces = "{1,}" if program in SCRIPTS else "{2,}"
    return dict(re.findall(rf"^  (?:-\w, |    )--([a-z0-9-]+)(?: \S+)? {spaces}(\S.*)$",
                           help_of(program), re.M))


def form(name, letter, value):
    """An option as tables show it."""
    return (f"-{letter}, " if letter else "") + f"--{name}" + (f" {value}" if value else "")


def table_rows(text):
    """The first cells of a text's Markdown tables, as lists of their code spans."""
    rows = []
    for line in text.splitlines():
        match = re.match(r"\| (.*?[^\\]) \|", line)
        if match and "`-" in match.group(1):
            spans = re.findall("`([^`]*)`", match.group(1))
            rows.append([one.replace("\\|", "|") for one in spans])
    return rows


class Options:
    """The tests of one program; mixed into a TestCase for each."""
    program = ""

    def setUp(self):
        self.options = help_options(self.program)
        self.assertIn("help", self.options)
        self.forms = {form(name, *rest) for name, rest in self.options.items()}

    def facts(self):
        """{name: (short letter, takes a value)}, for what doesn't show how values are called."""
        return {name: (letter, bool(value)) for name, (letter, value) in self.options.items()}

    def test_manual(self):
        found = {}
        for line in re.findall(r"^\.It (Fl .*)$", read("docs", "man", self.program + ".1"), re.M):
            match = re.match(r"(?:Fl (\w) , )?Fl Fl ([a-z0-9-]+)( .+)?$", line)
            self.assertIsNotNone(match, line)
            self.assertNotIn(match.group(2), found, "twice")
            found[match.group(2)] = (match.group(1) or "", bool(match.group(3)))
        self.assertEqual(found, self.facts())

    def test_option_table(self):
        section = re.search(rf"^## {self.program}$(.*?)(?=^## |\Z)", read("docs", "options.md"),
                            re.M | re.S)
        rows = [one for row in table_rows(section.group(1)) for one in row]
        self.assertEqual(sorted(rows), sorted(self.forms))

    def test_zsh(self):
        text = read("packaging", "completions", "_" + self.program)
        self.assertTrue(text.startswith(f"#compdef {self.program}\n"))
        found, texts = {}, {}
        for line in text.splitlines():
            match = re.search(r"(?:\{-(\w)\+?,)?--([a-z0-9-]+)(=?)(?:\}')?\[(.*?)\]", line)
            if match:
                found[match.group(2)] = (match.group(1) or "", match.group(3) == "=")
                texts[match.group(2)] = match.group(4).replace("'\\''", "'").replace("\\:", ":")
        self.assertEqual(found, self.facts())
        self.assertEqual(texts, help_texts(self.program))

    def test_fish(self):
        found, texts = {}, {}
        for line in read("packaging", "completions", self.program + ".fish").splitlines():
            match = re.match(rf"complete -c {self.program}(?: -s (\w))? -l ([a-z0-9-]+)( -[rx]\b)?"
                             r".* -d '(.*)'$", line)
            if match:
                found[match.group(2)] = (match.group(1) or "", bool(match.group(3)))
                texts[match.group(2)] = match.group(4).replace("\\'", "'")
        self.assertEqual(found, self.facts())
        self.assertEqual(texts, help_texts(self.program))

    def complete(self, *words):
        """What bash's completion offers for the last of the words."""
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '"_${1//-/_}"; printf "%s\\n" "${COMPREPLY[@]}"')
        file = os.path.join(ROOT, "packaging", "completions", self.program + ".bash")
        return run("bash", "--norc", "-c", script, "bash", file, self.program, *words).split()

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_bash(self):
        names = {f"--{name}" for name in self.options}
        letters = {f"-{letter}" for letter, _ in self.options.values() if letter}
        self.assertEqual(sorted(self.complete("-")), sorted(names | letters))
        self.assertEqual(sorted(self.complete("--hel")), ["--help"])
        for name, (letter, value) in self.options.items():
            with self.subTest(option=name):
                for word in [f"--{name}"] + ([f"-{letter}"] if letter else []):
                    offered = self.complete(word, "-")
                    self.assertEqual(names <= set(offered), not value, offered)
                if "|" in value:
                    self.assertEqual(self.complete(f"--{name}", ""), value.split("|"))
                    self.assertEqual(self.complete(f"--{name}", "=", value[0]),
                                     [one for one in value.split("|") if one[0] == value[0]])


class Readme(unittest.TestCase):
    """The options that the READMEs name are options of a program."""

    def test_names(self):
        known = set()
        for program in ("tlsmsg-server", "tlsmsg-client"):
            for name, (letter, _) in help_options(program).items():
                known |= {f"--{name}", f"-{letter}"}
        for path in (("README.md",), ("docs", "README.zh-CN.md")):
            with self.subTest(file=path[-1]):
                section = re.search(r"^## (?:Options and exit codes|选项与退出码)$(.*?)(?=^## )", read(*path), re.M | re.S)
                named = re.findall(r"`(--?[a-z][a-z-]*)", section.group(1))
                self.assertGreater(len(named), 4)
                self.assertEqual([], sorted(set(named) - known))


class Server(Options, unittest.TestCase):
    program = "tlsmsg-server"


class Client(Options, unittest.TestCase):
    program = "tlsmsg-client"


@unittest.skipUnless(HAS_STORE, "this build has no store")
class Store(Options, unittest.TestCase):
    program = STORE

    def test_commands(self):
        """Those of --help, in the manual and the completions."""
        commands = ["list", "tail", "export", "verify", "prune", "backup", "init"]
        for command in commands:
            self.assertRegex(help_of(STORE), rf"\b{command} \(")
        self.assertEqual(self.complete(""), commands)
        manual = read("docs", "man", "tlsmsg-store.1")
        self.assertEqual(re.findall(r"^\.It Cm (\w+)$", manual, re.M), commands)
        for name in ("_tlsmsg-store", "tlsmsg-store.fish"):
            self.assertIn(" ".join(commands), read("packaging", "completions", name))


class Certificates(Options, unittest.TestCase):
    program = "tlsmsg-certs"

    def test_commands(self):
        """Those of --help, in the manual and the completions."""
        commands = [line.split()[1].strip("[]") for line in help_of(self.program).split("\n\n")[0]
                    .replace("Usage:", "").splitlines()]
        self.assertEqual(self.complete(""), commands)
        manual = read("docs", "man", "tlsmsg-certs.1")
        self.assertEqual(re.findall(r"^\.It Cm (\w+)$", manual, re.M), commands)
        for name in ("_tlsmsg-certs", "tlsmsg-certs.fish"):
            text = read("packaging", "completions", name)
            self.assertEqual(re.findall(r"(?<=[ (])(\w+)(?=\\:\")|(?<= -a )(\w+)(?= -d)", text),
                             [(one, "") if name[0] == "_" else ("", one) for one in commands])


class TicketKeys(Options, unittest.TestCase):
    program = "tlsmsg-ticket-keys"


class Manuals(unittest.TestCase):
    def test_options_in_prose(self):
        """An option that a manual names in passing exists."""
        programs = (*PROGRAMS, *SCRIPTS, *([STORE] if HAS_STORE else []))
        known = set().union(*(help_options(program) for program in programs))
        for path in sorted(glob.glob(os.path.join(ROOT, "docs", "man", "*"))):
            with self.subTest(manual=os.path.basename(path)):
                if os.path.basename(path) == "tlsmsg-store.1" and not HAS_STORE:
                    continue
                named = set(re.findall(r"\bFl Fl ([a-z0-9-]+)", read(path)))
                self.assertEqual([], sorted(named - known))

    def test_exit_codes(self):
        """The client's manual explains all codes; the server's those that it has."""
        table = read("README.md").split("## Options and exit codes")[1].split("\n## ")[0]
        codes = re.findall(r"^\| (\d) \|", table, re.M)
        for program, wanted in (("tlsmsg-client", codes), ("tlsmsg-server", codes[:3]),
                                (STORE, codes[:3])):
            section = read("docs", "man", program + ".1").split(".Sh EXIT STATUS")[1]
            self.assertEqual(re.findall(r"^\.It (\d)$", section.split(".Sh ")[0], re.M), wanted)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc(self):
        for path in sorted(glob.glob(os.path.join(ROOT, "docs", "man", "*"))):
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", path], capture_output=True,
                                  timeout=SECONDS, encoding="utf-8", check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""), path)


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
