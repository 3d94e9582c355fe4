#!/usr/bin/env python3
"""Several servers, one store, on an engine that is replicated: its primary is lost under load, its
standby promoted, and what was answered is there once. What would break that promise is refused."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import network
import postgresql
import test_store
import test_store_numbered
import tls
from certificates import default_certificates
from settings import ROOT, program, scaled, seconds
from test_store_numbered import message, ok

ROUNDS = int(os.environ.get("TLSMSG_STORE_ROUNDS", "1"))
HELLO = b"HELLO 1 last=%d max=1048576 window=256 promise=%s\n"


class AnyOf(list):
    """Ports of which each use takes any one, always in the same order for a name."""

    def __init__(self, name, ports):
        super().__init__(ports)
        self.rng = random.Random(name)

    def __getitem__(self, _index):
        return self.rng.choice(list(self))


class PairTest(test_store_numbered.StoreTest):
    """A primary and its synchronous standby, both in one address."""

    limit = 120

    def setUp(self):
        super().setUp()
        self.primary = postgresql.Cluster({"synchronous_standby_names": "*",
                                           "synchronous_commit": "local"})
        self.addCleanup(self.primary.remove)
        self.standby = postgresql.Cluster({}, copy_of=self.primary)
        self.addCleanup(self.standby.remove)
        self.wait_for_standby()
        self.store = self.primary.url(
            "postgres", host=f"{self.primary.folder},{self.standby.folder}",
            port=f"{self.primary.port},{self.standby.port}")
        self.now = self.primary  # which of them is asked

    def wait_for_standby(self):
        kernel.wait_until(lambda: self.primary.query(
            "postgres", "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
            "the synchronous standby", 30)

    def query(self, sql):
        return self.now.query("postgres", sql)

    def serve(self, *options, timeout=5):
        return self.server("--store", self.store, "--store-timeout", seconds(timeout), "--quiet",
                           *options)

    @contextlib.contextmanager
    def load(self, names, ports_of):
        """Producers that go on until the block ends, each at its ports in any order; then all that
        was answered has to be there, once."""
        stop, told, failures = threading.Event(), {}, []
        threads = [threading.Thread(target=test_store_numbered.Killed.produce, args=(
            self, name, AnyOf(name, ports_of(i)), stop, told, failures))
                   for i, name in enumerate(names)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(scaled(60))
        self.assertEqual(failures, [])
        rows = self.rows()
        stored = {(name, seq): body for name, seq, body in rows}
        self.assertEqual(len(stored), len(rows), "a message is stored twice")
        for name in names:
            answered, given = told[name]
            self.assertEqual(answered, len(given))
            self.assertGreater(answered, 10)
            for number in range(1, answered + 1):
                self.assertEqual(stored.get((name.decode(), number)), given[number - 1],
                                 "an answered message is lost")

    def greet_as(self, promise, server, name, start, last, port=None):
        end = tls.connect(port or server.port, self.context())
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1 producer=%s from=%d\n" % (name, start))
        self.expect(end, HELLO % (last, promise))
        return end


class Promoted(PairTest):
    limit = 120 + 40 * ROUNDS

    def one_round(self, round_):
        servers = [self.serve("--workers", "2") for _ in range(2)]
        ports = [server.port for server in servers]
        names = [b"r%d-p%d" % (round_, i) for i in range(8)]
        with self.load(names, lambda _: ports):
            time.sleep(0.7 + round_ % 5 * 0.1)
            self.primary.kill()
            self.standby.promote()
            self.now = self.standby
            time.sleep(1)
        for server in servers:
            server.stop()
        self.standby.remove()

    def test_under_load(self):
        self.one_round(0)
        for round_ in range(1, ROUNDS):
            self.setUp()
            self.one_round(round_)


class Hanging(PairTest):
    """A primary whose machine hangs: its connections stay, and nothing is said on them."""

    def test_the_promoted_one_is_found_in_time(self):
        """Under load, by servers that no reset tells, long before replies have waited their time."""
        servers = [self.serve(timeout=60) for _ in range(2)]
        with self.load([b"p%d" % i for i in range(6)], lambda i: [servers[i % 2].port]):
            time.sleep(0.5)
            self.primary.signal_all(signal.SIGSTOP)
            self.standby.promote()
            self.now = self.standby
            for server in servers:
                server.stderr.wait_until(lambda said: b"the store is back" in said, "its return", 30)
            time.sleep(0.5)
        for server in servers:
            server.stop()
            self.assertEqual(server.log().count(b"takes writes"), 1, server.log())


class Fleet(PairTest):
    """packaging/fleet: three servers behind HAProxy in TCP mode, which is reloaded; each of them lost
    and replaced."""

    limit = 180

    def proxy(self, ports):
        """HAProxy with the example's configuration, but for addresses and the checks' interval; as
        services run it, under a master that reloads. Returns its port and itself."""
        self.tool("haproxy")
        port = harness.unused_port()
        with open(os.path.join(ROOT, "packaging", "fleet", "haproxy.cfg"), encoding="ascii") as file:
            text = file.read()
        for before, after in (("bind :12345", f"bind 127.0.0.1:{port}"), ("inter 1s", "inter 100"),
                              ("/run/haproxy/admin.sock", self.path("haproxy.sock"))):
            self.assertIn(before, text)
            text = text.replace(before, after)
        for host, server_port in zip(("11", "12", "13"), ports):
            self.assertIn(f"192.0.2.{host}:12345", text)
            text = text.replace(f"192.0.2.{host}:12345", f"127.0.0.1:{server_port}")
        path = self.write_file("haproxy.cfg", text.encode())
        haproxy = self.keep(harness.Program(["haproxy", "-W", "-db", "-f", path], name="haproxy"))
        haproxy.stderr.wait_for(b"Loading success", limit=20)
        return port, haproxy

    def on(self, port):
        """A server on that port, ready."""
        server = self.keep(harness.Server(
            "--store", self.store, "--store-timeout", seconds(5), "--quiet",
            listen=(f"127.0.0.1:{port}",)))
        server.stderr.wait_for(b"listening on")
        return server

    def test_each_is_lost_and_replaced(self):
        ports = [harness.unused_port() for _ in range(3)]
        servers = [self.on(port) for port in ports]
        proxy, haproxy = self.proxy(ports)
        # A real client among them; its lines come one by one, and it moves with its connection.
        lines = [f"line {i}" for i in range(60)]
        client = self.start_client("--ca", default_certificates().ca, "-q", "--producer", "lines",
                                   "--retry", "60", "--timeout", "30", f"127.0.0.1:{proxy}")
        with self.load([b"p%d" % i for i in range(9)], lambda _: [proxy]):
            self.reload(haproxy, proxy)
            for i, port in enumerate(ports):
                for line in lines[20 * i:20 * i + 20]:
                    client.write(line.encode() + b"\n")
                    time.sleep(0.01)
                if i == 1:
                    self.tell_proxy("set server servers/two state drain")
                servers[i].signal(signal.SIGKILL if i != 1 else signal.SIGTERM)
                servers[i].wait()
                time.sleep(0.3)
                servers[i] = self.on(port)
                self.tell_proxy("set server servers/two state ready")
                time.sleep(0.3)
            self.primary.kill()
            self.standby.promote()
            self.now = self.standby
            time.sleep(1)
        client.close_stdin()
        client.finish(0, 60)
        for server in servers:
            server.stop()
        self.assertEqual([body.decode() for name, _, body in sorted(self.rows()) if name == "lines"],
                         lines)

    def reload(self, haproxy, port):
        """What is open stays with the old process, and nobody is refused by the new one."""
        stays = self.greet_as(b"replicated", None, b"stays", 1, 0, port=port)
        # A signal that comes before the master listens to them is lost.
        for last in (False, False, False, True):
            haproxy.signal(signal.SIGUSR2)
            try:
                haproxy.stderr.wait_until(
                    lambda said: self.visit(port) and said.count(b"Loading success") > 1,
                    "its reload", 5)
                break
            except AssertionError:
                if last:
                    raise
        for _ in range(50):
            self.visit(port)
        stays.send(message(1, b"still here"))
        self.expect(stays, ok(1, b"still here"))
        stays.close()

    def tell_proxy(self, command):
        """On the socket of the process that runs now."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(scaled(10))
            end.connect(self.path("haproxy.sock"))
            end.sendall(command.encode() + b"\n")
            self.assertEqual(network.receive_all(end).strip(), b"")

    @staticmethod
    def visit(port):
        network.connect(port).close()
        return True


