"""tlsmsg/1 for the tests' own ends: a server in Python that keeps what it takes, and a proxy that
cuts, resets and delays."""

import re
import socket
import struct
import threading
import time

import network
import texts
import tls
from settings import scaled

PROTOCOL = "tlsmsg/1"


class Ledger:
    """What a server has of each producer; survives its connections."""

    def __init__(self, promise="disk", maximum=1048576, window=256):
        self.promise, self.maximum, self.window = promise, maximum, window
        self.lock = threading.Lock()
        self.taken = {}
        self.greetings = []
        self.most = 0  # messages that came before the first of them was answered

    def last(self, producer):
        return max(self.taken.get(producer, {0: b""}))

    def bodies(self, producer):
        return [body for _, body in sorted(self.taken.get(producer, {}).items())]


class Conversation:
    """The server's side over a tls.End; frames are read one at a time."""

    def __init__(self, end, ledger):
        self.end, self.ledger, self.data = end, ledger, b""
        self.producer = None

    def fill(self):
        chunk = self.end.receive()
        self.data += chunk
        return bool(chunk)

    def line(self):
        while b"\n" not in self.data:
            if not self.fill():
                return None
        line, self.data = self.data.split(b"\n", 1)
        return line

    def greet(self, last=None):
        line = self.line()
        found = re.fullmatch(rb"HELLO 1(?: producer=(\S+) from=(\d+))?", line)
        assert found, line
        self.producer = (found[1] or b"").decode()
        self.ledger.greetings.append((self.producer, int(found[2] or 1)))
        ledger = self.ledger
        last = ledger.last(self.producer) if last is None else last
        self.end.send(b"HELLO 1 last=%d max=%d window=%d promise=%s\n" % (
            last, ledger.maximum, ledger.window, ledger.promise.encode()))

    def message(self):
        """(number, body), or None at the end."""
        line = self.line()
        if line is None:
            return None
        found = re.fullmatch(rb"MSG (\d+) (\d+)", line)
        assert found, line
        size = int(found[2])
        while len(self.data) < size + 1:
            if not self.fill():
                return None
        body, rest = self.data[:size], self.data[size + 1:]
        assert self.data[size:size + 1] == b"\n"
        self.data = rest
        return int(found[1]), body

    def take(self, number, body):
        with self.ledger.lock:
            had = self.ledger.taken.setdefault(self.producer, {})
            assert had.get(number, body) == body, f"other bytes under {number}"
            had[number] = body

    def answer(self, number, body):
        self.answer_all([(number, body)])

    def answer_all(self, messages):
        """At once."""
        frames = []
        for number, body in messages:
            reply = texts.reply(body)
            frames.append(b"OK %d %d\n%s\n" % (number, len(reply), reply))
        self.end.send(b"".join(frames))

    def bye(self, code, text=b"because"):
        self.end.send(b"BYE %d %d\n%s\n" % (code, len(text), text))
        self.end.send_close_notify()
        tls.until_any_end(self.end.sock)

    def serve(self):
        self.greet()
        while (message := self.message()) is not None:
            self.take(*message)
            self.answer(*message)
        self.end.answer_close()


class Proxy:
    """Between clients and a server: each connection gets a plan, what to do after so many bytes."""

    def __init__(self, port, delay=0.0, plans=()):
        self._port, self._delay = port, delay
        self._plans = list(plans)  # of the next connections: (direction, bytes, reset)
        self._listener = network.listen()
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.passed = {"up": 0, "down": 0}
        self._open = set()
        self._threads = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def close(self):
        """Ends all that is on, and waits for its threads: each socket is closed by then."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._acceptor.join(scaled(10))
        self._listener.close()
        for sock in list(self._open):
            self._shut(sock)
        for thread in self._threads:
            thread.join(scaled(10))

    def plan(self, *plan):
        self._plans.append(plan)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            plan = self._plans.pop(0) if self._plans else None
            try:
                server = network.connect(self._port)
            except OSError:
                client.close()
                continue
            self.passed = {"up": 0, "down": 0}
            for sock in (client, server):
                sock.settimeout(scaled(30))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            thread = threading.Thread(target=self._serve, args=(client, server, plan), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client, server, plan):
        """One connection; both sockets are closed at its end."""
        back = threading.Thread(target=self._pump, args=("down", server, client, plan), daemon=True)
        back.start()
        self._pump("up", client, server, plan)
        back.join()
        self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, direction, source, target, plan):
        queue, ready = [], threading.Condition()
        if self._delay:
            threading.Thread(target=self._release, args=(queue, ready, target),
                             daemon=True).start()
        left = plan[1] if plan and plan[0] == direction else None
        passed = self.passed
        try:
            while True:
                chunk = source.recv(65536)
                if left is not None:
                    chunk, cut = chunk[:left], len(chunk) >= left
                    left -= len(chunk)
                else:
                    cut = False
                passed[direction] += len(chunk)
                if chunk and self._delay:
                    with ready:
                        queue.append((time.monotonic() + self._delay, chunk))
                        ready.notify()
                elif chunk:
                    target.sendall(chunk)
                if cut:
                    for sock in (source, target):
                        if plan[2]:
                            self._reset(sock)
                        else:
                            sock.shutdown(socket.SHUT_RDWR)
                    return
                if not chunk:
                    break
            if self._delay:
                time.sleep(2 * self._delay)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for sock in (source, target):
                self._shut(sock)

    @staticmethod
    def _shut(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    @staticmethod
    def _reset(sock):
        """The other direction's thread may be reading: while it is, a close alone does nothing."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        sock.close()

    @staticmethod
    def _release(queue, ready, target):
        try:
            while True:
                with ready:
                    if not queue and not ready.wait_for(lambda: queue, scaled(30)):
                        return
                    due, chunk = queue.pop(0)
                time.sleep(max(0.0, due - time.monotonic()))
                target.sendall(chunk)
        except OSError:
            pass
