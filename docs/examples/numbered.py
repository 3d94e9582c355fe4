#!/usr/bin/env python3
"""A client of tlsmsg/1 on Python's ssl alone: sends lines of stdin, prints the replies.

    numbered.py HOST PORT CA.pem PRODUCER <lines
"""

import socket
import ssl
import sys

HELD = 65536  # bytes unanswered at most: a server whose replies aren't taken reads no further


def read_frame(stream):
    """(words of the header, body)"""
    header = stream.readline(257)
    words = header.decode("ascii").split()
    if not header.endswith(b"\n"):
        raise ConnectionError("the server left")
    if words[0] == "HELLO":
        return words, b""
    body = stream.read(int(words[2]))
    stream.readline(3)  # the line end behind it
    if words[0] == "BYE":
        raise ConnectionError(f"BYE {words[1]} {body.decode()}")
    return words, body


def main(host, port, ca, producer):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["tlsmsg/1"])
    lines = [line for line in sys.stdin.buffer.read().split(b"\n") if line]
    with socket.create_connection((host, int(port))) as sock, \
            context.wrap_socket(sock, server_hostname=host) as tls:
        if tls.selected_alpn_protocol() != "tlsmsg/1":
            raise ConnectionError("the server does not speak tlsmsg/1")
        stream = tls.makefile("rwb")
        stream.write(f"HELLO 1 producer={producer} from=1\n".encode())
        stream.flush()
        words, _ = read_frame(stream)
        hello = dict(word.split("=", 1) for word in words[2:] if "=" in word)
        window, last, held = int(hello["window"]), int(hello["last"]), 0
        if last > len(lines):
            raise ValueError(f"the server has {last} messages, and the input {len(lines)}")
        # The last one that the server has goes first, so that it can be compared.
        sent = answered = max(0, last - 1)
        while answered < len(lines):
            while sent < len(lines) and sent - answered < window and held < HELD:
                line = lines[sent]
                sent += 1
                held += len(line)
                stream.write(b"MSG %d %d\n%s\n" % (sent, len(line), line))
            stream.flush()
            words, reply = read_frame(stream)
            held -= len(lines[answered])
            answered += 1
            if words[:2] != ["OK", str(answered)]:
                raise ConnectionError(f"not the OK that is due: {words}")
            print(reply.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
