#!/usr/bin/env python3
"""SIGTERM and SIGINT end the server in order; a second one ends it at once. SIGUSR1 tells its
state."""

import fcntl
import os
import signal
import sys
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

SIGNALS = (signal.SIGTERM, signal.SIGINT)
MESSAGE = b"0123456789abcdef" * 1000


class SignalTest(ProgramTest):
    def connect(self, server, **how):
        end = tls.connect(server.port, tls.client_context(default_certificates().ca), **how)
        self.addCleanup(end.sock.close)
        return end

    def owe_replies(self, server):
        """A client that sends without reading, until the server takes no more: then it holds
        replies that can't leave, and one message of this client's at most is unread."""
        end = self.connect(server, small_buffers=True)
        for _ in range(2000):
            end.send(MESSAGE)
            try:
                kernel.wait_read_by_peer(end.sock, limit=0.4)
            except AssertionError:
                return end
        raise AssertionError("the server reads on although its replies are not read")


class InOrder(SignalTest):
    def test_from_the_first_word_on(self):
        """Once the address is told, a signal is in order."""
        for _ in range(20):
            server = self.server()
            server.signal()
            server.finish(0)

    def test_idle_server(self):
        for number in SIGNALS:
            with self.subTest(number.name):
                server = self.server()
                server.signal(number)
                server.finish(0)
                self.assertEqual(server.transcript(), texts.waiting())
                self.assertEqual(server.log(), b"")

    def test_conversations_get_close_notify(self):
        for number in SIGNALS:
            with self.subTest(number.name):
                server = self.server("--format", "json", "--workers", "2",
                                     "--drain-timeout", seconds(30))
                ends = [self.connect(server) for _ in range(10)]
                for end in ends[:5]:
                    end.send(b"hello")
                    self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
                # A TLS 1.3 client is done before the server is: a handshake in flight is dropped.
                server.wait_line(b'"event":"connected"', len(ends))
                started = time.monotonic()
                server.signal(number)
                for end in ends:
                    self.assertEqual(end.receive(), b"", "no close_notify")
                    end.close()
                server.finish(0)
                self.assertLess(time.monotonic() - started, scaled(5), "not at once")
                said = server.transcript()
                self.assertEqual(said.count(b'"how":"drained"'), 10, said)
                self.assertEqual(server.log(), b"")

    def test_stalled_handshake_has_the_drain_timeout(self):
        server = self.server("--handshake-timeout", seconds(50), "--drain-timeout", seconds(1))
        with network.connect(server.port) as stalled:
            stalled.sendall(b"\x16\x03\x01")
            kernel.wait_read_by_peer(stalled)
            started = time.monotonic()
            server.signal()
            server.finish(0, limit=5)
            self.assertGreater(time.monotonic() - started, scaled(0.9), "cut at once")

    def test_peer_that_stays_does_not_delay(self):
        """A peer that does not answer the close_notify is given a second, not more."""
        server = self.server("--drain-timeout", seconds(50))
        end = self.connect(server)
        end.send(b"hello")
        self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
        server.signal()
        self.assertEqual(end.receive(), b"")
        server.finish(0, limit=5)

    def test_unsent_replies_are_still_delivered(self):
        server = self.server("--quiet", "--drain-timeout", seconds(30))
        end = self.owe_replies(server)
        server.signal()
        kernel.wait_not_listening(server.port)
        got, reply = end.receive_until_close(), texts.reply(MESSAGE)
        self.assertGreater(len(got), 0)
        self.assertEqual(got, reply * (len(got) // len(reply)), "a reply was cut")
        end.sock.close()
        server.finish(0)


class State(SignalTest):
    def test_status_of_the_server(self):
        """SIGUSR1 prints a screen, and nothing else changes."""
        server = self.server()
        end = self.connect(server)
        end.send(b"hello")
        self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
        server.signal(signal.SIGUSR1)
        server.stderr.wait_for(b"transcript:    0 bytes wait for stdout\n")
        said = server.log().decode()
        self.assertRegex(said, rf"\Atlsmsg-server \S+ \(TLS, [^)]+\)\n"
                               rf"  up 0 d 00:\d\d:\d\d, workers: \d+, "
                               rf"listening on 127\.0\.0\.1:{server.port}\n"
                               r"  connections:   1 open \(0 in handshake\), 1 accepted\n"
                               r"  conversations: 1 begun\n"
                               r"  messages:      1 in 5 bytes\n"
                               # A reply is counted once it was sent, which can be later than now.
                               r"  replies:       (?:1 in 41|0 in 0) bytes, \d+ bytes wait\n")
        end.send(b"hello")
        self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
        end.close()
        server.signal()
        server.finish(0)


class AtOnce(SignalTest):
    def test_drain_timeout(self):
        """Replies that could not be delivered are the one thing that makes it exit 1."""
        server = self.server("--quiet", "--drain-timeout", seconds(0.5))
        self.owe_replies(server)
        started = time.monotonic()
        server.signal()
        server.finish(1)
        took = time.monotonic() - started
        self.assertGreater(took, scaled(0.4), "did not wait for the client")
        self.assertLess(took, scaled(4), "waited longer than the drain timeout")

    def test_drain_timeout_of_less_than_a_millisecond(self):
        """Short is not none: a stdout that takes no more is not waited for any longer."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        server = self.server("--drain-timeout", "0.0005", stdout=writing)
        os.close(writing)
        end = self.connect(server)
        end.send(MESSAGE)
        kernel.wait_read_by_peer(end.sock)
        server.signal()
        server.finish(1, limit=5)
        self.assertIn(b"cannot write the transcript: stdout took no more of it within the drain "
                      b"timeout\n", server.log())

    def test_second_signal(self):
        for number in SIGNALS:
            with self.subTest(number.name):
                server = self.server("--quiet", "--drain-timeout", seconds(50))
                self.owe_replies(server)
                server.signal(number)
                kernel.wait_not_listening(server.port)  # the first one was taken
                # Two pending signals of one kind are one, so it is sent until it acts.
                for _ in range(50):
                    if server.process.poll() is not None:
                        break
                    server.signal(number)
                    time.sleep(0.1)
                self.assertEqual(server.wait(), -number)


if __name__ == "__main__":
    harness.main(plaintext=False)
