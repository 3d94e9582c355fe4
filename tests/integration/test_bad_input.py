#!/usr/bin/env python3
"""Bad input at start, in both builds: one clear line, the exact exit code, nothing hung.

The command line, addresses, certificate files. What comes later, from peers, stdin and a failing
stdout, is test_bad_peers.py's.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import network
from bad_input import BadInput, plaintext_only, tls_only
from certificates import default_certificates
from processes import Program
from settings import is_plaintext, program, scaled, version_line


class VersionAndHelp(BadInput):
    def test_version(self):
        for name in ("tlsmsg-server", "tlsmsg-client"):
            self.assertRegex(version_line(name), (
                rf"\A{name} \d+\.\d+\.\d+ "
                + (r"\(plaintext\)\n\Z" if is_plaintext() else r"\(TLS, OpenSSL \d\S*\)\n\Z")))

    def test_letters(self):
        for name in ("tlsmsg-server", "tlsmsg-client"):
            for letter, word in (("-h", "--help"), ("-V", "--version")):
                with self.subTest(name, letter=letter):
                    said = []
                    for form in (letter, word):
                        running = self.keep(Program([*program(name), form], name=name))
                        running.finish(0)
                        said.append(running.stdout.bytes())
                    self.assertEqual(*said)

    def test_help_s_language(self):
        """The locale's, English where there is none; --lang before it decides."""
        rows = (({"LC_ALL": "C.UTF-8"}, (), "Usage: "), ({"LC_ALL": "en_US.UTF-8"}, (), "Usage: "),
                ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}, (), "用法："),
                ({"LC_ALL": "zh_TW.UTF-8"}, ("--lang", "en"), "Usage: "),
                ({"LC_ALL": "de_DE.UTF-8"}, ("--lang=zh",), "用法："))
        for name in ("tlsmsg-server", "tlsmsg-client"):
            for env, words, begin in rows:
                with self.subTest(name, env=env, words=words):
                    running = self.keep(Program([*program(name), *words, "--help"], name=name,
                                                env=env))
                    running.finish(0)
                    said = running.stdout.bytes().decode()
                    self.assertTrue(said.startswith(f"{begin}{name} "), said)
                    self.assertEqual(said.count(f"  {name}"), 3, "three examples")

    def test_help(self):
        for name in ("tlsmsg-server", "tlsmsg-client"):
            with self.subTest(name):
                running = self.keep(Program([*program(name), "--help"], name=name))
                running.finish(0)
                said = running.stdout.bytes().decode()
                self.assertLessEqual(len(said.splitlines()), 75)
                self.assertLessEqual(max(map(len, said.splitlines())), 80)
                for option in ("--version", "--quiet", "--lang"):
                    self.assertIn(option, said)
                self.assert_quiet(running)


