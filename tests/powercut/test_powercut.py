"""Power cuts, replayed: every promise that was made before a cut is kept by what the cut leaves.

The driver stores messages under the recorder; the replay builds the disks that a cut could leave
after each event and gives each to the store's own recovery. Each planted fault has to be found, or
the rest says nothing. TLSMSG_POWERCUT_LONG=SECONDS goes on with other seeds for so long.
"""
import functools
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["TLSMSG_BUILD_DIR"]) / "tests" / "powercut"
LONG_S = float(os.environ.get("TLSMSG_POWERCUT_LONG", "0"))
MEMORY = pathlib.Path("/dev/shm")
# event.h's
EVENT = struct.Struct("<IHHqQQQ")
EVENT_MARK, EVENT_SYNC, EVENT_SYNC_FOLDER, EVENT_PROMISE, EVENT_SENT = 0x54435750, 4, 5, 8, 9


def events(recorded):
    """The events of a recording's bytes: kind, file, offset, and where its record begins and ends."""
    at = 0
    while at < len(recorded):
        mark, kind, name_len, _, file, offset, data_len = EVENT.unpack_from(recorded, at)
        end = at + EVENT.size + name_len + data_len
        if mark != EVENT_MARK or end > len(recorded):
            raise AssertionError(f"a record is torn at byte {at}")
        yield kind, file, offset, at, end
        at = end


