#!/usr/bin/env python3
"""The server's two transcripts over TLS: exact text, exact JSON, whole lines, in time.

The plaintext build's transcript is the document's: test_document.py.
"""

import array
import fcntl
import json
import os
import re
import ssl
import sys
import termios
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import network
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from s_client import SClient

TIME = r'\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",'
SECONDS = r"\d+(?:\.\d{1,3})?"
# JSON on the wire is UTF-8; these must not stand in it as they are.
UNESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029" + texts.BIDI + "]")

AWKWARD = (
    ("a line end", "hello\n"),
    ("CR LF", "hello\r\n"),
    ("two line ends", "hello\n\n"),
    ("LF before CR", "hello\n\r"),
    ("a CR alone", "hello\r"),
    ("a line end alone", "\n"),
    ("line ends within", "a\nb\r\nc\td"),
    ("C0", "".join(map(chr, range(32))) + "."),
    ("DEL", "a\x7fb"),
    ("C1", "".join(map(chr, range(0x80, 0xA0)))),
    ("separators", "a\u2028b\u2029c"),
    ("bidi controls", "a".join(texts.BIDI)),
    ("an escape sequence", "\x1b]0;title\x07\x1b[2J"),
    ("a forged line", "x\n收到消息：forged\n等待客户端连接..."),
    ("a forged event", 'x"}\n{"event":"message"}'),
    ("backslashes stay", "a\\nb \\x41 \\u2028 \\\\"),
    ("quotes", "\"double\" 'single'"),
    ("percent signs", "%s%n%%"),
    ("Chinese and emoji", "你好，世界 😀"),
    ("first and last code points", "\u00a0\u00ad\u2027\u202f\ufeff\uffff\U0010ffff"),
    ("a joiner is no bidi control", "👩\u200d👩 \u200b\u2060"),
)


class TranscriptTest(ProgramTest):
    def context(self, version=None, **how):
        return tls.client_context(default_certificates().ca, minimum=version, maximum=version,
                                  **how)

    def connect(self, server, context=None, **how):
        end = tls.connect(server.port, context or self.context(), **how)
        self.addCleanup(end.sock.close)
        return end

    def exchange(self, end, message):
        reply = texts.reply(message)
        end.send(message)
        self.assertEqual(end.receive_exactly(len(reply)), reply)

    def events(self, server):
        """All events as objects, each line checked for its form."""
        events = []
        for line in server.transcript().decode("utf-8").splitlines(keepends=True):
            self.assertTrue(line.endswith("}\n"), line)
            self.assertRegex(line, r"\A" + TIME)
            self.assertIsNone(UNESCAPED.search(line[:-1]), line)
            events.append(json.loads(line))
        return events

    def closed(self, server, count=1):
        """The last of count closed events."""
        server.wait_line(b'"event":"closed"', count)
        return [found for found in self.events(server) if found["event"] == "closed"][-1]


class Text(TranscriptTest):
    def transcript_of(self, *options, lang="zh"):
        server = self.server(*options)
        with self.connect(server) as end:
            port = end.sock.getsockname()[1]
            for message in ("hello", "你好\n"):
                self.exchange(end, message.encode())
            end.close()
        server.stop(0)
        self.assertEqual(server.transcript(), texts.waiting(lang) + texts.connected(port, lang)
                         + texts.message(b"hello", lang) + texts.message("你好".encode(), lang))

    def test_exact(self):
        self.transcript_of()

    def test_english(self):
        self.transcript_of("--lang", "en", lang="en")

    def test_text_is_the_default_format(self):
        self.transcript_of("--format", "text", "--lang", "zh")

    def test_ipv6_peer(self):
        self.need_ipv6()
        server = self.server(listen=("[::1]:0",))
        with tls.connect(server.port, self.context(), host="::1") as end:
            port = end.sock.getsockname()[1]
            end.close()
        server.stop(0)
        self.assertEqual(server.transcript(),
                         texts.waiting() + f"已连接客户端：('::1', {port}, 0, 0)\n".encode())

    def test_s_client_line(self):
        server = self.server()
        for option in ((), ("-crlf",)):
            client = self.keep(SClient(server.port, *option, ca=default_certificates().ca))
            client.write(b"hello\n")
            client.stdout.wait_for(texts.reply(b"hello"))
            client.leave()
        server.stop(0)
        self.assertEqual(server.transcript().count(b"\n"), 5)
        self.assertEqual(server.transcript().count(texts.message(b"hello")), 2)

    def test_awkward_messages(self):
        """One message is one line, escaped also into a file; the reply carries every byte."""
        server = self.server(stdout=self.path("transcript"))
        end = self.connect(server)
        expected = texts.waiting() + texts.connected(end.sock.getsockname()[1])
        for name, message in AWKWARD:
            with self.subTest(name):
                self.exchange(end, message.encode())
                line = texts.message(texts.transcript_form(message.encode()))
                written = texts.lower_escapes(server.transcript())
                self.assertEqual(written.splitlines(keepends=True)[-1],
                                 texts.lower_escapes(line))
                expected += line
        end.close()
        server.stop(0)
        self.assertEqual(texts.lower_escapes(server.transcript()), texts.lower_escapes(expected))

    def test_quiet(self):
        for format_ in ("text", "json"):
            server = self.server("--quiet", "--format", format_)
            with self.connect(server) as end:
                self.exchange(end, b"hello")
                end.close()
            server.stop(0)
            self.assertEqual(server.transcript(), b"")


