#!/usr/bin/env python3
"""The store in PostgreSQL: the rows of the store's other tests on this engine, and what it alone has:
other servers, conflicts, messages that it refuses, settings that break the promise."""

import hashlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import postgresql
import test_store
import test_store_numbered
import texts
import tls
from certificates import default_certificates
from settings import seconds

CLUSTER = None


def setUpModule():
    global CLUSTER
    CLUSTER = postgresql.Cluster()
    unittest.addModuleCleanup(CLUSTER.remove)


class InDatabase:
    """Beside a StoreTest: an address in place of the file, and nothing stored there yet."""

    database = "postgres"

    def setUp(self):
        super().setUp()
        self.store = CLUSTER.url(self.database)
        self.execute("DROP SCHEMA IF EXISTS tlsmsg CASCADE")

    def query(self, sql):
        return CLUSTER.query(self.database, sql)

    def execute(self, *statements):
        return CLUSTER.execute(self.database, *statements)

    def assert_sound(self):
        self.assertEqual(self.query(
            "SELECT p.name FROM producer p WHERE seq <> (SELECT max(m.seq) FROM message m"
            " WHERE m.producer = p.id)"), [])


class Storing(InDatabase, test_store.Storing):
    LOGGED = re.compile(r"\ntlsmsg_store_batches_total 1\n")


class Numbered(InDatabase, test_store.Numbered):
    pass


class Killed(InDatabase, test_store.Killed):
    pass


class StoringNumbered(InDatabase, test_store_numbered.Storing):
    pass


class KilledNumbered(InDatabase, test_store_numbered.Killed):
    pass


def message(number, text):
    return test_store_numbered.message(number, text)


def ok(number, text):
    return test_store_numbered.ok(number, text)


class Conflicts(InDatabase, test_store_numbered.StoreTest):
    """Rule 4: another writer's insert of the same key is held open while ours waits for it."""

    def hold(self, number, text):
        """A row that a writer without the producer's lock has put there, not committed yet."""
        session = CLUSTER.session(self.database)
        self.addCleanup(session.close)
        session.do("BEGIN")
        self.assertEqual(session.do(
            "INSERT INTO message(time, run, connection, peer, producer, seq, follows, hash, body) SELECT 1,"
            f" 1, 1, 'another', id, {number}, 0, '\\x{hashlib.sha256(text).hexdigest()}',"
            f" '\\x{text.hex()}' FROM producer WHERE name = 'job'"), [])
        return session

    def wait_for_blocked(self):
        kernel.wait_until(
            lambda: self.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND"
                               " query LIKE 'INSERT INTO tlsmsg.message%'"), "the insert that waits")

    def held(self, ending, text, *wanted):
        """What becomes of numbers 2 to 4 when another insert of number 3 ends in that way."""
        server = self.server("--store", self.store)
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        session = self.hold(3, text)
        end.send(message(2, b"b") + message(3, b"c") + message(4, b"d"))
        self.wait_for_blocked()
        self.assertEqual(session.do(ending), [])
        self.expect(end, *wanted)
        return end

    def test_it_is_rolled_back(self):
        self.held("ROLLBACK", b"c", ok(2, b"b"), ok(3, b"c"), ok(4, b"d")).close()
        self.assertEqual([seq for _, seq, _ in self.rows()], [1, 2, 3, 4])

    def test_the_same_bytes_are_committed(self):
        self.held("COMMIT", b"c", ok(2, b"b"), ok(3, b"c"), ok(4, b"d")).close()
        self.assertEqual(sorted(seq for _, seq, _ in self.rows()), [1, 2, 3, 4])

    def test_other_bytes_are_committed(self):
        end = self.held("COMMIT", b"x", ok(2, b"b"))
        self.expect_bye(end, 412)
        # Nothing later of that conversation was taken.
        self.assertEqual(sorted((seq, body) for _, seq, body in self.rows()),
                         [(1, b"a"), (2, b"b"), (3, b"x")])

    def test_two_servers_take_turns(self):
        first = self.server("--store", self.store)
        second = self.server("--store", self.store)
        last = 0
        for turn in range(4):
            server = (first, second)[turn % 2]
            numbers = range(max(1, last - 2), last + 6)
            end = self.greet(server, b"job", numbers[0], last)
            end.send(b"".join(message(n, b"m%d" % n) for n in numbers))
            self.expect(end, *(ok(n, b"m%d" % n) for n in numbers))
            end.close()
            last += 5
        self.assertEqual([seq for _, seq, _ in self.rows()], list(range(1, last + 1)))


