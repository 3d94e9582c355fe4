#!/usr/bin/env python3
"""Power cuts, replayed against the client itself: what it has sent from a spool is kept there until
it was answered, and no number is ever free again.

The client runs under the recorder, which notes how far its connection's bytes had gone. The server
here knows at which byte of the connection the record ended that completed a message. So each message
has its place in the one order: at every cut behind it the spool must hold it, and at every cut behind
an exit with 0 or 7 all that was given. TLSMSG_POWERCUT_LONG=SECONDS goes on with other seeds for so
long.
"""

import os
import pathlib
import random
import signal
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import harness
import tls
from certificates import default_certificates
from network import Peer
from numbered_peer import Conversation, Ledger
from settings import scaled
from test_powercut import BUILD, EVENT, EVENT_MARK, EVENT_PROMISE, LONG_S, Scene, syncs_of_start
from test_powercut_server import DOCUMENT, Told, Wire, body


class Taker(Conversation):
    """Notes where each message ends in the connection."""

    def __init__(self, end, ledger, lines):
        super().__init__(end, ledger)
        self.lines = lines

    def message(self):
        message = super().message()
        if message is not None:
            self.lines.append((self.end.offset, f"D {DOCUMENT} {message[0]}"))
        return message


class Server:
    """One connection of a client, on a port of its own. mute: nothing is answered."""

    def __init__(self, told, ledger, mute):
        self.told, self.ledger, self.mute = told, ledger, mute
        self.came = threading.Condition()
        self.last = 0
        made = default_certificates()
        self.context = tls.server_context(made.server, made.server_key)
        self.context.set_alpn_protocols(["tlsmsg/1"])
        while True:
            self.peer = Peer(self.serve)
            if self.peer.port not in told.lines:
                break
            self.peer.finish()
        self.port = self.peer.port
        told.lines[self.port] = []

    def serve(self, sock):
        end = Wire(sock, self.context, server_side=True).handshake()
        conversation = Taker(end, self.ledger, self.told.lines[self.port])
        conversation.greet()
        while (message := conversation.message()) is not None:
            with self.came:
                self.last = message[0]
                self.came.notify()
            if not self.mute:
                conversation.take(*message)
                conversation.answer(*message)
        end.answer_close()

    def wait(self, number, client):
        """Until a message has come, or the client is gone."""
        ends = time.monotonic() + scaled(30)
        with self.came:
            while self.last < number and client.process.poll() is None:
                if time.monotonic() > ends:
                    raise AssertionError(f"message {number} has not come")
                self.came.wait(0.05)


class Case(harness.ProgramTest):
    limit = 600

    def begin(self):
        self.scene = Scene()
        self.addCleanup(self.scene.remove)
        self.told, self.ledger, self.given = Told(), Ledger(), 0

    def feed(self, count, mute, together=False, **environment):
        """A client that is given so many more messages, one after the other or together."""
        server = Server(self.told, self.ledger, mute)
        client = self.start_client(
            "--ca", default_certificates().ca, "--spool", str(self.scene.live / "store.db"), "-q",
            "--retry", "0", str(server.port),
            env={
                "LD_PRELOAD": str(BUILD / "libpowercut_recorder.so"),
                "POWERCUT_FOLDER": str(self.scene.live),
                "POWERCUT_LOG": str(self.scene.folder / "recorded"),
                "POWERCUT_SOCKETS": "1",
            } | {name: str(value) for name, value in environment.items()})
        try:
            for number in range(self.given + 1, self.given + count + 1):
                client.write(body(DOCUMENT, number) + b"\n")
                if not together:
                    server.wait(number, client)
        except BrokenPipeError:
            pass
        if mute and not environment:
            server.wait(self.given + count, client)
            server.peer.abandon()  # it has said nothing, and is gone
        client.close_stdin()
        status = client.wait(60)
        server.peer.abandon()
        self.given += count
        if status in (0, 7):
            self.promise(f"D {DOCUMENT} {self.given}")
        return status

    def promise(self, line):
        """At this place of the recording."""
        with open(self.scene.folder / "recorded", "ab") as log:
            log.write(EVENT.pack(EVENT_MARK, EVENT_PROMISE, 0, 0, 0, 0, len(line) + 1))
            log.write(line.encode() + b"\n")

    def replay(self, every, draws=1, early=False):
        self.told.place(self.scene.folder / "recorded", self.scene.folder / "log", early)
        return self.scene.replay(every, draws, spool=True)

    def assert_kept(self, every, promises, draws=1):
        disks, made, faults, said = self.replay(every, draws)
        self.assertEqual(faults, 0, said)
        self.assertGreaterEqual(made, promises, said)
        self.assertGreater(disks, 50, said)

    def assert_found(self, **how):
        _, _, faults, said = self.replay(every=40, **how)
        self.assertGreater(faults, 0, said)
        self.assertIn("promised", said)

    def answer_all(self, count):
        """From here on what was given may be answered, and leave."""
        self.promise(f"G {DOCUMENT} {self.given + count}")
        self.assertEqual(self.feed(count, mute=False, together=True), 0)


