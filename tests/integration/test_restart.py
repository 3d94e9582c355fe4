#!/usr/bin/env python3
"""A server that stops, and one that takes its place on the same socket: nobody is cut, and what had
arrived is answered.
"""

import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import manager
import network
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from settings import scaled, seconds

RESTARTS = 60
CLIENTS = 4
TALKERS = 50


class Restart(ProgramTest):
    def setUp(self):
        super().setUp()
        self.context = tls.client_context(default_certificates().ca)
        self.listener = network.listen()
        self.addCleanup(self.listener.close)
        self.port = self.listener.getsockname()[1]

    def start(self, *options):
        boss = manager.Manager()
        self.addCleanup(boss.close)
        server = self.keep(manager.start_server("--quiet", *options, listener=self.listener,
                                                env=boss.environment()))
        boss.wait_for("READY")
        return server

    def connect(self, **how):
        end = tls.connect(self.port, self.context, **how)
        self.addCleanup(end.sock.close)
        return end


class Stop(Restart):
    def test_handshake_after_the_signal(self):
        """It had connected before: it is not cut."""
        server = self.start()
        sock = network.connect(self.port)
        self.addCleanup(sock.close)
        # Of a listening socket it is those that wait to be accepted.
        kernel.wait_until(lambda: not kernel.find(self.listener.getsockname(),
                                                  ("0.0.0.0", 0)).unread, "the server accepts")
        server.signal()
        time.sleep(scaled(0.3))
        with tls.End(sock, self.context, server_hostname="localhost") as end:
            end.handshake()
            end.send(b"hello")
            self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
            self.assertEqual(end.receive(), b"", "no close_notify after the first message")
        server.finish(0)

    def test_first_message_after_the_signal(self):
        server = self.start()
        end = self.connect()
        end.handshake()
        server.signal()
        time.sleep(scaled(0.3))
        end.send(b"hello")
        self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
        self.assertEqual(end.receive(), b"")
        server.finish(0)

    def test_first_message_that_never_comes(self):
        server = self.start("--drain-timeout", seconds(30))
        end = self.connect()
        end.handshake()
        server.signal()
        started = time.monotonic()
        self.assertEqual(end.receive(), b"", "no close_notify")
        self.assertLess(time.monotonic() - started, scaled(3))
        self.assertGreater(time.monotonic() - started, 0.8)
        end.close()
        server.finish(0)

    def test_all_that_had_arrived_is_answered(self):
        """The server is stopped while the messages come: when it wakes, they lie in its socket."""
        server = self.start("--workers", "2")
        ends = [self.connect() for _ in range(TALKERS)]
        for end in ends:
            end.send(b"first")
            self.assertEqual(end.receive_exactly(41), texts.reply(b"first"))
        server.signal(signal.SIGSTOP)
        said = [b"message %d" % i for i in range(100)]
        for end in ends:
            end.send(*said)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        wanted = b"".join(texts.reply(message) for message in said)
        answered = sum(end.receive_until_close() == wanted for end in ends)
        self.assertEqual(answered, TALKERS)
        for end in ends:
            end.sock.close()
        server.finish(0)

    def test_one_that_never_stops_to_talk(self):
        """What it says after the signal is not waited for."""
        server = self.start("--drain-timeout", seconds(30))
        end = self.connect()
        over = threading.Event()

        def talk():
            while not over.is_set():
                try:
                    end.send(b"x" * 1000)
                    end.receive()
                except OSError:
                    return

        talker = threading.Thread(target=talk)
        talker.start()
        time.sleep(scaled(0.3))
        started = time.monotonic()
        server.signal()
        server.finish(0)
        over.set()
        talker.join(scaled(10))
        self.assertLess(time.monotonic() - started, scaled(5))

    def test_connections_that_wait_in_our_own_socket(self):
        server = self.server("--quiet")
        server.signal(signal.SIGSTOP)
        socks = [network.connect(server.port) for _ in range(20)]
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        for sock in socks:
            self.addCleanup(sock.close)
            with tls.End(sock, self.context, server_hostname="localhost") as end:
                end.handshake()
                end.send(b"hello")
                self.assertEqual(end.receive_exactly(41), texts.reply(b"hello"))
        server.finish(0)


class Busy(Restart):
    def setUp(self):
        super().setUp()
        self.over = threading.Event()
        self.done = 0
        self.cut = []
        self.lock = threading.Lock()

    def visit(self):
        """Connects, sends one message, leaves, and again."""
        while not self.over.is_set():
            try:
                with tls.connect(self.port, self.context) as end:
                    end.send(b"hello")
                    answer = end.receive_exactly(41)
                    end.close()
                why = None if answer == texts.reply(b"hello") else repr(answer)
            except (OSError, AssertionError) as error:
                why = repr(error)
            with self.lock:
                self.done += 1
                if why is not None:
                    self.cut.append(why)

    def test_sixty_restarts(self):
        server = self.start()
        clients = [threading.Thread(target=self.visit) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for _ in range(RESTARTS):
                time.sleep(0.05)
                server.signal()
                server.finish(0)
                server = self.start()
        finally:
            self.over.set()
            for client in clients:
                client.join(scaled(20))
        server.signal()
        server.finish(0)
        self.assertGreater(self.done, RESTARTS * CLIENTS)
        self.assertEqual(self.cut, [], f"of {self.done}")


if __name__ == "__main__":
    harness.main(plaintext=False)
