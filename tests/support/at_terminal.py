"""A client at a terminal, or with a peer of its build's kind: what such tests share.

A terminal here is a pseudo-terminal that controls the client, so that its keys become signals.
"""

import functools
import os
import pty
import subprocess
import termios

import kernel
import network
import texts
from processes import SANITIZER, Collector, Program
from settings import is_plaintext, program, scaled
from tls_client_test import ClientTest

PLAIN_ENVIRONMENT = {"TERM": "xterm", "NO_COLOR": ""}


@functools.cache
def can_edit():
    """Whether the build has line editing, by its own words."""
    done = subprocess.run([*program("tlsmsg-client"), "--help"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=scaled(20), check=True)
    return b"lines can be edited" in done.stdout


class AtTerminal:
    """A client whose stdin, stdout and stderr are one terminal, which it is controlled by."""

    def __init__(self, words, env):
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.slave = slave
        self.mode = termios.tcgetattr(slave)
        self.keys = os.dup(master)
        self.output = Collector(master, "terminal")
        self.program = Program(["setsid", "-c", "sh", "-c", 'exec "$@" 2>&1', "sh",
                                *program("tlsmsg-client"), *words], stdin=slave, stdout=slave,
                               env={**PLAIN_ENVIRONMENT, **env}, name="tlsmsg-client")

    def type(self, keys):
        os.write(self.keys, keys)

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def wait_raw(self):
        """The editor draws the prompt before it takes the terminal over."""
        kernel.wait_until(self.is_raw, "the terminal is the editor's")

    def wait_prompt(self):
        """The first prompt is there, and so is who reads what is typed."""
        self.wait_for(texts.prompt())
        if can_edit():
            self.wait_raw()

    def shown(self):
        """All that came on the screen so far, with "\\n" for line ends."""
        return self.output.bytes().replace(b"\r\n", b"\n")

    def wait_for(self, text, count=1):
        self.output.wait_until(
            lambda said: said.replace(b"\r\n", b"\n").count(text) >= count, f"{count} x {text!r}")

    def finish(self, expect):
        """The client's end, its exit status compared; what it was found with is what it left."""
        self.program.finish(expect)
        left = termios.tcgetattr(self.slave)
        if left != self.mode:
            raise AssertionError(f"the terminal's mode is {left}, was {self.mode}")
        self.close()
        said = self.output.finish().replace(b"\r\n", b"\n")
        if SANITIZER.search(said):
            raise AssertionError(said.decode("utf-8", "replace"))
        return said

    def close(self):
        self.program.kill()
        for descriptor in (self.slave, self.keys):
            if descriptor >= 0:
                os.close(descriptor)
        self.slave = self.keys = -1


class TerminalTest(ClientTest):
    """Words and peers that are the same in both builds."""

    def words(self, port, *options):
        trust = () if is_plaintext() else ("--ca", self.ca)
        return [*trust, *options, str(port)]

    def at_terminal(self, port, *options, env=None):
        terminal = AtTerminal(self.words(port, *options), env or {})
        self.addCleanup(terminal.close)
        return terminal

    def any_peer(self, handle):
        """A peer of the build's kind; handle(end) with receive, send and drop."""
        if is_plaintext():
            return self.peer(lambda sock: handle(PlainEnd(sock)))
        return self.tls_peer(handle)


class PlainEnd:
    """The server's end without TLS, with the names that tls.End has."""

    def __init__(self, sock):
        self.sock = sock

    def receive(self):
        return self.sock.recv(1024)

    def send(self, data):
        self.sock.sendall(data)

    def drop(self):
        self.sock.close()

    def reset(self):
        network.reset(self.sock)

    answer_close = drop
