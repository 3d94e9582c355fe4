"""Programs under test as child processes.

Owns starting, collecting stdout and stderr in reader threads, waiting with deadlines and ending.
A program's exit status is always compared, and a sanitizer's words on stderr always fail, because
a leak shows only after the client is content.
"""

import os
import re
import signal
import subprocess
import threading
import time

from settings import scaled

SANITIZER = re.compile(rb"(?:Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer"
                       rb"|: runtime error: |^==\d+== ", re.MULTILINE)


# All programs that were started and not waited for, so that no way out leaves one behind.
RUNNING = set()


def kill_all():
    for process in list(RUNNING):
        process.kill()


class Collector:
    """Everything one stream has said so far; reading never stalls the program."""

    def __init__(self, descriptor, name):
        self._descriptor = descriptor
        self._name = name
        self._data = bytearray()
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        while True:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:
                # The slave's last closing ends a terminal with EIO.
                chunk = b""
            with self._changed:
                self._data += chunk
                self._ended = not chunk
                self._changed.notify_all()
            if not chunk:
                os.close(self._descriptor)
                return

    def bytes(self):
        with self._changed:
            return bytes(self._data)

    def wait_until(self, condition, what, limit=10):
        """Waits until condition(bytes so far) is true and returns its value."""
        deadline = time.monotonic() + scaled(limit)
        with self._changed:
            while True:
                value = condition(bytes(self._data))
                if value:
                    return value
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"gave in {scaled(limit):g} s"
                    raise AssertionError(
                        f"{self._name} {why} without {what}: {bytes(self._data)[-2000:]!r}")
                self._changed.wait(left)

    def wait_for(self, text, count=1, limit=10):
        """Waits until text was said count times."""
        self.wait_until(lambda data: data.count(text) >= count, f"{count} x {text!r}", limit)

    def finish(self, limit=10):
        self._thread.join(scaled(limit))
        if self._thread.is_alive():
            raise AssertionError(f"{self._name} stays open after the program's end")
        return self.bytes()


class Program:
    """A child process. stdout may be a descriptor or file of the caller's; else it is collected."""

    def __init__(self, words, *, stdin=subprocess.DEVNULL, stdout=None, env=None, cwd=None,
                 name=None):
        self.words = [os.fspath(word) for word in words]
        self.name = name or os.path.basename(self.words[0])
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
        for noise in ("SSLKEYLOGFILE", "OPENSSL_CONF"):
            environment.pop(noise, None)
        self.process = subprocess.Popen(
            self.words, stdin=stdin, stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE, env=environment, cwd=cwd)
        RUNNING.add(self.process)
        self.stdout = None
        if stdout is None:
            self.stdout = Collector(self._take(self.process.stdout), f"stdout of {self.name}")
        self.stderr = Collector(self._take(self.process.stderr), f"stderr of {self.name}")
        self.finished = False

    @staticmethod
    def _take(pipe):
        """The collector owns its descriptor: two owners would close one number twice."""
        copy = os.dup(pipe.fileno())
        pipe.close()
        return copy

    @property
    def pid(self):
        return self.process.pid

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close_stdin(self):
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, limit=10):
        """The exit status (negative: the signal); a program still there at the limit fails."""
        try:
            status = self.process.wait(scaled(limit))
        except subprocess.TimeoutExpired:
            said = self.stderr.bytes()[-2000:]
            self.kill()
            raise AssertionError(f"{self.name} is still running after {scaled(limit):g} s; "
                                 f"stderr {said!r}") from None
        self._collect_rest()
        found = SANITIZER.search(self.stderr.bytes())
        if found:
            raise AssertionError(f"{self.name} (status {status}) was reported by a sanitizer:\n"
                                 + self.stderr.bytes()[:6000].decode("utf-8", "replace"))
        return status

    def finish(self, expect=0, limit=10):
        """Waits for the program's own end and compares its exit status."""
        status = self.wait(limit)
        if status != expect:
            raise AssertionError(f"{self.name} ended with {status}, not {expect}: "
                                 f"stderr {self.stderr.bytes()[-2000:]!r}")
        return status

    def stop(self, expect=0, limit=10):
        """Ends the program by SIGTERM and compares its exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.finish(expect, limit)

    def kill(self):
        """For the way out of a failed test: no comparison."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._collect_rest()

    def _collect_rest(self):
        RUNNING.discard(self.process)
        self.close_stdin()
        self.finished = True
        for collector in (self.stdout, self.stderr):
            if collector is not None:
                collector.finish()
