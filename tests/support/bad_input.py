"""What the bad-input tests share: the program must end by itself, with one clear line.

What differs between the builds is asked of --version, never of the test run.
"""

import functools
import subprocess

from certificates import default_certificates
from harness import ProgramTest
from processes import Program
from settings import is_plaintext, program


def _only(plaintext, why):
    def decorate(test):
        @functools.wraps(test)
        def wrapper(self):
            if is_plaintext() != plaintext:
                self.skipTest(why)
            test(self)
        return wrapper
    return decorate


# For tests of what the other build has nothing of.
tls_only = _only(False, "of the TLS build")
plaintext_only = _only(True, "of the plaintext build")

# Ways to say that something was not there in time, and that stdout takes no more.
TIMED_OUT = ("time", "within")
STDOUT = ("output", "stdout", "transcript")


class BadInput(ProgramTest):
    def good_server_words(self):
        if is_plaintext():
            return []
        made = default_certificates()
        return ["--cert", made.server, "--key", made.server_key]

    def good_client_words(self):
        return [] if is_plaintext() else ["--ca", default_certificates().ca]

    def fails(self, name, words, expect, *says):
        """The program ends by itself: exit code, nothing on stdout, one line that names things."""
        running = self.keep(Program([*program(name), *words], stdin=subprocess.DEVNULL, name=name))
        running.finish(expect, limit=10)
        self.assertEqual(running.stdout.bytes(), b"")
        self.assert_one_line(running.stderr.bytes(), f"{name}: ", *says)
        return running.stderr.bytes().decode()

    def server_fails(self, words, expect, *says):
        return self.fails("tlsmsg-server", [*self.good_server_words(), *words], expect, *says)

    def client_fails(self, words, expect, *says):
        return self.fails("tlsmsg-client", [*self.good_client_words(), *words], expect, *says)
