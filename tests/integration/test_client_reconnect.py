#!/usr/bin/env python3
"""tlsmsg/1 on the client, over several connections: servers that come back with less, or changed, or
not at all; what a person at a terminal sees of it; the real server killed, with a store."""

import hashlib
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import texts
import tls
from at_terminal import AtTerminal
from certificates import default_certificates
from numbered_peer import Conversation, Ledger
from processes import Collector
from settings import program, seconds
from tls_client_test import PROGRAM, ClientTest

KILLS = int(os.environ.get("TLSMSG_STORE_KILLS", "6"))


def has_store():
    return os.path.exists(program("tlsmsg-store")[-1])


class ReconnectTest(ClientTest):
    def play(self, *acts):
        """A server of tlsmsg/1 whose nth connection plays acts[n](end)."""
        made = default_certificates()
        context = tls.server_context(made.server, made.server_key)
        context.set_alpn_protocols(["tlsmsg/1"])
        left = list(acts)
        peer = self.peer(lambda sock: left.pop(0)(tls.accept(sock, context)))
        return peer

    @staticmethod
    def takes(ledger, last, answers, reads=None):
        """Greets with `last`, reads so many messages (all that come where None), answers the first
        of them, and leaves without a word where it reads no more."""
        def act(end):
            conversation = Conversation(end, ledger)
            conversation.greet(last)
            read = 0
            while reads is None or read < reads:
                message = conversation.message()
                if message is None:
                    end.answer_close()
                    return
                read += 1
                if read <= answers:
                    conversation.answer(*message)
            end.drop()
        return act

    def run_on(self, port, *words, stdin=b"", expect=0):
        return self.run_client("--ca", self.ca, "-q", *words, str(port), stdin=stdin,
                               expect=expect, limit=30)


class Changed(ReconnectTest):
    """What the second greeting says, against what the first one did."""

    LINES = b"one\ntwo\nthree\n"

    def second_greeting(self, first, last, second, expect, *words, answers=1):
        """Three lines; the first connection answers one of them and is lost."""
        peer = self.play(self.takes(first, 0, answers, reads=3), self.takes(second, last, 9))
        client = self.run_on(peer.port, *words, stdin=self.LINES, expect=expect)
        peer.abandon()
        return client

    def test_nothing(self):
        client = self.second_greeting(Ledger(), 3, Ledger(), 0, "--producer", "job")
        self.assertEqual(client.stdout.bytes(),
                         b"".join(texts.reply(t) + b"\n" for t in self.LINES.split()))
        self.assertEqual(client.stderr.bytes().count(b"\n"), 1)

    def test_a_server_that_has_lost_what_it_acknowledged(self):
        """Rule 7: nothing hides it; the client goes on."""
        client = self.second_greeting(Ledger(), 0, Ledger(), 0, "--producer", "job", answers=2)
        self.assertRegex(client.stderr.bytes().decode(),
                         r"error: the server has lost messages that it had acknowledged: up to 2, "
                         r"and it has 0 \(")
        self.assertEqual(client.stdout.bytes().count(b"\n"), 3)

    def test_a_server_without_a_store_that_has_started_anew(self):
        none = Ledger(promise="none")
        client = self.second_greeting(none, 0, none, 0)
        self.assertIn("the server has started anew without a store: messages 2 to 3, which had no "
                      "answer, may stand in its transcript twice", client.stderr.bytes().decode())
        self.assertEqual(client.stdout.bytes().count(b"\n"), 3)

    def test_a_promise_that_falls(self):
        client = self.second_greeting(Ledger(), 1, Ledger(promise="none"), 6, "--producer", "job")
        self.assertIn("promise=none", client.stderr.bytes().decode())
        # Without a producer's name nothing was asked of it.
        client = self.second_greeting(Ledger(), 1, Ledger(promise="none"), 0)
        self.assertNotIn("promise", client.stderr.bytes().decode())

    def test_a_maximum_that_falls(self):
        """What was taken for sending no longer fits: it is named, and nothing is left out."""
        client = self.second_greeting(Ledger(), 1, Ledger(maximum=4), 1)
        self.assertEqual(client.stdout.bytes(),
                         b"".join(texts.reply(t) + b"\n" for t in (b"one", b"two")))
        self.assertRegex(client.stderr.bytes().decode(), r"limit of 4 bytes.*\(line 3\)")

    def test_a_window_that_falls(self):
        seen = []

        def one_by_one(end):
            conversation = Conversation(end, Ledger(window=1))
            conversation.greet(1)
            while (message := conversation.message()) is not None:
                seen.append((message, conversation.data))
                conversation.answer(*message)
            end.answer_close()

        peer = self.play(self.takes(Ledger(), 0, 1, reads=3), one_by_one)
        client = self.run_on(peer.port, stdin=self.LINES)
        peer.abandon()
        self.assertEqual(client.stdout.bytes().count(b"\n"), 3)
        self.assertEqual([data for _, data in seen], [b"", b""])

    def test_a_last_that_was_never_sent(self):
        """Rule 8: another program uses the name."""
        for words, says in ((("--producer", "job"), "producer job"), ((), "own name")):
            client = self.second_greeting(Ledger(), 4, Ledger(), 1, *words)
            self.assertRegex(client.stderr.bytes().decode(),
                             says + r" up to 4, and this program has sent 3: another program uses "
                                    r"the name")

    def test_a_server_that_no_longer_speaks_it(self):
        made = default_certificates()
        context = tls.server_context(made.server, made.server_key)
        numbered = tls.server_context(made.server, made.server_key)
        numbered.set_alpn_protocols(["tlsmsg/1"])
        acts = [lambda sock: self.takes(Ledger(), 0, 1, reads=3)(tls.accept(sock, numbered)),
                lambda sock: tls.until_any_end(tls.accept(sock, context).sock)]
        peer = self.peer(lambda sock: acts.pop(0)(sock))
        client = self.run_on(peer.port, stdin=self.LINES, expect=6)
        peer.abandon()
        self.assertIn("no longer speaks tlsmsg/1", client.stderr.bytes().decode())


