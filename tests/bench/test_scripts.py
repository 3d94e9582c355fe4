#!/usr/bin/env python3
"""scripts/bench.sh and scripts/bench-scale.sh end to end, for a moment each: that they run, and print
what they should. No figure is judged. TLSMSG_BUILD_DIR names a build with TLSMSG_BENCH=ON."""

import json
import os
import pathlib
import shutil
import subprocess
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
            done = run("bench.sh", "--build", BUILD, "--rounds", 1, "--seconds", 0.1, "--idle", 50,
                       "--only", "ours,floor,memory,reference", "--columns", "64x16x64,full,idle",
                       "--transcript", "--goals", "--raw", raw)
            self.assertEqual(0, done.returncode, done.stderr)
            results = [json.loads(line) for line in raw.read_text().splitlines()]
        self.assertEqual({"ours", "ours-log", "floor", "memory", "reference"},
                         {result["contender"] for result in results}, done.stderr)
        self.assertEqual(0, sum(result["result"].get("errors", 0) for result in results))
        for words in ("| **tlsmsg-server** |", "kernel + OpenSSL (sum)", "| goal |"):
            self.assertIn(words, done.stdout)

    def test_numbered(self):
        with tempfile.TemporaryDirectory() as folder:
            raw = pathlib.Path(folder) / "raw"
            done = run("bench.sh", "--build", BUILD, "--numbered", "--rounds", 1, "--seconds", 0.1,
                       "--idle", 50, "--goals", "--raw", raw)
            self.assertEqual(0, done.returncode, done.stderr)
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
            self.assertEqual(0, done.returncode, done.stderr)
            results = [json.loads(line) for line in raw.read_text().splitlines()]
        found = {result["contender"]: result["result"] for result in results}
        self.assertLessEqual({"ours", "ours-log", "ours-store", "log"}, set(found), done.stderr)
        self.assertEqual("mosquitto" in found, shutil.which("mosquitto") is not None, done.stderr)
        self.assertEqual(0, sum(result.get("errors", 0) for result in found.values()))
        for words in ("| 64×1×64 |", "| tlsmsg-server, --store |", "own log", "| goal |"):
            self.assertIn(words, done.stdout)

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
