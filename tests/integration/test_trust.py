#!/usr/bin/env python3
"""Whom the client trusts and why: chains x flags, pins, first use; and whom the server lets in.

What a chain alone decides is in test_client_trust.py. Here each refused conversation is held
against a server that writes down what it was sent: a verdict must come before the first message.
"""

import base64
import hashlib
import os
import pty
import re
import ssl
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import texts
import tls
from certificates import default_certificates
from processes import Collector
from s_client import SClient
from settings import ROOT, program, scaled, seconds
from tls_client_test import PROGRAM, ClientTest

OTHER_PIN = "sha256//" + base64.b64encode(bytes(32)).decode()
RECORD = re.compile(r"\A(\S+:\d+) (sha256//[A-Za-z0-9+/]{43}=) \d{4}-\d\d-\d\d\n\Z")


def gen_certs(*words):
    certificates.run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", *words])


def pin_of(certificate):
    """The pin, computed with openssl's commands."""
    public = certificates.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"])
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public,
                         capture_output=True, check=True, timeout=scaled(20)).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class TrustTest(ClientTest):
    def recording_peer(self, leaf, host="127.0.0.1"):
        """A TLS server that answers, and the list of what it was sent."""
        got = []

        def handle(sock):
            context = tls.server_context(leaf.certificate, leaf.key)
            was_sent = False  # by this connection: one that was refused may be told of it later
            try:
                end = tls.accept(sock, context)
                while data := end.receive():
                    was_sent = True
                    got.append(data)
                    end.send(texts.reply(data))
                end.answer_close()
            except (ssl.SSLError, OSError):
                if was_sent:
                    raise

        return self.peer(handle, host), got

    def attempt(self, leaf, *words, expect=0, says=(), host="127.0.0.1", address="127.0.0.1:{}",
                env=None):
        """One client with one message against a server with that leaf."""
        peer, got = self.recording_peer(leaf, host)
        client = self.run_client(*words, "-q", "-m", "secret", address.format(peer.port),
                                 expect=expect, env=env)
        peer.finish()
        if expect == 0:
            self.assertEqual(got, [b"secret"])
            self.assertEqual(client.stdout.bytes(), texts.reply(b"secret") + b"\n")
            self.assert_quiet(client)
        else:
            self.assertEqual(got, [], "sent before the server was judged")
            self.assertEqual(client.stdout.bytes(), b"")
            self.assert_one_line(client.stderr.bytes(), PROGRAM, *says)
            self.assertNotRegex(client.stderr.bytes(), b"--pin sha256|--accept-new",
                                "an option that would trust the server just refused")
        return client

    def self_signed(self, name="self"):
        """A folder of scripts/gen-certs.sh --self-signed and its leaf."""
        folder = self.path(name)
        gen_certs("--self-signed", "--out", folder)
        return folder, certificates.Leaf(os.path.join(folder, "server.crt"),
                                         os.path.join(folder, "server.key"))


