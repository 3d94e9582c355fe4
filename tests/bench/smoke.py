#!/usr/bin/env python3
"""Runs every mode of the bench programs for a moment, and checks that they find what is wrong.

No figure is judged: only that units were counted, replies verified, and faults reported. The TLS
server is peers/server.py, so this needs nothing of the project but the bench programs. Their folder
is in the environment as TLSMSG_BENCH_DIR.
"""

import contextlib
import itertools
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("TLSMSG_BENCH_DIR", "."))
DEADLINE_S = 120
BRIEFLY = ("-t", "0.1", "-w", "0.02")


class Server:
    """A program that tells `listening on HOST:PORT` on stderr; ended by its process object."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [str(word) for word in command], stderr=subprocess.PIPE, text=True
        )
        line = self.process.stderr.readline()
        if "listening on " not in line:
            self.stop()
            raise RuntimeError(f"{command[0]} does not start: {line}")
        self.target = line.split("listening on ")[1].strip()
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.process.stderr.close()


@contextlib.contextmanager
def bad_server(behave):
    """A plain server whose single connection is given to `behave`."""

    def serve():
        conn, _ = listener.accept()
        with conn:
            behave(conn)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(DEADLINE_S)


def bench(*words):
    """Runs tlsmsg-bench; returns its exit code and its figures."""
    command = [str(BIN / "tlsmsg-bench"), *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


class Case(unittest.TestCase):
    """Starts the servers once."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.cert = pathlib.Path(cls.folder.name) / "cert.pem"
        cls.key = pathlib.Path(cls.folder.name) / "key.pem"
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", cls.key,
             "-out", cls.cert],
            check=True, capture_output=True)
        cls.lines = cls.start(BIN / "bench-floor", "--listen", "127.0.0.1:0", "--lines")
        cls.stream = cls.start(BIN / "bench-floor", "--listen", "127.0.0.1:0")
        cls.reference = cls.start(BIN / "bench-reference", "--listen", "127.0.0.1:0", "--cert",
                                  cls.cert, "--key", cls.key)
        cls.numbered = cls.start(BIN / "bench-numbered", "--listen", "127.0.0.1:0", "--cert", cls.cert,
                                 "--key", cls.key)
        cls.tls = cls.start(sys.executable, "-B", HERE / "peers/server.py", cls.cert, cls.key)

    @classmethod
    def start(cls, *command):
        server = Server(*command)
        cls.addClassCleanup(server.stop)
        return server

    def good(self, mode, server, *words):
        """A run that must succeed; returns its figures."""
        if server not in (self.tls, self.reference, self.numbered):
            words += ("--plain",)
        code, figures = bench(mode, server.target, "-p", server.pid, *words)
        self.assertEqual(0, code, figures)
        self.assertEqual(0, figures["errors"], figures)
        return figures

    def bad(self, kind, *words):
        """A run that must report failures of one kind."""
        code, figures = bench(*words)
        self.assertEqual(1, code, figures)
        self.assertGreater(figures.get(f"errors_{kind}", 0), 0, figures)
        return figures


class Plain(Case):
    def test_message(self):
        for words in (("-c", 1), ("-c", 8, "-d", 16), ("-c", 2, "-d", 8, "-s", 16348)):
            with self.subTest(words):
                figures = self.good("message", self.lines, *words, *BRIEFLY)
                self.assertGreater(figures["units"], 0)
                self.assertEqual(1, figures["replies_per_message"])
                self.assertGreater(figures["server_cpu_us_per_unit"], 0)

    def test_one_byte(self):
        """No room for the line feed: a server that answers each recv() does."""
        figures = self.good("message", self.stream, "-s", 1, *BRIEFLY)
        self.assertGreater(figures["units"], 0)

    def test_counted(self):
        figures = self.good("message", self.lines, "-c", 7, "-d", 3, "--messages", 1000)
        self.assertEqual(1000, figures["units"])
        figures = self.good("handshake", self.lines, "--handshakes", 100)
        self.assertEqual(100, figures["units"])

    def test_idle(self):
        figures = self.good("idle", self.lines, "-c", 100, "--active", 5, "--settle", 0.1, *BRIEFLY)
        self.assertEqual(100, figures["held"])
        self.assertGreater(figures["units"], 0)
        self.assertGreater(figures["server_kib_held"], 0)

    def test_any_cut(self):
        words = ("-c", 2, "-d", 16, *BRIEFLY)
        self.bad("mismatch", "message", self.stream.target, "--plain", *words)
        figures = self.good("message", self.stream, "--any-cut", *words)
        self.assertLess(figures["replies_per_message"], 1)


