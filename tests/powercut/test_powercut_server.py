"""Power cuts, replayed against the server itself: what its clients were told over TLS is kept.

The server runs under the recorder, which notes how far each connection's bytes had gone. A client
here knows at which byte of its connection the record ended that completed a reply. So each promise
has its place in the one order, and the replay asks for it at every cut behind that place.
TLSMSG_POWERCUT_LONG=SECONDS goes on with other seeds for so long.
"""

import os
import pathlib
import random
import re
import signal
import socket
import ssl
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import harness
import texts
import tls
from certificates import default_certificates
from test_powercut import (BUILD, EVENT, EVENT_MARK, EVENT_PROMISE, EVENT_SENT, LONG_S, Scene, events,
                           syncs_of_start)

PRODUCERS = ("p0", "p1", "p2")
DOCUMENT = "document"
AGAIN = 2  # numbers that are sent again after a HELLO
WORD = (1 << 64) - 1


def mix(value):
    """script.c's."""
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & WORD
    return value ^ value >> 31


def body(name, number):
    """The message that the replay expects under that number: script.c's script_body."""
    drawn = mix(number * 8 + [*PRODUCERS, DOCUMENT].index(name) + 1)
    size = 1000 + (drawn >> 8) % 4500 if drawn % 16 == 0 else 20 + (drawn >> 8) % 100
    text = f"{name} {number}".encode()
    return text + bytes(97 + mix((drawn + at) & WORD) % 26 for at in range(len(text), size))


class Wire(tls.End):
    """A TLS end that takes one record at a time and knows where in the connection it ended."""

    def __init__(self, sock, context, **how):
        super().__init__(sock, context, **how)
        self.waiting = b""
        self.offset = 0

    def _fill(self):
        while len(self.waiting) < 5 or len(self.waiting) < self._record():
            chunk = self.sock.recv(65536)
            if not chunk:
                self.incoming.write_eof()
                return
            self.waiting += chunk
        size = self._record()
        self.incoming.write(self.waiting[:size])
        self.waiting = self.waiting[size:]
        self.offset += size

    def _record(self):
        return 5 + int.from_bytes(self.waiting[3:5], "big")


class Told:
    """What clients were told: by the connection's port, (offset, line) in their order."""

    def __init__(self):
        self.lines = {}
        self.lock = threading.Lock()

    def connect(self, port, context):
        """A port of the client's that no connection of this recording has had."""
        while True:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            mine = sock.getsockname()[1]
            with self.lock:
                if mine not in self.lines:
                    self.lines[mine] = []
                    break
            sock.close()
        sock.settimeout(10)
        end = Wire(sock, context, server_hostname="localhost")
        try:
            sock.connect(("127.0.0.1", port))
            end.handshake()
        except Exception:
            sock.close()
            raise
        return end, self.lines[mine]

    def place(self, log, out, early=False):
        """Copies a recording with the promises where they were made. early: each where the one
        before it was, as if the server had replied too soon."""
        waiting = {}
        for port, lines in self.lines.items():
            offsets = [offset for offset, _ in lines]
            if early:
                offsets = offsets[:1] + offsets[:-1]
            waiting[port] = list(zip(offsets, (line for _, line in lines)))
        recorded = log.read_bytes()
        with open(out, "wb") as placed:
            for kind, port, offset, begin, end in events(recorded):
                placed.write(recorded[begin:end])
                mine = waiting.get(port, []) if kind == EVENT_SENT else []
                while mine and mine[0][0] <= offset:
                    line = mine.pop(0)[1].encode() + b"\n"
                    placed.write(EVENT.pack(EVENT_MARK, EVENT_PROMISE, 0, 0, 0, 0, len(line)))
                    placed.write(line)
        assert not any(waiting.values()), f"told, but never sent: {waiting}"


class Numbered:
    """A producer as it should be: it goes on after `last`, and sends some again."""

    def __init__(self, name, seed):
        self.name = name
        self.answered = 0
        self.rng = random.Random(f"{name}{seed}")

    def talk(self, told, port, upto):
        context = tls.client_context(default_certificates().ca)
        context.set_alpn_protocols(["tlsmsg/1"])
        while self.answered < upto:
            end, lines = told.connect(port, context)
            with end:
                self.connection(end, lines, min(upto, self.answered + self.rng.randint(5, 20)))

    def connection(self, end, lines, upto):
        start = max(1, self.answered - AGAIN + 1)
        end.send(f"HELLO 1 producer={self.name} from={start}\n".encode())
        last = int(re.fullmatch(rb"HELLO 1 last=(\d+) .* promise=disk", self.line(end))[1])
        assert last >= self.answered, f"{self.name}: last={last}, answered {self.answered}"
        if last > 0:
            lines.append((end.offset, f"L {self.name} {last}"))
        number = start
        while number <= upto:
            batch = range(number, min(upto, number + self.rng.randint(0, 6)) + 1)
            end.send(b"".join(b"MSG %d %d\n%s\n" % (n, len(text), text)
                              for n in batch for text in [body(self.name, n)]))
            for n in batch:
                reply = texts.reply(body(self.name, n))
                frame = b"OK %d %d\n%s\n" % (n, len(reply), reply)
                assert end.receive_exactly(len(frame)) == frame
                lines.append((end.offset, f"P {self.name} {n}"))
                self.answered = max(self.answered, n)
            number = batch[-1] + 1
        end.close()

    @staticmethod
    def line(end):
        line = b""
        while not line.endswith(b"\n"):
            line += end.receive_exactly(1)
        return line[:-1]


