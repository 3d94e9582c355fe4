#!/usr/bin/env python3
"""Files that the server writes by name, in folders that come later or are made anew, wherever its
inputs lie; and the process that keeps them for it. For both builds.
"""

import contextlib
import os
import pwd
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import manager
import texts
from certificates import default_certificates
from harness import ProgramTest
from settings import is_plaintext

ABSENT = b"cannot write metrics"
AGAIN = b"metrics are written again"


def children(pid):
    """By /proc, which has them in one read."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        return [int(word) for word in listed.read().split()]


def is_running(pid):
    """False for a zombie."""
    try:
        return not manager.status(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return False


def go_on(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


class KeeperTest(ProgramTest):
    def inputs(self, folder, owner=None):
        """Options that name a certificate, its key and a CA in a folder that is made for them."""
        if is_plaintext():
            return ["--accept", "0"]
        made = default_certificates()
        os.makedirs(folder, exist_ok=True)
        words = []
        for option, source in (("--cert", made.server), ("--key", made.server_key),
                               ("--client-ca", made.ca)):
            copy = shutil.copy(source, folder)
            if owner is not None:
                os.chown(copy, owner.pw_uid, owner.pw_gid)
            words += [option, copy]
        return words

    def serving(self, *words, **how):
        return self.server("--quiet", *words, certificate=False, **how)

    def keeping(self):
        return self.serving(*self.inputs(self.folder), "--metrics-file", self.path("m.prom"),
                            "--log-level", "info")

    def keeper_of(self, server):
        """Its process number; builds and kernels without Landlock have none."""
        server.stderr.wait_for(b"sandbox: ")
        if b"files restricted" not in server.stderr.bytes():
            self.skipTest("nothing restricts files here, and nobody keeps them")
        found = children(server.pid)
        self.assertEqual(len(found), 1)
        self.assertEqual(manager.status(found[0])["Name"], "tlsmsg-keeper")
        with open(f"/proc/{found[0]}/cmdline", "rb") as file:
            self.assertEqual(file.read().rstrip(b"\0"), b"tlsmsg-keeper")
        return found[0]

    def talk(self, port):
        made = None if is_plaintext() else default_certificates()
        words = () if made is None else ("--ca", made.ca, "--cert", made.client,
                                         "--key", made.client_key)
        client = self.run_client(*words, *texts.DOCUMENT_FLOW, "-q", "-m", "hello", str(port))
        self.assertEqual(client.stdout.bytes(), texts.reply(b"hello") + b"\n")


class Folders(KeeperTest):
    """One server a layout, all at once, for each waits for the metrics' next time twice."""

    # name: (where the inputs lie, the metrics' folder, what is removed and made anew, comes later)
    layouts = {
        "a folder beside the inputs": (".", "metrics", "metrics", False),
        "one that comes later": (".", "metrics", "metrics", True),
        "two folders in one": ("certs", "metrics", "metrics", False),
        "two that come later": ("certs", "out/metrics", "out", True),
        "two that are made anew": ("certs", "out/metrics", "out", False),
        "the inputs' own": (".", ".", ".", False),
        "the one above the inputs": ("certs", ".", ".", False),
        "below the inputs": ("out", "out/metrics", "out/metrics", False),
        "through a link": ("certs", "link", "link", False),
    }

    def make(self, root, folder, owner):
        path = os.path.join(root, folder)
        if folder == "link":
            target = path + str(len(os.listdir(root)))
            os.mkdir(target)
            os.symlink(target, path)
        else:
            os.makedirs(path, exist_ok=True)
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def begin(self, layout, words, owner):
        """A server in a folder of its own, and what becomes of it."""
        name, (inputs, folder, anew, later) = layout
        root = self.path(f"{name}, {words}")
        os.mkdir(root)
        given = self.inputs(os.path.join(root, inputs), owner)
        file = os.path.normpath(os.path.join(root, folder, "m.prom"))

        def make():
            self.make(root, folder, owner)

        def remove():
            if not later:
                kernel.wait_until(lambda: os.path.exists(file), file)
                os.rename(os.path.normpath(os.path.join(root, anew)), root + " gone")

        if not later:
            make()
        return self.serving(*given, *words, "--metrics-file", file), file, make, remove

    def test_metrics(self):
        os.chmod(self.folder, 0o755)
        users = [([], None)]
        if manager.is_root():
            users.append((["--user", "nobody"], pwd.getpwnam("nobody")))
        running = [(owner, *self.begin(layout, words, owner)) for words, owner in users
                   for layout in self.layouts.items()]
        for *_, remove in running:
            remove()
        for _, server, _, make, _ in running:
            server.stderr.wait_for(ABSENT, limit=20)
            make()
        for owner, server, file, _, _ in running:
            kernel.wait_until(lambda path=file: os.path.exists(path), file, limit=20)
            server.stderr.wait_for(AGAIN, limit=20)
            self.assertEqual(os.stat(file).st_uid, owner.pw_uid if owner else os.geteuid())
            server.stop()
            self.assertEqual(server.stderr.bytes().count(ABSENT), 1)

    @harness.unittest.skipIf(is_plaintext(), "there is nothing to reload")
    def test_transcript_and_key_log(self):
        folder = self.path("log")
        log, keys = folder + "/transcript", folder + "/keys"
        os.mkdir(folder)
        server = self.server(*self.inputs(self.folder), "--transcript", log, "--keylog-file", keys,
                             certificate=False)
        self.talk(server.port)
        os.rename(folder, self.path("gone"))
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(b"the transcript goes on in the old file: cannot open transcript")
        server.stderr.wait_for(b"the old configuration stays, since the new one fails: cannot open "
                               b"key log")
        self.talk(server.port)
        with open(self.path("gone/transcript"), "rb") as file:
            self.assertIn(b"hello", file.read())
        os.mkdir(folder)
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(b"configuration reloaded")
        self.talk(server.port)
        server.stop()
        with open(log, "rb") as file:
            self.assertIn(b"hello", file.read())
        with open(keys, "rb") as file:
            self.assertIn(b"SERVER_TRAFFIC_SECRET_0", file.read())
        self.assertEqual(os.stat(keys).st_mode & 0o7777, 0o600)