class Tls(Case):
    def test_message(self):
        works = (("-c", 1), ("-c", 8, "-d", 16), ("-c", 2, "-d", 4, "-s", 16348))
        for version, server, words in itertools.product(("1.3", "1.2"), (self.tls, self.reference),
                                                        works):
            with self.subTest(version=version, server=server.target, words=words):
                figures = self.good("message", server, "--tls", version, *words, *BRIEFLY)
                self.assertIn(f"TLSv{version} ", figures["transport"])
                self.assertEqual(1, figures["replies_per_message"])

    def test_handshake(self):
        for version in ("1.3", "1.2"):
            with self.subTest(version):
                words = ("-c", 4, "--handshakes", 40, "--tls", version)
                figures = self.good("handshake", self.tls, *words)
                self.assertEqual((40, 0), (figures["units"], figures["resumed_fraction"]))
                figures = self.good("handshake", self.tls, "--resume", *words)
                self.assertEqual((40, 1), (figures["units"], figures["resumed_fraction"]))

    def test_idle(self):
        figures = self.good("idle", self.tls, "-c", 30, "--settle", 0.1)
        self.assertEqual(30, figures["held"])
        self.assertGreater(figures["kib_per_connection"], 0)


class Numbered(Case):
    def test_message(self):
        for on_their_way, words in ((1, ("-c", 1)), (128, ("-c", 8, "-d", 16)),
                                    (6, ("-c", 2, "-d", 3, "-s", 1048576)),
                                    (2, ("-c", 2, "-s", 16349, "--producer")),
                                    (1, ("-c", 1, "-s", 1))):
            with self.subTest(words):
                figures = self.good("message", self.numbered, "--numbered", *words, *BRIEFLY)
                self.assertGreater(figures["units"], 0)
                # A reply that has begun at an edge of the time measured counts on one side alone,
                # which shows where few long messages fit into it.
                odd = abs(figures["replies_per_message"] - 1) * figures["units"]
                self.assertLessEqual(odd, on_their_way + 0.5)

    def test_counted(self):
        for mode, words in (("message", ("-d", 3, "--messages")), ("handshake", ("--handshakes",))):
            figures = self.good(mode, self.numbered, "-n", "-c", 7, *words, 100)
            self.assertEqual(100, figures["units"])

    def test_idle(self):
        figures = self.good("idle", self.numbered, "-n", "-c", 20, "--settle", 0.1)
        self.assertEqual(20, figures["held"])

    def test_a_frame_that_is_wrong(self):
        """Each reply in its own frame, else it is no reply."""
        right = "你好，我已收到你的消息：".encode()
        rows = {"HELLO": b"HELLO 1 last=7 max=1 window=1 promise=none\nOK 1 %d\n",
                "number": b"HELLO 1 last=0 max=1 window=1 promise=none\nOK 2 %d\n",
                "length": b"HELLO 1 last=0 max=1 window=1 promise=none\nOK 1 1%d\n",
                "word": b"HELLO 1 last=0 max=1 window=1 promise=none\nBYE 1 %d\n"}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        context.set_alpn_protocols(["tlsmsg/1"])
        for name, said in rows.items():
            def reply(conn, said=said):
                with context.wrap_socket(conn, server_side=True) as tls:
                    body = b""
                    while body.count(b"\n") < 4:  # HELLO, MSG, the message's own and its end
                        body += tls.recv(4096)
                    message = body.split(b"\n", 2)[2][:-1]
                    tls.sendall(said % (len(right) + len(message)) + right + message + b"\n")
                    with contextlib.suppress(OSError):
                        tls.recv(1)

            with self.subTest(name), bad_server(reply) as target:
                self.bad("mismatch", "message", target, "-n", "-c", 1, "--messages", 1,
                         "--timeout", 3)


def broker(answer):
    """Takes one publisher, whose packets are all short of 128 bytes, and answers with what `answer`
    makes of each PUBLISH."""

    def serve(conn):
        with conn.makefile("rb") as packets, contextlib.suppress(OSError):
            while head := packets.read(2):
                body = packets.read(head[1])
                if head[0] == 0x10:
                    conn.sendall(bytes((0x20, 2, 0, 0)))
                else:
                    conn.sendall(answer(body))

    return serve


class Broker(Case):
    PUBLISH = ("message", "--mqtt", "--plain", "-c", 1, "-d", 4, "--messages", 100, "--timeout", 5)

    @staticmethod
    def acknowledge(body):
        topic = 2 + int.from_bytes(body[:2], "big")
        return bytes((0x40, 2)) + body[topic:topic + 2]

    def test_acknowledged(self):
        with bad_server(broker(self.acknowledge)) as target:
            code, figures = bench(*self.PUBLISH, target)
        self.assertEqual((0, 100, 0), (code, figures["units"], figures["errors"]), figures)

    def test_another_number(self):
        with bad_server(broker(lambda body: bytes((0x40, 2, 0xFF, 0xFF)))) as target:
            self.bad("mismatch", *self.PUBLISH, target)

    def test_refused(self):
        def refuse(conn):
            conn.recv(100)
            conn.sendall(bytes((0x20, 2, 0, 5)))

        with bad_server(refuse) as target:
            self.bad("handshake", *self.PUBLISH, target)


