"""The base of all integration tests: start the two programs, watch over them, end them.

Each test has a watchdog; whatever it leaves running is ended by pid and, for a server that nobody
stopped, stopped with SIGTERM and its exit status compared. Files end with main().
"""

import contextlib
import faulthandler
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import unittest

import settings
from certificates import default_certificates
from network import Peer, Recorder, has_ipv6, hold_port, unused_port
from processes import Collector, Program, kill_all
from settings import is_plaintext, program, scaled

TEST_LIMIT = 60
LISTENING = re.compile(rb"^tlsmsg-server: listening on (.*):(\d+)$", re.MULTILINE)


class WatchdogExpired(Exception):
    pass


def _expired(_signal, _frame):
    faulthandler.dump_traceback(all_threads=True)
    raise WatchdogExpired(f"the test took longer than {scaled(TEST_LIMIT):g} s")


def _give_up():
    """The last resort, should even the exception find no way out."""
    faulthandler.dump_traceback(all_threads=True)
    kill_all()
    os._exit(70)


class Server(Program):
    """A tlsmsg-server on a free port of 127.0.0.1, ready for clients when the constructor returns.

    stdout: None collects it; a path writes it there; a descriptor or file is handed on.
    """

    def __init__(self, *options, listen=("127.0.0.1:0",), certificate=True, stdout=None, env=None,
                 cwd=None, stdin=subprocess.DEVNULL):
        words = program("tlsmsg-server")
        for address in listen:
            words += ["--listen", address]
        if certificate and not is_plaintext():
            made = default_certificates()
            words += ["--cert", made.server, "--key", made.server_key]
        words += options
        self.path = None
        with contextlib.ExitStack() as opened:
            if isinstance(stdout, str):
                self.path = stdout
                stdout = opened.enter_context(open(stdout, "wb"))
            super().__init__(words, stdin=stdin, stdout=stdout, env=env, cwd=cwd,
                             name="tlsmsg-server")
        self.addresses = []
        zero_ports = sum(address.endswith(":0") or address == "0" for address in listen)
        if zero_ports:
            try:
                self.stderr.wait_until(
                    lambda said: len(LISTENING.findall(said)) >= zero_ports, "its addresses")
            except AssertionError:
                self.kill()
                raise
            self.addresses = [(host.decode(), int(port))
                              for host, port in LISTENING.findall(self.stderr.bytes())]

    @property
    def port(self):
        return self.addresses[0][1]

    def _collect_rest(self):
        """Whoever still tries to reach the server finds nobody, or the server that follows it."""
        super()._collect_rest()
        for host, port in self.addresses:
            with contextlib.suppress(OSError):  # one that follows it listens already
                hold_port(port, host.strip("[]"))

    def wait_line(self, text, count=1):
        """Waits until count whole lines of stdout hold text."""
        self.stdout.wait_until(
            lambda said: sum(text in line for line in said.split(b"\n")[:-1]) >= count,
            f"{count} lines with {text!r}")

    def transcript(self):
        """All of stdout so far."""
        if self.path is not None:
            with open(self.path, "rb") as written:
                return written.read()
        return self.stdout.bytes()

    def log(self):
        """stderr without the listening lines."""
        return LISTENING.sub(b"", self.stderr.bytes()).lstrip(b"\n").replace(b"\n\n", b"\n")


class Terminal:
    """A pseudo-terminal in raw output mode, to be a program's stdout."""

    def __init__(self):
        master, self.slave = pty.openpty()
        attributes = termios.tcgetattr(self.slave)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(self.slave, termios.TCSANOW, attributes)
        self.output = Collector(master, "terminal")

    def close_slave(self):
        """To be called once the program has its own copy, so that its end is seen."""
        os.close(self.slave)