class Process(KeeperTest):
    def test_a_server_without_such_files_has_none(self):
        server = self.serving(*self.inputs(self.folder))
        self.assertEqual(children(server.pid), [])
        server.stop()

    def test_signals_for_both_end_the_server_in_order(self):
        """As Ctrl-C does: what was received last is in the metrics' last writing."""
        server = self.keeping()
        keeper = self.keeper_of(server)
        self.talk(server.port)
        for pid in (keeper, server.pid):
            os.kill(pid, signal.SIGINT)
        server.finish(0)
        self.assertFalse(is_running(keeper))
        with open(self.path("m.prom"), encoding="ascii") as file:
            self.assertIn("tlsmsg_messages_total 1\n", file.read())

    def test_killed_keeper(self):
        server = self.keeping()
        keeper = self.keeper_of(server)
        os.kill(keeper, signal.SIGKILL)
        server.stderr.wait_for(b"the file keeper (tlsmsg-keeper) has ended")
        self.assertEqual(children(server.pid), [], "a zombie")
        self.talk(server.port)
        server.stop()
        self.assertEqual(server.stderr.bytes().count(b"(tlsmsg-keeper) has ended"), 1)
        self.assertEqual(server.stderr.bytes().count(ABSENT), 1)

    def test_killed_server(self):
        """Its port is free at once, though the keeper has yet to notice; then that ends, too."""
        server = self.keeping()
        keeper = self.keeper_of(server)
        os.kill(keeper, signal.SIGSTOP)
        self.addCleanup(go_on, keeper)
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        self.assertTrue(is_running(keeper))
        again = self.serving(*self.inputs(self.folder), listen=(f"127.0.0.1:{server.port}",))
        kernel.wait_until(lambda: kernel.is_listening(server.port), "the next server listens")
        self.talk(server.port)
        again.stop()
        go_on(keeper)
        kernel.wait_until(lambda: not is_running(keeper), "the keeper's end")


if __name__ == "__main__":
    harness.main()
