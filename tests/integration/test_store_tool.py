#!/usr/bin/env python3
"""tlsmsg-store: shows, checks and looks after a store, also while the server writes to it."""

import hashlib
import json
import os
import pty
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import settings
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest

TOOL = os.path.join(settings.build_dir(), "tlsmsg-store")


class ToolTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.store = self.path("store.db")

    def tool(self, *words, expect=0):
        """Runs it; returns stdout as text, with stderr compared to being there only in failure."""
        run = subprocess.run([TOOL, *words], stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=60, check=False)
        self.assertEqual(run.returncode, expect, run)
        if expect == 2:
            self.assert_one_line(run.stderr, "tlsmsg-store: ")
        elif expect == 0:
            self.assertEqual(run.stderr, b"")
        self.said = run.stderr.decode()
        return run.stdout.decode()

    def fill(self, *messages):
        """A server's store with these messages."""
        server = self.server("--store", self.store, "--quiet")
        self.say(server, *messages)
        server.stop()

    def say(self, server, *messages):
        end = tls.connect(server.port, tls.client_context(default_certificates().ca))
        with end:
            for message in messages:
                reply = texts.reply(message)
                end.send(message)
                self.assertEqual(end.receive_exactly(len(reply)), reply)
            end.close()

    def numbered(self, *numbers):
        """A store with numbered messages, as tlsmsg/1 brings them."""
        self.tool("init", self.store)
        with sqlite3.connect(self.store) as database:
            database.execute("INSERT INTO producer VALUES(1, '', 'p', ?, 1)", (max(numbers),))
            for number in numbers:
                body = f"message {number} ".encode() * 30
                database.execute(
                    "INSERT INTO message(time, run, connection, peer, producer, seq, hash, body)"
                    " VALUES(1795741801069, 1, 1, '127.0.0.1:1', 1, ?, ?, ?)",
                    (number, hashlib.sha256(body).digest(), body))
        database.close()

    def change(self, sql):
        with sqlite3.connect(self.store) as database:
            database.execute(sql)
        database.close()


