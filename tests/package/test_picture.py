"""The picture in the README shows a session that is really played: scripts/picture.sh plays it
again, and what it says is what the picture says, but for times and ports."""

import html
import os
import pty
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from test_readme import BUILD, ROOT, SECONDS, enter_namespace, read

COLUMNS = 80


def without_chance(text):
    text = re.sub(r"\d{4}-\d\d-\d\d  ?\d\d:\d\d:\d\d", "TIME", text)
    return re.sub(r"(127\.0\.0\.1):(?!12345)\d+", r"\1:PORT", text)


def drawn():
    """The lines of the picture, from the top."""
    text = read("docs", "session.svg")
    shapes = dict(re.findall(r'<g id="(g\d+)">(.*?)</g>', text))
    rows = [(float(y), shapes[shape])
            for shape, y in re.findall(r'<use xlink:href="#(g\d+)" y="([\d.]+)"', text)]
    lines = [html.unescape(re.sub("<[^>]*>", "", row)).rstrip() for _, row in sorted(rows)]
    return [line for line in lines if line]


def played():
    """What the session says at a terminal of as many columns."""
    leader, follower = pty.openpty()
    with subprocess.Popen([os.path.join(ROOT, "scripts", "picture.sh"), "--play"],
                          stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                          env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}) as session:
        os.close(follower)
        signal.alarm(SECONDS)
        said = b""
        try:
            while data := os.read(leader, 65536):
                said += data
        except OSError:
            pass  # how a pseudo-terminal tells that nobody writes to it any more
        signal.alarm(0)
        os.close(leader)
        code = session.wait(SECONDS)
    # Of work that takes longer than a second, the client shows how far it is, and wipes that out.
    text = re.sub(r"\r[^\r\n]*\x1b\[K", "", said.decode().replace("\r\n", "\n"))
    lines = text.splitlines()
    return code, [line[at:at + COLUMNS].rstrip() for line in lines
                  for at in range(0, max(len(line), 1), COLUMNS)]


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "tlsmsg-store")), "built without a store")
class Picture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            enter_namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespace: {error.strerror}") from error

    def test_is_what_happens(self):
        code, lines = played()
        self.assertEqual(code, 0, lines)
        self.assertEqual([without_chance(line) for line in lines if line],
                         [without_chance(line) for line in drawn()])


if __name__ == "__main__":
    unittest.main(verbosity=2)
