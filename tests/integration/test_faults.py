#!/usr/bin/env python3
"""Hostile and broken peers, and a machine that runs out of things: each with a healthy client
beside it that must get its replies in time. All loops are bounded; nothing leaves loopback."""

import json
import os
import random
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness
import network
import texts
import tls
from certificates import default_certificates
from healthy import Healthy
from settings import program, scaled, seconds


class FaultTest(harness.ProgramTest):
    limit = 90

    def setUp(self):
        super().setUp()
        self.context = tls.client_context(default_certificates().ca)

    def healthy(self, server, **how):
        return Healthy(server.port, self.context, **how)

    def events(self, server):
        return [json.loads(line) for line in server.transcript().splitlines()]

    def memory_kib(self, server):
        with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def descriptors(self, server):
        try:
            return len(os.listdir(f"/proc/{server.pid}/fd"))
        except PermissionError:
            self.skipTest("the sandbox hides the server's descriptors from all but root")

    def cpu_seconds(self, server):
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_descriptors(self, server, most):
        deadline = time.monotonic() + scaled(15)
        while self.descriptors(server) > most:
            self.assertLess(time.monotonic(), deadline, "descriptors were not given back")
            threading.Event().wait(0.05)


class Handshakes(FaultTest):
    def test_half_open_and_dripping(self):
        """500 connections that say nothing, or say it a byte at a time."""
        server = self.server("--quiet", "--handshake-timeout", seconds(3))
        hello = tls.client_hello(self.context)
        before = self.descriptors(server)
        with self.healthy(server), self.healthy(server, fresh=True):
            socks = [network.connect(server.port) for _ in range(500)]
            for i, sock in enumerate(socks[:250]):
                sock.sendall(hello[:1 + i % (len(hello) - 1)])
            for at in range(20):
                for sock in socks[250:300]:
                    sock.send(hello[at:at + 1])
            ended = [sock for sock in socks if self.is_ended(sock)]
            self.assertEqual(len(ended), 500, "the handshake budget did not end them all")
            for sock in socks:
                sock.close()
            self.wait_descriptors(server, before + 8)

    @staticmethod
    def is_ended(sock):
        sock.settimeout(scaled(15))
        try:
            while sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        except socket.timeout:
            return False
        return True

    def test_garbage_http_and_mutated_hellos(self):
        server = self.server("--quiet")
        hello = tls.client_hello(self.context)
        dice = random.Random(1)
        with self.healthy(server), self.healthy(server, fresh=True):
            for i in range(600):
                kind = i % 4
                if kind == 0:
                    data = dice.randbytes(dice.randrange(1, 2000))
                elif kind == 1:
                    data = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
                elif kind == 2:
                    data = b"\x16\x03\x01" + dice.randbytes(dice.randrange(0, 600))
                else:
                    mutated = bytearray(hello)
                    for _ in range(dice.randrange(1, 8)):
                        mutated[dice.randrange(len(mutated))] = dice.randrange(256)
                    data = bytes(mutated)
                with network.connect(server.port) as sock:
                    try:
                        sock.sendall(data)
                        if dice.random() < 0.5:
                            sock.shutdown(socket.SHUT_WR)
                            sock.settimeout(scaled(5))
                            sock.recv(4096)
                    except OSError:
                        pass

    def test_log_stays_readable_under_a_flood(self):
        """A flood of one cause costs a few lines and a count, not a line each."""
        server = self.server("--quiet")
        for _ in range(400):
            with network.connect(server.port) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                network.receive_all(sock)
        server.stop()
        lines = server.log().splitlines()
        self.assertLess(len(lines), 60, "the log was flooded")
        self.assertTrue(any(b"HTTP" in line for line in lines), lines[:3])
        self.assertTrue(any(b"more" in line or b"left out" in line or b"times" in line
                            for line in lines), f"nothing says how many were left out: {lines[-3:]}")

    def test_resets_at_every_point(self):
        server = self.server("--quiet")
        hello = tls.client_hello(self.context)
        with self.healthy(server), self.healthy(server, fresh=True):
            for cut in range(0, len(hello), 7):
                sock = network.connect(server.port)
                sock.sendall(hello[:cut])
                network.reset(sock)
            for steps in range(4):
                for _ in range(10):
                    end = tls.connect(server.port, self.context)
                    if steps > 0:
                        end.send(b"x" * 100)
                    if steps > 1:
                        end.receive()
                    if steps > 2:
                        end.send_close_notify()
                    end.reset()

    def test_connects_in_a_row(self):
        """5,000 connects, half of them probes, half handshakes that are left."""
        server = self.server("--quiet", "--log-level", "error")
        before = self.descriptors(server)
        with self.healthy(server):
            for i in range(5000):
                sock = network.connect(server.port)
                if i % 2:
                    sock.sendall(b"\x16\x03\x01\x02\x00")
                network.reset(sock) if i % 3 else sock.close()
        self.wait_descriptors(server, before + 4)


