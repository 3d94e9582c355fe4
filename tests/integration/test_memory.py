#!/usr/bin/env python3
"""Whatever stdout or the store does, the server's memory stays under --max-buffered and 64 KiB a connection."""

import contextlib
import fcntl
import os
import re
import resource
import select
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import manager
import network
import tls
from certificates import default_certificates
from harness import ProgramTest
from settings import SLOWDOWN, build_dir, is_plaintext

MIB = 1 << 20
DECIDED = re.compile(b'"event":"(?:message|closed)"')
LONGEST = len(b'"event":"message"')


class Memory(ProgramTest):
    CLIENTS, BUFFERED, CONNECTION = 50, 4 * MIB, 64 * 1024
    OWN = 0  # what the program takes for itself later than at the first message
    FORM = ("--format", "json")

    def setUp(self):
        super().setUp()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        if not is_plaintext():
            self.context = tls.client_context(default_certificates().ca)
        self.reading, writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        self.server = self.server(*self.FORM, "--accept", "0", "--max-buffered",
                                  str(self.BUFFERED), stdout=writing)
        os.close(writing)
        self.talk()

    def talk(self):
        """A conversation beforehand: what the program takes for itself is there then."""
        if is_plaintext():
            with network.connect(self.server.port) as sock:
                sock.sendall(b"x")
                sock.recv(100)
        else:
            end = tls.connect(self.server.port, tls.client_context(default_certificates().ca))
            end.send(b"x")
            end.receive()
            end.close()
        if "--quiet" not in self.FORM:
            lines = b""
            while b'"event":"closed"' not in lines:
                lines += os.read(self.reading, 4096)

    def memory(self, name):
        return int(manager.status(self.server.pid)[name].split()[0]) * 1024

    def client(self, records, says_goodbye=False, **how):
        """A connection, and the bytes that bring these records, and say that no more come."""
        if is_plaintext():
            sock = network.connect(self.server.port, **how)
            self.addCleanup(sock.close)
            return sock, b"".join(records)
        end = tls.connect(self.server.port, self.context, **how)
        self.addCleanup(end.sock.close)
        for record in records:
            end.queue(record)
        if says_goodbye:
            end.queue_close_notify()
        return end.sock, end.outgoing.read()

    @staticmethod
    def send_on(unsent, writable):
        for sock in writable:
            try:
                unsent[sock] = unsent[sock][sock.send(unsent[sock]):]
            except ConnectionError:
                unsent[sock] = b""  # it was told meanwhile
            if not unsent[sock]:
                del unsent[sock]

    def stop_for_a_moment(self, records, is_done):
        """Clients send all they have while nobody reads stdout; then it is read slowly until is_done
        says of the transcript, as lines of messages and ends, and bytes, that all is there."""
        clients = [self.client(records) for _ in range(self.CLIENTS)]
        before = self.memory("VmRSS")
        for sock, _ in clients:
            sock.setblocking(False)
        unsent = dict(clients)
        while writable := select.select([], list(unsent), [], 0.5)[1]:
            self.send_on(unsent, writable)
        lines, length, tail = 0, 0, b""
        while not is_done(lines, length):
            readable, writable, _ = select.select([self.reading], list(unsent), [], 10)
            self.assertTrue(readable or writable, f"stuck after {lines} lines")
            self.send_on(unsent, writable)
            if readable:
                text = os.read(self.reading, 1 << 14)
                time.sleep(0.0005)  # the server is faster, and holds again and again
                length += len(text)
                text = tail + text
                lines += len(DECIDED.findall(text))
                tail = text[1 - LONGEST:]
        self.check_grown(before)

    def check_grown(self, before):
        grown = self.memory("VmHWM") - before
        self.assertIsNone(self.server.process.poll(), self.server.log())
        self.server.kill()
        if SLOWDOWN == 1:  # a sanitizer keeps 256 MiB of what was freed
            self.assertLess(grown, self.OWN + self.BUFFERED + self.CLIENTS * self.CONNECTION)

    def test_long_messages(self):
        """A NUL is six bytes of a JSON line."""
        records = [bytes(16_000)] * 5
        self.stop_for_a_moment(records, lambda lines, length: length >= self.CLIENTS * 480_000)

    def test_mixed_messages(self):
        """After the long ones that a hold has stopped come many short ones, of which a line is far
        longer than the message."""
        if is_plaintext():
            self.skipTest("here messages that wait become long ones")
        records = [bytes(16_000)] + [b"x"] * 400
        self.stop_for_a_moment(records, lambda lines, _: lines == self.CLIENTS * 401)