class Hostile(ReconnectTest):
    """A server that pours: the client's memory stays small, and it ends."""

    def pours(self, before, endless, expect):
        def act(end):
            conversation = Conversation(end, Ledger())
            conversation.greet()
            conversation.message()
            conversation.message()
            try:
                end.send(before)
                while True:
                    end.send(endless)
            except OSError:
                end.sock.close()

        peer = self.play(act)
        client = self.run_on(peer.port, "--retry", "0", "-m", "x", "-m", "y", expect=expect)
        peer.abandon()
        return client.stderr.bytes().decode()

    def test_a_header_without_end(self):
        self.assertIn("a header line of over 256 bytes", self.pours(b"", b"O" * 16384, 6))

    def test_replies_without_end(self):
        self.assertIn("a reply to a message that was not sent",
                      self.pours(b"OK 1 1\nx\n", b"OK 3 1\nx\n" * 1000, 6))

    def test_a_reply_of_any_length(self):
        self.assertIn("a reply longer than its max allows",
                      self.pours(b"OK 1 9000000000000000000\n", b"x" * 16384, 6))

    def test_greetings_without_end(self):
        self.assertIn("a second HELLO", self.pours(
            b"", b"HELLO 1 last=0 max=1 window=1 promise=none\n", 6))

    def test_a_reply_that_drips(self):
        """Bytes that come are progress; a reply that stands still isn't."""
        def act(end):
            conversation = Conversation(end, Ledger())
            conversation.greet()
            conversation.message()
            end.send(b"OK 1 1000\nx")
            tls.until_any_end(end.sock)

        peer = self.play(act)
        client = self.run_on(peer.port, "--retry", "0", "--timeout", seconds(0.5), "-m", "x",
                             expect=6)
        peer.abandon()
        self.assertIn(f"no reply within {seconds(0.5)} s", client.stderr.bytes().decode())


class AtATerminal(ReconnectTest):
    def stderr_terminal(self, *words, env, stdin):
        """A client whose stderr alone is a terminal, and what is shown there."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, slave)
        shown = Collector(master, "terminal")
        client = subprocess.Popen([*program("tlsmsg-client"), *words], stdin=stdin,
                                  stdout=subprocess.DEVNULL, stderr=slave,
                                  env={**os.environ, "TERM": "xterm", **env})
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return client, shown

    def test_progress(self):
        """Work of over a second has a line; nothing has one where style isn't wanted."""
        for env, has_line in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            with self.subTest(env):
                def act(end):
                    conversation = Conversation(end, Ledger(window=2))
                    conversation.greet()
                    conversation.answer(*conversation.message())
                    time.sleep(1.5)
                    while (message := conversation.message()) is not None:
                        conversation.answer(*message)
                    end.answer_close()

                peer = self.play(act)
                reading, writing = os.pipe()
                with os.fdopen(writing, "wb") as lines:
                    lines.write(b"a\nb\nc\n")
                client, shown = self.stderr_terminal("--ca", self.ca, "-q", str(peer.port),
                                                     env=env, stdin=reading)
                os.close(reading)
                self.assertEqual(client.wait(30), 0)
                peer.abandon()
                said = shown.bytes()
                self.assertEqual(bool(re.search(
                    rb"\r1 messages, \d+ a second, [12] unanswered\x1b\[K", said)), has_line, said)
                if has_line:  # it is wiped in the end
                    self.assertTrue(said.endswith(b"\r\x1b[K"), said)
                else:
                    self.assertEqual(said, b"")

    def test_a_lost_connection(self):
        """A person goes on typing: the line that was typed is answered by the next connection."""
        ledger = Ledger(promise="none")
        peer = self.play(self.takes(ledger, 0, 1, reads=1), self.takes(ledger, 1, 9))
        terminal = AtTerminal(["--ca", self.ca, "--lang", "en", str(peer.port)], {})
        self.addCleanup(terminal.close)
        terminal.wait_for(b"leave): ")
        terminal.type(b"one\n")
        terminal.wait_for(texts.reply(b"one"))
        terminal.wait_for(b"connecting again when there is something to send")
        terminal.type(b"two\n")
        terminal.wait_for(texts.reply(b"two"))
        terminal.type(b"exit\n")
        said = terminal.finish(0)
        peer.abandon()
        self.assertEqual(said.count(b"connecting again"), 1)