class Json(TranscriptTest):
    def assert_lines(self, server, *patterns):
        lines = server.transcript().decode("utf-8").splitlines()
        self.assertEqual(len(lines), len(patterns), lines)
        for line, pattern in zip(lines, patterns):
            self.assertRegex(line, rf"\A{TIME}{pattern}\}}\Z")

    def test_exact(self):
        server = self.server("--format", "json")
        with self.connect(server, self.context(ssl.TLSVersion.TLSv1_3)) as end:
            port = end.sock.getsockname()[1]
            self.exchange(end, b"hello")
            self.exchange(end, "你好\"\n".encode())
            end.close()
        server.stop(0)
        self.assert_lines(
            server,
            rf'"event":"listening","address":"127\.0\.0\.1:{server.port}"',
            rf'"event":"connected","connection":1,"peer":"127\.0\.0\.1:{port}","tls":\{{'
            r'"version":"TLSv1\.3","cipher":"TLS_AES_128_GCM_SHA256","group":"[A-Z0-9-]+",'
            r'"resumed":false\},"flow":"document"',
            rf'"event":"message","connection":1,"peer":"127\.0\.0\.1:{port}","bytes":5,"message":"hello"',
            rf'"event":"message","connection":1,"peer":"127\.0\.0\.1:{port}","bytes":8,"message":"你好\\"\\n"',
            rf'"event":"closed","connection":1,"how":"clean","messages":2,"seconds":{SECONDS}')

    def test_identity_comes_last(self):
        made = default_certificates()
        server = self.server("--format", "json", "--client-ca", made.ca)
        context = self.context(certificate=made.client, key=made.client_key)
        with self.connect(server, context) as end:
            end.close()
        server.stop(0)
        self.assertRegex(server.transcript().decode().splitlines()[1],
                         r'"resumed":false,"identity":"[A-Za-z]+[:=][^"]+"\},"flow":"document"\}\Z')

    def test_identities(self):
        authority = certificates.authority("identities")
        rows = (
            ("the common name", {"names": "", "subject": "alice"}, "CN=alice"),
            ("a DNS name", {"names": "DNS:alice.example", "subject": "bob"}, "DNS:alice.example"),
            ("a mail address", {"names": "email:a@example.org"}, "email:a@example.org"),
            ("a URI", {"names": "URI:spiffe://example/alice"}, "URI:spiffe://example/alice"),
            ("Chinese", {"names": "", "subject": "爱丽丝"}, "CN=爱丽丝"),
        )
        server = self.server("--format", "json", "--client-ca", authority.ca)
        for number, (name, how, identity) in enumerate(rows):
            with self.subTest(name):
                leaf = certificates.leaf("identities", f"leaf-{number}", **how)
                context = self.context(certificate=leaf.certificate, key=leaf.key)
                with self.connect(server, context) as end:
                    self.exchange(end, b"hello")
                    end.close()
                server.wait_line(b'"event":"closed"', number + 1)
                connected, message = ([found for found in self.events(server)
                                       if found["event"] == event][number]
                                      for event in ("connected", "message"))
                self.assertEqual(connected["tls"]["identity"], identity)
                self.assertEqual((message["peer"], message["identity"]),
                                 (connected["peer"], identity))

    def test_no_identity_without_a_certificate(self):
        server = self.server("--format", "json")
        with self.connect(server) as end:
            end.close()
        server.stop(0)
        self.assertNotIn("identity", self.events(server)[1]["tls"])

    def test_ipv6(self):
        self.need_ipv6()
        server = self.server("--format", "json", listen=("[::1]:0",))
        with tls.connect(server.port, self.context(), host="::1") as end:
            port = end.sock.getsockname()[1]
            end.close()
        server.stop(0)
        listening, connected, _ = self.events(server)
        self.assertEqual(listening["address"], f"[::1]:{server.port}")
        self.assertEqual(connected["peer"], f"[::1]:{port}")

    def test_each_address(self):
        self.need_ipv6()
        server = self.server("--format", "json", listen=("127.0.0.1:0", "[::1]:0"))
        server.stop(0)
        self.assertEqual([(found["event"], found["address"]) for found in self.events(server)],
                         [("listening", f"{host}:{port}") for host, port in server.addresses])

    def test_awkward_messages(self):
        server = self.server("--format", "json")
        with self.connect(server) as end:
            for _, message in AWKWARD:
                self.exchange(end, message.encode())
            end.close()
        server.stop(0)
        events = self.events(server)[2:-1]
        self.assertEqual(len(events), len(AWKWARD))
        for event, (name, message) in zip(events, AWKWARD):
            with self.subTest(name):
                self.assertEqual(event["message"], message)
                self.assertEqual(event["bytes"], len(message.encode()))


