"""The conversation's texts, and the escaping rule, written down a second time for the tests.

Nothing here is taken from the programs: a text that changes there must fail here.
"""

import re

from settings import is_plaintext

REPLY = "你好，我已收到你的消息：".encode()

SERVER = {
    "zh": {"waiting": "等待客户端连接...", "connected": "已连接客户端：", "message": "收到消息："},
    "en": {"waiting": "Waiting for a client...", "connected": "Client connected: ",
           "message": "Message received: "},
}
CLIENT = {
    "zh": {"prompt": "请输入消息（输入 'exit' 退出）: ", "reply": "收到回应："},
    "en": {"prompt": "Enter a message ('exit' to leave): ", "reply": "Reply received: "},
}

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def reply(message):
    """The bytes a server with the default template answers."""
    return REPLY + message


def waiting(lang="zh"):
    return SERVER[lang]["waiting"].encode() + b"\n"


def connected(port, lang="zh"):
    """The line for an IPv4 loopback peer, in the document's tuple form."""
    return f"{SERVER[lang]['connected']}('127.0.0.1', {port})\n".encode()


def message(data, lang="zh"):
    return SERVER[lang]["message"].encode() + data + b"\n"


def prompt(lang="zh"):
    return CLIENT[lang]["prompt"].encode()


def shown_reply(data, lang="zh"):
    return CLIENT[lang]["reply"].encode() + data + b"\n"


def must_escape(char):
    code = ord(char)
    return code < 0x20 or 0x7F <= code <= 0x9F or char in "\u2028\u2029" or char in BIDI


def escaped(data):
    """The text form of a message's bytes; hexadecimal digits in lower case."""
    out = []
    for char in data.decode("utf-8"):
        if not must_escape(char):
            out.append(char)
        elif char in _NAMED:
            out.append(_NAMED[char])
        elif ord(char) <= 0x7F:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}")
    return "".join(out).encode()


def lower_escapes(data):
    """Whether hexadecimal digits are upper or lower case is left open by the contract."""
    return re.sub(rb"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", lambda found: found[0].lower(), data)


def transcript_form(data):
    """How the TLS build's text transcript shows a message: one line end dropped, then escaped."""
    for end in (b"\r\n", b"\n"):
        if data.endswith(end):
            return escaped(data[:-len(end)])
    return escaped(data)


# For a client that is to have the document's flow with any server; the plaintext build has no other.
DOCUMENT_FLOW = () if is_plaintext() else ("--document-flow",)
