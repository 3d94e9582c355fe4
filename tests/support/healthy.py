"""A healthy client that talks all the while, so that a test can say what an attack did to others."""

import threading
import time

import texts
import tls
from settings import scaled

# What the project promises to a well-behaved client, whatever others do.
PROMISE = 2.0


class Healthy:
    """Sends a message now and then on one conversation, or on a new one each time, and measures."""

    def __init__(self, port, context, *, fresh=False, pause=0.02):
        self._port, self._context, self._fresh, self._pause = port, context, fresh, pause
        self._stop = threading.Event()
        self.slowest = 0.0
        self.count = 0
        self.failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _run(self):
        end = None
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                if end is None:
                    end = tls.connect(self._port, self._context)
                message = f"healthy {self.count}".encode()
                end.send(message)
                got = end.receive_exactly(len(texts.reply(message)))
                if got != texts.reply(message):
                    raise AssertionError(f"another reply: {got!r}")
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.count += 1
                if self._fresh:
                    end.close()
                    end = None
                self._stop.wait(self._pause)
            if end is not None:
                end.close()
        except Exception as error:  # told to the test by check()
            self.failure = error

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join(scaled(20))
        if kind is None:
            self.check()

    def check(self):
        if self.failure is not None:
            raise AssertionError(f"the healthy client failed: {self.failure!r}") from self.failure
        if self.count == 0:
            raise AssertionError("the healthy client got no reply at all")
        if self.slowest > scaled(PROMISE):
            raise AssertionError(f"the healthy client waited {self.slowest:.2f} s for a reply")
