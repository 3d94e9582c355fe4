#!/usr/bin/env python3
"""tlsmsg-store on PostgreSQL: its commands, also beside a server that writes, and what each role
may."""

import json
import os
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import postgresql
import settings
import test_store_numbered
import test_store_tool
from test_store_numbered import message, ok

CLUSTER = None


def setUpModule():
    global CLUSTER
    CLUSTER = postgresql.Cluster()
    unittest.addModuleCleanup(CLUSTER.remove)


class DatabaseTest(test_store_tool.ToolTest):
    def setUp(self):
        super().setUp()
        CLUSTER.execute("postgres", "DROP SCHEMA IF EXISTS tlsmsg CASCADE")
        self.store = CLUSTER.url("postgres")

    def execute(self, *statements):
        return CLUSTER.execute("postgres", *statements)

    def numbered(self, *numbers):
        """A store with these numbers of producer p, as a server stores them."""
        server = self.server("--store", self.store, "--quiet")
        last = 0
        for number in numbers:
            end = self.greet(server, b"p", number, last)
            text = b"message %d " % number * 30
            end.send(message(number, text))
            self.expect(end, ok(number, text))
            end.close()
            last = number
        server.stop()

    context = test_store_numbered.StoreTest.context
    greet = test_store_numbered.StoreTest.greet
    expect = test_store_numbered.StoreTest.expect


class Showing(DatabaseTest):
    def test_list_tail_and_export(self):
        said = ["hello", "你好\x1b[2J\n", "a\0b", "x" * 200]
        self.fill(*(text.encode() for text in said))
        lines = self.tool("list", self.store).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[0], r"^ {6}1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  127\.0\.0\.1:\d+ +hello$")
        self.assertNotIn("\x1b", lines[1])
        self.assertEqual(self.tool("tail", "-n", "2", self.store).splitlines(), lines[2:])
        self.assertEqual(self.tool("tail", "-n", "0", self.store), "")
        self.assertEqual(self.tool("tail", "-n", "99", self.store).splitlines(), lines)
        rows = [json.loads(line) for line in self.tool("export", self.store).splitlines()]
        self.assertEqual([row["message"] for row in rows], said)
        self.assertEqual([row["seq"] for row in rows], [1, 2, 3, 4])
        self.assertRegex(rows[0]["producer"], "^@[0-9a-f]{32}$")

    def test_a_slow_answer_is_waited_for(self):
        """Another host that answers is no reason to leave this one."""
        self.fill(b"hello")
        again = self.path("again")
        os.symlink(CLUSTER.folder, again)
        session = CLUSTER.session("postgres")
        self.addCleanup(session.close)
        session.do("BEGIN")
        session.do("LOCK TABLE message")
        with subprocess.Popen([test_store_tool.TOOL, "list", CLUSTER.url(
                "postgres", host=f"{CLUSTER.folder},{again}")], stdout=subprocess.PIPE) as tool:
            try:
                with self.assertRaises(subprocess.TimeoutExpired):
                    tool.wait(2.5)
                session.do("COMMIT")
                said, _ = tool.communicate(timeout=settings.scaled(20))
            finally:
                tool.kill()
        self.assertEqual((tool.returncode, said.count(b"hello")), (0, 1))

    def test_many_and_long_ones(self):
        self.fill(*(b"%d " % i + b"y" * 15000 for i in range(400)))
        rows = [json.loads(line) for line in self.tool("export", self.store).splitlines()]
        self.assertEqual([int(row["message"].split()[0]) for row in rows], list(range(400)))

    def test_tail_misses_nothing(self):
        """A transaction that is older and commits later comes where it belongs: nothing is shown
        before it that has a later place."""
        server = self.server("--store", self.store, "--quiet")
        self.say(server, b"first")
        session = CLUSTER.session("postgres")
        self.addCleanup(session.close)
        session.do("BEGIN")
        session.do("INSERT INTO message(time, run, connection, peer, producer, seq, follows, body)"
                   " SELECT 1, 1, 1, 'another', id, 9, 1, 'slow' FROM producer")
        with subprocess.Popen([test_store_tool.TOOL, "tail", "-f", self.store],
                              stdout=subprocess.PIPE) as tail:
            try:
                self.assertIn(b"first", tail.stdout.readline())
                other = self.server("--store", self.store, "--quiet")
                self.say(other, b"later")
                got = []
                reader = threading.Thread(target=lambda: got.extend(
                    tail.stdout.readline() for _ in range(2)))
                reader.start()
                reader.join(0.5)
                self.assertEqual(got, [])
                session.do("COMMIT")
                reader.join(settings.scaled(20))
                self.assertEqual([line.split()[-1] for line in got], [b"slow", b"later"])
            finally:
                tail.send_signal(signal.SIGKILL)