class Document:
    """The document's flow: what had no answer isn't sent again."""

    def __init__(self):
        self.number = 0

    def talk(self, told, port, upto):
        end, lines = told.connect(port, tls.client_context(default_certificates().ca))
        with end:
            while self.number < upto:
                self.number += 1
                message = body(DOCUMENT, self.number)
                reply = texts.reply(message)
                end.send(message)
                assert end.receive_exactly(len(reply)) == reply
                lines.append((end.offset, f"D {DOCUMENT} {self.number}"))
            end.close()


class Case(harness.ProgramTest):
    limit = 600

    def begin(self, seed=1):
        self.scene = Scene()
        self.addCleanup(self.scene.remove)
        self.told = Told()
        self.clients = [*(Numbered(name, seed) for name in PRODUCERS), Document()]

    def serve(self, upto, ends=False, **environment):
        """Clients of a server up to a number. ends: that server fails under them."""
        server = self.server(
            "--store", str(self.scene.live / "store.db"), "--quiet", "--workers", "2",
            env=os.environ | {
                "LD_PRELOAD": str(BUILD / "libpowercut_recorder.so"),
                "POWERCUT_FOLDER": str(self.scene.live),
                "POWERCUT_LOG": str(self.scene.folder / "recorded"),
                "POWERCUT_SOCKETS": "1",
            } | {name: str(value) for name, value in environment.items()})
        wrong = []
        threads = [threading.Thread(target=self.talk, args=(client, server.port, upto, wrong))
                   for client in self.clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not ends:
            self.assertEqual(wrong, [])
            server.stop()
        else:
            self.assertEqual(len(wrong), len(self.clients), wrong)
            server.finish(expect=-signal.SIGKILL if "POWERCUT_KILL_SYNC" in environment else 1)

    def talk(self, client, port, upto, wrong):
        try:
            client.talk(self.told, port, upto)
        except (OSError, AssertionError, ssl.SSLError) as error:
            wrong.append(error)

    def replay(self, every, draws=1, early=False):
        self.told.place(self.scene.folder / "recorded", self.scene.folder / "log", early)
        return self.scene.replay(every, draws)

    def assert_kept(self, every, promises, draws=1):
        disks, made, faults, said = self.replay(every, draws)
        self.assertEqual(faults, 0, said)
        self.assertGreaterEqual(made, promises, said)
        self.assertGreater(disks, 50, said)


class Cuts(Case):
    def test_restarts(self):
        self.begin()
        for upto in (20, 40):
            self.serve(upto)
        # Each is answered once at least; what was sent again was promised again.
        self.assert_kept(every=8, promises=4 * 40 + 3 * AGAIN)

    def test_syncs_that_fail_or_never_come(self):
        for variable, n in (("POWERCUT_FAIL_SYNC", 3), ("POWERCUT_KILL_SYNC", 8)):
            with self.subTest(variable=variable, n=n):
                self.begin(seed=n)
                self.serve(500, ends=True, **{variable: syncs_of_start() + n})
                upto = max(client.answered for client in self.clients[:-1]) + 10
                self.serve(upto)
                self.assert_kept(every=20, promises=30)


class Planted(Case):
    """What must not pass."""

    def test_no_sync(self):
        self.begin()
        self.serve(10)
        self.serve(20, POWERCUT_LIE=1)
        _, _, faults, said = self.replay(every=40)
        self.assertGreater(faults, 0, said)

    def test_sync_tried_again(self):
        self.begin()
        self.serve(20, POWERCUT_FAIL_SYNC=syncs_of_start() + 2, POWERCUT_RETRY_SYNC=1)
        _, _, faults, said = self.replay(every=40)
        self.assertGreater(faults, 0, said)

    def test_a_reply_too_soon(self):
        """One reply sooner than they came is seen: that is how exact their places are."""
        self.begin()
        self.serve(20)
        _, _, faults, said = self.replay(every=40, early=True)
        self.assertGreater(faults, 0, said)
        self.assertIn("promised", said)


@unittest.skipUnless(LONG_S > 0, "the long form (TLSMSG_POWERCUT_LONG=SECONDS)")
class Long(Case):
    def test_other_seeds(self):
        end = time.monotonic() + LONG_S
        seed = 100
        while time.monotonic() < end:
            seed += 1
            variable = ("POWERCUT_FAIL_SYNC", "POWERCUT_KILL_SYNC")[seed % 2]
            with self.subTest(seed=seed):
                self.begin(seed)
                self.serve(5000, ends=True, **{variable: syncs_of_start() + 1 + seed // 2 % 40})
                upto = max(client.answered for client in self.clients[:-1]) + 40
                self.serve(upto)
                self.serve(upto + 40)
                self.assert_kept(every=4, promises=300, draws=2)
            self.scene.remove()


if __name__ == "__main__":
    harness.main(plaintext=False)