INFO = b'INFO {"server_id":"X","version":"2.9.10","headers":true,"max_payload":1048576}\r\n'
MADE = (b'{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{"name":"bench",'
        b'"subjects":["bench"],"storage":"file"},"did_create":true}')


def stream(answer, made=MADE, info=INFO, context=None):
    """A NATS server of one connection: `answer` makes an operation of each message's inbox and its
    number in the stream. With `context` TLS begins behind the first line."""

    def message(inbox, body):
        return b"MSG %s 1 %d\r\n%s\r\n" % (inbox, len(body), body)

    def serve(conn):
        conn.sendall(info)
        if context is not None:
            conn = context.wrap_socket(conn, server_side=True)
        stored = 0
        with conn, conn.makefile("rb") as lines, contextlib.suppress(OSError):
            while words := lines.readline().split():
                if words[0] != b"PUB":
                    continue
                _, subject, inbox, size = words
                lines.read(int(size) + 2)
                if subject == b"bench":
                    stored += 1
                    conn.sendall(answer(inbox, stored, message))
                else:
                    conn.sendall(message(inbox, made))

    return serve


class Stream(Case):
    PUBLISH = ("message", "--nats", "-c", 1, "-d", 4, "--messages", 100, "--timeout", 5)

    @staticmethod
    def acknowledge(inbox, stored, message):
        return message(inbox, b'{"stream":"bench", "seq":%d}' % stored)

    def acknowledged(self, serve, *words):
        with bad_server(serve) as target:
            code, figures = bench(*self.PUBLISH, *words, target)
        self.assertEqual((0, 100, 0), (code, figures["units"], figures["errors"]), figures)

    def test_acknowledged(self):
        self.acknowledged(stream(self.acknowledge), "--plain")

    def test_tls_behind_the_first_line(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        self.acknowledged(stream(self.acknowledge, context=context))

    def test_a_sign_of_life_is_given(self):
        """The server asks once, before any message; the answer goes with the first."""
        seen = []

        def serve(conn):
            conn.sendall(INFO)
            with conn.makefile("rb") as lines, contextlib.suppress(OSError):
                for line in lines:
                    words = line.split()
                    seen.append(words[0])
                    if words[0] == b"PUB":
                        lines.read(int(words[3]) + 2)
                        made = words[1] != b"bench"
                        body = MADE if made else b'{"stream":"bench","seq":%d}' % len(seen)
                        conn.sendall(b"PING\r\n" * made + b"MSG %s 1 %d\r\n%s\r\n" %
                                     (words[2], len(body), body))

        self.acknowledged(serve, "--plain")
        self.assertEqual([b"CONNECT", b"SUB", b"PUB", b"PONG", b"PUB"], seen[:5])
        self.assertEqual(1, seen.count(b"PONG"))

    def test_any_cut(self):
        """An acknowledgement that comes in pieces, beside one that comes with others."""

        def serve(conn):
            class Slowly:
                def sendall(self, data):
                    for at in range(0, len(data), 7):
                        conn.sendall(data[at:at + 7])

                makefile = conn.makefile
                __enter__ = conn.__enter__
                __exit__ = conn.__exit__

            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream(self.acknowledge)(Slowly())

        self.acknowledged(serve, "--plain")

    def test_the_first_is_alone(self):
        """Nobody else connects before the first client's stream is there."""
        early = []

        def serve():
            first = listener.accept()[0]
            listener.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                early.append(listener.accept()[0])
            listener.settimeout(DEADLINE_S)
            beside = threading.Thread(target=stream(self.acknowledge), args=(first,))
            beside.start()
            stream(self.acknowledge)(early[0] if early else listener.accept()[0])
            beside.join(DEADLINE_S)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve)
            thread.start()
            code, figures = bench("message", "--nats", "--plain", "-c", 2, "--messages", 20,
                                  "--timeout", 5, f"127.0.0.1:{listener.getsockname()[1]}")
            thread.join(DEADLINE_S)
        self.assertEqual((0, 20, []), (code, figures["units"], early), figures)

    def test_refused(self):
        error = b'{"error":{"code":503,"err_code":10047,"description":"insufficient storage"},' \
                b'"stream":"bench","seq":%d}'
        rows = {
            "an error": lambda inbox, stored, message: message(inbox, error % stored),
            "another message's": lambda inbox, stored, message:
                self.acknowledge(inbox + b"0", stored, message),
            "the number before": lambda inbox, stored, message:
                self.acknowledge(inbox, max(1, stored - 1), message),
            "no number": lambda inbox, stored, message: message(inbox, b'{"stream":"bench"}'),
            "another stream": lambda inbox, stored, message:
                message(inbox, b'{"stream":"other","seq":%d}' % stored),
            "nobody listens": lambda inbox, stored, message:
                b"HMSG %s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" % inbox,
            "a complaint": lambda inbox, stored, message: b"-ERR 'Maximum Payload Violation'\r\n",
            "a length that is none": lambda inbox, stored, message: b"MSG %s 1 x\r\n" % inbox,
        }
        for name, answer in rows.items():
            with self.subTest(name), bad_server(stream(answer)) as target:
                figures = self.bad("mismatch", *self.PUBLISH, "--plain", target)
                self.assertIn("the server says: ", figures["first_error"])
                self.assertEqual(name == "an error",
                                 "insufficient storage" in figures["first_error"], figures)

    def test_no_stream(self):
        rows = {
            "an error": stream(self.acknowledge, made=b'{"error":{"code":503}}'),
            "in memory": stream(self.acknowledge, made=MADE.replace(b'"file"', b'"memory"')),
            "no NATS": stream(self.acknowledge, info=b"220 mail\r\n"),
            "more than one line": stream(self.acknowledge, info=INFO + INFO),
        }
        for name, serve in rows.items():
            with self.subTest(name), bad_server(serve) as target:
                self.bad("handshake", *self.PUBLISH, "--plain", target)


