#!/usr/bin/env python3
"""The TLS policy, held against openssl s_client: what is offered, what is refused, resumption.

Every accepted handshake verifies chain and name strictly, carries a message and ends with a clean
close; every refused one is refused by an alert of the server's, not by s_client itself.
"""

import json
import os
import re
import select
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import tls
from certificates import default_certificates
from harness import ProgramTest
from processes import Program
from s_client import SClient
from settings import scaled, version_line

PROTOCOL_VERSION, HANDSHAKE_FAILURE = 70, 40
UNKNOWN_CA, EXPIRED, CERTIFICATE_REQUIRED = 48, 45, 116


class PolicyTest(ProgramTest):
    def s_client(self, server, *options, ca=None, **how):
        return self.keep(SClient(server.port, *options, ca=ca or default_certificates().ca, **how))

    def dual_server(self, *options):
        """A server with an ECDSA and an RSA certificate side by side, and their CA."""
        ecdsa = certificates.leaf("policy", "ecdsa")
        rsa = certificates.leaf("policy", "rsa", algorithm="rsa")
        server = self.server("--cert", ecdsa.certificate, "--key", ecdsa.key, "--cert",
                             rsa.certificate, "--key", rsa.key, "--format", "json", *options,
                             certificate=False)
        return server, certificates.authority("policy").ca

    def events(self, server, event):
        lines = server.transcript().decode().splitlines()
        return [found for found in map(json.loads, lines) if found["event"] == event]

    def wait_event(self, server, event, count):
        server.wait_line(f'"event":"{event}"'.encode(), count)
        return self.events(server, event)[count - 1]


