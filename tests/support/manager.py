"""A service manager for the tests: its notify socket, and the way it starts a server.

A socket is passed as systemd does it: number 3, with LISTEN_FDS and the process's own LISTEN_PID.
"""

import os
import socket
import subprocess
import sys
import time

from certificates import default_certificates
from processes import Program
from settings import is_plaintext, program, scaled

# Becomes the server in the same process, so that LISTEN_PID is right. The socket comes as stdin.
LAUNCHER = """
import os, resource, sys
sockets, soft_limit, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if sockets:
    os.dup2(0, 3)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
if soft_limit:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, hard))
os.execvp(words[0], words)
"""


class Manager:
    """What a server tells, as one dictionary a datagram."""

    def __init__(self, path=None):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path or "")  # "": the kernel chooses an abstract name
        name = self._socket.getsockname()
        self.address = name if isinstance(name, str) else "@" + name[1:].decode("ascii")
        self.told = []

    def close(self):
        self._socket.close()

    def environment(self, watchdog_usec=None):
        made = {"NOTIFY_SOCKET": self.address}
        if watchdog_usec is not None:
            made["WATCHDOG_USEC"] = str(watchdog_usec)
        return made

    def next(self, limit=10):
        self._socket.settimeout(scaled(limit))
        try:
            data = self._socket.recv(4096)
        except TimeoutError:
            raise AssertionError(f"nothing more was told after {self.told}") from None
        said = dict(line.split("=", 1) for line in data.decode("utf-8").split("\n"))
        self.told.append(said)
        return said

    def wait_for(self, name, limit=10):
        """The next datagram with this variable; others are passed over."""
        deadline = time.monotonic() + scaled(limit)
        while time.monotonic() < deadline:
            said = self.next(limit)
            if name in said:
                return said
        raise AssertionError(f"no {name} among {self.told}")

    def rest(self):
        """What is there already."""
        self._socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096))
            except BlockingIOError:
                return found


def start_server(*options, listener=None, soft_limit=0, env=None, certificate=True):
    """A server that a manager starts; listener: a listening socket to be passed, or None."""
    words = program("tlsmsg-server")
    if certificate and not is_plaintext():
        made = default_certificates()
        words += ["--cert", made.server, "--key", made.server_key]
    if is_plaintext():
        words += ["--accept", "0"]
    launch = [sys.executable, "-c", LAUNCHER, "1" if listener else "0", str(soft_limit)]
    stdin = listener.fileno() if listener else subprocess.DEVNULL
    return Program([*launch, *words, *options], stdin=stdin, env=env, name="tlsmsg-server")


def status(pid):
    """/proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return {name: value.strip() for name, value in
                (line.split(":", 1) for line in file if ":" in line)}


def is_root():
    return os.geteuid() == 0
