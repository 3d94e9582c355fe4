#!/usr/bin/env python3
"""Trust between the TLS client and servers: chain, names, dates (exit 4), client certificates
(exit 5), and that nothing is sent before the server is verified.
"""

import os
import re
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import texts
import tls
from certificates import default_certificates
from tls_client_test import PROGRAM, ClientTest


class Trust(ClientTest):
    def attempt(self, leaf, words, expect, host="127.0.0.1", address=None):
        """A client against a server with that leaf; returns what of its data got through."""
        got = []

        def handle(sock):
            context = tls.server_context(leaf.certificate, leaf.key)
            try:
                end = tls.accept(sock, context)
            except (ssl.SSLError, OSError):
                return
            while data := end.receive():
                got.append(data)
                end.send(texts.reply(data))
            end.answer_close()

        peer = self.peer(handle, host)
        client = self.run_client(*words, "-q", "-m", "secret",
                                 (address or "127.0.0.1:{}").format(peer.port), expect=expect)
        try:
            peer.finish()
        except (ssl.SSLError, OSError):
            self.assertNotEqual(expect, 0)
        return client, got

    def leaf(self, name, **how):
        return certificates.leaf("servers", name, **how)

    def test_trusted(self):
        ca = certificates.authority("servers").ca
        dns = self.leaf("dns", names="DNS:localhost")
        other = self.leaf("other", names="DNS:other.example")
        ip = self.leaf("ip", names="IP:127.0.0.1,IP:::1")
        wild = self.leaf("wild", names="DNS:*.example.org")
        rows = (
            ("DNS name", dns, (), "127.0.0.1", "localhost:{}"),
            ("server name option", other, ("--server-name", "other.example"), "127.0.0.1", None),
            ("IPv4 address", ip, (), "127.0.0.1", "127.0.0.1:{}"),
            ("IPv6 address", ip, (), "::1", "[::1]:{}"),
            ("IP as server name", ip, ("--server-name", "127.0.0.1"), "127.0.0.1",
             "localhost:{}"),
            ("wildcard", wild, ("--server-name", "a.example.org"), "127.0.0.1", None),
            ("RSA", self.leaf("rsa", algorithm="rsa"), (), "127.0.0.1", None),
        )
        for name, leaf, words, host, address in rows:
            with self.subTest(name):
                if ":" in host:
                    self.need_ipv6()
                client, got = self.attempt(leaf, ("--ca", ca, *words), 0, host, address)
                self.assertEqual(got, [b"secret"])
                self.assertEqual(client.stdout.bytes(), texts.reply(b"secret") + b"\n")
                self.assert_quiet(client)

    def test_system_trust_store(self):
        ca = certificates.authority("servers").ca
        peer = self.tls_peer(self.answer, self.leaf("good"))
        self.run_client("-m", "hello", str(peer.port), env={"SSL_CERT_FILE": ca})
        peer.finish()

    def test_not_trusted(self):
        """Each ends with exit 4 and a line that says which; not a byte of the message left."""
        ca = certificates.authority("servers").ca
        good = self.leaf("good")
        name_words, ca_words = ("name", "host"), ("--ca",)
        rows = (
            ("wrong DNS name", self.leaf("other", names="DNS:other.example"), ("--ca", ca),
             "localhost:{}", name_words),
            ("wrong IP address", self.leaf("far", names="IP:192.0.2.1"), ("--ca", ca), None,
             ("name", "address", "host")),
            ("DNS name for an address", self.leaf("dns", names="DNS:localhost"), ("--ca", ca),
             None, ("name", "address", "host")),
            ("an address as DNS name", self.leaf("dns-ip", names="DNS:127.0.0.1"), ("--ca", ca),
             None, ("name", "address", "host")),
            ("wrong server name option", good, ("--ca", ca, "--server-name", "other.example"),
             None, name_words),
            ("wildcard for two labels", self.leaf("wild", names="DNS:*.example.org"),
             ("--ca", ca, "--server-name", "a.b.example.org"), None, name_words),
            ("unknown CA", good, ("--ca", self.ca), None, ca_words),
            ("no CA at all", good, (), None, ca_words),
            ("expired", self.leaf("expired", dates="expired"), ("--ca", ca), None, ("expired",)),
            ("not yet valid", self.leaf("future", dates="not yet valid"), ("--ca", ca), None,
             ("not yet valid",)),
            ("a client's certificate", self.leaf("client-only", usage="clientAuth"), ("--ca", ca),
             None, ("purpose", "use", "usage")),
        )
        lines = {}
        for name, leaf, words, address, says in rows:
            with self.subTest(name):
                client, got = self.attempt(leaf, words, 4, "127.0.0.1", address)
                self.assertEqual(got, [], "sent before the server was verified")
                self.assertEqual(client.stdout.bytes(), b"")
                said = client.stderr.bytes()
                self.assert_one_line(said, PROGRAM)
                self.assertTrue(any(word in said.decode().lower() for word in says), said)
                lines[name] = re.sub(rb"[0-9]+", b"", said)
        self.assertNotEqual(lines.get("unknown CA"), lines.get("no CA at all"),
                            "the line does not say which of the two")

    def test_self_signed(self):
        made = default_certificates()
        selfsigned = certificates.Leaf(self.path("self.crt"), self.path("self.key"))
        certificates.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", selfsigned.key, "-out", selfsigned.certificate, "-subj", "/CN=x",
            "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE"])
        client, got = self.attempt(selfsigned, ("--ca", made.ca), 4)
        self.assertEqual(got, [])
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "--ca")
        # Given as the anchor itself, it is trusted.
        self.assertEqual(self.attempt(selfsigned, ("--ca", selfsigned.certificate), 0)[1],
                         [b"secret"])

    def test_server_name_indication(self):
        rows = (("localhost:{}", (), "localhost"), ("127.0.0.1:{}", (), None),
                ("127.0.0.1:{}", ("--server-name", "localhost"), "localhost"))
        made = default_certificates()
        for address, words, expected in rows:
            with self.subTest(address, words=words):
                seen = []
                context = tls.server_context(made.server, made.server_key)
                context.sni_callback = lambda _end, name, _context: seen.append(name)
                peer = self.peer(lambda sock: self.answer(tls.accept(sock, context)))
                self.run_client("--ca", self.ca, *words, "-m", "x", address.format(peer.port))
                peer.finish()
                self.assertEqual(seen, [expected])

    def test_prompt_comes_after_trust(self):
        """Nobody types into a conversation that is not one."""
        peer = self.peer(lambda sock: sock.recv(1 << 16))
        client = self.run_client("--ca", self.ca, str(peer.port), stdin=b"hello\n", expect=3)
        peer.finish()
        self.assertEqual(client.stdout.bytes(), b"")