class How(TranscriptTest):
    """How a conversation ended, as the JSON transcript records it."""

    def test_of_a_conversation(self):
        def clean(end):
            end.close()

        def truncated(end):
            end.drop()

        def reset(end):
            end.reset()

        def invalid_utf8(end):
            end.send(b"\xff")
            end.receive_until_close()

        rows = (("clean", clean), ("truncated", truncated), ("reset", reset),
                ("invalid-utf8", invalid_utf8))
        server = self.server("--format", "json")
        for count, (how, leave) in enumerate(rows, 1):
            for version in ("TLSv1_3", "TLSv1_2"):
                with self.subTest(how, version=version):
                    end = self.connect(server, self.context(ssl.TLSVersion[version]))
                    self.exchange(end, b"one")
                    self.exchange(end, b"two")
                    leave(end)
                    event = self.closed(server, 2 * count - (version == "TLSv1_3"))
                    self.assertEqual((event["how"], event["messages"]), (how, 2))

    def test_rude_ends_are_no_warning(self):
        server = self.server("--format", "json")
        for leave in ("drop", "reset"):
            end = self.connect(server)
            self.exchange(end, b"hello")
            getattr(end, leave)()
        self.closed(server, 2)
        server.stop(0)
        self.assertEqual(server.log(), b"")

    def test_info_level_tells(self):
        server = self.server("--format", "json", "--log-level", "info")
        for count, (leave, word) in enumerate((("drop", b"truncated"), ("reset", b"reset")), 1):
            end = self.connect(server)
            self.exchange(end, b"hello")
            getattr(end, leave)()
            self.closed(server, count)
            server.stderr.wait_for(word)

    def test_never_a_conversation(self):
        server = self.server("--format", "json")
        with network.connect(server.port) as silent:
            pass
        with network.connect(server.port) as plain:
            port = plain.getsockname()[1]
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            network.receive_all(plain)
        event = self.closed(server)
        self.assertEqual((event["how"], event["peer"]), ("handshake", f"127.0.0.1:{port}"))
        with network.connect(server.port) as begun:
            port = begun.getsockname()[1]
            begun.sendall(tls.client_hello(self.context())[:100])
            kernel.wait_read_by_peer(begun)
        event = self.closed(server, 2)
        self.assertEqual((event["how"], event["peer"]), ("handshake", f"127.0.0.1:{port}"))
        server.stop(0)
        self.assertEqual([found["event"] for found in self.events(server)],
                         ["listening", "closed", "closed"], "nothing of a silent connection")


