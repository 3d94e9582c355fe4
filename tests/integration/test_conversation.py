#!/usr/bin/env python3
"""Conversations over TLS: messages of every size and cut, many clients, clients that misbehave.

Python's TLS over memory BIOs is the peer, so that records, segments and the way a connection ends
are in the test's hands. The ciphers and versions are test_policy.py's, transcripts
test_transcript.py's, signals test_signals.py's.
"""

import os
import select
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import network
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from settings import scaled, seconds

VERSIONS = ((ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"))


def context(version=None):
    return tls.client_context(default_certificates().ca, minimum=version, maximum=version)


class ConversationTest(ProgramTest):
    def connect(self, server, *, version=None, **how):
        end = tls.connect(server.port, context(version), **how)
        self.addCleanup(end.sock.close)
        return end

    def assert_served(self, server, message=b"are you there?"):
        """A new client gets its reply, in time."""
        with self.connect(server) as end:
            end.send(message)
            reply = texts.reply(message)
            self.assertEqual(end.receive_exactly(len(reply)), reply)
            self.assertEqual(end.close(), b"")


class Messages(ConversationTest):
    SIZES = (1, 2, 35, 36, 37, 255, 988, 1024, 1025, 4096, 8191, 16000, 16347, 16348, 16349,
             16383, 16384)

    def test_each_size_gets_one_reply(self):
        server = self.server()
        for version, name in VERSIONS:
            with self.connect(server, version=version) as end:
                expected = b""
                for size in self.SIZES:
                    message = bytes(97 + at % 26 for at in range(size))
                    reply = texts.reply(message)
                    end.send(message)
                    self.assertEqual(end.receive_exactly(len(reply)), reply, f"{name}, {size}")
                    expected += reply
                self.assertEqual(end.close(), b"", f"{name}: more than one reply each")

    def test_cuts_of_characters(self):
        """Records on the left, messages on the right."""
        face = "😀".encode()
        rows = (
            ("one cut", [b"a\xe4", b"\xb8\xad b"], [b"a", "中 b".encode()]),
            ("a byte a record", [face[at:at + 1] for at in range(4)], [face]),
            ("two and two", [face[:2], face[2:]], [face]),
            ("three and one", [b"x" + face[:3], face[3:]], [b"x", face]),
            ("tail of a tail", [b"ab\xc3", b"\xa9\xe4\xb8", b"\xad"],
             [b"ab", "é".encode(), "中".encode()]),
            ("whole characters", ["中文".encode(), "é".encode()],
             ["中文".encode(), "é".encode()]),
        )
        server = self.server()
        for together in (True, False):
            for name, records, messages in rows:
                with self.subTest(name, together=together):
                    with self.connect(server) as end:
                        if together:
                            end.send(*records)
                        else:
                            for record in records:
                                end.send(record)
                                kernel.wait_read_by_peer(end.sock)
                        expected = b"".join(map(texts.reply, messages))
                        self.assertEqual(end.receive_exactly(len(expected)), expected)
                        self.assertEqual(end.close(), b"")

    def test_several_records_in_one_segment(self):
        server = self.server()
        for version, name in VERSIONS:
            for count, size in ((2, 5), (50, 20), (500, 3), (20, 16000)):
                with self.subTest(name, count=count, size=size):
                    messages = [b"%0*d" % (size, number) for number in range(count)]
                    with self.connect(server, version=version) as end:
                        end.send(*messages)
                        expected = b"".join(map(texts.reply, messages))
                        self.assertEqual(end.receive_exactly(len(expected)), expected)
                        self.assertEqual(end.close(), b"")

    def test_messages_and_close_notify_in_one_segment(self):
        """The end of the peer's sending takes nothing from what it sent before."""
        server = self.server()
        for version, name in VERSIONS:
            with self.subTest(name):
                messages = [b"message %d" % number for number in range(10)]
                with self.connect(server, version=version) as end:
                    for message in messages:
                        end.queue(message)
                    end.queue_close_notify()
                    end.flush()
                    self.assertEqual(end.receive_until_close(),
                                     b"".join(map(texts.reply, messages)))
                    end.expect_end_of_file()

    def test_a_record_byte_by_byte(self):
        server = self.server()
        end = self.connect(server)
        end.queue(b"drip")
        for byte in end.outgoing.read():
            end.sock.sendall(bytes([byte]))
        self.assertEqual(end.receive_exactly(40), texts.reply(b"drip"))
        end.close()

    def test_exit_is_a_message_to_the_server(self):
        server = self.server()
        with self.connect(server) as end:
            for message in (b"exit", b"still talking"):
                end.send(message)
                reply = texts.reply(message)
                self.assertEqual(end.receive_exactly(len(reply)), reply)

    def test_invalid_utf8_is_closed_in_order(self):
        server = self.server()
        rows = (("by itself", [b"\xff"], []),
                ("after good messages", [b"one", b"two", b"\xc0\xaf"], [b"one", b"two"]),
                ("a tail that does not go on", [b"a\xe4", b"x"], [b"a"]))
        for name, records, answered in rows:
            with self.subTest(name):
                with self.connect(server) as end:
                    end.send(*records)
                    self.assertEqual(end.receive_until_close(),
                                     b"".join(map(texts.reply, answered)))
                    end.expect_end_of_file()
        with self.subTest("a tail incomplete at the end"), self.connect(server) as end:
            end.queue(b"a\xe4\xb8")
            end.queue_close_notify()
            end.flush()
            self.assertEqual(end.receive_until_close(), texts.reply(b"a"))
            end.expect_end_of_file()
        self.assert_served(server)
        server.stop(0)
        self.assertEqual(len(server.log().splitlines()), 4, server.log())
        for line in server.log().splitlines(True):
            self.assert_one_line(line, "", "utf-8")


class Closing(ConversationTest):
    def test_close_notify_in_both_directions(self):
        server = self.server()
        for version, name in VERSIONS:
            with self.subTest(name):
                with self.connect(server, version=version) as end:
                    end.send(b"hello")
                    self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
                    self.assertEqual(end.close(), b"")

    def test_close_without_a_message(self):
        server = self.server()
        for version, name in VERSIONS:
            with self.subTest(name):
                with self.connect(server, version=version) as end:
                    self.assertEqual(end.close(), b"")

    def test_rude_ends_disturb_nobody(self):
        server = self.server()
        steady = self.connect(server)
        for rude in ("drop", "reset"):
            for late in (False, True):
                end = self.connect(server)
                end.send(b"hello")
                if late:
                    end.receive()
                getattr(end, rude)()
        steady.send(b"steady")
        self.assertEqual(steady.receive_exactly(42), texts.reply(b"steady"))
        self.assertEqual(steady.close(), b"")


class Options(ConversationTest):
    def test_reply(self):
        rows = (
            ("taken as it is", "got '%s' \\n {x} {message}!", b"got '%s' \\n {x} hello!"),
            ("the message alone", "{message}", b"hello"),
            ("the message first", "{message}。", "hello。".encode()),
            ("384 bytes beside it", "x" * 384 + "{message}", b"x" * 384 + b"hello"),
            ("braces around", "{{message}}", b"{hello}"),
        )
        for name, template, expected in rows:
            with self.subTest(name):
                server = self.server("--reply", template)
                with self.connect(server) as end:
                    end.send(b"hello")
                    self.assertEqual(end.receive_exactly(len(expected)), expected)
                    self.assertEqual(end.close(), b"")
                server.stop(0)

    def test_message_is_not_a_template(self):
        server = self.server("--reply", "<{message}>")
        with self.connect(server) as end:
            end.send(b"{message}%s")
            self.assertEqual(end.receive_exactly(13), b"<{message}%s>")

    def test_largest_reply(self):
        server = self.server("--reply", "x" * 192 + "{message}" + "y" * 192)
        with self.connect(server) as end:
            end.send(b"m" * 16384)
            self.assertEqual(end.receive_exactly(16768), b"x" * 192 + b"m" * 16384 + b"y" * 192)
            self.assertEqual(end.close(), b"")

    def test_receive_size(self):
        server = self.server("--recv-size", "10")
        with self.connect(server) as end:
            end.send(b"0123456789" * 2 + b"abc", "123456789中".encode())
            expected = b"".join(map(texts.reply, (
                b"0123456789", b"0123456789", b"abc", b"123456789", "中".encode())))
            self.assertEqual(end.receive_exactly(len(expected)), expected)
            self.assertEqual(end.close(), b"")

    def test_several_addresses(self):
        self.need_ipv6()
        server = self.server(listen=("127.0.0.1:0", "[::1]:0", "0"))
        hosts = [address[0] for address in server.addresses]
        self.assertEqual(hosts, ["127.0.0.1", "[::1]", "127.0.0.1"])
        for host, port in server.addresses:
            with tls.connect(port, context(), host=host.strip("[]")) as end:
                end.send(b"hello")
                self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
                self.assertEqual(end.close(), b"")

    def test_a_name_listens_on_all_its_addresses(self):
        known = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        server = self.server(listen=("localhost:0",))
        server.stderr.wait_for(b"listening on", len(known))
        said = {host.decode().strip("[]")
                for host, _ in harness.LISTENING.findall(server.stderr.bytes())}
        self.assertEqual(said, known)

    def test_workers(self):
        server = self.server("--workers", "3")
        for _ in range(12):
            self.assert_served(server)

    def test_accept_counts_conversations(self):
        server = self.server("--accept", "3", "--handshake-timeout", seconds(5))
        network.connect(server.port).close()  # a health probe does not count
        with network.connect(server.port) as failed:  # nor does a failed handshake
            failed.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(network.receive_all(failed), b"")
        first, second = self.connect(server), self.connect(server)
        waiting = network.connect(server.port)
        self.addCleanup(waiting.close)
        waiting.sendall(tls.client_hello(context())[:40])
        kernel.wait_read_by_peer(waiting)
        third = self.connect(server)
        kernel.wait_not_listening(server.port)
        self.assertEqual(tls.until_any_end(waiting), b"", "a handshake in flight is dropped")
        for end in (third, first, second):
            end.send(b"hello")
            self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
            self.assertIsNone(server.process.poll(), "ended before its conversations")
            self.assertEqual(end.close(), b"")
        server.finish(0)

    def test_accept_one_ends_after_a_truncated_conversation(self):
        server = self.server("--accept", "1")
        end = self.connect(server)
        end.send(b"hello")
        end.receive()
        end.drop()
        server.finish(0)


class ManyClients(ConversationTest):
    CLIENTS, ROUNDS = 300, 5

    def test_each_gets_its_own_replies_in_order(self):
        server = self.server("--workers", "2", "--quiet")
        shared = context()
        all_connected = threading.Barrier(self.CLIENTS)
        errors = []

        def client(number):
            try:
                with tls.connect(server.port, shared) as end:
                    all_connected.wait(scaled(40))
                    for round_ in range(self.ROUNDS):
                        messages = [b"client %d round %d.%d" % (number, round_, part)
                                    for part in range(3)]
                        end.send(*messages)
                        expected = b"".join(map(texts.reply, messages))
                        if end.receive_exactly(len(expected)) != expected:
                            raise AssertionError(f"client {number} got another's reply")
                    if end.close() != b"":
                        raise AssertionError(f"client {number} got too much")
            except Exception as error:
                all_connected.abort()
                errors.append(error)

        threads = [threading.Thread(target=client, args=(number,))
                   for number in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        server.stop(0)
        self.assertEqual(server.transcript(), b"")


class Hindrances(ConversationTest):
    """One worker, so that whatever is held up holds up everybody."""

    def test_stalled_handshakes(self):
        server = self.server("--workers", "1", "--handshake-timeout", seconds(30))
        hello = tls.client_hello(context())
        stalled = []
        for cut in (0, 1, 5, len(hello) // 2, len(hello) - 1, len(hello)) * 5:
            sock = network.connect(server.port)
            self.addCleanup(sock.close)
            sock.sendall(hello[:cut])
            kernel.wait_read_by_peer(sock)
            stalled.append(sock)
        started = time.monotonic()
        self.assert_served(server)
        self.assertLess(time.monotonic() - started, scaled(3))
        for sock in stalled:
            sock.close()

    def test_handshake_timeout_is_one_budget(self):
        """However slowly the bytes drip, the deadline stands."""
        server = self.server("--handshake-timeout", seconds(1), "--format", "json")
        silent, stalled, dripping = (network.connect(server.port) for _ in range(3))
        started = time.monotonic()
        hello = tls.client_hello(context())
        stalled.sendall(hello[:50])
        for byte in hello[:-1]:
            if select.select([dripping], [], [], scaled(0.05))[0]:
                break
            dripping.sendall(bytes([byte]))
        took = time.monotonic() - started
        self.assertGreater(took, scaled(0.7), "closed before its deadline")
        self.assertLess(took, scaled(3), "the deadline moved with the bytes")
        for sock in (silent, stalled, dripping):
            with sock:
                tls.until_any_end(sock)
        self.assert_served(server)
        server.stop(0)
        said = server.transcript().decode()
        self.assertEqual(said.count('"how":"handshake"'), 2, "of those that sent a byte: " + said)
        self.assertEqual(said.count('"event":"connected"'), 1)
        # One line for each that began a handshake; whether silence is worth one is left open.
        self.assertIn(len(server.log().splitlines()), (2, 3), server.log())

    def fill(self, end, message):
        """Sends messages until the server takes no more; returns how many whole ones it was sent.

        Only the number queued in the TLS engine counts: the last may be on its way in part.
        """
        end.sock.setblocking(False)
        sent, rest = 0, b""
        while sent * len(message) < 64 << 20:
            if not rest:
                end.queue(message)
                sent += 1
                rest = end.outgoing.read()
            if not select.select([], [end.sock], [], scaled(1))[1]:
                end.sock.settimeout(scaled(10))
                return sent, rest
            rest = rest[end.sock.send(rest):]
        raise AssertionError("the server reads on although its replies are not read")

    def test_client_that_never_reads(self):
        server = self.server("--workers", "1", "--quiet")
        end = self.connect(server, small_buffers=True)
        message = b"0123456789abcdef" * 1000
        sent, rest = self.fill(end, message)
        self.assert_served(server)
        # When it reads at last, nothing was lost.
        sender = threading.Thread(target=end.sock.sendall, args=(rest,))
        sender.start()
        reply = texts.reply(message)
        for number in range(sent):
            self.assertEqual(end.receive_exactly(len(reply)), reply, f"reply {number} of {sent}")
        sender.join()
        self.assertEqual(end.close(), b"")

    def test_garbage_from_one_is_no_matter_to_others(self):
        server = self.server("--workers", "1", "--format", "json")
        steady = self.connect(server)
        rows = (
            ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("a line", "你好\n".encode()),
            ("SSLv2 hello", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
            ("zeros", bytes(100)),
        )
        for name, data in rows:
            with self.subTest(name), network.connect(server.port) as sock:
                sock.sendall(data)
                self.assertEqual(network.receive_all(sock), b"", "nothing is sent to plaintext")
        tls_rows = (
            ("a handshake record of noise", b"\x16\x03\x01\x00\x10" + bytes(range(16))),
            ("an endless record", b"\x16\x03\x01\xff\xff" + bytes(70000)),
        )
        for name, data in tls_rows:
            with self.subTest(name), network.connect(server.port) as sock:
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # the server may have ended it first
                self.assertIn(tls.until_any_end(sock)[:1], (b"", b"\x15"), "an alert or nothing")
        with self.subTest("garbage within a conversation"):
            end = self.connect(server)
            end.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            with self.assertRaises(ssl.SSLError):
                end.receive()
        steady.send(b"steady")
        self.assertEqual(steady.receive_exactly(42), texts.reply(b"steady"))
        self.assertEqual(steady.close(), b"")


class HealthProbes(ConversationTest):
    def test_silent(self):
        """Connect, send nothing, leave: no word at the default level, none in the transcript."""
        server = self.server("--format", "json")
        for _ in range(5):
            network.connect(server.port).close()
            network.reset(network.connect(server.port))
        self.assert_served(server)
        server.stop(0)
        self.assertEqual(server.log(), b"")
        self.assertEqual(server.transcript().count(b"\n"), 4, server.transcript())

    def test_debug_level_tells(self):
        server = self.server("--log-level", "debug")
        network.connect(server.port).close()
        server.stderr.wait_until(lambda said: len(said.splitlines()) > 1, "a line on the probe")

    def test_normal_conversation_is_silent(self):
        server = self.server("--log-level", "warning")
        for _ in range(3):
            self.assert_served(server)
        server.stop(0)
        self.assertEqual(server.log(), b"")


if __name__ == "__main__":
    harness.main(plaintext=False)