class Log(Case):
    def test_message(self):
        log = pathlib.Path(self.folder.name) / "log"
        server = self.start(BIN / "bench-reference", "--listen", "127.0.0.1:0", "--cert", self.cert,
                            "--key", self.key, "--log", log)
        code, figures = bench("message", server.target, "-p", server.pid, "-c", 8, "-d", 4,
                              "--messages", 1000)
        self.assertEqual((0, 0), (code, figures["errors"]), figures)
        self.assertIn("server_written_bytes_per_unit", figures)
        with open(log, "rb") as file:
            self.assertGreaterEqual(file.read(200_000).count(b"the quick brown fox"), 1000)


class Faults(Case):
    ONE = ("--plain", "-c", 1, "--messages", 1, "--timeout", 1)

    def test_wrong_reply(self):
        def reply_wrongly(conn):
            message = conn.recv(64)
            conn.sendall("你好，我已收到你的消息：".encode() + message[:-2] + b"!\n")
            conn.recv(1)

        with bad_server(reply_wrongly) as target:
            self.bad("mismatch", "message", target, *self.ONE)

    def test_too_much(self):
        def reply_twice(conn):
            message = conn.recv(64)
            conn.sendall(2 * ("你好，我已收到你的消息：".encode() + message))
            conn.recv(1)

        with bad_server(reply_twice) as target:
            self.bad("mismatch", "message", target, *self.ONE)

    def test_closed(self):
        with bad_server(lambda conn: conn.recv(64)) as target:
            self.bad("closed", "message", target, *self.ONE)

    def test_silent(self):
        with bad_server(lambda conn: (conn.recv(64), conn.recv(64))) as target:
            self.bad("timeout", "message", target, *self.ONE)

    def test_nobody(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = f"127.0.0.1:{listener.getsockname()[1]}"
        self.bad("connect", "message", target, *self.ONE)

    def test_no_tls(self):
        self.bad("handshake", "message", self.stream.target, "-c", 1, "--messages", 1)

    def test_usage(self):
        for words in ((), ("nonsense",), ("message",), ("message", "-c", 0, self.lines.target),
                      ("idle", "--resume", self.lines.target),
                      ("message", "-s", 16349, self.tls.target),
                      ("message", "-n", "--plain", self.lines.target),
                      ("message", "--mqtt", "--nats", self.lines.target),
                      ("idle", "--nats", self.lines.target)):
            with self.subTest(words):
                self.assertEqual(2, bench(*words)[0])


class InMemory(Case):
    def test_all(self):
        runs = (("message",), ("message", "-c", 2, "-d", 16), ("handshake",),
                ("handshake", "--resume"), ("handshake", "--tls", "1.2", "--resume"),
                ("idle", "-c", "20"))
        for words in runs:
            with self.subTest(words):
                command = [BIN / "bench-memory", *map(str, words), "--cert", self.cert,
                           "--key", self.key, "-t", "0.1", "--json"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S,
                                      check=False)
                self.assertEqual(0, done.returncode, done.stderr)
                figures = json.loads(done.stdout)
                value = figures.get("server_cpu_us_per_unit", figures.get("kib_per_connection"))
                self.assertGreater(value, 0)

    def test_digest(self):
        for words in (("-t", "0.1"), ("-s", "1048576", "--units", "3")):
            done = subprocess.run([BIN / "bench-memory", "digest", "--json", *words],
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertGreater(json.loads(done.stdout)["server_cpu_us_per_unit"], 0)


if __name__ == "__main__":
    unittest.main()
