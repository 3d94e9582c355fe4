"""The certificate script on a packaged server: run by root or an administrator, on files that the
service's user reads. What replaces a file is as readable as that was, to the same users."""

import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gen-certs.sh"
SECONDS = 120
# Any that are neither root's nor an ordinary user's; they need not exist.
SERVICE = (64123, 64124)


@unittest.skipUnless(shutil.which("openssl"), "the openssl program is not installed")
class Replaced(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tlsmsg-certificates-"))
        self.addCleanup(shutil.rmtree, self.folder)
        # Others' users have to come through it.
        self.folder.chmod(0o755)
        self.out = self.folder / "certs"
        self.run_script("--client", "alice")
        self.run_script("crl")

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
    def test_folder_of_somebody_else(self):
        """Its owner can put other files in the place of those that root is about to change."""
        os.chown(self.out, *SERVICE)
        self.give(0o640, "server.key", "server.crt")
        self.run_script("rekey")
        self.assertEqual(self.access("server.key"), (0, os.getegid(), 0o600))
        self.assertEqual(self.access("server.crt"), (0, os.getegid(), 0o644))

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


if __name__ == "__main__":
    unittest.main(verbosity=2)
