#!/usr/bin/env python3
"""tlsmsg-client --spool: kept before it is sent, delivered once, by this run or a later one. Counted
from both sides."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "powercut")]

import harness
import kernel
import network
import settings
import texts
import tls
from certificates import default_certificates
from numbered_peer import Conversation, Ledger
from settings import build_dir, program
from test_powercut import EVENT_SYNC, EVENT_SYNC_FOLDER, events
from tls_client_test import PROGRAM, ClientTest

KILLS = int(os.environ.get("TLSMSG_STORE_KILLS", "3"))
# 1: each kind of fault at each sync; else the one at every second, the other at those between.
EVERY_SYNC = int(os.environ.get("TLSMSG_SPOOL_SYNCS", "2"))
RECORDER = os.path.join(build_dir(), "tests", "powercut", "libpowercut_recorder.so")
WAITS = b"; try: run it again later, with </dev/null\n"


class SpoolTest(ClientTest):
    limit = 120

    def setUp(self):
        super().setUp()
        self.spool = self.path("spool.db")
        self.store = self.path("store.db")

    def storing(self, port=0, *options):
        """A server with a store, that serves."""
        server = self.server("--store", self.store, "--quiet", *options,
                             listen=(f"127.0.0.1:{port}",))
        if port != 0:
            server.stderr.wait_for(b"listening on")
            server.addresses = [("127.0.0.1", port)]
        return server

    def words(self, port, *words):
        return ("--ca", self.ca, "--spool", self.spool, *words, str(port))

    def run_on(self, port, *words, stdin=b"", expect=0, env=None):
        return self.run_client(*self.words(port, *words), stdin=stdin, expect=expect, limit=60,
                               env=env)

    def stored(self):
        with contextlib.closing(sqlite3.connect(self.store, timeout=10)) as database:
            return [body for body, in database.execute("SELECT body FROM message ORDER BY id")]

    def waiting(self):
        with contextlib.closing(sqlite3.connect(self.spool, timeout=10)) as database:
            return [body for body, in database.execute("SELECT body FROM message ORDER BY id")]

    def numbered_peer(self, handle):
        """A Python server of tlsmsg/1; handle(conversation's end) for each connection."""
        made = default_certificates()
        context = tls.server_context(made.server, made.server_key)
        context.set_alpn_protocols(["tlsmsg/1"])
        return self.peer(lambda sock: handle(tls.accept(sock, context)))

    def recorded(self, **environment):
        """An environment in which the calls for the spool's files are recorded, and some fail."""
        if not os.path.exists(RECORDER) or settings.SLOWDOWN != 1:
            self.skipTest("a sanitizer's library must be the first, and the recorder is")
        folder = os.path.join(os.path.realpath(self.folder), "live")
        os.makedirs(folder, exist_ok=True)
        self.spool = os.path.join(folder, "spool.db")
        return {"LD_PRELOAD": RECORDER, "POWERCUT_FOLDER": folder, "POWERCUT_LOG": "/dev/null",
                **{name: str(value) for name, value in environment.items()}}

    @staticmethod
    def replies(bodies):
        return b"".join(texts.reply(body) + b"\n" for body in bodies)

    @staticmethod
    def lines(count, first=1):
        return [b"line %d" % n for n in range(first, first + count)]


class Delivering(SpoolTest):
    def test_stdout_is_as_without(self):
        server = self.storing()
        stdin = b"one\n\n\n\xff\ntwo\n\xe4\xb8\x96\n\nexit\nx\n"
        for words in (("--lang", "en"), ("-q",), ("-q", "--format", "json")):
            with self.subTest(words):
                said = [re.sub(rb'"seconds":[0-9.]+', b"", client.stdout.bytes()) for client in (
                    self.run_client("--ca", self.ca, *words, str(server.port), stdin=stdin,
                                    expect=1),
                    self.run_on(server.port, *words, stdin=stdin, expect=1),
                    self.run_on(server.port, "--window", "1", *words, stdin=stdin, expect=1))]
                self.assertEqual(said, [said[0]] * 3)
                self.assertIn(texts.reply("世".encode()), said[0])

    def test_what_waits_goes_first_and_once(self):
        """Kept while nobody is there, from each kind of input; then delivered with none."""
        port = network.unused_port()
        message = self.write_file("message", b"several\nlines\0of one" * 30_000)
        with open(message, "rb") as file:
            whole = file.read()
        client = self.run_on(port, stdin=b"a\n\nb", expect=7)
        said = client.stderr.bytes()
        self.assertEqual(said.count(b"\n"), 2, said)
        self.assertIn(b"onnection refused", said)
        self.assertTrue(said.endswith(
            b"tlsmsg-client: 2 messages wait in spool '%s'" % self.spool.encode() + WAITS), said)
        self.run_on(port, "-q", "-m", "c", "-m", "exit", expect=7)
        self.run_on(port, "-M", message, "--format", "json", expect=7)
        with open(self.write_file("lines", b"d\ne\n"), "rb") as file:
            client = self.start_client(*self.words(port, "-q"), stdin=file)
            client.finish(7)
        self.assertEqual(stat.S_IMODE(os.stat(self.spool).st_mode), 0o600)
        kept = [b"a", b"b", b"c", b"exit", whole, b"d", b"e"]
        self.assertEqual(self.waiting(), kept)
        tool = subprocess.run([*program("tlsmsg-store"), "list", self.spool], check=True,
                              stdout=subprocess.PIPE)
        self.assertEqual(tool.stdout.count(b"\n"), len(kept))
        subprocess.run([*program("tlsmsg-store"), "verify", self.spool], check=True,
                       stdout=subprocess.PIPE)

        server = self.storing()
        client = self.run_on(server.port, "-q", "-v")
        self.assertEqual(client.stdout.bytes(), b"")
        self.assertIn(b"of earlier runs: 7 messages delivered\n", client.stderr.bytes())
        self.assertEqual(self.stored(), kept)
        self.assertEqual(self.waiting(), [])
        # Replies are this run's, and its messages count from 1.
        self.run_on(network.unused_port(), "-m", "f", expect=7)
        client = self.run_on(server.port, "-q", "--format", "json", "-m", "g")
        self.assertRegex(client.stdout.bytes(), rb'\A\{"seq":1,"bytes":1,"reply":"[^"]*g"')
        self.assertEqual(client.stdout.bytes().count(b"\n"), 1)
        self.assertEqual(self.stored(), [*kept, b"f", b"g"])

    def test_what_is_at_hand_is_kept_before_connecting(self):
        """More than one read of the input brings. A machine that stands still for a second keeps
        less, so it has some attempts."""
        lines = self.lines(10_000)
        path = self.write_file("lines", b"\n".join(lines))
        kept = []
        peer = self.peer(lambda sock: kept.append(self.waiting()))
        for attempt in range(5):
            self.spool = self.path(f"{attempt}.db")
            with open(path, "rb") as file:
                client = self.start_client(*self.words(peer.port, "-q", "--retry", "0"), stdin=file)
                client.finish(7)
            if kept[-1] == lines:
                break
        peer.finish()
        self.assertEqual(len(kept[-1]), len(lines))
        self.assertEqual(kept[-1], lines)

    def test_nothing_to_deliver_asks_nobody(self):
        client = self.run_on(network.unused_port(), "-q")
        self.assertEqual((client.stdout.bytes(), client.stderr.bytes()), (b"", b""))

    def test_many_lines(self):
        server = self.storing()
        lines = self.lines(6000)
        client = self.run_on(server.port, "-q", stdin=b"\n".join(lines))
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        self.assertEqual(self.stored(), lines)
        self.assertEqual(self.waiting(), [])
        self.run_on(network.unused_port(), "-q", stdin=b"\n".join(lines), expect=7)
        self.run_on(server.port, "-q")
        self.assertEqual(self.stored(), lines * 2)

    def test_kept_before_sent(self):
        """What has come is on the disk, whatever the server says of it."""
        ledger, kept = Ledger(), []

        def handle(end):
            conversation = Conversation(end, ledger)
            conversation.greet()
            while (message := conversation.message()) is not None:
                kept.append((message, message[1] in self.waiting()))
                conversation.take(*message)
                conversation.answer(*message)
            end.answer_close()

        peer = self.numbered_peer(handle)
        client = self.start_client(*self.words(peer.port, "-q"))
        for line in self.lines(5):
            client.write(line + b"\n")
            client.stdout.wait_for(texts.reply(line) + b"\n")
        client.close_stdin()
        client.finish()
        peer.finish()
        self.assertEqual(kept, [((n, line), True) for n, line in enumerate(self.lines(5), 1)])
        self.assertEqual(ledger.greetings, [(ledger.greetings[0][0], 1)])
        self.assertRegex(ledger.greetings[0][0], r"\Aspool-[0-9a-f]{32}\Z")

    def test_a_message_longer_than_the_default(self):
        """Only the server knows whether it takes one: it is asked first."""
        long = b"x" * 1_500_000
        path = self.write_file("long", long)
        client = self.run_on(network.unused_port(), "-q", "-M", path, "-m", "a", expect=1)
        self.assertIn(b"message 1 was not kept: it is longer than 1048576 bytes, and the server, "
                      b"which may take more, was not reached\n", client.stderr.bytes())
        self.assertEqual(self.waiting(), [b"a"])
        server = self.storing(0, "--max-message", "2000000")
        self.run_on(server.port, "-q", "-M", path, stdin=b"")
        self.run_on(server.port, "-q", stdin=b"b\n" + long + b"\nc\n")
        self.assertEqual(self.stored(), [b"a", long, b"b", long, b"c"])
        server.stop()
        server = self.storing()
        client = self.run_on(server.port, "-q", stdin=b"d\n" + long + b"\ne\n", expect=1)
        self.assertIn(b"line 2 of stdin was not kept: it is longer than the 1048576 bytes that the "
                      b"server takes\n", client.stderr.bytes())
        self.assertEqual(self.stored()[-2:], [b"d", b"e"])

    def test_a_terminal(self):
        server = self.storing()
        self.run_on(network.unused_port(), "-m", "before", expect=7)
        terminal = harness.Terminal()
        client = self.start_client(*self.words(server.port, "--lang", "en"), stdin=terminal.slave)
        prompt = b"Enter a message ('exit' to leave): "
        client.stdout.wait_for(prompt)
        for n, line in enumerate((b"one", b"two"), 2):
            os.write(terminal.output._descriptor, line + b"\n")
            client.stdout.wait_for(prompt, n)
        self.assertEqual(self.stored(), [b"before", b"one", b"two"])
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        os.write(terminal.output._descriptor, b"three\n")
        client.stderr.wait_for(b"connecting again")
        kernel.wait_until(lambda: self.waiting() == [b"three"], "the line to be kept")
        self.storing(server.port)
        client.stdout.wait_for(b"three\n")
        os.write(terminal.output._descriptor, b"exit\n")
        client.finish()
        terminal.close_slave()
        self.assertEqual(self.stored(), [b"before", b"one", b"two", b"three", b"exit"])


class Away(SpoolTest):
    """A server that is gone, and comes back."""

    def test_restarted_under_a_pipe(self):
        """As long as the input goes on it is tried, however little --retry says."""
        server = self.storing()
        client = self.start_client(*self.words(server.port, "-q", "--retry", "0.001"))
        client.write(b"one\n")
        client.stdout.wait_for(texts.reply(b"one"))
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        client.write(b"two\nthree\n")
        client.stderr.wait_for(b"connecting again")
        client.write(b"four\n")
        server = self.storing(server.port)
        client.stdout.wait_for(texts.reply(b"four"))
        client.close_stdin()
        client.finish()
        self.assertEqual(client.stdout.bytes(), self.replies([b"one", b"two", b"three", b"four"]))
        self.assertEqual(self.stored(), [b"one", b"two", b"three", b"four"])

    def test_gone_when_the_input_ends(self):
        server = self.storing()
        client = self.start_client(*self.words(server.port, "-q", "--retry", "0.1"))
        client.write(b"one\n")
        client.stdout.wait_for(texts.reply(b"one"))
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        client.write(b"two\nthree\n")
        client.close_stdin()
        client.finish(7, 30)
        self.assertIn(b"2 messages wait in spool", client.stderr.bytes())
        server = self.storing()
        self.run_on(server.port, "-q")
        self.assertEqual(self.stored(), [b"one", b"two", b"three"])

    def test_not_there_at_first(self):
        """--retry holds for the first connection where it is given; what is given is kept before."""
        port = network.unused_port()
        client = self.start_client(*self.words(port, "-q", "--retry", "60", "-m", "one"))
        client.stderr.wait_for(b"; trying again\n")
        self.assertEqual(self.waiting(), [b"one"])
        self.storing(port)
        client.finish(0, 60)
        self.assertEqual(client.stdout.bytes(), self.replies([b"one"]))

    def test_a_pipe_from_before_the_server(self):
        port = network.unused_port()
        client = self.start_client(*self.words(port, "-q"))
        client.write(b"one\n")
        client.stderr.wait_for(b"; trying again\n")
        self.storing(port)
        client.write(b"two\n")
        client.stdout.wait_for(texts.reply(b"two"))
        client.close_stdin()
        client.finish()
        self.assertEqual(self.stored(), [b"one", b"two"])

    def test_told_by_a_signal(self):
        """Before there is a connection, and with one."""
        server = self.storing()
        client = self.start_client(*self.words(server.port, "--lang", "en"))
        client.stdout.wait_for(b"Enter")
        client.signal(signal.SIGUSR1)
        client.stderr.wait_for(b"there is no connection now\n")
        client.write(b"one\n")
        client.stdout.wait_for(b"one\n")
        client.signal(signal.SIGUSR1)
        client.stderr.wait_for(b"version: TLS")
        client.close_stdin()
        client.finish()

    def test_stdin_that_fails(self):
        folder = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        client = self.start_client(*self.words(network.unused_port(), "-q"), stdin=folder)
        client.finish(1)
        self.assertIn(b"cannot read stdin", client.stderr.bytes())

    def test_retry_0(self):
        """No second attempt; the input is still kept to its end."""
        server = self.storing()
        client = self.start_client(*self.words(server.port, "-q", "--retry", "0"))
        client.write(b"one\n")
        client.stdout.wait_for(texts.reply(b"one"))
        server.stop()
        client.write(b"two\n")
        client.stderr.wait_for(PROGRAM.encode())
        self.assertIsNone(client.process.poll())
        client.write(b"three\n")
        client.close_stdin()
        client.finish(7)
        self.assertEqual(self.waiting(), [b"two", b"three"])


class Refused(SpoolTest):
    """What only a person can mend has its own code; everything is kept."""

    def test_codes(self):
        made = default_certificates()
        forgets = self.server("--quiet")
        stranger = self.tls_peer(lambda end: end.answer_close())
        asks = self.storing(0, "--client-ca", made.ca)
        untrusting = ("--spool", self.spool, "-q", "-m", "x", str(asks.port))
        cases = (
            (3, self.words(forgets.port, "-q", "-m", "x"), b"--store on the server"),
            (3, self.words(stranger.port, "-q", "-m", "x"), b"tlsmsg/1"),
            (4, untrusting, b"certificate"),
            (5, self.words(asks.port, "-q", "-m", "x"), b"certificate"),
        )
        for count, (code, words, says) in enumerate(cases, 1):
            with self.subTest(says):
                client = self.run_client(*words, expect=code)
                said = client.stderr.bytes()
                self.assertIn(says, said.splitlines()[0])
                self.assertEqual(self.waiting(), [b"x"] * count)
                self.assertRegex(said, rb"tlsmsg-client: %d messages? waits? in spool '[^']+'\n\Z"
                                 % count)

    def bye(self, code):
        """A server that takes two of three, then says BYE."""
        def handle(end):
            conversation = Conversation(end, Ledger())
            conversation.greet(0)
            for _ in range(2):
                conversation.answer(*conversation.message())
            conversation.message()
            conversation.bye(code)
        return self.numbered_peer(handle)

    def test_bye(self):
        for code, expect in ((503, 7), (507, 7), (409, 1), (412, 1), (413, 1), (400, 6), (415, 6)):
            with self.subTest(code):
                self.spool = self.path(f"{code}.db")
                peer = self.bye(code)
                client = self.run_on(peer.port, "-q", "--retry", "0", stdin=b"a\nb\nc\nd\n",
                                     expect=expect)
                peer.finish()
                self.assertEqual(client.stdout.bytes(), self.replies([b"a", b"b"]))
                self.assertEqual(self.waiting(), [b"c", b"d"])
                self.assertIn(b"(BYE %d)" % code, client.stderr.bytes())
                self.assertIn(b"2 messages wait in spool", client.stderr.bytes())

    def test_the_promise_is_lost_in_the_middle(self):
        ledger = Ledger()

        def handle(end):
            conversation = Conversation(end, ledger)
            conversation.greet()
            if ledger.promise == "disk":
                conversation.take(*conversation.message())
                ledger.promise = "none"
                end.reset()
            else:
                tls.until_any_end(end.sock)

        peer = self.numbered_peer(handle)
        client = self.run_on(peer.port, "-q", "-m", "a", expect=6)
        peer.finish()
        self.assertIn(b"promise=none", client.stderr.bytes())
        self.assertEqual(self.waiting(), [b"a"])

    def test_a_kept_message_over_the_servers_limit(self):
        """Numbers go one by one: what is before it is delivered, it and what is behind it wait, and
        more is kept behind it, however much."""
        long = b"x" * 2000
        self.run_on(network.unused_port(), "-q", stdin=b"a\n" + long + b"\nb\n", expect=7)
        server = self.storing(0, "--max-message", "1000")
        more = self.lines(9000)
        client = self.run_on(server.port, "-q", stdin=b"\n".join(more) + b"\n", expect=1)
        self.assertEqual(client.stderr.bytes(), b"""\
tlsmsg-client: message 2 of the spool has 2000 bytes, and the server takes at most 1000: it and \
those behind it wait (try: --max-message 2000 on the server)
tlsmsg-client: 9002 messages wait in spool '%s'
""" % self.spool.encode())
        self.assertEqual(self.stored(), [b"a"])
        server.stop()
        server = self.storing(0, "--max-message", "2000")
        self.run_on(server.port, "-q")
        self.assertEqual(self.stored(), [b"a", long, b"b", *more])

    def test_a_line_that_is_refused_decides(self):
        client = self.run_on(network.unused_port(), "-q", stdin=b"a\n\xff\nb\n", expect=1)
        self.assertIn(b"line 2 of stdin was not kept: it is not valid UTF-8\n",
                      client.stderr.bytes())
        self.assertEqual(self.waiting(), [b"a", b"b"])

    def test_stdout_is_gone(self):
        server = self.storing()
        with open("/dev/full", "wb") as full:
            client = self.start_client(*self.words(server.port, "-q", "-m", "a", "-m", "b"),
                                       stdout=full)
            client.finish(1)
        self.assertIn(b"cannot write to stdout", client.stderr.bytes())
        self.run_on(server.port, "-q")
        self.assertEqual(self.stored(), [b"a", b"b"])


class Numbers(SpoolTest):
    """Rules 7 and 8 of tlsmsg/1."""

    def test_goes_on_after_what_the_server_has(self):
        """The first connection ends without an answer to the last; that one comes again first."""
        ledger, came = Ledger(), []

        def handle(end):
            conversation = Conversation(end, ledger)
            conversation.greet()
            first = not came
            while (message := conversation.message()) is not None:
                came.append(message[0])
                conversation.take(*message)
                if not first or message[0] == 1:
                    conversation.answer(*message)
                if first and message[0] == 3:
                    end.reset()
                    return
            end.answer_close()

        peer = self.numbered_peer(handle)
        self.run_on(peer.port, "-q", "--retry", "0", stdin=b"a\nb\nc\nd\n", expect=7)
        self.run_on(peer.port, "-q", "-m", "e")
        self.run_on(peer.port, "-q", "-m", "f")
        peer.finish()
        self.assertEqual([start for _, start in ledger.greetings], [1, 2, 6])
        self.assertEqual(came[3:] if came[3] == 3 else came[4:], [3, 4, 5, 6])
        self.assertEqual(ledger.bodies(ledger.greetings[0][0]),
                         [b"a", b"b", b"c", b"d", b"e", b"f"])

    def assert_told(self, client):
        self.assertIn(b"set back or copied", client.stderr.bytes())
        self.assertIn(b"try: a new file", client.stderr.bytes())

    def test_a_spool_that_was_set_back(self):
        server = self.storing()
        self.run_on(server.port, "-m", "a")
        shutil.copy(self.spool, self.path("backup.db"))
        self.run_on(server.port, "-m", "b", "-m", "c")
        shutil.copy(self.path("backup.db"), self.spool)
        # The numbers of b and c are given to others meanwhile: as many, or fewer, or more.
        for kept in (1, 2, 4):
            with self.subTest(kept):
                self.run_on(network.unused_port(), *("-m", "x") * (kept - len(self.waiting())),
                            expect=7)
                client = self.run_on(server.port, "-q", expect=1)
                self.assert_told(client)
                self.assertEqual(self.waiting(), [b"x"] * kept)
        self.assertEqual(self.stored(), [b"a", b"b", b"c"])

    def test_a_copy_that_sends_the_same(self):
        """The bytes alone would not give it away."""
        server = self.storing()
        self.run_on(server.port, "-m", "a")
        shutil.copy(self.spool, self.path("copy.db"))
        self.run_on(server.port, "-m", "done")
        self.spool = self.path("copy.db")
        self.assert_told(self.run_on(server.port, "-m", "done", expect=1))
        self.assertEqual(self.waiting(), [b"done"])
        self.assertEqual(self.stored(), [b"a", b"done"])

    def test_a_copy_that_runs_at_the_same_time(self):
        server = self.storing()
        self.run_on(server.port, "-m", "a")
        shutil.copy(self.spool, self.path("copy.db"))
        first = self.start_client(*self.words(server.port, "-q"))
        first.write(b"b\n")
        first.stdout.wait_for(texts.reply(b"b"))
        self.spool = self.path("copy.db")
        self.assert_told(self.run_on(server.port, "-m", "c", expect=1))
        # The one that was taken over comes back only when it has something to send.
        first.write(b"d\n")
        first.close_stdin()
        status = first.wait(30)
        self.assertIn(status, (0, 1))
        self.assertEqual(self.stored(), [b"a", b"b", b"d"] if status == 0 else [b"a", b"b"])
        if status == 1:
            self.assertIn(b"taken over", first.stderr.bytes())

    def test_other_bytes_under_a_number(self):
        def handle(end):
            conversation = Conversation(end, ledger)
            conversation.greet()
            number, _ = conversation.message()
            ledger.taken = {conversation.producer: {number: b"other"}}
            end.reset()

        ledger = Ledger()
        peer = self.numbered_peer(handle)
        self.run_on(peer.port, "-q", "--retry", "0", "-m", "mine", expect=7)
        peer.finish()
        server = self.storing()
        self.run_client("--ca", self.ca, "-q", "--producer", ledger.greetings[0][0], "-m", "other",
                        str(server.port))
        client = self.run_on(server.port, "-q", expect=1)
        self.assertIn(b"BYE 412", client.stderr.bytes())
        self.assertEqual(self.stored(), [b"other"])
        self.assertEqual(self.waiting(), [b"mine"])

    def test_a_server_that_has_lost_messages(self):
        server = self.storing()
        self.run_on(server.port, "-m", "a")
        server.stop()
        shutil.copy(self.store, self.path("backup.db"))
        server = self.storing()
        self.run_on(server.port, "-m", "b", "-m", "c")
        server.stop()
        shutil.copy(self.path("backup.db"), self.store)
        server = self.storing()
        client = self.run_on(server.port, "-q", "-m", "d")
        self.assertIn(b"error: the server has lost messages that it had acknowledged: up to 3, and "
                      b"it has 1 (was an old backup restored?)\n", client.stderr.bytes())
        self.assertEqual(self.stored(), [b"a", b"d"])
        self.assertIn(b"error", server.log())
        self.store = self.path("another.db")
        another = self.storing()
        client = self.run_on(another.port, "-q", "-m", "e")
        self.assertIn(b"it has 0 (is it another server?)\n", client.stderr.bytes())
        self.assertEqual(self.stored(), [b"e"])


class File(SpoolTest):
    """What can't be a spool is refused by name, and left as it is."""

    def refuse(self, target, *says, expect=2):
        client = self.run_client("--ca", self.ca, "--spool", target, "-m", "x", "1", expect=expect)
        self.assert_one_line(client.stderr.bytes(), PROGRAM + "--spool: ",
                             os.path.basename(target), *says)
        self.assertNotIn(b"store '", client.stderr.bytes())  # which its user has none of

    def test_what_is_not_a_file(self):
        os.mkfifo(self.path("fifo"))
        os.mkdir(self.path("folder"))
        self.refuse(self.path("fifo"), "not a regular file")
        self.refuse(self.path("folder"), "directory")
        self.refuse("/dev/null", "not a regular file")
        self.refuse(self.path("missing/spool.db"), "No such file")
        self.assertEqual(sorted(os.listdir(self.folder)), ["fifo", "folder"])

    def test_files_of_others(self):
        text = self.write_file("diary", b"a file of somebody's\n" * 20)
        with contextlib.closing(sqlite3.connect(self.path("other.db"))) as database:
            database.execute("CREATE TABLE mine(x)")
        with open(self.path("other.db"), "rb") as file:
            before = file.read()
        self.refuse(text, "not a database")
        self.refuse(self.path("other.db"), "another program's database")
        with open(self.path("other.db"), "rb") as file:
            self.assertEqual(file.read(), before)
        with open(text, "rb") as file:
            self.assertEqual(file.read(), b"a file of somebody's\n" * 20)

    def test_a_file_of_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a file away")
        self.run_on(network.unused_port(), "-m", "a", expect=7)
        os.chown(self.spool, 1, 1)
        self.refuse(self.spool, "another user's file")
        os.chown(self.spool, 0, 0)
        self.assertEqual(self.waiting(), [b"a"])

    def test_a_link(self):
        self.run_on(network.unused_port(), "-m", "a", expect=7)
        os.symlink(self.spool, self.path("link"))
        if os.geteuid() == 0:
            self.refuse(self.path("link"), "is a link")
        else:
            self.spool = self.path("link")
            self.run_on(network.unused_port(), "-m", "b", expect=7)

    def test_a_file_that_may_not_be_read(self):
        if os.geteuid() == 0:
            self.skipTest("root reads every file")
        os.chmod(self.write_file("closed.db", b""), 0)
        self.refuse(self.path("closed.db"), "Permission denied")

    def test_a_store(self):
        server = self.storing()
        self.refuse(self.store, f"process {server.pid}", expect=1)
        server.stop()
        self.refuse(self.store, "not a spool, but a server's store")

    def test_a_server_refuses_a_spool(self):
        self.run_on(network.unused_port(), "-m", "a", expect=7)
        made = default_certificates()
        for words in ((), ("--check",)):
            server = self.run_server_to_end(
                "--cert", made.server, "--key", made.server_key, "--listen", "127.0.0.1:0",
                "--store", self.spool, *words, expect=2)
            said = re.sub(rb"(?m)^.*listening on .*\n", b"", server.stderr.bytes())
            self.assert_one_line(said, "tlsmsg-server: ", "spool.db",
                                 "not a store, but a client's spool")
        tool = subprocess.run([*program("tlsmsg-store"), "prune", "--store-keep", "1d", self.spool],
                              stderr=subprocess.PIPE, check=False)
        self.assertEqual(tool.returncode, 2)
        self.assertIn(b"client's spool", tool.stderr)
        self.assertEqual(self.waiting(), [b"a"])

    def test_options(self):
        for words, says in ((("--producer", "p"), "--producer"), (("--probe",), "--probe"),
                            (("--document-flow",), "--document-flow")):
            client = self.run_client("--ca", self.ca, "--spool", self.spool, *words,
                                     *(() if words == ("--probe",) else ("-m", "x")), "1", expect=2)
            self.assert_one_line(client.stderr.bytes(), PROGRAM, "--spool", says)
        self.assertEqual(os.listdir(self.folder), [])

    def test_one_program_at_a_time(self):
        server = self.storing()
        first = self.start_client(*self.words(server.port, "-q"))
        first.write(b"a\n")
        first.stdout.wait_for(texts.reply(b"a"))
        client = self.run_on(server.port, "-m", "b", expect=1)
        self.assert_one_line(client.stderr.bytes(), PROGRAM + "--spool: spool '", "spool.db",
                             f"process {first.pid}")
        first.write(b"c\n")
        first.close_stdin()
        first.finish()
        self.run_on(server.port, "-m", "d")
        self.assertEqual(self.stored(), [b"a", b"c", b"d"])


class Room(SpoolTest):
    """A disk that is full."""

    def test_what_has_no_room_is_told(self):
        lines = [line + b"x" * 1000 for line in self.lines(3000)]
        env = self.recorded(POWERCUT_ROOM=5_000_000)
        with open(self.write_file("lines", b"\n".join(lines)), "rb") as file:
            client = self.start_client(*self.words(network.unused_port(), "-q"), stdin=file,
                                       env=env)
            client.finish(1)
            said = client.stderr.bytes()
            kept = len(self.waiting())
            self.assertGreater(kept, 100, said)
            self.assertIn(b"--spool: the spool has no room (try: make some)\n", said)
            self.assertRegex(said, rb"(\d,)?\d+ not kept \(from line %d\)" % (kept + 1))
            self.assertIn(b"in spool '%s'" % self.spool.encode(), said)
            # What was not kept is still there to be read.
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR),
                             len(b"\n".join(lines[:kept])) + 1)
            server = self.storing()
            client = self.start_client(*self.words(server.port, "-q"), stdin=file)
            client.finish(0, 60)
        self.assertEqual(self.stored(), lines)

    def test_no_room_for_a_new_spool(self):
        """Told of by its name, wherever the making of it ends; nothing of stdin is taken."""
        lines = self.lines(3)
        for room in (1, 10_000, 30_000, 60_000):
            with self.subTest(room), open(self.write_file("lines", b"\n".join(lines)), "rb") as file:
                env = self.recorded(POWERCUT_ROOM=room)
                client = self.start_client(*self.words(network.unused_port(), "-q"), stdin=file,
                                           env=env)
                client.finish(1)
                said = client.stderr.bytes().decode()
                self.assertRegex(said.splitlines()[0],
                                 r"--spool: (cannot [a-z ]+ spool '.*spool\.db': .*\(try: make room\)|"
                                 r"the spool has no room \(try: make some\))")
                self.assertNotIn("store", said)
                self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 0)
                # As soon as there is some, what was begun is gone on with.
                client = self.start_client(*self.words(network.unused_port(), "-q"), stdin=file)
                client.finish(7)
                self.assertEqual(self.waiting(), lines)
                shutil.rmtree(os.path.dirname(self.spool))

    def test_room_comes_back_as_the_server_answers(self):
        server = self.storing()
        env = self.recorded(POWERCUT_ROOM=5_000_000)
        lines = [line + b"x" * 2000 for line in self.lines(6000)]
        self.run_on(server.port, "-q", stdin=b"\n".join(lines), env=env)
        self.assertEqual(self.stored(), lines)


