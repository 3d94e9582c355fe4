#!/usr/bin/env python3
"""The server with a store, in the document's flow: a reply means stored."""

import os
import re
import select
import signal
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import manager
import settings
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest

KILLS = int(os.environ.get("TLSMSG_STORE_KILLS", "6"))
LOAD_CLIENTS = 6
RECORDER = os.path.join(settings.build_dir(), "tests", "powercut", "libpowercut_recorder.so")


class StoreTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.store = self.path("store.db")

    def connect(self, server, **how):
        end = tls.connect(server.port, tls.client_context(default_certificates().ca), **how)
        self.addCleanup(end.sock.close)
        return end

    def exchange(self, end, message):
        reply = texts.reply(message)
        end.send(message)
        self.assertEqual(end.receive_exactly(len(reply)), reply)

    def query(self, sql):
        """The rows of a query; test_store_postgresql.py asks another engine."""
        with sqlite3.connect(self.store, timeout=10) as database:
            return database.execute(sql).fetchall()

    def stored(self):
        """The bodies in the store, in their order."""
        return [body for body, in self.query("SELECT body FROM message ORDER BY id")]


class Storing(StoreTest):
    LOGGED = re.compile(r"\ntlsmsg_store_log_bytes [1-9]\d+\n")

    def test_it_is_stored_when_the_reply_comes(self):
        server = self.server("--store", self.store)
        end = self.connect(server)
        for i in range(20):
            message = f"message {i} \0 你好".encode()
            self.exchange(end, message)
            self.assertEqual(self.stored()[i:], [message])
        end.close()
        server.stop()
        self.assertIn("收到消息：message 19".encode(), server.transcript())

    def metrics(self):
        with open(self.path("m.prom"), encoding="ascii") as file:
            return file.read()

    def test_metrics_count_it(self):
        server = self.server("--store", self.store, "--metrics-file", self.path("m.prom"))
        end = self.connect(server)
        self.exchange(end, b"hello")
        end.close()
        server.signal(signal.SIGUSR1)
        server.stderr.wait_until(lambda said: b"  store:         1 messages in 1 commits" in said,
                                 "the store on the screen")
        # The log is looked at after the reply.
        kernel.wait_until(lambda: self.LOGGED.search(self.metrics()), "the log's length")
        server.stop()
        said = self.metrics()
        for line in ('tlsmsg_store_promise{promise="disk"} 1', "tlsmsg_store_messages_total 1",
                     "tlsmsg_store_batches_total 1", "tlsmsg_store_no_room_total 0"):
            self.assertIn(line + "\n", said)

    def test_quiet_stores_as_well(self):
        server = self.server("--store", self.store, "--quiet")
        end = self.connect(server)
        self.exchange(end, b"hello")
        end.close()
        server.stop()
        self.assertEqual(server.transcript(), b"")
        self.assertEqual(self.stored(), [b"hello"])

    def test_the_longest_message(self):
        longest = 64 * 1024 * 1024
        server = self.server("--store", self.store, "--quiet", "--max-message", str(longest),
                             "--store-timeout", "60")
        self.write_file("longest", b"x" * longest)
        self.run_client("--ca", default_certificates().ca, "-q", "-M", self.path("longest"),
                        "--timeout", "60", f"127.0.0.1:{server.port}", limit=60)
        server.stop()
        self.assertEqual(self.query("SELECT length(body) FROM message"), [(longest,)])

    def test_runs_peers_and_identities_are_told(self):
        made = certificates.default_certificates()
        for _ in range(2):
            server = self.server("--store", self.store, "--client-ca", made.ca)
            context = tls.client_context(made.ca, certificate=made.client, key=made.client_key)
            end = tls.connect(server.port, context)
            self.addCleanup(end.sock.close)
            self.exchange(end, b"hello")
            peer = end.sock.getsockname()
            end.close()
            server.stop()
        rows = self.query("SELECT run, peer, identity, producer, seq, text, time FROM messages"
                          " ORDER BY id")
        self.assertEqual(len(rows), 2)
        self.assertNotEqual(rows[0][0], rows[1][0])
        self.assertEqual(rows[1][1], f"{peer[0]}:{peer[1]}")
        self.assertRegex(rows[1][2], "^CN=|^DNS:|^email:|^URI:")
        self.assertEqual([row[3] for row in rows], [row[0] for row in rows])
        self.assertEqual([row[4] for row in rows], [1, 1])
        self.assertEqual([row[5] for row in rows], ["hello", "hello"])
        self.assertRegex(rows[0][6], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")

    def test_many_at_once_share_commits(self):
        server = self.server("--store", self.store, "--quiet", "--workers", "2")
        ends = [self.connect(server) for _ in range(30)]
        for round_ in range(5):
            for i, end in enumerate(ends):
                end.send(f"{round_} {i}".encode())
            for i, end in enumerate(ends):
                reply = texts.reply(f"{round_} {i}".encode())
                self.assertEqual(end.receive_exactly(len(reply)), reply)
        server.stop()
        self.assertEqual(sorted(self.stored()),
                         sorted(f"{r} {i}".encode() for r in range(5) for i in range(30)))


class Numbered(StoreTest):
    """tlsmsg/1: a number is stored once, also when it comes again after a restart."""

    def talk(self, server, start, *numbers):
        context = tls.client_context(default_certificates().ca)
        context.set_alpn_protocols(["tlsmsg/1"])
        end = tls.connect(server.port, context)
        self.addCleanup(end.sock.close)
        end.send(f"HELLO 1 producer=p from={start}\n".encode())
        said = end.receive()
        self.assertTrue(said.startswith(b"HELLO 1 last="), said)
        for number in numbers:
            text = f"message {number}".encode()
            end.send(b"MSG %d %d\n%s\n" % (number, len(text), text))
            reply = texts.reply(text)
            wanted = b"OK %d %d\n%s\n" % (number, len(reply), reply)
            self.assertEqual(end.receive_exactly(len(wanted)), wanted)
        end.close()

    def numbers(self):
        return self.query("SELECT producer, seq, text FROM messages ORDER BY id")

    def test_numbers_are_stored_once(self):
        server = self.server("--store", self.store, "--quiet")
        self.talk(server, 1, 1, 2, 3)
        self.talk(server, 1, 3, 4)
        server.signal(signal.SIGKILL)
        server.wait()
        server = self.server("--store", self.store, "--quiet")
        self.talk(server, 2, 2, 3, 4, 5)
        self.talk(server, 9, 9, 10)
        server.stop()
        self.assertEqual(self.numbers(), [("p", i, f"message {i}") for i in (1, 2, 3, 4, 5, 9, 10)])


class File(StoreTest):
    def test_nobody_else_may_read_it(self):
        self.server("--store", self.store).stop()
        self.assertEqual(os.stat(self.store).st_mode & 0o777, 0o600)

    def test_others_who_can_read_it_are_told_of(self):
        self.write_file("store.db", b"")
        os.chmod(self.store, 0o644)
        server = self.server("--store", self.store)
        server.stop()
        self.assertIn(b"store.db' can be read or written by others (try: chmod 600 ", server.log())


class Refusals(StoreTest):
    def refused(self, *options, expect=2):
        made = default_certificates()
        server = self.run_server_to_end(
            "--listen", "127.0.0.1:0", "--cert", made.server, "--key", made.server_key, *options,
            expect=expect)
        said = server.stderr.bytes()
        self.assertEqual(server.stdout.bytes(), b"")
        return re.sub(rb"(?m)^.*listening on .*\n", b"", said)

    def test_options(self):
        for options, names in (
                (("--store-keep", "90d"), "--store"),
                (("--store-min-free", "1"), "--store"),
                (("--store-timeout", "1"), "--store"),
                (("--store", self.store, "--store-keep", "90"), "90d"),
                (("--store", self.store, "--store-keep", "d"), "90d"),
                (("--store", self.store, "--store-keep", "0d"), "90d"),
                (("--store", self.store, "--store-min-free", "1k"), "--store-min-free"),
                (("--store", self.store, "--store-timeout", "-1"), "--store-timeout"),
                (("--store", self.path("missing/store.db")), "missing/store.db"),
                (("--store", "/dev/null"), "not a regular file"),
                (("--store", self.folder), "irectory"),
        ):
            with self.subTest(options=options):
                self.assert_one_line(self.refused(*options), "tlsmsg-server: ", names)
                self.assertFalse(os.path.exists(self.store))

    @unittest.skipIf(settings.is_built_with("TLSMSG_POSTGRESQL"), "this build has that engine")
    def test_an_engine_that_was_not_built(self):
        self.assert_one_line(self.refused("--store", "postgresql://localhost/x"), "tlsmsg-server: ",
                             "TLSMSG_POSTGRESQL")

    def test_check_makes_nothing(self):
        made = default_certificates()
        words = ("--cert", made.server, "--key", made.server_key, "--store", self.store, "--check")
        server = self.run_server_to_end(*words, expect=0)
        self.assertEqual(server.stdout.bytes(), b"The configuration is good.\n")
        self.assertEqual(os.listdir(self.folder), [])
        self.write_file("store.db", b"a file of somebody's\n" * 20)
        server = self.run_server_to_end(*words, expect=2)
        self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", "store.db")
        self.assertEqual(os.listdir(self.folder), ["store.db"])

    def test_one_server_at_a_time(self):
        server = self.server("--store", self.store)
        said = self.refused("--store", self.store, expect=1)
        self.assert_one_line(said, "tlsmsg-server: ", f"process {server.pid}")
        server.stop()
        self.server("--store", self.store).stop()


class Room(StoreTest):
    def test_below_min_free_a_conversation_ends_unanswered(self):
        server = self.server("--store", self.store, "--store-min-free", str(1 << 62))
        for _ in range(2):
            end = self.connect(server)
            end.send(b"hello")
            self.assertEqual(end.receive_until_close(), b"")
        # A conversation without a message is not touched, and the server goes on.
        end = self.connect(server)
        end.close()
        server.stop()
        self.assertEqual(self.stored(), [])
        said = server.log()
        self.assertEqual(said.count(b"no room"), 1, said)

    def test_of_several_conversations_all_end(self):
        server = self.server("--store", self.store, "--store-min-free", str(1 << 62), "--quiet")
        ends = [self.connect(server) for _ in range(8)]
        for end in ends:
            end.send(b"hello")
        for end in ends:
            self.assertEqual(end.receive_until_close(), b"")
        server.stop()


class StandsStill(StoreTest):
    """A disk that takes nothing for a while: here another program keeps the store locked."""

    CLIENTS, MESSAGES, BYTES, BUFFERED = 100, 20, 16_000, 8 << 20
    TURNS = 2 * 4 * (1 << 20) + 16 * (1 << 20)  # of two workers, and what malloc keeps

    def memory(self, server, name):
        return int(manager.status(server.pid)[name].split()[0]) * 1024

    def test_memory_is_bounded_and_all_is_stored_after(self):
        server = self.server("--store", self.store, "--store-timeout", "0", "--quiet", "--workers",
                             "2", "--max-buffered", str(self.BUFFERED))
        before = self.memory(server, "VmRSS")
        lock = sqlite3.connect(self.store, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        reply_bytes = self.MESSAGES * len(texts.reply(bytes(self.BYTES)))
        unsent, due = {}, {}
        for end in [self.connect(server) for _ in range(self.CLIENTS)]:
            for _ in range(self.MESSAGES):
                end.queue(bytes(self.BYTES))
            end.sock.setblocking(False)
            unsent[end.sock] = end.outgoing.read()
            due[end.sock] = end
        # All that the server takes meanwhile.
        while writable := select.select([], list(unsent), [], 1)[1]:
            self.send_on(unsent, writable)
        lock.execute("COMMIT")
        lock.close()
        got = dict.fromkeys(due, 0)
        while due:
            readable, writable, _ = select.select(list(due), list(unsent), [], harness.scaled(20))
            self.assertTrue(readable or writable, f"{len(due)} clients are stuck")
            self.send_on(unsent, writable)
            for sock in readable:
                due[sock].incoming.write(sock.recv(1 << 18))
                got[sock] += self.received(due[sock])
                if got[sock] == reply_bytes:
                    del due[sock]
        if settings.SLOWDOWN == 1:
            self.assertLess(self.memory(server, "VmHWM") - before,
                            self.BUFFERED + self.CLIENTS * 64 * 1024 + self.TURNS)
        server.kill()
        self.assertEqual(len(self.stored()), self.CLIENTS * self.MESSAGES)

    @staticmethod
    def send_on(unsent, writable):
        for sock in writable:
            unsent[sock] = unsent[sock][sock.send(unsent[sock]):]
            if not unsent[sock]:
                del unsent[sock]

    @staticmethod
    def received(end):
        """Bytes of text that came whole so far."""
        count = 0
        try:
            while part := end.tls.read(1 << 18):
                count += len(part)
        except ssl.SSLWantReadError:
            pass
        return count


@unittest.skipUnless(os.geteuid() == 0, "only root makes a small file system")
class FullDisk(StoreTest):
    """A file system that really is full, again and again, and then has room."""

    START_KIB, STEP_KIB, STEPS = 512, 96, 8

    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        self.mount(f"size={self.START_KIB}k")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=False)
        self.store = os.path.join(self.disk, "store.db")

    def mount(self, options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.disk],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"a file system can't be mounted here: {done.stderr.strip()}")

    def fill(self, server, answered):
        """Messages until one has no reply."""
        end = self.connect(server)
        for i in range(10_000):
            message = b"%d-%d " % (len(answered), i) + b"x" * (i * 997 % 3000)
            end.send(message)
            reply = texts.reply(message)
            got = end.receive()
            if got == b"":
                return
            while len(got) < len(reply):
                got += end.receive()
            self.assertEqual(got, reply)
            answered.append(message)
        self.fail("the disk is never full")

    def test_what_is_answered_is_stored(self):
        server = self.server("--store", self.store, "--store-min-free", "0", "--quiet")
        answered = []
        for step in range(1, self.STEPS + 1):
            self.fill(server, answered)
            self.assertEqual(self.stored(), answered)
            self.mount(f"remount,size={self.START_KIB + step * self.STEP_KIB}k")
        had = len(answered)
        self.fill(server, answered)
        self.assertGreater(len(answered), had)
        server.stop()
        self.assertEqual(self.stored(), answered)
        said = server.log()
        self.assertIn(b"the store has no room: new messages are not taken", said)
        self.assertIn(b"the store has room again", said)


    def test_below_min_free_it_goes_on_by_itself(self):
        server = self.server("--store", self.store, "--store-min-free", str(2 << 20), "--quiet")
        for size, taken in ((1, False), (8, True), (1, False), (8, True)):
            with self.subTest(size=size, taken=taken):
                self.mount(f"remount,size={size}m")
                end = self.connect(server)
                if taken:
                    self.exchange(end, b"hello")
                else:
                    end.send(b"hello")
                    self.assertEqual(end.receive_until_close(), b"")
        server.stop()
        self.assertEqual(self.stored(), [b"hello", b"hello"])
        for said in (b"the store has no room: ", b"the store has room again"):
            self.assertEqual(server.log().count(said), 2)


