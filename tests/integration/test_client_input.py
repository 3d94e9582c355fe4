#!/usr/bin/env python3
"""Input that the client did not send is never lost silently: what is said of it, where a file stands
afterwards, and that no shell runs what was typed for the server.

For both builds.
"""

import os
import pty
import re
import select
import sys
import termios
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import texts
from at_terminal import PLAIN_ENVIRONMENT, TerminalTest, can_edit
from processes import Collector, Program
from settings import is_plaintext, program, scaled
from tls_client_test import PROGRAM

PROMPT = texts.prompt()
DISCARDED = " (what was typed was discarded)"


class InputTest(TerminalTest):
    def leaves_after(self, count, due):
        """A peer that answers count messages and leaves, before another came or with it unanswered."""
        def handle(end):
            for _ in range(count):
                end.send(texts.reply(end.receive()))
            if due:
                end.receive()
            end.drop()

        return self.any_peer(handle)

    def last_line(self, said):
        """The last of several lines, without the program's name."""
        lines = said.decode().splitlines()
        self.assertGreater(len(lines), 1, said)
        self.assertTrue(lines[-1].startswith(PROGRAM), said)
        return lines[-1].removeprefix(PROGRAM)

    def run_on_file(self, peer, data, start=0, options=("-q",), expect=6):
        """Runs the client on a file from `start` on; what it said last, and what of the file is left
        for who reads the same descriptor next."""
        with open(self.write_file("lines", data), "rb", buffering=0) as file:
            file.seek(start)
            client = self.start_client(*self.words(peer.port, *options), stdin=file)
            client.finish(expect)
            return client, file.read()


class Unsent(InputTest):
    LINES = b"".join(b"%d\n" % number for number in range(1, 1001))

    def test_a_file(self):
        peer = self.leaves_after(18, due=True)
        client, rest = self.run_on_file(peer, self.LINES)
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "1,000 messages: 18 answered, 1 without an answer (line 19), "
                         "981 not sent (from line 20)")
        self.assertEqual(client.stdout.bytes().count(b"\n"), 18)
        self.assertTrue(rest.startswith(b"20\n") and rest.endswith(b"1000\n"), rest[:20])

    def test_a_file_s_lines_of_each_kind(self):
        """Numbers count lines as an editor does; empty ones and those that can't be sent are none
        that was lost."""
        lines = b"one\n\n\xff\ntwo\n\n\nthree\n\nfour"
        rows = ((1, b"\n\nthree\n\nfour", "5 messages: 1 answered, 1 without an answer (line 4), "
                                         "1 refused, 2 not sent (from line 5)"),
                (2, b"\nfour", "5 messages: 2 answered, 1 without an answer (line 7), "
                               "1 refused, 1 not sent (from line 8)"))
        for answered, left, says in rows:
            with self.subTest(says):
                client, rest = self.run_on_file(self.leaves_after(answered, due=True), lines)
                self.assertEqual(self.last_line(client.stderr.bytes()), says)
                self.assertEqual(rest, left)

    def test_a_file_from_its_middle(self):
        """Who has read the begin of a file, as a shell's read does, leaves the rest to us."""
        client, rest = self.run_on_file(self.leaves_after(1, due=True), b"head\none\ntwo\nthree\n", 5)
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "3 messages: 1 answered, 1 without an answer (line 2), "
                         "1 not sent (from line 3)")
        self.assertEqual(rest, b"three\n")

    def test_a_server_that_has_left_gets_nothing(self):
        """Its end came with the last reply: the next line is not sent, and not lost."""
        if is_plaintext():
            self.skipTest("only close_notify comes within one record with a reply")

        def handle(end):
            end.queue(texts.reply(end.receive()))
            end.queue_close_notify()
            end.flush()
            end.sock.recv(4096)

        client, rest = self.run_on_file(self.tls_peer(handle), b"one\ntwo\nthree\n")
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "3 messages: 1 answered, 2 not sent (from line 2)")
        self.assertEqual(rest, b"two\nthree\n")

    def test_a_pipe(self):
        peer = self.leaves_after(18, due=True)
        client = self.run_client(*self.words(peer.port, "-q"), stdin=self.LINES, expect=6)
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "19 messages: 18 answered, 1 without an answer (line 19), "
                         "not sent from line 20")

    def test_a_pipe_at_its_end(self):
        peer = self.leaves_after(1, due=True)
        client = self.start_client(*self.words(peer.port, "-q"))
        client.write(b"one\ntwo\n")
        client.close_stdin()
        client.finish(6)
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "has no reply (line 2)")
        self.assertNotIn(b"not sent", client.stderr.bytes())

    def test_a_pipe_whose_writer_stays(self):
        peer = self.leaves_after(1, due=True)
        client = self.start_client(*self.words(peer.port, "-q"))
        client.write(b"one\ntwo\n")
        client.finish(6)
        self.assert_one_line(client.stderr.bytes(), PROGRAM,
                             "has no reply (line 2); not sent from line 3")

    def test_given_messages(self):
        peer = self.leaves_after(1, due=True)
        client = self.run_client(*self.words(peer.port, "-m", "a", "-m", "b", "-m", "c", "-m", "d"),
                                 expect=6)
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "4 messages: 1 answered, 1 without an answer (message 2), "
                         "2 not sent (from message 3)")

    def test_the_last_given_message(self):
        for messages, place in ((("a", "b"), "has no reply (message 2)"), (("a",), "has no reply")):
            with self.subTest(messages):
                peer = self.leaves_after(len(messages) - 1, due=True)
                words = [word for message in messages for word in ("-m", message)]
                client = self.run_client(*self.words(peer.port, *words), expect=6)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, place)

    def test_stdout_gone(self):
        """What was answered was taken, although nobody could be shown the reply."""
        with open("/dev/full", "wb") as full, \
                open(self.write_file("lines", b"one\ntwo\nthree\n"), "rb", buffering=0) as file:
            client = self.start_client(*self.words(self.server().port, *texts.DOCUMENT_FLOW, "-q"),
                                       stdin=file, stdout=full)
            client.finish(1)
            self.assertEqual(file.read(), b"two\nthree\n")
        self.assertEqual(self.last_line(client.stderr.bytes()),
                         "3 messages: 1 answered, 2 not sent (from line 2)")

    def test_nothing_left(self):
        """A file that was sent to its end stays there, and nothing is said."""
        client, rest = self.run_on_file(self.server(), b"one\ntwo\n", expect=0)
        self.assertEqual(rest, b"")
        self.assert_quiet(client)

    def test_verbose_says_it_in_any_case(self):
        client, _ = self.run_on_file(self.server(), b"one\n\ntwo\n", options=("-qv",), expect=0)
        self.assertEqual(self.last_line(client.stderr.bytes()), "2 messages: 2 answered")


