#!/usr/bin/env python3
"""Bad input while running, in both builds: peers of the wrong protocol, invalid UTF-8, and a
stdout that takes no more. One clear line, the exact exit code, nothing lost, nothing hung.
"""

import contextlib
import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import network
import texts
import tls
from bad_input import STDOUT, TIMED_OUT, BadInput, plaintext_only, tls_only
from certificates import default_certificates
from harness import Server
from processes import Program
from settings import is_plaintext, program, seconds


class OnTheWire(BadInput):
    def connect(self, server):
        sock = network.connect(server.port)
        self.addCleanup(sock.close)
        return sock

    @tls_only
    def test_plaintext_to_the_tls_port(self):
        """Named in the log and closed, and nothing is sent."""
        rows = (("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
                ("the document's client", b"hello"),
                ("Chinese", "你好".encode()),
                ("an escape sequence", b"\x1b[2J\x1b]0;x\x07"))
        for name, data in rows:
            with self.subTest(name):
                server = self.server()
                sock = self.connect(server)
                port = sock.getsockname()[1]
                sock.sendall(data)
                self.assertEqual(network.receive_all(sock), b"")
                sock.close()
                server.stop(0)
                self.assert_one_line(server.log(), "", "plaintext", f"127.0.0.1:{port}")
                self.assertNotIn(b"\x1b", server.log())
                self.assertEqual(server.transcript(), texts.waiting())

    @tls_only
    def test_document_client_and_tls_server(self):
        """Ours of the plaintext build may not be here: a plain socket that half-closes."""
        server = self.server()
        sock = self.connect(server)
        sock.sendall(b"exit")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(sock), b"")

    @tls_only
    def test_failed_handshake_is_one_warning(self):
        server = self.server("--tls-min", "1.3")
        sock = self.connect(server)
        hello = tls.client_hello(tls.client_context(default_certificates().ca, maximum=
                                                    ssl.TLSVersion.TLSv1_2))
        sock.sendall(hello)
        self.assertEqual(tls.until_any_end(sock)[:1], b"\x15", "an alert")
        sock.close()
        server.stop(0)
        self.assert_one_line(server.log(), "", "handshake")

    @plaintext_only
    def test_tls_to_the_plaintext_server(self):
        """Named as TLS, closed in order, invalid-utf8 in the transcript; exit code 0."""
        context = ssl.create_default_context()
        rows = (("a whole ClientHello", tls.client_hello(context)),
                ("its first bytes", b"\x16\x03\x01\x02\x00"))
        for name, data in rows:
            with self.subTest(name):
                server = self.server("--format", "json")
                sock = self.connect(server)
                sock.sendall(data)
                self.assertEqual(tls.until_any_end(sock), b"")
                sock.close()
                server.finish(0)
                self.assert_one_line(server.log(), "", "TLS")
                self.assertIn(b'"how":"invalid-utf8","messages":0', server.stdout.bytes())
                self.assertNotIn(b'"event":"message"', server.stdout.bytes())

    @plaintext_only
    def test_tls_server_and_plaintext_client(self):
        """A TLS server answers plaintext with an alert, or speaks first with a handshake."""
        rows = (("an alert", b"\x15\x03\x01\x00\x02\x02\x46"), ("a handshake", b"\x16\x03\x03\x00"))
        for name, data in rows:
            with self.subTest(name):
                peer = self.peer(lambda sock, data=data: (sock.recv(1024), sock.sendall(data),
                                                          sock.recv(1024)))
                client = self.run_client("-m", "hello", f"127.0.0.1:{peer.port}", expect=6)
                peer.finish()
                self.assertEqual(client.stdout.bytes(), b"")
                self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", "TLS")

    @tls_only
    def test_client_and_a_server_without_tls(self):
        def document(sock):
            sock.sendall(texts.reply(sock.recv(1024)))

        peer = self.peer(document)
        client = self.run_client(*self.good_client_words(), "-m", "hello",
                                 f"127.0.0.1:{peer.port}", expect=3)
        peer.abandon()
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", f"127.0.0.1:{peer.port}",
                             "TLS")

    def test_invalid_utf8(self):
        """The server goes on, the other conversation is whole, the exit code stays 0."""
        server = self.server("--accept", "3", "--format", "json")
        ends = [self.talker(server) for _ in range(3)]
        ends[1].send(b"\xc3(")
        self.assertEqual(ends[1].rest(), b"")
        for end in (ends[0], ends[2]):
            end.send(b"ok")
            self.assertEqual(end.receive_exactly(38), texts.reply(b"ok"))
            end.leave()
        server.finish(0)
        self.assert_one_line(server.log(), "", "utf-8")
        self.assertEqual(server.stdout.bytes().count(b'"how":"invalid-utf8"'), 1)
        self.assertEqual(server.stdout.bytes().count(b'"how":"clean"'), 2)

    def talker(self, server):
        """A peer of either build with one face."""
        if is_plaintext():
            return PlainTalker(self.connect(server))
        context = tls.client_context(default_certificates().ca)
        end = tls.connect(server.port, context)
        self.addCleanup(end.sock.close)
        return TlsTalker(end)

    def test_invalid_utf8_on_stdin(self):
        server = self.server("--format", "json")
        client = self.run_client(*self.good_client_words(), "-q", str(server.port),
                                 stdin=b"one\n\xff\ntwo\n", expect=1)
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", "utf-8")
        self.assertEqual(client.stdout.bytes(),
                         texts.reply(b"one") + b"\n" + texts.reply(b"two") + b"\n")
        server.stop(0)
        self.assertIn(b'"how":"clean","messages":2', server.stdout.bytes())