@unittest.skipUnless(os.geteuid() == 0, "only root mounts files")
class Named(test_store_numbered.StoreTest):
    """One name with the addresses of three servers, as DNS would give it, and nothing before them."""

    ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
    NAME = "msg.example.org"

    def setUp(self):
        super().setUp()
        self.cluster = postgresql.Cluster()
        self.addCleanup(self.cluster.remove)
        self.port = harness.unused_port()
        self.hosts = self.write_file("hosts", "".join(
            f"{address} {self.NAME}\n" for address in self.ADDRESSES).encode())

    def query(self, sql):
        return self.cluster.query("postgres", sql)

    def on(self, address):
        own = certificates.leaf("fleet", "msg", names=f"DNS:{self.NAME}")
        server = self.keep(harness.Server(
            "--store", self.cluster.url("postgres"), "--cert", own.certificate, "--key", own.key,
            certificate=False, listen=(f"{address}:{self.port}",)))
        server.stderr.wait_for(b"listening on")
        return server

    def client(self, *words):
        """One that finds the name in a file of its own."""
        client = self.keep(harness.Program(
            [self.tool("unshare"), "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
             self.hosts, *program("tlsmsg-client"), "--ca", certificates.authority("fleet").ca, "-q",
             "--timeout", "30", *words, f"{self.NAME}:{self.port}"], stdin=subprocess.PIPE,
            name="tlsmsg-client"))
        return client

    def say(self, client, number):
        client.write(b"line %d\n" % number)
        try:
            client.stdout.wait_for(b"\n", number + 1, limit=60)
        except AssertionError:
            if b"mount:" in client.stderr.bytes() or b"unshare:" in client.stderr.bytes():
                self.skipTest("this machine mounts nothing here")
            raise

    def test_the_next_address_is_tried(self):
        """The first is gone from the start; then each server is lost that the client is at."""
        servers = [self.on(address) for address in self.ADDRESSES[1:]]
        client = self.client("--producer", "job", "--retry", "60")
        for number in range(3):
            self.say(client, number)
            at = [server for server in servers if b"line %d" % number in server.transcript()]
            self.assertEqual(len(at), 1)
            if number == 1:
                servers.append(self.on(self.ADDRESSES[0]))
            if number < 2:
                servers.remove(at[0])
                at[0].signal(signal.SIGKILL)
                at[0].finish(-signal.SIGKILL)
        client.close_stdin()
        client.finish(0, 60)
        self.assertEqual([(seq, body) for _, seq, body in self.rows()],
                         [(n + 1, b"line %d" % n) for n in range(3)])


