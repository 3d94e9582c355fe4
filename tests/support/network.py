"""TCP without TLS for the tests: plain sockets, a recording proxy, a server in a thread.

What must be waited for on the other side of a socket is in kernel.py.
"""

import functools
import socket
import struct
import threading

from settings import scaled

def connect(port, host="127.0.0.1", small_buffers=False):
    """A connected socket. With small buffers the server soon feels that this end does not read:
    small segments keep the kernel from giving the server's end megabytes to send from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(scaled(10))
        if small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.connect((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        sock.close()
        raise
    return sock


@functools.cache
def has_ipv6():
    """Whether ::1 is there; some containers lack it."""
    try:
        listen("::1").close()
    except OSError:
        return False
    return True


# Sockets that are bound and never listen: who connects there is refused.
_held = {}


def hold_port(port, host="127.0.0.1"):
    """Keeps a port from being given to anybody who names none, until this process ends: a client
    that tries a server again which has ended must not find another test's. Who names the port can
    still listen there with SO_REUSEADDR, as servers do. 0: a free one. Returns the port."""
    if (host, port) not in _held:
        sock = _bind(host, port)
        port = sock.getsockname()[1]
        _held[host, port] = sock
    return port


def _bind(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen(host="127.0.0.1"):
    sock = _bind(host, hold_port(0, host))
    sock.listen(64)
    sock.settimeout(scaled(10))
    return sock


def unused_port():
    """A port that nothing listens on, nor will, unless it names it."""
    return hold_port(0)


def receive_exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise AssertionError(f"closed after {len(data)} of {size} bytes: {data[-200:]!r}")
        data += chunk
    return data


def receive_all(sock):
    """All bytes up to an orderly end; a reset raises ConnectionResetError."""
    data = b""
    while True:
        chunk = sock.recv(65536)
        if not chunk:
            return data
        data += chunk


def reset(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Recorder:
    """A proxy between one client and a server that writes down both directions."""

    def __init__(self, server_port):
        self.to_server = bytearray()
        self.to_client = bytearray()
        self._listener = listen()
        self.port = self._listener.getsockname()[1]
        self.upstream = None
        self.upstream_port = None
        self._server_port = server_port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            with self._listener:
                client, _ = self._listener.accept()
        except OSError:
            return
        with client, connect(self._server_port) as server:
            client.settimeout(scaled(30))
            server.settimeout(scaled(30))
            self.upstream_port = server.getsockname()[1]
            self.upstream = server
            back = threading.Thread(target=self._pump, args=(server, client, self.to_client),
                                    daemon=True)
            back.start()
            self._pump(client, server, self.to_server)
            back.join(scaled(30))

    @staticmethod
    def _pump(source, target, record):
        try:
            while True:
                chunk = source.recv(65536)
                if not chunk:
                    break
                record += chunk
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def finish(self):
        self._thread.join(scaled(30))
        return bytes(self.to_server), bytes(self.to_client)


class Peer:
    """A plain server in a thread: handle(socket) for each connection, its failure kept."""

    def __init__(self, handle, host="127.0.0.1"):
        self._handle = handle
        self._listener = listen(host)
        self.port = self._listener.getsockname()[1]
        self.errors = []
        self.connections = 0
        self._open = set()
        self._threads = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.settimeout(scaled(10))
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            self._open.add(sock)
            thread.start()

    def _serve(self, sock):
        try:
            self._handle(sock)
        except Exception as error:  # handed to the test in finish()
            self.errors.append(error)
        finally:
            self._open.discard(sock)
            sock.close()

    def finish(self):
        """Ends the server; raises what a handler raised."""
        self._end()
        for thread in self._threads:
            thread.join(scaled(15))
            if thread.is_alive():
                raise AssertionError("a peer's handler did not end")
        if self.errors:
            raise self.errors[0]

    def abandon(self):
        """For the way out of a failed test."""
        self._end()
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _end(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._acceptor.join(scaled(10))