class ProgramTest(unittest.TestCase):
    """A test case that starts programs and answers for their end."""

    maxDiff = 4000
    limit = TEST_LIMIT

    def setUp(self):
        signal.signal(signal.SIGALRM, _expired)
        signal.setitimer(signal.ITIMER_REAL, scaled(self.limit))
        last_resort = threading.Timer(scaled(self.limit) + 30, _give_up)
        last_resort.daemon = True
        last_resort.start()
        self.addCleanup(last_resort.cancel)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        self.folder = tempfile.mkdtemp(prefix="tlsmsg-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_file(self, name, data):
        with open(self.path(name), "wb") as out:
            out.write(data)
        return self.path(name)

    def keep(self, running):
        """Has a Program ended with the test whatever happens."""
        self.addCleanup(running.kill)
        return running

    def server(self, *options, **settings_):
        """A server that is stopped, with its exit status compared, unless the test has done so."""
        server = Server(*options, **settings_)
        self.addCleanup(server.kill)
        self.addCleanup(lambda: server.finished or server.stop())
        return server

    def server_on_fixed_port(self, *options):
        """A server whose port was named, so that it says nothing on stderr in plaintext, and that
        port. Ready when its first line is out."""
        port = unused_port()
        server = self.keep(Server(*options, listen=(f"127.0.0.1:{port}",)))
        server.stdout.wait_for(b"\n")
        return server, port

    def start_client(self, *words, stdin=subprocess.PIPE, stdout=None, env=None, cwd=None):
        """A client that the test talks to; it must end it itself with finish()."""
        return self.keep(Program([*program("tlsmsg-client"), *words], stdin=stdin, stdout=stdout,
                                 env=env, cwd=cwd, name="tlsmsg-client"))

    def run_client(self, *words, stdin=b"", expect=0, limit=20, env=None, cwd=None):
        """A client from start to end, its exit status compared."""
        client = self.start_client(*words, env=env, cwd=cwd)
        try:
            client.write(stdin)
        except BrokenPipeError:
            pass  # a client may end without reading; its exit status tells
        client.close_stdin()
        client.finish(expect, limit)
        return client

    def run_server_to_end(self, *words, expect, limit=20, stdout=None, env=None):
        """A server that must end by itself, as with a bad option."""
        server = self.keep(Program([*program("tlsmsg-server"), *words], stdout=stdout, env=env,
                                   name="tlsmsg-server"))
        server.finish(expect, limit)
        return server

    def peer(self, handle, host="127.0.0.1"):
        """A plain server in a thread; what its handler raises fails the test."""
        peer = Peer(handle, host)
        self.addCleanup(peer.abandon)
        return peer

    def recorder(self, port):
        return Recorder(port)

    def tool(self, name):
        """The path of a peer tool, or a said skip."""
        path = shutil.which(name)
        if path is None:
            self.skipTest(f"{name} is not installed (scripts/setup.sh --peers installs it)")
        return path

    def need_ipv6(self):
        if not has_ipv6():
            self.skipTest("there is no ::1 here")

    def assert_one_line(self, said, start, *names):
        """One whole line with the given beginning that names each thing, in any letter case; a
        tuple holds words of which one will do, since the contract leaves the wording open."""
        text = said.decode("utf-8")
        self.assertTrue(text.endswith("\n"), f"no whole line: {text!r}")
        self.assertEqual(text.count("\n"), 1, f"not one line: {text!r}")
        self.assertTrue(text.startswith(start), f"does not begin with {start!r}: {text!r}")
        self.assertGreater(len(text.strip()), len(start.strip()), "says nothing")
        for name in names:
            words = name if isinstance(name, tuple) else (name,)
            self.assertTrue(any(word.lower() in text.lower() for word in words),
                            f"names none of {words}: {text!r}")

    def assert_quiet(self, running):
        self.assertEqual(running.stderr.bytes(), b"", f"stderr of {running.name}")


def needs(plaintext):
    """Ends the run, saying why, when a file is run against the build it is not for."""
    if is_plaintext() != plaintext:
        wanted = "plaintext" if plaintext else "TLS"
        raise settings.SettingsError(f"{os.path.basename(sys.argv[0])} is for the {wanted} build")


def main(*, plaintext=None):
    """Runs the file's tests; plaintext says which build they are for, None means both."""
    try:
        settings.build_dir()
        if plaintext is not None:
            needs(plaintext)
    except settings.SettingsError as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(2)
    unittest.main(verbosity=2)