class PlainTalker:
    def __init__(self, sock):
        self.sock = sock
        self.send = sock.sendall

    def receive_exactly(self, size):
        return network.receive_exactly(self.sock, size)

    def rest(self):
        data = network.receive_all(self.sock)
        self.sock.close()
        return data

    def leave(self):
        self.sock.close()


class TlsTalker:
    def __init__(self, end):
        self.end = end
        self.send = end.send
        self.receive_exactly = end.receive_exactly

    def rest(self):
        data = self.end.receive_until_close()
        self.end.expect_end_of_file()
        return data

    def leave(self):
        self.end.close()


class StandardOutput(BadInput):
    """A full disk or a closed pipe behind stdout: exit 1, a line that says so, nothing hung."""

    def closed_pipe(self):
        reading, writing = os.pipe()
        os.close(reading)
        return os.fdopen(writing, "wb")

    def each_stdout(self):
        yield "full disk", open("/dev/full", "wb"), "no space"
        yield "closed pipe", self.closed_pipe(), "broken pipe"

    def test_version_and_help(self):
        for name in ("tlsmsg-server", "tlsmsg-client"):
            for option in ("--version", "--help"):
                for what, stdout, why in self.each_stdout():
                    with self.subTest(what, name=name, option=option), stdout:
                        running = self.keep(Program([*program(name), option], stdout=stdout,
                                                    name=name))
                        running.finish(1)
                        self.assert_one_line(running.stderr.bytes(), f"{name}: ", why)

    def test_server_at_its_start(self):
        for format_ in ("text", "json"):
            for what, stdout, why in self.each_stdout():
                with self.subTest(what, format=format_), stdout:
                    running = self.keep(Program(
                        [*program("tlsmsg-server"), *self.good_server_words(), "--listen",
                         "127.0.0.1:0", "--format", format_], stdout=stdout,
                        name="tlsmsg-server"))
                    running.finish(1)
                    last = running.stderr.bytes().splitlines(keepends=True)[-1]
                    self.assert_one_line(last, "tlsmsg-server: ", STDOUT, why)

    def test_quiet_server_needs_no_stdout(self):
        with open("/dev/full", "wb") as full:
            server = self.server("--quiet", "--accept", "1", stdout=full)
            self.run_client(*self.good_client_words(), "-m", "hello", str(server.port))
            server.finish(0)

    def test_pipe_closed_during_a_conversation(self):
        """What could not be written stays unanswered, and the server ends by itself."""
        reading, writing = os.pipe()
        server = self.keep(Server("--accept", "0", stdout=writing))
        os.close(writing)
        client = self.start_client(*self.good_client_words(), *texts.DOCUMENT_FLOW, "-q",
                                   str(server.port))
        client.write(b"one\n")
        client.stdout.wait_for(texts.reply(b"one"))
        said = b""
        while texts.message(b"one") not in said:
            said += os.read(reading, 4096)
        os.close(reading)
        client.write(b"two\n")
        client.finish(6)
        self.assertEqual(client.stdout.bytes(), texts.reply(b"one") + b"\n")
        server.finish(1)
        self.assert_one_line(server.log(), "", STDOUT, "broken pipe")

    def test_disk_full_during_a_conversation(self):
        """A file-size limit stands for the disk, its signal ignored as a disk has none."""
        path = self.path("transcript")
        words = ["sh", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$@"', "sh"]
        with open(path, "wb") as out:
            server = self.keep(Program(
                [*words, *program("tlsmsg-server"), *self.good_server_words(), "--accept", "0",
                 "--listen", "127.0.0.1:0"], stdout=out, name="tlsmsg-server"))
        server.stderr.wait_for(b"listening on 127.0.0.1:")
        port = harness.LISTENING.search(server.stderr.bytes())[2].decode()
        client = self.start_client(*self.good_client_words(), *texts.DOCUMENT_FLOW, "-q", port)
        client.write(b"".join(b"%03d %s\n" % (number, b"x" * 500) for number in range(60)))
        client.finish(6)
        answered = client.stdout.bytes().count(b"\n")
        self.assertTrue(0 < answered < 60, answered)
        server.finish(1)
        with open(path, "rb") as written:
            said = written.read()
        self.assertLessEqual(answered, said.count(b"x" * 500 + b"\n"),
                             "answered without having been written")
        last = server.stderr.bytes().splitlines(keepends=True)[-1]
        self.assert_one_line(last, "", STDOUT)

    def test_client(self):
        for words, stdin in (((), b"hello\n"), (("-m", "hello"), b"")):
            for what, stdout, why in self.each_stdout():
                with self.subTest(what, words=words), stdout:
                    server = self.server()
                    client = self.start_client(*self.good_client_words(), *words,
                                               str(server.port), stdout=stdout)
                    with contextlib.suppress(BrokenPipeError):
                        client.write(stdin)  # it can have ended already, at its prompt
                    client.finish(1)
                    first, *rest = client.stderr.bytes().splitlines(keepends=True)
                    self.assert_one_line(first, "tlsmsg-client: ", STDOUT, why)
                    self.assertLessEqual(len(rest), len(stdin) > 0, rest)
                    for line in rest:  # where the line had come by then
                        self.assert_one_line(line, "tlsmsg-client: ", "not sent from line 1")
                    server.stop(0)

    def test_stdin_and_stdout_not_open_at_all(self):
        """Descriptors 0 and 1 must not be taken by a socket or a key file."""
        server = self.server()
        running = self.keep(Program(
            ["sh", "-c", 'exec "$@" <&- >&-', "sh", *program("tlsmsg-client"),
             *self.good_client_words(), "-m", "hello", str(server.port)], name="tlsmsg-client"))
        running.finish(1)
        self.assert_one_line(running.stderr.bytes(), "tlsmsg-client: ", STDOUT)


class NothingHung(BadInput):
    def test_terminal_is_not_needed(self):
        """With stdin at /dev/null the client ends in order."""
        server = self.server()
        client = self.keep(Program([*program("tlsmsg-client"), *self.good_client_words(),
                                    str(server.port)], name="tlsmsg-client"))
        client.finish(0)
        self.assertEqual(client.stdout.bytes(), texts.prompt())
        server.stop(0)

    @tls_only
    def test_server_that_says_nothing(self):
        peer = self.peer(lambda sock: network.receive_all(sock))
        client = self.run_client(*self.good_client_words(), "--timeout", seconds(0.5), "-m",
                                 "x", str(peer.port), expect=3)
        peer.abandon()
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", str(peer.port), TIMED_OUT)


if __name__ == "__main__":
    harness.main()
