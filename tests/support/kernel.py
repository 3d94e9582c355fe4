"""What the kernel knows of TCP sockets on this machine, in the place of sleeps.

"The server has read all I sent" and "the port is listening" are facts that can be waited for. One
socket is looked up by its addresses through netlink, which takes the same time however many others
there are; where that isn't allowed, and for lists, /proc is read.
"""

import errno
import functools
import os
import re
import socket
import struct
import time
import unittest
from dataclasses import dataclass

from settings import scaled

ESTABLISHED, LISTEN = 1, 10

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_REQUEST, NLMSG_ERROR = 1, 2
HEADER = struct.Struct("=IHHII")
NO_COOKIE = b"\xff" * 8


@dataclass(frozen=True)
class Socket:
    state: int
    unread: int
    unsent: int


def wait_until(condition, what, limit=10):
    """Polls a fact of the kernel's until it holds."""
    deadline = time.monotonic() + scaled(limit)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {scaled(limit):g} s: {what}")
        time.sleep(0.003)


def _ask(local, remote):
    """The socket with these two addresses, by netlink; a remote port of 0 finds a listener."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    pack = functools.partial(socket.inet_pton, family)
    identity = (struct.pack("!HH", local[1], remote[1]) + pack(local[0]).ljust(16, b"\0")
                + pack(remote[0]).ljust(16, b"\0") + bytes(4) + NO_COOKIE)
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    header = HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(scaled(10))
        netlink.send(header + request)
        answer = netlink.recv(8192)
    kind, body = HEADER.unpack_from(answer)[1], answer[HEADER.size:]
    if kind == NLMSG_ERROR:
        code = -struct.unpack_from("=i", body)[0]
        if code == errno.ENOENT:
            return None
        raise OSError(code, os.strerror(code))
    unread, unsent = struct.unpack_from("=II", body, 56)
    return Socket(body[1], unread, unsent)


@functools.cache
def _can_ask():
    """A kernel without the answer says the same as one without the socket, so it is tried."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as known:
            found = _ask(known.getsockname(), ("0.0.0.0", 0))
            return found is not None and found.state == LISTEN
    except OSError:
        return False


def table(pid="self"):
    """(local port, remote port, Socket, inode) of each TCP socket."""
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}", encoding="ascii") as listed:
            for line in listed.read().splitlines()[1:]:
                field = line.split()
                unsent, unread = (int(part, 16) for part in field[4].split(":"))
                local, remote = (int(field[at].rsplit(":", 1)[1], 16) for at in (1, 2))
                yield local, remote, Socket(int(field[3], 16), unread, unsent), field[9]


def find(local, remote):
    """The Socket with these two addresses, or None."""
    if _can_ask():
        return _ask(local[:2], remote[:2])
    for local_port, remote_port, found, _ in table():
        if (local_port, remote_port) == (local[1], remote[1]):
            return found
    return None


def is_listening(port):
    found = find(("127.0.0.1", port), ("0.0.0.0", 0))
    return found is not None and found.state == LISTEN


def wait_not_listening(port):
    """Waits until nothing listens on a port of 127.0.0.1 any more."""
    wait_until(lambda: not is_listening(port), f"port {port} stops listening")


def wait_read_by_peer(sock, limit=10):
    """Waits until the other end, on this machine, has read all that was sent on sock."""
    mine, peer = sock.getsockname(), sock.getpeername()

    def read():
        here, there = find(mine, peer), find(peer, mine)
        return not (here and here.unsent) and not (there and there.unread)

    wait_until(read, "the peer reads what was sent", limit)


def wait_read_by_server(port):
    """The same for all clients of a server, where their sockets are not at hand."""

    def read():
        return not any((local == port and found.state == ESTABLISHED and found.unread)
                       or (remote == port and found.unsent)
                       for local, remote, found, _ in table())

    wait_until(read, f"the server on port {port} reads what was sent")


def wait_closed(sock):
    """Waits until both directions are over; 0 for an orderly end, else the socket's error."""
    closed = 7  # TCP_CLOSE, the first byte of struct tcp_info
    wait_until(lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == closed,
               "the connection ends")
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def listening_ports(pid):
    """The ports a process listens on, its children included."""
    inodes = set()
    for member in (pid, *_children(pid)):
        folder = f"/proc/{member}/fd"
        try:
            for entry in os.listdir(folder):
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(os.path.join(folder, entry)))
                if found:
                    inodes.add(found[1])
        except PermissionError as error:
            raise unittest.SkipTest(
                f"the sandbox hides process {member}'s descriptors from all but root") from error
        except OSError:
            continue
    return [local for local, _, found, inode in table(pid)
            if found.state == LISTEN and inode in inodes]


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def wait_listening(pid, limit=10):
    """The first port that a foreign server listens on."""
    return wait_until(lambda: listening_ports(pid), f"process {pid} listens", limit)[0]