class ClientCertificate(ClientTest):
    def test_accepted(self):
        made = default_certificates()
        server = self.server("--client-ca", made.ca, "--format", "json")
        client = self.run_client("--ca", self.ca, "--cert", made.client, "--key", made.client_key,
                                 "-m", "hello", str(server.port))
        self.assertEqual(client.stdout.bytes(), texts.shown_reply(texts.reply(b"hello")))
        server.wait_line(b'"identity":')

    def test_key_in_the_certificate_file(self):
        made = default_certificates()
        both = self.path("both.pem")
        with open(both, "wb") as out:
            for part in (made.client, made.client_key):
                with open(part, "rb") as source:
                    out.write(source.read())
        server = self.server("--client-ca", made.ca)
        self.run_client("--ca", self.ca, "--cert", both, "-m", "hello", str(server.port))

    def test_refused_by_our_server(self):
        """In TLS 1.3 the refusal comes after the client's own handshake is over."""
        stranger = certificates.leaf("strangers", "stranger")
        server = self.server("--client-ca", default_certificates().ca, "--format", "json")
        rows = (("without one", ()),
                ("of another CA", ("--cert", stranger.certificate, "--key", stranger.key)))
        for name, words in rows:
            for way in (("-m", "hello"), ()):
                for _ in range(3):
                    with self.subTest(name, way=way):
                        client = self.run_client("--ca", self.ca, *words, *way, str(server.port),
                                                 stdin=b"hello\nagain\nexit\n", expect=5)
                        self.assert_one_line(client.stderr.bytes(), PROGRAM, "certificate")
                        self.assertNotIn("收到回应".encode(), client.stdout.bytes())
        server.stop(0)
        self.assertNotIn(b'"event":"message"', server.stdout.bytes())
        self.assertNotIn(b'"event":"connected"', server.stdout.bytes())
        self.assertNotEqual(server.log(), b"", "failed handshakes are warnings")

    def test_refused_while_waiting_at_the_prompt(self):
        server = self.server("--client-ca", default_certificates().ca)
        client = self.start_client("--ca", self.ca, str(server.port))
        client.finish(5)  # its stdin stays open
        self.assert_one_line(client.stderr.bytes(), PROGRAM, "certificate")

    def test_refused_in_both_versions(self):
        stranger = certificates.leaf("strangers", "stranger")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version.name):
                peer = self.tls_peer(lambda end: end.receive(), client_ca=self.ca,
                                     minimum=version, maximum=version)
                client = self.run_client("--ca", self.ca, "--cert", stranger.certificate, "--key",
                                         stranger.key, "-m", "hello", str(peer.port), expect=5)
                peer.abandon()
                self.assert_one_line(client.stderr.bytes(), PROGRAM, "certificate")


if __name__ == "__main__":
    harness.main(plaintext=False)