class Refused(InDatabase, test_store_numbered.StoreTest):
    """A message that the engine refuses by itself is found by halving, and refused alone."""

    def setUp(self):
        super().setUp()
        self.server("--store", self.store).stop()
        self.execute("ALTER TABLE message ADD CHECK (body <> 'bad'::bytea)")

    def test_what_came_before_is_answered(self):
        for place in (1, 2, 7, 16):
            with self.subTest(place=place):
                server = self.server("--store", self.store)
                name = b"job%d" % place
                end = self.greet(server, name, 1, 0)
                sent = [b"bad" if n == place else b"m%d" % n for n in range(1, 17)]
                end.send(b"".join(message(n, text) for n, text in enumerate(sent, 1)))
                self.expect(end, *(ok(n, sent[n - 1]) for n in range(1, place)))
                self.expect_bye(end, 415)
                server.stop()
                self.assertEqual([seq for who, seq, _ in self.rows() if who == name.decode()],
                                 list(range(1, place)))

    def test_others_go_on(self):
        server = self.server("--store", self.store, "--workers", "2")
        ends = [self.greet(server, b"job%d" % i, 1, 0) for i in range(8)]
        for i, end in enumerate(ends):
            end.send(b"".join(message(n, b"bad" if (i, n) == (3, 2) else b"m") for n in range(1, 9)))
        for i, end in enumerate(ends):
            self.expect(end, *(ok(n, b"m") for n in range(1, 2 if i == 3 else 9)))
        self.expect_bye(ends[3], 415)
        self.assertEqual(len(self.rows()), 7 * 8 + 1)

    def test_the_documents_flow_ends(self):
        server = self.server("--store", self.store)
        end = tls.connect(server.port, tls.client_context(default_certificates().ca))
        self.addCleanup(end.sock.close)
        end.send(b"good")
        self.assertEqual(end.receive_exactly(len(texts.reply(b"good"))), texts.reply(b"good"))
        end.send(b"bad")
        self.assertEqual(end.receive_until_close(), b"")
        server.stop()
        self.assertEqual([body for _, _, body in self.rows()], [b"good"])


class Options(InDatabase, test_store.Refusals):
    def setUp(self):
        super().setUp()
        self.url = CLUSTER.url(self.database)

    test_one_server_at_a_time = None  # any number
    test_an_engine_that_was_not_built = None

    def test_options(self):
        for options, names in (
                (("--store", self.url, "--store-keep", "90d"), "prune"),
                (("--store", self.url, "--store-min-free", "1"), "prune"),
                (("--store", "postgresql://u:se@cret@h/d"), "%40"),
                (("--store", "postgresql://u:secret@h/d?nonsense=1"), "libpq"),
                (("--store", "postgresql://u:secret@[::1/d"), "libpq"),
        ):
            for more in ((), ("--check",)):
                with self.subTest(options=options, more=more):
                    said = self.refused(*options, *more)
                    self.assert_one_line(said, "tlsmsg-server: ", names)
                    self.assertNotIn(b"cret", said)

    def test_check_makes_nothing(self):
        made = default_certificates()
        words = ("--cert", made.server, "--key", made.server_key, "--store", self.url, "--check")
        server = self.run_server_to_end(*words, expect=0)
        self.assertEqual(server.stdout.bytes(), b"The configuration is good.\n")
        self.assertEqual(self.query("SELECT 1 FROM pg_namespace WHERE nspname = 'tlsmsg'"), [])
        self.server("--store", self.url).stop()
        self.assertEqual(self.query("SELECT count(*) FROM run"), [(1,)])
        self.run_server_to_end(*words, expect=0)
        self.assertEqual(self.query("SELECT count(*) FROM run"), [(1,)])

    def test_an_engine_that_is_not_there(self):
        port = harness.unused_port()
        said = self.refused("--store", f"postgresql://u:secret@127.0.0.1:{port}/d", expect=1)
        self.assert_one_line(said, "tlsmsg-server: ", "refused")
        self.assertNotIn(b"secret", said)

    def test_a_schema_of_somebody_elses(self):
        self.execute("CREATE SCHEMA tlsmsg")
        self.assert_one_line(self.refused("--store", self.url), "tlsmsg-server: ", "'tlsmsg' is not")

    def test_other_tables_of_the_same_name_are_left_alone(self):
        self.execute("CREATE TABLE public.message(id int)", "CREATE TABLE public.producer(id int)")
        self.addCleanup(self.execute, "DROP TABLE public.message, public.producer")
        server = self.server("--store", self.url)
        end = self.connect(server)
        self.exchange(end, b"hello")
        end.close()
        server.stop()
        self.assertEqual(self.query("SELECT count(*) FROM public.message"), [(0,)])
        self.assertEqual(self.query("SELECT count(*) FROM tlsmsg.message"), [(1,)])


