"""The work behind scripts/soak.sh: every client here is bounded by the time given."""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import harness
import network
import texts
import tls
from certificates import default_certificates

# A server that neither leaks nor grows stays far below this once it is warm.
SLOPE_LIMIT_KIB_PER_MINUTE = 512
WARM_UP = 0.3  # of the time, before memory counts


class Soak:
    def __init__(self, seconds):
        self.context = tls.client_context(default_certificates().ca)
        self.folder = tempfile.mkdtemp(prefix="tlsmsg-soak-")
        self.transcript = os.path.join(self.folder, "transcript")
        self.server = harness.Server("--format", "json", "--workers", "2", "--handshake-timeout",
                                     "2", "--write-timeout", "5", "--log-level", "error",
                                     stdout=self.transcript)
        self.until = time.monotonic() + seconds
        self.answered, self.lock = [], threading.Lock()
        self.slowest, self.samples, self.reloads, self.failures = 0.0, [], 0, []

    def goes_on(self):
        return time.monotonic() < self.until

    def talk(self, who):
        """A well-behaved client: new conversations again and again, each message remembered."""
        count = 0
        while self.goes_on():
            try:
                end = tls.connect(self.server.port, self.context)
                for _ in range(50):
                    message = f"{who}-{count}".encode()
                    began = time.monotonic()
                    end.send(message)
                    if end.receive_exactly(len(texts.reply(message))) != texts.reply(message):
                        raise AssertionError("another reply")
                    with self.lock:
                        self.answered.append(message.decode())
                        self.slowest = max(self.slowest, time.monotonic() - began)
                    count += 1
                    time.sleep(0.001)
                end.close()
            except Exception as error:  # told in the verdict
                self.failures.append(repr(error))
                return

    def attack(self, seed):
        dice = random.Random(seed)
        hello = tls.client_hello(self.context)
        while self.goes_on():
            try:
                kind = dice.randrange(6)
                if kind == 5:
                    end = tls.connect(self.server.port, self.context)
                    end.send(dice.randbytes(dice.randrange(1, 200)))
                    end.reset() if dice.random() < 0.5 else end.drop()
                    continue
                sock = network.connect(self.server.port)
                if kind == 1:
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                elif kind == 2:
                    sock.sendall(dice.randbytes(dice.randrange(1, 500)))
                elif kind >= 3:
                    sock.sendall(hello[:dice.randrange(1, len(hello))])
                network.reset(sock) if dice.random() < 0.5 else sock.close()
            except (OSError, AssertionError, EOFError):
                pass
            time.sleep(0.005)

    def look(self):
        with open(f"/proc/{self.server.pid}/status", encoding="ascii") as status:
            kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        try:
            return kib, len(os.listdir(f"/proc/{self.server.pid}/fd"))
        except PermissionError:  # the sandbox hides them from all but root
            return kib, 0

    def watch(self):
        began = time.monotonic()
        while self.goes_on():
            self.samples.append((time.monotonic() - began, *self.look()))
            if len(self.samples) % 4 == 0:
                self.server.signal(signal.SIGHUP)
                self.reloads += 1
            time.sleep(0.5)

    def run(self):
        idle_descriptors = self.look()[1]
        threads = [threading.Thread(target=self.talk, args=(who,)) for who in range(4)]
        threads += [threading.Thread(target=self.attack, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        self.watch()
        for thread in threads:
            thread.join(30)
        deadline = time.monotonic() + 15
        while self.look()[1] > idle_descriptors and time.monotonic() < deadline:
            time.sleep(0.1)
        left_over = self.look()[1] - idle_descriptors
        self.server.signal()
        return self.server.wait(20), left_over

    def slope_kib_per_minute(self):
        warm = self.samples[int(len(self.samples) * WARM_UP):]
        if len(warm) < 4:
            return 0.0
        mean_t = sum(s[0] for s in warm) / len(warm)
        mean_k = sum(s[1] for s in warm) / len(warm)
        top = sum((s[0] - mean_t) * (s[1] - mean_k) for s in warm)
        return 60 * top / sum((s[0] - mean_t) ** 2 for s in warm)

    def lost(self):
        taken = set()
        with open(self.transcript, encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "message":
                    taken.add(event["message"])
        return [message for message in self.answered if message not in taken]


def main():
    try:
        minutes = float(sys.argv[1])
    except ValueError:
        minutes = 0
    if not 0 < minutes <= 24 * 60:
        print(f"soak.sh: MINUTES is a number up to 1440, not '{sys.argv[1]}'", file=sys.stderr)
        return 2
    soak = Soak(minutes * 60)
    try:
        status, left_over = soak.run()
        lost, slope = soak.lost(), soak.slope_kib_per_minute()
    finally:
        soak.server.kill()
        shutil.rmtree(soak.folder, ignore_errors=True)
    rows = (
        ("answered messages", len(soak.answered), len(soak.answered) > 0),
        ("answered but not in the transcript", len(lost), not lost),
        ("slowest reply, seconds", f"{soak.slowest:.2f}", soak.slowest < 2),
        ("failed healthy conversations", len(soak.failures), not soak.failures),
        ("reloads", soak.reloads, True),
        ("descriptors left over", left_over, left_over <= 0),
        ("memory slope, KiB a minute", f"{slope:.0f}",
         minutes < 1 or slope < SLOPE_LIMIT_KIB_PER_MINUTE),
        ("server's exit code", status, status == 0),
    )
    for name, value, good in rows:
        print(f"{name:36} {value}{'' if good else '   BAD'}")
    for failure in soak.failures[:5]:
        print(f"  {failure}")
    verdict = all(good for _, _, good in rows)
    print("verdict: " + ("good" if verdict else "BAD"))
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main())
