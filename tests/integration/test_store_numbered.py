#!/usr/bin/env python3
"""tlsmsg/1 with a store: an OK means stored, once, whatever happens to server and connection."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import settings
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest

KILLS = int(os.environ.get("TLSMSG_STORE_KILLS", "6"))
HELLO = b"HELLO 1 last=%d max=1048576 window=256 promise=disk\n"


def message(number, text):
    return b"MSG %d %d\n%s\n" % (number, len(text), text)


def ok(number, text):
    reply = texts.reply(text)
    return b"OK %d %d\n%s\n" % (number, len(reply), reply)


class StoreTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.store = self.path("store.db")

    def context(self):
        context = tls.client_context(default_certificates().ca)
        context.set_alpn_protocols(["tlsmsg/1"])
        return context

    def greet(self, server, name, start, last):
        end = tls.connect(server.port, self.context())
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1 producer=%s from=%d\n" % (name, start))
        self.expect(end, HELLO % last)
        return end

    def expect(self, end, *frames):
        for frame in frames:
            self.assertEqual(end.receive_exactly(len(frame)), frame)

    def expect_bye(self, end, code):
        got = end.receive_until_close()
        self.assertRegex(got, rb"\ABYE %d \d+\n" % code)
        end.close()

    def query(self, sql):
        """The rows of a query; test_store_postgresql.py asks another engine."""
        with sqlite3.connect(self.store, timeout=10) as database:
            return database.execute(sql).fetchall()

    def execute(self, sql):
        """A change to the store, as an administrator makes it."""
        with sqlite3.connect(self.store, timeout=10) as database:
            database.execute(sql)

    def rows(self):
        return self.query("SELECT p.name, m.seq, m.body FROM message m JOIN producer p"
                          " ON p.id = m.producer ORDER BY m.id")


class Storing(StoreTest):
    def test_a_restart_goes_on(self):
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a") + message(2, b"b"))
        self.expect(end, ok(1, b"a"), ok(2, b"b"))
        self.assertEqual(self.rows(), [("job", 1, b"a"), ("job", 2, b"b")])
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 2, 2)
        end.send(message(2, b"b") + message(3, b"c"))
        self.expect(end, ok(2, b"b"), ok(3, b"c"))
        end.close()
        self.assertEqual(self.rows(), [("job", n, body) for n, body in
                                       ((1, b"a"), (2, b"b"), (3, b"c"))])

    def test_other_bytes_under_any_known_number(self):
        """The store has the hash of every message, not of the last alone."""
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 1, 0)
        end.send(b"".join(message(n, b"m%d" % n) for n in range(1, 6)))
        self.expect(end, *(ok(n, b"m%d" % n) for n in range(1, 6)))
        end.close()
        end = self.greet(server, b"job", 2, 5)
        # What came whole before is answered first.
        end.send(message(2, b"m2") + message(3, b"other") + message(4, b"m4"))
        self.expect(end, ok(2, b"m2"))
        self.expect_bye(end, 412)
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2, 3, 4, 5])

    def test_of_a_pruned_message_the_number_alone_decides(self):
        """Its hash has gone with it. It stays taken, whatever bytes come under its number; those
        that are still there are compared."""
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 1, 0)
        end.send(b"".join(message(n, b"m%d" % n) for n in range(1, 5)))
        self.expect(end, *(ok(n, b"m%d" % n) for n in range(1, 5)))
        end.close()
        self.execute("UPDATE message SET time = 1 WHERE seq < 3")
        pruned = subprocess.run([*settings.program("tlsmsg-store"), "prune", self.store,
                                 "--store-keep", "1000w"], capture_output=True,
                                timeout=settings.scaled(20), check=True)
        self.assertEqual(pruned.stdout, b"2 messages deleted\n")
        end = self.greet(server, b"job", 1, 4)
        end.send(message(1, b"m1") + message(2, b"other") + message(3, b"m3"))
        self.expect(end, ok(1, b"m1"), ok(2, b"other"), ok(3, b"m3"))
        end.send(message(4, b"other"))
        self.expect_bye(end, 412)
        self.assertEqual(self.rows(), [("job", 3, b"m3"), ("job", 4, b"m4")])

    def test_no_producer_promises_the_disk_as_well(self):
        server = self.server("--store", self.store)
        end = tls.connect(server.port, self.context())
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1\n" + message(1, b"x") + message(2, b"x"))
        self.expect(end, HELLO % 0, ok(1, b"x"), ok(2, b"x"))
        end.close()
        self.assertEqual([body for _, _, body in self.rows()], [b"x", b"x"])
        self.assertTrue(all(name.startswith("@") for name, _, _ in self.rows()))

    def test_lost_numbers_are_told(self):
        """Rule 7: a producer never seen before may have another server, one known has lost what was
        acknowledged; each is told once a minute and producer, and counted each time."""
        metrics = self.path("metrics")
        server = self.server("--store", self.store, "--metrics-file", metrics)
        end = self.greet(server, b"old", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        end.close()
        for name, last in ((b"new", 0), (b"old", 1), (b"new", 0), (b"old", 1)):
            self.greet(server, name, 5, last).close()
        # HELLO alone has changed nothing in the store.
        self.assertEqual(self.rows(), [("old", 1, b"a")])
        server.stop(0)
        for name, last, level, says in (("new", 0, "warning", "(another server?)"),
                                        ("old", 1, "error", "an old backup?")):
            said = [line for line in server.log().decode().splitlines()
                    if f"producer '{name}'" in line]
            self.assertEqual(len(said), 1, said)
            self.assertIn(level, said[0])
            self.assertIn(f"has acknowledged messages up to 4, but the last that is stored is {last}",
                          said[0])
            self.assertIn(says, said[0])
        with open(metrics, encoding="utf-8") as file:
            self.assertIn("tlsmsg_set_back_total 4\n", file.read())

    def test_takeover_includes_what_came_whole(self):
        server = self.server("--store", self.store, "--workers", "2")
        first = self.greet(server, b"job", 1, 0)
        burst = b"".join(message(n, b"m%d" % n) for n in range(1, 201))
        first.send(burst)
        # Not read on purpose: the second comes while the first one's messages are being stored.
        second = tls.connect(server.port, self.context())
        self.addCleanup(second.sock.close)
        second.send(b"HELLO 1 producer=job from=1\n")
        line = b""
        while not line.endswith(b"\n"):
            line += second.receive_exactly(1)
        last = int(line.split(b"last=")[1].split()[0])
        self.assertEqual(last, max([seq for _, seq, _ in self.rows()], default=0))
        second.send(b"".join(message(n, b"m%d" % n) for n in range(last + 1, 203)))
        self.expect(second, *(ok(n, b"m%d" % n) for n in range(last + 1, 203)))
        second.close()
        self.assertEqual([seq for _, seq, _ in self.rows()], list(range(1, 203)))


class Backup(StoreTest):
    def test_an_old_backup_is_told(self):
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        server.stop()
        shutil.copy(self.store, self.path("backup.db"))
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 2, 1)
        end.send(message(2, b"b") + message(3, b"c"))
        self.expect(end, ok(2, b"b"), ok(3, b"c"))
        server.stop()
        for name in os.listdir(self.folder):
            if name.startswith("store.db"):
                os.remove(self.path(name))
        shutil.copy(self.path("backup.db"), self.store)
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 4, 1)
        end.send(message(4, b"d"))
        self.expect(end, ok(4, b"d"))
        end.close()
        server.stop()
        self.assertIn(b"error", server.log())
        self.assertIn(b"producer 'job' has acknowledged messages up to 3, but the last that is "
                      b"stored is 1", server.log())
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 4])


class Room(StoreTest):
    def test_no_room(self):
        server = self.server("--store", self.store, "--store-min-free", str(1 << 62))
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect_bye(end, 507)
        self.assertEqual(self.rows(), [])


class Killed(StoreTest):
    """Clients that go on after each kill, counted from both sides."""

    def produce(self, name, port, stop, told, failures):
        """A client as it should be: numbers, resends what has no OK, goes on after `last`."""
        rng = random.Random(name)
        given = []  # the text of each number from 1
        answered = 0
        while not stop.is_set() or answered < len(given):
            try:
                end = tls.connect(port[0], self.context())
            except OSError:
                if stop.is_set():
                    return
                time.sleep(0.02)
                continue
            try:
                end.send(b"HELLO 1 producer=%s from=%d\n" % (name, answered + 1))
                line = b""
                while not line.endswith(b"\n"):
                    line += end.receive_exactly(1)
                last = int(line.split(b"last=")[1].split()[0])
                if last > len(given) or last < answered:
                    failures.append(f"{name}: last={last}, given {len(given)}, OK {answered}")
                    return
                at = answered
                while not stop.is_set() or at < len(given):
                    while len(given) - at < 5 and not stop.is_set():
                        given.append(b"%s-%d-%d" % (name, len(given) + 1, rng.randrange(1000)))
                    batch = given[at:at + 5]
                    if not batch:
                        break
                    end.send(b"".join(message(at + 1 + i, text) for i, text in enumerate(batch)))
                    for text in batch:
                        frame = ok(at + 1, text)
                        if end.receive_exactly(len(frame)) != frame:
                            failures.append(f"{name}: a wrong OK for {at + 1}")
                            return
                        at += 1
                        answered = max(answered, at)
                        told[name] = (answered, given)
                end.close()
                return
            except (OSError, AssertionError, IndexError):
                continue
            finally:
                end.sock.close()
                told[name] = (answered, list(given))

    @staticmethod
    def wait_for_answers(told, failures, more):
        """Until so many more messages were answered, however slow the machine is."""
        def answered():
            return sum(count for count, _ in list(told.values()))

        until, limit = answered() + more, time.monotonic() + harness.scaled(20)
        while answered() < until and not failures and time.monotonic() < limit:
            time.sleep(0.01)

    def test_under_load(self):
        stop = threading.Event()
        told, failures, port = {}, [], [0]
        server = self.server("--store", self.store, "--workers", "2", "--quiet")
        port[0] = server.port
        names = [b"p%d" % i for i in range(6)]
        threads = [threading.Thread(target=self.produce, args=(n, port, stop, told, failures))
                   for n in names]
        for thread in threads:
            thread.start()
        try:
            for kill in range(KILLS):
                self.wait_for_answers(told, failures, 60 + 20 * (kill % 8))
                server.signal(signal.SIGKILL)
                server.finish(-signal.SIGKILL)
                server = self.server("--store", self.store, "--workers", "2", "--quiet")
                port[0] = server.port
            self.wait_for_answers(told, failures, 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join(harness.scaled(20))
        server.stop()
        self.assertEqual(failures, [])
        stored = {}
        for name, seq, body in self.rows():
            self.assertNotIn((name, seq), stored)
            stored[name, seq] = body
        total = 0
        for name in names:
            answered, given = told[name]
            total += answered
            for number in range(1, answered + 1):
                self.assertEqual(stored.get((name.decode(), number)), given[number - 1])
        self.assertEqual(len(set(stored.values())), len(stored))
        self.assertGreater(total, 50 * KILLS)


class KilledUnderClient(StoreTest):
    """The project's own client, counted from both sides while its server is killed again and again."""

    limit = 180

    def start_server(self, port=0):
        server = self.keep(harness.Server("--store", self.store, "--quiet", "--workers", "2",
                                          listen=(f"127.0.0.1:{port}",)))
        server.stderr.wait_for(b"listening on ")
        return server

    def start(self, port, *words, **how):
        return self.start_client("--ca", default_certificates().ca, "-q", "--retry", "60",
                                 "--timeout", "60", *words, f"127.0.0.1:{port}", **how)

    def tool_run(self, *words):
        subprocess.run([os.path.join(settings.build_dir(), "tlsmsg-store"), *words], timeout=60,
                       check=True)

    def killed(self, server, port, meanwhile=lambda kill: None):
        """Kills and starts servers, and says what is to be done before each kill."""
        for kill in range(KILLS):
            meanwhile(kill)
            server.signal(signal.SIGKILL)
            server.finish(-signal.SIGKILL)
            server = self.start_server(port)
        return server

    def bodies(self):
        return [body for _, _, body in self.rows()]

    def test_lines_that_come_one_by_one(self):
        """Without a producer's name: the client stays, and has one made at random."""
        server = self.start_server()
        port = server.port
        client = self.start(port)
        sent = []

        def send(kill):
            for i in range(200):
                sent.append(b"%d line %d" % (kill, i))
                client.write(sent[-1] + b"\n")
            client.stdout.wait_for(b"%d line " % kill, count=1 + 37 * kill % 190, limit=60)

        server = self.killed(server, port, send)
        client.close_stdin()
        client.finish(0, 60)
        server.stop()
        self.assertEqual(self.bodies(), sent)
        self.assertEqual(client.stdout.bytes(), b"".join(texts.reply(line) + b"\n" for line in sent))

    def test_an_old_backup_under_a_client(self):
        """It is told by both sides, loses nothing that comes later, and doubles nothing."""
        server = self.start_server()
        port = server.port
        client = self.start(port, "--producer", "job")
        sent = []
        for restores in range(2):
            for part in range(2):
                lines = [b"%d %d line %d" % (restores, part, i) for i in range(20)]
                client.write(b"".join(line + b"\n" for line in lines))
                client.stdout.wait_for(lines[-1])
                if part == 0:
                    sent += lines  # what the backup has; the others are gone
                    self.tool_run("backup", self.store, self.path(f"backup{restores}"))
            server.stop()
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(self.store + suffix):
                    os.remove(self.store + suffix)
            shutil.copy(self.path(f"backup{restores}"), self.store)
            server = self.start_server(port)
        client.write(b"the last\n")
        client.stdout.wait_for(b"the last")
        client.close_stdin()
        client.finish(0, 60)
        server.stop()
        self.assertEqual(self.bodies(), [*sent, b"the last"])
        self.assertIn(b"producer 'job' has acknowledged messages up to", server.log())
        for lost in (b"up to 40, and it has 20", b"up to 80, and it has 60"):
            self.assertIn(b"the server has lost messages that it had acknowledged: " + lost,
                          client.stderr.bytes())

    def test_a_file_that_is_sent_again(self):
        """With one: the client itself is killed, too, and run again with the same input."""
        server = self.start_server()
        port = server.port
        sent = [b"line %d" % i for i in range(1000 * KILLS)]
        lines = self.write_file("lines", b"\n".join(sent) + b"\n")
        client = None

        def start():
            with open(lines, "rb") as file:
                return self.start(port, "--producer", "job", stdin=file)

        def run(kill):
            nonlocal client
            client = client or start()
            had = len(self.rows())
            kernel.wait_until(lambda: len(self.rows()) >= had + 100, "some more lines stored")
            if kill % 2 == 0:
                client.signal(signal.SIGKILL)
                client.finish(-signal.SIGKILL)
                client = None

        server = self.killed(server, port, run)
        (client or start()).finish(0, 60)
        server.stop()
        self.assertEqual(self.bodies(), sent)


if __name__ == "__main__":
    harness.main(plaintext=False)