class Chains(TrustTest):
    """Each kind of chain under each way to trust: exit code and words."""

    def leaves(self):
        issue = certificates.leaf
        return {
            "good": issue("trust", "good"),
            "unknown CA": issue("trust strangers", "good"),
            "wrong name": issue("trust", "elsewhere", names="DNS:elsewhere.example"),
            "expired": issue("trust", "expired", dates="expired"),
            "not yet valid": issue("trust", "future", dates="not yet valid"),
            "self-signed": self.self_signed()[1],
        }

    def test_table(self):
        ca = certificates.authority("trust").ca
        other = "no --pin allows"
        new = "is not known yet"
        # What --ca, --pin with the right pin, both, --pin with another, both with another, first
        # use with --accept-new and first use without a terminal say; None: exit 0.
        rows = (
            ("good", None, None, None, other, other, None, new),
            ("unknown CA", "unknown CA", None, "unknown CA", other, "unknown CA", None, new),
            ("wrong name", "wrong name", None, "wrong name", other, "wrong name", None, new),
            ("expired", *["expired on"] * 7),
            ("not yet valid", *["not yet valid"] * 7),
            ("self-signed", "self-signed", None, "self-signed", other, "self-signed", None, new),
        )
        leaves = self.leaves()
        for name, *expected in rows:
            leaf = leaves[name]
            pin = pin_of(leaf.certificate)
            fresh = self.path(f"known of {name}")
            first_use = ("--trust-on-first-use", "--known-servers")
            ways = (("--ca", ca), ("--pin", pin), ("--ca", ca, "--pin", pin), ("--pin", OTHER_PIN),
                    ("--ca", ca, "--pin", OTHER_PIN), (*first_use, fresh, "--accept-new"),
                    (*first_use, fresh + " too"))
            for words, says in zip(ways, expected, strict=True):
                with self.subTest(name, words=words):
                    if says is None:
                        self.attempt(leaf, *words)
                    else:
                        # Whatever the reason, the pin that was seen is named.
                        self.attempt(leaf, *words, expect=4, says=(says, pin))
            self.assertEqual(os.path.exists(fresh), expected[5] is None)

    def test_one_of_several_pins(self):
        leaf = certificates.leaf("trust", "good")
        pin = pin_of(leaf.certificate)
        self.attempt(leaf, "--pin", OTHER_PIN, "--pin", pin)
        self.attempt(leaf, "--pin", pin, "--pin", OTHER_PIN)
        rsa = certificates.leaf("trust", "rsa", algorithm="rsa")
        self.attempt(rsa, "--pin", pin_of(rsa.certificate))

    def test_what_is_no_pin(self):
        pin = pin_of(certificates.leaf("trust", "good").certificate)
        for words in (("--pin", pin[:-1]), ("--pin", pin[8:]), ("--pin", pin, "--pin", pin + "=")):
            with self.subTest(words):
                client = self.run_client(*words, "-m", "x", "127.0.0.1:1", expect=2)
                self.assert_one_line(client.stderr.bytes(), PROGRAM, "--pin", "sha256//")

    def test_first_use_beside_a_ca(self):
        """With --ca all must hold, and nothing is recorded of a server that fails."""
        ca, known = certificates.authority("trust").ca, self.path("known")
        words = ("--ca", ca, "--trust-on-first-use", "--accept-new", "--known-servers", known)
        self.attempt(certificates.leaf("trust strangers", "good"), *words, expect=4,
                     says=("unknown CA",))
        self.assertFalse(os.path.exists(known))
        self.attempt(certificates.leaf("trust", "good"), *words)
        self.assertTrue(os.path.exists(known))

    def test_names(self):
        """A trailing dot and brackets are no part of a name; addresses are not indicated."""
        ca = certificates.authority("trust").ca
        leaf = certificates.leaf("trust", "names", names="DNS:localhost,IP:127.0.0.1,IP:::1")
        rows = (("127.0.0.1:{}", ("--server-name", "localhost."), "127.0.0.1", "localhost"),
                ("[::1]:{}", (), "::1", None), ("127.0.0.1:{}", (), "127.0.0.1", None),
                ("127.0.0.1:{}", ("--server-name", "::1"), "127.0.0.1", None))
        for address, words, host, indicated in rows:
            with self.subTest(address, words=words):
                seen = []
                context = tls.server_context(leaf.certificate, leaf.key)
                context.sni_callback = lambda _end, name, _context: seen.append(name)
                peer = self.peer(lambda sock: self.answer(tls.accept(sock, context)), host)
                client = self.run_client("--ca", ca, *words, "-q", "-m", "x",
                                         address.format(peer.port))
                peer.finish()
                self.assert_quiet(client)
                self.assertEqual(seen, [indicated])
        other = certificates.leaf("trust", "one address", names="IP:127.0.0.1")
        self.attempt(other, "--ca", ca, host="::1", address="[::1]:{}", expect=4,
                     says=("wrong name", "127.0.0.1"))


