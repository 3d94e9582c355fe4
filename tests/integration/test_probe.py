#!/usr/bin/env python3
"""--probe: what it shows of a server, trusted or not, and that its exit code is a conversation's."""

import json
import os
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import network
import tls
from certificates import default_certificates
from harness import Terminal
from settings import seconds
from tls_client_test import ClientTest

PIN = r"sha256//[A-Za-z0-9+/]{43}="


class ProbeTest(ClientTest):
    def probe_json(self, *words, expect=0):
        client = self.run_client("--probe", "--format", "json", *words, expect=expect)
        said = client.stdout.bytes().decode("utf-8")
        self.assertEqual(said.count("\n"), 1, said)
        found = json.loads(said)
        self.assertEqual(found["exit"], expect)
        if expect == 0:
            self.assert_quiet(client)
        else:
            self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", found["detail"])
        return found

    def probe_text(self, *words, expect=0, **how):
        client = self.run_client("--probe", *words, expect=expect, **how)
        return client.stdout.bytes().decode("utf-8")

    @property
    def ca(self):
        return default_certificates().ca


class Trusted(ProbeTest):
    def test_json(self):
        server = self.server()
        found = self.probe_json("--ca", self.ca, str(server.port))
        self.assertEqual(found["address"], f"127.0.0.1:{server.port}")
        self.assertEqual(found["result"], "trusted")
        self.assertEqual(found["tls"]["version"], "TLSv1.3")
        self.assertTrue(found["tls"]["cipher"].startswith("TLS_"))
        self.assertIn(found["tls"]["group"], ("X25519", "X25519MLKEM768"))
        self.assertRegex(found["pin"], f"\\A{PIN}\\Z")
        leaf = found["chain"][0]
        self.assertEqual(leaf["subject"], "CN=localhost")
        self.assertIn("127.0.0.1", leaf["names"])
        self.assertEqual(leaf["issuer"], found["chain"][-1]["subject"])
        self.assertEqual(leaf["pin"], found["pin"])
        self.assertGreater(leaf["days_left"], 0)
        for when in ("not_before", "not_after"):
            self.assertRegex(leaf[when], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

    def test_the_pin_is_good_for_the_option(self):
        server = self.server()
        pin = self.probe_json(str(server.port), expect=4)["pin"]
        found = self.probe_json("--pin", pin, str(server.port))
        self.assertIn("pinned", found["detail"])
        self.run_client("--pin", pin, "-m", "hello", str(server.port))

    def test_screen(self):
        server = self.server()
        said = self.probe_text("--ca", self.ca, str(server.port))
        self.assertLessEqual(said.count("\n"), 24)
        for line in said.splitlines():
            self.assertLessEqual(len(line), 80, line)
        for words in (f"127.0.0.1:{server.port}\n", "version       TLSv1.3",
                      "certificate   CN=localhost", "names       localhost", "issuer      CN=",
                      " days left", "verification  trusted: "):
            self.assertIn(words, said)
        self.assertRegex(said, f"  pin           {PIN}\n")
        self.assertNotIn("\033", said)

    def test_it_is_no_message(self):
        server = self.server("--format", "json")
        self.probe_text("--ca", self.ca, str(server.port))
        server.wait_line(b'"event":"closed"')
        said = server.transcript()
        self.assertNotIn(b'"event":"message"', said)
        self.assertIn(b'"how":"clean"', said)

    def test_tls12(self):
        leaf = certificates.leaf("servers", "good")

        def handle(end):
            self.assertEqual(end.receive(), b"")
            end.answer_close()

        peer = self.tls_peer(handle, leaf, maximum=ssl.TLSVersion.TLSv1_2)
        found = self.probe_json("--ca", certificates.authority("servers").ca, str(peer.port))
        peer.finish()
        self.assertEqual(found["tls"]["version"], "TLSv1.2")
        self.assertTrue(found["tls"]["cipher"].startswith("ECDHE-"), found)

    def test_colour_on_a_terminal_alone(self):
        server = self.server()
        for env, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(env):
                terminal = Terminal()
                client = self.start_client("--probe", "--ca", self.ca, str(server.port),
                                           stdout=terminal.slave, env=env)
                terminal.close_slave()
                client.finish(0)
                self.assertEqual(b"\033[" in terminal.output.finish(), coloured)


class NotTrusted(ProbeTest):
    def attempt(self, leaf, *words, expect=4, **how):
        """A probe of a server whose handshake may fail."""

        def handle(sock):
            try:
                end = tls.accept(sock, tls.server_context(leaf.certificate, leaf.key, **how))
                end.answer_close()
            except (ssl.SSLError, OSError):
                pass

        peer = self.peer(handle)
        found = self.probe_json(*words, str(peer.port), expect=expect)
        peer.finish()
        return found

    def test_what_was_seen_and_why(self):
        ca = certificates.authority("servers").ca
        both = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        rows = (
            ("unknown CA", {"name": "good"}, (), "unknown CA"),
            ("wrong name", {"name": "other", "names": "DNS:other.example"}, ("--ca", ca),
             "wrong name"),
            ("expired", {"name": "expired", "dates": "expired"}, ("--ca", ca), "expired"),
            ("not yet valid", {"name": "early", "dates": "not yet valid"}, ("--ca", ca),
             "not yet valid"),
            ("another key", {"name": "good"},
             ("--pin", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), "pin"),
        )
        for name, made, words, why in rows:
            leaf = certificates.leaf("servers", **made)
            for version in both:
                with self.subTest(f"{name}, {version.name}"):
                    found = self.attempt(leaf, *words, maximum=version)
                    self.assertEqual(found["result"], "untrusted")
                    self.assertIn(why, found["detail"])
                    self.assertEqual(found["tls"]["version"],
                                     version.name.replace("v1_", "v1."))
                    self.assertIn("cipher", found["tls"])
                    self.assertEqual(found["chain"][0]["subject"], f"CN={made['name']}")
                    self.assertEqual(found["chain"][0]["days_left"] < 0, name == "expired")
                    self.assertIn(found["pin"], found["detail"])

    def test_screen(self):
        server = self.server()
        said = self.probe_text(str(server.port), expect=4)
        self.assertIn("certificate   CN=localhost", said)
        self.assertIn("verification  untrusted: cannot verify server", said)

    def test_hostile_names_are_escaped(self):
        leaf = certificates.leaf("servers", "odd", subject="evil\x1b[31m\u202ename")
        found = self.attempt(leaf)
        self.assertNotIn("\x1b", found["chain"][0]["subject"])
        self.assertIn("\\1B", found["chain"][0]["subject"])
        self.assertNotIn("\u202e", found["chain"][0]["subject"])


class Refused(ProbeTest):
    def test_certificate_is_wanted(self):
        """In TLS 1.3 the refusal comes after our handshake."""
        made = default_certificates()
        server = self.server("--client-ca", made.ca)
        found = self.probe_json("--ca", made.ca, str(server.port), expect=5)
        self.assertEqual(found["result"], "refused")
        self.assertIn("certificate", found["detail"])
        self.assertEqual(found["chain"][0]["subject"], "CN=localhost")
        found = self.probe_json("--ca", made.ca, "--cert", made.client, "--key", made.client_key,
                                str(server.port))
        self.assertEqual(found["result"], "trusted")

    def test_in_tls12(self):
        made = default_certificates()
        leaf = certificates.leaf("servers", "good")

        def handle(sock):
            context = tls.server_context(leaf.certificate, leaf.key, client_ca=made.ca,
                                         maximum=ssl.TLSVersion.TLSv1_2)
            try:
                tls.accept(sock, context)
            except (ssl.SSLError, OSError):
                pass

        peer = self.peer(handle)
        found = self.probe_json("--ca", certificates.authority("servers").ca, str(peer.port),
                                expect=5)
        peer.finish()
        self.assertEqual(found["result"], "refused")


class NoServer(ProbeTest):
    def test_nothing_there(self):
        port = str(network.unused_port())
        found = self.probe_json(port, expect=3)
        self.assertEqual(found["result"], "failed")
        self.assertNotIn("chain", found)
        client = self.run_client("--probe", port, expect=3)
        self.assertEqual(client.stdout.bytes(), b"")
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", "refused")

    def test_no_tls_there(self):
        peer = self.peer(lambda sock: sock.sendall(b"220 hello\r\n"))
        found = self.probe_json(str(peer.port), expect=3)
        peer.finish()
        self.assertIn("TLS", found["detail"])
        self.assertNotIn("tls", found)

    def test_silence_ends_with_the_timeout(self):
        with network.listen() as silent:
            port = silent.getsockname()[1]
            self.probe_json("--timeout", seconds(0.5), str(port), expect=3)

    def test_hello_requests_without_end_end_with_the_timeout(self):
        """OpenSSL skips them (RFC 5246 section 7.4.1.1), so the client is busy all the time."""
        requests = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 4096
        over = threading.Event()

        def pour(sock):
            try:
                while not over.is_set():
                    sock.sendall(requests)
            except OSError:
                pass  # the client has left

        peer = self.peer(pour)
        self.addCleanup(over.set)
        found = self.probe_json("--timeout", seconds(1), str(peer.port), expect=3)
        peer.finish()
        self.assertIn("not finished within", found["detail"])


class Usage(ProbeTest):
    def test_what_does_not_go_together(self):
        for words, name in ((("--probe", "-m", "hello"), "--probe"),
                            (("--probe", "--format", "xml"), "format")):
            with self.subTest(words):
                client = self.run_client(*words, expect=2)
                self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", name)
                self.assertEqual(client.stdout.bytes(), b"")


if __name__ == "__main__":
    harness.main(plaintext=False)