class Showing(ToolTest):
    def test_list(self):
        self.fill(b"hello", "你好\x1b[2J\n".encode(), b"x" * 200)
        lines = self.tool("list", self.store).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[0], r"^ {6}1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  127\.0\.0\.1:\d+ +hello$")
        self.assertTrue(lines[1].endswith("你好\\x1b[2J\\n") or lines[1].endswith("你好\\x1B[2J\\n"),
                        lines[1])
        self.assertTrue(lines[2].endswith("x" * 200))
        self.assertEqual({line.index(text) for line, text in zip(lines, ("hello", "你好", "xxx"))},
                         {53})

    def test_wide_identities_keep_the_columns(self):
        self.numbered(1, 2, 3)
        for number, identity in ((2, "CN=张三"), (3, "CN=" + "张" * 40 + "\x1b[2J")):
            self.change(f"INSERT INTO producer VALUES({number}, '{identity}', 'p', {number}, 1)")
            self.change(f"UPDATE message SET producer = {number} WHERE seq = {number}")
        heads = [line[:line.index("message")] for line in self.tool("list", self.store).splitlines()]
        self.assertEqual([len(head) + head.count("张") + head.count("三") for head in heads],
                         [53] * 3, heads)

    def test_a_terminal_has_80_columns(self):
        self.fill(b"x" * 200, "好".encode() * 100)
        master, slave = pty.openpty()
        run = subprocess.run([TOOL, "list", self.store], stdout=slave, timeout=60, check=True)
        os.close(slave)
        said = os.read(master, 65536).decode()
        os.close(master)
        self.assertEqual(run.returncode, 0)
        lines = said.replace("\r\n", "\n").splitlines()
        for line in lines:
            self.assertLessEqual(len(line) + line.count("好"), 80, line)
            self.assertTrue(line.endswith("..."), line)

    def test_tail(self):
        self.fill(*(b"message %d" % i for i in range(15)))
        last = [line.rsplit("  ", 1)[1] for line in self.tool("tail", self.store).splitlines()]
        self.assertEqual(last, [f"message {i}" for i in range(5, 15)])
        self.assertEqual(len(self.tool("tail", "-n", "0", self.store)), 0)
        self.assertEqual(len(self.tool("tail", "--lines=3", self.store).splitlines()), 3)

    def test_tail_follows_a_server(self):
        server = self.server("--store", self.store, "--quiet")
        with subprocess.Popen([TOOL, "tail", "-f", self.store], stdout=subprocess.PIPE) as tail:
            try:
                for i in range(3):
                    self.say(server, b"message %d" % i)
                    self.assertIn(b"message %d" % i, tail.stdout.readline())
            finally:
                tail.send_signal(signal.SIGKILL)
        server.stop()

    def test_tail_ends_with_who_reads_it(self):
        self.fill(b"hello")
        with subprocess.Popen([TOOL, "tail", "-f", self.store], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as tail:
            self.assertIn(b"hello", tail.stdout.readline())
            tail.stdout.close()
            self.assertEqual(tail.wait(harness.scaled(20)), 1)
            self.assert_one_line(tail.stderr.read(), "tlsmsg-store: cannot write to stdout")

    def test_tail_goes_on_while_messages_are_pruned(self):
        self.numbered(*range(1, 1001))
        self.change("UPDATE message SET time = 1 WHERE seq < 1000")
        server = self.server("--store", self.store, "--quiet")
        with subprocess.Popen([TOOL, "tail", "-f", "-n", "1", self.store],
                              stdout=subprocess.PIPE) as tail:
            try:
                self.assertIn(b"message 1000 ", tail.stdout.readline())
                self.say(server, b"before")
                self.assertIn(b"before", tail.stdout.readline())
                self.tool("prune", self.store, "--store-keep", "1000w")
                self.say(server, b"behind")
                self.assertIn(b"behind", tail.stdout.readline())
            finally:
                tail.kill()
        server.stop()

    def test_export(self):
        messages = [b"hello", 'quote " and \\ and 你好\x7f'.encode(), b"a\0b"]
        self.fill(*messages)
        said = self.tool("export", self.store)
        self.assertNotIn("\x7f", said)
        rows = [json.loads(line) for line in said.splitlines()]
        self.assertEqual([row["message"].encode() for row in rows], messages)
        self.assertEqual([row["id"] for row in rows], [1, 2, 3])
        self.assertEqual([row["seq"] for row in rows], [1, 2, 3])
        self.assertEqual({row["event"] for row in rows}, {"message"})
        self.assertEqual({row["connection"] for row in rows}, {1})
        self.assertEqual([row["bytes"] for row in rows], [len(message) for message in messages])
        self.assertRegex(rows[0]["producer"], "^@[0-9a-f]{32}$")
        self.assertRegex(rows[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_an_unwritable_stdout_is_told(self):
        self.fill(b"hello")
        with open("/dev/full", "wb") as full:
            run = subprocess.run([TOOL, "list", self.store], stdout=full, stderr=subprocess.PIPE,
                                 timeout=60, check=False)
        self.assertEqual(run.returncode, 1)
        self.assert_one_line(run.stderr, "tlsmsg-store: cannot write to stdout")


class Verifying(ToolTest):
    def test_sound(self):
        self.numbered(1, 2, 3)
        self.assertEqual(self.tool("verify", self.store), "3 messages, 3 with a hash: sound\n")

    def test_a_flipped_bit_in_any_message(self):
        numbers = range(1, 41)
        self.numbered(*numbers)
        with open(self.store, "rb") as file:
            good = file.read()
        for number in numbers:
            at = good.index(f"message {number} ".encode() * 2) + number % 20 * 7
            bad = bytearray(good)
            bad[at] ^= 1 << number % 8
            self.write_file("store.db", bytes(bad))
            said = self.tool("verify", self.store, expect=1)
            self.assertIn(f"(number {number} of 'p') is not what was stored", said)
            self.assertTrue(said.endswith("40 messages, 40 with a hash: 1 faults\n"), said)

    def test_a_jump_is_no_fault(self):
        self.numbered(1, 2, 7, 8)
        self.assertIn("1 jumps in their senders' numbers: sound", self.tool("verify", self.store))

    def test_a_gap_is(self):
        self.numbered(1, 2, 3, 4, 9, 10)
        self.change("DELETE FROM message WHERE seq IN (3, 4)")
        said = self.tool("verify", self.store, expect=1)
        self.assertIn("messages 3 to 4 are missing", said)
        self.assertIn("numbers 3 to 8 of producer 1 are missing", said)

    def test_missing_at_the_end(self):
        self.numbered(1, 2, 3)
        self.change("DELETE FROM message WHERE seq = 3")
        said = self.tool("verify", self.store, expect=1)
        self.assertIn("messages 3 to 3 are missing", said)
        self.assertIn("1 producers have another last number", said)

    def test_pruned_is_no_fault(self):
        self.numbered(1, 2, 3, 4)
        self.change("UPDATE message SET time = 1 WHERE seq < 3")
        self.assertEqual(self.tool("prune", self.store, "--store-keep", "1000w"),
                         "2 messages deleted\n")
        self.assertIn("2 messages, 2 with a hash: sound", self.tool("verify", self.store))

    def test_a_damaged_file(self):
        self.numbered(*range(1, 60))
        with open(self.store, "r+b") as file:
            file.seek(4096 * 4)
            file.write(b"\xff" * 4096)
        said = self.tool("verify", self.store, expect=1)
        self.assertRegex(said, "malformed|damaged")
        self.assertIn("faults", said)


class Maintaining(ToolTest):
    def test_backup_while_the_server_writes(self):
        server = self.server("--store", self.store, "--quiet")
        stop = threading.Event()
        told = []

        def load():
            end = tls.connect(server.port, tls.client_context(default_certificates().ca))
            with end:
                while not stop.is_set():
                    message = b"%d " % len(told) + b"y" * 3000
                    reply = texts.reply(message)
                    end.send(message)
                    end.receive_exactly(len(reply))
                    told.append(message)

        client = threading.Thread(target=load)
        client.start()
        while len(told) < 300:
            time.sleep(0.01)
        before = len(told)
        self.tool("backup", self.store, self.path("copy.db"))
        stop.set()
        client.join()
        server.stop()
        self.assertIn("sound", self.tool("verify", self.path("copy.db")))
        copied = len(self.tool("export", self.path("copy.db")).splitlines())
        self.assertGreaterEqual(copied, before)
        self.assertEqual(os.stat(self.path("copy.db")).st_mode & 0o777, 0o600)
        # A server takes it for its own.
        self.server("--store", self.path("copy.db")).stop()

    def test_backup_overwrites_nothing(self):
        self.numbered(1)
        self.write_file("copy.db", b"needed")
        self.tool("backup", self.store, self.path("copy.db"), expect=2)
        with open(self.path("copy.db"), "rb") as file:
            self.assertEqual(file.read(), b"needed")

    def test_backup_to_what_is_no_new_file(self):
        self.numbered(1)
        os.mkfifo(self.path("fifo"))
        os.mkdir(self.path("folder"))
        os.symlink(self.path("elsewhere"), self.path("link"))
        before = sorted(os.listdir(self.folder))
        for target in (self.store, self.path("fifo"), self.path("folder"), self.path("link"),
                       "/dev/full", self.path("missing/copy.db"), ""):
            with self.subTest(target=target):
                self.tool("backup", self.store, target, expect=2)
                self.assertIn("cannot make backup", self.said)
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        self.assertIn("sound", self.tool("verify", self.store))

    def test_backup_to_a_full_disk(self):
        self.numbered(*range(1, 501))
        limit = 64 * 1024
        run = subprocess.run(
            [TOOL, "backup", self.store, self.path("copy.db")], capture_output=True, timeout=60,
            preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
            check=False)
        self.assertEqual(run.returncode, 1)
        self.assert_one_line(run.stderr, "tlsmsg-store: ", "copy.db")
        self.assertEqual([name for name in os.listdir(self.folder) if "copy" in name], [])

    def test_prune_while_the_server_writes(self):
        self.numbered(*range(1, 2001))
        self.change("UPDATE message SET time = 1 WHERE seq < 1900")
        server = self.server("--store", self.store, "--quiet")
        self.say(server, b"one")
        self.assertEqual(self.tool("prune", self.store, "--store-keep", "1000w"),
                         "1899 messages deleted\n")
        self.say(server, b"two")
        server.stop()
        self.assertEqual(len(self.tool("list", self.store).splitlines()), 101 + 2)
        self.assertIn("sound", self.tool("verify", self.store))

    def test_the_server_prunes_by_itself(self):
        self.numbered(*range(1, 1201))
        self.change("UPDATE message SET time = 1 WHERE seq <= 1100")
        server = self.server("--store", self.store, "--store-keep", "1000w", "--quiet")
        said = 0
        end = time.monotonic() + harness.scaled(20)
        while self.tool("list", self.store).count("\n") > 100 + said and time.monotonic() < end:
            self.say(server, b"meanwhile")
            said += 1
        server.stop()
        self.assertEqual(self.tool("list", self.store).count("\n"), 100 + said)
        self.assertIn("sound", self.tool("verify", self.store))

    def test_init(self):
        self.assertEqual(self.tool("init", self.store), "")
        self.assertEqual(os.stat(self.store).st_mode & 0o777, 0o600)
        self.tool("init", self.store)
        self.assertEqual(self.tool("list", self.store), "")

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes somebody else")
    def test_root_becomes_the_owner(self):
        self.fill(b"hello")
        for name in os.listdir(self.folder):
            os.chown(self.path(name), 1, 1)
        os.chown(self.folder, 1, 1)
        self.assertIn("hello", self.tool("list", self.store))
        self.tool("init", self.path("new.db"))
        self.assertEqual({os.stat(self.path(name)).st_uid for name in os.listdir(self.folder)}, {1})
        os.mkdir(self.path("root"), 0o755)
        self.tool("backup", self.store, self.path("root/copy.db"), expect=2)
        self.assertIn("Permission denied (as the store's owner; try: ", self.said)


class Usage(ToolTest):
    def test_refusals(self):
        self.write_file("text", b"what somebody needs\n" * 20)
        self.write_file("empty", b"")
        for words, text in (
                ((), "a command is missing"),
                (("frobnicate",), "not a command"),
                (("list",), "wants a store"),
                (("list", self.path("missing")), "No such file"),
                (("list", self.path("text")), "not a database"),
                (("list", self.path("empty")), "init"),
                (("list", "/dev/null"), "not a regular file"),
                (("list", self.store, "more"), "no further file"),
                (("list", self.store, "--follow"), "for tail"),
                (("tail", self.store, "-n", "x"), "--lines"),
                (("prune", self.store), "--store-keep 90d"),
                (("prune", self.store, "--store-keep", "90"), "90d"),
                (("list", self.store, "--store-keep", "90d"), "for prune"),
                (("backup", self.store), "wants a file"),
        ):
            with self.subTest(words=words):
                self.tool(*words, expect=2)
                self.assertIn(text, self.said)
        self.assertEqual(sorted(os.listdir(self.folder)), ["empty", "text"])

    @unittest.skipIf(settings.is_built_with("TLSMSG_POSTGRESQL"), "this build has that engine")
    def test_an_engine_that_was_not_built(self):
        self.tool("list", "postgresql://localhost/x", expect=2)
        self.assertIn("TLSMSG_POSTGRESQL", self.said)

    def test_help_and_version(self):
        for word in ("-h", "--help"):
            said = self.tool(word)
            self.assertTrue(all(len(line) <= 80 for line in said.splitlines()))
        for word in ("-V", "--version"):
            self.assertRegex(self.tool(word), r"^tlsmsg-store \d+\.\d+\.\d+ \(TLS, OpenSSL ")


if __name__ == "__main__":
    harness.main(plaintext=False)
