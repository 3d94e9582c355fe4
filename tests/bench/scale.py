"""The work behind scripts/bench-scale.sh: what happens to one server when there is much of something.

Figures that are compared are taken in turn (A B A B) in one run; every reply is verified by
tlsmsg-bench. Prints Markdown, then a verdict of one line for each part, and exits 1 where one is
"failed". Ratios of time on a busy machine are noise: they are told, never judged.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

START_SECONDS = 20
LOAD_SECONDS = 1800  # a run's own windows and deadlines end long before
WARM_UP = 0.2  # of the endurance run, before memory counts
GROWTH_LIMIT_KIB = 1024  # over the rest of it, and over the later three quarters of the connects


class Server:
    """One tlsmsg-server on a free port of loopback."""

    def __init__(self, options, *extra):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [os.path.join(options.build, "tlsmsg-server"), "-l", "127.0.0.1:0", "-q",
             "--cert", options.cert, "--key", options.key, *extra],
            stdout=subprocess.DEVNULL, stderr=self.log)
        self.bench = options.bench
        self.target = self.wait_for_address()

    def wait_for_address(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            self.log.seek(0)
            found = re.search(rb"listening on (127\.0\.0\.1:\d+)", self.log.read())
            if found:
                return found.group(1).decode()
            time.sleep(0.01)
        self.process.kill()
        raise SystemExit("bench-scale.sh: the server did not start")

    def load(self, *work):
        """Runs tlsmsg-bench against it; the result as it prints it."""
        done = subprocess.run([self.bench, *map(str, work), "-j", "-p", str(self.process.pid),
                               self.target], capture_output=True, text=True, check=False,
                              timeout=LOAD_SECONDS)
        if not done.stdout.startswith("{"):
            raise SystemExit("bench-scale.sh: tlsmsg-bench: " + done.stderr.strip())
        return json.loads(done.stdout)

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


class Verdicts:
    def __init__(self):
        self.lines, self.failed = [], False

    def say(self, good, text):
        self.failed |= not good
        self.lines.append(("met" if good else "failed") + ": " + text)

    def note(self, text):
        self.lines.append("told: " + text)


def table(title, heads, rows):
    print(f"\n{title}\n\n| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    sys.stdout.flush()


def ratio(figures, a, b):
    return statistics.median(x / y for x, y in zip(figures[a], figures[b]))


def idle(options, verdicts):
    """Many that are silent, and a few that talk, against the few alone."""
    crowds = {"alone": options.active, "in the crowd": options.idle}
    cpu = {name: [] for name in crowds}
    memory, errors = [], 0
    for _ in range(options.rounds):
        for name, count in crowds.items():
            with Server(options, "-w", "1") as server:
                result = server.load("idle", "-c", count, "--active", options.active, "-t",
                                     options.seconds)
                errors += result["errors"] + (result["held"] != count)
                cpu[name].append(result["server_cpu_us_per_unit"])
                if name == "in the crowd":
                    memory.append((result["kib_per_connection"], result["kib_kept_after_close"]))
    times = ratio(cpu, "in the crowd", "alone")
    per, kept = (statistics.median(column) for column in zip(*memory))
    table(f"{options.active} connections that talk", ["", "server µs per message"],
          [(name, f"{statistics.median(cpu[name]):.1f}") for name in crowds])
    verdicts.say(errors == 0, f"{options.idle:,} connections held, {errors} errors")
    verdicts.say(per <= 15, f"{per:.1f} KiB an idle connection (at most 15)")
    verdicts.say(kept <= per / 4, f"{kept:.1f} of it kept after they left (at most a quarter)")
    verdicts.note(f"a message costs {times:.2f} of what it costs without the crowd (goal 1.10)")


def connects(options, verdicts):
    """Connections one after another: what does each leave behind?"""
    rows, errors = [], 0
    with Server(options, "-w", "1") as server:
        for part in range(4):
            result = server.load("handshake", "-c", "1", "--handshakes", options.connects // 4)
            errors += result["errors"]
            rows.append((f"{(part + 1) * options.connects // 4:,}", server.resident_kib(),
                         server.descriptors()))
    table("Connections in sequence", ["after", "KiB resident", "descriptors"], rows)
    growth = rows[-1][1] - rows[0][1]
    verdicts.say(errors == 0, f"{options.connects:,} connects in sequence, {errors} errors")
    verdicts.say(growth <= GROWTH_LIMIT_KIB,
                 f"memory grew by {growth} KiB over the last three quarters "
                 f"(at most {GROWTH_LIMIT_KIB})")
    verdicts.say(rows[-1][2] <= rows[0][2], "no descriptor was left behind")


def workers(options, verdicts):
    """Does a second worker cost more than its own work?"""
    works = {"64×1×64": ("message", "-c", 64, "-d", 1), "64×16×64": ("message", "-c", 64, "-d", 16),
             "full handshake": ("handshake",), "resumed handshake": ("handshake", "--resume")}
    rows, errors = [], 0
    for name, work in works.items():
        cpu = {"1": [], "2": []}
        for _ in range(options.rounds):
            for count, figures in cpu.items():
                with Server(options, "-w", count) as server:
                    result = server.load(*work, "-t", options.seconds,
                                         "--warmup", min(0.5, options.seconds))
                    errors += result["errors"]
                    figures.append(result["server_cpu_us_per_unit"])
        times = ratio(cpu, "2", "1")
        rows.append((name, f"{statistics.median(cpu['1']):.2f}",
                     f"{statistics.median(cpu['2']):.2f}", f"{times:.2f}"))
        verdicts.note(f"{name}: two workers cost {times:.2f} of one (goal 1.10)")
    verdicts.say(errors == 0, f"one and two workers, {errors} errors")
    table("Server µs per unit", ["", "one worker", "two workers", "ratio"], rows)


def endurance(options, verdicts):
    """Full load for a long time."""
    samples, began = [], time.monotonic()
    until = began + options.minutes * 60 + LOAD_SECONDS
    with Server(options, "-w", str(os.cpu_count())) as server:
        with subprocess.Popen([options.bench, "message", "-c", "64", "-d", "4", "-s", "256", "-t",
                               str(options.minutes * 60), "-j", server.target],
                              stdout=subprocess.PIPE, text=True) as load:
            while load.poll() is None:
                if time.monotonic() > until:
                    load.kill()
                    raise SystemExit("bench-scale.sh: tlsmsg-bench does not end")
                samples.append((time.monotonic() - began, server.resident_kib()))
                time.sleep(min(2.0, options.minutes * 2))
            result = json.loads(load.stdout.read())
        left = server.descriptors()
    warm = [kib for at, kib in samples if at > WARM_UP * options.minutes * 60]
    half = len(warm) // 2
    growth = statistics.median(warm[half:]) - statistics.median(warm[:half])
    table(f"{options.minutes:g} minutes at full load",
          ["messages", "errors", "p50 µs", "p99 µs", "KiB at first", "KiB at last", "descriptors"],
          [(f"{result['units']:,}", result["errors"], f"{result['p50_us']:.0f}",
            f"{result['p99_us']:.0f}", warm[0], warm[-1], left)])
    verdicts.say(result["errors"] == 0, f"{result['units']:,} messages, every reply right")
    verdicts.say(abs(growth) <= GROWTH_LIMIT_KIB,
                 f"memory moved by {growth:.0f} KiB from the first half to the second")


PARTS = {"idle": idle, "connects": connects, "workers": workers, "endurance": endurance}


def main():
    parser = argparse.ArgumentParser(prog="bench-scale.sh")
    parser.add_argument("--build", required=True)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--idle", type=int, default=10000)
    parser.add_argument("--active", type=int, default=100)
    parser.add_argument("--connects", type=int, default=20000)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    verdicts = Verdicts()
    for name in options.parts.split(","):
        if name not in PARTS:
            parser.error(f"no part '{name}' ({', '.join(PARTS)})")
        PARTS[name](options, verdicts)
    print()
    for line in verdicts.lines:
        print("- " + line)
    return 1 if verdicts.failed else 0


sys.exit(main())
