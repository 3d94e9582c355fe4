"""A copy of the source that is changed, built and tested, a file at a time.

Builds stand beside it. One counts executed lines, once for each state of the source: which tests reach
a line says which ones a change to it has to face, the quickest first. Another has the address and
undefined-behaviour sanitizers: there each mutant is built, only as far as those tests need it, and what
leaks is a failure like any other. A third, without either, is for integration tests.
"""

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

BUILD_SECONDS = 600
# Of what a test needs by itself; then it hangs, which is noticed, too.
PATIENCE_SECONDS = 10
PATIENCE_FACTOR = 5
FIRST_SECONDS = 900
INTEGRATION_SECONDS = 600
FIRST_TESTS = 6
TRIES = 3
FILE_BYTES = 1 << 30
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:hard_rss_limit_mb=2048",
    "UBSAN_OPTIONS": "print_stacktrace=0",
}
# Of the integration tests those that fit a file, by the first pattern that its path begins with; the
# most fitting first.
INTEGRATION = [
    ("store/postgresql", "store_postgresql_Conflicts store_postgresql_Encrypted store_away_Slow "
                         "store_tool_postgresql"),
    ("store/spool|app/client/(spool|keep)", "spool client_input"),
    ("store/", "store store_numbered store_tool spool"),
    ("app/store/", "store_tool store_tool_postgresql"),
    ("app/server/stor", "store store_numbered"),
    ("app/server/(stdout|transcript|backlog)", "transcript signals pressure"),
    ("app/server/", "bad_input service signals operation reload transcript"),
    ("app/", "client_input comfort client bad_input client_numbered signals client_trust spool"),
    ("transport/", "trust client_trust policy reload bad_peers probe"),
    ("server/", "numbered conversation pressure faults"),
    ("client/", "client client_numbered client_reconnect comfort"),
    ("", "client bad_input numbered policy"),
]

Test = collections.namedtuple("Test", "name labels command folder environment")


def integration_of(path):
    """Names of the integration tests that fit a file of src/."""
    inside = str(path.relative_to("src"))
    fitting = next(names for pattern, names in INTEGRATION if re.match(pattern, inside))
    return [f"integration_{name}" for name in fitting.split()]


def installed(module):
    return subprocess.run(["pkg-config", "--exists", module], check=False).returncode == 0


def options():
    """All that this machine can build, by the quickest linker."""
    sqlite = installed("sqlite3")
    words = [f"-DTLSMSG_SQLITE={'ON' if sqlite else 'OFF'}",
             f"-DTLSMSG_POSTGRESQL={'ON' if sqlite and installed('libpq') else 'OFF'}",
             "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DCMAKE_BUILD_TYPE=Debug"]
    if shutil.which("ninja"):
        words += ["-G", "Ninja"]
    return words


