#!/usr/bin/env python3
"""A running server's trust: reloads under load, what they end, tickets, and what is done with keys.

SIGHUP is taken as done when the log says so; what follows is then judged by the new configuration.
"""

import itertools
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import network
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from s_client import SClient
from settings import ROOT, scaled

RELOADED = b"configuration reloaded"
KEPT = b"the old configuration stays"
ROTATE = os.path.join(ROOT, "scripts", "rotate-ticket-keys.sh")
UNKNOWN_CA, REVOKED = 48, 44
KEY_LINE = re.compile(r"\A(previous|current|next) ([0-9a-f]{160})\Z")


def replace(path, *parts):
    """Puts the parts' bytes in place of a file at once, as an operator should."""
    with open(path + ".new", "wb") as out:
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, out)
    os.replace(path + ".new", path)


class RunningTest(ProgramTest):
    def reload(self, server, says=RELOADED):
        count = server.stderr.bytes().count(says)
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(says, count + 1)

    def s_client(self, server, *options, ca=None):
        return self.keep(SClient(server.port, *options, ca=ca or default_certificates().ca))

    def visit(self, server, *options, ca=None):
        """A conversation that must work; "New" or "Reused"."""
        client = self.s_client(server, *options, ca=ca)
        client.say(b"hello\n")
        client.leave()
        return client.version_and_cipher[0]

    def refused(self, server, *options, ca=None):
        """The alert that a client got in place of a conversation."""
        client = self.s_client(server, *options, ca=ca)
        # In TLS 1.3 the alert comes after the client's own handshake: end of file on stdin could
        # have s_client leave before it.
        self.assertNotEqual(client.wait(), 0)
        return client.alert()


class Manager:
    """A service manager's end of NOTIFY_SOCKET: tells when a reload is done, without the log, of
    which a burst of the same lines is left out."""

    def __init__(self, path):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.sock.settimeout(scaled(10))

    def wait_for(self, text):
        while text not in (said := self.sock.recv(4096)):
            pass
        return said


class Reload(RunningTest):
    LOADERS, RELOADS, RELOADS_LIMIT = 4, 200, 40

    def talk(self, port, context, stopped, done, failed):
        """Conversations of three messages, each on its own connection, until stopped."""
        try:
            while not stopped.is_set():
                end = tls.connect(port, context)
                for number in range(3):
                    data = b"message %d" % number
                    end.send(data)
                    answer = texts.reply(data)
                    self.assertEqual(end.receive_exactly(len(answer)), answer)
                end.close()
                done.append(1)
        except Exception as error:  # looked at by the test
            failed.append(error)

    def test_under_load(self):
        """Two certificates in turn, and not one conversation fails."""
        leaves = [certificates.leaf("reload", name) for name in ("first", "second")]
        both = self.path("both.pem")
        pairs = itertools.cycle([(leaf.certificate, leaf.key) for leaf in leaves])
        replace(both, *next(pairs))
        os.chmod(both, 0o600)
        manager = Manager(self.path("notify"))
        self.addCleanup(manager.sock.close)
        server = self.server("--cert", both, "--quiet", certificate=False,
                             env={"NOTIFY_SOCKET": manager.path})
        manager.wait_for(b"READY=1")
        context = tls.client_context(certificates.authority("reload").ca)
        running = tls.connect(server.port, context)
        self.addCleanup(running.sock.close)
        stopped, done, failed = threading.Event(), [], []
        threads = [threading.Thread(target=self.talk, daemon=True,
                                    args=(server.port, context, stopped, done, failed))
                   for _ in range(self.LOADERS)]
        for thread in threads:
            thread.start()
        begun, reloads = time.monotonic(), 0
        try:
            while reloads < self.RELOADS and time.monotonic() - begun < self.RELOADS_LIMIT:
                replace(both, *next(pairs))
                os.chmod(both, 0o600)
                server.signal(signal.SIGHUP)
                manager.wait_for(b"RELOADING=1")
                self.assertNotIn(b"failed", manager.wait_for(b"READY=1"))
                reloads += 1
        finally:
            stopped.set()
            for thread in threads:
                thread.join(scaled(20))
        self.assertEqual(failed, [])
        self.assertGreaterEqual(reloads, 20)
        self.assertGreaterEqual(len(done), self.LOADERS)
        self.assertNotIn(KEPT, server.log())
        # The conversation from before the first of them has not noticed.
        running.send(b"still here")
        self.assertEqual(running.receive_exactly(len(texts.reply(b"still here"))),
                         texts.reply(b"still here"))
        running.close()

    def test_who_has_said_nothing_yet_gets_the_new(self):
        """A connection that was accepted before and is silent has no configuration so far."""
        first, second = (certificates.leaf(name, "server") for name in ("before", "after"))
        cert = shutil.copy(first.certificate, self.path("cert"))
        key = shutil.copy(first.key, self.path("key"))
        server = self.server("--workers", "1", "--log-level", "info", "--cert", cert, "--key", key,
                             certificate=False)

        def is_accepted():
            server.signal(signal.SIGUSR1)
            return b"connections:   1 open" in server.stderr.bytes()

        with network.connect(server.port) as silent:
            kernel.wait_until(is_accepted, "the connection's accept")
            replace(cert, second.certificate)
            replace(key, second.key)
            self.reload(server)
            end = tls.End(silent, tls.client_context(certificates.authority("after").ca),
                          server_side=False, server_hostname="localhost").handshake()
            end.send(b"hello")
            self.assertIn(b"hello", end.receive())
            end.close()

    def test_a_failing_reload_keeps_the_old(self):
        made = default_certificates()
        other = certificates.leaf("reload", "first")
        cert, key = self.path("cert.pem"), self.path("key.pem")
        replace(cert, made.server)
        replace(key, made.server_key)
        os.chmod(key, 0o600)
        server = self.server("--cert", cert, "--key", key, "--log-level", "info",
                             certificate=False)
        expired = certificates.leaf("reload", "expired", dates="expired")
        rows = (("no certificate in it", (key,), "no certificate"),
                ("another's", (other.certificate,), "does not belong"),
                ("expired", (expired.certificate,), "expired on"),
                ("missing", None, "No such file"))
        for name, parts, says in rows:
            with self.subTest(name):
                if parts is None:
                    os.remove(cert)
                else:
                    replace(cert, *parts)
                count = server.stderr.bytes().count(KEPT)
                self.reload(server, KEPT)
                line = [line for line in server.log().splitlines() if KEPT in line][count]
                self.assertIn(says.encode(), line)
                self.assertIn(b"Z error: certificate: ", line)
                self.assertEqual(self.visit(server), "New")
        replace(cert, made.server)
        self.reload(server)
        self.assertEqual(self.visit(server), "New")