class Conversations(FaultTest):
    def test_peer_that_never_reads_is_not_read(self):
        """Back-pressure: what it may send is bounded, and so is the server's memory."""
        server = self.server("--quiet", "--write-timeout", seconds(60))
        with self.healthy(server):
            sock = network.connect(server.port, small_buffers=True)
            greedy = tls.End(sock, self.context, server_hostname="localhost")
            greedy.handshake()
            before = self.memory_kib(server)
            # Far more than all buffers between the two can hold; the last record stays half sent.
            sock.settimeout(scaled(2))
            with self.assertRaises(socket.timeout, msg="the server takes messages without end"):
                for _ in range(4000):
                    greedy.queue(b"x" * 16000)
                    sock.sendall(greedy.outgoing.read())
            # A sanitizer keeps freed memory for a while, as it makes programs slow.
            self.assertLess(self.memory_kib(server) - before, scaled(8 * 1024))
            greedy.drop()

    def test_write_stall_is_cut(self):
        server = self.server("--format", "json", "--write-timeout", seconds(1))
        sock = network.connect(server.port, small_buffers=True)
        greedy = tls.End(sock, self.context, server_hostname="localhost")
        greedy.handshake()
        sock.settimeout(scaled(1))
        try:
            for _ in range(2000):
                greedy.send(b"x" * 16000)
        except OSError:
            pass
        server.wait_line(b'"how":"timeout"')
        greedy.drop()

    def test_idle_timeout_closes_in_order(self):
        server = self.server("--format", "json", "--idle-timeout", seconds(1))
        end = tls.connect(server.port, self.context)
        end.send(b"one")
        end.receive_exactly(len(texts.reply(b"one")))
        self.assertEqual(end.receive(), b"", "no close_notify")
        server.wait_line(b'"how":"timeout"')
        end.close()

    def test_one_byte_and_empty_records(self):
        server = self.server("--format", "json")
        with self.healthy(server):
            end = tls.connect(server.port, self.context)
            for _ in range(2000):
                end.queue(b"a")
            end.flush()
            want = texts.reply(b"a") * 2000
            self.assertEqual(end.receive_exactly(len(want)), want)
            end.close()

    def test_transcript_cannot_be_forged(self):
        server = self.server()
        end = tls.connect(server.port, self.context)
        evil = "a\n收到消息：forged\r\n\x1b[2Jb\u202ec\u0085d\u2028e".encode()
        end.send(evil)
        end.receive_exactly(len(texts.reply(evil)))
        end.close()
        server.stop()
        said = server.transcript().decode()
        self.assertEqual(sum(line.startswith("收到消息：") for line in said.split("\n")), 1, said)
        for forbidden in "\x1b\r\u202e\u0085\u2028":
            self.assertNotIn(forbidden, said)

    def test_truncation_still_gets_its_replies(self):
        """A peer that half-closes below TLS, without close_notify, is answered and recorded so."""
        server = self.server("--format", "json")
        end = tls.connect(server.port, self.context)
        end.send(b"last words")
        end.sock.shutdown(socket.SHUT_WR)
        want = texts.reply(b"last words")
        self.assertEqual(end.receive_exactly(len(want)), want)
        server.wait_line(b'"how":"truncated"')
        end.sock.close()

    def test_kill_under_load_loses_no_answered_message(self):
        """kill -9: every reply that any client saw has its message in the transcript's file."""
        path = self.path("transcript")
        server = self.server("--format", "json", "--workers", "2", stdout=path)
        answered = [[] for _ in range(8)]

        def talk(mine, who):
            try:
                end = tls.connect(server.port, self.context)
                for i in range(100000):
                    message = f"{who}-{i}".encode()
                    end.send(message)
                    end.receive_exactly(len(texts.reply(message)))
                    mine.append(message.decode())
            except (OSError, AssertionError, EOFError):
                pass

        threads = [threading.Thread(target=talk, args=(mine, who), daemon=True)
                   for who, mine in enumerate(answered)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + scaled(20)
        while sum(map(len, answered)) < 2000 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        server.kill()
        for thread in threads:
            thread.join(scaled(20))
        with open(path, encoding="utf-8") as written:
            lines = written.read().split("\n")
        taken = {json.loads(line)["message"] for line in lines[:-1] if '"message"' in line
                 and json.loads(line)["event"] == "message"}
        self.assertGreater(sum(map(len, answered)), 1000)
        for mine in answered:
            self.assertEqual([message for message in mine if message not in taken], [])


class Limits(FaultTest):
    def connects(self, port, count, address="127.0.0.1"):
        """How many of several clients are served at once."""
        ends = []
        for _ in range(count):
            try:
                end = tls.connect(port, self.context)
                end.send(b"hi")
                end.receive_exactly(len(texts.reply(b"hi")))
                ends.append(end)
            except (OSError, AssertionError, EOFError):
                pass
        return ends

    def test_each_limit_acts_and_says_so(self):
        rows = (
            ("--max-connections", "3", 3),
            ("--max-per-address", "2", 2),
        )
        for option, value, served in rows:
            with self.subTest(option):
                server = self.server("--quiet", option, value)
                ends = self.connects(server.port, 6)
                self.assertEqual(len(ends), served)
                server.stderr.wait_for(option.encode())
                ends.pop().close()
                again = []
                deadline = time.monotonic() + scaled(10)
                while not again and time.monotonic() < deadline:
                    again = self.connects(server.port, 1)
                self.assertEqual(len(again), 1, "the place was not given back")
                for end in ends + again:
                    end.close()
                server.stop()

    def test_handshakes_at_once(self):
        server = self.server("--quiet", "--max-handshakes", "5")
        stalled = [network.connect(server.port) for _ in range(5)]
        server_side = self.connects(server.port, 1)
        self.assertEqual(server_side, [])
        server.stderr.wait_for(b"--max-handshakes")
        for sock in stalled:
            sock.close()
        deadline = time.monotonic() + scaled(10)
        while not server_side and time.monotonic() < deadline:
            server_side = self.connects(server.port, 1)
        self.assertEqual(len(server_side), 1)
        server_side[0].close()

    def test_handshake_rate(self):
        server = self.server("--quiet", "--handshake-rate", "3")
        ends = self.connects(server.port, 10)
        self.assertGreaterEqual(len(ends), 3)
        self.assertLess(len(ends), 10)
        server.stderr.wait_for(b"--handshake-rate")
        for end in ends:
            end.close()

    def test_out_of_descriptors(self):
        """No spin, no end: accepting pauses, those who are served stay served."""
        words = ["prlimit", "--nofile=40:40", *program("tlsmsg-server")]
        made = default_certificates()
        server = self.keep(harness.Program(
            [*words, "--listen", "127.0.0.1:0", "--cert", made.server, "--key", made.server_key,
             "--quiet", "--max-connections", "1000", "--handshake-timeout", seconds(30)],
            name="tlsmsg-server"))
        server.stderr.wait_until(lambda said: harness.LISTENING.search(said), "its address")
        port = int(harness.LISTENING.search(server.stderr.bytes())[2])
        with Healthy(port, self.context):
            socks = [network.connect(port) for _ in range(80)]
            server.stderr.wait_for(b"out of file descriptors")
            self.assertIn(b"--max-connections 1000 is more than the 21 that", server.stderr.bytes())
            before = self.cpu_seconds(server)
            threading.Event().wait(1)
            self.assertLess(self.cpu_seconds(server) - before, scaled(0.5), "it spins")
            for sock in socks:
                sock.close()
        end = tls.connect(port, self.context)
        end.send(b"after")
        self.assertEqual(end.receive_exactly(len(texts.reply(b"after"))), texts.reply(b"after"))
        end.close()
        server.stop()


class SlowTranscript(FaultTest):
    def test_stuck_stdout_holds_replies_and_not_handshakes(self):
        reading, writing = os.pipe()
        server = self.server("--format", "json", "--workers", "1", stdout=writing)
        os.close(writing)
        ends = [tls.connect(server.port, self.context) for _ in range(4)]
        for i in range(40):
            for end in ends:
                end.queue(b"m" * 8000)
        for end in ends:
            end.sock.setblocking(False)
            try:
                end.flush()
            except (BlockingIOError, AssertionError, socket.timeout):
                pass
        before = self.cpu_seconds(server)
        late = tls.connect(server.port, self.context)
        threading.Event().wait(0.5)
        self.assertLess(self.cpu_seconds(server) - before, scaled(0.4), "it spins")
        collected = []
        reader = threading.Thread(target=lambda: collected.append(self.drain(reading)), daemon=True)
        reader.start()
        late.send(b"late")
        self.assertEqual(late.receive_exactly(len(texts.reply(b"late"))), texts.reply(b"late"))
        late.close()
        for end in ends:
            end.sock.close()
        server.stop()
        reader.join(scaled(10))
        for line in collected[0].split(b"\n")[:-1]:
            json.loads(line)

    @staticmethod
    def drain(descriptor):
        with os.fdopen(descriptor, "rb") as pipe:
            return pipe.read()


class Restarts(FaultTest):
    def test_restarts_under_load(self):
        """30 restarts: a client gets a reply or an end in order, never a wrong byte; the address
        is free again at once."""
        port = network.unused_port()
        stop = threading.Event()
        wrong = []
        served = [0]

        def talk():
            while not stop.is_set():
                try:
                    end = tls.connect(port, self.context)
                    for _ in range(20):
                        end.send(b"again")
                        got = end.receive_exactly(len(texts.reply(b"again")))
                        if got != texts.reply(b"again"):
                            wrong.append(got)
                        served[0] += 1
                    end.close()
                except (OSError, AssertionError, EOFError):
                    stop.wait(0.01)

        threads = [threading.Thread(target=talk, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            before = served[0]
            server = self.keep(harness.Server("--quiet", listen=(f"127.0.0.1:{port}",)))
            deadline = time.monotonic() + scaled(10)
            while served[0] < before + 5:
                self.assertLess(time.monotonic(), deadline, server.stderr.bytes())
                threading.Event().wait(0.01)
            server.stop()
        stop.set()
        for thread in threads:
            thread.join(scaled(20))
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    harness.main(plaintext=False)
