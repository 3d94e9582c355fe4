"""openssl s_client as a peer: it verifies the server strictly, and its exit status counts.

Without -quiet its command letters are on, so a line given to say() begins with none of Q, R, K, k.
A test that means a command writes the letter on a line, and by itself: s_client looks at the first
byte of what it reads.
"""

import re
import subprocess

import texts
from processes import Program


class SClient(Program):
    def __init__(self, port, *options, ca, server_name="localhost"):
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca,
                 "-verify_return_error", "-verify_hostname", "localhost"]
        words += ["-servername", server_name] if server_name else ["-noservername"]
        super().__init__([*words, *options], stdin=subprocess.PIPE, name="openssl s_client")

    def say(self, line):
        """Sends a line and waits for its reply."""
        assert line[:1] not in (b"Q", b"R", b"K", b"k") and line.endswith(b"\n")
        self.write(line)
        self.stdout.wait_for(texts.reply(line))

    def leave(self, expect=0):
        """End of file on stdin: s_client sends close_notify and ends."""
        self.close_stdin()
        return self.finish(expect)

    def told(self, pattern):
        """What s_client printed about the connection: the pattern's first group."""
        found = re.search(pattern, self.stdout.bytes())
        return found[1].decode() if found else None

    @property
    def version_and_cipher(self):
        """("New" or "Reused", version, cipher) of the handshake."""
        found = re.search(rb"^(New|Reused), (\S+), Cipher is (\S+)$", self.stdout.bytes(),
                          re.MULTILINE)
        if not found:
            raise AssertionError(f"s_client told no cipher: {self.stdout.bytes()[-2000:]!r}")
        return tuple(part.decode() for part in found.groups())

    def alert(self):
        """The number of the alert that ended the handshake, or None."""
        found = re.search(rb"SSL alert number (\d+)", self.stderr.bytes())
        return int(found[1]) if found else None
