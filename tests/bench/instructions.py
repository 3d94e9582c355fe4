#!/usr/bin/env python3
"""Instructions of the server per message or connection, counted by valgrind: on a busy machine the
same as on an idle one, which times are not.

For each work (connections x messages in flight x bytes, or a kind of handshake with one message) a
server runs twice under callgrind, with few and with more units; the difference, divided by the units
between, leaves out start and handshakes. Prints a Markdown table: the server against the reference,
or tlsmsg/1 against the document's flow. User space alone: the kernel isn't seen. Exits 1 with --goals
where one is missed.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

FLOWS = ("", "+numbered", "+producer")
WORKS = {"64x1x64": 1.05, "64x16x64": 1.10, "16x1x1000": 1.05}  # and the goal without SHA-256
HANDSHAKES = {"full": (), "resumed": ("--resume",)}
REFERENCE_GOAL = 1.05
DEADLINE_S = 600


def collected(said):
    return int(re.search(r"Collected : (\d+)", said)[1])


def count(words, load, keep):
    """All instructions of a server from its start to its end, around one load."""
    with subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={keep}",
                           *map(str, words)], stderr=subprocess.PIPE, text=True) as server:
        said = ""
        try:
            for line in server.stderr:
                said += line
                if "listening on " in line:
                    break
            else:
                sys.exit(f"instructions.py: {words[0]} does not start:\n{said}")
            done = subprocess.run([*map(str, load), line.split("listening on ")[1].strip()],
                                  capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            if done.returncode != 0:
                sys.exit(f"instructions.py: {done.stderr}")
        finally:
            server.terminate()
        said = server.communicate(timeout=DEADLINE_S)[1]
    return collected(said)


class Counter:
    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(options.keep or folder)
        bench = next(pathlib.Path(options.build).glob("**/tlsmsg-bench"), None)
        if bench is None:
            sys.exit(f"instructions.py: {options.build} holds no tlsmsg-bench (TLSMSG_BENCH=ON)")
        self.bench = bench
        cert, key = (pathlib.Path(folder) / name for name in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        self.server = [pathlib.Path(options.build) / "tlsmsg-server", "-l", "127.0.0.1:0",
                       "--cert", cert, "--key", key, "-q", "-w", "1"]
        self.reference = [bench.parent / "bench-reference", "--listen", "127.0.0.1:0",
                          "--cert", cert, "--key", key]

    def between(self, server, name, load, option, few, more):
        counts = [count(server, [*load, option, units], self.folder / f"{name}-{units}.out")
                  for units in (few, few + more)]
        return (counts[1] - counts[0]) / more

    def per_handshake(self, kind, server):
        load = [self.bench, "handshake", *HANDSHAKES[kind], "--timeout", 120]
        more = max(10, self.options.messages // 50)
        return self.between(server, kind, load, "--handshakes", more // 4, more)

    def per_message(self, column, server=None):
        work, _, flow = column.partition("+")
        connections, depth, size = map(int, work.split("x"))
        load = [self.bench, "message", "-c", connections, "-d", depth, "-s", size, "--timeout", 120,
                *(["--" + flow] if flow else [])]
        few = max(connections * depth, self.options.messages // 5)
        return self.between(server or self.server, column, load, "--messages", few,
                            self.options.messages)

    def per_unit(self, work, server):
        return (self.per_handshake if work in HANDSHAKES else self.per_message)(work, server)

    def sha256(self, size):
        """One SHA-256 of such a message, by OpenSSL, with its algorithm at hand."""
        words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                 str(self.bench.parent / "bench-memory"), "digest", "-s", str(size), "--units"]
        said = [subprocess.run([*words, units], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True, check=True, timeout=DEADLINE_S).stderr
                for units in ("1000", "3000")]
        return (collected(said[1]) - collected(said[0])) / 2000


def against_reference(counter, works):
    """True where every goal is met."""
    all_met = True
    print("| instructions a message or connection | tlsmsg-server | the reference | |\n|---|---|---|---|")
    for work in works:
        ours, reference = (counter.per_unit(work, server)
                           for server in (counter.server, counter.reference))
        met = round(ours / reference, 2) <= REFERENCE_GOAL
        all_met &= met
        print(f"| {work.replace('x', '×')} | {ours:,.0f} | {reference:,.0f} "
              f"| {ours / reference:.3f}, at most {REFERENCE_GOAL:.2f}: "
              f"{'met' if met else '**missed**'} |", flush=True)
    return all_met


def against_document(counter, works):
    """True where every goal is met."""
    all_met = True
    print("| instructions a message | the document's flow | tlsmsg/1 | | with a producer "
          "| SHA-256 | without it |\n|---|---|---|---|---|---|---|")
    for work in works:
        document, numbered, producer = (counter.per_message(work + flow) for flow in FLOWS)
        digest = counter.sha256(int(work.rsplit("x", 1)[1]))
        goal = WORKS.get(work)
        verdicts = []
        for count in (numbered, producer - digest):
            met = goal is None or count <= goal * document
            all_met &= met
            verdicts.append(f"{count / document:.3f}" + ("" if goal is None else (
                f", at most {goal:.2f}: " + ("met" if met else "**missed**"))))
        print(f"| {work.replace('x', '×')} | {document:,.0f} | {numbered:,.0f} | {verdicts[0]} "
              f"| {producer:,.0f} | {digest:,.0f} | {verdicts[1]} |", flush=True)
    return all_met


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="a build with TLSMSG_BENCH=ON")
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--works", help="such as 64x1x64,full")
    parser.add_argument("--numbered", action="store_true", help="tlsmsg/1 against the document's flow")
    parser.add_argument("--goals", action="store_true", help="exit 1 where one is missed")
    parser.add_argument("--keep", metavar="FOLDER", help="keep callgrind's files there")
    options = parser.parse_args()
    works = options.works.split(",") if options.works else [
        *WORKS, *([] if options.numbered else HANDSHAKES)]
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(options, folder)
        compare = against_document if options.numbered else against_reference
        return 0 if compare(counter, works) or not options.goals else 1


if __name__ == "__main__":
    sys.exit(main())