class Resumed(RunningTest):
    """What a reload takes away is taken from sessions that were begun before it, too."""

    VERSIONS = ("-tls1_3", "-tls1_2")

    def server_and_session(self, version, *options):
        """A server that asks for certificates, alice's words and her session's file."""
        alice = certificates.leaf("members", "alice")
        words = (version, "-cert", alice.certificate, "-key", alice.key)
        server = self.server("--log-level", "info", *options)
        session = self.path("session" + version)
        self.assertEqual(self.visit(server, *words, "-sess_out", session), "New")
        words = (*words, "-sess_in", session)
        return server, words

    def test_ca_removed(self):
        authorities = [certificates.authority(name).ca for name in ("members", "others")]
        for version in self.VERSIONS:
            cas = self.path("cas.pem")
            replace(cas, *authorities)
            server, words = self.server_and_session(version, "--client-ca", cas)
            self.reload(server)
            self.assertEqual(self.visit(server, *words), "Reused")
            replace(cas, authorities[1])
            self.reload(server)
            self.assertEqual(self.refused(server, *words), UNKNOWN_CA)
            server.stop(0)
            self.assertIn(b"unknown CA", server.log())

    def test_revoked(self):
        for version in self.VERSIONS:
            made = certificates.Certificates(self.path("made" + version))
            gen = [os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out", made.out]
            certificates.run([*gen, "--client", "alice"])
            certificates.run([gen[0], "crl", *gen[1:]])
            server = self.server("--client-ca", made.ca, "--crl",
                                 os.path.join(made.out, "ca.crl"), "--log-level", "info")
            session = self.path("session" + version)
            words = (version, "-cert", made.client, "-key", made.client_key)
            self.assertEqual(self.visit(server, *words, "-sess_out", session), "New")
            words = (*words, "-sess_in", session)
            self.assertEqual(self.visit(server, *words), "Reused")
            certificates.run([gen[0], "revoke", "alice", *gen[1:]])
            self.reload(server)
            self.assertEqual(self.refused(server, *words), REVOKED)
            server.stop(0)
            self.assertIn(b"revoked", server.log())

    def test_no_longer_allowed(self):
        for version in self.VERSIONS:
            names = self.write_file("allowed", b"CN=bob\nDNS:localhost\n")
            server, words = self.server_and_session(
                version, "--client-ca", certificates.authority("members").ca, "--allow-file",
                names)
            self.assertEqual(self.visit(server, *words), "Reused")
            self.write_file("allowed", b"CN=bob\n")
            self.reload(server)
            self.assertIsNotNone(self.refused(server, *words))
            server.stop(0)
            self.assertIn(b"not on the allow list", server.log())


class Tickets(RunningTest):
    def rotate(self, path, expect=0):
        done = subprocess.run([ROTATE, path], capture_output=True, timeout=scaled(20), check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertEqual(done.stdout, b"")
        return done.stderr.decode()

    def keys(self, path):
        with open(path, encoding="ascii") as source:
            return dict(KEY_LINE.match(line).groups() for line in source.read().splitlines())

    def test_rotation_script(self):
        path = self.path("keys")
        self.addCleanup(os.umask, os.umask(0))
        self.rotate(path)
        first = self.keys(path)
        self.assertEqual(sorted(first), ["current", "next"])
        self.rotate(path)
        second = self.keys(path)
        self.assertEqual((second["previous"], second["current"]),
                         (first["current"], first["next"]))
        self.assertEqual(len(set(second.values())), 3)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["keys"])

    def test_rotation_script_refuses(self):
        junk = self.write_file("junk", b"not keys\n")
        self.assertIn("no ticket keys", self.rotate(junk, expect=1))
        with open(junk, "rb") as source:
            self.assertEqual(source.read(), b"not keys\n")
        self.rotate(self.folder, expect=2)
        self.rotate("", expect=2)
        self.rotate(self.path("no/such/folder"), expect=1)
        self.assertEqual(os.listdir(self.folder), ["junk"])

    def test_rotation_reads_as_the_server_does(self):
        """What an editor leaves means nothing; a line that is not a key stops it, since a next key
        that it passed over would be one that no other server knows."""
        path, made = self.path("keys"), default_certificates()
        for name, edit in (("CR LF", lambda text: text.replace(b"\n", b"\r\n")),
                           ("a mark", lambda text: b"\xef\xbb\xbf" + text),
                           ("blanks", lambda text: text.replace(b"\n", b" \t\n")),
                           ("a comment", lambda text: b"# ours\n\n" + text)):
            with self.subTest(name):
                self.rotate(path)
                before = self.keys(path)
                with open(path, "rb") as source:
                    self.write_file("keys", edit(source.read()))
                self.run_server_to_end("--cert", made.server, "--key", made.server_key, "--check",
                                       "--ticket-keys", path, expect=0)
                self.rotate(path)
                after = self.keys(path)
                self.assertEqual((after["previous"], after["current"]),
                                 (before["current"], before["next"]))
        for edit in (lambda text: text.replace(b"next ", b"next"), lambda text: text + text,
                     lambda text: text.replace(b"next ", b"next \xc2\xa0")):
            self.rotate(path)
            with open(path, "rb") as source:
                broken = edit(source.read())
            self.write_file("keys", broken)
            self.assertIn("is not one of the ticket keys", self.rotate(path, expect=1))
            with open(path, "rb") as source:
                self.assertEqual(source.read(), broken)
            os.unlink(path)

    def test_a_fleet(self):
        """Two servers that share keys, through two rotations; one of them always lags behind."""
        path, copy = self.path("keys"), self.path("copy")
        self.rotate(path)
        replace(copy, path)
        os.chmod(copy, 0o600)
        one = self.server("--ticket-keys", path, "--log-level", "info")
        two = self.server("--ticket-keys", copy, "--log-level", "info")
        old, new = self.path("old"), self.path("new")
        self.assertEqual(self.visit(one, "-sess_out", old), "New")
        self.assertEqual(self.visit(two, "-sess_in", old), "Reused")
        self.rotate(path)
        self.reload(one)
        self.assertEqual(self.visit(one, "-sess_in", old), "Reused", "sealed with the previous")
        self.assertEqual(self.visit(one, "-sess_out", new), "New")
        self.assertEqual(self.visit(two, "-sess_in", new), "Reused", "sealed with its next")
        self.rotate(path)
        self.reload(one)
        self.assertEqual(self.visit(one, "-sess_in", old), "New", "two rotations old")
        self.assertEqual(self.visit(one, "-sess_in", new), "Reused")
        for server in (one, two):
            server.stop(0)
            for key in self.keys(path).values():
                self.assertNotIn(key.encode(), server.stderr.bytes())

    def test_after_a_restart(self):
        path, session = self.path("keys"), self.path("session")
        self.rotate(path)
        server = self.server("--ticket-keys", path)
        self.visit(server, "-sess_out", session)
        server.stop(0)
        self.assertEqual(self.visit(self.server("--ticket-keys", path), "-sess_in", session),
                         "Reused")
        self.assertEqual(self.visit(self.server(), "-sess_in", session), "New")

    def test_bad_files(self):
        good = b"current " + b"a5" * 80 + b"\n"
        rows = ((b"", "no current key"), (good[:-2] + b"\n", "line 1"), (good + good, "line 2"),
                (good + b"next " + b"a5" * 80 + b"\n", "alike"), (None, "No such file"))
        made = default_certificates()
        for data, says in rows:
            with self.subTest(says):
                path = self.path("none") if data is None else self.write_file("keys", data)
                server = self.run_server_to_end("--cert", made.server, "--key", made.server_key,
                                                "--check", "--ticket-keys", path, expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", says,
                                     "rotate-ticket-keys.sh")
                self.assertNotIn(b"a5a5", server.stderr.bytes())
        os.mkfifo(self.path("pipe"))
        with open(self.path("pipe"), "r+b", buffering=0) as pipe:
            pipe.write(good)  # taken at the start, they would be missed at the first reload
            for check in ((), ("--check",)):
                server = self.run_server_to_end("--cert", made.server, "--key", made.server_key,
                                                *check, "--ticket-keys", self.path("pipe"), expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", "not a regular file")

    def test_a_thousand_that_leave_early(self):
        """They send and close without reading: the ticket, like the reply, costs no message."""
        server = self.server("--format", "json", stdout=self.path("transcript"))
        context = tls.client_context(default_certificates().ca)
        errors = []

        def leave(numbers):
            try:
                for number in numbers:
                    end = tls.connect(server.port, context)
                    end.send(b"early %d" % number)
                    end.drop()
            except Exception as error:  # looked at below
                errors.append(error)

        threads = [threading.Thread(target=leave, args=(range(first, 1000, 4),), daemon=True)
                   for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(scaled(50))
        self.assertEqual(errors, [])
        server.stop(0)
        told = re.findall(rb'"message":"early (\d+)"', server.transcript())
        self.assertEqual(sorted(map(int, told)), list(range(1000)))


class Keys(RunningTest):
    def test_encrypted_key(self):
        made = certificates.default_certificates()
        key = self.path("encrypted.key")
        right = self.write_file("right", b"correct horse\r\nsecond line\n")
        wrong = self.write_file("wrong", b"battery staple\n")
        for path in (right, wrong):
            os.chmod(path, 0o600)
        certificates.run(["openssl", "pkcs8", "-topk8", "-in", made.server_key, "-out", key,
                          "-v2", "aes-256-cbc", "-iter", "2048", "-passout", "pass:correct horse"])
        os.chmod(key, 0o600)
        own = ("--cert", made.server, "--key", key)
        server = self.server(*own, "--key-password-file", right, "--log-level", "info",
                             certificate=False)
        self.assertEqual(self.visit(server), "New")
        self.reload(server)
        self.assertEqual(self.visit(server), "New")
        server.stop(0)
        self.assertNotIn(b"horse", server.stderr.bytes())
        rows = ((("--key-password-file", wrong), "does not open"), ((), "--key-password-file"),
                (("--key-password-file", self.path("none")), "No such file"))
        for words, says in rows:
            with self.subTest(says):
                server = self.run_server_to_end(*own, "--listen", "127.0.0.1:0", *words, expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", says)
                self.assertNotIn(b"staple", server.stderr.bytes())

    def test_files_that_others_can_read(self):
        made = default_certificates()
        key = self.path("open.key")
        shutil.copyfile(made.server_key, key)
        for mode, warned in ((0o600, False), (0o640, True), (0o604, True), (0o400, False)):
            with self.subTest(oct(mode)):
                os.chmod(key, mode)
                server = self.server("--cert", made.server, "--key", key, certificate=False)
                server.stop(0)
                said = server.log()
                if warned:
                    self.assertIn(b"can be read by others", said)
                    self.assertIn(f"chmod 600 '{key}'".encode(), said)
                else:
                    self.assertEqual(said, b"")

    def test_certificate_that_ends_soon(self):
        fresh = self.path("fresh")
        certificates.run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--self-signed",
                          "--days", "10", "--out", fresh])
        # From 30 days on, or in the last third of a shorter life.
        for leaf, warned in ((certificates.leaf("reload", "soon", dates="ends soon"), True),
                             (certificates.leaf("reload", "later"), False),
                             (certificates.Leaf(f"{fresh}/server.crt", f"{fresh}/server.key"), False)):
            with self.subTest(leaf.certificate):
                server = self.server("--cert", leaf.certificate, "--key", leaf.key, "--log-level",
                                     "info", certificate=False)
                if warned:
                    server.stderr.wait_for(b"days, on 20")
                    self.assertRegex(server.log(), rb"ends in 10 days, .*; try: a new one")
                    self.reload(server)
                    server.stderr.wait_for(b"days, on 20", 2)
                else:
                    self.reload(server)
                    self.assertNotIn(b"ends in", server.log())

    def test_key_log(self):
        log = self.path("keys.log")
        lines = re.compile(r"\A(?:[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64,96}\n)+\Z")
        server = self.server("--keylog-file", log)
        server.stderr.wait_for(b"SESSION SECRETS ARE LOGGED")
        self.visit(server)
        self.visit(server, "-tls1_2")
        server.stop(0)
        with open(log, encoding="ascii") as source:
            written = source.read()
        self.assertRegex(written, lines)
        labels = [line.split()[0] for line in written.splitlines()]
        for label in ("CLIENT_TRAFFIC_SECRET_0", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                      "CLIENT_RANDOM"):
            self.assertEqual(labels.count(label), 1)
        self.assertEqual(stat.S_IMODE(os.stat(log).st_mode), 0o600)
        # The client's agrees, and is appended.
        server = self.server()
        self.run_client("--ca", default_certificates().ca, "--keylog-file", log, "-q", "-m", "x",
                        str(server.port))
        with open(log, encoding="ascii") as source:
            self.assertTrue(source.read().startswith(written + "SERVER_HANDSHAKE"))

    def test_key_log_files_that_are_refused(self):
        made = default_certificates()
        link, shared = self.path("link"), self.write_file("shared", b"")
        os.symlink(self.path("target"), link)
        os.chmod(shared, 0o640)
        os.mkfifo(self.path("pipe"), 0o600)
        rows = ((link, "symbolic link"), (shared, "chmod 600"), (self.path("pipe"), "key log"),
                (self.folder, "directory"))
        for path, says in rows:
            with self.subTest(says):
                server = self.run_server_to_end("--cert", made.server, "--key", made.server_key,
                                                "--check", "--keylog-file", path, expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", says)
        self.assertFalse(os.path.exists(self.path("target")))
        # One that is not there is left for the user who serves to make.
        self.run_server_to_end("--cert", made.server, "--key", made.server_key, "--check",
                               "--keylog-file", self.path("new"), expect=0)
        self.assertFalse(os.path.exists(self.path("new")))


class Padding(RunningTest):
    @staticmethod
    def record_lengths(stream):
        """The lengths of the encrypted records in one direction."""
        lengths = []
        while stream:
            size = int.from_bytes(stream[3:5], "big")
            if stream[0] == 23:
                lengths.append(size)
            stream = stream[5 + size:]
        return lengths

    def conversation(self, server, message, *words):
        """What travelled: the record lengths to the server and to the client."""
        proxy = network.Recorder(server.port)
        self.run_client("--ca", default_certificates().ca, *words, "-q", "-m", message,
                        str(proxy.port))
        return [self.record_lengths(part) for part in proxy.finish()]

    def test_lengths_are_hidden(self):
        plain, padded = self.server(), self.server("--pad", "512")
        short, long = "x", "y" * 400
        self.assertNotEqual(self.conversation(plain, short), self.conversation(plain, long))
        seen = self.conversation(padded, short, "--pad", "512")
        self.assertEqual(seen, self.conversation(padded, long, "--pad", "512"))
        for size in itertools.chain(*seen):
            # The block is that of the text and its type; the tag of 16 bytes comes on top.
            self.assertEqual((size - 16) % 512, 0, seen)
        # Each side decides for what it sends.
        first, second = (self.conversation(padded, text) for text in (short, long))
        self.assertNotEqual(first[0], second[0])
        self.assertEqual(first[1], second[1])


if __name__ == "__main__":
    harness.main(plaintext=False)