@unittest.skipUnless(os.geteuid() == 0, "only root makes network namespaces")
class CutOff(harness.ProgramTest):
    limit = 180

    def test_without_a_reset(self):
        """The link to the primary is cut, its standby promoted: the server finds that by itself."""
        postgresql.need()
        made = default_certificates()
        run = subprocess.run(
            [self.tool("unshare"), "-n", sys.executable, "-B",
             os.path.join(ROOT, "tests", "support", "cut_database.py"),
             *program("tlsmsg-server"), "--cert", made.server, "--key", made.server_key,
             "--", *program("tlsmsg-client"), "--ca", made.ca, "-q"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=scaled(170), check=False)
        if b"Operation not permitted" in run.stderr:
            self.skipTest("this machine makes no network namespaces")
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        found = json.loads(run.stdout)
        self.assertEqual(found["status"], 0)
        self.assertEqual(found["lines"], [f"line {i}" for i in range(40)])
        self.assertEqual(found["log"].count("the store is away"), 1, found["log"])
        # The other host is asked from the first second on; what takes time here is the promotion.
        self.assertLess(found["seconds"], scaled(60))


class Waiting(PairTest):
    """A backend that waits for the standby has committed on its own machine, whatever ends it."""

    def wait_for_backend(self):
        """The process that waits for the standby."""
        return kernel.wait_until(lambda: self.query(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name ="
            " 'tlsmsg'"), "a backend that waits for the standby", 20)[0][0]

    def ended_by(self, function):
        first, second = self.serve(timeout=30), self.serve(timeout=30)
        end = self.greet_as(b"replicated", first, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        self.standby.signal_all(signal.SIGSTOP)
        try:
            end.send(message(2, b"b"))
            pid = self.wait_for_backend()
            self.query(f"SELECT {function}({pid})")
            # It is visible now, and on one machine alone.
            kernel.wait_until(lambda: len(self.rows()) == 2, "the row", 20)
            # Through the other server it is a duplicate, which is answered once it is replicated.
            other = tls.connect(second.port, self.context())
            self.addCleanup(other.sock.close)
            other.send(b"HELLO 1 producer=job from=2\n" + message(2, b"b"))
            kernel.wait_until(lambda: len(self.query(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event IN ('SyncRep', 'transactionid')"
                " AND application_name = 'tlsmsg'")) >= 2, "both servers' waits", 20)
            for sock in (end.sock, other.sock):
                sock.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    sock.recv(1)
                sock.settimeout(scaled(30))
        finally:
            self.standby.signal_all(signal.SIGCONT)
        self.expect(end, ok(2, b"b"))
        self.expect(other, HELLO % (2, b"replicated"), ok(2, b"b"))
        self.primary.kill()
        self.standby.promote()
        self.now = self.standby
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2])

    def test_terminated(self):
        self.ended_by("pg_terminate_backend")

    def test_cancelled(self):
        self.ended_by("pg_cancel_backend")

    def test_the_standby_is_gone(self):
        # The primary has two names: what answers under the other one is not another engine.
        again = self.path("again")
        os.symlink(self.primary.folder, again)
        self.store = self.primary.url(
            "postgres", host=f"{self.primary.folder},{again},{self.standby.folder}")
        server = self.serve(timeout=0.5)
        end = self.greet_as(b"replicated", server, b"job", 1, 0)
        self.standby.signal_all(signal.SIGSTOP)
        try:
            for _ in range(3):
                end.send(message(1, b"a"))
                self.expect_bye(end, 503)
                end = self.greet_new(server)
            time.sleep(scaled(1.5))  # in which it has looked elsewhere
            # No process was left behind for each that gave up.
            self.assertEqual(len(self.query(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tlsmsg' AND"
                " wait_event = 'SyncRep'")), 1)
        finally:
            self.standby.signal_all(signal.SIGCONT)
        server.stderr.wait_until(lambda said: b"the store is back" in said, "its return", 30)
        self.assertEqual([(seq, body) for _, seq, body in self.rows()], [(1, b"a")])

    def greet_new(self, server):
        """A producer without a name asks the store nothing when it greets."""
        end = tls.connect(server.port, self.context())
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1\n")
        self.expect(end, HELLO % (0, b"replicated"))
        return end


