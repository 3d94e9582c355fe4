#!/usr/bin/env python3
"""A store whose engine goes away and comes back: replies wait, then BYE 503; nothing is lost, nothing
is stored twice, and the server is never started anew."""

import contextlib
import os
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import postgresql
import test_store_numbered
import texts
import tls
from certificates import default_certificates
from settings import scaled, seconds
from test_store_numbered import message, ok

CLUSTER = None
KILLS = int(os.environ.get("TLSMSG_STORE_KILLS", "3"))


def setUpModule():
    global CLUSTER
    CLUSTER = postgresql.Cluster()
    unittest.addModuleCleanup(CLUSTER.remove)


class AwayTest(test_store_numbered.StoreTest):
    def setUp(self):
        super().setUp()
        if CLUSTER.process.poll() is not None:
            CLUSTER.start()
        CLUSTER.execute("postgres", "DROP SCHEMA IF EXISTS tlsmsg CASCADE")
        self.store = CLUSTER.url("postgres")

    def query(self, sql):
        return CLUSTER.query("postgres", sql)

    def serve(self, *options, timeout=0.5):
        return self.server("--store", self.store, "--store-timeout", seconds(timeout), "--quiet",
                           "--metrics-file", self.path("m.prom"), *options)

    def plain(self, server):
        end = tls.connect(server.port, tls.client_context(default_certificates().ca))
        self.addCleanup(end.sock.close)
        return end

    def told(self, server, away=1, back=1):
        """Each is told once an outage."""
        server.stderr.wait_until(lambda said: said.count(b"the store is back") >= back, "its return")
        self.assertEqual(server.log().count(b"the store is away"), away, server.log())
        self.assertEqual(server.log().count(b"the store is back"), back, server.log())

    @contextlib.contextmanager
    def frozen(self):
        """All of the engine's processes stand still; its sockets stay open, and the kernel answers."""
        pids = CLUSTER.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def ask_for_new(self, server, name, start, last):
        """Greets again and again until the store is back."""
        end = time.monotonic() + scaled(30)
        while True:
            try:
                return self.greet(server, name, start, last)
            except (AssertionError, OSError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


class Stopped(AwayTest):
    def test_replies_wait_and_then_are_refused(self):
        server = self.serve()
        end = self.greet(server, b"job", 1, 0)
        plain = self.plain(server)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        CLUSTER.stop()
        end.send(message(2, b"b"))
        plain.send(b"hello")
        self.expect_bye(end, 503)
        self.assertEqual(plain.receive_until_close(), b"")
        # Nobody is answered out of memory: a greeting waits for the store as well.
        asks = tls.connect(server.port, self.context())
        self.addCleanup(asks.sock.close)
        asks.send(b"HELLO 1 producer=job from=2\n")
        self.expect_bye(asks, 503)
        kernel.wait_until(lambda: b"tlsmsg_store_away 1\n" in self.metrics(), "the metric")
        CLUSTER.start()
        self.told(server)
        end = self.greet(server, b"job", 2, 1)
        end.send(message(2, b"b"))
        self.expect(end, ok(2, b"b"))
        end.close()
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2])

    def metrics(self):
        with open(self.path("m.prom"), "rb") as file:
            return file.read()

    def test_back_in_time_nobody_notices(self):
        server = self.serve(timeout=30)
        end = self.greet(server, b"job", 1, 0)
        plain = self.plain(server)
        CLUSTER.stop()
        end.send(message(1, b"a"))
        plain.send(b"hello")
        server.stderr.wait_for(b"the store is away")
        # Meanwhile others are greeted, the server tells its state, and handshakes are made.
        other = tls.connect(server.port, self.context())
        self.addCleanup(other.sock.close)
        other.send(b"HELLO 1\n")
        self.expect(other, test_store_numbered.HELLO % 0)
        server.signal(signal.SIGUSR1)
        server.stderr.wait_for(b"  store:")
        CLUSTER.start()
        self.expect(end, ok(1, b"a"))
        reply = texts.reply(b"hello")
        self.assertEqual(plain.receive_exactly(len(reply)), reply)
        self.told(server)
        self.assertEqual(sorted(body for _, _, body in self.rows()), [b"a", b"hello"])

    def test_a_stop_of_the_server_does_not_wait_for_it(self):
        server = self.serve("--drain-timeout", seconds(0.5), timeout=0)
        end = self.greet(server, b"job", 1, 0)
        CLUSTER.stop()
        end.send(message(1, b"a"))
        server.stderr.wait_for(b"the store is away")
        server.signal(signal.SIGTERM)
        server.finish(expect=1, limit=20)