class Failures(StoreTest):
    def recorded(self, **environment):
        folder = os.path.realpath(self.folder)
        os.mkdir(os.path.join(folder, "live"))
        self.store = os.path.join(folder, "live", "store.db")
        return os.environ | {
            "LD_PRELOAD": RECORDER, "POWERCUT_FOLDER": os.path.join(folder, "live"),
            "POWERCUT_LOG": os.path.join(folder, "log")} | environment

    def test_a_store_that_is_taken_away_ends_the_server_unanswered(self):
        for i, taken in enumerate(("store.db", "store.db-wal", "")):
            with self.subTest(taken=taken):
                live = self.path(f"live{i}")
                os.mkdir(live)
                server = self.server("--store", os.path.join(live, "store.db"))
                end = self.connect(server)
                self.exchange(end, b"one")
                os.rename(os.path.join(live, taken).rstrip("/"), self.path(f"away{i}"))
                end.send(b"two")
                with self.assertRaises((AssertionError, OSError, ssl.SSLError)):
                    end.receive_exactly(1)
                server.finish(expect=1)
                self.assert_one_line(server.log(), "tlsmsg-server: ",
                                     "was removed, moved or replaced while it is in use")

    def test_a_failed_sync_ends_the_server_unanswered(self):
        if not os.path.exists(RECORDER) or settings.SLOWDOWN != 1:
            self.skipTest("a sanitizer's library must be the first, and the recorder is")
        # Past those of the start and before any of a checkpoint.
        server = self.server("--store", self.path("live/store.db"),
                             env=self.recorded(POWERCUT_FAIL_SYNC="20"))
        answered = []
        end = self.connect(server)
        with self.assertRaises((AssertionError, OSError, ssl.SSLError)):
            for i in range(100):
                self.exchange(end, b"%d" % i)
                answered.append(b"%d" % i)
        server.finish(expect=1)
        self.assert_one_line(server.log(), "tlsmsg-server: ", "disk I/O error")
        self.assertGreater(len(answered), 0)
        self.assertLess(len(answered), 30)
        # A restart makes the most of what is there.
        server = self.server("--store", self.store)
        server.stop()
        self.assertEqual([body for body in self.stored() if body in answered], answered)


