#!/usr/bin/env python3
"""The work behind scripts/mutate.sh: does a test notice when the source is changed?

A mutant is one small change to one line of src/: an operator swapped, a condition negated, a
statement removed, a code or a constant changed. Each is built into a copy of the tree and has to fail
a test: of the unit and contract tests those of its file first, then the others, then, where asked
for, integration tests that fit its folder. One that no test notices is printed: it needs a test, or,
where nobody could notice it, a line with the reason in equivalent.txt. The same seed on the same
source draws the same mutants.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDERS = ("server", "transport", "client", "store", "protocol", "app", "net", "base", "options")
CORE = ("server", "transport", "client", "store")
GOALS = {folder: 95 if folder in CORE else 90 for folder in FOLDERS}
INTEGRATION = {
    "server": "conversation|numbered|pressure|faults|signals",
    "transport": "policy|trust|reload|bad_peers",
    "client": "client|comfort|faults",
    "store": "store|restart|operation",
    "app": "transcript|signals|client_input|bad_input|comfort|service|probe",
}
BUILD_SECONDS = 600
TEST_SECONDS = 900
TRIES = 3

SWAPS = [(" == ", " != "), (" != ", " == "), (" < ", " <= "), (" <= ", " < "), (" > ", " >= "),
         (" >= ", " > "), (" && ", " || "), (" || ", " && "), (" + ", " - "), (" - ", " + "),
         ("return true;", "return false;"), ("return false;", "return true;"),
         ("= true;", "= false;"), ("= false;", "= true;"), ("++;", "--;"), (" += ", " -= "),
         ("return 0;", "return 1;"), (" * ", " / ")]
CODES = ["TLSMSG_ERR_NOMEM", "TLSMSG_ERR_SYSTEM", "TLSMSG_ERR_CONFIG", "TLSMSG_ERR_STATE",
         "TLSMSG_ERR_RESET", "TLSMSG_ERR_TRUNCATED", "TLSMSG_ERR_PROTOCOL", "TLSMSG_OK"]
CALL = re.compile(r"^(\s+)(?:\(void\))?[a-z_]\w*\(.*\);$")
STORE = re.compile(r"^(\s+)[a-z]\w*(?:->|\.)[\w.\[\]>-]* (?:\||&|\+|-)?= .*;$")
CONDITION = re.compile(r"^(\s+(?:\} else )?if \()(.*)(\) \{)$")
CONSTANT = re.compile(r"(?<![\w.\"'-])([1-9]\d{0,4})(?![\w.\"'])")

Mutant = collections.namedtuple("Mutant", "folder path number before after kind")


def code_lines(path):
    """Lines within functions that are code: no comment, no text, no assertion."""
    inside = comment = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if line == "{":
            inside = True
        elif line == "}":
            inside = False
        stripped = line.strip()
        comment |= stripped.startswith("/*")
        if inside and not comment and stripped and not re.search(r'"|assert|/[*]', line):
            yield number, line
        if "*/" in line:
            comment = False


def changes(line):
    """(kind, the line changed), each way that this one can be."""
    for old, new in SWAPS:
        at = line.find(old)
        while at >= 0:
            yield "operator", line[:at] + new + line[at + len(old):]
            at = line.find(old, at + 1)
    for code in CODES:
        if re.search(code + r"\b", line) and "case " not in line:
            other = CODES[(CODES.index(code) + 3) % len(CODES)]
            yield "code", re.sub(code + r"\b", other, line, count=1)
    found = CONDITION.match(line)
    if found:
        yield "negated", f"{found[1]}!({found[2]}){found[3]}"
    if CALL.match(line) or STORE.match(line):
        yield "removed", re.match(r"\s*", line)[0] + ";"
    for found in CONSTANT.finditer(line):
        yield "constant", f"{line[:found.start()]}{int(found[1]) + 1}{line[found.end():]}"


def read_equivalent():
    """What nobody could notice: 'path | before | after | reason', as printed by a run."""
    known = set()
    for line in (HERE / "equivalent.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            path, before, after, reason = (part.strip() for part in line.split(" | "))
            if not reason:
                sys.exit(f"mutate.sh: equivalent.txt gives no reason for: {line}")
            known.add((path, before, after))
    return known


def draw(count, seed, folders, compiled):
    """Mutants of each folder in turn, of kinds by chance; compiled: of these files alone."""
    rng = random.Random(seed)
    pools = {folder: collections.defaultdict(list) for folder in folders}
    for folder in folders:
        for path in sorted((ROOT / "src" / folder).rglob("*.c")):
            if path.relative_to(ROOT) not in compiled:
                continue
            for number, before in code_lines(path):
                for kind, after in changes(before):
                    pools[folder][kind].append(
                        Mutant(folder, path.relative_to(ROOT), number, before, after, kind))
    drawn = []
    while len(drawn) < count and any(pools.values()):
        for folder in folders:
            kinds = sorted(kind for kind, pool in pools[folder].items() if pool)
            if kinds and len(drawn) < count:
                pool = pools[folder][rng.choice(kinds)]
                drawn.append(pool.pop(rng.randrange(len(pool))))
    return drawn


class Tree:
    """A copy of the source, built once and then a file at a time."""

    def __init__(self, folder, jobs):
        self.source, self.build, self.jobs = folder / "source", folder / "build", jobs
        self.copy()
        made = subprocess.run(["cmake", "-S", self.source, "-B", self.build,
                               "-DCMAKE_BUILD_TYPE=Debug", "-DTLSMSG_SQLITE=ON",
                               "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"],
                              capture_output=True, text=True, check=False)
        if made.returncode != 0 or not self.compile():
            sys.exit(f"mutate.sh: cannot build the copy in {folder}:\n{made.stderr[-2000:]}")

    def copy(self):
        """What git knows; a file that is the same already keeps its time, and is not compiled again."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True,
                                text=True).stdout
        for name in filter(None, listed.split("\0")):
            here, there = ROOT / name, self.source / name
            if here.is_file() and not (there.is_file() and
                                       there.read_bytes() == here.read_bytes()):
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, there)
                shutil.copymode(here, there)

    def compile(self):
        return self.run(["cmake", "--build", self.build, f"-j{self.jobs}"], BUILD_SECONDS)

    def compiled(self):
        """The files that this build is made of: a change in another one nobody could notice."""
        commands = json.loads((self.build / "compile_commands.json").read_text(encoding="utf-8"))
        files = (pathlib.Path(command["file"]) for command in commands)
        return {file.relative_to(self.source) for file in files if file.is_relative_to(self.source)}

    def test(self, *words):
        """A failure counts where it is one the second time, too: others may use the machine."""
        command = ["ctest", "--test-dir", self.build, "--stop-on-failure", f"-j{self.jobs}",
                   "--no-tests=ignore", "--timeout", "60"]
        for _ in range(TRIES):
            if self.run([*command, *words], TEST_SECONDS):
                return True
            if not self.run([*command, "--rerun-failed"], TEST_SECONDS):
                return False
        return True

    @staticmethod
    def run(words, seconds):
        try:
            return subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, timeout=seconds,
                                  check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def fate(self, mutant, integration):
        path = self.source / mutant.path
        whole = path.read_text(encoding="utf-8")
        lines = whole.split("\n")
        lines[mutant.number] = mutant.after
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            if not self.compile():
                return "invalid"
            if not self.test("-L", "unit", "-R", mutant.path.stem) or \
                    not self.test("-L", "unit|contract"):
                return "unit"
            if integration and mutant.folder in INTEGRATION and \
                    not self.test("-L", "integration", "-R", INTEGRATION[mutant.folder]):
                return "integration"
            return "survived"
        finally:
            path.write_text(whole, encoding="utf-8")