class Frozen(AwayTest):
    def test_it_hangs_and_goes_on(self):
        server = self.serve()
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        with self.frozen():
            end.send(message(2, b"b"))
            self.expect_bye(end, 503)
        end = self.ask_for_new(server, b"job", 2, 1)
        end.send(message(2, b"b") + message(3, b"c"))
        self.expect(end, ok(2, b"b"), ok(3, b"c"))
        end.close()
        self.told(server)
        self.assertEqual([(seq, body) for _, seq, body in self.rows()],
                         [(1, b"a"), (2, b"b"), (3, b"c")])

    def test_a_stop_of_the_server_does_not_wait_for_it(self):
        server = self.serve("--drain-timeout", seconds(0.5), timeout=0)
        end = self.greet(server, b"job", 1, 0)
        with self.frozen():
            end.send(message(1, b"a"))
            time.sleep(scaled(0.2))
            server.signal(signal.SIGTERM)
            server.finish(expect=1, limit=20)

    def test_no_start_while_it_hangs(self):
        made = default_certificates()
        with self.frozen():
            server = self.run_server_to_end(
                "--listen", "127.0.0.1:0", "--cert", made.server, "--key", made.server_key, "--store",
                self.store + "&connect_timeout=2", expect=1, limit=30)
        self.assert_one_line(server.log() if hasattr(server, "log") else server.stderr.bytes(),
                             "tlsmsg-server: ", "engine")


class Slow(AwayTest):
    def test_a_lock_that_is_held(self):
        """Another holds the table; ours waits its time, gives up and leaves no lock behind."""
        server = self.serve()
        other = self.serve(timeout=30)
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        session = CLUSTER.session("postgres")
        self.addCleanup(session.close)
        session.do("BEGIN")
        session.do("LOCK TABLE message IN SHARE MODE")
        end.send(message(2, b"b"))
        self.expect_bye(end, 503)
        # The other one waits behind the producer's row, which ours has locked.
        end = tls.connect(other.port, self.context())
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1 producer=job from=2\n" + message(2, b"b"))
        session.do("COMMIT")
        self.expect(end, test_store_numbered.HELLO % 1, ok(2, b"b"))
        end.close()
        self.told(server)
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2])

    def test_a_backend_that_is_ended(self):
        server = self.serve(timeout=30)
        end = self.greet(server, b"job", 1, 0)
        for number in range(1, 6):
            end.send(message(number, b"m"))
            self.expect(end, ok(number, b"m"))
            CLUSTER.execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE application_name = 'tlsmsg'")
        end.close()
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2, 3, 4, 5])


class Killed(AwayTest):
    limit = 120 + 10 * KILLS

    def test_under_load(self):
        """The engine is killed as by a power cut, and started again, under producers that go on."""
        server = self.serve("--workers", "2", timeout=5)
        stop, told, failures = threading.Event(), {}, []
        names = [b"p%d" % i for i in range(6)]
        produce = test_store_numbered.Killed.produce
        threads = [threading.Thread(target=produce,
                                    args=(self, n, [server.port], stop, told, failures))
                   for n in names]
        for thread in threads:
            thread.start()
        try:
            for _ in range(KILLS):
                time.sleep(0.4)
                CLUSTER.kill()
                CLUSTER.start()
            time.sleep(0.4)
        finally:
            stop.set()
            for thread in threads:
                thread.join(scaled(40))
        server.stop()
        self.assertEqual(failures, [])
        stored = {(name, seq): body for name, seq, body in self.rows()}
        self.assertEqual(len(stored), len(self.rows()))
        total = 0
        for name in names:
            answered, given = told[name]
            total += answered
            for number in range(1, answered + 1):
                self.assertEqual(stored.get((name.decode(), number)), given[number - 1])
        self.assertGreater(total, 20 * KILLS)


if __name__ == "__main__":
    harness.main(plaintext=False)
