"""The public headers as a manual: each function's comment names every parameter, says what it
returns and from which thread it may be called. The list of exported symbols and tlsmsg(3) have
exactly these functions, and tlsmsg(3) all error codes."""

import glob
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

DECLARATION = re.compile(
    r"^TLSMSG_API\s+(?P<type>[\w\s]+?[\s*]+)(?P<name>tlsmsg_\w+)\((?P<parameters>[^;]*?)\);",
    re.M | re.S)
COMMENT = re.compile(r"/\*(?P<text>(?:[^*]|\*(?!/))*)\*/\s*\Z")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def parameter_names(text):
    """Names in a parameter list without function pointers, of which there are none."""
    text = " ".join(text.split())
    if text in ("void", ""):
        return []
    return [re.search(r"(\w+)\s*(?:\[\w*\])?$", one).group(1) for one in text.split(",")]


def declarations(text):
    """(name, returns something, parameters, comment) of each function. Declarations that follow
    one another without a blank line share the comment above the first."""
    end, comment = 0, ""
    for match in DECLARATION.finditer(text):
        between = text[end:match.start()]
        found = COMMENT.search(between)
        if found:
            comment = re.sub(r"\n \* ?", "\n", found.group("text"))
        elif between != "\n":
            comment = ""
        end = match.end()
        yield (match.group("name"), match.group("type").strip() != "void",
               parameter_names(match.group("parameters")), comment)


def explains(comment, parameter):
    """The comment has "parameter:", or the parameter in a list such as "data, len:"."""
    return re.search(rf"(?:^|[\s(])(?:\w+, )*{parameter}(?:, \w+)*:\s", comment) is not None


class Headers(unittest.TestCase):
    def setUp(self):
        self.functions = []
        for path in sorted(glob.glob(os.path.join(ROOT, "include", "tlsmsg", "*.h"))):
            self.functions += declarations(read(path))

    def test_every_declaration_is_seen(self):
        seen = {name for name, _, _, _ in self.functions}
        for path in glob.glob(os.path.join(ROOT, "include", "tlsmsg", "*.h")):
            marked = re.findall(r"^TLSMSG_API\b", read(path), re.M)
            own = list(declarations(read(path)))
            self.assertEqual(len(marked), len(own), f"declarations in {path} that are not read")
        self.assertGreater(len(seen), 30)

    def test_comments(self):
        for name, has_result, parameters, comment in self.functions:
            with self.subTest(function=name):
                self.assertTrue(comment, "no comment")
                for parameter in parameters:
                    self.assertTrue(explains(comment, parameter),
                                    f"parameter '{parameter}' is not explained")
                if has_result:
                    self.assertRegex(comment, r"\b[Rr]eturns\b")
                self.assertIn("Thread rule:", comment)

    def test_symbol_list(self):
        self.assertEqual(sorted(name for name, _, _, _ in self.functions),
                         read("packaging", "symbols.txt").split())

    def test_manual(self):
        manual = read("docs", "man", "tlsmsg.3")
        synopsis = manual.split(".Sh DESCRIPTION")[0]
        documented = re.findall(r"^\.Fo (tlsmsg_\w+)$", synopsis, re.M)
        self.assertEqual(sorted(name for name, _, _, _ in self.functions), sorted(documented))
        codes = set(re.findall(r"\bTLSMSG_ERR_\w+", read("include", "tlsmsg", "error.h")))
        self.assertEqual(codes, set(re.findall(r"^\.It Dv (TLSMSG_ERR_\w+)", manual, re.M)))


class TheTestItself(unittest.TestCase):
    """Faults that it must find."""

    def test_faults(self):
        good = "/* Does.\n * a: one; b, c: two.\n * Returns x. Thread rule: any. */\n"
        line = "TLSMSG_API int tlsmsg_f(int a,\n    const char *b, size_t c);\n"
        (_, has_result, parameters, comment), = declarations(good + line)
        self.assertTrue(has_result)
        self.assertEqual(parameters, ["a", "b", "c"])
        self.assertTrue(all(explains(comment, one) for one in parameters))
        self.assertFalse(explains(comment, "d"))
        (_, _, _, comment), = declarations("int other;\n\n" + line)
        self.assertEqual(comment, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
