"""The conversations that the document's own two programs get right, and what they must look like.

Used twice: against the goldens computed here from the texts, and against the document's programs
themselves (test_document_pairing.py). A chunk of stdin is written when the client prompts for it.
"""

from dataclasses import dataclass

import texts

RECEIVE = 1024
LONGEST = 988


@dataclass(frozen=True)
class Case:
    name: str
    chunks: tuple

    @property
    def lines(self):
        """As Python's input() on Linux cuts them: at line feeds alone, the last may lack one."""
        whole = b"".join(self.chunks)
        lines = whole.split(b"\n")
        return lines if lines[-1] else lines[:-1]

    @property
    def prompts(self):
        """How many prompts are out once each chunk has been dealt with."""
        counts, seen = [], 1
        for chunk in self.chunks:
            seen += chunk.count(b"\n")
            counts.append(seen)
        return counts


@dataclass(frozen=True)
class Conversation:
    """What a case must look like: stdout of both, messages, and the bytes in both directions."""

    client: bytes
    messages: tuple
    to_server: bytes
    to_client: bytes

    def server(self, port):
        """The server's stdout; the client's port is all that differs from run to run."""
        return (texts.waiting() + texts.connected(port)
                + b"".join(texts.message(message) for message in self.messages))


def _case(name, *lines):
    """Lines written one by one as the client prompts."""
    return Case(name, tuple(lines))


CHINESE_987 = "消".encode() * 329

CASES = (
    _case("ASCII", b"hello\n", b"exit\n"),
    _case("Chinese", "你好，世界\n".encode(), b"exit\n"),
    _case("emoji", "😀 👩‍👩‍👧 ok\n".encode(), b"exit\n"),
    _case("leading and trailing spaces", b"  two before, three after   \n", b"exit\n"),
    _case("a space alone", b" \n", b"exit\n"),
    _case("a tab", b"\tx\ty\t\n", b"exit\n"),
    _case("exit with a space", b"exit \n", b" exit\n", b"exit\n"),
    _case("EXIT", b"EXIT\n", b"Exit\n", b"exit\n"),
    _case("quotes", b"'single' \"double\" `back`\n", b"exit\n"),
    _case("percent signs", b"100% %s %d %n %%\n", b"exit\n"),
    _case("backslashes", b"a\\nb \\x41 \\\\ \\\n", b"exit\n"),
    _case("braces", b"{message} {} {0}\n", b"exit\n"),
    _case("CR inside", b"a\rb\n", b"exit\n"),
    _case("CR at the end", b"a\r\n", b"\r\n", b"exit\n"),
    _case("exit with CR is a message", b"exit\r\n", b"exit\n"),
    _case("CR, then end of file", b"a\r"),
    _case("control characters", b"\x01\x1b[31mred\x1b[0m\x07\x7f\n", b"exit\n"),
    _case("NUL inside", b"a\0b\n", b"exit\n"),
    _case("line separators of Unicode", "a\u2028b\u0085c\x0b\x0c\n".encode(), b"exit\n"),
    _case("byte order mark", "\ufeffx\n".encode(), b"exit\n"),
    _case("combining and right-to-left", "e\u0301 \u202eabc\u202c\n".encode(), b"exit\n"),
    _case("highest code point", "\U0010ffff\n".encode(), b"exit\n"),
    _case("one byte", b"x\n", b"exit\n"),
    _case("988 bytes of ASCII", b"a" * LONGEST + b"\n", b"exit\n"),
    _case("988 bytes of Chinese", CHINESE_987 + b"!\n", b"exit\n"),
    _case("many lines", *(b"line %d\n" % number for number in range(20)), b"exit\n"),
    _case("all lines at once", b"one\ntwo\nthree\nexit\n"),
    _case("lines after exit stay unread", b"one\nexit\ntwo\n"),
    _case("exit alone", b"exit\n"),
    _case("end of file instead of exit", b"hello\n"),
    _case("end of file within a line", b"hello\nworld"),
    _case("exit without a line end", b"exit"),
    _case("end of file at once"),
)

# Beyond 988 bytes a reply passes 1024: one line with a pause after it is all that is determined.
LONG_CASES = tuple(
    _case(f"{size} bytes", b"0123456789abcdef" * (size // 16) + b"x" * (size % 16) + b"\n", end)
    for size, end in ((989, b"exit\n"), (1000, b""), (1023, b"exit\n"), (1024, b"exit\n"),
                      (1025, b"exit\n"), (2048, b""), (2500, b"exit\n"), (5000, b"exit\n")))

# Several such lines: the joined bytes are equal, the cuts may differ.
LONG_LINES = _case("three lines beyond 1024", *(letter * 1400 + b"\n" for letter in
                                                (b"a", b"b", b"c")), b"exit\n")


def messages_of(line):
    """How a server that receives line in one piece cuts it."""
    return [line[at:at + RECEIVE] for at in range(0, len(line), RECEIVE)]


def conversation(case):
    """The golden of a case."""
    client, messages, to_server, to_client = b"", [], b"", b""
    for line in case.lines:
        client += texts.prompt()
        if not line:
            continue
        cuts = messages_of(line)
        replies = b"".join(texts.reply(cut) for cut in cuts)
        messages += cuts
        to_server += line
        to_client += replies
        if line == b"exit":
            break
        client += texts.shown_reply(replies[:RECEIVE])
    else:
        client += texts.prompt()
    return Conversation(client, tuple(messages), to_server, to_client)
