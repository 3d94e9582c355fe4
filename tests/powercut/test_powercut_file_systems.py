"""File systems that stop in the middle, as a power cut would have them stop: ext4 and xfs on a loop
device, shut down by their own call without their journals being written, under a server with clients.

Here recovery is the kernel's and SQLite's together. What the loop device has taken stays, so the replays
of test_powercut.py are the stricter ones. As root, in the long form (TLSMSG_POWERCUT_LONG=SECONDS).
"""

import fcntl
import os
import pathlib
import random
import shutil
import sqlite3
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import harness
from test_powercut import BUILD, LONG_S
from test_powercut_server import DOCUMENT, PRODUCERS, Document, Numbered, Told, body

MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q")}
DISK_BYTES = 400 * 1024 * 1024
# _IOR('X', 125, __u32), the same for both; 2: nothing of the journal is written any more.
SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
FOR_EVER = 1 << 40


class Disk:
    """A file system in a file."""

    def __init__(self, case, kind):
        self.case = case
        self.image = case.path(f"{kind}.img")
        self.folder = case.path(kind)
        os.mkdir(self.folder)
        with open(self.image, "wb") as file:
            file.truncate(DISK_BYTES)
        self.run(*MAKE[kind], self.image)
        case.addCleanup(subprocess.run, ["umount", "--lazy", self.folder], capture_output=True,
                        check=False)
        self.mount()

    def run(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            self.case.skipTest(f"{words[0]} may not here: {done.stderr.strip()}")

    def mount(self):
        self.run("mount", "-o", "loop", self.image, self.folder)

    def stop(self):
        """As if the power had gone."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def restart(self):
        self.run("umount", self.folder)
        self.mount()


@unittest.skipUnless(LONG_S > 0, "the long form (TLSMSG_POWERCUT_LONG=SECONDS)")
@unittest.skipUnless(os.geteuid() == 0, "only root mounts and stops file systems")
class FileSystems(harness.ProgramTest):
    limit = 600 + 3 * LONG_S

    def talk(self, client, port):
        try:
            client.talk(self.told, port, FOR_EVER)
        except (OSError, AssertionError, ssl.SSLError):
            pass  # the server has ended

    def cut(self, seconds, **environment):
        """Clients of a server whose disk stops after a while."""
        server = self.server("--store", self.store, "--quiet", "--workers", "2",
                             env=os.environ | environment)
        threads = [threading.Thread(target=self.talk, args=(client, server.port))
                   for client in self.clients]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.disk.stop()
        for thread in threads:
            thread.join()
        server.finish(expect=1)
        self.disk.restart()

    def begin(self, kind, seed):
        if shutil.which(MAKE[kind][0]) is None:
            self.skipTest(f"{MAKE[kind][0]} is not installed")
        self.disk = Disk(self, kind)
        self.store = os.path.join(self.disk.folder, "store.db")
        self.told = Told()
        self.clients = [*(Numbered(name, seed) for name in PRODUCERS), Document()]

    def missing(self):
        """What was told, counted, and how much of it the store doesn't have, once and whole."""
        self.server("--store", self.store, "--quiet").stop()
        with sqlite3.connect(self.store) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            rows = database.execute("SELECT messages.producer, messages.seq, body FROM messages"
                                    " JOIN message USING (id)").fetchall()
        database.close()
        numbered = {(name, seq): text for name, seq, text in rows if not name.startswith("@")}
        plain = [text for name, _, text in rows if name.startswith("@")]
        self.assertEqual(len(set(plain)), len(plain), "a message is stored twice")
        told = missing = 0
        for line in (line for lines in self.told.lines.values() for _, line in lines):
            kind, name, number = line.split()
            told += 1
            if kind == "L":
                missing += (name, int(number)) not in numbered
            elif name == DOCUMENT:
                missing += body(name, int(number)) not in plain
            else:
                missing += numbered.get((name, int(number))) != body(name, int(number))
        return told, missing

    def kept(self, kind):
        self.begin(kind, seed=1)
        rng = random.Random(kind)
        end = time.monotonic() + LONG_S
        cuts = 0
        while time.monotonic() < end:
            self.cut(rng.uniform(0.1, 0.8))
            cuts += 1
        told, missing = self.missing()
        self.assertEqual(missing, 0, f"of {told} in {cuts} cuts")
        self.assertGreater(told, 20 * cuts)
        print(f"{kind}: {cuts} cuts, {told} promises, all kept", file=sys.stderr)

    def planted(self, kind):
        """A server whose syncs do nothing loses what it has promised, and that is seen."""
        self.begin(kind, seed=2)
        self.server("--store", self.store, "--quiet").stop()
        self.cut(0.5, LD_PRELOAD=str(BUILD / "libpowercut_recorder.so"), POWERCUT_LIE="1",
                 POWERCUT_FOLDER=self.disk.folder, POWERCUT_LOG=self.path("log"))
        self.assertGreater(self.missing()[1], 0)

    def test_ext4(self):
        self.kept("ext4")

    def test_xfs(self):
        self.kept("xfs")

    def test_syncs_that_do_nothing_on_ext4(self):
        self.planted("ext4")

    def test_syncs_that_do_nothing_on_xfs(self):
        self.planted("xfs")


if __name__ == "__main__":
    harness.main(plaintext=False)