def tell(fates, survivors):
    """True where each folder's goal is met."""
    good = True
    print("\n| src/ | valid | unit, contract | integration | survived | killed | goal |\n"
          "|---|---|---|---|---|---|---|")
    for folder, found in sorted(fates.items()):
        valid = sum(n for fate, n in found.items() if fate != "invalid")
        if valid == 0:
            continue
        killed = 100 * (valid - found["survived"]) / valid
        good &= killed >= GOALS[folder]
        print(f"| {folder} | {valid} | {found['unit']} | {found['integration']} | "
              f"{found['survived']} | {killed:.0f} % | {GOALS[folder]} % |")
    if survivors:
        print("\nSurvived: a test is missing, or a line with the reason in equivalent.txt.\n")
    for mutant in survivors:
        print(f"{mutant.path} | {mutant.before.strip()} | {mutant.after.strip()} | "
              f"(line {mutant.number + 1})")
    return good


def main():
    parser = argparse.ArgumentParser(prog="mutate.sh", description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=100, metavar="N", help="mutants (100)")
    parser.add_argument("--seed", type=int, default=1, help="which ones are drawn (1)")
    parser.add_argument("--minutes", type=float, default=60, help="no new one after so long (60)")
    parser.add_argument("--folders", default=",".join(FOLDERS), help="of src/ (all)")
    parser.add_argument("--integration", action="store_true", help="survivors through these tests, too")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="draw, print and end")
    options = parser.parse_args()
    folders = [folder for folder in options.folders.split(",") if folder]
    if not set(folders) <= set(FOLDERS) or options.count < 1:
        parser.error(f"a count, and folders of {', '.join(FOLDERS)}")
    tree = Tree(ROOT / "build/mutate", options.jobs)
    known = read_equivalent()
    mutants = [m for m in draw(options.count, options.seed, folders, tree.compiled())
               if (str(m.path), m.before.strip(), m.after.strip()) not in known]
    if options.list:
        for m in mutants:
            print(f"{m.path}:{m.number + 1}: {m.kind}: {m.before.strip()} -> {m.after.strip()}")
        return 0
    if not tree.test("-L", "unit|contract"):
        sys.exit("mutate.sh: the tests fail without any change (build/mutate/build/Testing)")
    until = time.monotonic() + 60 * options.minutes
    fates, survivors = collections.defaultdict(collections.Counter), []
    for tried, mutant in enumerate(mutants, 1):
        if time.monotonic() > until:
            print(f"time is up after {tried - 1} of {len(mutants)} mutants")
            break
        fate = tree.fate(mutant, options.integration)
        fates[mutant.folder][fate] += 1
        if fate == "survived":
            survivors.append(mutant)
        print(f"{fate:11} {mutant.path}:{mutant.number + 1}: {mutant.kind}: "
              f"{mutant.before.strip()} -> {mutant.after.strip()}", flush=True)
    return 0 if tell(fates, survivors) else 1


if __name__ == "__main__":
    sys.exit(main())