class Cuts(Case):
    def test_sent_and_never_answered(self):
        self.begin()
        self.assertEqual(self.feed(25, mute=True), 7)
        self.assert_kept(every=8, promises=25)

    def test_answered_by_a_later_run(self):
        self.begin()
        self.assertEqual(self.feed(12, mute=True), 7)
        self.answer_all(40)
        self.assertEqual(self.ledger.bodies(self.ledger.greetings[0][0]),
                         [body(DOCUMENT, n) for n in range(1, 53)])
        self.assertEqual(self.feed(5, mute=True), 7)
        self.assert_kept(every=12, promises=12 + 40)

    def test_syncs_that_fail_or_never_come(self):
        for variable, expect in (("POWERCUT_FAIL_SYNC", 1), ("POWERCUT_KILL_SYNC", -signal.SIGKILL)):
            with self.subTest(variable=variable):
                self.begin()
                n = syncs_of_start() + 6
                self.assertEqual(self.feed(30, mute=True, **{variable: n}), expect)
                # What came behind the fault was not kept, so its numbers are given to others.
                self.given = max(int(line.split()[2]) for lines in self.told.lines.values()
                                 for _, line in lines)
                self.deliver_rest()
                self.assert_kept(every=16, promises=5)

    def deliver_rest(self):
        """What was kept and not sent has a number, too, which the ledger then shows."""
        self.promise(f"G {DOCUMENT} {self.given + 1}")
        self.assertEqual(self.feed(0, mute=False), 0)
        self.given = max(self.ledger.taken[self.ledger.greetings[0][0]])
        self.assertEqual(self.feed(8, mute=True), 7)


class Planted(Case):
    """What must not pass."""

    def test_no_sync(self):
        self.begin()
        self.feed(5, mute=True)
        self.feed(10, mute=True, together=True, POWERCUT_LIE=1)
        self.assert_found()

    def test_sent_too_soon(self):
        """One message sooner than they were sent is seen: that is how exact their places are."""
        self.begin()
        self.assertEqual(self.feed(15, mute=True), 7)
        self.assert_found(early=True)


@unittest.skipUnless(LONG_S > 0, "the long form (TLSMSG_POWERCUT_LONG=SECONDS)")
class Long(Case):
    def test_other_seeds(self):
        end = time.monotonic() + LONG_S
        rng = random.Random(1)
        while time.monotonic() < end:
            self.begin()
            self.assertEqual(self.feed(rng.randint(5, 60), mute=True,
                                             together=rng.random() < 0.5), 7)
            self.answer_all(rng.randint(5, 200))
            self.assertEqual(self.feed(rng.randint(5, 60), mute=True), 7)
            self.assert_kept(every=2, promises=15, draws=2)
            self.scene.remove()


if __name__ == "__main__":
    harness.main(plaintext=False)