class Verifying(DatabaseTest):
    def test_sound_with_jumps(self):
        self.numbered(1, 2, 3, 7, 8)
        self.assertEqual(self.tool("verify", self.store),
                         "5 messages, 5 with a hash, 1 jumps in their senders' numbers: sound\n")

    def test_other_bytes(self):
        self.numbered(1, 2, 3)
        self.execute("UPDATE message SET body = set_byte(body, 9, get_byte(body, 9) # 4) WHERE seq = 2")
        said = self.tool("verify", self.store, expect=1)
        self.assertIn("(number 2 of 'p') is not what was stored", said)
        self.assertTrue(said.endswith("3 messages, 3 with a hash: 1 faults\n"), said)

    def test_deleted(self):
        self.numbered(1, 2, 3, 4, 9)
        self.execute("DELETE FROM message WHERE seq IN (3, 4)")
        self.assertIn("'p' between its numbers 2 and 9 are missing",
                      self.tool("verify", self.store, expect=1))

    def test_deleted_at_the_end(self):
        self.numbered(1, 2, 3)
        self.execute("DELETE FROM message WHERE seq = 3")
        self.assertIn("'p' between its numbers 2 and 4 are missing",
                      self.tool("verify", self.store, expect=1))

    def test_pruned_is_no_fault(self):
        self.numbered(1, 2, 3, 4)
        self.execute("UPDATE message SET time = 1 WHERE seq < 3",
                     "INSERT INTO producer(identity, name, seq, seen) VALUES ('', '~old', 5, 1)")
        self.assertEqual(self.tool("prune", self.store, "--store-keep", "1000w"),
                         "2 messages deleted\n")
        self.assertIn("2 messages, 2 with a hash: sound", self.tool("verify", self.store))
        self.assertEqual(self.execute("SELECT name FROM producer"), "p\n")

    def test_pruning_leaves_no_hole(self):
        """A clock that was set back gives an old time to a message behind a younger one."""
        self.numbered(1, 2, 3, 4)
        self.execute("UPDATE message SET time = 1 WHERE seq IN (1, 3)")
        self.assertEqual(self.tool("prune", self.store, "--store-keep", "1000w"),
                         "1 messages deleted\n")
        self.assertIn("3 messages, 3 with a hash: sound", self.tool("verify", self.store))


class Roles(DatabaseTest):
    """init gives each role what it needs; all else is denied."""

    def setUp(self):
        super().setUp()
        self.execute("DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'srv') THEN"
                     " CREATE ROLE srv LOGIN; CREATE ROLE rdr LOGIN; CREATE ROLE nobody LOGIN;"
                     " END IF; END $$")
        self.assertEqual(self.tool("init", self.store), "")
        self.assertEqual(self.tool("init", self.store), "")  # again changes nothing
        self.execute("GRANT tlsmsg_server TO srv", "GRANT tlsmsg_reader TO rdr")

    def url(self, role):
        return CLUSTER.url("postgres", role)

    def denied(self, role, *statements):
        for statement in statements:
            with self.subTest(role=role, statement=statement):
                with self.assertRaisesRegex(AssertionError, "permission denied"):
                    self.execute(f"SET ROLE {role}; {statement}")

    def test_a_server(self):
        server = self.server("--store", self.url("srv"), "--quiet")
        self.say(server, b"hello")
        end = self.greet(server, b"p", 1, 0)
        end.send(message(1, b"a") + message(2, b"b"))
        self.expect(end, ok(1, b"a"), ok(2, b"b"))
        end.close()
        end = self.greet(server, b"p", 1, 2)
        end.send(message(1, b"a"))
        self.expect(end, ok(1, b"a"))
        end.close()
        server.stop()
        self.assertEqual(server.log(), b"")
        self.denied("srv", "SELECT body FROM tlsmsg.message", "SELECT * FROM tlsmsg.messages",
                    "UPDATE tlsmsg.message SET seq = 9", "DELETE FROM tlsmsg.message",
                    "TRUNCATE tlsmsg.message", "DELETE FROM tlsmsg.producer",
                    "UPDATE tlsmsg.producer SET name = 'x'", "UPDATE tlsmsg.run SET name = 'x'")

    def test_a_reader(self):
        server = self.server("--store", self.url("srv"), "--quiet")
        self.say(server, b"hello")
        server.stop()
        self.assertIn("hello", self.tool("list", self.url("rdr")))
        self.assertIn("hello", self.tool("tail", self.url("rdr")))
        self.assertIn("hello", self.tool("export", self.url("rdr")))
        self.assertIn("sound", self.tool("verify", self.url("rdr")))
        self.denied("rdr", "DELETE FROM tlsmsg.message", "UPDATE tlsmsg.producer SET seq = 0",
                    "INSERT INTO tlsmsg.run(name, time, version) VALUES ('', 0, '')")
        self.tool("prune", self.url("rdr"), "--store-keep", "1s", expect=1)
        self.assertIn("permission denied", self.said)

    def test_anybody_else(self):
        self.denied("nobody", "SELECT * FROM tlsmsg.messages")
        self.tool("list", self.url("nobody"), expect=2)
        self.assertIn("may not use the store", self.said)


class Refusals(DatabaseTest):
    def test_refusals(self):
        for words, text, expect in (
                (("list", self.store), "init", 2),
                (("backup", self.store, self.path("copy")), "pg_basebackup", 2),
                (("list", "postgresql://u:se@cret@h/d"), "%40", 2),
                (("prune", self.store), "--store-keep 90d", 2),
                (("list", f"postgresql://u:secret@127.0.0.1:{harness.unused_port()}/d"),
                 "refused", 1)):
            with self.subTest(words=words):
                self.tool(*words, expect=expect)
                self.assertIn(text, self.said)
                self.assertNotIn("cret", self.said)


if __name__ == "__main__":
    harness.main(plaintext=False)