class Server(ReconnectTest):
    """The real client and the real server."""

    def test_the_longest_message(self):
        """64 MiB, there and back."""
        size = 64 * 1024 * 1024
        server = self.server("--quiet", "--max-message", str(size))
        path = self.write_file("message", ("世界和平" * (size // 12)).encode() + b"x" * (size % 12))
        with open(self.path("reply"), "wb") as reply:
            client = self.start_client("--ca", self.ca, "-q", "-M", path, str(server.port),
                                       stdin=subprocess.DEVNULL, stdout=reply)
            client.finish(0, 60)
        due = hashlib.sha256(texts.reply(b""))
        with open(path, "rb") as sent:
            due.update(sent.read())
        due.update(b"\n")
        with open(self.path("reply"), "rb") as got:
            self.assertEqual(hashlib.sha256(got.read()).hexdigest(), due.hexdigest())

    def kills(self, *words, source, limit=60):
        """A client that is fed while its server is killed and started again."""
        store = self.path("store.db")
        server = self.keep(harness.Server("--store", store, "--quiet", "--workers", "2"))
        client = self.start_client("--ca", self.ca, "-q", "--retry", "60", *words,
                                   str(server.port), stdin=source)
        for kill in range(KILLS):
            client.stdout.wait_until(lambda said, k=kill: said.count(b"\n") > 500 * k,
                                     "more replies", limit)
            server.signal(signal.SIGKILL)
            server.finish(-signal.SIGKILL)
            server = self.keep(harness.Server("--store", store, "--quiet", "--workers", "2",
                                              listen=(f"127.0.0.1:{server_port(client)}",)))
        client.finish(0, limit)
        server.stop(0)
        with sqlite3.connect(store) as database:
            rows = database.execute(
                "SELECT m.seq, m.body FROM message m ORDER BY m.producer, m.seq").fetchall()
        return client, rows

    @unittest.skipUnless(has_store(), "this build has no store")
    def test_the_client_is_killed(self):
        """Run again with the same input until it says 0, it has stored each line once."""
        store = self.path("store.db")
        server = self.server("--store", store, "--quiet")
        lines = [b"line %d" % n for n in range(1, 3001)]
        path = self.write_file("lines", b"\n".join(lines))
        answered, kills, status = set(), 0, None
        while status != 0:
            with open(path, "rb") as source:
                client = self.start_client("--ca", self.ca, "-q", "--window", "8", "--producer",
                                           "job", str(server.port), stdin=source)
            if kills < KILLS:
                try:
                    client.stdout.wait_until(lambda said: said.count(b"\n") > 100, "replies")
                except AssertionError:
                    pass  # it has ended
                client.signal(signal.SIGKILL)
            status = client.wait(30)
            self.assertIn(status, (0, -signal.SIGKILL), client.stderr.bytes())
            kills += status != 0
            # What was printed is whole but for the last line, and nothing is printed twice.
            printed = client.stdout.bytes().split(b"\n")[:-1]
            self.assertFalse(answered & set(printed))
            answered |= set(printed)
        self.assertGreater(kills, 0)
        server.stop(0)
        with sqlite3.connect(store) as database:
            rows = database.execute("SELECT seq, body FROM message ORDER BY seq").fetchall()
        self.assertEqual(rows, list(enumerate(lines, 1)))

    @unittest.skipUnless(has_store(), "this build has no store")
    def test_killed_under_load(self):
        """Counted from both sides: each line is stored once, and each reply printed once."""
        lines = [b"line %d" % n for n in range(1, 1000 * KILLS + 1)]
        for words in (("--producer", "job"), ()):
            with self.subTest(words), open(self.write_file("lines", b"\n".join(lines)),
                                           "rb") as source:
                if os.path.exists(self.path("store.db")):
                    for name in os.listdir(self.folder):
                        if name.startswith("store.db"):
                            os.remove(self.path(name))
                client, rows = self.kills(*words, source=source)
                self.assertEqual(rows, list(enumerate(lines, 1)))
                self.assertEqual(client.stdout.bytes(),
                                 b"".join(texts.reply(line) + b"\n" for line in lines))
                self.assertLessEqual(client.stderr.bytes().count(b"connecting again"), KILLS)
                self.assertNotIn(b"lost", client.stderr.bytes())


def server_port(client):
    return client.words[-1]


if __name__ == "__main__":
    harness.main(plaintext=False)