class Exit(InputTest):
    SAID = ("'exit' on line 2 ended the conversation: {}; try: -q, with which it is a message\n")

    def test_in_a_file(self):
        client, rest = self.run_on_file(self.server(), b"one\nexit\n\nthree\nfour\n", options=(),
                                        expect=0)
        self.assertEqual(rest, b"\nthree\nfour\n")
        says = "" if is_plaintext() else PROGRAM + self.SAID.format("2 not sent (from line 3)")
        self.assertEqual(client.stderr.bytes().decode(), says)

    def test_in_a_pipe(self):
        client = self.run_client(*self.words(self.server().port), stdin=b"one\nexit\nthree\n")
        says = "" if is_plaintext() else PROGRAM + self.SAID.format("not sent from line 3")
        self.assertEqual(client.stderr.bytes().decode(), says)

    def test_as_the_last_line(self):
        for stdin in (b"one\nexit\n", b"one\nexit"):
            with self.subTest(stdin):
                client = self.run_client(*self.words(self.server().port), stdin=stdin)
                self.assert_quiet(client)
                client, rest = self.run_on_file(self.server(), stdin, options=(), expect=0)
                self.assert_quiet(client)
                self.assertEqual(rest, b"")

    def test_quiet(self):
        """For scripts it is a line of their data."""
        client = self.run_client(*self.words(self.server().port, "-q"),
                                 stdin=b"first\nexit\nthird\nfourth\n")
        answered = [b"first"] if is_plaintext() else [b"first", b"exit", b"third", b"fourth"]
        self.assertEqual(client.stdout.bytes(),
                         b"".join(texts.reply(line) + b"\n" for line in answered))
        said = client.stderr.bytes().decode()
        self.assertEqual(said, PROGRAM + "'exit' on line 2 ended the conversation: "
                               "not sent from line 3\n" if is_plaintext() else "")