class Scene:
    """A recorded store and the place where its disks are built."""

    def __init__(self):
        parent = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-powercut-", dir=parent)).resolve()
        self.live = self.folder / "live"
        self.disk = self.folder / "disk"
        self.live.mkdir()
        self.disk.mkdir()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def drive(self, first, last, seed=1, fault="", **environment):
        """Runs the driver to its end; returns its exit status and what it said."""
        with open(self.folder / "promises", "wb") as promises:
            command = [BUILD / "powercut_driver", self.live / "store.db", first, last, seed]
            if fault:
                command.append(fault)
            # Descriptor 3 by way of a shell: what Python opens has a number of its own.
            run = subprocess.run(
                ["sh", "-c", f'exec "$@" 3>&{promises.fileno()}', "sh", *map(str, command)],
                env=os.environ | {
                    "LD_PRELOAD": str(BUILD / "libpowercut_recorder.so"),
                    "POWERCUT_FOLDER": str(self.live),
                    "POWERCUT_LOG": str(self.folder / "log"),
                    "POWERCUT_PROMISES": "3",
                } | {name: str(value) for name, value in environment.items()},
                pass_fds=[promises.fileno()], stderr=subprocess.PIPE, text=True, timeout=60,
                check=False)
        return run.returncode, run.stderr

    def replay(self, every, draws=1, spool=False):
        """Returns how many disks were looked at, how many promises were made and how many faults
        were found, and what the replay said."""
        run = subprocess.run(
            [BUILD / "powercut_replay", self.folder / "log", self.disk, "store.db",
             "--every", str(every), "--random", str(draws), "--live", self.live,
             *(["--spool", "1"] if spool else [])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
        found = re.search(r"(\d+) events, (\d+) disks, (\d+) promises, (\d+) faults$",
                          run.stdout.strip())
        if found is None or (run.returncode == 0) != (found[4] == "0"):
            raise AssertionError(f"the replay broke ({run.returncode}): {run.stdout}")
        return int(found[2]), int(found[3]), int(found[4]), run.stdout


@functools.cache
def syncs_of_start():
    """How many syncs a new store takes before it promises anything: it depends on SQLite's version."""
    scene = Scene()
    try:
        scene.drive(1, 2)
        count = 0
        for kind, *_ in events((scene.folder / "log").read_bytes()):
            if kind == EVENT_PROMISE:
                break
            count += kind in (EVENT_SYNC, EVENT_SYNC_FOLDER)
        return count
    finally:
        scene.remove()


class Case(unittest.TestCase):
    def scene(self):
        scene = Scene()
        self.addCleanup(scene.remove)
        return scene

    def assert_kept(self, scene, every, promises, draws=1, spool=False):
        disks, made, faults, said = scene.replay(every, draws, spool)
        self.assertEqual(faults, 0, said)
        self.assertGreaterEqual(made, promises, said)
        self.assertGreater(disks, 100, said)


class Cuts(Case):
    def test_every_call(self):
        scene = self.scene()
        status, said = scene.drive(1, 20)
        self.assertEqual(status, 0, said)
        self.assert_kept(scene, every=1, promises=80)

    def test_longer_run_with_checkpoints(self):
        scene = self.scene()
        status, said = scene.drive(1, 150, seed=2)
        self.assertEqual(status, 0, said)
        self.assert_kept(scene, every=100, promises=600)

    def test_restarts(self):
        scene = self.scene()
        for last in (20, 40, 60):
            status, said = scene.drive(last - 19, last, seed=last)
            self.assertEqual(status, 0, said)
        self.assert_kept(scene, every=40, promises=240)


class Syncs(Case):
    """The nth sync fails, or the process dies in its place; then a restart, and a client that sends
    again. The first ones are the start's own."""

    def fail(self, variable, n):
        scene = self.scene()
        status, said = scene.drive(1, 20, seed=n, **{variable: n})
        log = (scene.folder / "log").stat().st_size
        if variable == "POWERCUT_KILL_SYNC" and n > syncs_of_start() + 12:
            self.assertIn(status, (-signal.SIGKILL, 0), said)  # it may take fewer syncs
        elif variable == "POWERCUT_KILL_SYNC":
            self.assertEqual(status, -signal.SIGKILL, said)
        else:
            # SQLite doesn't ask how a sync of a folder went; the store's own one does.
            self.assertIn(status, (0, 1), said)
        self.assertGreater(log, 0)
        status, said = scene.drive(21, 25, seed=n + 1)
        self.assertEqual(status, 0, said)
        self.assert_kept(scene, every=100, promises=60)

    def test_failed_syncs(self):
        start = syncs_of_start()
        for n in [*range(1, start + 2), start + 4, start + 8]:
            with self.subTest(n=n):
                self.fail("POWERCUT_FAIL_SYNC", n)

    def test_killed_in_place_of_a_sync(self):
        start = syncs_of_start()
        for n in [*range(2, start + 2, 3), start + 4, start + 10]:
            with self.subTest(n=n):
                self.fail("POWERCUT_KILL_SYNC", n)

    def test_nothing_is_promised_after_a_failed_sync(self):
        scene = self.scene()
        status, said = scene.drive(1, 60, POWERCUT_FAIL_SYNC=syncs_of_start() + 6)
        promises = (scene.folder / "promises").read_text(encoding="ascii").count("\n")
        self.assertEqual(status, 1, said)
        self.assertIn("disk I/O error", said)
        self.assertLess(promises, 200)


class Spool(Case):
    """A client's spool on the same code: what it has said that it keeps is there."""

    def test_restarts(self):
        scene = self.scene()
        for last in (30, 60):
            status, said = scene.drive(last - 29, last, seed=last, fault="spool")
            self.assertEqual(status, 0, said)
        self.assert_kept(scene, every=10, promises=60, spool=True)

    def test_syncs_that_fail_or_never_come(self):
        for variable in ("POWERCUT_FAIL_SYNC", "POWERCUT_KILL_SYNC"):
            for n in (2, syncs_of_start() - 1, syncs_of_start() + 1, syncs_of_start() + 4):
                with self.subTest(variable=variable, n=n):
                    scene = self.scene()
                    status, said = scene.drive(1, 60, seed=n, fault="spool", **{variable: n})
                    if variable == "POWERCUT_KILL_SYNC":
                        self.assertEqual(status, -signal.SIGKILL, said)
                    status, said = scene.drive(61, 70, seed=n + 1, fault="spool")
                    self.assertEqual(status, 0, said)
                    self.assert_kept(scene, every=50, promises=10, spool=True)

    def test_no_sync_is_found(self):
        scene = self.scene()
        scene.drive(1, 10, fault="spool")
        scene.drive(11, 30, fault="spool", POWERCUT_LIE=1)
        _, _, faults, said = scene.replay(every=40, spool=True)
        self.assertGreater(faults, 0, said)


class Room(Case):
    def test_full_at_every_commit(self):
        scene = self.scene()
        status, said = scene.drive(1, 30, DRIVER_ROOM_STEP=2500)
        full = re.search(r"the disk was full (\d+) times", said)
        self.assertEqual(status, 0, said)
        self.assertGreater(int(full[1]), 30, said)
        # All is stored in the end, and each promise was kept at each cut on the way.
        self.assert_kept(scene, every=200, promises=120)

    def test_it_says_so_once(self):
        scene = self.scene()
        _, said = scene.drive(1, 10, DRIVER_ROOM_STEP=2500)
        self.assertIn("the store has no room", said)
        self.assertIn("the store has room again", said)


class Planted(Case):
    """Faults that must not pass."""

    def assert_found(self, scene):
        _, _, faults, said = scene.replay(every=40)
        self.assertGreater(faults, 0, said)
        self.assertRegex(said, "promised|can't be opened|damaged|not what was sent")

    def plant(self, fault="", **environment):
        scene = self.scene()
        scene.drive(1, 30, fault=fault, **environment)
        self.assert_found(scene)

    def plant_after(self, fault, **environment):
        """The same in a restart after a run that ended badly. Only a cut behind one of a few calls
        shows it, so none is left out."""
        n = syncs_of_start() + 1
        scene = self.scene()
        scene.drive(1, 30, seed=n, **{name: n for name in environment})
        scene.drive(31, 40, seed=2, fault=fault)
        self.assertGreater(scene.replay(every=1)[2], 0)

    def test_no_sync(self):
        self.plant(POWERCUT_LIE=1)

    def test_reply_before_commit(self):
        self.plant("reply-before-commit")

    def test_synchronous_normal(self):
        self.plant("normal")

    def test_commit_tried_again(self):
        self.plant("commit-again", POWERCUT_FAIL_SYNC=syncs_of_start() + 2)

    def test_sync_tried_again(self):
        self.plant(POWERCUT_FAIL_SYNC=syncs_of_start() + 2, POWERCUT_RETRY_SYNC=1)

    def test_listening_before_the_first_commit(self):
        self.plant_after("early-listening", POWERCUT_KILL_SYNC=1)

    def test_log_of_a_crash_not_moved(self):
        self.plant_after("no-recovery", POWERCUT_FAIL_SYNC=1)

    def test_log_of_a_failed_sync_moved_as_it_is(self):
        self.plant_after("no-rewrite", POWERCUT_FAIL_SYNC=1)


class Recorder(Case):
    def test_an_unknown_call_is_no_proof(self):
        scene = self.scene()
        scene.drive(1, 5)
        with open(scene.live / "store.db", "r+b") as file:
            file.seek(100)
            file.write(b"x")
        _, _, faults, said = scene.replay(every=1000)
        self.assertEqual(faults, 1, said)
        self.assertIn("a call that the recorder doesn't know", said)


@unittest.skipUnless(LONG_S > 0, "the long form (TLSMSG_POWERCUT_LONG=SECONDS)")
class EverySync(Syncs):
    """Each one of the start, and each of the commits and checkpoints that follow."""

    def test_failed_syncs(self):
        for n in range(1, syncs_of_start() + 31):
            with self.subTest(n=n):
                self.fail("POWERCUT_FAIL_SYNC", n)

    def test_killed_in_place_of_a_sync(self):
        for n in range(1, syncs_of_start() + 31):
            with self.subTest(n=n):
                self.fail("POWERCUT_KILL_SYNC", n)


@unittest.skipUnless(LONG_S > 0, "the long form (TLSMSG_POWERCUT_LONG=SECONDS)")
class Long(Case):
    def test_other_seeds(self):
        end = time.monotonic() + LONG_S
        seed = 100
        while time.monotonic() < end:
            seed += 1
            scene = Scene()
            with self.subTest(seed=seed):
                way = {0: {}, 1: {"POWERCUT_FAIL_SYNC": seed // 4 % 40 + 1},
                       2: {"POWERCUT_KILL_SYNC": seed // 4 % 40 + 1},
                       3: {"DRIVER_ROOM_STEP": 1000 + seed % 7 * 500}}[seed % 4]
                scene.drive(1, 60, seed=seed, **way)
                scene.drive(61, 90, seed=seed + 1)
                self.assert_kept(scene, every=4, promises=100, draws=2)
            scene.remove()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
