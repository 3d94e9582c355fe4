#!/usr/bin/env python3
"""Reload is as good as start: each usual way of replacing certificates is followed, under the
sandbox; and --check, which is to say beforehand what a start would meet."""

import os
import shutil
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
from certificates import default_certificates
from harness import ProgramTest
from settings import ROOT, scaled

RELOADED = b"configuration reloaded"
GEN_CERTS = os.path.join(ROOT, "scripts", "gen-certs.sh")


def put(folder, leaf, cert="fullchain.pem", key="privkey.pem"):
    os.makedirs(folder, exist_ok=True)
    shutil.copy(leaf.certificate, os.path.join(folder, cert))
    shutil.copy(leaf.key, os.path.join(folder, key))


def point(link, target):
    """Re-points a link at once, as `ln -sfn` with a rename does."""
    os.symlink(target, link + ".new")
    os.rename(link + ".new", link)


class Layouts(ProgramTest):
    def setUp(self):
        super().setUp()
        self.old = certificates.leaf("layouts", "old")
        self.new = certificates.leaf("layouts", "new")

    def shown_by(self, server):
        """The subject that a server shows now."""
        context = ssl.create_default_context(cafile=certificates.authority("layouts").ca)
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", server.port), scaled(10)) as sock, \
                context.wrap_socket(sock) as end:
            return end.getpeercert()["subject"][0][0][1]

    def follows(self, cert, key, switch):
        """A server that shows the old certificate, and after the switch and SIGHUP the new."""
        server = self.server("--cert", cert, "--key", key, certificate=False)
        self.assertEqual(self.shown_by(server), "old")
        switch()
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(RELOADED)  # at the default level, "warning"
        self.assertEqual(self.shown_by(server), "new")

    def test_certbot(self):
        """live/NAME/*.pem are links into archive/NAME; a renewal makes new files there."""
        live, archive = self.path("le/live/msg"), self.path("le/archive/msg")
        os.makedirs(live)
        put(archive, self.old, "fullchain1.pem", "privkey1.pem")
        for name in ("fullchain", "privkey"):
            os.symlink(f"../../archive/msg/{name}1.pem", f"{live}/{name}.pem")

        def renew():
            put(archive, self.new, "fullchain2.pem", "privkey2.pem")
            for name in ("fullchain", "privkey"):
                point(f"{live}/{name}.pem", f"../../archive/msg/{name}2.pem")

        self.follows(f"{live}/fullchain.pem", f"{live}/privkey.pem", renew)

    def test_acmetool(self):
        """live/NAME is a link to a folder that changes."""
        state = self.path("acme")
        put(f"{state}/certs/first", self.old)
        os.makedirs(f"{state}/live")
        os.symlink("../certs/first", f"{state}/live/msg")

        def renew():
            put(f"{state}/certs/second", self.new)
            point(f"{state}/live/msg", "../certs/second")

        self.follows(f"{state}/live/msg/fullchain.pem", f"{state}/live/msg/privkey.pem", renew)

    def test_kubernetes(self):
        """The files are links through ..data, which is a link that is switched."""
        volume = self.path("volume/tls")
        put(f"{volume}/..2026_01", self.old, "tls.crt", "tls.key")
        os.symlink("..2026_01", f"{volume}/..data")
        for name in ("tls.crt", "tls.key"):
            os.symlink(f"..data/{name}", f"{volume}/{name}")

        def renew():
            put(f"{volume}/..2026_02", self.new, "tls.crt", "tls.key")
            point(f"{volume}/..data", "..2026_02")
            shutil.rmtree(f"{volume}/..2026_01")

        self.follows(f"{volume}/tls.crt", f"{volume}/tls.key", renew)

    def test_releases(self):
        """A link to the current release, by its whole path."""
        base = self.path("app")
        put(f"{base}/releases/1/tls", self.old)
        os.symlink(f"{base}/releases/1", f"{base}/current")

        def release():
            put(f"{base}/releases/2/tls", self.new)
            point(f"{base}/current", f"{base}/releases/2")

        self.follows(f"{base}/current/tls/fullchain.pem", f"{base}/current/tls/privkey.pem", release)

    def test_replaced_folder(self):
        base = self.path("swap")
        put(f"{base}/now", self.old)

        def swap():
            put(f"{base}/next", self.new)
            os.rename(f"{base}/now", f"{base}/before")
            os.rename(f"{base}/next", f"{base}/now")

        self.follows(f"{base}/now/fullchain.pem", f"{base}/now/privkey.pem", swap)

    def test_all_files_of_a_release(self):
        """Not the certificate alone: CAs, lists, names and ticket keys are read anew, too."""
        base, authority = self.path("whole"), certificates.authority("layouts")
        alice = certificates.leaf("layouts", "alice", names="", usage="clientAuth")

        def release(number, leaf, allowed):
            folder = f"{base}/releases/{number}"
            put(folder, leaf)
            shutil.copy(authority.ca, f"{folder}/ca.crt")
            certificates.run([os.path.join(ROOT, "scripts", "rotate-ticket-keys.sh"),
                              f"{folder}/keys"])
            with open(f"{folder}/allow", "w", encoding="utf-8") as out:
                out.write(f"CN={allowed}\n")
            with open(f"{folder}/password", "w", encoding="utf-8") as out:
                out.write("of no use here\n")
            for name in ("keys", "password"):
                os.chmod(f"{folder}/{name}", 0o600)

        release(1, self.old, "alice")
        os.symlink("releases/1", f"{base}/current")
        here = f"{base}/current"
        server = self.server("--cert", f"{here}/fullchain.pem", "--key", f"{here}/privkey.pem",
                             "--client-ca", f"{here}/ca.crt", "--allow-file", f"{here}/allow",
                             "--ticket-keys", f"{here}/keys", "--key-password-file",
                             f"{here}/password", certificate=False)
        visit = ("--ca", authority.ca, "--cert", alice.certificate, "--key", alice.key, "-q", "-m",
                 "hello", f"localhost:{server.port}")
        self.run_client(*visit)
        release(2, self.new, "bob")
        point(here, "releases/2")
        shutil.rmtree(f"{base}/releases/1")
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(RELOADED)
        self.run_client(*visit, expect=5)
        server.stderr.wait_for(b"'CN=alice' is not on the allow list")

    def refuses(self, cert, key, switch, *words):
        """What a reload says after a switch that it can't follow."""
        server = self.server("--cert", cert, "--key", key, "--log-level", "info", *words,
                             certificate=False)
        if b"files restricted (Landlock" not in server.log():
            self.skipTest("this kernel has no Landlock")
        switch()
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(b"the old configuration stays")
        self.assertEqual(self.shown_by(server), "old")
        return server.log().decode()

    def test_a_place_beyond_the_sandbox(self):
        """A restart helps, and the modes are right: so the log says."""
        base = self.path("far")
        put(f"{base}/a/b/c/tls", self.old)
        os.makedirs(f"{base}/x")
        os.symlink(f"{base}/a/b/c/tls", f"{base}/x/live")

        def move():
            put(f"{base}/elsewhere/tls", self.new)
            point(f"{base}/x/live", f"{base}/elsewhere/tls")

        said = self.refuses(f"{base}/x/live/fullchain.pem", f"{base}/x/live/privkey.pem", move)
        self.assertIn("Permission denied (its modes allow it: a sandbox is in the way", said)
        self.assertIn("; try: a restart)", said)

    def test_modes_that_keep_the_user_out(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        folder = self.path("kept")
        put(folder, self.old)
        os.chmod(self.folder, 0o755)
        os.chmod(folder, 0o755)
        key = os.path.join(folder, "privkey.pem")
        shutil.chown(key, "root", "nogroup")
        os.chmod(key, 0o640)
        said = self.refuses(f"{folder}/fullchain.pem", key, lambda: os.chmod(key, 0o600), "--user",
                            "nobody")
        self.assertRegex(said, r"Permission denied \(its modes, or a folder's on the way, keep user "
                               r"\d+ out\)")

    def test_pipes_that_nobody_writes_to(self):
        """A start waits 5 s for one; a reload, which signals and the watchdog wait for, does not,
        whichever file it is."""
        folder, authority = self.path("piped"), certificates.authority("layouts")
        alice = certificates.leaf("layouts", "alice", names="", usage="clientAuth")
        put(folder, self.old)
        shutil.copy(authority.ca, f"{folder}/ca.crt")
        certificates.run(["openssl", "ca", "-gencrl", "-config",
                          os.path.join(authority.folder, "openssl.cnf"), "-crldays", "90", "-out",
                          f"{folder}/ca.crl"])
        certificates.run([os.path.join(ROOT, "scripts", "rotate-ticket-keys.sh"), f"{folder}/tickets"])
        for name, text in (("allow", b"CN=alice\n"), ("password", b"secret\n"), ("keys.log", b"")):
            os.chmod(self.write_file(f"piped/{name}", text), 0o600)
        certificates.run(["openssl", "pkey", "-aes256", "-passout", f"file:{folder}/password", "-in",
                          self.old.key, "-out", f"{folder}/privkey.pem"])
        files = (("--cert", "fullchain.pem", "certificate"), ("--key", "privkey.pem", "key"),
                 ("--key-password-file", "password", "key password file"),
                 ("--client-ca", "ca.crt", "CA file"), ("--crl", "ca.crl", "revocation list"),
                 ("--allow-file", "allow", "allow file"),
                 ("--ticket-keys", "tickets", "ticket key file"),
                 ("--keylog-file", "keys.log", "key log"))
        words = [word for option, name, _ in files for word in (option, f"{folder}/{name}")]
        server = self.server(*words, certificate=False)
        for number, (_, name, what) in enumerate(files):
            path = f"{folder}/{name}"
            with self.subTest(name):
                os.rename(path, f"{folder}/before")
                os.mkfifo(path, 0o600)
                # Every other one has an end to write to it, which is as silent.
                other = os.open(path, os.O_RDWR) if number % 2 == 1 else None
                begun = time.monotonic()
                server.signal(signal.SIGHUP)
                server.stderr.wait_for(b"the old configuration stays", number + 1)
                self.assertLess(time.monotonic() - begun, 5)
                said = server.log().decode().splitlines()[-1]
                self.assertRegex(said, f"{what} '{path}'.*(is a pipe|is not a (regular|plain) file)")
                if other is not None:
                    os.close(other)
                os.rename(f"{folder}/before", path)
        self.run_client("--ca", authority.ca, "--cert", alice.certificate, "--key", alice.key, "-q",
                        "-m", "hello", f"localhost:{server.port}")
        server.stop(0)

    def test_a_silent_connection(self):
        """One that was accepted before a reload and begins after it gets the new configuration."""
        put(self.path("silent"), self.old)
        cert, key = self.path("silent/fullchain.pem"), self.path("silent/privkey.pem")
        server = self.server("--cert", cert, "--key", key, "--workers", "1", certificate=False)
        context = ssl.create_default_context(cafile=certificates.authority("layouts").ca)
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", server.port), scaled(10)) as sock:
            self.assertEqual(self.shown_by(server), "old")  # so the silent one is accepted, too
            put(self.path("silent"), self.new)
            server.signal(signal.SIGHUP)
            server.stderr.wait_for(RELOADED)
            with context.wrap_socket(sock) as end:
                self.assertEqual(end.getpeercert()["subject"][0][0][1], "new")


class Check(ProgramTest):
    def check(self, *words, expect=0):
        """What --check says on stderr."""
        server = self.run_server_to_end("--check", *words, expect=expect)
        self.assertEqual(server.stdout.bytes(),
                         b"The configuration is good.\n" if expect == 0 else b"")
        return server.stderr.bytes().decode()

    def pair(self, leaf):
        return ("--cert", leaf.certificate, "--key", leaf.key)

    def openssl_pair(self, *words):
        cert, key = self.path("made.crt"), self.path("made.key")
        certificates.run(["openssl", "req", "-x509", "-nodes", "-keyout", key, "-out", cert,
                          "-days", "90", *words])
        return ("--cert", cert, "--key", key)

    def test_keys_that_no_client_can_use(self):
        for curve in ("brainpoolP256r1", "secp256k1"):
            words = self.openssl_pair("-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}",
                                      "-subj", "/CN=localhost", "-addext",
                                      "subjectAltName=DNS:localhost")
            self.assertIn(f"no client can use its key ({curve})", self.check(*words, expect=2))

    def test_purpose(self):
        said = self.check(*self.pair(certificates.leaf("check", "client", usage="clientAuth")),
                          expect=2)
        self.assertIn("is not for servers (extended key usage: clientAuth alone)", said)

    def test_names(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost")
        self.assertIn("no name that a client could match", self.check(*self.openssl_pair(*key)))
        words = self.openssl_pair(*key, "-addext", "subjectAltName=DNS:127.0.0.1")
        self.assertIn("has an address as a DNS name", self.check(*words))

    def test_an_expired_issuer_that_nobody_needs(self):
        good, old = certificates.leaf("check", "good"), certificates.leaf("check", "ended",
                                                                          dates="expired")
        chain = self.path("chain.crt")
        with open(chain, "wb") as out:
            for part in (good.certificate, old.certificate):
                with open(part, "rb") as source:
                    out.write(source.read())
        said = self.check("--cert", chain, "--key", good.key)
        self.assertIn("issuer 'CN=ended' in ", said)
        self.assertIn(" ended on ", said)

    def test_more_cas_than_a_request_names(self):
        """They are left out of it, and clients get in all the same."""
        bundle, key = self.path("many.crt"), self.path("ca.key")
        certificates.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                          key])
        with open(bundle, "wb") as out, open(default_certificates().ca, "rb") as own:
            out.write(own.read())
            for number in range(200):
                one = self.path("one.crt")
                certificates.run(["openssl", "req", "-x509", "-key", key, "-out", one, "-days", "90",
                                  "-subj", f"/CN={number:060d}/O={number:060d}/OU={number:060d}/OU={number:061d}/OU={number:062d}"])
                with open(one, "rb") as source:
                    out.write(source.read())
        made = default_certificates()
        server = self.server("--client-ca", bundle)
        server.stderr.wait_until(lambda said: b"don't fit into a certificate request" in said,
                                 "the warning")
        alice = os.path.join(os.path.dirname(made.ca), "alice")
        self.run_client("--ca", made.ca, "--cert", alice + ".crt", "--key", alice + ".key", "-q",
                        "-m", "hello", f"localhost:{server.port}")

    def test_an_issuer_that_is_not_in_the_file(self):
        """A start does not say it: it is as it should be where the issuer is a root."""
        leaf = certificates.leaf("check", "alone")
        self.assertIn("does not hold the certificate of its issuer 'CN=tests check'",
                      self.check(*self.pair(leaf)))
        server = self.server(*self.pair(leaf), certificate=False)
        server.stop(0)
        self.assertNotIn(b"does not hold", server.stderr.bytes())

    def test_root_says_so(self):
        made = default_certificates()
        said = self.check("--cert", made.server, "--key", made.server_key)
        if os.geteuid() == 0:
            self.assertIn("checked as root, who alone can read ", said)
            self.assertIn("server.key", said)
        else:
            self.assertEqual(said, "")

    def test_as_a_user(self):
        """What root alone can read fails for the user that the server becomes."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        made = default_certificates()
        certs = self.path("as-user")
        shutil.copytree(os.path.dirname(made.server), certs)
        os.chmod(self.folder, 0o755)
        os.chmod(certs, 0o755)
        words = ("--user", "nobody", "--cert", f"{certs}/server.crt", "--key", f"{certs}/server.key")
        os.chmod(f"{certs}/server.key", 0o600)
        self.assertIn("server.key': Permission denied", self.check(*words, expect=2))
        shutil.chown(f"{certs}/server.key", "root", "nogroup")
        os.chmod(f"{certs}/server.key", 0o640)
        self.assertEqual(self.check(*words), "")


if __name__ == "__main__":
    harness.main()