class AtATerminal(InputTest):
    """The end of a conversation, and what the keyboard or a paste has brought by then."""

    def test_the_prompt_s_line_ends_with_the_input(self):
        terminal = self.at_terminal(self.server().port)
        terminal.wait_prompt()
        terminal.type(b"\x04")
        self.assertRegex(terminal.finish(0), re.escape(PROMPT) + rb"[^\n]*\n\Z")

    def test_a_line_that_the_terminal_may_have_cut(self):
        if can_edit():
            self.skipTest("an editor takes lines of any length")
        for size in (4095, 5000):
            with self.subTest(size):
                terminal = self.at_terminal(self.server().port)
                terminal.wait_for(PROMPT)
                mode = termios.tcgetattr(terminal.slave)
                mode[3] &= ~termios.ECHO  # the kernel's echo of a long line can be cut, too
                termios.tcsetattr(terminal.slave, termios.TCSANOW, mode)
                terminal.mode = mode
                terminal.type(b"A" * size + b"\n")
                terminal.wait_for(b"line 1 of stdin was not sent: the terminal may have cut it")
                terminal.type(b"A" * 4094 + b"\n")
                terminal.wait_for(texts.reply(b"A" * 800))
                terminal.type(b"exit\n")
                self.assertEqual(terminal.finish(1).count(b"was not sent"), 1)

    def test_a_line_of_4095_bytes_from_a_file_is_sent(self):
        client, _ = self.run_on_file(self.server(), b"A" * 4095 + b"\n", expect=0)
        self.assert_quiet(client)

    def test_typed_while_it_could_not_connect(self):
        """A peer that lets the client wait, and goes without a handshake."""
        if is_plaintext():
            self.skipTest("connecting is over at once in plaintext")
        asked, go = threading.Event(), threading.Event()

        def handle(sock):
            sock.recv(4096)
            asked.set()
            go.wait(scaled(10))

        peer = self.peer(handle)
        terminal = self.at_terminal(peer.port)
        self.assertTrue(asked.wait(scaled(10)))
        terminal.type(b"rm -rf precious\n")
        terminal.wait_for(b"precious")  # the kernel's echo: it has come
        go.set()
        said = terminal.finish(3).decode()
        self.assertTrue(said.endswith(f"{PROGRAM}nothing was sent{DISCARDED}\n"), said)

    def test_messages_given_leave_the_keyboard_alone(self):
        """Who types while -m goes on types for the shell."""
        peer = self.leaves_after(0, due=True)
        terminal = self.at_terminal(peer.port, "-m", "hello")
        terminal.type(b"next command\n")
        terminal.wait_for(b"next command")
        terminal.program.finish(6)
        kernel.wait_until(lambda: select.select([terminal.slave], [], [], 0)[0],
                          "the line is still there")
        self.assertEqual(os.read(terminal.slave, 100), b"next command\n")


class BeforeAShell(InputTest):
    """The client as a job of bash, which gets the terminal back."""

    READY = b"READY> "

    def setUp(self):
        super().setUp()
        self.tool("bash")
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 200))
        self.keys = os.dup(master)
        self.addCleanup(os.close, self.keys)
        self.screen = Collector(master, "terminal")
        self.shell = self.keep(Program(
            ["setsid", "-c", "sh", "-c", 'exec "$@" 2>&1', "sh", "bash", "--norc", "--noprofile",
             "--noediting", "-i"], stdin=slave, stdout=slave,
            env={**PLAIN_ENVIRONMENT, "PS1": self.READY.decode(), "HISTFILE": ""}, name="bash"))
        os.close(slave)
        self.screen.wait_for(self.READY)

    def type(self, keys):
        view = memoryview(keys)
        while view:
            view = view[os.write(self.keys, view):]

    def run_client_here(self, port):
        words = " ".join([*program("tlsmsg-client"), *self.words(port)])
        self.type(words.encode() + b"\n")
        self.screen.wait_for(PROMPT)

    def leave(self):
        """Has the shell do one thing more, and end."""
        self.type(b"echo END-$((40+2))\n")
        self.screen.wait_for(b"END-42")
        said = self.screen.bytes()
        self.type(b"exit 0\n")
        self.shell.finish(0)
        return said

    def paste(self, first, count=1000):
        """Commands whose output differs from their text, so that the echo is told apart."""
        self.type(b"".join(b"echo RAN-$((%d+%d))\n" % (1000, number)
                           for number in range(first, first + count)))

    def pasted(self, answered, drop):
        """A paste of 1,000 lines, of which the server answers some and leaves."""
        def handle(end):
            for _ in range(answered):
                end.send(texts.reply(end.receive()))
            drop(end)

        peer = self.any_peer(handle)
        self.run_client_here(peer.port)
        # Not from this thread alone: the kernel takes a paste in portions, as it is read.
        writer = threading.Thread(target=self.paste, args=(0,))
        writer.start()
        self.screen.wait_for(self.READY, 2)
        writer.join(scaled(10))
        self.assertFalse(writer.is_alive())
        said = self.leave()
        self.assertEqual(re.findall(rb"^RAN-\d+", said, re.M), [])
        # Whether the next line was on its way when the server left is chance.
        self.assertRegex(said.decode(), f"not sent from line ({answered + 1}|{answered + 2})"
                                        + re.escape(DISCARDED))

    def test_a_paste_and_a_server_that_leaves(self):
        self.pasted(30, lambda end: end.drop())

    def test_a_paste_and_a_server_that_leaves_at_once(self):
        self.pasted(0, lambda end: end.drop())

    def test_the_prompt_after_a_stop(self):
        self.run_client_here(self.server().port)
        self.type(b"\x1a")
        self.screen.wait_for(self.READY, 2)
        before = self.screen.bytes().count(PROMPT)
        self.type(b"fg\n")
        self.screen.wait_for(PROMPT, before + 1)
        self.type(b"hello\n")
        self.screen.wait_for(texts.reply(b"hello"))
        self.screen.wait_for(PROMPT, before + 2)
        self.type(b"\x04")
        self.screen.wait_for(self.READY, 3)
        said = self.leave()
        self.assertEqual(said.count(PROMPT), before + 2)
        self.assertNotIn(PROMPT + self.READY, said)


if __name__ == "__main__":
    harness.main()