class Falling(PairTest):
    def test_the_promise_falls_and_rises(self):
        server = self.serve()
        end = self.greet_as(b"replicated", server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        self.primary.set(synchronous_standby_names="")
        time.sleep(0.2)
        end.send(message(2, b"b"))
        self.expect_bye(end, 503)
        end = self.greet_as(b"disk", server, b"job", 2, 2)
        end.send(message(2, b"b"))
        self.expect(end, ok(2, b"b"))
        self.assertEqual(server.log().count(b"no synchronous standby any more"), 1, server.log())
        self.primary.set(synchronous_standby_names="*")
        self.wait_for_standby()
        end.send(message(3, b"c"))
        self.expect(end, ok(3, b"c"))
        end.close()
        self.greet_as(b"replicated", server, b"job", 4, 3).close()
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2, 3])

    def test_a_role_that_cannot_see_promises_a_disk(self):
        self.primary.execute("postgres", "CREATE ROLE plain LOGIN",
                             "GRANT CREATE ON DATABASE postgres TO plain")
        self.store = self.store.replace("owner@", "plain@")
        server = self.serve()
        end = self.greet_as(b"disk", server, b"job", 1, 0)
        end.close()
        server.stop()
        self.assertIn(b"pg_read_all_stats", server.log())


class Settings(test_store.Refusals):
    """What breaks the promise is refused, by --check and at the start; and a server that meets it
    later answers nothing until it is mended."""

    test_options = test_one_server_at_a_time = test_check_makes_nothing = None
    test_an_engine_that_was_not_built = test_others_who_can_read_it_are_told_of = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = postgresql.Cluster()
        cls.addClassCleanup(cls.cluster.remove)

    def setUp(self):
        super().setUp()
        self.store = self.cluster.url("postgres")

    def assert_refused(self, names, expect=2):
        for more in ((), ("--check",)):
            said = self.refused("--store", self.store, *more, expect=expect)
            self.assert_one_line(said, "tlsmsg-server: ", names)

    def test_settings_of_the_engine(self):
        for name in ("fsync", "full_page_writes"):
            with self.subTest(name=name):
                self.cluster.set(**{name: "off"})
                self.assert_refused(f"{name}=off")
                self.cluster.set(**{name: "on"})

    def test_settings_at_its_start(self):
        self.cluster.stop()
        self.cluster.start({"data_sync_retry": "on"})
        self.addCleanup(self.cluster.start, {})
        self.addCleanup(self.cluster.stop)
        self.assert_refused("data_sync_retry=on")

    def test_unlogged_tables(self):
        self.server("--store", self.store).stop()
        self.cluster.execute("postgres", "ALTER TABLE message SET UNLOGGED")
        self.addCleanup(self.cluster.execute, "postgres", "ALTER TABLE message SET LOGGED")
        self.assert_refused("unlogged table message")

    def test_another_encoding(self):
        self.cluster.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C'"
                             " TEMPLATE template0")
        self.store = self.cluster.url("latin")
        self.assert_refused("server_encoding=LATIN1")

    def test_a_server_in_recovery(self):
        standby = postgresql.Cluster({}, copy_of=self.cluster)
        self.addCleanup(standby.remove)
        self.store = standby.url("postgres")
        self.assert_refused(("standby", "read-only"), expect=1)

    def test_asynchronous_commits_are_switched_on(self):
        """Ours is the session's own setting, whatever the address says."""
        self.store += "&options=-csynchronous_commit%3Doff"
        server = self.server("--store", self.store)
        end = self.connect(server)
        self.exchange(end, b"hello")
        end.close()

    def test_while_it_serves(self):
        server = self.server("--store", self.store, "--store-timeout", seconds(0.5))
        end = self.connect(server)
        self.exchange(end, b"hello")
        self.cluster.set(fsync="off")
        self.addCleanup(self.cluster.set, fsync="on")
        time.sleep(0.2)
        end.send(b"again")
        self.assertEqual(end.receive_until_close(), b"")
        server.stderr.wait_for(b"can't keep a promise with fsync=off")
        self.cluster.set(fsync="on")
        server.stderr.wait_until(lambda said: b"the store is back" in said, "its return", 20)
        end = self.connect(server)
        self.exchange(end, b"once more")
        end.close()


if __name__ == "__main__":
    harness.main(plaintext=False)
