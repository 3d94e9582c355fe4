#!/usr/bin/env python3
"""tlsmsg/1 on the client: many messages on their way, lost connections, and servers that refuse or
break the rules. Counted from both sides."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import network
import texts
import tls
from certificates import default_certificates
from numbered_peer import Conversation, Ledger, Proxy
from settings import build_dir, program, scaled
from tls_client_test import PROGRAM, ClientTest

# Every how many bytes of an exchange it is cut; 1 takes minutes (scripts/long.sh cuts).
STRIDE = int(os.environ.get("TLSMSG_CUT_STRIDE", "97"))


class NumberedTest(ClientTest):
    def numbered_peer(self, handle):
        """A Python server of tlsmsg/1; handle(conversation) for each connection."""
        made = default_certificates()
        context = tls.server_context(made.server, made.server_key)
        context.set_alpn_protocols(["tlsmsg/1"])
        return self.peer(lambda sock: handle(tls.accept(sock, context)))

    def keeper(self, ledger):
        return self.numbered_peer(lambda end: Conversation(end, ledger).serve())

    def run_on(self, port, *words, stdin=b"", expect=0, limit=30):
        return self.run_client("--ca", self.ca, *words, str(port), stdin=stdin, expect=expect,
                               limit=limit)

    def proxy(self, port, **how):
        proxy = Proxy(port, **how)
        self.addCleanup(proxy.close)
        return proxy

    @staticmethod
    def replies(bodies):
        return b"".join(texts.reply(body) + b"\n" for body in bodies)

    @staticmethod
    def lines(count):
        return [b"line %d" % n for n in range(1, count + 1)]


class Stream(NumberedTest):
    def test_stdout_is_as_if_one_went_at_a_time(self):
        server = self.server()
        stdin = b"one\n\n\n\xff\ntwo\n\xe4\xb8\x96\n\nexit\nx\n"
        for words in ((), ("--lang", "en"), ("-q",), ("-q", "--format", "json")):
            with self.subTest(words):
                said = []
                for flow in (("--document-flow",), (), ("--window", "1"), ("--retry", "0")):
                    client = self.run_on(server.port, *flow, *words, stdin=stdin, expect=1)
                    said.append(re.sub(rb'"seconds":[0-9.]+', b"", client.stdout.bytes()))
                self.assertEqual(said, [said[0]] * 4)

    def test_many_lines(self):
        server = self.server()
        lines = self.lines(10_000)
        client = self.run_on(server.port, "-q", stdin=b"\n".join(lines) + b"\n")
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        server.stop(0)
        self.assertEqual(server.transcript().count(b"line "), 10_000)

    def test_the_window_is_kept(self):
        seen = []

        def handle(end):
            conversation = Conversation(end, Ledger(window=7))
            conversation.greet()
            open_ = []
            for _ in range(40):
                open_.append(conversation.message())
                seen.append(len(open_))
                if len(open_) == 7 or seen.count(7) > 4:
                    for message in open_:
                        conversation.answer(*message)
                    open_ = []
            for message in open_:
                conversation.answer(*message)
            end.answer_close()

        peer = self.numbered_peer(handle)
        lines = self.lines(40)
        client = self.run_on(peer.port, "-q", stdin=b"\n".join(lines))
        peer.finish()
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        self.assertEqual(max(seen), 7)

    def test_sizes(self):
        server = self.server("--max-message", "300000")
        text = ("世" * 90_000).encode()
        path = self.write_file("message", text)
        client = self.run_on(server.port, "-q", "-m", "first", "-M", path, "-m", "x" * 20_000)
        self.assertEqual(client.stdout.bytes(), self.replies([b"first", text, b"x" * 20_000]))
        client = self.run_on(server.port, "-q", "-M", "-", stdin=b"two\nlines")
        self.assertEqual(client.stdout.bytes(), self.replies([b"two\nlines"]))
        client = self.run_on(server.port, "-q", stdin=b"a\n" + b"x" * 300_001 + b"\nb\n", expect=1)
        self.assertEqual(client.stdout.bytes(), self.replies([b"a", b"b"]))
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "line 2", "300000 bytes")
        if not os.path.exists(os.path.join(build_dir(), "tlsmsg-store")):
            client = self.run_on(server.port, "--spool", self.path("spool"), "-m", "x", expect=2)
            self.assert_one_line(client.stderr.bytes(), PROGRAM + "--spool: ", "TLSMSG_SQLITE")
        for words, says in ((("-M", self.path("none")), "none"), (("-M", os.devnull), "empty")):
            client = self.run_on(server.port, *words, expect=2)
            self.assert_one_line(client.stderr.bytes(), PROGRAM, "--message-file", says)

    def test_round_trips(self):
        """10,000 lines take at most 1.25 times lines by window round trips. They are counted: this
        server answers only when as many are unanswered as its window allows, or all have come."""
        count, ledger, trips = 10_000, Ledger(), []

        def handle(end):
            conversation = Conversation(end, ledger)
            conversation.greet()
            open_ = []
            for number in range(1, count + 1):
                open_.append(conversation.message())
                if len(open_) == ledger.window or number == count:
                    conversation.answer_all(open_)
                    trips.append(len(open_))
                    open_ = []
            end.answer_close()

        peer = self.numbered_peer(handle)
        lines = self.lines(count)
        client = self.run_on(peer.port, "-q", stdin=b"\n".join(lines) + b"\n", limit=60)
        peer.finish()
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        print(f"{len(trips)} round trips", end=" ", file=sys.stderr)
        self.assertLessEqual(len(trips), 1.25 * count / ledger.window)

    def test_a_slow_way(self):
        """The real server behind 25 ms each way: the time is told; that it isn't one at a time is
        held, with room for a busy machine."""
        one_way, count, window = 0.025, 10_000, 256
        server = self.server("--quiet")
        proxy = self.proxy(server.port, delay=one_way)
        lines = self.lines(count)
        began = time.monotonic()
        client = self.run_on(proxy.port, "-q", stdin=b"\n".join(lines) + b"\n", limit=60)
        trips = (time.monotonic() - began) / (2 * one_way)
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        print(f"{trips:.1f} round trips of time", end=" ", file=sys.stderr)
        self.assertLess(trips, scaled(20) * count / window)


class Examples(NumberedTest):
    """The manual's other clients, run twice: what the server has is not taken again."""

    FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "examples")

    def test_python(self):
        ledger = Ledger(window=5)
        peer = self.keeper(ledger)
        lines = self.lines(20)
        for part in (7, 20):
            done = subprocess.run(
                [sys.executable, os.path.join(self.FOLDER, "numbered.py"), "localhost",
                 str(peer.port), self.ca, "job"], input=b"\n".join(lines[:part]),
                capture_output=True, timeout=scaled(20), check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertTrue(done.stdout.endswith(texts.reply(lines[part - 1]) + b"\n"))
            self.assertEqual(ledger.bodies("job"), lines[:part])
        peer.abandon()

    def test_long_lines(self):
        """More than both ends and the kernel hold: who only sends would wait for ever."""
        server = self.server("--quiet")
        for words in ((sys.executable, os.path.join(self.FOLDER, "numbered.py"), "localhost",
                       str(server.port)),
                      (os.path.join(build_dir(), "tests", "example_bulk"),
                       f"localhost:{server.port}")):
            done = subprocess.run([*words, self.ca, "job-" + os.path.basename(words[0])],
                                  input=b"\n".join([b"x" * 60_000] * 400), capture_output=True,
                                  timeout=scaled(20), check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_bulk(self):
        ledger = Ledger(window=5)
        peer = self.keeper(ledger)
        lines = self.lines(20)
        for part in (7, 20):
            done = subprocess.run(
                [os.path.join(build_dir(), "tests", "example_bulk"), f"localhost:{peer.port}",
                 self.ca, "job"], input=b"\n".join(lines[:part]), capture_output=True,
                timeout=scaled(20), check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(done.stdout, b"%d answered\n" % part)
            self.assertEqual(ledger.bodies("job"), lines[:part])
        peer.abandon()


class Lost(NumberedTest):
    limit = harness.TEST_LIMIT * max(1, 97 // STRIDE)

    def test_cut_everywhere(self):
        """A connection that is cut after any byte, in order or by a reset, loses and doubles
        nothing."""
        lines = self.lines(5)
        ledger = Ledger()
        peer = self.keeper(ledger)
        proxy = self.proxy(peer.port)
        run = 0

        def one(*plan):
            nonlocal run
            run += 1
            name = f"run-{run}"
            if plan:
                proxy.plan(*plan)
            client = self.run_on(proxy.port, "-q", "--producer", name, "--retry", "20",
                                 stdin=b"\n".join(lines))
            self.assertEqual(client.stdout.bytes(), self.replies(lines), plan)
            self.assertEqual(ledger.bodies(name), lines, plan)

        one()
        total = dict(proxy.passed)
        for direction in ("up", "down"):
            for at in range(1, total[direction], STRIDE):
                for reset in (False, True) if STRIDE == 1 else (at % 2 == 0,):
                    one(direction, at, reset)
        peer.abandon()

    def test_killed_and_started_anew(self):
        """With the transcript alone: nothing is lost; what had no answer may stand there twice. Of a
        server that stops in order a client sees nothing, either."""
        server = self.server("--format", "json")
        port, shown = server.port, []
        lines, part = self.lines(12_000), 4_000
        client = self.start_client("--ca", self.ca, "-q", str(port))
        for at, number in ((0, signal.SIGKILL), (part, signal.SIGTERM)):
            client.write(b"".join(line + b"\n" for line in lines[at:at + part]))
            server.wait_line(b'"event":"message"', 300)
            server.signal(number)
            server.finish(0 if number == signal.SIGTERM else -number)
            shown += self.messages(server)
            server = self.keep(harness.Server("--format", "json",
                                              listen=(f"127.0.0.1:{port}",)))
            server.stderr.wait_for(b"listening on")
        client.write(b"".join(line + b"\n" for line in lines[2 * part:]))
        client.close_stdin()
        client.finish(0, 60)
        self.assertEqual(client.stdout.bytes(), self.replies(lines))
        self.assertIn(b"connecting again", client.stderr.bytes())
        server.stop(0)
        shown += self.messages(server)
        self.assertEqual(set(shown), {line.decode() for line in lines})
        # At most a window for each restart.
        self.assertLessEqual(len(shown), len(lines) + 2 * 256)

    @staticmethod
    def messages(server):
        """What a transcript shows; a last line may be cut by the server's end."""
        lines = server.transcript().split(b"\n")[:-1]
        return [json.loads(line)["message"] for line in lines if b'"event":"message"' in line]

    def test_without_retry(self):
        def handle(end):
            conversation = Conversation(end, Ledger(promise="none"))
            conversation.greet()
            for _ in range(3):
                conversation.answer(*conversation.message())
            for _ in range(6):
                conversation.message()
            end.drop()

        peer = self.numbered_peer(handle)
        with open(self.write_file("lines", b"\n".join(self.lines(9)) + b"\n"), "rb",
                  buffering=0) as file:
            client = self.start_client("--ca", self.ca, "-q", "--retry", "0", str(peer.port),
                                       stdin=file)
            client.finish(6)
            self.assertEqual(file.read(), b"".join(b"line %d\n" % n for n in range(4, 10)))
        said = client.stderr.bytes().decode().splitlines()
        self.assertIn("set back to line 4", said[-2])
        self.assertEqual(said[-1], PROGRAM + "9 messages: 3 answered, 6 without an answer "
                                             "(lines 4 to 9)")

    def test_gives_up(self):
        server = self.server("--quiet")
        client = self.start_client("--ca", self.ca, "-q", "--retry", "0.5", str(server.port))
        client.write(b"one\n")
        client.stdout.wait_for(b"one")
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        client.stderr.wait_for(b"connecting again when there is something to send")
        client.write(b"two\n")
        client.finish(6)
        self.assertIn(b"cannot connect", client.stderr.bytes())

    def test_the_first_connection(self):
        port = network.unused_port()
        client = self.run_on(port, "-q", "-m", "x", expect=3)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "cannot connect")
        client = self.start_client("--ca", self.ca, "-q", "-m", "x", "--retry", "20", str(port))
        client.stderr.wait_for(b"trying again")
        server = self.keep(harness.Server("--quiet", listen=(f"127.0.0.1:{port}",)))
        client.finish(0)
        server.stop(0)


class Producers(NumberedTest):
    def test_goes_on_where_the_server_is(self):
        ledger = Ledger()
        peer = self.keeper(ledger)
        lines = self.lines(30)
        stdin = b"\n\n".join(lines)  # empty lines have no number
        for part in (1, 10, 30):
            have = len(ledger.bodies("job"))
            client = self.run_on(peer.port, "-q", "--producer", "job",
                                 stdin=stdin[:stdin.find(b"line %d" % part)] + lines[part - 1])
            self.assertEqual(ledger.bodies("job"), lines[:part])
            self.assertEqual(client.stdout.bytes(), self.replies(lines[have:part]))
        client = self.run_on(peer.port, "-q", "--producer", "job", stdin=stdin)
        self.assertEqual(client.stdout.bytes(), b"")
        client = self.run_on(peer.port, "-q", "--producer", "job", stdin=b"line 1\n", expect=1)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "ends with message 1", "has 30")
        peer.finish()

    def test_another_input_is_found_out(self):
        def handle(end):
            conversation = Conversation(end, Ledger())
            conversation.greet(last=2)
            number, body = conversation.message()
            conversation.bye(412 if (number, body) == (2, b"B") else 400)

        peer = self.numbered_peer(handle)
        client = self.run_on(peer.port, "-q", "--producer", "job", stdin=b"a\nB\nc\n", expect=1)
        self.assertIn(b"BYE 412", client.stderr.bytes())
        peer.finish()

    def test_two_programs_under_one_name(self):
        if not os.path.exists(program("tlsmsg-store")[-1]):
            self.skipTest("this build has no store")
        server = self.server("--store", self.path("store.db"))
        first = self.start_client("--ca", self.ca, "-q", "--producer", "job", str(server.port))
        first.write(b"a\n")
        first.stdout.wait_for(b"\n")
        self.run_on(server.port, "-q", "--producer", "job", stdin=b"a\nb\n")
        first.finish(1)
        self.assertIn(b"taken over (BYE 409)", first.stderr.bytes())
        with sqlite3.connect(self.path("store.db")) as database:
            rows = database.execute("SELECT seq, body FROM message ORDER BY seq").fetchall()
        self.assertEqual(rows, [(1, b"a"), (2, b"b")])

    def test_needs_a_promise(self):
        peer = self.keeper(Ledger(promise="none"))
        client = self.run_on(peer.port, "-q", "--producer", "job", stdin=b"a\n", expect=3)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "promise=none", "--store")
        peer.abandon()

    def test_a_line_too_long_ends_it(self):
        ledger = Ledger(maximum=10)
        peer = self.keeper(ledger)
        client = self.run_on(peer.port, "-q", "--producer", "job", stdin=b"a\n12345678901\nb\n",
                             expect=1)
        self.assertIn(b"line 2", client.stderr.bytes())
        self.assertEqual(ledger.bodies("job"), [b"a"])
        peer.finish()


class Refusals(NumberedTest):
    def test_codes(self):
        rows = ((400, 6), (409, 1), (412, 1), (413, 1), (415, 6), (503, 6), (507, 6), (599, 6))
        for code, status in rows:
            with self.subTest(code):
                def handle(end, code=code):
                    conversation = Conversation(end, Ledger(promise="none"))
                    conversation.greet()
                    conversation.message()
                    conversation.bye(code)

                peer = self.numbered_peer(handle)
                client = self.run_on(peer.port, "-q", "--retry", "0.3", "-m", "x", expect=status)
                self.assertIn(b"because (BYE %d)" % code, client.stderr.bytes())
                self.assertEqual(b"again" in client.stderr.bytes(), code in (503, 507))
                peer.abandon()

    def test_a_server_without_it(self):
        server = self.tls_peer(self.answer)
        for words in (("--producer", "job"), ("--retry", "1"), ("--window", "2"),
                      ("-m", "x" * 16_001)):
            with self.subTest(words[0]):
                client = self.run_on(server.port, "-q", *words, stdin=b"a\n", expect=3)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, "does not speak tlsmsg/1")
        client = self.run_on(server.port, "-q", stdin=b"a\nb\n")
        self.assertEqual(client.stdout.bytes(), self.replies([b"a", b"b"]))
        server.finish()

    def test_a_server_that_refuses_the_offer(self):
        made = default_certificates()
        port = network.unused_port()
        server = self.keep(harness.Program(
            [self.tool("openssl"), "s_server", "-quiet", "-alpn", "h2", "-accept",
             f"127.0.0.1:{port}", "-cert", made.server, "-key", made.server_key],
            name="s_server"))
        for _ in range(100):
            client = self.start_client("--ca", self.ca, "-m", "x", str(port))
            status = client.wait()
            if b"refused" not in client.stderr.bytes():
                break
            time.sleep(0.05)
        self.assertEqual(status, 3)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "no application protocol",
                             "try: --document-flow")
        server.kill()

    def test_usage(self):
        rows = ((("--document-flow", "--producer", "a"), "--producer needs tlsmsg/1"),
                (("--document-flow", "--retry", "3"), "--retry needs tlsmsg/1"),
                (("--document-flow", "--window", "3"), "--window needs tlsmsg/1"),
                (("--producer", "a b"), "--producer wants"),
                (("--producer", "~a"), "made by the program itself"),
                (("--retry", "x"), "--retry wants seconds"),
                (("--window", "0"), "--window wants a number"))
        for words, says in rows:
            with self.subTest(words):
                client = self.run_client(*words, "1", expect=2)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, says)

    def test_probe_shows_the_flow(self):
        server = self.server("--format", "json")
        client = self.run_on(server.port, "--probe", "--format", "json")
        self.assertEqual(json.loads(client.stdout.bytes())["tls"]["protocol"], "tlsmsg/1")


if __name__ == "__main__":
    harness.main(plaintext=False)
