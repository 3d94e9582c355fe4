"""scripts/check-style.sh sees what it is there for: each rule fails on a breach planted in a copy of
the tree, and names it. A rule that finds nothing proves nothing."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CC = os.environ.get("TLSMSG_CC", "cc")
SECONDS = 120

# Rule, file, what is put at its end, what the rule says of it. Of one rule several rows where it
# looks for several things; or one with all of them, where a look takes seconds.
ROWS = (
    ("floors", "src/base/clock.c", '#include "net/loop.h"\n', "a sibling or a higher floor"),
    ("floors", "src/app/terminal.c", '#include "app/client/report.h"\n', "the other wing"),
    ("floors", "src/app/client/report.c", '#include "server/stats.h"\n', "not a public header"),
    ("floors", "src/app/client/report.c", '#include "store/store.h"\n', "a sibling"),
    ("floors", "src/store/planted.c", '#include "net/loop.h"\n', "not a public header"),
    ("floors", "src/store/planted.c", '#include "app/args.h"\n', "a sibling"),
    ("floors", "src/client/client.c", '#include "server/stats.h"\n', "a sibling"),
    ("floors", "src/net/loop.c", '#include <tlsmsg/tls.h>\n', "a public header of a higher floor"),
    ("floors", "src/net/loop.c", "#include <openssl/ssl.h>\n", "OpenSSL outside"),
    ("floors", "src/server/server.c", "#include <sys/epoll.h>\n", "outside src/net/loop.c"),
    ("floors", "src/server/server.c", "#include <linux/sockios.h>\n", "a header of the kernel"),
    ("floors", "src/attic/planted.c", "int planted;\n", "no floor is known"),
    ("conditionals", "src/net/loop.c", "#ifdef NDEBUG\n#endif\n", "src/net/loop.c"),
    ("lengths", "src/net/loop.c", "\n" * 600, "over 600 lines"),
    ("headers", "src/base/clock.h", "int planted(int a,\n            int b);\n",
     "src/base/clock.h:"),
    ("headers", "src/base/planted.h", "int clock_planted(void);\n", "in no file"),
    ("sizes", "src/net/planted.h", "int a;\n" * 3000, "over the budget"),
    ("sizes", "src/attic/planted.c", "int a;\n", "no budget is known"),
    ("constants", "src/net/planted.h", "#define CLOCK_NS_PER_MS 7\n", "CLOCK_NS_PER_MS, as in"),
    ("forms", "src/base/planted.c", "#include <stdlib.h>\n#include <string.h>\n"
     "int f(int a);\nint f(int a)\n{\n    a++;\n    int b = a;\n\n    return b;\n}\n"
     "char *g(const char *a);\nchar *g(const char *a)\n{\n    return (char *)a;\n}\n"
     "void h(char *a);\nvoid h(char *a)\n{\n    (void)memset(a, 0, 1);\n}\n"
     "char *i(void);\nchar *i(void)\n{\n    char *a = (char *)malloc(1);\n\n    return a;\n}\n",
     ("mixed declarations", "discards", "memset", "malloc")),
    ("texts", "src/base/clock.c", '/* */ static const char s[] = "\'%s\' is no number";\n',
     "is no number"),
    ("texts", "src/base/clock.c", '/* */ static const char s[] = "wrong; ways' ' on: --ca";\n',
     "wrong; ways"),
    ("glossary", "src/base/planted.h", "/* of a frame */\n", "frame: /* of a frame */"),
    ("glossary", "src/server/planted.h", "void admission_enter(void);\n", "admission: "),
    ("words", "src/base/clock.c", "/* FIX" "ME */\n", "src/base/clock.c"),
)


class Breaches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-style-"))
        cls.addClassCleanup(shutil.rmtree, cls.tree)
        for name in ("docs", "include", "packaging", "scripts", "src", "tests"):
            shutil.copytree(ROOT / name, cls.tree / name,
                            ignore=shutil.ignore_patterns("__pycache__", "integration", "bench"))
        for name in ("README.md", ".clang-format"):
            shutil.copy(ROOT / name, cls.tree)

    def style(self, *words):
        done = subprocess.run([self.tree / "scripts" / "check-style.sh", *words], cwd=self.tree,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                              encoding="utf-8", check=False, env={**os.environ, "CI": ""})
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def planted(self, path, text):
        """Puts the text at the file's end until the test is over."""
        file = self.tree / path
        before = file.read_bytes() if file.exists() else None
        file.parent.mkdir(exist_ok=True)
        with open(file, "a", encoding="utf-8") as out:
            out.write(text)
        return before

    def restore(self, path, before):
        file = self.tree / path
        if before is not None:
            file.write_bytes(before)
            return
        file.unlink()
        if not any(file.parent.iterdir()):
            file.parent.rmdir()

    @staticmethod
    def tells(out, path, says):
        """Whether a line of the output says that of the file's folder, or of a file in it."""
        folder = str(pathlib.PurePath(path).parent)
        return any(folder in line and says in line for line in out.splitlines())

    def test_each_rule_sees_its_breach(self):
        clean = {rule: self.style(rule)[1] for rule in {row[0] for row in ROWS}}
        for rule, path, text, says in ROWS:
            says = (says,) if isinstance(says, str) else says
            with self.subTest(rule=rule, path=path, says=says):
                for words in says:
                    self.assertFalse(self.tells(clean[rule], path, words), clean[rule])
                before = self.planted(path, text)
                try:
                    status, out = self.style(rule)
                finally:
                    self.restore(path, before)
                self.assertEqual(status, 1)
                self.assertIn(f"check-style.sh: {rule}: ", out)
                for words in says:
                    self.assertTrue(self.tells(out, path, words), out)

    def test_what_is_allowed(self):
        """The store is a floor's own: the server's program may use it, and it base and headers."""
        for path, text in (("src/app/server/main.c", '#include "store/store.h"\n'),
                           ("src/store/planted.c", '#include "base/clock.h"\n'),
                           ("src/store/planted.c", '#include <tlsmsg/server.h>\n')):
            with self.subTest(path=path):
                before = self.planted(path, text)
                try:
                    self.assertEqual(self.style("floors")[0], 0)
                finally:
                    self.restore(path, before)

    def test_small_rooms(self):
        planted = [f"src/net/planted{at}.c" for at in range(40)]
        for path in planted:
            self.planted(path, "int a;\n")
        try:
            status, out = self.style("sizes")
        finally:
            for path in planted:
                self.restore(path, None)
        self.assertEqual(status, 1)
        self.assertIn("src/net: half of its .c files have at most 1 lines", out)

    @unittest.skipUnless(shutil.which("nm"), "nm is not installed")
    def test_rings(self):
        """Two files that call each other, and two of which only one calls."""
        for ring in (True, False):
            with self.subTest(ring=ring), tempfile.TemporaryDirectory() as build:
                at = pathlib.Path(build) / "src" / "CMakeFiles" / "x.dir" / "net"
                at.mkdir(parents=True)
                for name, other, calls in (("a", "b", True), ("b", "a", ring)):
                    code = f"void {other}(void); void {name}(void); void {name}(void) {{ "
                    subprocess.run([CC, "-xc", "-", "-c", "-o", at / f"{name}.c.o"], check=True,
                                   input=(code + f"{other}();" * calls + " }").encode())
                status, out = self.style("--objects", build, "rings")
                self.assertEqual(status, int(ring), out)
                if ring:
                    self.assertIn("check-style.sh: rings: ", out)
                    self.assertIn("src/net/a.c\n  src/net/b.c\n", out)

    def test_a_failure_ends_with_1_and_a_wrong_rule_with_2(self):
        done = subprocess.run([self.tree / "scripts" / "check-style.sh", "nonsense"],
                              capture_output=True, timeout=SECONDS, encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("'nonsense'", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
