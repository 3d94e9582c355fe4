"""TLS ends for the tests, with each record in the test's hands.

Built on memory BIOs: one write() is one record, what leaves together is one send, and how the
other side ended (close_notify, bare end of file, reset) is told apart.
"""

import socket
import ssl

import network
from settings import scaled

RECORD = 16384


def _tell_truncation(context):
    """Python takes a bare end of file for close_notify unless told otherwise."""
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def client_context(ca, *, minimum=None, maximum=None, certificate=None, key=None, ciphers=None):
    context = ssl.create_default_context(cafile=ca)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(certificate, key)
    return _tell_truncation(context)


def server_context(certificate, key, *, client_ca=None, minimum=None, maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return _tell_truncation(context)


class End:
    """One end of a TLS connection over a connected socket that it owns."""

    def __init__(self, sock, context, **how):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **how)
        self.was_closed = False  # by the other side's close_notify, seen by receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        """All that waits, in one send. Nothing to send must not wait for room to send."""
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def _fill(self):
        chunk = self.sock.recv(65536)
        if chunk:
            self.incoming.write(chunk)
        else:
            self.incoming.write_eof()

    def _drive(self, action):
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except ssl.SSLError:
                self._say_alert()
                raise

    def _say_alert(self):
        try:
            self.flush()
        except OSError:
            pass

    def handshake(self):
        self._drive(self.tls.do_handshake)
        self.flush()
        return self

    def queue(self, data):
        """Encrypts one record without sending it."""
        assert self.tls.write(data) == len(data)

    def send(self, *records):
        """Each argument is one record; all leave in one send."""
        for data in records:
            self.queue(data)
        self.flush()

    def receive(self):
        """One record's data; b"" for close_notify; ssl.SSLError for a bare end of file."""
        try:
            return self._drive(lambda: self.tls.read(RECORD))
        except ssl.SSLZeroReturnError:
            self.was_closed = True
            return b""

    def receive_exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                chunk = self._drive(lambda: self.tls.read(min(RECORD, size - len(data))))
            except ssl.SSLZeroReturnError:
                chunk = b""
            if not chunk:
                raise AssertionError(f"closed after {len(data)} of {size} bytes: {data[-200:]!r}")
            data += chunk
        return data

    def receive_until_close(self):
        """All data up to a close_notify; without one it raises."""
        data = b""
        while True:
            chunk = self.receive()
            if not chunk:
                return data
            data += chunk

    def queue_close_notify(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the other side's close_notify is not here yet

    def send_close_notify(self):
        self.queue_close_notify()
        self.flush()

    def close(self):
        """An orderly end: both close_notify, then the server's end of file. Returns late data."""
        self.send_close_notify()
        late = self.receive_until_close()
        self.expect_end_of_file()
        return late

    def expect_end_of_file(self):
        """After close_notify the transport must end, without another byte or a reset."""
        rest = self.incoming.read() + network.receive_all(self.sock)
        self.sock.close()
        if rest:
            raise AssertionError(f"{len(rest)} bytes after close_notify")

    def answer_close(self):
        """The end of the side that is sent a close_notify: waits for it, then its own and the
        transport's. Without the wait the other side's would come late, as bytes that nobody sent."""
        if not self.was_closed and (late := self.receive()):
            raise AssertionError(f"{len(late)} bytes where close_notify was due")
        self.send_close_notify()
        self.sock.shutdown(socket.SHUT_WR)
        self.expect_end_of_file()

    def drop(self):
        """A bare end of file: truncation."""
        self.sock.close()

    def reset(self):
        network.reset(self.sock)


def connect(port, context, *, host="127.0.0.1", name="localhost", session=None,
            small_buffers=False):
    """A client end with its handshake done."""
    end = End(network.connect(port, host, small_buffers), context, server_side=False,
              server_hostname=name, session=session)
    try:
        return end.handshake()
    except BaseException:
        end.sock.close()
        raise


def accept(sock, context):
    """The server end of an accepted socket, for a Peer's handler."""
    sock.settimeout(scaled(10))
    return End(sock, context, server_side=True).handshake()


def client_hello(context):
    """The first flight of a client that is never to go on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def until_any_end(sock):
    """What the other side sent before it ended the connection, in order or by a reset."""
    data = b""
    try:
        while True:
            chunk = sock.recv(65536)
            if not chunk:
                return data
            data += chunk
    except ConnectionResetError:
        return data
    except TimeoutError:
        raise AssertionError("the connection is still open") from None