def bounded():
    """In the child: a mutant that writes without end must not fill the disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


RUNNING = set()


def end_all(number, _):
    """Whoever ends us ends what we run."""
    for process in list(RUNNING):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(128 + number)


def run(words, seconds, **more):
    """True where it ended well, False where not, None where it did not end: then it is ended with
    its children."""
    # pylint: disable-next=subprocess-popen-preexec-fn
    with subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True, preexec_fn=bounded, **more) as process:
        RUNNING.add(process)
        try:
            return process.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            return None
        finally:
            RUNNING.discard(process)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def digest_of(test):
    digest = hashlib.sha256()
    for word in test.command:
        if pathlib.Path(word).is_file():
            digest.update(pathlib.Path(word).read_bytes())
    return digest.hexdigest()


class Build:
    """One build of the copy."""

    def __init__(self, source, folder, jobs, words):
        self.source, self.folder, self.jobs = source, folder, jobs
        made = subprocess.run(["cmake", "-S", source, "-B", folder, *options(), *words],
                              capture_output=True, text=True, check=False)
        if made.returncode != 0 or not self.make("all"):
            sys.exit(f"mutate.sh: cannot build the copy in {folder}:\n{made.stderr[-2000:]}")
        self.tests = {test.name: test for test in self.listed()}

    def make(self, *targets):
        return run(["cmake", "--build", self.folder, f"-j{self.jobs}", "--target", *targets],
                   BUILD_SECONDS)

    def listed(self):
        shown = subprocess.run(["ctest", "--test-dir", self.folder, "--show-only=json-v1"],
                               capture_output=True, text=True, check=True)
        for test in json.loads(shown.stdout)["tests"]:
            told = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
            extra = dict(pair.split("=", 1) for pair in told.get("ENVIRONMENT", []))
            yield Test(test["name"], told.get("LABELS", []), test.get("command", []),
                       told.get("WORKING_DIRECTORY", self.folder), extra)

    def named(self, labels):
        return [test for test in self.tests.values() if set(labels) & set(test.labels)]

    def compiled(self):
        """The files that this build is made of: a change in another one nobody could notice."""
        commands = json.loads((self.folder / "compile_commands.json").read_text(encoding="utf-8"))
        files = (pathlib.Path(command["file"]) for command in commands)
        return {file.relative_to(self.source) for file in files if file.is_relative_to(self.source)}

    def run_test(self, test, seconds, **more):
        # Python's tests end with the first failure.
        command = [*test.command, "-f"] if "integration" in test.labels else test.command
        return run(command, seconds, cwd=test.folder,
                   env={**os.environ, **SANITIZERS, **test.environment, **more})


class Reach:
    """Which lines each test executes, and how long it takes; kept for as long as its program stays
    the same."""

    def __init__(self, build, store):
        self.build, self.counts = build, store.with_suffix(".counts")
        self.coded, self.lines, self.seconds = collections.defaultdict(set), {}, {}
        kept = {}
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(store.read_text(encoding="utf-8"))
        for test in build.named(("unit", "contract", "fuzz")):
            digest = digest_of(test)
            found = kept.get(test.name)
            if not found or found["digest"] != digest:
                found = kept[test.name] = {"digest": digest, **self.count(test)}
            self.seconds[test.name] = found["seconds"]
            self.lines[test.name] = {path: set(lines) for path, lines in found["run"].items()}
            for path, lines in found["coded"].items():
                self.coded[path].update(lines)
        store.write_text(json.dumps(kept), encoding="utf-8")

    def count(self, test):
        """Its time, the lines that have code, and those that it ran."""
        shutil.rmtree(self.counts, ignore_errors=True)
        began = time.monotonic()
        if not self.build.run_test(test, FIRST_SECONDS, GCOV_PREFIX=str(self.counts)):
            sys.exit(f"mutate.sh: {test.name} fails without any change")
        taken = time.monotonic() - began
        counts = sorted(self.counts.rglob("*.gcda"))
        for file in counts:
            notes = pathlib.Path("/", file.relative_to(self.counts)).with_suffix(".gcno")
            file.with_suffix(".gcno").symlink_to(notes)
        told = subprocess.run(["gcov", "--json-format", "--stdout", *counts], check=True,
                              capture_output=True, text=True).stdout if counts else ""
        shutil.rmtree(self.counts, ignore_errors=True)
        coded, ran = collections.defaultdict(set), collections.defaultdict(set)
        for file in (file for line in told.splitlines() for file in json.loads(line)["files"]):
            # A compiler cache may have made it relative to the build.
            path = pathlib.Path(os.path.normpath(self.build.folder / file["file"]))
            if not path.is_relative_to(self.build.source / "src"):
                continue
            name = str(path.relative_to(self.build.source))
            for line in file["lines"]:
                coded[name].add(line["line_number"])
                if line["count"] > 0:
                    ran[name].add(line["line_number"])
        return {"seconds": taken, "coded": {name: sorted(found) for name, found in coded.items()},
                "run": {name: sorted(found) for name, found in ran.items()}}

    def of(self, path, number):
        """The tests for a line, counted from 1, the quickest first. A statement of several lines
        is counted at some of them only: the nearest before."""
        path = str(path)
        while number > 0 and number not in self.coded[path]:
            number -= 1
        return sorted((name for name, ran in self.lines.items() if number in ran.get(path, ())),
                      key=lambda name: self.seconds[name])


class Tree:
    """The copy, its builds, and what becomes of a mutant."""

    def __init__(self, root, folder, jobs):
        self.root, self.source, self.jobs = root, folder / "source", jobs
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end_all)
        self.copy()
        self.reach = Reach(Build(self.source, folder / "reach", jobs, ["-DTLSMSG_COVERAGE=ON"]),
                           folder / "reach.json")
        self.folder = folder
        self.linker = ["-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld"] if shutil.which("ld.lld") else []
        self.build = Build(self.source, folder / "build", jobs,
                           ["-DTLSMSG_SANITIZE=address,undefined", "-DCMAKE_C_FLAGS_DEBUG=-O0 -g1",
                            *self.linker])
        self.patience = {name: PATIENCE_SECONDS + PATIENCE_FACTOR * seconds
                         for name, seconds in self.reach.seconds.items()}
        self.is_sound = {}

    def copy(self):
        """What git knows; a file that is the same already keeps its time, and is not compiled again."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self.root, check=True,
                                capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            here, there = self.root / name, self.source / name
            if here.is_file() and not (there.is_file() and
                                       there.read_bytes() == here.read_bytes()):
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here, there)
                shutil.copymode(here, there)

    def noticed(self, build, test):
        """A failure counts where it is one the second time, too: others may use the machine. What
        hangs has had its time."""
        for _ in range(TRIES):
            good = build.run_test(test, self.patience.get(test.name, INTEGRATION_SECONDS))
            if good or good is None:
                return not good
            if not build.run_test(test, self.patience.get(test.name, INTEGRATION_SECONDS)):
                return True
        return False

    def any_notices(self, build, names):
        """The first of these tests that fails, or None; as many at a time as there are jobs."""
        tests = [build.tests[name] for name in names if name in build.tests]
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            running = {pool.submit(self.noticed, build, test): test for test in tests}
            for done in concurrent.futures.as_completed(running):
                if done.result():
                    pool.shutdown(wait=True, cancel_futures=True)
                    return running[done].name
        return None

    def reaching(self, mutant):
        """The tests that execute its line, and that of its module."""
        own = f"unit_{mutant.path.stem}"
        names = self.reach.of(mutant.path, mutant.number + 1)
        return sorted((name for name in {*names, own} if name in self.build.tests),
                      key=lambda name: (name != own, self.reach.seconds[name]))

    def quick(self, mutant):
        """(fate, the test that noticed): by the tests that reach the line, a few at first."""
        names = self.reaching(mutant)
        batches = [some for some in (names[:FIRST_TESTS], names[FIRST_TESTS:]) if some]
        with self.changed(mutant):
            for some in batches:
                programs = {pathlib.Path(self.build.tests[name].command[0]).name for name in some}
                if not self.build.make(*sorted(programs)):
                    return "invalid", None
                noticer = self.any_notices(self.build, some)
                if noticer:
                    return "unit", noticer
            if not batches and not self.build.make("tlsmsg"):
                return "invalid", None
        return "survived", None

    def slow(self, mutant):
        """The same by integration tests, on a build without sanitizers: they would take minutes more.
        What notices has to be fine without the mutant."""
        while True:
            names = [name for name in integration_of(mutant.path)
                     if name in self.programs.tests and self.is_sound.get(name, True)]
            with self.changed(mutant):
                if not self.programs.make("all"):
                    return "invalid", None
                noticer = self.any_notices(self.programs, names)
            if not noticer:
                return "survived", None
            if self.proves_sound(noticer):
                return "integration", noticer

    @functools.cached_property
    def programs(self):
        return Build(self.source, self.folder / "programs", self.jobs, self.linker)

    def proves_sound(self, name):
        """Whether a test passes without any change, tried once; it is left out where it doesn't."""
        if name not in self.is_sound:
            test = self.programs.tests[name]
            self.is_sound[name] = self.programs.make("all") and any(
                self.programs.run_test(test, INTEGRATION_SECONDS) for _ in range(TRIES))
            if not self.is_sound[name]:
                print(f"{name} fails without any change: left out", flush=True)
        return self.is_sound[name]

    @contextlib.contextmanager
    def changed(self, mutant):
        """The copy with this mutant in it, and as it was afterwards."""
        path = self.source / mutant.path
        whole = path.read_text(encoding="utf-8")
        lines = whole.split("\n")
        lines[mutant.number] = mutant.after
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(whole, encoding="utf-8")