class Faults(SpoolTest):
    limit = 300

    def deliver_rest(self, server, lines, before, rest=True):
        """After a run that ended badly: what was kept is delivered, the first lines, once. rest: then
        the others as well."""
        self.run_on(server.port, "-q")
        stored = self.stored()[before:]
        self.assertEqual(stored, lines[:len(stored)])
        self.assertEqual(self.waiting(), [])
        if rest:
            self.run_on(server.port, "-q", stdin=b"\n".join(lines[len(stored):]))
            self.assertEqual(self.stored()[before:], lines)

    def each_sync(self, first, variable, expect):
        server = self.storing()
        lines, done, n = self.lines(300), 0, 0
        for n in range(min(first, EVERY_SYNC), self.count_syncs(server, lines) + 1, EVERY_SYNC):
            done = len(self.stored())
            shutil.rmtree(self.path("live"))
            env = self.recorded(**{variable: n})
            client = self.start_client(*self.words(server.port, "-q"), env=env)
            with contextlib.suppress(BrokenPipeError):
                client.write(b"\n".join(lines))
            client.close_stdin()
            status = client.wait(60)
            answered = client.stdout.bytes().count(b"\n")
            # SQLite doesn't ask how a sync of a folder went; and batches are not always the same.
            self.assertIn(status, (expect, 0), client.stderr.bytes())
            if status == 1:
                self.assertRegex(client.stderr.bytes(), b"--spool: .*(I/O|Input/output) error")
            # A reply was printed of what the server has, and of nothing else.
            self.assertLessEqual(answered, len(self.stored()) - done)
            self.deliver_rest(server, lines, done, rest=n % 5 < EVERY_SYNC)
        self.assertGreater(n, 8)

    def count_syncs(self, server, lines):
        """How many a run without a fault takes."""
        env = self.recorded()
        log = env["POWERCUT_LOG"] = self.path("log")
        self.run_on(server.port, "-q", stdin=b"\n".join(lines), env=env)
        with open(log, "rb") as recorded:
            return sum(kind in (EVENT_SYNC, EVENT_SYNC_FOLDER)
                       for kind, *_ in events(recorded.read()))

    def test_killed_in_place_of_each_sync(self):
        self.each_sync(2, "POWERCUT_KILL_SYNC", -signal.SIGKILL)

    def test_each_sync_fails(self):
        self.each_sync(1, "POWERCUT_FAIL_SYNC", 1)

    def test_killed_under_load(self):
        server = self.storing()
        done = 0
        for kill in range(KILLS):
            lines = self.lines(2000, 1 + 2000 * kill)
            with open(self.write_file("lines", b"\n".join(lines)), "rb") as file:
                client = self.start_client(*self.words(server.port, "-q"), stdin=file)
                client.stdout.wait_until(lambda said: said.count(b"\n") > 150 * (1 + kill % 8),
                                         "replies")
                client.signal(signal.SIGKILL)
                self.assertIn(client.wait(), (0, -signal.SIGKILL))
                answered = client.stdout.bytes().count(b"\n")
            self.assertGreaterEqual(len(self.stored()) - done, answered)
            self.deliver_rest(server, lines, done)
            done += len(lines)

    def test_both_killed_under_load(self):
        server = self.storing()
        lines, at = self.lines(6000), 0
        for kill in range(KILLS):
            client = self.start_client(*self.words(server.port, "-q"), stdin=subprocess.PIPE)
            client.write(b"".join(line + b"\n" for line in lines[at:at + 1000]))
            client.stdout.wait_until(lambda said: said.count(b"\n") > 100, "replies")
            server.signal(signal.SIGKILL)
            server.finish(-signal.SIGKILL)
            if kill % 2 == 0:
                client.signal(signal.SIGKILL)
                client.wait()
            server = self.storing(server.port)
            if kill % 2 == 1:
                client.close_stdin()
                client.finish(0, 60)
            else:
                client.close_stdin()
                self.run_on(server.port, "-q")
            at = len(self.stored())
        self.assertEqual(self.stored(), lines[:at])


if __name__ == "__main__":
    harness.main(plaintext=False)