def other_address():
    """One of this machine that isn't told to be this machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError as error:
            raise unittest.SkipTest("this machine has no address but its own") from error
        return probe.getsockname()[0]


class Reach(test_store.StoreTest):
    """What connecting takes, from within the sandbox: a name, a port, a password's file."""

    PASSWORD = "s3cret"

    @classmethod
    def setUpClass(cls):
        cls.cluster = postgresql.Cluster(address="0.0.0.0")
        cls.addClassCleanup(cls.cluster.remove)
        cls.cluster.execute("postgres", f"CREATE ROLE anna LOGIN SUPERUSER PASSWORD '{cls.PASSWORD}'")
        with open(os.path.join(cls.cluster.data, "pg_hba.conf"), "w", encoding="ascii") as hba:
            hba.write("local all owner trust\nhost all all all scram-sha-256\n")
        cls.cluster.execute("postgres", "SELECT pg_reload_conf()")

    def url(self, **parameters):
        return self.cluster.url("postgres", "anna", host="localhost", **parameters)

    def serves(self, *options, **how):
        server = self.server(*options, "--log-level", "info", "--quiet", **how)
        end = self.connect(server)
        self.exchange(end, b"hello")
        # A second connection is made long after the start.
        self.cluster.execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE usename = 'anna'")
        self.exchange(end, b"again")
        end.close()
        server.signal(signal.SIGUSR1)
        server.stop()
        self.assertNotIn(self.PASSWORD.encode(), server.stderr.bytes())
        return server.log()

    def passfile(self, name):
        path = self.write_file(name, f"*:*:*:anna:{self.PASSWORD}\n".encode())
        os.chmod(path, 0o600)
        return path

    def test_a_password_file_of_its_own(self):
        said = self.serves("--store", self.url(passfile=self.passfile("passwords")))
        if b"Landlock ABI" in said and b"lacks network" not in said:
            self.assertIn(b"connections to the store's ports alone", said)

    def test_the_password_file_at_home(self):
        self.passfile(".pgpass")
        self.serves("--store", self.url(), env=os.environ | {"HOME": self.folder})

    def test_a_password_in_the_address_is_hidden(self):
        url = self.url().replace("anna@", f"anna:{self.PASSWORD}@")
        server = self.server("--store", url, "--quiet")
        with open(f"/proc/{server.pid}/cmdline", "rb") as file:
            self.assertNotIn(self.PASSWORD.encode(), file.read())
        server.stop()
        self.serves("--store=" + url)
        said = self.run_server_to_end(
            "--listen", "127.0.0.1:0", "--cert", default_certificates().server, "--key",
            default_certificates().server_key, "--store",
            url.replace(self.PASSWORD, "wr0ng"), expect=1).stderr.bytes()
        self.assertIn(b"password authentication failed", said)
        self.assertNotIn(b"wr0ng", said)

    def test_an_engine_that_is_not_verified_is_told(self):
        """127.0.0.1 is this machine for certain; another of its addresses could be anybody's."""
        self.assertNotIn(b"not verified", self.serves(
            "--store", self.url(passfile=self.passfile("passwords"))))
        address = other_address()
        said = self.serves("--store", self.cluster.url(
            "postgres", "anna", host=address, passfile=self.path("passwords")))
        self.assertEqual(said.count(f"engine at {address} is not verified".encode()), 1, said)