class InTime(TranscriptTest):
    def test_message_is_out_before_its_reply(self):
        for format_ in ("text", "json"):
            server = self.server("--format", format_, "--workers", "2",
                                 stdout=self.path(f"transcript-{format_}"))
            ends = [self.connect(server) for _ in range(4)]
            for round_ in range(50):
                for number, end in enumerate(ends):
                    message = b"end %d round %d." % (number, round_)
                    self.exchange(end, message)
                    self.assertIn(message, server.transcript())
            server.stop(0)

    def test_whole_lines_with_many_workers(self):
        clients, rounds = 40, 25
        for format_ in ("text", "json"):
            with self.subTest(format_):
                server = self.server("--format", format_, "--workers", "8",
                                     stdout=self.path(f"whole-{format_}"))
                self.talk_at_once(server, clients, rounds)
                server.stop(0)
                self.assert_whole(server, format_, clients, rounds)

    def talk_at_once(self, server, clients, rounds):
        context, errors = self.context(), []

        def client(number):
            try:
                with tls.connect(server.port, context) as end:
                    for round_ in range(rounds):
                        messages = [self.line(number, round_, part) for part in range(3)]
                        end.send(*messages)
                        expected = b"".join(map(texts.reply, messages))
                        if end.receive_exactly(len(expected)) != expected:
                            raise AssertionError("wrong replies")
                    end.close()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    @staticmethod
    def line(number, round_, part):
        size = 1 + (number * 131 + round_ * 37 + part * 11) % 700
        return b"<%d:%d:%d:" % (number, round_, part) + b"z" * size + b">"

    def assert_whole(self, server, format_, clients, rounds):
        said = server.transcript()
        if format_ == "json":
            found = [event["message"].encode() for event in self.events(server)
                     if event["event"] == "message"]
        else:
            start = texts.message(b"").rstrip(b"\n")
            lines = said.splitlines()
            found = [line.removeprefix(start) for line in lines if line.startswith(start)]
            self.assertEqual(len(lines), len(found) + clients + 1)
        wanted = [self.line(number, round_, part) for number in range(clients)
                  for round_ in range(rounds) for part in range(3)]
        self.assertEqual(sorted(found), sorted(wanted))
        # Of each client they are in order.
        by_client = {}
        for line in found:
            by_client.setdefault(line.split(b":")[0], []).append(line)
        for number in range(clients):
            self.assertEqual(by_client[b"<%d" % number],
                             [line for line in wanted if line.startswith(b"<%d:" % number)])

    def test_slow_stdout_holds_replies_back_and_nothing_else(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        server = self.server("--workers", "1", stdout=writing)
        os.close(writing)
        end = self.connect(server)
        messages = [b"%04d " % number + b"m" * 1000 for number in range(30)]
        end.send(*messages)
        kernel.wait_read_by_peer(end.sock)
        # The pipe is full now; a handshake by the same worker must not wait for it.
        other = self.connect(server)
        end.sock.settimeout(0.2)
        got = b""
        try:
            while True:
                got += end.receive()
        except TimeoutError:
            end.sock.settimeout(harness.scaled(10))
        waiting = array.array("i", [0])
        fcntl.ioctl(reading, termios.FIONREAD, waiting)
        taken = os.read(reading, waiting[0])
        self.assertLess(len(taken), 30 * 1000, "the pipe was to be too small")
        written = taken.count(b"m" * 1000 + b"\n")
        self.assertLessEqual(got.count(texts.REPLY), written, "a reply before its message")
        # Once stdout takes bytes again, everything comes.
        drain = harness.Collector(os.dup(reading), "transcript")
        expected = b"".join(map(texts.reply, messages))
        got += end.receive_exactly(len(expected) - len(got))
        self.assertEqual(got, expected)
        self.exchange(other, b"hello")
        end.close()
        other.close()
        server.stop(0)
        said = taken + drain.finish()
        self.assertEqual(said.count(b"\n"), 1 + 2 + 30 + 1)
        positions = [said.index(texts.message(message)) for message in messages]
        self.assertEqual(positions, sorted(positions))


if __name__ == "__main__":
    harness.main(plaintext=False)