class CommandLine(BadInput):
    def test_server_usage(self):
        rows = (
            ("unknown option", ["--no-such-option"], "--no-such-option"),
            ("unknown letter", ["-Z"], "-Z"),
            ("an argument", ["stray"], "stray"),
            ("value missing", ["--listen"], "--listen"),
            ("value missing for a letter", ["-l"], "-l"),
            ("value for a flag", ["--quiet=yes"], "--quiet"),
            ("port too large", ["--listen", "127.0.0.1:65536"], "65536"),
            ("port far too large", ["--listen", "127.0.0.1:99999999999999999999"], "9999999"),
            ("negative port", ["--listen", "127.0.0.1:-1"], "-1"),
            ("port is no number", ["--listen", "127.0.0.1:http2x"], "http2x"),
            ("port with a space", ["--listen", "127.0.0.1: 80"], "port"),
            ("port empty", ["--listen", "127.0.0.1:"], "port"),
            ("digits alone too large", ["--listen", "70000"], "70000"),
            ("address empty", ["--listen", ""], ("address", "--listen")),
            ("v6 without brackets", ["--listen", "::1:5000"], "::1:5000"),
            ("bracket not closed", ["--listen", "[::1:5000"], "[::1:5000"),
            ("junk after the bracket", ["--listen", "[::1]x5000"], "[::1]x5000"),
            ("name that is not ASCII", ["--listen", "bücher.example:0"], "xn--"),
            ("accept", ["--accept", "many"], "many"),
            ("negative accept", ["--accept", "-1"], "-1"),
            ("workers", ["--workers", "two"], "two"),
            ("recv size 0", ["--recv-size", "0"], "recv-size"),
            ("recv size too large", ["--recv-size", "16385"], "16385"),
            ("recv size is no number", ["--recv-size", "1k"], "1k"),
            ("language", ["--lang", "fr"], "fr"),
            ("format", ["--format", "xml"], "xml"),
            ("log level", ["--log-level", "loud"], "loud"),
            ("drain timeout", ["--drain-timeout", "soon"], "soon"),
            ("negative drain timeout", ["--drain-timeout", "-1"], "-1"),
            ("nan", ["--drain-timeout", "nan"], "nan"),
            ("reply without message", ["--reply", "thanks"], "{message}"),
            ("reply empty", ["--reply", ""], "--reply"),
            ("reply with two messages", ["--reply", "{message}{message}"], "{message}"),
            ("reply too long", ["--reply", "x" * 385 + "{message}"], "384"),
            ("reply too long in bytes", ["--reply", "中" * 129 + "{message}"], "384"),
            ("reply of invalid UTF-8", ["--reply", b"\xff{message}"], "UTF-8"),
            ("reply of a cut character", ["--reply", b"{message}\xe4\xb8"], "UTF-8"),
        )
        for name, words, says in rows:
            with self.subTest(name):
                self.server_fails(words, 2, says)

    def test_client_usage(self):
        rows = (
            ("unknown option", ["--no-such-option"], "--no-such-option"),
            ("unknown letter", ["-Z"], "-Z"),
            ("two addresses", ["127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2"),
            ("HOST PORT", ["localhost", "4433"], "HOST:PORT; try: localhost:4433"),
            ("IPv6 PORT", ["::1", "4433"], "HOST:PORT; try: [::1]:4433"),
            ("a URL", ["https://localhost:4433/"], "try: localhost:4433"),
            ("IPv6 and port without brackets", ["::1:12345"], "try: [::1]:12345"),
            ("value missing", ["--message"], "--message"),
            ("empty message", ["-m", ""], "message"),
            ("empty among others", ["-m", "x", "-m", "", "-m", "y"], "message"),
            ("message of invalid UTF-8", ["-m", b"caf\xe9"], "UTF-8"),
            ("port too large", ["127.0.0.1:65536"], "65536"),
            ("port is no number", ["localhost:http2x"], "http2x"),
            ("digits alone too large", ["70000"], "70000"),
            ("address empty", [""], ("address", "host")),
            ("bracket not closed", ["[::1"], "[::1"),
            ("junk after the bracket", ["[::1]x5000"], "[::1]x5000"),
            ("name that is not ASCII", ["bücher.example:1"], "xn--"),
            ("name of invalid UTF-8", [b"\xff\xfe:1"], "xn--"),
            ("language", ["--lang", "fr"], "fr"),
            ("timeout", ["--timeout", "1s"], "1s"),
            ("negative timeout", ["--timeout", "-1"], "-1"),
        )
        for name, words, says in rows:
            with self.subTest(name):
                self.client_fails(words, 2, says)

    def test_control_characters_in_the_line(self):
        """What a line quotes is escaped: nobody's terminal is written to through it."""
        for name, fails in (("server", self.server_fails), ("client", self.client_fails)):
            with self.subTest(name):
                said = fails(["--lang", "\x1b[2J\nx"], 2, "lang")
                self.assertNotIn("\x1b", said)

    @plaintext_only
    def test_tls_options_in_the_plaintext_build(self):
        server = (["--cert", "x"], ["--key", "x"], ["--client-ca", "x"], ["--tls-min", "1.2"],
                  ["--handshake-timeout", "5"], ["--cert=x"])
        client = (["--ca", "x"], ["--server-name", "x"], ["--cert", "x"], ["--key", "x"],
                  ["--tls-min", "1.3"])
        for fails, rows in ((self.server_fails, server), (self.client_fails, client)):
            for words in rows:
                with self.subTest(words=words):
                    fails(words, 2, words[0].split("=")[0], "plaintext")

    @tls_only
    def test_tls_option_values(self):
        for value in ("1.1", "1.4", "TLSv1.2", ""):
            with self.subTest(value):
                self.server_fails(["--tls-min", value], 2, "tls-min")
                self.client_fails(["--tls-min", value], 2, "tls-min")
        self.server_fails(["--handshake-timeout", "x"], 2, "handshake-timeout")
        self.client_fails(["--server-name", "bücher.example"], 2, "xn--")


class Listening(BadInput):
    def test_address_in_use(self):
        with network.listen() as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.server_fails(["--listen", address], 1, address, "in use")

    def test_second_address_in_use(self):
        with network.listen() as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            running = self.keep(Program(
                [*program("tlsmsg-server"), *self.good_server_words(), "--listen", "127.0.0.1:0",
                 "--listen", address], name="tlsmsg-server"))
            running.finish(1)
            last = running.stderr.bytes().splitlines(keepends=True)[-1]
            self.assert_one_line(last, "tlsmsg-server: ", address, "in use")

    def test_address_of_another_machine(self):
        self.server_fails(["--listen", "192.0.2.1:0"], 1, "192.0.2.1")

    def test_name_unknown(self):
        said = self.keep(Program([*program("tlsmsg-server"), *self.good_server_words(), "--listen",
                                  "no-such-host.invalid:0"], name="tlsmsg-server"))
        self.assertIn(said.wait(20), (1, 2))
        self.assert_one_line(said.stderr.bytes(), "tlsmsg-server: ", "no-such-host.invalid")

    def test_nothing_listens(self):
        address = f"127.0.0.1:{network.unused_port()}"
        self.client_fails(["-m", "x", address], 3, address, "refused")

    def test_client_name_unknown(self):
        self.client_fails(["-m", "x", "no-such-host.invalid:1"], 3, "no-such-host.invalid")


class CertificateFiles(BadInput):
    def own_fails(self, certificate, key, *says):
        """The same faults in the server's and in the client's own certificate."""
        made = default_certificates()
        words = ["--cert", certificate] + (["--key", key] if key else [])
        lines = [self.fails("tlsmsg-server", words, 2, *says),
                 self.fails("tlsmsg-client", ["--ca", made.ca, *words, "-m", "x", "1"], 2, *says)]
        for line in lines:
            self.assertNotIn("PRIVATE", line)

    @tls_only
    def test_no_certificate(self):
        self.fails("tlsmsg-server", ["--listen", "127.0.0.1:0"], 2, "scripts/gen-certs.sh")

    @tls_only
    def test_certificate_and_key(self):
        made = default_certificates()
        other = certificates.leaf("bad input", "other")
        expired = certificates.leaf("bad input", "expired", dates="expired")
        junk = self.write_file("junk.pem", b"-----BEGIN CERTIFICATE-----\nnonsense\n")
        noise = self.write_file("noise.pem", bytes(range(256)))
        empty = self.write_file("empty.pem", b"")
        missing = self.path("missing.pem")
        rows = (
            ("certificate missing", missing, made.server_key, (missing, "no such file")),
            ("key missing", made.server, missing, (missing, "no such file")),
            ("certificate is a directory", self.folder, made.server_key, (self.folder,)),
            ("key is a directory", made.server, self.folder, (self.folder,)),
            ("certificate is junk", junk, made.server_key, (junk,)),
            ("certificate is noise", noise, made.server_key, (noise,)),
            ("certificate is empty", empty, made.server_key, (empty,)),
            ("certificate holds only a key", made.server_key, made.server_key,
             (made.server_key,)),
            ("key is junk", made.server, junk, (junk,)),
            ("key is empty", made.server, empty, (empty,)),
            ("key is a certificate", made.server, made.server, (made.server,)),
            ("key of another", made.server, other.key, (other.key,)),
            ("key left out and not in the file", made.server, None, ("key",)),
            ("expired", expired.certificate, expired.key, (expired.certificate, "expired")),
        )
        for name, certificate, key, says in rows:
            with self.subTest(name):
                self.own_fails(certificate, key, *says)

    @tls_only
    def test_not_readable(self):
        """A key of somebody else's, as a user who is not root."""
        if os.geteuid() == 0:
            words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            self.tool("setpriv")
        else:
            words = []
        made = default_certificates()
        # The folder must be open to the other user; the key alone must not.
        os.chmod(self.folder, 0o755)
        key = self.write_file("locked.key", b"secret")
        os.chmod(key, 0)
        with open(made.server, "rb") as source:
            certificate = self.write_file("server.crt", source.read())
        reachable = subprocess.run(
            [*words, *program("tlsmsg-server"), "--version"], capture_output=True,
            timeout=scaled(20), check=False)
        if reachable.returncode != 0:
            self.skipTest("another user cannot run the program where it lies")
        running = self.keep(Program([*words, *program("tlsmsg-server"), "--listen", "127.0.0.1:0",
                                     "--cert", certificate, "--key", key], name="tlsmsg-server"))
        running.finish(2)
        self.assert_one_line(running.stderr.bytes(), "tlsmsg-server: ", key, "permission denied")

    @tls_only
    def test_encrypted_key_without_its_password(self):
        """No prompt, nothing hung: the terminal is not asked."""
        made = default_certificates()
        locked = self.path("encrypted.key")
        certificates.run(["openssl", "pkey", "-in", made.server_key, "-aes256", "-passout",
                          "pass:test", "-out", locked])
        self.own_fails(made.server, locked, locked)

    @tls_only
    def test_authorities(self):
        made = default_certificates()
        junk = self.write_file("junk.pem", b"nonsense\n")
        empty = self.write_file("empty.pem", b"")
        rows = (("missing", self.path("missing.pem")), ("a directory", self.folder),
                ("junk", junk), ("empty", empty), ("a key", made.server_key))
        for name, path in rows:
            with self.subTest(name):
                self.server_fails(["--client-ca", path], 2, path)
                self.fails("tlsmsg-client", ["--ca", path, "-m", "x", "1"], 2, path)


if __name__ == "__main__":
    harness.main()
