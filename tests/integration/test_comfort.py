#!/usr/bin/env python3
"""What the client does for a person: facts of the connection on request, notices that leave the
prompt usable, words for why the server left, colour on terminals alone, and where the build has it
the editing of lines.

For both builds.
"""

import base64
import hashlib
import os
import re
import signal
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import network
import texts
import tls
from at_terminal import PLAIN_ENVIRONMENT, AtTerminal, TerminalTest, can_edit
from certificates import default_certificates
from processes import Program
from settings import is_plaintext, program, scaled
from tls_client_test import PROGRAM

PROMPT = texts.prompt()
SAYS = PROGRAM.encode()
NOT_ENCRYPTED = "plaintext, not encrypted"
LEFT, UP = b"\x1b[D", b"\x1b[A"
END, INTERRUPT = b"\x04", b"\x03"


class ComfortTest(TerminalTest):
    """Words that are the same in both builds."""

    def facts(self, port):
        """What is told of our server where it is no terminal, a pattern a line."""
        if is_plaintext():
            return [f"address: 127\\.0\\.0\\.1:{port}", f"transport: {NOT_ENCRYPTED}"]
        return [f"address: 127\\.0\\.0\\.1:{port}", "version: TLSv1\\.3", "cipher: TLS_[A-Z0-9_]+",
                "group: [A-Za-z0-9-]+", "resumed: no", "certificate: CN=localhost",
                "names: localhost, 127\\.0\\.0\\.1.*", "expires: \\d{4}-\\d\\d-\\d\\d, \\d+ days left",
                f"pin: {re.escape(self.pin())}"]

    @staticmethod
    def pin():
        """The pin of our server's certificate, made the way curl's manual does."""
        key = subprocess.run(["openssl", "x509", "-in", default_certificates().server, "-noout",
                              "-pubkey"], capture_output=True, timeout=scaled(20), check=True)
        body = b"".join(key.stdout.split(b"\n")[1:-2])
        digest = hashlib.sha256(base64.b64decode(body)).digest()
        return "sha256//" + base64.b64encode(digest).decode()

    @staticmethod
    def apart(said):
        """What stderr said, and its last line."""
        told, _, last = said.removesuffix(b"\n").rpartition(b"\n")
        return told + b"\n", last

    def assert_facts(self, said, port):
        """Each line whole, with the program's name, and nothing of a terminal's."""
        lines = said.decode().splitlines()
        wanted = self.facts(port)
        self.assertEqual(len(lines), len(wanted), said)
        for line, pattern in zip(lines, wanted):
            self.assertRegex(line, f"\\A{PROGRAM}{pattern}\\Z")


