#!/usr/bin/env python3
"""The TLS client: what it prints and sends, and each exit code for its cause.

The other end is our server where the conversation counts, and a Python one where an end must
misbehave. Whom it trusts is test_client_trust.py's, command-line errors are test_bad_input.py's.
"""

import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import network
import texts
from processes import Program
from settings import program, scaled, seconds
from tls_client_test import PROGRAM, TIMED_OUT, ClientTest


class Conversation(ClientTest):
    def test_golden(self):
        server = self.server("--format", "json")
        client = self.run_client("--ca", self.ca, str(server.port),
                                 stdin="hello\n你好\n exit \nexit\n".encode())
        self.assertEqual(client.stdout.bytes().decode(), (
            "请输入消息（输入 'exit' 退出）: 收到回应：你好，我已收到你的消息：hello\n"
            "请输入消息（输入 'exit' 退出）: 收到回应：你好，我已收到你的消息：你好\n"
            "请输入消息（输入 'exit' 退出）: 收到回应：你好，我已收到你的消息： exit \n"
            "请输入消息（输入 'exit' 退出）: "))
        self.assert_quiet(client)
        server.wait_line(b'"how":"clean","messages":4')

    def test_ends_of_input(self):
        """stdin, how many prompts, and which of its lines are answered."""
        rows = (
            ("end of file", b"one\ntwo\n", 3, [b"one", b"two"]),
            ("end of file within a line", b"one\ntwo", 3, [b"one", b"two"]),
            ("at once", b"", 1, []),
            ("empty lines", b"\n\none\n\nexit\n", 5, [b"one"]),
            ("lines after exit", b"one\nexit\ntwo\n", 2, [b"one"]),
            ("CR belongs to the line", b"one\r\n", 2, [b"one\r"]),
            ("EXIT and exit with a space", b"EXIT\nexit \n", 3, [b"EXIT", b"exit "]),
        )
        server = self.server()
        for name, stdin, prompts, answered in rows:
            with self.subTest(name):
                client = self.run_client("--ca", self.ca, str(server.port), stdin=stdin)
                said = client.stdout.bytes()
                self.assertEqual(said.count(texts.prompt()), prompts)
                shown = [texts.shown_reply(texts.escaped(texts.reply(line))) for line in answered]
                self.assertEqual(said.replace(texts.prompt(), b""), b"".join(shown))
                self.assertTrue(said.endswith(texts.prompt()))
                if name == "lines after exit":
                    self.assert_one_line(client.stderr.bytes(), PROGRAM, "not sent from line 3")
                else:
                    self.assert_quiet(client)

    def test_english(self):
        server = self.server()
        client = self.run_client("--ca", self.ca, "--lang", "en", str(server.port),
                                 stdin=b"hello\nexit\n")
        self.assertEqual(client.stdout.bytes().decode(), (
            "Enter a message ('exit' to leave): Reply received: 你好，我已收到你的消息：hello\n"
            "Enter a message ('exit' to leave): "))

    def test_message_option(self):
        server = self.server()
        client = self.start_client("--ca", self.ca, "-m", "one", "--message", "两", "--message=3",
                                   str(server.port))
        client.finish(0)  # although its stdin is open: it is not read
        self.assertEqual(client.stdout.bytes(), b"".join(
            texts.shown_reply(texts.reply(word.encode())) for word in ("one", "两", "3")))
        self.assert_quiet(client)

    def test_quiet(self):
        server = self.server()
        for words, stdin in ((("-q",), b"one\ntwo\n"), (("--quiet", "-m", "one", "-m", "two"),
                                                              b"")):
            client = self.run_client("--ca", self.ca, *words, str(server.port), stdin=stdin)
            self.assertEqual(client.stdout.bytes(),
                             texts.reply(b"one") + b"\n" + texts.reply(b"two") + b"\n")
            self.assert_quiet(client)

    def test_addresses(self):
        self.need_ipv6()
        server = self.server(listen=("127.0.0.1:0", "[::1]:0"))
        (_, four), (_, six) = server.addresses
        addresses = [f"{four}", f"127.0.0.1:{four}", f"[::1]:{six}"]
        # Where localhost has both addresses only one of them listens: all are tried.
        known = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        addresses += [f"localhost:{port}" for host, port in (("127.0.0.1", four), ("::1", six))
                      if host in known]
        for address in addresses:
            with self.subTest(address):
                client = self.run_client("--ca", self.ca, "-q", "-m", "hello", address)
                self.assertEqual(client.stdout.bytes(), texts.reply(b"hello") + b"\n")

    def test_one_message_is_one_record_and_one_at_a_time(self):
        lines = [b"one", b"x" * 16000, b"three"]
        seen = []

        def handle(end):
            while data := end.receive():
                early = select.select([end.sock], [], [], 0.1)[0]
                seen.append((data, early))
                end.send(b"ok")
            end.answer_close()

        peer = self.tls_peer(handle)
        client = self.run_client("--ca", self.ca, "-q", str(peer.port),
                                 stdin=b"".join(line + b"\n" for line in lines))
        peer.finish()
        self.assertEqual(seen, [(line, []) for line in lines])
        self.assertEqual(client.stdout.bytes(), b"ok\n" * 3)

    def test_longest_line(self):
        server = self.server()
        line = "中".encode() * 5333 + b"!"
        client = self.run_client("--ca", self.ca, "-q", str(server.port), stdin=line + b"\n")
        self.assertEqual(client.stdout.bytes(), texts.reply(line) + b"\n")

    def test_replies_are_escaped(self):
        words = "\x1b[2J\x07 \u202e 你好 \x7f\u0085\t|".encode()

        def handle(end):
            end.receive()
            end.send(words)
            end.receive()
            end.answer_close()

        peer = self.tls_peer(handle)
        client = self.run_client("--ca", self.ca, "-m", "hello", str(peer.port))
        peer.finish()
        self.assertEqual(texts.lower_escapes(client.stdout.bytes()),
                         texts.shown_reply(texts.escaped(words)))

    def test_reply_split_within_a_character(self):
        def handle(end):
            end.receive()
            for byte in "中".encode():
                end.send(bytes([byte]))
            end.receive()
            end.answer_close()

        peer = self.tls_peer(handle)
        client = self.run_client("--ca", self.ca, "-m", "hello", str(peer.port))
        peer.finish()
        self.assertEqual(client.stdout.bytes(), texts.shown_reply("中".encode()))