class Pooled(InDatabase, test_store_numbered.StoreTest):
    """PgBouncer between, which has a session for each transaction: what was set or prepared in one may
    be missing from the next, so the engine's own settings decide."""

    def through(self, mode):
        self.pooler = postgresql.Pooler(self.tool("pgbouncer"), CLUSTER, mode)
        self.addCleanup(self.pooler.end)
        self.store = self.pooler.url(self.database)

    def set(self, setting):
        """For new sessions; those that are there end, and the pooler knows it."""
        old = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        CLUSTER.execute(self.database, f"ALTER DATABASE {self.database} {setting}")
        pids = [pid for pid, in CLUSTER.query(self.database, f"SELECT pid {old}")]
        CLUSTER.execute(self.database, f"SELECT pg_terminate_backend(pid) {old}")
        kernel.wait_until(lambda: not [pid for pid, in CLUSTER.query(
            self.database, f"SELECT pid {old}") if pid in pids], "the end of all sessions", 20)
        kernel.wait_until(self.pooler_answers, "the pooler's new sessions", 20)

    def pooler_answers(self):
        try:
            return self.pooler.execute(self.database, "SELECT 1") == "1\n"
        except AssertionError:
            return False

    def two_servers_take_turns(self):
        servers = [self.server("--store", self.store, "--quiet") for _ in range(2)]
        for number in range(1, 9):
            if number in (4, 7):
                self.set("RESET ALL")  # so all sessions are new ones
            end = self.greet(servers[number % 2], b"job", number, number - 1)
            end.send(message(number, b"m%d" % number))
            self.expect(end, ok(number, b"m%d" % number))
            end.close()
        self.assertEqual([seq for _, seq, _ in self.rows()], list(range(1, 9)))

    def test_by_the_transaction(self):
        self.through("transaction")
        self.two_servers_take_turns()
        # Others who use the pool find nothing of ours.
        left = self.pooler.execute(self.database, "SELECT (SELECT count(*) FROM"
                                   " pg_prepared_statements), current_setting('search_path')")
        self.assertEqual(left, '0|"$user", public\n')

    def test_by_the_session(self):
        self.through("session")
        self.two_servers_take_turns()

    def test_settings_that_break_the_promise(self):
        self.through("transaction")
        self.addCleanup(self.set, "RESET ALL")
        for setting, value in (("synchronous_commit", "off"), ("statement_timeout", "5s"),
                               ("lock_timeout", "1s"), ("client_min_messages", "error")):
            with self.subTest(setting=setting):
                self.set(f"SET {setting} = '{value}'")  # beside those before, which are told, too
                self.assert_one_line(self.refused_by("--check"), "tlsmsg-server: ",
                                     f"{setting}={value}")

    def refused_by(self, *options):
        made = default_certificates()
        return self.run_server_to_end("--cert", made.server, "--key", made.server_key, "--store",
                                      self.store, *options, expect=2).stderr.bytes()

    def test_while_it_serves(self):
        self.through("transaction")
        self.addCleanup(self.set, "RESET ALL")
        server = self.server("--store", self.store, "--store-timeout", seconds(1), "--quiet")
        end = self.greet(server, b"job", 1, 0)
        self.set("SET synchronous_commit = local")
        end.send(message(1, b"a"))
        self.expect_bye(end, 503)
        asks = tls.connect(server.port, self.context())
        self.addCleanup(asks.sock.close)
        asks.send(b"HELLO 1 producer=job from=1\n")
        self.expect_bye(asks, 503)
        self.assertNotIn(b"the store is back", server.log())
        self.set("RESET ALL")
        server.stderr.wait_until(lambda said: b"the store is back" in said, "its return", 20)
        end = self.greet(server, b"job", 1, 0)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))


