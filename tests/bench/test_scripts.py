#!/usr/bin/env python3
"""scripts/bench.sh and scripts/bench-scale.sh end to end, for a moment each: that they run, and print
what they should. No figure is judged. TLSMSG_BUILD_DIR names a build with TLSMSG_BENCH=ON."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ["TLSMSG_BUILD_DIR"]
DEADLINE_S = 300


def run(script, *words):
    return subprocess.run([ROOT / "scripts" / script, *map(str, words)], capture_output=True,
                          text=True, timeout=DEADLINE_S, check=False)


class Scripts(unittest.TestCase):
    def test_bench(self):
        with tempfile.TemporaryDirectory() as folder:
            raw = pathlib.Path(folder) / "raw"
            done = run("bench.sh", "--build", BUILD, "--quick", "--rounds", 1, "--seconds", 0.1,
                       "--idle", 50,
                       "--only", "ours,floor,memory,reference", "--columns", "64x16x64,full,idle",
                       "--transcript", "--goals", "--raw", raw)
            self.assertIn(done.returncode, (0, 1), done.stderr)  # so short a run judges nothing
            results = [json.loads(line) for line in raw.read_text().splitlines()]
        self.assertEqual({"ours", "ours-log", "floor", "memory", "reference"},
                         {result["contender"] for result in results}, done.stderr)
        self.assertEqual(0, sum(result["result"].get("errors", 0) for result in results))
        for words in ("| **tlsmsg-server** |", "kernel + OpenSSL (sum)", "| goal |"):
            self.assertIn(words, done.stdout)

    def test_numbered(self):
        with tempfile.TemporaryDirectory() as folder:
            raw = pathlib.Path(folder) / "raw"
            done = run("bench.sh", "--build", BUILD, "--numbered", "--quick", "--rounds", 1,
                       "--seconds", 0.1,
                       "--idle", 50, "--goals", "--raw", raw)
            self.assertIn(done.returncode, (0, 1), done.stderr)  # so short a run judges nothing
            results = [json.loads(line) for line in raw.read_text().splitlines()]
        self.assertEqual({"ours", "numbered", "sha256"},
                         {result["contender"] for result in results}, done.stderr)
        self.assertEqual(12, sum(result["contender"] == "ours" for result in results))
        self.assertEqual(0, sum(result["result"].get("errors", 0) for result in results))
        for words in ("4×1×1048576+producer", "tlsmsg/1 against the document's flow", "SHA-256"):
            self.assertIn(words, done.stdout)

    @unittest.skipUnless(os.path.exists(os.path.join(BUILD, "tlsmsg-store")), "built without a store")
    def test_bench_of_the_store(self):
        with tempfile.TemporaryDirectory() as folder:
            raw = pathlib.Path(folder) / "raw"
            done = run("bench.sh", "--build", BUILD, "--rounds", 1, "--seconds", 0.2, "--store",
                       "--columns", "64x1x64", "--goals", "--raw", raw)
            self.assertIn(done.returncode, (0, 1), done.stderr)  # so short a run judges nothing
            results = [json.loads(line) for line in raw.read_text().splitlines()]
        found = {result["contender"]: result["result"] for result in results}
        self.assertLessEqual({"ours", "ours-log", "ours-store", "log"}, set(found), done.stderr)
        for name, program in (("mosquitto", "mosquitto"), ("nats", "nats-server")):
            self.assertEqual(name in found, shutil.which(program) is not None, done.stderr)
        self.assertEqual("nats" in found, "NATS JetStream" in done.stdout)
        self.assertEqual(0, sum(result.get("errors", 0) for result in found.values()))
        for words in ("| 64×1×64 |", "| tlsmsg-server, --store |", "own log", "| goal |"):
            self.assertIn(words, done.stdout)

    def run_tabulate(self, folder, words, values):
        path = pathlib.Path(folder) / "results"
        path.write_text("".join(
            json.dumps({"contender": who, "column": column, "round": 1, "result": result}) + "\n"
            for who, column, result in values))
        return subprocess.run([sys.executable, "-B", ROOT / "tests/bench/tabulate.py", path, *words],
                              capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def tabulate(self, *values):
        """(contender, column, result)... to the exit status and the lines about goals."""
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_tabulate(folder, ["--goals"], values)
        return done.returncode, done.stdout.partition("| goal |")[2]

    def test_picture(self):
        """Each panel says in words what it measures; the lone client's is left out."""
        columns = ("1x1x64", "64x16x64", "16x1x1000+numbered", "full", "idle")
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_tabulate(folder, ["--plot-data", folder],
                                     [("ours", column, {"kib_per_connection" if column == "idle"
                                                        else "server_cpu_us_per_unit": 14.1})
                                      for column in columns])
            self.assertEqual(0, done.returncode, done.stderr)
            panels = (pathlib.Path(folder) / "panels.gp").read_text()
            self.assertIn("14.1", (pathlib.Path(folder) / "1.dat").read_text())
        for words in ("panels = 4\n", '"a 64-byte message, 64 clients, 16 in flight each (µs)"',
                      '"a 1,000-byte numbered message, 16 clients, 1 in flight each (µs)"',
                      '"a connection with a full handshake (µs)"', '"an idle connection (KiB)"'):
            self.assertIn(words, panels)

    def test_goals(self):
        field = "server_cpu_us_per_unit"
        for ours, status, word in ((104.9, 0, "| 1.05 | 1.05 | met |"),
                                   (106, 1, "| 1.06 | 1.05 | **missed** |")):
            found, goals = self.tabulate(("ours", "full", {field: ours}),
                                         ("reference", "full", {field: 100}))
            self.assertEqual(status, found, goals)
            self.assertIn("| full: against the reference " + word, goals)
            self.assertIn("not measured", goals)  # which is no reason to fail
        status, goals = self.tabulate(("ours", "idle", {"kib_per_connection": 15}),
                                      ("reference", "idle", {"kib_per_connection": 14.5}))
        self.assertEqual(1, status, goals)

    def test_instructions(self):
        if shutil.which("valgrind") is None:
            self.skipTest("needs valgrind")
        done = subprocess.run(
            [sys.executable, "-B", ROOT / "tests/bench/instructions.py", "--build", BUILD,
             "--messages", "50", "--works", "16x4x64,resumed", "--goals"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)  # so few are noise
        self.assertRegex(done.stdout, r"\| 16×4×64 \| [1-9][\d,]+ \| [1-9][\d,]+ \|")
        self.assertRegex(done.stdout, r"\| resumed \| [1-9][\d,]+ \| [1-9][\d,]+ \|")

    def test_scale(self):
        done = run("bench-scale.sh", "--build", BUILD, "--idle", 60, "--active", 5, "--connects", 40,
                   "--minutes", 0.02, "--rounds", 1, "--seconds", 0.1)
        self.assertIn(done.returncode, (0, 1), done.stderr)  # so few connections judge nothing
        for words in ("met: 60 connections held, 0 errors", "met: 40 connects in sequence, 0 errors",
                      "met: one and two workers, 0 errors", "messages, every reply right", "resumed handshake: two workers"):
            self.assertIn(words, done.stdout)

    def test_usage(self):
        for script in ("bench.sh", "bench-scale.sh"):
            self.assertEqual(2, run(script, "--nonsense").returncode)
            self.assertEqual(0, run(script, "--help").returncode)


if __name__ == "__main__":
    unittest.main()