class Accepted(PolicyTest):
    CIPHERS = (
        ("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
        ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"),
        ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"),
    )
    VERSIONS = {"-tls1_3": "TLSv1.3", "-tls1_2": "TLSv1.2"}

    def test_each_cipher(self):
        server, ca = self.dual_server()
        for count, row in enumerate(self.CIPHERS, 1):
            version, cipher = self.VERSIONS[row[0]], row[2]
            with self.subTest(cipher):
                client = self.s_client(server, *row, ca=ca)
                client.say(b"hello\n")
                client.leave()
                self.assertEqual(client.version_and_cipher, ("New", version, cipher))
                told = self.wait_event(server, "connected", count)["tls"]
                self.assertEqual((told["version"], told["cipher"]), (version, cipher))
                self.assertEqual(self.wait_event(server, "closed", count)["how"], "clean")

    def test_each_group(self):
        server, ca = self.dual_server()
        rows = [(version, offered, group) for version in self.VERSIONS
                for offered, group in (("X25519", "X25519"), ("P-256", "P-256"),
                                       ("P-384", "P-384"))]
        rows.append(("-tls1_3", "P-521:P-384", "P-384"))  # after a HelloRetryRequest
        for count, (version, offered, group) in enumerate(rows, 1):
            with self.subTest(version=version, groups=offered):
                client = self.s_client(server, version, "-groups", offered, ca=ca)
                client.say(b"hello\n")
                client.leave()
                self.assertEqual(self.wait_event(server, "connected", count)["tls"]["group"], group)

    def test_without_server_name(self):
        server = self.server()
        client = self.s_client(server, server_name=None)
        client.say(b"hello\n")
        client.leave()

    def test_key_update(self):
        server = self.server("--format", "json")
        client = self.s_client(server, "-tls1_3")
        client.say(b"before\n")
        for round_, letter in enumerate((b"k", b"K", b"k", b"K"), 1):
            client.write(letter + b"\n")
            client.stderr.wait_for(b"KEYUPDATE", round_)
            client.say(b"after %d\n" % round_)
        client.leave()
        self.assertEqual(self.wait_event(server, "closed", 1)["how"], "clean")
        self.assertEqual([found["message"] for found in self.events(server, "message")],
                         ["before\n", "after 1\n", "after 2\n", "after 3\n", "after 4\n"])

    def test_split_by_the_peer(self):
        """One reply for each record a peer makes of its line."""
        server = self.server("--format", "json")
        client = self.s_client(server, "-max_send_frag", "512")
        client.write(b"x" * 1299 + b"\n")
        client.stdout.wait_until(lambda said: said.count("消息：".encode()) == 3, "three replies")
        client.leave()
        self.wait_event(server, "closed", 1)
        self.assertEqual([found["bytes"] for found in self.events(server, "message")],
                         [512, 512, 276])


class PostQuantum(PolicyTest):
    """X25519MLKEM768, where the library has it, in each pairing; X25519 where it does not."""

    HYBRID = "X25519MLKEM768"

    def setUp(self):
        super().setUp()
        library = re.search(r"OpenSSL (\d+)\.(\d+)", version_line("tlsmsg-server"))
        self.has_hybrid = tuple(map(int, library.groups())) >= (3, 5)

    def need_hybrid(self):
        if not self.has_hybrid:
            self.skipTest(f"{self.HYBRID} needs OpenSSL 3.5")
        offered = subprocess.run(["openssl", "list", "-tls-groups"], stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=scaled(20), check=False).stdout
        if self.HYBRID.encode() not in offered:
            self.skipTest(f"the openssl program has no {self.HYBRID}")

    def probe(self, port):
        """The group that our client and a server agree on, in the client's words."""
        client = self.run_client("--ca", default_certificates().ca, "--probe", "--format", "json",
                                 str(port))
        return json.loads(client.stdout.bytes())["tls"]["group"]

    def test_both_ours(self):
        server = self.server("--format", "json")
        expected = self.HYBRID if self.has_hybrid else "X25519"
        self.assertEqual(self.probe(server.port), expected)
        self.assertEqual(self.wait_event(server, "connected", 1)["tls"]["group"], expected)

    def test_with_s_client(self):
        self.need_hybrid()
        server, ca = self.dual_server()
        rows = ((), ("-groups", self.HYBRID), ("-groups", f"X25519:{self.HYBRID}"))
        for count, words in enumerate(rows, 1):
            with self.subTest(words):
                client = self.s_client(server, *words, ca=ca)
                client.say(b"hello\n")
                client.leave()
                # The server's preference counts, whatever the client's key share is for.
                self.assertEqual(self.wait_event(server, "connected", count)["tls"]["group"],
                                 self.HYBRID)

    def s_server(self, group):
        made = default_certificates()
        server = self.keep(Program(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-groups", group,
             "-cert", made.server, "-key", made.server_key], stdin=subprocess.PIPE,
            name="openssl s_server"))
        told = server.stdout.wait_until(
            lambda said: re.search(rb"^ACCEPT .*:(\d+)$", said, re.MULTILINE), "its port")
        return server, int(told[1])

    def test_with_s_server(self):
        for group in ("X25519", self.HYBRID):
            with self.subTest(group):
                if group == self.HYBRID:
                    self.need_hybrid()
                server, port = self.s_server(group)
                self.assertEqual(self.probe(port), group)
                server.finish(0)


