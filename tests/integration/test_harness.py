#!/usr/bin/env python3
"""The integration tests' own tools, held against openssl and plain Python: needs no program of
the project. A tool that cannot see a fault proves nothing.
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import kernel
import network
import texts
import tls
from document_cases import CASES, LONG_CASES, Case, conversation
from harness import ProgramTest, Terminal, WatchdogExpired
from processes import Program
from s_client import SClient
from settings import scaled


def python(code, **how):
    return Program([sys.executable, "-B", "-c", code], name="python", **how)


class Processes(ProgramTest):
    def test_exit_status_is_compared(self):
        python("").finish(0)
        with self.assertRaisesRegex(AssertionError, "ended with 3, not 0"):
            python("import sys; sys.exit(3)").finish(0)
        with self.assertRaisesRegex(AssertionError, "ended with 0, not 3"):
            python("").finish(3)
        with self.assertRaisesRegex(AssertionError, "ended with -9, not 0"):
            python("import os; os.kill(os.getpid(), 9)").finish(0)

    def test_sanitizers_fail_whatever_the_status(self):
        for report in ("ERROR: AddressSanitizer: heap-buffer-overflow",
                       "ERROR: LeakSanitizer: detected memory leaks",
                       "WARNING: ThreadSanitizer: data race",
                       "x.c:3:5: runtime error: signed integer overflow",
                       "==4711== Invalid read of size 8"):
            running = python(f"import sys; print({report!r}, file=sys.stderr); sys.exit(1)")
            with self.assertRaisesRegex(AssertionError, "sanitizer"):
                running.finish(1)

    def test_a_hung_program_fails_and_is_ended(self):
        running = python("import time; time.sleep(1000)")
        with self.assertRaisesRegex(AssertionError, "still running"):
            running.finish(0, limit=0.2)
        self.assertEqual(running.process.returncode, -signal.SIGKILL)

    def test_waiting_for_text(self):
        running = python("import time; print('one', flush=True); time.sleep(1000)")
        running.stdout.wait_for(b"one\n")
        with self.assertRaisesRegex(AssertionError, "without 2 x"):
            running.stdout.wait_for(b"one\n", 2, limit=0.2)
        running.kill()
        with self.assertRaisesRegex(AssertionError, "ended without"):
            running.stdout.wait_for(b"two")

    def test_stdin_and_signals(self):
        running = python("print(input(), flush=True); import time; time.sleep(1000)",
                         stdin=subprocess.PIPE)
        running.write("你好\n".encode())
        running.stdout.wait_for("你好\n".encode())
        running.stop(-signal.SIGTERM)

    def test_one_line(self):
        self.assert_one_line(b"x: cannot read 'y'\n", "x: ", "'y'", ("write", "READ"))
        for said in (b"", b"x: no end", b"x: two\nlines\n", b"y: other\n", b"x: \n", b"x: z\n"):
            with self.subTest(said), self.assertRaises(AssertionError):
                self.assert_one_line(said, "x: ", "'y'")

    def test_watchdog(self):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        stderr, sys.stderr = sys.stderr, sys.__stderr__
        try:
            with open(os.devnull, "w", encoding="utf-8") as quiet:
                sys.stderr = quiet
                with self.assertRaises(WatchdogExpired):
                    time.sleep(scaled(20))
        finally:
            sys.stderr = stderr

    def test_terminal(self):
        terminal = Terminal()
        running = python("import sys; assert sys.stdout.isatty(); print('a\\nb')",
                         stdout=terminal.slave)
        terminal.close_slave()
        running.finish(0)
        self.assertEqual(terminal.output.finish(), b"a\nb\n")


class Kernel(ProgramTest):
    def pair(self):
        with network.listen() as listener:
            near = network.connect(listener.getsockname()[1])
            far, _ = listener.accept()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        return near, far

    def both_ways(self):
        """By netlink where that is there, and by /proc."""
        yield kernel.find
        asked = kernel._can_ask()
        kernel._can_ask.cache_clear()
        original, kernel._can_ask = kernel._can_ask, lambda: False
        try:
            if asked:
                yield kernel.find
        finally:
            kernel._can_ask = original

    def test_unread_bytes(self):
        near, far = self.pair()
        kernel.wait_read_by_peer(near)
        near.sendall(b"x" * 100)
        for find in self.both_ways():
            found = find(far.getsockname(), far.getpeername())
            self.assertEqual((found.state, found.unread), (kernel.ESTABLISHED, 100))
            with self.assertRaises(AssertionError):
                kernel.wait_read_by_peer(near, limit=0.05)
        self.assertEqual(network.receive_exactly(far, 100), b"x" * 100)
        kernel.wait_read_by_peer(near)
        kernel.wait_read_by_server(far.getsockname()[1])

    def test_listening(self):
        with network.listen() as listener:
            port = listener.getsockname()[1]
            for _ in self.both_ways():
                self.assertTrue(kernel.is_listening(port))
            self.assertIn(port, kernel.listening_ports(os.getpid()))
        for _ in self.both_ways():
            self.assertFalse(kernel.is_listening(port))
        kernel.wait_not_listening(port)

    def test_how_a_connection_ended(self):
        near, far = self.pair()
        far.shutdown(socket.SHUT_WR)
        near.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(near), b"")
        near, far = self.pair()
        network.reset(far)
        self.assertNotEqual(kernel.wait_closed(near), 0)
        near, far = self.pair()
        network.reset(far)
        with self.assertRaises(ConnectionResetError):
            network.receive_all(near)

    def test_recorder(self):
        peer = self.peer(lambda sock: (sock.sendall(b"re: " + sock.recv(100)), sock.recv(1)))
        recorder = self.recorder(peer.port)
        with network.connect(recorder.port) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(network.receive_all(sock), b"re: hello")
        self.assertEqual(recorder.finish(), (b"hello", b"re: hello"))

    def test_a_failing_handler_fails_the_test(self):
        def handle(_sock):
            raise ValueError("handler")

        peer = self.peer(handle)
        network.connect(peer.port).close()
        kernel.wait_until(lambda: peer.errors, "the handler ran")
        with self.assertRaisesRegex(ValueError, "handler"):
            peer.finish()


class Tls(ProgramTest):
    VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

    def setUp(self):
        super().setUp()
        self.leaf = certificates.leaf("harness", "good")
        self.ca = certificates.authority("harness").ca

    def tls_peer(self, handle, **how):
        context = tls.server_context(self.leaf.certificate, self.leaf.key, **how)
        return self.peer(lambda sock: handle(tls.accept(sock, context)))

    def connect(self, peer, version=None):
        end = tls.connect(peer.port, tls.client_context(self.ca, minimum=version,
                                                        maximum=version))
        self.addCleanup(end.sock.close)
        return end

    def test_a_send_is_a_record_for_each_part(self):
        got = []

        def handle(end):
            while data := end.receive():
                got.append(data)
            end.answer_close()

        for version in self.VERSIONS:
            got.clear()
            peer = self.tls_peer(handle)
            end = self.connect(peer, version)
            end.send(b"one", b"two", b"x" * tls.RECORD)
            self.assertEqual(end.close(), b"")
            peer.finish()
            self.assertEqual(got, [b"one", b"two", b"x" * tls.RECORD])

    def test_ends_are_told_apart(self):
        """close_notify, a bare end of file and a reset must not look alike, from either end."""
        rows = (("close_notify", lambda end: end.close(), None),
                ("bare end of file", lambda end: end.drop(), ssl.SSLError),
                ("reset", lambda end: end.reset(), ConnectionResetError))
        for version in self.VERSIONS:
            for name, leave, error in rows:
                with self.subTest(name, version=version.name):
                    seen = []

                    def handle(end, seen=seen):
                        end.send(b"hello")
                        try:
                            seen.append(end.receive())
                            end.answer_close()
                        except OSError as caught:
                            seen.append(type(caught))

                    peer = self.tls_peer(handle)
                    end = self.connect(peer, version)
                    self.assertEqual(end.receive(), b"hello")
                    leave(end)
                    peer.finish()
                    if error is None:
                        self.assertEqual(seen, [b""])
                    else:
                        self.assertTrue(issubclass(seen[0], error), seen)

    def test_data_or_a_reset_after_close_notify_is_seen(self):
        def trailing(end):
            end.queue_close_notify()
            end.sock.sendall(end.outgoing.read() + b"more")
            end.sock.shutdown(socket.SHUT_WR)
            network.receive_all(end.sock)

        peer = self.tls_peer(trailing)
        end = self.connect(peer)
        self.assertEqual(end.receive(), b"")
        with self.assertRaises(AssertionError):
            end.expect_end_of_file()

    def test_s_client_verifies(self):
        def answer(end):
            while data := end.receive():
                end.send(texts.reply(data))
            end.answer_close()

        for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            client = self.keep(SClient(self.tls_peer(answer).port, option, ca=self.ca))
            client.say(b"hello\n")
            client.leave()
            self.assertEqual(client.version_and_cipher[:2], ("New", version))
            self.assertIsNone(client.alert())
        stranger = certificates.authority("harness strangers").ca
        client = self.keep(SClient(self.tls_peer(answer).port, ca=stranger))
        self.assertNotEqual(client.wait(), 0)

    def test_s_client_told_the_server_s_alert(self):
        def refuse(sock):
            with self.assertRaises(ssl.SSLError):
                tls.accept(sock, tls.server_context(self.leaf.certificate, self.leaf.key,
                                                    minimum=ssl.TLSVersion.TLSv1_3))

        client = self.keep(SClient(self.peer(refuse).port, "-tls1_2", ca=self.ca))
        self.assertNotEqual(client.wait(), 0)
        self.assertEqual(client.alert(), 70)

    def test_certificates_are_what_they_say(self):
        for dates, word in (("valid", None), ("expired", "expired"),
                            ("not yet valid", "not yet valid")):
            leaf = certificates.leaf("harness", dates, dates=dates)
            done = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", self.ca,
                                   leaf.certificate], capture_output=True, check=False,
                                  timeout=scaled(20))
            self.assertEqual(done.returncode == 0, word is None, done.stderr)
            if word:
                self.assertIn(word, done.stderr.decode())


class Texts(unittest.TestCase):
    def test_escapes(self):
        rows = (("plain 你好 😀", b"plain \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80"),
                ("\x1b[0m\0\x7f", b"\\x1b[0m\\x00\\x7f"), ("\n\r\t", b"\\n\\r\\t"),
                ("\u0080\u009f\u00a0", b"\\u0080\\u009f\xc2\xa0"),
                ("\u2028\u2029\u202e", b"\\u2028\\u2029\\u202e"), ("a\\nb", b"a\\nb"))
        for text, expected in rows:
            self.assertEqual(texts.escaped(text.encode()), expected)
        self.assertEqual(texts.transcript_form(b"a\r\n"), b"a")
        self.assertEqual(texts.transcript_form(b"a\n\n"), b"a\\n")
        self.assertEqual(texts.transcript_form(b"a\n\r"), b"a\\n\\r")
        self.assertEqual(texts.lower_escapes(b"\\x1B \\u202E \\n"), b"\\x1b \\u202e \\n")

    def test_golden_of_a_case(self):
        golden = conversation(Case("x", (b"a\n", b"\nexit\n", b"b\n")))
        self.assertEqual(golden.to_server, b"aexit")
        self.assertEqual(golden.messages, (b"a", b"exit"))
        self.assertEqual(golden.to_client, texts.reply(b"a") + texts.reply(b"exit"))
        prompt = texts.prompt()
        self.assertEqual(golden.client,
                         prompt + texts.shown_reply(texts.reply(b"a")) + prompt + prompt)
        self.assertEqual(len(texts.REPLY), 36)

    def test_long_cases_show_one_receive(self):
        for case in LONG_CASES:
            golden = conversation(case)
            shown = golden.client.split(texts.prompt())[1]
            self.assertEqual(len(shown), len(texts.shown_reply(b"")) + 1024, case.name)

    def test_case_names_are_unique(self):
        names = [case.name for case in (*CASES, *LONG_CASES)]
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