class FirstUse(TrustTest):
    def setUp(self):
        super().setUp()
        self.known = self.path("state/known_servers")
        self.words = ("--trust-on-first-use", "--known-servers", self.known)

    def record(self):
        with open(self.known, encoding="utf-8") as source:
            return source.read()


    def test_life(self):
        """First use, renewal, another key, and what to try."""
        folder, leaf = self.self_signed()
        got, current = [], [leaf]

        def handle(sock):
            context = tls.server_context(current[0].certificate, current[0].key)
            was_sent = False
            try:
                end = tls.accept(sock, context)
                while data := end.receive():
                    was_sent = True
                    got.append(data)
                    end.send(texts.reply(data))
                end.answer_close()
            except (ssl.SSLError, OSError):
                if was_sent:
                    raise

        peer = self.peer(handle)
        old = pin_of(leaf.certificate)

        def visit(*words, expect=0):
            del got[:]
            client = self.run_client(*self.words, *words, "-q", "-m", "secret",
                                     f"127.0.0.1:{peer.port}", expect=expect)
            self.assertEqual(got, [b"secret"] if expect == 0 else [])
            return client.stderr.bytes()

        said = visit(expect=4)
        self.assert_one_line(said, PROGRAM, "not known yet", old, "try: connect at a terminal")
        self.assertNotIn(b"--", said, "no option that would trust the server just refused")
        self.assertFalse(os.path.exists(self.known))
        visit("--accept-new")
        self.assertEqual(RECORD.match(self.record()).groups(), (f"127.0.0.1:{peer.port}", old))
        self.assertEqual(stat.S_IMODE(os.stat(self.known).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(self.known)).st_mode), 0o700)
        before = self.record()
        self.assertEqual(visit(), b"")

        serial = certificates.run(["openssl", "x509", "-in", leaf.certificate, "-noout",
                                   "-serial"])
        gen_certs("renew", "--out", folder)
        self.assertNotEqual(serial, certificates.run(["openssl", "x509", "-in", leaf.certificate,
                                                      "-noout", "-serial"]))
        self.assertEqual(visit(), b"", "a renewed certificate with the same key passes silently")
        self.assertEqual(self.record(), before)

        gen_certs("rekey", "--out", folder)
        new = pin_of(leaf.certificate)
        self.assertNotEqual(old, new)
        for words in ((), ("--accept-new",)):
            self.assert_one_line(visit(*words, expect=4), PROGRAM, "HAS CHANGED", "man in the middle",
                                 old, new)
        self.assertEqual(self.record(), before)
        os.remove(self.known)
        visit("--accept-new")
        self.assertIn(new, self.record())
        peer.finish()

    def test_default_file(self):
        leaf = certificates.leaf("trust", "good")
        rows = (({"XDG_STATE_HOME": self.path("xdg"), "HOME": self.path("home")}, "xdg/tlsmsg"),
                ({"XDG_STATE_HOME": "", "HOME": self.path("home")}, "home/.local/state/tlsmsg"),
                ({"XDG_STATE_HOME": "not/absolute", "HOME": self.path("home2")},
                 "home2/.local/state/tlsmsg"))
        for env, folder in rows:
            with self.subTest(env):
                self.attempt(leaf, "--trust-on-first-use", "--accept-new", env=env)
                self.assertTrue(os.path.exists(self.path(f"{folder}/known_servers")))

    def test_files_that_are_no_use(self):
        leaf = certificates.leaf("trust", "good")
        corrupt = self.write_file("corrupt", b"# ours\nnonsense\n")
        client = self.attempt(leaf, "--trust-on-first-use", "--accept-new", "--known-servers",
                              corrupt, expect=2, says=("line 2", "corrupt"))
        self.assertNotIn(b"nonsense", client.stderr.bytes())
        os.mkdir(self.path("folder"))
        self.attempt(leaf, "--trust-on-first-use", "--accept-new", "--known-servers",
                     self.path("folder"), expect=2, says=("folder", "directory"))

    def test_many_at_once(self):
        """Eight first uses of eight servers at once: eight records."""
        leaf = certificates.leaf("trust", "good")
        peers = [self.recording_peer(leaf)[0] for _ in range(8)]
        clients = [self.start_client(*self.words, "--accept-new", "-q", "-m", "x",
                                     f"127.0.0.1:{peer.port}") for peer in peers]
        for client in clients:
            client.finish(0, 20)
        for peer in peers:
            peer.finish()
        told = sorted(line.split()[0] for line in self.record().splitlines())
        self.assertEqual(told, sorted(f"127.0.0.1:{peer.port}" for peer in peers))

    QUESTIONS = {"en": ("Trust this key from now on?", "Type 'yes' or 'no': "),
                 "zh": ("从现在起信任这个公钥吗？", "请输入 'yes' 或 'no'：")}

    def ask(self, *answers, expect, port, before=b"", lang="en", comparing=None):
        """A client at a terminal that is asked; returns what it printed there. An answer after the
        first is typed when the one before it was not taken. before: typed ahead of the question;
        comparing: called while the question stands."""
        question, again = (text.encode() for text in self.QUESTIONS[lang])
        master, slave = pty.openpty()
        screen = Collector(os.dup(master), "the terminal")
        os.write(master, before)
        screen.wait_for(before.rstrip())  # its echo: the terminal has it
        process = subprocess.Popen(
            [*program("tlsmsg-client"), *self.words, "--lang", lang, "-q", "-m", "secret",
             f"127.0.0.1:{port}"], stdin=slave, stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.addCleanup(process.stdout.close)
        self.addCleanup(os.close, master)
        screen.wait_for(question + b" (yes/no) ")
        if comparing:
            comparing()
        for count, answer in enumerate(answers):
            screen.wait_for(again, count)
            os.write(master, answer)
        status = process.wait(scaled(20))
        said = screen.finish()  # the last of it may come later than the status
        self.assertEqual(status, expect, said)
        self.assertEqual(said.count(b"(yes/no)"), 1)
        return said

    def ask_about(self, *answers, expect, **how):
        """The same with a server that must be sent something only after a yes."""
        peer, got = self.recording_peer(certificates.leaf("trust", "good"))
        said = self.ask(*answers, expect=expect, port=peer.port, **how)
        peer.finish()
        self.assertEqual(got, [b"secret"] if expect == 0 else [])
        return said

    def test_question(self):
        pin = pin_of(certificates.leaf("trust", "good").certificate).encode()
        for answers in ((b"no\n",), (b"\n", b"no\n"), (b"y e s\n", b"y\n", b"\x04"), (b"\x04",)):
            with self.subTest(answers):
                said = self.ask_about(*answers, expect=4)
                self.assertIn(b"pin    " + pin, said)
                self.assertNotIn(b"--", said, "no option is offered to who has said no")
                self.assertFalse(os.path.exists(self.known))
        self.assertIn(pin, self.ask_about(b"no\n", expect=4, before=b"yes\n"))
        self.assertFalse(os.path.exists(self.known))
        self.assertIn(pin, self.ask_about(b"Yes\n", b"yes\n", expect=0))
        self.assertIn(pin.decode(), self.record())

    def test_question_in_chinese(self):
        pin = pin_of(certificates.leaf("trust", "good").certificate)
        said = self.ask_about(b"y\n", b"no\n", expect=4, lang="zh").decode()
        self.assertRegex(said, r"首次连接服务器 127\.0\.0\.1:\d+。\r\n  公钥  " + re.escape(pin)
                               + r"\r\n  名称  .*\r\n  期限  \d{4}-\d\d-\d\d\r\n"
                               r"请在服务器上运行 scripts/gen-certs\.sh show 核对公钥。\r\n")
        self.assertNotIn("Trust", said)

    def test_nobody_waits_while_the_user_compares(self):
        """The server's patience is over long before the answer comes, and so is --timeout."""
        server = self.server("--handshake-timeout", "0.3", "--format", "json", "--accept", "1")
        self.words += ("--timeout", seconds(2))
        self.ask(b"yes\n", expect=0, port=server.port, comparing=lambda: time.sleep(scaled(3)))
        server.finish(0)
        self.assertIn(b'"message":"secret"', server.stdout.bytes())
        self.assertNotIn(b"timeout", server.log())

    def test_the_key_that_was_shown_is_the_one_that_counts(self):
        """Another server takes the place while the user compares."""
        leaves = [certificates.leaf("trust", "good"), certificates.leaf("trust", "other")]
        got, shown = [], []

        def handle(sock):
            leaf = leaves[min(len(shown), 1)]
            shown.append(leaf)
            try:
                got.append(tls.accept(sock, tls.server_context(leaf.certificate, leaf.key)))
            except (ssl.SSLError, OSError):
                pass

        peer = self.peer(handle)
        said = self.ask(b"yes\n", expect=4, port=peer.port).decode()
        peer.finish()
        self.assertEqual((len(shown), got), (2, []))
        self.assertIn("shows another key than a moment ago", said)
        for leaf in leaves:
            self.assertIn(pin_of(leaf.certificate), said)
        self.assertFalse(os.path.exists(self.known))

    def test_a_changed_key_is_loud_at_a_terminal(self):
        leaf = certificates.leaf("trust", "good")
        peer, got = self.recording_peer(leaf)
        os.makedirs(os.path.dirname(self.known))
        with open(self.known, "w", encoding="utf-8") as out:
            out.write(f"127.0.0.1:{peer.port} {OTHER_PIN} 2026-01-02\n")
        for lang, warning in (("en", b"WARNING: THE KEY OF THE SERVER HAS CHANGED!"),
                              ("zh", "警告：服务器的公钥已改变！".encode())):
            master, slave = pty.openpty()
            screen = Collector(master, "the terminal")
            done = subprocess.run([*program("tlsmsg-client"), *self.words, "--lang", lang, "-q", "-m",
                                   "secret", f"127.0.0.1:{peer.port}"], stderr=slave,
                                  stdin=subprocess.DEVNULL, timeout=scaled(20), check=False)
            os.close(slave)
            self.assertEqual(done.returncode, 4)
            said = screen.finish()
            self.assertIn(warning, said)
            self.assertIn(b"@" * 40, said)
            self.assertIn(b"man in the middle", said)
        peer.finish()
        self.assertEqual(got, [])


class Revoked(TrustTest):
    def setUp(self):
        super().setUp()
        self.made = certificates.Certificates(self.path("made"))
        gen_certs("--out", self.made.out, "--client", "alice", "--client", "bob")
        gen_certs("crl", "--out", self.made.out)
        self.crl = os.path.join(self.made.out, "ca.crl")

    def test_server(self):
        leaf = certificates.Leaf(self.made.server, self.made.server_key)
        pin = pin_of(leaf.certificate)
        ways = (("--ca", self.made.ca), ("--ca", self.made.ca, "--pin", pin))
        for words in ways:
            self.attempt(leaf, *words, "--crl", self.crl)
        gen_certs("revoke", "server", "--out", self.made.out)
        for words in (*ways, ("--pin", pin)):
            with self.subTest(words):
                self.attempt(leaf, *words, "--crl", self.crl, expect=4, says=("revoked", pin))

    def test_client(self):
        gen_certs("revoke", "alice", "--out", self.made.out)
        server = self.server("--cert", self.made.server, "--key", self.made.server_key,
                             "--client-ca", self.made.ca, "--crl", self.crl, certificate=False)
        for name, expect in (("bob", 0), ("alice", 5), ("bob", 0)):
            with self.subTest(name):
                client = self.run_client(
                    "--ca", self.made.ca, "--cert", f"{self.made.out}/{name}.crt", "--key",
                    f"{self.made.out}/{name}.key", "-m", "hello", str(server.port), expect=expect)
                if expect != 0:
                    self.assert_one_line(client.stderr.bytes(), PROGRAM, "revoked")
        server.stop(0)
        self.assertIn(b"revoked", server.log())
        self.assertEqual(server.transcript().count("收到消息：".encode()), 2)


class Allowed(TrustTest):
    def test_table(self):
        people = {
            "cn": certificates.leaf("people", "cn", names="", subject="alice"),
            "dns": certificates.leaf("people", "dns", names="DNS:pc.example.org"),
            "email": certificates.leaf("people", "email", names="email:bob@example.org"),
            "uri": certificates.leaf("people", "uri", names="URI:spiffe://example.org/x"),
        }
        allow_file = self.write_file("allowed", b"# who may talk\n\nCN=alice\r\n"
                                                b"email:bob@example.org\n")
        rows = (
            (("--allow", "CN=alice"), {"cn"}),
            (("--allow", "CN=Alice"), set()),
            (("--allow", "DNS:*.EXAMPLE.org"), {"dns"}),
            (("--allow", "CN=alice", "--allow", "URI:spiffe://example.org/x"), {"cn", "uri"}),
            (("--allow-file", allow_file), {"cn", "email"}),
            (("--allow-file", allow_file, "--allow", "DNS:pc.example.org"),
             {"cn", "dns", "email"}),
        )
        ca = certificates.authority("people").ca
        for words, allowed in rows:
            server = self.server("--client-ca", ca, *words)
            for name, person in people.items():
                with self.subTest(words, who=name):
                    expect = 0 if name in allowed else 5
                    client = self.run_client(
                        "--ca", self.ca, "--cert", person.certificate, "--key", person.key, "-m",
                        "hello", str(server.port), expect=expect)
                    if expect != 0:
                        self.assert_one_line(client.stderr.bytes(), PROGRAM,
                                             "does not accept")
            server.stop(0)
            self.assertEqual(server.log().count(b"not on the allow list"), 4 - len(allowed))
            self.assertEqual(server.transcript().count("收到消息：".encode()), len(allowed))

    def test_what_is_no_list(self):
        made = certificates.default_certificates()
        own = ("--cert", made.server, "--key", made.server_key, "--check")
        bad = self.write_file("bad", b"CN=alice\nalice\n")
        rows = ((("--allow", "CN=alice"), "--client-ca"),
                (("--client-ca", made.ca, "--allow", "alice"), "CN="),
                (("--client-ca", made.ca, "--allow-file", bad), "line 2"),
                (("--client-ca", made.ca, "--allow-file", self.path("none")), "No such file"))
        for words, says in rows:
            with self.subTest(words):
                server = self.run_server_to_end(*own, *words, expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", says)


class SeveralCertificates(TrustTest):
    def test_kinds_side_by_side(self):
        ecdsa = certificates.leaf("kinds", "ecdsa")
        rsa = certificates.leaf("kinds", "rsa", algorithm="rsa")
        ca = certificates.authority("kinds").ca
        server = self.server("--cert", rsa.certificate, "--key", rsa.key, "--cert",
                             ecdsa.certificate, "--key", ecdsa.key, certificate=False)
        for server_name in ("localhost", None):
            for algorithm in ("ECDSA+SHA256", "RSA-PSS+SHA256"):
                with self.subTest(algorithm, server_name=server_name):
                    client = self.keep(SClient(server.port, "-tls1_3", "-sigalgs", algorithm,
                                               ca=ca, server_name=server_name))
                    client.say(b"hello\n")
                    client.leave()
                    # OpenSSL 3.5 names the signature scheme, "ecdsa_secp256r1_sha256".
                    shown = client.told(rb"Peer signature type: (\S+)").lower()
                    self.assertTrue(shown.startswith(algorithm.split("+")[0].split("-")[0].lower()),
                                    shown)

    def test_choice_by_name(self):
        leaves = [certificates.leaf("hosts", name, names=names) for name, names in (
            ("default", "DNS:localhost"), ("a", "DNS:a.example"), ("b", "DNS:*.b.example"))]
        words = [word for leaf in leaves for word in ("--cert", leaf.certificate, "--key",
                                                      leaf.key)]
        server = self.server(*words, certificate=False)
        context = tls.client_context(certificates.authority("hosts").ca)
        context.check_hostname = False
        rows = (("localhost", 0), ("a.example", 1), ("A.Example", 1), ("x.b.example", 2),
                ("y.x.b.example", 0), ("unknown.example", 0), (None, 0))
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context.maximum_version = version
            for name, index in rows:
                with self.subTest(name, version=version.name):
                    end = tls.connect(server.port, context, name=name)
                    shown = end.tls.getpeercert(binary_form=True)
                    end.close()
                    with open(leaves[index].certificate, encoding="ascii") as pem:
                        self.assertEqual(shown, ssl.PEM_cert_to_DER_cert(pem.read()))


class Combinations(harness.ProgramTest):
    def test_options_without_what_they_need(self):
        """An option that would have no effect is refused, not ignored."""
        made = default_certificates()
        pair = ("--cert", made.server, "--key", made.server_key)
        for name, words, said in (
                ("crl", (*pair, "--crl", made.ca), "--client-ca"),
                ("allow", (*pair, "--allow", "CN=alice"), "--client-ca")):
            with self.subTest(name):
                server = self.run_server_to_end("--listen", "127.0.0.1:0", *words, expect=2)
                self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", said)
        for name, words, said in (
                ("key", ("--key", made.client_key), "--cert"),
                ("accept new", ("--accept-new",), "--trust-on-first-use")):
            with self.subTest(name):
                client = self.run_client(*words, "-m", "x", "127.0.0.1:1", expect=2)
                self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", said)

    def test_client_warns_of_a_key_that_others_can_read(self):
        made = default_certificates()
        server = self.server()
        with open(made.client_key, "rb") as key:
            open_key = self.write_file("open.key", key.read())
        os.chmod(open_key, 0o644)
        client = self.run_client("--ca", made.ca, "--cert", made.client, "--key", open_key, "-m",
                                 "hi", f"localhost:{server.port}")
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: warning: ", "chmod 600")


if __name__ == "__main__":
    harness.main(plaintext=False)