class Facts(ComfortTest):
    def test_not_without_being_asked(self):
        server = self.server()
        client = self.run_client(*self.words(server.port, "-m", "hello"))
        self.assert_quiet(client)

    def test_verbose(self):
        for words, stdin in ((("-v", "-m", "hello"), b""), (("--verbose",), b"hello\nexit\n"),
                             (("-qv",), b"hello\n")):
            with self.subTest(words=words):
                server = self.server()
                plain = ["-q"] if words == ("-qv",) else [one for one in words if "v" not in one]
                client = self.run_client(*self.words(server.port, *words), stdin=stdin)
                told, last = self.apart(client.stderr.bytes())
                self.assert_facts(told, server.port)
                self.assertEqual(last, SAYS + b"1 message: 1 answered")
                silent = self.server()
                self.assertEqual(
                    client.stdout.bytes(),
                    self.run_client(*self.words(silent.port, *plain), stdin=stdin).stdout.bytes())

    def test_styled_at_a_terminal(self):
        server = self.server()
        terminal = self.at_terminal(server.port, "-v", "-m", "hello")
        said, last = self.apart(terminal.finish(0))
        self.assertEqual(last, SAYS + b"1 message: 1 answered")
        said = said.decode()
        self.assertTrue(said.startswith(f"\x1b[1m127.0.0.1:{server.port}\x1b[0m\n"), said)
        if is_plaintext():
            self.assertIn(f"\n  transport    \x1b[33m{NOT_ENCRYPTED}\x1b[0m\n", said)
        else:
            self.assertIn("\n  version      TLSv1.3\n", said)
            self.assertIn(f"\n  pin          {self.pin()}\n", said)
        self.assertNotIn(PROGRAM, said)

    def test_no_style_where_it_is_not_wanted(self):
        for env in ({"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"TERM": "dumb"}):
            with self.subTest(env=env):
                server = self.server()
                said = self.at_terminal(server.port, "-vm", "hello", env=env).finish(0)
                self.assertNotIn(b"\x1b", said)
                told, _, rest = said.rpartition(b"\n" + texts.shown_reply(texts.reply(b"hello")))
                self.assertEqual(rest, SAYS + b"1 message: 1 answered\n")
                self.assert_facts(told, server.port)

    def test_verbose_and_probe(self):
        if is_plaintext():
            self.skipTest("the plaintext build has no --probe")
        client = self.run_client("-v", "--probe", "1", expect=2)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "--probe", "--verbose")


class Connected(ComfortTest):
    """One line at a terminal: that it is encrypted, to whom, and how that is known."""

    def first_line(self, server, *words, address=None, env=None):
        terminal = AtTerminal([*words, "-m", "hello", address or str(server.port)], env or {})
        self.addCleanup(terminal.close)
        said = terminal.finish(0).decode()
        line, _, rest = said.partition("\n")
        self.assertNotIn("connected to", rest)
        return line.removeprefix(PROGRAM)

    def test_how_it_is_verified(self):
        if is_plaintext():
            self.skipTest("plaintext says no more than the tutorial's client")
        server = self.server()
        known = ("--trust-on-first-use", "--known-servers", self.path("known"))
        record = "its key's record of first use"
        rows = ((("--ca", self.ca), self.ca), (("--pin", self.pin()), "its pin"),
                (("--pin", self.pin(), "--ca", self.ca), f"{self.ca} and its pin"),
                ((*known, "--accept-new"), record), (known, record))
        for words, witness in rows:
            with self.subTest(words):
                self.assertEqual(self.first_line(server, "--lang", "en", *words),
                                 f"connected to 127.0.0.1:{server.port}, encrypted with TLSv1.3, "
                                 f"verified by {witness}")
        self.assertEqual(
            self.first_line(server, "--lang", "en", env={"SSL_CERT_FILE": self.ca}),
            f"connected to 127.0.0.1:{server.port}, encrypted with TLSv1.3, "
            "verified by this system's CAs")

    def test_a_name_and_chinese(self):
        if is_plaintext():
            self.skipTest("plaintext says no more than the tutorial's client")
        server = self.server()
        address = f"localhost:{server.port}"
        self.assertEqual(self.first_line(server, "--ca", self.ca, address=address),
                         f"已连接 {address} (127.0.0.1:{server.port})，已加密：TLSv1.3，"
                         f"验证依据：{self.ca}")

    def test_where_it_is_not_said(self):
        server = self.server(*(("--accept", "0") if is_plaintext() else ()))
        for words in (("-q",), ("-v",)):
            with self.subTest(words):
                terminal = self.at_terminal(server.port, *words, "--lang", "en", "-m", "hello")
                self.assertNotIn(b"connected to", terminal.finish(0))


class Requests(ComfortTest):
    """SIGUSR1."""

    def told(self, client, port, count=1):
        last = self.facts(port)[-1].partition(":")[0].encode()
        client.stderr.wait_for(last + b": ", count)

    def test_at_the_prompt(self):
        server = self.server()
        client = self.start_client(*self.words(server.port))
        client.stdout.wait_for(PROMPT)
        client.signal(signal.SIGUSR1)
        self.told(client, server.port)
        client.write(b"hello\n")
        client.stdout.wait_for(PROMPT, 2)
        client.signal(signal.SIGUSR1)
        self.told(client, server.port, 2)
        client.write(b"exit\n")
        client.finish(0)
        self.assertEqual(client.stdout.bytes(),
                         PROMPT + texts.shown_reply(texts.reply(b"hello")) + PROMPT)
        told = client.stderr.bytes()
        self.assert_facts(told[:len(told) // 2], server.port)
        self.assert_facts(told[len(told) // 2:], server.port)

    def test_while_a_reply_is_due(self):
        asked, answered = threading.Event(), threading.Event()

        def handle(end):
            message = end.receive()
            asked.set()
            answered.wait(scaled(10))
            end.send(texts.reply(message))
            end.receive()
            end.answer_close()

        peer = self.any_peer(handle)
        client = self.start_client(*self.words(peer.port, "-m", "hello"))
        self.assertTrue(asked.wait(scaled(10)))
        client.signal(signal.SIGUSR1)
        self.told(client, peer.port)
        answered.set()
        client.finish(0)
        peer.finish()
        self.assertEqual(client.stdout.bytes(), texts.shown_reply(texts.reply(b"hello")))
        self.assert_facts(client.stderr.bytes(), peer.port)

    def test_while_connecting(self):
        """It doesn't end the client, and is answered as soon as there is something to tell."""
        if is_plaintext():
            self.skipTest("connecting is over at once in plaintext")
        connected, go_on = threading.Event(), threading.Event()
        made = default_certificates()
        context = tls.server_context(made.server, made.server_key)

        def handle(sock):
            connected.set()
            go_on.wait(scaled(10))
            self.answer(tls.accept(sock, context))

        peer = self.peer(handle)
        client = self.start_client(*self.words(peer.port))
        self.assertTrue(connected.wait(scaled(10)))
        client.signal(signal.SIGUSR1)
        go_on.set()
        self.told(client, peer.port)
        client.close_stdin()
        client.finish(0)
        self.assert_facts(client.stderr.bytes(), peer.port)

    def test_while_a_password_is_asked_for(self):
        """The terminal is without echo then: the signal waits, and takes no action of its own."""
        if is_plaintext():
            self.skipTest("there are no keys in plaintext")
        made = default_certificates()
        locked = self.path("locked.key")
        subprocess.run(["openssl", "pkey", "-in", made.server_key, "-aes256", "-passout",
                        "pass:s3cret", "-out", locked], check=True, timeout=scaled(20))
        server = self.server()
        terminal = self.at_terminal(server.port, "--cert", made.server, "--key", locked,
                                    env={"NO_COLOR": "1"})
        terminal.wait_for(b"Password of key '")
        kernel.wait_until(terminal.is_raw, "the terminal shows no password")
        terminal.program.signal(signal.SIGUSR1)
        terminal.type(b"s3cret\r")
        terminal.wait_for(PROMPT)
        terminal.wait_for(f"\n{PROGRAM}address: ".encode())
        terminal.type(b"exit\r" if can_edit() else b"exit\n")
        self.assertNotIn(b"s3cret", terminal.finish(0))

    def test_the_prompt_comes_back_at_a_terminal(self):
        server = self.server()
        terminal = self.at_terminal(server.port, env={"NO_COLOR": "1"})
        terminal.wait_for(PROMPT)
        terminal.program.signal(signal.SIGUSR1)
        first = f"\n{PROGRAM}address: ".encode()
        terminal.wait_for(first)
        last = self.facts(server.port)[-1].partition(":")[0].encode()
        terminal.output.wait_until(
            lambda said: said.rpartition(last)[2].endswith(b"\n" + PROMPT), "the prompt again")
        terminal.type(b"hello\n")
        terminal.wait_for(texts.shown_reply(texts.reply(b"hello")) + PROMPT)
        terminal.type(b"exit\n")
        self.assertNotIn(b"\n\n", terminal.finish(0))

    def test_the_prompt_comes_back_after_a_stop(self):
        """A shell has written below it meanwhile, as between Ctrl-Z and `fg`."""
        terminal = self.at_terminal(self.server().port)
        terminal.wait_for(PROMPT)
        terminal.program.signal(signal.SIGSTOP)
        terminal.program.signal(signal.SIGCONT)
        terminal.wait_for(PROMPT, 2)
        terminal.type(b"exit\r" if can_edit() else b"exit\n")
        terminal.finish(0)


class WhyItLeft(ComfortTest):
    """One line each, and no two causes with the same words."""

    CLOSED = "the server closed the"
    UNANSWERED = "the last message has no reply"

    def ways(self):
        if is_plaintext():
            return (("closed", lambda end: end.drop(), "closed the connection"),
                    ("reset", lambda end: end.reset(), "reset"))

        def closes(end):
            end.send_close_notify()
            end.sock.recv(4096)

        forged = b"\x17\x03\x03\x00\x20" + bytes(32)

        def alters(end):
            end.sock.sendall(forged)
            end.sock.recv(4096)

        def breaks_off(end):
            end.incoming.write(forged)
            try:
                end.receive()
            except ssl.SSLError:
                end.sock.recv(4096)

        return (("closed", closes, "closed the conversation (close_notify)"),
                ("truncated", lambda end: end.drop(), "dropped the connection (no close_notify)"),
                ("reset", lambda end: end.reset(), "reset"),
                ("altered", alters, "a record was altered on its way"),
                ("alert", breaks_off, "the server broke off (alert: bad record mac)"))

    def left(self, leave, due):
        leave_now = threading.Event()

        def handle(end):
            message = end.receive()
            if not due:
                end.send(texts.reply(message))
                leave_now.wait(scaled(10))
            leave(end)

        peer = self.any_peer(handle)
        client = self.start_client(*self.words(peer.port))
        client.write(b"hello\n")
        if not due:
            client.stdout.wait_for(PROMPT, 2)
            leave_now.set()
        client.finish(6)
        peer.abandon()
        return client.stderr.bytes(), peer.port

    def test_at_the_prompt_and_with_a_reply_due(self):
        for name, leave, words in self.ways():
            for due in (False, True):
                with self.subTest(name, due=due):
                    said, port = self.left(leave, due)
                    place = f"{self.UNANSWERED} (line 1)" if due else "; not sent from line 2"
                    self.assert_one_line(said, f"{PROGRAM}127.0.0.1:{port}: ", words)
                    self.assertEqual(self.UNANSWERED in said.decode(), due, said)
                    self.assertIn(place, said.decode())

    def test_the_other_kind_of_server(self):
        """Ours says nothing to who speaks the wrong language: the client names what it may be."""
        def gone(sock):
            sock.recv(4096)

        def reset(sock):
            sock.recv(1)
            network.reset(sock)

        for leave in (gone, reset):
            with self.subTest(leave.__name__):
                peer = self.peer(leave)
                client = self.run_client(*self.words(peer.port, "-m", "hello"),
                                         expect=6 if is_plaintext() else 3)
                peer.abandon()
                self.assert_one_line(client.stderr.bytes(), PROGRAM, (
                    "perhaps it speaks TLS, and this is the plaintext build" if is_plaintext() else
                    "perhaps it speaks plaintext, not TLS"))

    def test_an_alert_is_named(self):
        """A server that wants a certificate says so after the client's handshake (TLS 1.3)."""
        if is_plaintext():
            self.skipTest("alerts are TLS")
        made = default_certificates()

        def handle(sock):
            context = tls.server_context(made.server, made.server_key, client_ca=self.ca)
            try:
                tls.accept(sock, context)
            except ssl.SSLError:
                sock.recv(4096)

        peer = self.peer(handle)
        client = self.start_client(*self.words(peer.port))
        client.finish(5)
        peer.abandon()
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "alert", "--cert")

    def test_a_server_that_is_stopped(self):
        server = self.server()
        client = self.start_client(*self.words(server.port, *texts.DOCUMENT_FLOW))
        client.write(b"hello\n")
        client.stdout.wait_for(PROMPT, 2)
        server.stop(0)
        client.finish(6)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, self.CLOSED, "not sent from line 2",
                             "try: connect again")

    def test_the_notice_has_its_own_line_at_a_terminal(self):
        leave = threading.Event()

        def handle(end):
            end.send(texts.reply(end.receive()))
            leave.wait(scaled(10))
            end.drop()

        peer = self.any_peer(handle)
        terminal = self.at_terminal(peer.port)
        terminal.wait_for(PROMPT)
        terminal.type(b"hello\n")
        terminal.wait_for(PROMPT, 2)
        terminal.type(b"half typed")
        terminal.wait_for(PROMPT + b"half typed")
        leave.set()
        said = terminal.finish(6)
        peer.abandon()
        self.assertRegex(said.decode(), (
            f"{re.escape(PROMPT.decode())}half typed\n"
            f"{PROGRAM}127.0.0.1:{peer.port}: the server [^\n]*\n"
            f"{PROGRAM}1 message: 1 answered, not sent from line 2 \\(what was typed was "
            "discarded\\)\n\\Z"))


class Refusals(ComfortTest):
    def test_a_refused_line_at_the_prompt(self):
        terminal = self.at_terminal(self.server().port)
        terminal.wait_for(PROMPT)
        terminal.type(b"\xff\xfe\n")
        notice = b"\n" + SAYS + b"line 1 of stdin was not sent: it is not valid UTF-8\n" + PROMPT
        terminal.wait_for(notice)
        terminal.type(b"hello\n")
        terminal.wait_for(texts.shown_reply(texts.reply(b"hello")) + PROMPT)
        terminal.type(b"exit\n")
        self.assertNotIn(b"\n\n", terminal.finish(1))

    def test_lines_from_a_pipe_and_a_screen(self):
        """The prompt's line wasn't ended by anybody's Enter."""
        server = self.server()
        screen = harness.Terminal()
        words = ["sh", "-c", 'exec "$@" 2>&1', "sh", *program("tlsmsg-client"),
                 *self.words(server.port)]
        client = self.keep(Program(words, stdin=subprocess.PIPE, stdout=screen.slave,
                                   env=PLAIN_ENVIRONMENT, name="tlsmsg-client"))
        screen.close_slave()
        client.write(b"\xff\n")
        client.close_stdin()
        client.finish(1)
        said = screen.output.finish()
        if not is_plaintext():
            connected, said = said.split(b"\n", 1)
            self.assertTrue(connected.startswith(SAYS + "已连接 ".encode()), connected)
        self.assertEqual(said, PROMPT + b"\n" + SAYS
                         + b"line 1 of stdin was not sent: it is not valid UTF-8\n" + PROMPT
                         + (b"" if is_plaintext() else b"\n"))


class Editing(ComfortTest):
    """Only in a build with TLSMSG_EDITLINE."""

    def setUp(self):
        super().setUp()
        if not can_edit():
            self.skipTest("this build has no line editing (-DTLSMSG_EDITLINE=ON has it)")

    def at_prompt(self, *options, server=None, env=None):
        terminal = self.at_terminal((server or self.server()).port, *options, env=env)
        terminal.wait_for(PROMPT)
        terminal.wait_raw()
        return terminal

    def reply_to(self, terminal, message, count=1):
        terminal.wait_for(b"\n" + texts.shown_reply(texts.reply(message)) + PROMPT, count)
        terminal.wait_raw()

    def refused(self, terminal, why):
        terminal.wait_for(SAYS + b"line 1 of stdin was not sent: " + why + b"\n" + PROMPT)
        terminal.wait_raw()

    def test_insert_and_history(self):
        terminal = self.at_prompt()
        terminal.type(b"helo" + LEFT + b"l\r")
        self.reply_to(terminal, b"hello")
        terminal.type(UP + b"\r")
        self.reply_to(terminal, b"hello", 2)
        terminal.type(UP + b"!\r")
        self.reply_to(terminal, b"hello!")
        terminal.type(UP + UP + LEFT + "é".encode() + b"\r")
        self.reply_to(terminal, "hellé".encode() + b"o")
        terminal.type(b"exit\r")
        terminal.finish(0)

    def test_keys_in_the_forms_of_other_terminals(self):
        """TERM is often not quite the truth, as in tmux, and no terminal's description has Ctrl."""
        rows = ((b"bc\x1b[1~a\x1b[4~d", b"abcd"), (b"bc\x1b[Ha\x1b[Fd", b"abcd"),
                (b"bc\x1bOHa\x1bOFd", b"abcd"), (b"bc\x1b[7~a\x1b[8~d", b"abcd"),
                (b"xabc\x1b[1~\x1b[3~", b"abc"), (b"one two\x1b[1;5DX", b"one Xtwo"),
                (b"one two\x1b[1~\x1b[1;5CX", b"oneX two"))
        terminal = self.at_prompt(env={"TERM": "xterm"})
        for number, (keys, message) in enumerate(rows):
            terminal.type(keys + b"\r")
            self.reply_to(terminal, message, 1 + sum(found == message for _, found in rows[:number]))
        terminal.type(END)
        terminal.finish(0)

    def test_the_prompt_s_width(self):
        """Its characters take two columns each: 32 in all, and text begins in the next one."""
        terminal = self.at_prompt()
        terminal.type(b"bc" + LEFT + LEFT + b"a")
        terminal.output.wait_until(lambda said: re.search(rb"\x1b\[33Gabc\x08\x08\Z", said),
                                   "the line from column 33 on")
        terminal.type("\x01中".encode())
        terminal.output.wait_until(lambda said: said.endswith("\x1b[33G中abc\b\b\b".encode()),
                                   "a wide character before it")
        terminal.type(LEFT + b"\x1b[C" + b"\x7f\r")
        self.reply_to(terminal, b"abc")
        terminal.type(END)
        terminal.finish(0)

    def test_characters_in_pieces_and_lines_at_once(self):
        terminal = self.at_prompt()
        for byte in "中".encode():
            terminal.type(bytes([byte]))
        terminal.type(b"\rtwo\rthree\r")
        for message in ("中".encode(), b"two", b"three"):
            self.reply_to(terminal, message)
        terminal.type(b"a\tb\r")
        self.reply_to(terminal, b"a\\tb")
        terminal.type(b"exit\r")
        terminal.finish(0)

    def test_the_limit(self):
        if is_plaintext():
            self.skipTest("the limit is for TLS")
        terminal = self.at_prompt(*texts.DOCUMENT_FLOW)
        for _ in range(33):
            terminal.type(b"x" * 500)
        terminal.type(b"\r")
        self.refused(terminal, b"it is longer than 16000 bytes")
        terminal.type(b"hello\r")
        self.reply_to(terminal, b"hello")
        terminal.type(b"exit\r")
        terminal.finish(1)

    def test_a_notice_and_the_half_typed_line(self):
        terminal = self.at_prompt(env={"NO_COLOR": "1"})
        terminal.type(b"helo" + LEFT)
        terminal.output.wait_until(lambda said: said.endswith(b"helo\x08"), "the line")
        terminal.program.signal(signal.SIGUSR1)
        terminal.wait_for(b"\n" + SAYS + b"address: ")
        terminal.output.wait_until(lambda said: said.endswith(b"\n" + PROMPT + b"helo\x08"),
                                   "prompt, line and cursor again")
        terminal.type(b"l\r")
        self.reply_to(terminal, b"hello")
        terminal.type(b"exit\r")
        self.assertNotIn(b"\n\n", terminal.finish(0))

    def test_invalid_utf8(self):
        terminal = self.at_prompt()
        terminal.type(b"a\xff\r")
        self.refused(terminal, b"it is not valid UTF-8")
        terminal.type(UP + b"b\r")
        self.reply_to(terminal, b"b")  # what can't be sent is not remembered
        terminal.type(END)
        terminal.finish(1)

    def test_the_mode_after_the_end_of_input(self):
        terminal = self.at_prompt()
        terminal.type(b"half" + END)  # only an empty line ends the input
        terminal.wait_for(b"half")
        self.assertTrue(terminal.is_raw())
        terminal.type(b"\x15" + END)
        self.assertTrue(terminal.finish(0).endswith(b"\n"))

    def test_the_mode_after_the_server_s_end(self):
        server = self.server()
        terminal = self.at_prompt(*texts.DOCUMENT_FLOW, server=server)
        terminal.type(b"hello\r")
        self.reply_to(terminal, b"hello")  # the server has the conversation by now
        terminal.type(b"half" + LEFT + LEFT)
        terminal.output.wait_until(lambda said: said.endswith(b"half\x08\x08"), "the line")
        self.assertTrue(terminal.is_raw())
        server.stop(0)
        said = terminal.finish(6)
        self.assertRegex(said.decode(), (
            f"half\n{PROGRAM}127.0.0.1:\\d+: the server [^\n]*\n"
            f"{PROGRAM}1 message: 1 answered, not sent from line 2 \\(what was typed was "
            "discarded\\)\n\\Z"))

    def test_the_mode_after_signals(self):
        for keys, number in ((INTERRUPT, signal.SIGINT), (b"\x1c", signal.SIGQUIT),
                             (b"", signal.SIGTERM), (b"", signal.SIGHUP), (b"", signal.SIGUSR2),
                             (b"", signal.SIGALRM)):
            with self.subTest(number.name):
                terminal = self.at_prompt()
                terminal.type(b"half")
                terminal.wait_for(PROMPT + b"half")
                self.assertTrue(terminal.is_raw())
                terminal.type(keys) if keys else terminal.program.signal(number)
                self.assertTrue(terminal.finish(-number).endswith(b"half\n"))

    def test_within_a_search(self):
        """libedit waits for a key within it, and the server is watched there too."""
        server = self.server()
        terminal = self.at_prompt(*texts.DOCUMENT_FLOW, server=server)
        terminal.type(b"\x12q")
        terminal.wait_for(b"bck:")
        server.stop(0)
        terminal.finish(6)

    def test_not_without_a_terminal_or_on_a_dumb_one(self):
        terminal = self.at_terminal(self.server().port, env={"TERM": "dumb"})
        terminal.wait_for(PROMPT)
        self.assertFalse(terminal.is_raw())
        terminal.type(b"exit\n")
        said = terminal.finish(0)
        if not is_plaintext():
            said = said.partition(b"\n")[2]  # that it is connected
        self.assertEqual(said, PROMPT + b"exit\n")

    def test_quiet(self):
        terminal = self.at_terminal(self.server().port, "-q")
        terminal.wait_raw()
        terminal.type(b"helo" + LEFT + b"l\r")
        terminal.wait_for(b"\n" + texts.reply(b"hello") + b"\n")
        terminal.wait_raw()
        terminal.type(END)
        self.assertNotIn(PROMPT, terminal.finish(0))


if __name__ == "__main__":
    harness.main()