class Encrypted(test_store.StoreTest):
    """TLS to the engine, which asks for a certificate and a password; all files are read again at
    each connection, from within the sandbox."""

    PASSWORD = "s3cret"

    @classmethod
    def setUpClass(cls):
        cls.ca = certificates.authority("engine")
        own = cls.ca.issue("engine", names="DNS:localhost,DNS:db.example.org")
        cls.client = cls.ca.issue("anna")
        cls.cluster = postgresql.Cluster(address="0.0.0.0")
        cls.addClassCleanup(cls.cluster.remove)
        for path in (own.certificate, own.key, cls.ca.ca):
            copy = os.path.join(cls.cluster.data, os.path.basename(path))
            shutil.copy(path, copy)
            os.chmod(copy, 0o600)
            owner = os.stat(cls.cluster.data)
            os.chown(copy, owner.st_uid, owner.st_gid)
        with open(os.path.join(cls.cluster.data, "pg_hba.conf"), "w", encoding="ascii") as hba:
            hba.write("local all owner trust\n"
                      "hostssl all anna all scram-sha-256 clientcert=verify-full\n"
                      "host all bert all scram-sha-256\n")
        for role in ("anna", "bert"):
            cls.cluster.execute("postgres",
                                f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{cls.PASSWORD}'")
        cls.cluster.set(ssl_cert_file="engine.crt", ssl_key_file="engine.key", ssl_ca_file="ca.crt",
                        ssl="on")

    def setUp(self):
        super().setUp()
        self.passfile = self.alone("passwords", f"*:*:*:*:{self.PASSWORD}\n".encode())

    def alone(self, name, data):
        """A file in a folder of its own, so that none is within reach for another one's sake."""
        folder = tempfile.mkdtemp(prefix="tlsmsg-test-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o600)
        return path

    def copy_of(self, path):
        with open(path, "rb") as file:
            return self.alone(os.path.basename(path), file.read())

    def url(self, role="anna", **parameters):
        return self.cluster.url("postgres", role, **{"passfile": self.passfile} | parameters)

    def verified(self):
        """Verified in full at an address that could be anybody's."""
        return {"host": "db.example.org", "hostaddr": other_address(), "sslmode": "verify-full",
                "sslrootcert": self.copy_of(self.ca.ca),
                "sslcert": self.copy_of(self.client.certificate),
                "sslkey": self.copy_of(self.client.key)}

    def serves(self, url, again=None, **how):
        """What a server says that connects twice."""
        server = self.server("--store", url, "--log-level", "info", "--quiet", **how)
        end = self.connect(server)
        self.exchange(end, b"hello")
        (again or self.disconnect)()
        self.exchange(end, b"again")
        end.close()
        server.stop()
        return server.log()

    def disconnect(self):
        self.cluster.execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE application_name = 'tlsmsg'")

    def restart(self):
        self.cluster.stop()
        self.cluster.start()

    def is_encrypted(self):
        return self.cluster.execute("postgres", "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN"
                                    " pg_stat_activity USING (pid) WHERE application_name = 'tlsmsg'")

    def test_verified_in_full(self):
        said = self.serves(self.url(**self.verified()), self.restart)
        self.assertNotIn(b"not verified", said)

    def test_files_at_home(self):
        home = os.path.dirname(self.alone("nothing", b""))
        os.mkdir(os.path.join(home, ".postgresql"))
        for name, source in ((".pgpass", self.passfile), (".postgresql/root.crt", self.ca.ca),
                             (".postgresql/postgresql.crt", self.client.certificate),
                             (".postgresql/postgresql.key", self.client.key)):
            shutil.copy(source, os.path.join(home, name))
            os.chmod(os.path.join(home, name), 0o600)
        url = self.cluster.url("postgres", "anna", host="db.example.org", hostaddr=other_address(),
                               sslmode="verify-full")
        self.assertNotIn(b"not verified", self.serves(url, env=os.environ | {"HOME": home}))

    def test_a_service(self):
        """A service's file says everything, the names of other files too."""
        words = self.verified() | {"port": self.cluster.port, "dbname": "postgres", "user": "anna",
                                   "passfile": self.passfile}
        path = self.alone("services", "".join(
            ["[messages]\n", *(f"{key}={value}\n" for key, value in words.items())]).encode())
        said = self.serves("postgresql://?service=messages",
                           env=os.environ | {"PGSERVICEFILE": path})
        self.assertNotIn(b"not verified", said)

    def test_who_is_not_verified_is_refused(self):
        made = default_certificates()
        own = self.verified()
        for name, words, cause in (
                ("another CA", {"sslrootcert": made.ca}, "certificate verify failed"),
                ("another name", {"host": "other.example.org"},
                 "does not match host name \"other.example.org\""),
                ("no file", {"sslrootcert": self.path("none")}, "does not exist"),
                ("no certificate of ours", {"sslcert": self.path("none")}, "certificate")):
            with self.subTest(name):
                said = self.run_server_to_end(
                    "--listen", "127.0.0.1:0", "--cert", made.server, "--key", made.server_key,
                    "--store", self.url(**own | words), expect=1).stderr.bytes()
                self.assert_one_line(said, "tlsmsg-server: the store's engine: ", cause)

    def test_what_is_told(self):
        """That nobody is verified, where the way leaves the machine."""
        for host, mode, is_told in ((other_address(), "require", True),
                                    (other_address(), "disable", True),
                                    ("127.0.0.1", "require", False),
                                    ("127.0.0.1", "disable", False),
                                    (self.cluster.folder, "prefer", False)):
            with self.subTest(host=host, mode=mode):
                role = "owner" if host == self.cluster.folder else "bert"
                server = self.server("--store", self.url(role, host=host, sslmode=mode), "--quiet")
                end = self.connect(server)
                self.exchange(end, b"hello")
                self.assertEqual(self.is_encrypted(), "t\n" if mode == "require" else "f\n")
                end.close()
                server.stop()
                said = server.log()
                self.assertEqual(said.count(f"engine at {host} is not verified".encode()), is_told)
                self.assertEqual(said.count(b"\n"), is_told, said)


if __name__ == "__main__":
    harness.main(plaintext=False)
