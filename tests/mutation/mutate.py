#!/usr/bin/env python3
"""The work behind scripts/mutate.sh: does a test notice when the source is changed?

A mutant is one small change to one line of src/: an operator swapped, a condition negated, a
statement removed, an early return skipped, a code or a constant changed. Each is built into a copy of the tree, with sanitizers,
and has to fail a test: first the unit and contract tests and the replays of the fuzzers that reach its
line, then, where asked for, the integration tests that fit its folder. One that no test notices is
printed: it needs a test, or, where nobody could notice it, a line with the reason in equivalent.txt.
The same seed on the same source draws the same mutants.
"""

import argparse
import collections
import fnmatch
import pathlib
import random
import re
import sys
import time

from tree import Tree

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDERS = ("server", "transport", "client", "store", "protocol", "app", "net", "base", "options")
CORE = ("server", "transport", "client", "store")
GOALS = {folder: 95 if folder in CORE else 90 for folder in FOLDERS}

SWAPS = [(" == ", " != "), (" != ", " == "), (" < ", " <= "), (" <= ", " < "), (" > ", " >= "),
         (" >= ", " > "), (" && ", " || "), (" || ", " && "), (" + ", " - "), (" - ", " + "),
         ("return true;", "return false;"), ("return false;", "return true;"),
         ("= true;", "= false;"), ("= false;", "= true;"), ("++;", "--;"), (" += ", " -= "),
         ("return 0;", "return 1;"), (" * ", " / ")]
CODES = ["TLSMSG_ERR_NOMEM", "TLSMSG_ERR_SYSTEM", "TLSMSG_ERR_CONFIG", "TLSMSG_ERR_STATE",
         "TLSMSG_ERR_RESET", "TLSMSG_ERR_TRUNCATED", "TLSMSG_ERR_PROTOCOL", "TLSMSG_OK"]
CALL = re.compile(r"^(\s+)(?:\(void\))?[a-z_]\w*\(.*\);$")
RETURN = re.compile(r"^\s{8,}return\b.*;$")
STORE = re.compile(r"^(\s+)[a-z]\w*(?:->|\.)[\w.\[\]>-]* (?:\||&|\+|-)?= .*;$")
CONDITION = re.compile(r"^(\s+(?:\} else )?if \()(.*)(\) \{)$")
CONSTANT = re.compile(r"(?<![\w.\"'-])([1-9]\d{0,4})(?![\w.\"'])")
LISTED = re.compile(r"(src/\S+) \| (.*) \| (.*) \| \(line (\d+)\)")
ROOM = re.compile(r"\b(?:m|c|re)alloc\(|^\s*(?:unsigned )?char \w+\[.*\];$")

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
    if RETURN.match(line):
        yield "skipped", re.match(r"\s*", line)[0] + ";"
    # More memory than is needed nobody notices.
    for found in () if ROOM.search(line) else CONSTANT.finditer(line):
        yield "constant", f"{line[:found.start()]}{int(found[1]) + 1}{line[found.end():]}"


def read_equivalent():
    """What nobody could notice: 'path | before | after | reason', as printed by a run."""
    known = set()
    for line in (HERE / "equivalent.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            path, *parts, reason = (part.strip() for part in line.split(" | "))
            if not reason:
                sys.exit(f"mutate.sh: equivalent.txt gives no reason for: {line}")
            # Both lines have the operator as often, but where the statement was removed.
            half = len(parts) - 1 if parts[-1] == ";" else len(parts) // 2
            known.add((path, " | ".join(parts[:half]), " | ".join(parts[half:])))
    return known


def draw(count, seed, folders, drawn_from):
    """Mutants of each folder in turn, of kinds by chance; drawn_from: of these files alone."""
    rng = random.Random(seed)
    pools = {folder: collections.defaultdict(list) for folder in folders}
    for folder in folders:
        for path in sorted((ROOT / "src" / folder).rglob("*.c")):
            if path.relative_to(ROOT) not in drawn_from:
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


def read_again(file):
    """The mutants that are listed as 'path | before | after | (line N)'; of lines that are the same
    the nearest."""
    mutants = []
    for text in file.read_text(encoding="utf-8").splitlines():
        found = LISTED.fullmatch(text)
        if not found:
            continue
        path = pathlib.Path(found[1])
        same = [(abs(number + 1 - int(found[4])), number, line)
                for number, line in code_lines(ROOT / path) if line.strip() == found[2]]
        if same:
            _, number, line = min(same)
            after = line[:len(line) - len(line.lstrip())] + found[3]
            mutants.append(Mutant(path.parts[1], path, number, line, after, "again"))
    return mutants


def try_all(tree, mutants, until, integration=False):
    """What becomes of each, told as it goes; none is begun after its time."""
    fates = {}
    for mutant in mutants:
        if time.monotonic() > until:
            print(f"time is up after {len(fates)} of {len(mutants)} mutants")
            break
        fate, noticer = (tree.slow if integration else tree.quick)(mutant)
        fates[mutant] = fate
        print(f"{fate:11} {mutant.path}:{mutant.number + 1}: {mutant.kind}: "
              f"{mutant.before.strip()} -> {mutant.after.strip()}"
              f"{f' [{noticer}]' if noticer else ''}", flush=True)
    return fates


def tell(fates):
    """True where each folder's goal is met."""
    good = True
    print("\n| src/ | valid | unit, contract | integration | survived | killed | goal |\n"
          "|---|---|---|---|---|---|---|")
    for folder in FOLDERS:
        found = collections.Counter(fate for m, fate in fates.items() if m.folder == folder)
        valid = found.total() - found["invalid"]
        if valid == 0:
            continue
        killed = 100 * (valid - found["survived"]) / valid
        good &= killed >= GOALS[folder]
        print(f"| {folder} | {valid} | {found['unit']} | {found['integration']} | "
              f"{found['survived']} | {killed:.0f} % | {GOALS[folder]} % |")
    survivors = [mutant for mutant, fate in fates.items() if fate == "survived"]
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
    parser.add_argument("--files", default="*", metavar="PATTERN",
                        help="of these folders, such as 'store/postgresql*' (all)")
    parser.add_argument("--integration", action="store_true", help="survivors through these tests, too")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", type=pathlib.Path, metavar="FILE",
                        help="instead of drawing: those that a run printed, survivors as a rule")
    parser.add_argument("--list", action="store_true", help="draw, print and end")
    options = parser.parse_args()
    folders = [folder for folder in options.folders.split(",") if folder]
    if not set(folders) <= set(FOLDERS) or options.count < 1:
        parser.error(f"a count, and folders of {', '.join(FOLDERS)}")
    tree = Tree(ROOT, ROOT / "build/mutate", options.jobs)
    known = read_equivalent()
    files = {path for path in tree.build.compiled()
             if fnmatch.fnmatch(str(path), f"src/{options.files}")}
    mutants = read_again(options.again) if options.again else \
        draw(options.count, options.seed, folders, files)
    mutants = [m for m in mutants
               if (str(m.path), m.before.strip(), m.after.strip()) not in known]
    if options.list:
        for m in mutants:
            print(f"{m.path}:{m.number + 1}: {m.kind}: {m.before.strip()} -> {m.after.strip()}")
        return 0
    until = time.monotonic() + 60 * options.minutes
    fates = try_all(tree, mutants, until)
    left = [mutant for mutant, fate in fates.items() if fate == "survived"]
    if options.integration and left:
        fates.update(try_all(tree, left, until, integration=True))
    return 0 if tell(fates) else 1


if __name__ == "__main__":
    sys.exit(main())
