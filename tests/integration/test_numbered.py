#!/usr/bin/env python3
"""tlsmsg/1 on the server: each rule of the protocol kept, and broken on purpose by a client."""

import json
import os
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from s_client import SClient

HELLO = b"HELLO 1 last=%d max=1048576 window=256 promise=none\n"


def message(number, text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"MSG %d %d\n%s\n" % (number, len(data), data)


def ok(number, text):
    reply = texts.reply(text if isinstance(text, bytes) else text.encode())
    return b"OK %d %d\n%s\n" % (number, len(reply), reply)


def bye(code, text):
    return b"BYE %d %d\n%s\n" % (code, len(text), text.encode())


class NumberedTest(ProgramTest):
    def context(self, *, offers=("tlsmsg/1",), **how):
        context = tls.client_context(default_certificates().ca, **how)
        if offers:
            context.set_alpn_protocols(list(offers))
        return context

    def connect(self, server, context=None):
        end = tls.connect(server.port, context or self.context())
        self.addCleanup(end.sock.close)
        return end

    def expect(self, end, *frames):
        for frame in frames:
            self.assertEqual(end.receive_exactly(len(frame)), frame)

    def expect_end(self, end, *frames):
        """These frames and then close_notify, nothing else."""
        self.assertEqual(end.receive_until_close(), b"".join(frames))
        end.close()

    def events(self, server):
        return [json.loads(line) for line in server.transcript().decode().splitlines()]

    def by_connection(self, server, event):
        """In the connections' order: workers don't wait for each other with their lines."""
        return sorted((e for e in self.events(server) if e["event"] == event),
                      key=lambda e: e["connection"])


class Negotiation(NumberedTest):
    def test_offers(self):
        server = self.server()
        for name, offers, numbered in (
                ("alone", ["tlsmsg/1"], True),
                ("beside others", ["h2", "tlsmsg/1", "http/1.1"], True),
                ("last of many", ["a" * 255, "b", "tlsmsg/1"], True),
                ("others alone", ["h2", "tlsmsg/2", "tlsmsg/11"], False),
                ("nothing", [], False)):
            with self.subTest(name):
                end = self.connect(server, self.context(offers=offers))
                if numbered:
                    end.send(b"HELLO 1\n")
                    self.expect(end, HELLO % 0)
                else:
                    end.send(b"HELLO 1\n")
                    reply = texts.reply(b"HELLO 1\n")
                    self.assertEqual(end.receive_exactly(len(reply)), reply)
                end.close()

    def test_each_handshake_decides_anew(self):
        """A resumed session brings no flow with it."""
        server = self.server()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for begins in (True, False):
                with self.subTest(version=version, begins=begins):
                    context = self.context(offers=(), minimum=version, maximum=version)
                    session = None
                    for numbered in (begins, not begins):
                        context.set_alpn_protocols(["tlsmsg/1"] if numbered else ["h2"])
                        end = tls.connect(server.port, context, session=session)
                        self.addCleanup(end.sock.close)
                        self.assertEqual(end.tls.session_reused, session is not None)
                        end.send(b"HELLO 1\n")
                        due = HELLO % 0 if numbered else texts.reply(b"HELLO 1\n")
                        if numbered:  # the ticket comes with the first reply
                            end.send(message(1, "a"))
                            due += ok(1, "a")
                        self.expect(end, due)
                        session = end.tls.session
                        end.close()

    def test_json_tells_the_flow(self):
        server = self.server("--format", "json")
        for offers in (["tlsmsg/1"], []):
            self.connect(server, self.context(offers=offers)).close()
        server.stop(0)
        flows = [e["flow"] for e in self.by_connection(server, "connected")]
        self.assertEqual(flows, ["tlsmsg/1", "document"])


class Messages(NumberedTest):
    def test_many_at_once_in_order(self):
        server = self.server()
        end = self.connect(server)
        numbers = range(1, 1001)
        end.send(b"HELLO 1\n" + b"".join(message(n, f"text {n}") for n in numbers[:100]))
        self.expect(end, HELLO % 0, *(ok(n, f"text {n}") for n in numbers[:100]))
        for n in numbers[100:]:
            end.queue(message(n, f"text {n}"))
        end.flush()
        self.expect(end, *(ok(n, f"text {n}") for n in numbers[100:]))
        end.close()
        server.stop(0)
        self.assertEqual(server.transcript().decode().count("text "), 1000)

    def test_any_size(self):
        server = self.server("--max-message", "67108864")
        end = self.connect(server)
        end.send(b"HELLO 1\n")
        self.expect(end, b"HELLO 1 last=0 max=67108864 window=256 promise=none\n")
        for n, size in enumerate((1, 16383, 16384, 16385, 100_000, 3_000_000, 9_000_000), 1):
            text = ("世" * (size // 3) + "x" * (size % 3))
            end.send(message(n, text))
            self.expect(end, ok(n, text))
        end.close()

    def test_a_body_holds_anything(self):
        server = self.server("--format", "json")
        end = self.connect(server)
        bodies = ("a\nMSG 2 1\nb", "\r\n", "\n", "\0", "BYE 400 1\nx\n")
        end.send(b"HELLO 1\r\n")
        self.expect(end, HELLO % 0)
        for n, body in enumerate(bodies, 1):
            end.send(message(n, body))
            self.expect(end, ok(n, body))
        end.close()
        server.stop(0)
        shown = [e for e in self.events(server) if e["event"] == "message"]
        self.assertEqual([e["message"] for e in shown], list(bodies))
        self.assertEqual([e["seq"] for e in shown], [1, 2, 3, 4, 5])
        self.assertNotIn("producer", shown[0])

    def test_cut_at_every_byte(self):
        """Frames and records have nothing to do with each other."""
        server = self.server()
        said = b"HELLO 1 producer=cut from=1\r\n" + message(1, "世界") + message(2, "b")
        for cut in range(1, len(said)):
            end = self.connect(server)
            name = b"cut%d" % cut
            words = said.replace(b"=cut ", b"=" + name + b" ")
            end.send(words[:cut])
            end.send(words[cut:])
            self.expect(end, HELLO % 0, ok(1, "世界"), ok(2, "b"))
            end.close()
        end = self.connect(server)
        for byte in said:
            end.send(bytes([byte]))
        self.expect(end, HELLO % 0, ok(1, "世界"), ok(2, "b"))
        end.close()


class Typed(NumberedTest):
    """What the manual says: a person can type it."""

    def test_with_s_client(self):
        server = self.server()
        for options, end in (((), b"\n"), (("-crlf",), b"\r\n")):
            with self.subTest(options):
                peer = self.keep(SClient(server.port, "-quiet", "-alpn", "tlsmsg/1", *options,
                                         ca=default_certificates().ca))
                peer.write(b"HELLO 1\n")
                peer.stdout.wait_for(b"promise=none\n")
                peer.write(b"MSG 1 5\nhello\n")
                peer.stdout.wait_for(ok(1, "hello"))
                # A line end within a message is sent as -crlf has it, and counts.
                text = "世界".encode() + end + b"!"
                peer.write(b"MSG 2 %d\n" % len(text) + text.replace(end, b"\n") + b"\n")
                peer.stdout.wait_for(ok(2, text))
                peer.write(b"bye\n")
                peer.stdout.wait_for(bye(400, "a header that is neither HELLO nor MSG"))
                peer.finish(0)


class Producers(NumberedTest):
    def greet(self, server, name, start, last):
        end = self.connect(server)
        end.send(b"HELLO 1 producer=%s from=%d\n" % (name.encode(), start))
        self.expect(end, HELLO % last)
        return end

    def test_numbers_survive_reconnects(self):
        server = self.server("--format", "json")
        end = self.greet(server, "job", 1, 0)
        end.send(message(1, "a") + message(2, "b"))
        self.expect(end, ok(1, "a"), ok(2, "b"))
        end.drop()
        end = self.greet(server, "job", 2, 2)
        end.send(message(2, "b") + message(3, "c"))
        self.expect(end, ok(2, "b"), ok(3, "c"))
        end.close()
        server.stop(0)
        events = self.events(server)
        self.assertEqual([(e["producer"], e["seq"], e["message"]) for e in events
                          if e["event"] == "message"],
                         [("job", 1, "a"), ("job", 2, "b"), ("job", 3, "c")])
        closed = self.by_connection(server, "closed")
        self.assertEqual(closed[1]["duplicates"], 1)
        self.assertEqual(closed[1]["messages"], 1)
        self.assertEqual(closed[1]["producer"], "job")
        self.assertNotIn("duplicates", closed[0])

    def test_older_duplicates_are_judged_by_number(self):
        """Without a store the last one's hash is kept, and no other."""
        server = self.server()
        end = self.greet(server, "job", 1, 0)
        end.send(b"".join(message(n, f"m{n}") for n in range(1, 6)))
        self.expect(end, *(ok(n, f"m{n}") for n in range(1, 6)))
        end.close()
        end = self.greet(server, "job", 1, 5)
        end.send(message(1, "m1") + message(2, "other"))
        self.expect(end, ok(1, "m1"), ok(2, "other"))
        end.close()

    def test_names_are_apart(self):
        server = self.server()
        end = self.greet(server, "a", 1, 0)
        end.send(message(1, "x"))
        self.expect(end, ok(1, "x"))
        self.greet(server, "b", 1, 0).close()
        self.greet(server, "~a", 1, 0).close()
        self.greet(server, "A", 1, 0).close()
        end.close()

    def test_identities_are_apart(self):
        made = default_certificates()
        server = self.server("--client-ca", made.ca)
        context = self.context(certificate=made.client, key=made.client_key)
        end = self.connect(server, context)
        end.send(b"HELLO 1 producer=job\n" + message(1, "x"))
        self.expect(end, HELLO % 0, ok(1, "x"))
        end.close()
        end = self.connect(server, context)
        end.send(b"HELLO 1 producer=job\n")
        self.expect(end, HELLO % 1)
        end.close()

    def test_two_identities_under_one_name(self):
        """They don't meet: neither takes over from the other, and each has its own numbers."""
        ends = []
        authority = certificates.authority("identities")
        server = self.server("--client-ca", authority.ca)
        for name in ("ann", "bob"):
            leaf = authority.issue(name, names="")
            end = self.connect(server, self.context(certificate=leaf.certificate, key=leaf.key))
            end.send(b"HELLO 1 producer=job\n" + message(1, name))
            self.expect(end, HELLO % 0, ok(1, name))
            ends.append(end)
        for end, name in zip(ends, ("ann", "bob")):
            end.send(message(2, name * 2))
            self.expect(end, ok(2, name * 2))
            end.close()

    @staticmethod
    def pour(end, offered):
        """Sends messages of a million bytes and reads nothing, until nothing more is taken. Returns the
        bytes that were."""
        taken, number = 0, 0
        end.sock.settimeout(harness.scaled(1))
        try:
            while taken < offered:
                number += 1
                frame = message(number, "x" * 1_000_000)
                for at in range(0, len(frame), tls.RECORD):
                    end.queue(frame[at:at + tls.RECORD])
                    unsent = end.outgoing.read()
                    while unsent:
                        sent = end.sock.send(unsent)
                        taken += sent
                        unsent = unsent[sent:]
        except TimeoutError:
            pass
        end.sock.settimeout(harness.scaled(10))
        return taken

    def test_a_client_that_reads_nothing(self):
        """It is not read beyond what may be held for it, and holds up no later connection of its
        producer, which it loses without a word."""
        server = self.server("--format", "json")
        end = tls.connect(server.port, self.context(), small_buffers=True)
        self.addCleanup(end.sock.close)
        end.send(b"HELLO 1 producer=job\n")
        self.expect(end, HELLO % 0)
        # Its own limit is 2 MiB; the rest is in the kernel's buffers.
        self.assertLess(self.pour(end, 64 << 20), 24 << 20)
        began = time.monotonic()
        later = self.connect(server)
        later.send(b"HELLO 1 producer=job\n")
        self.assertIn(b"HELLO 1 last=", later.receive())
        # Not within --write-timeout (30 s).
        self.assertLess(time.monotonic() - began, harness.scaled(9))
        later.close()
        server.stop(0)
        closed = self.by_connection(server, "closed")
        self.assertEqual((closed[0]["how"], closed[0]["code"]), ("refused", 409))

    def test_takeover(self):
        server = self.server("--format", "json", "--workers", "2")
        first = self.greet(server, "job", 1, 0)
        first.send(message(1, "a"))
        self.expect(first, ok(1, "a"))
        second = self.greet(server, "job", 2, 1)
        self.expect_end(first, bye(409, "taken over"))
        third = self.greet(server, "job", 2, 1)
        self.expect_end(second, bye(409, "taken over"))
        third.send(message(2, "b"))
        self.expect(third, ok(2, "b"))
        third.close()
        server.stop(0)
        closed = self.by_connection(server, "closed")
        self.assertEqual([(e["how"], e.get("code")) for e in closed],
                         [("refused", 409), ("refused", 409), ("clean", None)])

    def test_a_gap_is_taken(self):
        """A server that has started anew takes what the client says is next."""
        server = self.server()
        end = self.greet(server, "job", 17, 0)
        end.send(message(17, "q"))
        self.expect(end, ok(17, "q"))
        end.close()
        self.greet(server, "job", 18, 17).close()


class Refusals(NumberedTest):
    """What breaks a rule ends that conversation, and no other."""

    ROWS = (
        ("no HELLO", b"MSG 1 1\na\n", 400, "a message before HELLO"),
        ("text", b"hello\n", 400, "a header that is neither HELLO nor MSG"),
        ("another version", b"HELLO 2\n", 400, "HELLO of another version than 1"),
        ("HELLO twice", b"HELLO 1\nHELLO 1\n", 400, "a second HELLO"),
        ("from without producer", b"HELLO 1 from=2\n", 400, "from= without producer="),
        ("an empty line", b"HELLO 1\n\n", 400, "a header that is neither HELLO nor MSG"),
        ("number 0", b"HELLO 1\nMSG 0 1\na\n", 400, "not two numbers from 1 in a header"),
        ("begins with 2", b"HELLO 1\nMSG 2 1\na\n", 400, "a number out of order"),
        ("a gap", b"HELLO 1\n" + message(1, "a") + message(3, "c"), 400, "a number out of order"),
        ("a step back", b"HELLO 1\n" + message(1, "a") + message(1, "a"), 400,
         "a number out of order"),
        ("below from", b"HELLO 1 producer=below from=5\n" + message(4, "a"), 400,
         "a number out of order"),
        ("above from", b"HELLO 1 producer=above from=5\n" + message(6, "a"), 400,
         "a number out of order"),
        ("too long", b"HELLO 1\nMSG 1 1048577\n", 413, "a message longer than max"),
        ("far too long", b"HELLO 1\nMSG 1 9223372036854775807\n", 413,
         "a message longer than max"),
        ("a length that is too small", b"HELLO 1\nMSG 1 1\nab\n", 400,
         "a body of another length than its header says"),
        ("not UTF-8", b"HELLO 1\nMSG 1 2\n\xc3(\n", 415, "bytes that are not UTF-8"),
        ("half a character", b"HELLO 1\nMSG 1 2\n\xe4\xb8\n", 415, "bytes that are not UTF-8"),
        ("a surrogate", b"HELLO 1\nMSG 1 3\n\xed\xa0\x80\n", 415, "bytes that are not UTF-8"),
        ("a header without end", b"HELLO 1 " + b"x=" * 200, 400,
         "a header line of over 256 bytes"),
        ("a server's frame", b"HELLO 1\nOK 1 1\na\n", 400,
         "a header that is neither HELLO nor MSG"),
    )

    def test_rows(self):
        server = self.server("--format", "json")
        healthy = self.connect(server)
        healthy.send(b"HELLO 1\n")
        self.expect(healthy, HELLO % 0)
        for number, (name, said, code, text) in enumerate(self.ROWS, 1):
            with self.subTest(name):
                end = self.connect(server)
                end.send(said)
                got = end.receive_until_close()
                end.close()
                self.assertTrue(got.endswith(bye(code, text)), got)
                # What had come whole before is answered first.
                self.assertEqual(got.count(b"OK "), said.count(message(1, "a")[:7]) and
                                 int(name in ("a gap", "a step back")))
                healthy.send(message(number, "still here"))
                self.expect(healthy, ok(number, "still here"))
        healthy.close()
        server.stop(0)
        closed = [e for e in self.events(server) if e["event"] == "closed"]
        self.assertEqual([(e["how"], e.get("code")) for e in closed[:-1]],
                         [("invalid-utf8", None) if code == 415 else ("refused", code)
                          for _, _, code, _ in self.ROWS])

    def test_other_bytes_under_a_known_number(self):
        server = self.server()
        end = self.connect(server)
        end.send(b"HELLO 1 producer=job\n" + message(1, "a") + message(2, "b"))
        self.expect(end, HELLO % 0, ok(1, "a"), ok(2, "b"))
        end.close()
        end = self.connect(server)
        end.send(b"HELLO 1 producer=job from=2\n" + message(2, "B") + message(3, "c"))
        self.expect(end, HELLO % 2)
        self.expect_end(end, bye(412, "other bytes under a known number"))
        server.stop(0)
        # Nothing later of that conversation was taken.
        self.assertNotIn("收到消息：c", server.transcript().decode())

    def test_ends_within_a_frame(self):
        server = self.server()
        for said in (b"HELLO 1", b"HELLO 1\nMSG 1 5\nhe", b"HELLO 1\nMSG 1 5\nhello"):
            end = self.connect(server)
            end.send(said)
            end.send_close_notify()
            got = end.receive_until_close()
            self.assertEqual(got, HELLO % 0 if b"\n" in said else b"")
            end.close()
        server.stop(0)
        self.assertNotIn("收到消息", server.transcript().decode())


class Deadlines(NumberedTest):
    def test_no_hello(self):
        server = self.server("--handshake-timeout", "0.4")
        end = self.connect(server)
        self.expect_end(end, bye(503, "too slow"))

    def test_a_message_that_stands_still(self):
        server = self.server("--write-timeout", "0.4")
        end = self.connect(server)
        end.send(b"HELLO 1\nMSG 1 10\nhe")
        self.expect(end, HELLO % 0)
        self.expect_end(end, bye(503, "too slow"))

    def test_a_message_that_drips(self):
        """A byte now and then doesn't keep a long message alive."""
        server = self.server("--write-timeout", "0.5")
        end = self.connect(server)
        end.send(b"HELLO 1\nMSG 1 100000\n")
        self.expect(end, HELLO % 0)
        began = time.monotonic()
        try:
            while time.monotonic() - began < harness.scaled(8):
                end.send(b"x")
                time.sleep(0.1)
                if kernel.find(end.sock.getsockname(), end.sock.getpeername()) is None:
                    break
        except OSError:
            pass
        server.stop(0)
        self.assertIn(b"too slowly", server.log())


class Ends(NumberedTest):
    def test_stopping(self):
        server = self.server("--format", "json")
        idle = self.connect(server)
        idle.send(b"HELLO 1\n" + message(1, "a"))
        self.expect(idle, HELLO % 0, ok(1, "a"))
        half = self.connect(server)
        half.send(b"HELLO 1\nMSG 1 5\nhe")
        self.expect(half, HELLO % 0)
        server.signal()
        self.expect_end(idle, bye(503, "stopping"))
        self.expect_end(half, bye(503, "stopping"))
        server.finish(0)
        closed = [e["how"] for e in self.events(server) if e["event"] == "closed"]
        self.assertEqual(closed, ["drained", "drained"])

    def test_idle(self):
        server = self.server("--idle-timeout", "0.4")
        end = self.connect(server)
        end.send(b"HELLO 1\n")
        self.expect(end, HELLO % 0)
        self.expect_end(end, bye(503, "idle"))

    def test_a_slow_transcript_holds_oks(self):
        """Without a reader of stdout no OK leaves; a greeting is answered meanwhile."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        server = self.server(stdout=writing)
        os.close(writing)
        end = self.connect(server)
        end.send(b"HELLO 1\n")
        self.expect(end, HELLO % 0)
        text = "x" * 60_000
        for n in range(1, 5):
            end.send(message(n, text))
        late = self.connect(server)
        late.send(b"HELLO 1\n")
        self.expect(late, HELLO % 0)
        shown = 0
        while shown < 4 * len(text):
            shown += os.read(reading, 65536).count(b"x")
        self.expect(end, *(ok(n, text) for n in range(1, 5)))
        late.close()
        end.close()


if __name__ == "__main__":
    harness.main(plaintext=False)