class Refused(PolicyTest):
    def refused(self, server, *options, ca=None, expect=HANDSHAKE_FAILURE, count=1):
        client = self.s_client(server, *options, ca=ca)
        client.close_stdin()
        self.assertNotEqual(client.wait(), 0)
        self.assertEqual(client.alert(), expect, client.stderr.bytes())
        self.assertEqual(self.wait_event(server, "closed", count)["how"], "handshake")

    def assert_still_serves(self, server, ca=None):
        client = self.s_client(server, ca=ca)
        client.say(b"still here\n")
        client.leave()

    def test_old_versions(self):
        server, ca = self.dual_server()
        for count, version in enumerate(("-tls1", "-tls1_1"), 1):
            with self.subTest(version):
                self.refused(server, version, "-cipher", "ALL:@SECLEVEL=0", ca=ca, count=count,
                             expect=PROTOCOL_VERSION)
        self.assert_still_serves(server, ca)
        server.stop(0)
        self.assertEqual(len(self.events(server, "connected")), 1)

    def test_ciphers(self):
        rows = (
            ("CBC with SHA-1, ECDSA", "ECDHE-ECDSA-AES128-SHA"),
            ("CBC with SHA-1, RSA", "ECDHE-RSA-AES256-SHA"),
            ("CBC with SHA-256", "ECDHE-ECDSA-AES128-SHA256"),
            ("CBC with SHA-384", "ECDHE-RSA-AES256-SHA384"),
            ("CCM", "ECDHE-ECDSA-AES128-CCM"),
            ("RSA key exchange, GCM", "AES128-GCM-SHA256"),
            ("RSA key exchange, CBC", "AES256-SHA"),
            ("finite-field Diffie-Hellman", "DHE-RSA-AES256-GCM-SHA384"),
            ("ARIA", "ECDHE-ARIA128-GCM-SHA256"),
            ("no encryption", "ECDHE-ECDSA-NULL-SHA"),
            ("no authentication", "AECDH-AES128-SHA"),
        )
        for name, cipher in rows:
            # Each at a server of its own: of one cause the transcript takes ten lines at once.
            server, ca = self.dual_server()
            with self.subTest(name):
                self.refused(server, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", ca=ca)
        self.assert_still_serves(server, ca)

    def test_groups(self):
        server, ca = self.dual_server()
        rows = [("-tls1_3", group) for group in ("P-521", "X448", "ffdhe2048")]
        rows += [("-tls1_2", group) for group in ("P-521", "X448")]
        for count, (version, group) in enumerate(rows, 1):
            with self.subTest(version=version, group=group):
                self.refused(server, version, "-groups", group, ca=ca, count=count)
        self.assert_still_serves(server, ca)

    def test_tls_min_option(self):
        server = self.server("--tls-min", "1.3", "--format", "json")
        self.refused(server, "-tls1_2", expect=PROTOCOL_VERSION)
        self.assert_still_serves(server)

    def test_renegotiation(self):
        server = self.server("--format", "json")
        client = self.s_client(server, "-tls1_2")
        client.say(b"hello\n")
        client.write(b"R\n")
        client.stderr.wait_for(b"RENEGOTIATING")
        self.assertNotEqual(client.wait(), 0)
        self.assertIn(b"no renegotiation", client.stderr.bytes())
        self.assert_still_serves(server)


class Resumption(PolicyTest):
    VERSIONS = (("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2"))

    def resume(self, server, *options, count=1):
        """Two handshakes, the second with the first one's session; returns both as told."""
        session = self.path(f"session-{count}")
        first = self.s_client(server, *options, "-sess_out", session)
        first.say(b"one\n")
        first.leave()
        self.assertEqual(first.version_and_cipher[0], "New")
        second = self.s_client(server, *options, "-sess_in", session)
        second.say(b"two\n")
        second.leave()
        self.assertEqual(second.version_and_cipher[0], "Reused")
        return (self.wait_event(server, "connected", count)["tls"],
                self.wait_event(server, "connected", count + 1)["tls"])

    def test_both_versions(self):
        server = self.server("--format", "json")
        for number, (option, version) in enumerate(self.VERSIONS):
            with self.subTest(version):
                first, second = self.resume(server, option, count=1 + 2 * number)
                self.assertEqual((first["resumed"], second["resumed"]), (False, True))
                self.assertEqual((first["version"], second["version"]), (version, version))

    def test_with_client_certificates(self):
        made = default_certificates()
        server = self.server("--format", "json", "--client-ca", made.ca)
        for number, (option, version) in enumerate(self.VERSIONS):
            with self.subTest(version):
                first, second = self.resume(server, option, "-cert", made.client, "-key",
                                            made.client_key, count=1 + 2 * number)
                self.assertEqual((first["resumed"], second["resumed"]), (False, True))
                self.assertEqual(first["identity"], second["identity"])

    def test_with_several_workers(self):
        """A session is good with each worker: ten resumptions in a row, on whichever they land."""
        server = self.server("--workers", "4", "--format", "json")
        context = tls.client_context(default_certificates().ca)
        with tls.connect(server.port, context) as first:
            first.send(b"one")
            first.receive()
            session = first.tls.session
            first.close()
        for _ in range(10):
            with tls.connect(server.port, context, session=session) as again:
                self.assertTrue(again.tls.session_reused)
                again.send(b"more")
                again.receive()
                session = again.tls.session
                again.close()

    def test_one_ticket_with_the_first_reply(self):
        server = self.server()
        client = self.s_client(server, "-tls1_3")
        client.say(b"one\n")
        client.say(b"two\n")
        client.leave()
        said = client.stdout.bytes()
        ticket, reply = b"New Session Ticket arrived", "消息：one\n".encode()
        self.assertEqual(said.count(ticket), 1)
        self.assertLess(said.index(b"Verify return code"), said.index(ticket))
        self.assertIn(reply, said)
        self.assertEqual(client.told(rb"Max Early Data: (\d+)"), "0")


class ClientCertificates(PolicyTest):
    def server_for(self, authority):
        return self.server("--format", "json", "--client-ca", authority)

    def test_refused(self):
        made = default_certificates()
        server = self.server_for(certificates.authority("clients").ca)
        rows = (
            ("none", None, (CERTIFICATE_REQUIRED, HANDSHAKE_FAILURE)),
            ("of another CA", certificates.Leaf(made.client, made.client_key),
             (UNKNOWN_CA, UNKNOWN_CA)),
            ("expired", certificates.leaf("clients", "expired", dates="expired"),
             (EXPIRED, EXPIRED)),
        )
        count = 0
        for name, leaf, alerts in rows:
            for option, alert in zip(("-tls1_3", "-tls1_2"), alerts):
                count += 1
                with self.subTest(name, version=option):
                    words = ("-cert", leaf.certificate, "-key", leaf.key) if leaf else ()
                    client = self.s_client(server, option, *words)
                    # In TLS 1.3 the client learns of its refusal only after its own Finished.
                    self.assertNotEqual(client.wait(), 0)
                    self.assertEqual(client.alert(), alert, client.stderr.bytes())
                    self.assertEqual(self.wait_event(server, "closed", count)["how"], "handshake")
        good = certificates.leaf("clients", "good")
        client = self.s_client(server, "-cert", good.certificate, "-key", good.key)
        client.say(b"welcome\n")
        client.leave()
        server.stop(0)
        self.assertEqual(len(self.events(server, "message")), 1)

    def test_server_certificate_is_no_client_certificate(self):
        server = self.server_for(certificates.authority("clients").ca)
        wrong = certificates.leaf("clients", "server-only", usage="serverAuth")
        client = self.s_client(server, "-cert", wrong.certificate, "-key", wrong.key)
        self.assertNotEqual(client.wait(), 0)
        self.assertIsNotNone(client.alert(), client.stderr.bytes())
        server.stop(0)
        self.assertEqual(self.events(server, "message"), [])

    def test_no_reset_overtakes_the_alert(self):
        """Clients that still send after they were refused get to read why."""
        server = self.server_for(default_certificates().ca)
        context = tls.client_context(default_certificates().ca,
                                     minimum=ssl.TLSVersion.TLSv1_3)
        heard, lock = [], threading.Lock()

        def client():
            try:
                with tls.connect(server.port, context) as end:
                    select.select([end.sock], [], [], scaled(10))  # the alert is there
                    for _ in range(3):
                        end.send(b"x" * 1000)
                        kernel.wait_read_by_peer(end.sock)
                    end.receive()
                word = "a reply"
            except ssl.SSLError as error:
                word = error.reason
            except OSError as error:
                word = repr(error)
            with lock:
                heard.append(word)

        threads = [threading.Thread(target=client) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(heard), {"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
        server.stop(0)
        self.assertEqual(self.events(server, "message"), [])


if __name__ == "__main__":
    harness.main(plaintext=False)