def numbered(*bodies):
    stream = b"HELLO 1\n" + b"".join(b"MSG %d %d\n%s\n" % (number, len(body), body)
                                      for number, body in enumerate(bodies, 1))
    return [stream[at:at + tls.RECORD] for at in range(0, len(stream), tls.RECORD)]


class Deaf(Memory):
    """Clients that take none of their replies: what waits for them counts as the memory that it
    lies in."""

    FORM = ("--quiet",)

    def send_all(self, records):
        clients = [self.client(records, small_buffers=True) for _ in range(self.CLIENTS)]
        before = self.memory("VmRSS")
        for sock, _ in clients:
            sock.setblocking(False)
        unsent = dict(clients)
        while writable := select.select([], list(unsent), [], 1)[1]:
            self.send_on(unsent, writable)
        self.check_grown(before)

    def test_long_messages(self):
        self.send_all([b"x" * 15_000] * 400)

    def test_mixed_messages(self):
        if is_plaintext():
            self.skipTest("numbered messages need TLS")
        self.context.set_alpn_protocols(["tlsmsg/1"])
        self.send_all(numbered(*[b"x" * 15_000] * 400))


@unittest.skipIf(is_plaintext(), "numbered messages need TLS")
class Numbered(Memory):
    def setUp(self):
        super().setUp()
        self.context.set_alpn_protocols(["tlsmsg/1"])

    def test_long_messages(self):
        """Of 200,000 bytes: a line of this length waits as it came. Most lose their conversation."""
        self.stop_for_a_moment(numbered(bytes(200_000)),
                               lambda lines, _: lines == self.CLIENTS)

    def test_mixed_messages(self):
        """A record holds more than a thousand messages."""
        self.stop_for_a_moment(numbered(bytes(16_000), *[b"x"] * 400),
                               lambda lines, _: lines == self.CLIENTS * 401)


@unittest.skipUnless(os.path.exists(os.path.join(build_dir(), "tlsmsg-store")), "needs a store")
class Stored(Memory):
    """Nothing is committed for a while: messages wait, and so do those who sent them."""

    OWN = 2 * MIB  # SQLite keeps so many pages of what was stored, in all

    @property
    def FORM(self):
        return ("--quiet", "--store", self.path("store.db"), "--store-timeout", "600")

    def stop_for_a_moment(self, records, is_done=None):
        clients = [self.client(records, says_goodbye=True) for _ in range(self.CLIENTS)]
        before = self.memory("VmRSS")
        for sock, _ in clients:
            sock.setblocking(False)
        unsent, open_still = dict(clients), {sock for sock, _ in clients}
        with contextlib.closing(sqlite3.connect(self.path("store.db"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            while writable := select.select([], list(unsent), [], 0.5)[1]:
                self.send_on(unsent, writable)
            other.execute("ROLLBACK")
        while open_still:
            readable, writable, _ = select.select(open_still, list(unsent), [], 60)
            self.assertTrue(readable or writable, f"stuck with {len(open_still)} conversations")
            self.send_on(unsent, writable)
            for sock in readable:
                try:
                    over = sock.recv(1 << 16) == b""
                except ConnectionResetError:
                    over = True
                if over:
                    open_still.remove(sock)
                    unsent.pop(sock, None)
        self.check_grown(before)

    def test_numbered_messages(self):
        """More than fits: some lose their conversation."""
        self.context.set_alpn_protocols(["tlsmsg/1"])
        self.stop_for_a_moment(numbered(bytes(16_000), bytes(200_000), *[b"x"] * 400))


if __name__ == "__main__":
    harness.main()