class Killed(StoreTest):
    limit = 120

    def load(self, server, name, stop, told):
        """One message after the other; told gets those that were answered."""
        i = 0
        try:
            end = tls.connect(server.port, tls.client_context(default_certificates().ca))
            with end:
                while not stop.is_set():
                    i += 1
                    message = f"{name} {i}".encode()
                    reply = texts.reply(message)
                    end.send(message)
                    if end.receive_exactly(len(reply)) != reply:
                        return
                    told.append(message)
        except (OSError, AssertionError, ssl.SSLError):
            pass

    def test_under_load(self):
        answered = []
        for kill in range(KILLS):
            server = self.server("--store", self.store, "--quiet")
            stop = threading.Event()
            told = [[] for _ in range(LOAD_CLIENTS)]
            clients = [threading.Thread(target=self.load,
                                        args=(server, f"{kill}-{i}", stop, told[i]))
                       for i in range(LOAD_CLIENTS)]
            for client in clients:
                client.start()
            time.sleep(0.15 + 0.07 * kill % 0.3)
            server.signal(signal.SIGKILL)
            stop.set()
            for client in clients:
                client.join()
            server.wait()
            answered += [message for one in told for message in one]
        self.server("--store", self.store).stop()
        stored = self.stored()
        self.assertGreater(len(answered), 10 * KILLS)
        self.assertEqual(len(set(stored)), len(stored), "a message is stored twice")
        self.assertEqual(set(answered) - set(stored), set(), "an answered message is lost")
        # Unanswered are at most those that were under way.
        self.assertLessEqual(len(stored) - len(answered), KILLS * LOAD_CLIENTS)
        self.assert_sound()

    def assert_sound(self):
        self.assertEqual(self.query("PRAGMA integrity_check"), [("ok",)])


if __name__ == "__main__":
    harness.main(plaintext=False)