class ExitCodes(ClientTest):
    """0 is all of the above; 4 and 5 have classes of their own."""

    def fails(self, peer, expect, *says, words=("-m", "hello"), stdin=b"", timeout=5):
        client = self.run_client("--ca", self.ca, "--timeout", seconds(timeout), *words,
                                 str(peer.port), stdin=stdin, expect=expect)
        peer.abandon()
        self.assert_one_line(client.stderr.bytes(), PROGRAM, str(peer.port), *says)
        return client

    def test_1_a_line_refused(self):
        rows = (
            ("too long", b"one\n" + b"x" * 16001 + b"\ntwo\n", "16000"),
            ("far too long", b"one\n" + b"x" * 3000000 + b"\ntwo\n", "16000"),
            ("invalid UTF-8", b"one\n\xff\xfe\ntwo\n", "utf-8"),
            ("a cut character", b"one\n\xe4\xb8\ntwo\n", "utf-8"),
        )
        for name, stdin, says in rows:
            with self.subTest(name):
                server = self.server("--format", "json")
                client = self.run_client("--ca", self.ca, "-q", "--document-flow", str(server.port),
                                         stdin=stdin, expect=1)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, says)
                self.assertEqual(client.stdout.bytes(),
                                 texts.reply(b"one") + b"\n" + texts.reply(b"two") + b"\n")
                server.stop(0)
                self.assertIn(b'"how":"clean","messages":2', server.stdout.bytes())

    def test_2_usage(self):
        client = self.run_client("--ca", self.ca, "-m", "", "1", expect=2)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "message")

    def test_3_no_connection(self):
        port = network.unused_port()
        rows = (("refused", f"127.0.0.1:{port}", ("refused",)),
                ("name unknown", f"no-such-host.invalid:{port}", ()))
        for name, address, says in rows:
            with self.subTest(name):
                client = self.run_client("--ca", self.ca, "-m", "hello", address, expect=3)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, address.split(":")[0], *says)
                self.assertEqual(client.stdout.bytes(), b"")

    def test_3_no_handshake(self):
        def silent(sock):
            while sock.recv(4096):
                pass

        def closes(sock):
            sock.recv(4096)

        def resets(sock):
            sock.recv(1)
            network.reset(sock)

        def http(sock):
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        def banner(sock):
            sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            sock.recv(4096)

        def document(sock):
            sock.sendall(texts.reply(sock.recv(1024)))

        rows = (("timed out", silent, (TIMED_OUT,)), ("closed", closes, ()), ("reset", resets, ()),
                ("HTTP", http, ("TLS",)), ("a banner", banner, ("TLS",)),
                ("the document's server", document, ("TLS",)))
        for name, handle, says in rows:
            with self.subTest(name):
                started = time.monotonic()
                self.fails(self.peer(handle), 3, *says, timeout=1)
                self.assertLess(time.monotonic() - started, scaled(4))

    def test_3_handshake_timeout_is_one_budget(self):
        def drip(sock):
            sock.recv(4096)
            for byte in b"\x16\x03\x03\x40\x00" + bytes(200):
                if select.select([sock], [], [], 0.1)[0] and not sock.recv(4096):
                    return
                sock.sendall(bytes([byte]))

        started = time.monotonic()
        self.fails(self.peer(drip), 3, TIMED_OUT, timeout=1)
        self.assertLess(time.monotonic() - started, scaled(4))

    def test_3_no_common_version(self):
        peer = self.tls_peer(self.answer, maximum=ssl.TLSVersion.TLSv1_2)
        self.fails(peer, 3, words=("--tls-min", "1.3", "-m", "hello"))

    def test_tls_min_is_1_2_by_default(self):
        peer = self.tls_peer(self.answer, maximum=ssl.TLSVersion.TLSv1_2)
        self.run_client("--ca", self.ca, "-m", "hello", str(peer.port))
        peer.finish()

    def test_3_an_alert_that_is_not_about_us(self):
        def handle(sock):
            sock.recv(4096)
            sock.sendall(b"\x15\x03\x03\x00\x02\x02\x50")  # internal_error
            sock.recv(4096)

        self.fails(self.peer(handle), 3)

    def test_6_cut_while_a_reply_is_due(self):
        def clean(end):
            end.receive()
            end.send_close_notify()
            end.sock.recv(4096)

        def truncated(end):
            end.receive()
            end.drop()

        def reset(end):
            end.receive()
            end.reset()

        def silent(end):
            end.receive()
            end.receive()

        def invalid(end):
            end.receive()
            end.send(b"ok\xff")
            end.sock.recv(4096)

        rows = (("clean", clean, ()), ("truncated", truncated, (("truncated", "close_notify"),)),
                ("reset", reset, ("reset",)), ("no reply in time", silent, (TIMED_OUT,)),
                ("invalid UTF-8", invalid, ("utf-8",)))
        for name, handle, says in rows:
            for words, stdin in ((("-m", "hello"), b""), ((), b"hello\n")):
                with self.subTest(name, words=words):
                    client = self.fails(self.tls_peer(handle), 6, *says, words=words, stdin=stdin,
                                        timeout=1)
                    self.assertEqual(client.stdout.bytes(), b"" if words else texts.prompt())

    def test_6_second_reply_missing(self):
        def handle(end):
            end.send(texts.reply(end.receive()))
            end.receive()
            end.drop()

        client = self.fails(self.tls_peer(handle), 6, words=("-m", "one", "-m", "two"))
        self.assertEqual(client.stdout.bytes(), texts.shown_reply(texts.reply(b"one")))

    def test_6_cut_at_the_prompt(self):
        """The socket is watched while a line is waited for."""
        rows = (("clean", lambda end: (end.send_close_notify(), end.sock.recv(4096))),
                ("truncated", lambda end: end.drop()), ("reset", lambda end: end.reset()))
        for name, leave in rows:
            with self.subTest(name):
                prompted = threading.Event()

                def handle(end, leave=leave, prompted=prompted):
                    end.send(texts.reply(end.receive()))
                    prompted.wait(scaled(10))
                    leave(end)

                peer = self.tls_peer(handle)
                client = self.start_client("--ca", self.ca, str(peer.port))
                client.write(b"hello\n")
                client.stdout.wait_for(texts.prompt(), 2)
                prompted.set()
                client.finish(6)
                peer.abandon()
                self.assert_one_line(client.stderr.bytes(), PROGRAM, str(peer.port))
                self.assertEqual(client.stdout.bytes().count("收到回应：".encode()), 1)

    def test_6_reply_and_end_together(self):
        """What came with the reply must be noticed although the socket is silent by then."""
        def clean(end):
            end.queue(texts.reply(end.receive()))
            end.queue_close_notify()
            end.flush()
            end.sock.recv(4096)

        def truncated(end):
            end.send(texts.reply(end.receive()))
            end.drop()

        for handle in (clean, truncated):
            for _ in range(3):
                with self.subTest(handle.__name__):
                    peer = self.tls_peer(handle)
                    client = self.start_client("--ca", self.ca, str(peer.port))
                    client.write(b"hello\n")
                    client.finish(6)
                    peer.abandon()
                    self.assert_one_line(client.stderr.bytes(), PROGRAM, str(peer.port))
                    self.assertEqual(client.stdout.bytes(), texts.prompt()
                                     + texts.shown_reply(texts.reply(b"hello")) + texts.prompt())

    def test_0_whatever_the_server_does_after_close_notify(self):
        def expect_close_notify(end):
            end.send(texts.reply(end.receive()))
            if end.receive() != b"":
                raise AssertionError("no close_notify")

        def drops(end):
            end.drop()

        def resets(end):
            end.reset()

        def stays(end):
            end.sock.settimeout(scaled(10))
            network.receive_all(end.sock)

        def talks(end):
            for _ in range(50):
                end.send(b"more " * 1000)

        for leave in (drops, resets, stays, talks):
            for words, stdin in ((("-m", "hello"), b""), ((), b"hello\n")):
                with self.subTest(leave.__name__, words=words):
                    def handle(end, leave=leave):
                        expect_close_notify(end)
                        try:
                            leave(end)
                        except (OSError, ssl.SSLError):
                            pass  # the client need not wait for it

                    peer = self.tls_peer(handle)
                    started = time.monotonic()
                    client = self.run_client("--ca", self.ca, *words, str(peer.port), stdin=stdin)
                    self.assertLess(time.monotonic() - started, scaled(3))
                    peer.finish()
                    self.assert_quiet(client)

    def test_0_after_exit_close_notify_without_the_reply(self):
        seen = []

        def handle(end):
            while data := end.receive():
                seen.append(data)
            end.drop()

        peer = self.tls_peer(handle)
        client = self.run_client("--ca", self.ca, str(peer.port), stdin=b"exit\n")
        peer.finish()
        self.assertEqual(seen, [b"exit"])
        self.assertEqual(client.stdout.bytes(), texts.prompt())
        self.assert_quiet(client)

    def test_default_address_is_the_document_s(self):
        """Only its words are looked at: something may well listen on the fixed port."""
        client = self.keep(Program([*program("tlsmsg-client"), "--ca", self.ca,
                                            "--timeout", seconds(2), "-m", "x"],
                                           stdin=subprocess.DEVNULL, name="tlsmsg-client"))
        if client.wait() != 0:
            self.assertIn(b"127.0.0.1:12345", client.stderr.bytes())


if __name__ == "__main__":
    harness.main(plaintext=False)
