#!/usr/bin/env python3
"""How much of the library each fuzz target reaches: lines by folder of src/, as a table.

Behind scripts/fuzz.sh --coverage. Wants a build of clang that counts (-fprofile-instr-generate
-fcoverage-mapping), its targets built, and folders of inputs: in each, a folder for every target.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("base", "options", "net", "protocol", "transport", "server", "client")
REPLAY_SECONDS = 300


def reached(program, inputs):
    """{file of src/: (lines, how many of them were executed)} of a target that replays inputs."""
    with tempfile.TemporaryDirectory() as folder:
        raw, profile = f"{folder}/raw", f"{folder}/profile"
        subprocess.run([program, *inputs], check=True, timeout=REPLAY_SECONDS,
                       stderr=subprocess.DEVNULL, env={**os.environ, "LLVM_PROFILE_FILE": raw})
        subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", profile], check=True)
        told = subprocess.run(["llvm-cov", "export", "-summary-only", f"-instr-profile={profile}",
                               program], check=True, capture_output=True, text=True).stdout
    found = {}
    for file in json.loads(told)["data"][0]["files"]:
        # A compiler cache may have made it relative to the build.
        path = pathlib.Path(os.path.normpath(program.parents[2] / file["filename"]))
        if path.is_relative_to(ROOT / "src") and path.suffix == ".c":
            lines = file["summary"]["lines"]
            found[path.relative_to(ROOT / "src")] = lines["count"], lines["covered"]
    return found


def row(name, found, lines):
    """The share of each folder's lines, of all that any target is linked with."""
    covered = collections.Counter()
    for path, (_, n) in found.items():
        covered[path.parts[0]] += n
    shares = (f"{100 * covered[folder] / lines[folder]:.0f}" if covered[folder] else "–"
              for folder in FOLDERS)
    return f"| {name} | {' | '.join(shares)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("corpus", type=pathlib.Path, nargs="+")
    parser.add_argument("--files", action="store_true", help="each file by the best target, too")
    options = parser.parse_args()
    targets = {}
    for program in sorted((options.build.resolve() / "tests/fuzz").glob("fuzz_*")):
        name = program.name.removeprefix("fuzz_")
        inputs = [corpus / name for corpus in options.corpus if (corpus / name).is_dir()]
        if inputs:
            targets[name] = reached(program, inputs)
    best = {}
    for found in targets.values():
        for path, (count, covered) in found.items():
            best[path] = count, max(covered, best.get(path, (0, 0))[1])
    lines = collections.Counter()
    for path, (count, _) in best.items():
        lines[path.parts[0]] += count
    print(f"| lines reached, % | {' | '.join(FOLDERS)} |\n|---{'|--:' * len(FOLDERS)}|")
    for name, found in targets.items():
        print(row(name, found, lines))
    print(row("the best for each file", best, lines))
    if options.files:
        for path, (count, covered) in sorted(best.items()):
            print(f"{100 * covered / count:3.0f} %  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
