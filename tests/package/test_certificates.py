"""The certificate script on a packaged server: run by root or an administrator, on files that the
service's user reads. What replaces a file is as readable as that was, to the same users."""

import contextlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gen-certs.sh"
ROTATE = ROOT / "scripts" / "rotate-ticket-keys.sh"
SECONDS = 120
# Any that are neither root's nor an ordinary user's; they need not exist.
SERVICE = (64123, 64124)


@unittest.skipUnless(shutil.which("openssl"), "the openssl program is not installed")
class Replaced(unittest.TestCase):
    made = None # once, for a copy in each test

    @classmethod
    def setUpClass(cls):
        cls.made = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-certificates-"))
        cls.addClassCleanup(shutil.rmtree, cls.made)
        for words in (["--client", "alice"], ["crl"]):
            subprocess.run([SCRIPT, *words, "--quiet", "--out", cls.made / "certs"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=SECONDS,
                           check=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-certificates-"))
        self.addCleanup(shutil.rmtree, self.folder)
        # Others' users have to come through it.
        self.folder.chmod(0o755)
        self.out = self.folder / "certs"
        shutil.copytree(self.made / "certs", self.out)

    def run_script(self, *words, code=0, **options):
        done = subprocess.run([SCRIPT, *words, "--quiet", "--out", self.out], cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                              encoding="utf-8", check=False, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def access(self, name):
        """(owner, group, mode) of a file."""
        found = (self.out / name).stat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def content(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}

    def give(self, mode, *names):
        for name in names:
            try:
                os.chown(self.out / name, *SERVICE)
            except OSError as error:
                self.skipTest(f"cannot give a file away here: {error.strerror}")
            (self.out / name).chmod(mode)

    def replaces(self, *words, names):
        """The command makes these files anew, and nothing else of them changes."""
        before, content = {name: self.access(name) for name in names}, self.content()
        self.run_script(*words)
        for name in names:
            self.assertNotEqual((self.out / name).read_bytes(), content[name], name)
            self.assertEqual(self.access(name), before[name], name)

    def test_mode(self):
        """As where a group may read a key; also without root."""
        for name in ("server.key", "server.crt", "ca.crl"):
            (self.out / name).chmod(0o640)
        self.replaces("rekey", names=("server.key", "server.crt", "ca.crl"))

    def test_new_files(self):
        """Those that replace nothing: keys and the record are their maker's, the rest is public."""
        for path in self.out.iterdir():
            wanted = 0o644 if path.suffix in (".crt", ".crl") else 0o600
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), wanted, path.name)

    def test_others_never_read_a_key(self):
        (self.out / "server.key").chmod(0o644)
        self.run_script("rekey")
        self.assertEqual(self.access("server.key")[2], 0o640)

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_owner(self):
        self.give(0o600, "server.key")
        self.give(0o440, "server.crt", "ca.crl")
        self.replaces("rekey", names=("server.key", "server.crt", "ca.crl"))
        self.replaces("renew", names=("server.crt", "ca.crl"))
        self.replaces("crl", names=("ca.crl",))
        self.give(0o640, "ca.crt", "ca.db")
        self.replaces("renew", "ca", names=("ca.crt", "ca.crl"))
        self.replaces("revoke", "alice", names=("ca.crl", "ca.db"))
        self.replaces("client", "alice", "--force", names=("alice.key", "alice.crt", "ca.db"))
        self.give(0o400, "ca.key")
        self.replaces("--force", names=("ca.key", "ca.crt", "ca.db", "server.key", "server.crt"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_lock_of_somebody_else(self):
        """It is waited for like a living one, and never taken over."""
        lock = self.out / ".gen-certs.lock"
        lock.mkdir()
        (lock / f"owner.{os.uname().nodename}.999999999").touch()
        os.chown(lock, *SERVICE)
        content = self.content()
        with subprocess.Popen([SCRIPT, "renew", "--out", self.out], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            with self.assertRaises(subprocess.TimeoutExpired):
                running.wait(3)
            running.terminate()
        self.assertTrue(lock.exists())
        self.assertEqual(self.content(), content)

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_owner_of_what_a_link_names(self):
        """The link becomes a file, and whoever read through it reads that."""
        self.give(0o640, "server.key")
        (self.out / "server.key").rename(self.folder / "elsewhere.key")
        (self.out / "server.key").symlink_to(self.folder / "elsewhere.key")
        self.replaces("rekey", names=("server.key",))
        self.assertFalse((self.out / "server.key").is_symlink())

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_owner_cannot_be_kept(self):
        """By a user who may write the folder alone: told, and nothing has changed."""
        self.give(0o644, "server.crt")
        os.chown(self.out, 64125, 64125)
        for name in ("ca.key", "ca.crt", "ca.db", "ca.crl", "server.key"):
            os.chown(self.out / name, 64125, 64125)
        before, content = self.access("server.crt"), self.content()
        done = self.run_script("renew", code=1, user=64125, group=64125, extra_groups=[])
        self.assertRegex(done.stderr, r"\Agen-certs\.sh: [^\n]*'server\.crt'[^\n]*root[^\n]*\n\Z")
        self.assertEqual((self.access("server.crt"), self.content()), (before, content))


def exchange(victim, folder, names, ready):
    """What a folder's owner does while root works there: puts a folder of his own in the place of
    the lock, with links to what is root's in it; and exchanges names on the way. Never returns."""
    os.chdir(folder)
    os.mkdir("mine")
    for part in ("new", "tmp"):
        os.mkdir(f"mine/{part}")
        for name in ("cnf", "csr", "db", "log", "server.key", "server.crt", "ca.key"):
            os.symlink(victim / "file", f"mine/{part}/{name}")
    os.write(ready, b"!")
    number, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        for name in names:
            for source in ("mine", victim):
                number += 1
                for step, words in ((os.rename, (name, f"old{number}")),
                                    (os.symlink, (source, name)), (os.unlink, (f"old{number}",))):
                    with contextlib.suppress(OSError):
                        step(*words)


@unittest.skipUnless(shutil.which("openssl"), "the openssl program is not installed")
@unittest.skipUnless(os.geteuid() == 0, "only root can be lured into folders of others")
class Foreign(unittest.TestCase):
    """Root in a folder that somebody else can change: refused before anything is run, read or
    written there, whatever its owner does meanwhile."""

    TIMES = int(os.environ.get("TLSMSG_FOREIGN_TIMES", "3"))

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-foreign-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.victim = self.folder / "victim"
        self.victim.mkdir(mode=0o755)
        (self.victim / "file").write_text("root's own\n")
        self.before = self.state()
        # Tells where openssl is run for anything but its version.
        self.log = self.folder / "log"
        self.tool = self.folder / "openssl"
        self.tool.write_text(f"#!/bin/sh\n[ $1 = version ] || pwd >>'{self.log}'\n"
                             f"exec {shutil.which('openssl')} \"$@\"\n")
        self.tool.chmod(0o755)

    def state(self):
        return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid)
                for path in self.victim.iterdir()}

    def theirs(self, name, mode=0o755, owner=SERVICE):
        path = self.folder / name
        path.mkdir()
        os.chown(path, *owner)
        path.chmod(mode)
        return path

    def mallory(self, folder, *names):
        """Forked, as that user may not be able to run this Python."""
        done, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(SERVICE[1])
                os.setuid(SERVICE[0])
                exchange(self.victim, folder, names, ready)
            finally:
                os._exit(1)
        os.close(ready)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        with open(done, "rb") as pipe:
            self.assertEqual(pipe.read(1), b"!")

    def run_as_root(self, *command):
        return subprocess.run([*map(str, command)], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=SECONDS, encoding="utf-8", check=False,
                              env={**os.environ, "OPENSSL": str(self.tool)})

    def refused(self, folder, *command):
        done = self.run_as_root(*command)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"\A\S+\.sh: root does not work [^\n]* can change [^\n]*"
                                      r"\(try: [^\n]*\)\n\Z")
        self.assertFalse(self.log.exists(), "openssl was run")
        self.assertEqual(self.state(), self.before)
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                self.assertNotEqual((folder / name).lstat().st_uid, 0, name)
        return done

    def test_owner_at_work(self):
        """The lock, what it holds, and a folder below are exchanged all the time."""
        folder = self.theirs("certs")
        self.mallory(folder, ".gen-certs.lock", "below", "server.key", "ticket.keys")
        for _ in range(self.TIMES):
            self.refused(folder, SCRIPT, "--out", folder)
            self.refused(folder, SCRIPT, "--out", folder / "below")
            self.refused(folder, SCRIPT, "--out", self.folder / "own", "--ca-dir", folder / "below")
            self.refused(folder, ROTATE, folder / "ticket.keys")
            self.refused(folder, ROTATE, folder / "below" / "file")

    def test_each_command(self):
        folder = self.theirs("certs")
        for command in (["client", "a"], ["server", "b"], ["renew"], ["rekey"], ["revoke", "a"],
                        ["crl"], ["show"]):
            self.refused(folder, SCRIPT, *command, "--out", folder)

    def test_sticky(self):
        """As below /tmp, where anybody can put something in the way: root goes through none of
        it, and works in what is its own."""
        folder = self.theirs("tmp", 0o1777, (0, 0))
        self.mallory(folder, "certs")
        for _ in range(self.TIMES):
            done = self.run_as_root(SCRIPT, "--out", folder / "certs")
            self.assertIn(done.returncode, (0, 1))
            done = self.run_as_root(ROTATE, folder / "certs" / "file")
            self.assertIn(done.returncode, (0, 1))
            self.assertEqual(self.state(), self.before)
        done = self.run_as_root(SCRIPT, "--quiet", "--out", folder / "roots" / "certs")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.log.unlink()
        self.assertIn("folder below", self.run_as_root(SCRIPT, "--out", folder).stderr)

    def test_modes_and_links(self):
        for number, (mode, owner, fine) in enumerate((
                (0o755, (0, 0), True), (0o755, (0, 64124), True), (0o775, (0, 0), True),
                (0o775, (0, 64124), False), (0o757, (0, 0), False), (0o700, SERVICE, False))):
            with self.subTest(mode=oct(mode), owner=owner):
                folder = self.theirs(str(number), mode, owner)
                (folder / "keys").mkdir()
                (self.folder / f"link{number}").symlink_to(str(number))
                for path in (folder, folder / "keys", self.folder / f"link{number}" / "keys"):
                    done = self.run_as_root(ROTATE, path / "keys.txt")
                    self.assertEqual(done.returncode, 0 if fine else 1, done.stderr)
                    done = self.run_as_root(SCRIPT, "renew", "--out", path)
                    self.assertIn("no server.crt" if fine else "root does not work", done.stderr)

    def test_whoever_owns_the_script(self):
        """A tree of the project that is somebody's, with root at work in it."""
        folder = self.theirs("tree", 0o775)
        for script in (SCRIPT, ROTATE):
            copy = shutil.copy(script, folder)
            os.chown(copy, *SERVICE)
            os.chmod(copy, 0o755)
        for mode, code in ((0o755, 1), (0o775, 0)):
            (folder / SCRIPT.name).chmod(mode)
            (folder / ROTATE.name).chmod(mode)
            done = self.run_as_root(folder / ROTATE.name, folder / "ticket.keys")
            self.assertEqual(done.returncode, code, done.stderr)
            done = self.run_as_root(folder / SCRIPT.name, "--quiet", "--out", folder / "certs")
            self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(self.run_as_root(SCRIPT, "show", "--out", folder / "certs").returncode, 1)

    def test_as_the_owner(self):
        folder = self.theirs("certs")
        for command in ([SCRIPT, "--quiet", "--out", folder], [ROTATE, folder / "ticket.keys"]):
            done = subprocess.run(list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=SECONDS, encoding="utf-8",
                                  check=False, user=SERVICE[0], group=SERVICE[1], extra_groups=[])
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({path.stat().st_uid for path in folder.iterdir()}, {SERVICE[0]})


@unittest.skipUnless(shutil.which("openssl"), "the openssl program is not installed")
class TicketKeys(unittest.TestCase):
    """What rotates a file leaves it to those who read it."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-rotate-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.file = self.folder / "ticket.keys"

    def rotate(self, file, code=0, **options):
        done = subprocess.run([ROTATE, file], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=SECONDS, encoding="utf-8", check=False,
                              **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def access(self):
        found = self.file.stat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def keys(self):
        return dict(line.split() for line in self.file.read_text().splitlines())

    def test_mode(self):
        self.rotate("ticket.keys")
        self.assertEqual(self.access()[2], 0o600)
        for before, after in ((0o640, 0o640), (0o400, 0o400), (0o664, 0o660)):
            self.file.chmod(before)
            self.rotate("ticket.keys")
            self.assertEqual(self.access()[2], after)

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_owner(self):
        self.rotate(self.file)
        self.file.chmod(0o440)
        os.chown(self.file, *SERVICE)
        before = self.keys()
        self.rotate(self.file)
        self.assertEqual(self.access(), (*SERVICE, 0o440))
        self.assertEqual(self.keys()["previous"], before["current"])
        self.assertEqual(self.keys()["current"], before["next"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_owner_cannot_be_kept(self):
        self.rotate(self.file)
        self.file.chmod(0o644)
        os.chown(self.folder, *SERVICE)
        before = self.access(), self.keys()
        says = self.rotate(self.file, 1, user=SERVICE[0], group=SERVICE[1], extra_groups=[])
        self.assertRegex(says, r"\A[^\n]*'[^\n]*ticket\.keys' \(try: as root[^\n]*\n\Z")
        self.assertEqual((self.access(), self.keys()), before)
        self.assertEqual(list(self.folder.iterdir()), [self.file])

    def test_link(self):
        """What it names is replaced, where it is; the link stays."""
        (self.folder / "to").mkdir()
        (self.folder / "link").symlink_to("to/next")
        (self.folder / "to" / "next").symlink_to(self.file)
        self.rotate("link")
        before = self.keys()
        self.rotate(self.folder / "link")
        self.assertEqual(self.keys()["previous"], before["current"])
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertTrue((self.folder / "to" / "next").is_symlink())

    def test_what_it_refuses(self):
        os.mkfifo(self.folder / "fifo")
        self.file.write_text("words\n")
        (self.folder / "loop").symlink_to("loop")
        for name, code, says in (("fifo", 1, "not a regular file"), (".", 2, "is a folder"),
                                 ("ticket.keys", 1, "holds no ticket keys"), ("", 2, "FILE"),
                                 ("loop", 1, "too many links"), ("none/file", 1, "open the folder"),
                                 ("-x", 2, "unknown option")):
            with self.subTest(name):
                self.assertRegex(self.rotate(name, code), rf"\A[^\n]*{says}[^\n]*\n\Z")
        self.assertEqual(self.file.read_text(), "words\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
