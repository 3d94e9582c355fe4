#!/usr/bin/env python3
"""scripts/gen-certs.sh: what it makes, what peers say to it, and what it does when things go wrong.

Each test works in a fresh folder. GEN_CERTS_SHELL names the shell that runs the script (default:
sh); GEN_CERTS_KEPT a folder that several runs of this file share, for what they begin with. Peers
that are not installed are skipped, and said so.
"""

import atexit
import base64
import datetime
import hashlib
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gen-certs.sh"
SHELL = shlex.split(os.environ.get("GEN_CERTS_SHELL", "sh"))
TIMEOUT = 60
LOCK = ".gen-certs.lock"
ALGORITHMS = ("ecdsa", "rsa", "ed25519")
RESULT = re.compile(r"server\.crt  expires (\S+)  pin (sha256//[A-Za-z0-9+/]{43}=)")


def openssl(*args, check=True, stdin=None):
    """Without the system's CAs: reading them is most of what 'openssl x509' takes."""
    done = subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True,
                          env={**os.environ, "SSL_CERT_FILE": os.devnull}, timeout=TIMEOUT,
                          check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"openssl {args}: {done.stderr.decode()}")
    return done


def text(crt, *what):
    return openssl("x509", "-in", crt, "-noout", *what).stdout.decode()


def spki_pin(crt):
    pem = openssl("x509", "-in", crt, "-noout", "-pubkey").stdout
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=pem).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def names(crt):
    lines = text(crt, "-ext", "subjectAltName").splitlines()
    return [name.strip() for name in lines[1].split(",")] if len(lines) > 1 else []


def serial(crt):
    return text(crt, "-serial").strip().partition("=")[2]


def dates(crt):
    return [datetime.datetime.strptime(line.partition("=")[2], "%Y-%m-%d %H:%M:%SZ")
            for line in text(crt, "-dates", "-dateopt", "iso_8601").splitlines()]


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def kept_folder():
    """Where first runs are kept: of this process, unless several share one."""
    shared = os.environ.get("GEN_CERTS_KEPT")
    if shared:
        os.makedirs(shared, exist_ok=True)
        return pathlib.Path(shared)
    own = tempfile.mkdtemp(prefix="gen-certs-kept-")
    atexit.register(shutil.rmtree, own)
    return pathlib.Path(own)


class Case(unittest.TestCase):
    kept = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gen-certs-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "certs"

    def run_script(self, *args, code=0, shell=SHELL, out=True, **options):
        """Runs the script on self.out and checks its exit code."""
        options.setdefault("cwd", self.folder)
        options["env"] = {**os.environ, **options.get("env", {})}
        command = [*shell, str(SCRIPT), *map(str, args), *(["--out", str(self.out)] if out else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT,
                              stdin=subprocess.DEVNULL, check=False, **options)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def start(self, *args):
        """What the script makes from nothing, for a test that is about what comes after: the first
        run of each kind is kept, and copied with its times and modes. It may be minutes old."""
        if Case.kept is None:
            Case.kept = kept_folder()
        kept = Case.kept / hashlib.sha256(repr((args, SHELL)).encode()).hexdigest()[:16]
        if not kept.exists():
            self.run_script(*args)
            copy = tempfile.mkdtemp(dir=Case.kept)
            shutil.copytree(self.out, copy, dirs_exist_ok=True)
            try:
                os.rename(copy, kept)
            except OSError:
                shutil.rmtree(copy)  # another process was first
            return
        shutil.copytree(kept, self.out)

    def fails(self, *args, code=1, saying="", **options):
        """The script ends with the code and one line that says so, and changes nothing."""
        before = self.state()
        done = self.run_script(*args, code=code, **options)
        self.assertRegex(done.stderr, r"\Agen-certs\.sh: [^\n]*\n\Z")
        self.assertIn(saying, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.state(), before)
        return done

    def state(self):
        """Every file below the test's folder, with its content, mode and time."""
        return {str(path.relative_to(self.folder)):
                (path.is_file() and path.read_bytes(), path.stat().st_mode,
                 path.is_file() and path.stat().st_mtime_ns)
                for path in sorted(self.folder.rglob("*"))}

    def files(self):
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []

    def verify(self, name, *options, purpose="sslserver", ca="ca.crt", check=True):
        return openssl("verify", "-x509_strict", "-purpose", purpose, "-no-CApath", "-no-CAstore",
                       "-CAfile", self.out / ca, *options, self.out / f"{name}.crt", check=check)

    def pin(self, name="server"):
        return spki_pin(self.out / f"{name}.crt")

    def tool(self, name, content):
        """A program of this name, in a folder that can be put before others in PATH."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + textwrap.dedent(content))
        path.chmod(0o755)
        return path

    def sign_by_hand(self, name, extensions, start, end, ca=True):
        """A certificate for NAME.key with dates or names that the script would not make."""
        work = self.folder / "by-hand"
        work.mkdir(exist_ok=True)
        (work / "db").write_text("")
        (work / "cnf").write_text(textwrap.dedent(f"""\
            [ca]
            default_ca = this
            [this]
            database = {work}/db
            new_certs_dir = {work}
            rand_serial = yes
            default_md = default
            policy = subject
            x509_extensions = extensions
            [subject]
            commonName = supplied
            [extensions]
            """) + "\n".join(extensions) + "\n")
        key, crt = self.out / f"{name}.key", self.out / f"{name}.crt"
        subject = "/CN=" + re.search(r"commonName += (.*)", text(
            crt, "-subject", "-nameopt", "multiline")).group(1) if crt.exists() else f"/CN={name}"
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", work / "csr")
        signer = ("-cert", self.out / "ca.crt", "-keyfile", self.out / "ca.key") if ca else (
            "-selfsign", "-keyfile", key)
        openssl("ca", "-batch", "-notext", "-config", work / "cnf", "-in", work / "csr", "-out",
                work / "crt", "-startdate", start.strftime("%Y%m%d%H%M%SZ"), "-enddate",
                end.strftime("%Y%m%d%H%M%SZ"), *signer)
        shutil.copy(work / "crt", crt)
        shutil.rmtree(work)


LEAF = ["basicConstraints = critical, CA:FALSE", "keyUsage = critical, digitalSignature",
        "extendedKeyUsage = serverAuth", "subjectKeyIdentifier = hash",
        "authorityKeyIdentifier = keyid:always"]
AUTHORITY = ["basicConstraints = critical, CA:TRUE, pathlen:0",
             "keyUsage = critical, keyCertSign, cRLSign", "subjectKeyIdentifier = hash"]
DAY = datetime.timedelta(days=1)


class Makes(Case):
    def test_files_and_modes(self):
        self.run_script("--client", "alice", preexec_fn=lambda: os.umask(0))
        self.assertEqual(self.files(), ["alice.crt", "alice.key", "ca.crt", "ca.db", "ca.key",
                                        "server.crt", "server.key"])
        for path in self.out.iterdir():
            wanted = 0o644 if path.suffix == ".crt" else 0o600
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), wanted, path.name)

    def test_keys_are_private_from_the_first_byte(self):
        """At each call of openssl no key file may be open to others, and new ones would not be."""
        log = self.folder / "log"
        real = shutil.which("openssl")
        tool = self.tool("openssl", f"""\
            case $1 in genpkey | pkcs8) umask >>'{log}' ;; esac
            find '{self.out}' -name '*.key' ! -perm 600 >>'{log}'
            exec {real} "$@"
            """)
        password = self.folder / "password"
        password.write_text("correct horse\n")
        for options in ([], ["--key-password-file", password, "--force"]):
            self.run_script("--client", "alice", *options, env={"OPENSSL": str(tool)},
                            preexec_fn=lambda: os.umask(0))
        self.assertEqual(set(log.read_text().split()), {"0077"})

    def test_extensions(self):
        for algorithm in ALGORITHMS:
            with self.subTest(algorithm):
                self.out = self.folder / algorithm
                self.run_script("--algorithm", algorithm, "--client", "alice")
                ca, server, alice = (text(self.out / f"{name}.crt", "-text")
                                     for name in ("ca", "server", "alice"))
                self.assertRegex(ca, r"Basic Constraints: critical\n +CA:TRUE, pathlen:0\n")
                self.assertRegex(ca, r"Key Usage: critical\n +Certificate Sign, CRL Sign\n")
                self.assertIn("Subject Key Identifier", ca)
                self.assertNotIn("Extended Key Usage", ca)
                for crt, usage in ((server, "Server"), (alice, "Client")):
                    self.assertRegex(crt, r"Basic Constraints: critical\n +CA:FALSE\n")
                    self.assertRegex(crt, r"X509v3 Key Usage: critical\n +Digital Signature\n")
                    self.assertRegex(crt, rf"Extended Key Usage: *\n +TLS Web {usage} Auth\w+\n")
                    self.assertIn("Subject Key Identifier", crt)
                    self.assertIn("Authority Key Identifier", crt)
                self.assertIn("CN = alice\n", alice.replace("CN=", "CN = "))
                self.assertNotIn("Alternative Name", alice)
                key = {"ecdsa": "NIST CURVE: P-256", "rsa": "(3072 bit)",
                       "ed25519": "Public Key Algorithm: ED25519"}[algorithm]
                for crt in (ca, server, alice):
                    self.assertIn(key, crt)
                self.verify("ca", purpose="any")
                self.verify("server")
                self.verify("alice", purpose="sslclient")
                self.assertNotEqual(self.verify("alice", check=False).returncode, 0)

    def test_server_file_is_the_chain(self):
        self.start()
        chain = (self.out / "server.crt").read_text()
        self.assertEqual(chain.count("BEGIN CERTIFICATE"), 2)
        self.assertTrue(chain.endswith((self.out / "ca.crt").read_text()))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.out / "server.crt",
                                                                self.out / "server.key")

    def test_dates_and_serials(self):
        self.run_script("--client", "alice")
        seen = set()
        for name, days in (("ca", 3650), ("server", 397), ("alice", 397)):
            crt = self.out / f"{name}.crt"
            start, end = dates(crt)
            self.assertLess(abs(now() - datetime.timedelta(hours=1) - start).total_seconds(), 60)
            self.assertLess(abs(now() + days * DAY - end).total_seconds(), 60)
            self.assertLessEqual(end, dates(self.out / "ca.crt")[1])
            # 20 random bytes; that several begin with zeros, and are not shown, is chance.
            self.assertIn(len(serial(crt)), range(32, 41))
            seen.add(serial(crt))
        self.assertEqual(len(seen), 3)

    def test_never_past_the_ca(self):
        self.run_script("--days", "1")
        self.assertLess(dates(self.out / "server.crt")[1], now() + 2 * DAY)
        done = self.run_script("renew", "--days", "36500")
        self.assertEqual(dates(self.out / "server.crt")[1], dates(self.out / "ca.crt")[1])
        self.assertIn("ends with its CA", done.stderr)
        self.verify("server")
        self.out = self.folder / "long"
        done = self.run_script("--days", "36500")
        self.assertNotIn("ends with its CA", done.stderr)
        self.assertGreater(dates(self.out / "server.crt")[1], now() + 36499 * DAY)
        self.verify("server")

    def test_names(self):
        self.run_script("--name", "Chat.Example.ORG", "--name", "*.example.net",
                        "--name=192.0.2.7", "--name", "2001:DB8::00a", "--name", "localhost",
                        "--name", "node.12.3com")
        wanted = ["DNS:chat.example.org", "DNS:*.example.net", "IP Address:192.0.2.7",
                  "IP Address:2001:DB8:0:0:0:0:0:A", "DNS:localhost", "DNS:node.12.3com",
                  "IP Address:127.0.0.1",
                  "IP Address:0:0:0:0:0:0:0:1"]
        found = names(self.out / "server.crt")
        self.assertEqual(found[:len(wanted)], wanted)
        own = socket.gethostname().lower()
        if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]*[a-z][a-z0-9-]*)*", own):
            self.assertIn(f"DNS:{own}", found)
        for option, name in (("hostname", "chat.example.org"), ("hostname", "a.example.net"),
                             ("ip", "2001:db8::a"), ("ip", "::1"), ("ip", "127.0.0.1")):
            self.verify("server", f"-verify_{option}", name)
        self.assertNotEqual(self.verify("server", "-verify_hostname", "example.org",
                                        check=False).returncode, 0)

    def test_ipv6_forms(self):
        rows = {"::": "0:0:0:0:0:0:0:0", "1::": "1:0:0:0:0:0:0:0",
                "fe80::1:0:2": "FE80:0:0:0:0:1:0:2", "1:2:3:4:5:6:7:8": "1:2:3:4:5:6:7:8",
                "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0",
                "0001:00ab::8": "1:AB:0:0:0:0:0:8"}
        self.run_script(*(part for form in rows for part in ("--name", form)))
        for form, printed in rows.items():
            self.assertIn(f"IP Address:{printed}", names(self.out / "server.crt"), form)

    def test_client_identities(self):
        rows = (([], "CN=alice"), (["--email", "alice@example.org"], "email:alice@example.org"),
                (["--name", "dev1.example.org"], "DNS:dev1.example.org"),
                (["--name", "dev1.example.org", "--uri", "spiffe://example.org/a?b=c&d",
                  "--email", "a.b+c@example.org"], "URI:spiffe://example.org/a?b=c&d"))
        for number, (options, identity) in enumerate(rows):
            with self.subTest(identity):
                self.out = self.folder / str(number)
                done = self.run_script("client", "alice", *options)
                self.assertEqual(done.stdout, "alice.crt  expires {}  identity {}\n".format(
                    dates(self.out / "alice.crt")[1].strftime("%Y-%m-%dT%H:%M:%SZ"), identity))
                if options:
                    self.assertIn(identity, names(self.out / "alice.crt"))
                self.assertIn("CN = alice", text(
                    self.out / "alice.crt", "-subject").replace("CN=", "CN = "))
                self.verify("alice", purpose="sslclient")

    def test_result_lines(self):
        done = self.run_script("--client", "alice", "--client", "bob", "--client", "alice")
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 3)
        expires, pin = RESULT.fullmatch(lines[0]).groups()
        self.assertEqual(pin, self.pin())
        self.assertEqual(datetime.datetime.strptime(expires, "%Y-%m-%dT%H:%M:%SZ"),
                         dates(self.out / "server.crt")[1])
        self.assertIn("made server.crt for a new server.key", done.stderr)
        self.assertEqual(self.run_script("--quiet").stderr, "")

    def test_further_server(self):
        """ECDSA and RSA side by side, under one CA."""
        self.start()
        self.run_script("server", "server-rsa", "--algorithm", "rsa", "--name", "chat.example.org")
        self.verify("server")
        self.verify("server-rsa", "-verify_hostname", "chat.example.org")
        self.assertEqual((self.out / "server-rsa.crt").read_text().count("BEGIN CERT"), 2)
        self.assertIn("rsaEncryption", text(self.out / "server-rsa.crt", "-text"))

    def test_default_folder(self):
        """The folder certs beside scripts; where there is none, certs in the current folder."""
        scripts = self.folder / "project" / "scripts"
        scripts.mkdir(parents=True)
        shutil.copy(SCRIPT, scripts)
        command = [*SHELL, str(scripts / SCRIPT.name), "--quiet"]
        subprocess.run(command, cwd=self.folder, check=True, timeout=TIMEOUT, capture_output=True)
        self.assertIn("server.key", self.files())
        (self.folder / "project" / "certs").mkdir()
        subprocess.run(command, cwd=self.folder, check=True, timeout=TIMEOUT, capture_output=True)
        self.out = self.folder / "project" / "certs"
        self.assertIn("server.key", self.files())

    def test_openssl_by_a_relative_path(self):
        self.tool("openssl", f"exec {shutil.which('openssl')} \"$@\"\n")
        self.run_script(env={"OPENSSL": "bin/openssl"})
        self.verify("server")

    def test_odd_folder_names(self):
        for name in ("a b", "-x", "$HOME #1 'q' \"p\"", "ключи", "deep/er/still", "-"):
            with self.subTest(name):
                self.out = self.folder / name
                self.run_script("--out", name, out=False)
                self.run_script(f"--out={name}", "revoke", "server", out=False)
                self.assertIn("ca.crl", self.files())

    def test_folder_is_ignored_by_git(self):
        ignore = (ROOT / "certs" / ".gitignore").read_text().split("\n")
        self.assertIn("*", ignore)
        if shutil.which("git") is None:
            self.skipTest("git is not installed")
        project = self.folder / "project"
        project.mkdir()
        subprocess.run(["git", "init", "-q", project], check=True, timeout=TIMEOUT)
        self.out = project / "certs"
        shutil.copytree(ROOT / "certs", self.out, ignore=lambda folder, found: [
            name for name in found if name not in ("README.md", ".gitignore")])
        self.run_script("--client", "alice")
        self.run_script("crl")
        seen = subprocess.run(["git", "-C", project, "status", "--porcelain", "-uall"], check=True,
                              timeout=TIMEOUT, capture_output=True, text=True).stdout.split("\n")
        self.assertEqual(sorted(filter(None, seen)), ["?? certs/.gitignore", "?? certs/README.md"])


class SecondRun(Case):
    def test_changes_nothing(self):
        rows = ([], ["--client", "alice", "--name", "chat.example.org", "--name", "2001:DB8::0"],
                ["--self-signed", "--name", "chat.example.org"], ["--days", "2"],
                ["--permit", "example.org", "--permit", "10.0.0.1", "--permit", "fd00::7"],
                ["client", "alice", "--uri", "x:y"], ["--algorithm", "ed25519"])
        for number, row in enumerate(rows):
            with self.subTest(row):
                self.out = self.folder / str(number)
                first = self.run_script(*row)
                before = self.state()
                second = self.run_script(*row)
                self.assertEqual(self.state(), before)
                self.assertEqual(second.stdout, first.stdout)
                self.assertIn("kept ", second.stderr)
                self.assertNotIn("made ", second.stderr)

    def test_makes_what_is_missing(self):
        self.start()
        pin, ca, server = self.pin(), self.pin("ca"), serial(self.out / "server.crt")
        self.run_script("--client", "alice")
        self.assertEqual(serial(self.out / "server.crt"), server)
        self.verify("alice", purpose="sslclient")
        (self.out / "server.crt").unlink()
        done = self.run_script()
        self.assertIn("made server.crt for the server.key that was here", done.stderr)
        self.assertEqual(self.pin(), pin)
        (self.out / "ca.crt").unlink()
        self.run_script()
        self.assertEqual(self.pin("ca"), ca)
        self.verify("server")
        self.verify("alice", purpose="sslclient")

    def test_ca_key_kept_elsewhere(self):
        self.start()
        (self.out / "ca.key").rename(self.folder / "ca.key")
        self.run_script()
        self.fails("--client", "alice", saying="signing needs ca.key")
        self.fails("renew", saying="signing needs ca.key")
        self.fails("rekey", saying="signing needs ca.key")
        self.fails("revoke", "server", saying="signing needs ca.key")
        self.fails("renew", "ca", saying="without ca.key")

    def test_missing_or_wrong_key(self):
        self.start("--client", "alice")
        shutil.copy(self.out / "server.key", self.folder)
        (self.out / "server.key").unlink()
        self.fails(saying="without server.key")
        shutil.copy(self.out / "alice.key", self.out / "server.key")
        self.fails(saying="server.key does not belong to server.crt")
        self.fails("renew", saying="server.key does not belong to server.crt")
        shutil.copy(self.folder / "server.key", self.out)
        self.run_script()
        (self.out / "server.key").write_text("no key\n")
        self.fails(saying="cannot read key 'server.key'")
        self.run_script("rekey")
        self.run_script()
        shutil.copy(self.out / "server.key", self.out / "ca.key")
        self.fails(saying="ca.key does not belong to ca.crt")

    def test_other_ca(self):
        self.start()
        pin = self.pin()
        (self.out / "ca.crt").unlink()
        (self.out / "ca.key").unlink()
        self.fails(saying="server.crt is not valid: unable to get local issuer certificate")
        shutil.rmtree(self.folder / "other", ignore_errors=True)
        self.run_script("--out", self.folder / "other", out=False)
        for name in ("ca.crt", "ca.key"):
            shutil.copy(self.folder / "other" / name, self.out)
        self.fails(saying="renew server")
        self.run_script("renew", "server")
        self.verify("server")
        self.assertEqual(self.pin(), pin)

    def test_unreadable_certificates(self):
        self.start()
        for name in ("server.crt", "ca.crt"):
            good = (self.out / name).read_bytes()
            (self.out / name).write_text("no certificate\n")
            self.fails(saying=name)
            (self.out / name).write_bytes(good)
        self.run_script()

    def test_names_that_are_lacking(self):
        self.run_script("--name", "a.example.org")
        pin, old = self.pin(), serial(self.out / "server.crt")
        done = self.run_script("--name", "b.example.org")
        self.assertIn("renewed server.crt with its key: it had no DNS:b.example.org", done.stderr)
        self.assertEqual(self.pin(), pin)
        self.assertNotEqual(serial(self.out / "server.crt"), old)
        for name in ("a.example.org", "b.example.org", "localhost"):
            self.verify("server", "-verify_hostname", name)

    def test_other_algorithm(self):
        self.start()
        self.fails("--algorithm", "rsa", saying="server.key is ecdsa")
        self.run_script("rekey", "--algorithm", "rsa")
        self.run_script("--algorithm", "rsa")

    def test_what_ends_soon_is_renewed(self):
        self.run_script("--name", "a.example.org")
        pin = self.pin()
        self.sign_by_hand("server", LEAF + ["subjectAltName = DNS:localhost"], now() - 300 * DAY,
                          now() + 29 * DAY)
        done = self.run_script()
        self.assertIn("renewed server.crt with its key: it ends on", done.stderr)
        self.assertEqual(self.pin(), pin)
        self.assertGreater(dates(self.out / "server.crt")[1], now() + 300 * DAY)
        self.verify("server")

    def test_expired(self):
        self.start("--client", "alice")
        pin = self.pin("alice")
        self.sign_by_hand("alice", [line.replace("server", "client") for line in LEAF],
                          now() - 30 * DAY, now() - DAY)
        self.assertIn("alice.crt: client, expired", self.run_script("show").stdout)
        self.run_script("--client", "alice")
        self.verify("alice", purpose="sslclient")
        self.assertEqual(self.pin("alice"), pin)

    def test_ca_that_ends(self):
        """Ending soon it is renewed; ended, it signs nothing before that; leaves stay good."""
        self.start()
        pin, shown = self.pin("ca"), self.run_script("show").stdout
        self.sign_by_hand("ca", AUTHORITY, now() - 300 * DAY, now() - DAY, ca=False)
        self.fails("renew", saying="renew ca")
        done = self.run_script()
        self.assertIn("renewed ca.crt with its key", done.stderr)
        self.assertEqual(self.pin("ca"), pin)
        self.verify("server")
        self.sign_by_hand("ca", AUTHORITY, now() - 300 * DAY, now() + 29 * DAY, ca=False)
        self.run_script("client", "alice")
        self.verify("alice", purpose="sslclient")
        name = re.search(r"CN=tlsmsg CA \w+", shown).group()
        self.assertIn(name, self.run_script("show").stdout)

    def test_open_key_is_a_warning(self):
        self.start()
        (self.out / "server.key").chmod(0o644)
        done = self.run_script("--quiet")
        self.assertIn("others may read server.key", done.stderr)
        self.assertIn("chmod 600", done.stderr)

    def test_force(self):
        self.start("--client", "alice")
        self.run_script("revoke", "alice")
        before = {name: self.pin(name) for name in ("ca", "server", "alice")}
        self.run_script("client", "alice", "--force")
        self.assertEqual(self.pin("ca"), before["ca"])
        self.assertEqual(self.pin(), before["server"])
        self.assertNotEqual(self.pin("alice"), before["alice"])
        done = self.run_script("--force")
        self.assertIn("the old CA is gone", done.stderr)
        self.assertNotEqual(self.pin("ca"), before["ca"])
        self.assertNotEqual(self.pin(), before["server"])
        self.verify("server")
        self.assertNotIn("ca.crl", self.files())
        self.fails("--client", "alice", saying="alice.crt is not valid")


class SelfSigned(Case):
    def test_self_signed(self):
        done = self.run_script("--self-signed", "--name", "chat.example.org")
        self.assertEqual(self.files(), ["server.crt", "server.key"])
        crt = text(self.out / "server.crt", "-text")
        self.assertIn("CA:FALSE", crt)
        self.assertNotIn("CA:TRUE", crt)
        self.assertIn("TLS Web Server Authentication", crt)
        self.assertEqual((self.out / "server.crt").read_text().count("BEGIN CERT"), 1)
        self.assertEqual(RESULT.search(done.stdout).group(2), self.pin())
        self.verify("server", "-verify_hostname", "chat.example.org", ca="server.crt")

    def test_life(self):
        self.run_script("--self-signed", "--name", "chat.example.org", "--days", "5")
        pin, found = self.pin(), names(self.out / "server.crt")
        self.fails(saying="server.crt is self-signed")
        self.fails("revoke", "server", saying="no ca.crt")
        self.run_script("renew")
        self.assertEqual(self.pin(), pin)
        self.assertEqual(names(self.out / "server.crt"), found)
        self.assertGreater(dates(self.out / "server.crt")[1], now() + 300 * DAY)
        self.verify("server", ca="server.crt")
        self.run_script("rekey")
        self.assertNotEqual(self.pin(), pin)
        self.assertEqual(self.files(), ["server.crt", "server.key"])
        self.run_script("client", "alice")
        self.verify("server", ca="server.crt")
        self.run_script("--force")
        self.verify("server")
        self.fails("--self-signed", saying="server.crt is not self-signed")


class Life(Case):
    def test_renew_keeps_keys_and_names(self):
        self.run_script("--name", "chat.example.org", "--name", "fd00::1", "--client", "alice",
                        "--email", "alice@example.org")
        before = {name: (self.pin(name), names(self.out / f"{name}.crt"),
                         text(self.out / f"{name}.crt", "-subject"))
                  for name in ("server", "alice")}
        old = serial(self.out / "server.crt")
        done = self.run_script("renew", "server", "alice", "--days", "90")
        self.assertEqual(RESULT.search(done.stdout).group(2), before["server"][0])
        for name, facts in before.items():
            crt = self.out / f"{name}.crt"
            self.assertEqual((self.pin(name), names(crt), text(crt, "-subject")), facts)
            self.assertLess(abs(dates(crt)[1] - now() - 90 * DAY).total_seconds(), 60)
        self.assertNotEqual(serial(self.out / "server.crt"), old)
        self.verify("server")
        self.verify("alice", purpose="sslclient")
        self.run_script("renew", "--name", "new.example.org")
        self.verify("server", "-verify_hostname", "new.example.org")
        self.assertEqual(self.pin(), before["server"][0])

    def test_renew_ca(self):
        self.start("--client", "alice")
        old = self.folder / "old-ca.crt"
        shutil.copy(self.out / "ca.crt", old)
        self.run_script("renew", "ca", "--days", "5000")
        self.assertEqual(self.pin("ca"), spki_pin(old))
        self.assertGreater(dates(self.out / "ca.crt")[1], now() + 4999 * DAY)
        self.run_script("client", "bob")
        for ca in (old, "ca.crt"):
            self.verify("server", ca=ca)
            self.verify("alice", purpose="sslclient", ca=ca)
            self.verify("bob", purpose="sslclient", ca=ca)

    def test_rekey(self):
        self.run_script("--algorithm", "ed25519", "--name", "chat.example.org", "--client", "alice")
        pins, found = (self.pin(), self.pin("alice")), names(self.out / "server.crt")
        done = self.run_script("rekey", "server", "alice")
        self.assertNotEqual(self.pin(), pins[0])
        self.assertNotEqual(self.pin("alice"), pins[1])
        self.assertEqual(RESULT.search(done.stdout).group(2), self.pin())
        self.assertEqual(names(self.out / "server.crt"), found)
        self.assertIn("ED25519", text(self.out / "server.crt", "-text"))
        self.verify("server")
        self.verify("alice", purpose="sslclient")
        self.run_script()
        self.fails("rekey", "ca", saying="--force")

    def test_things_that_are_not_there(self):
        self.fails("renew", saying="cannot open the folder")
        self.fails("show", saying="cannot open the folder")
        self.out.mkdir()
        self.fails("renew", saying="no server.crt")
        self.fails("rekey", "bob", saying="no bob.crt")
        self.fails("renew", "ca", saying="no ca.crt")
        self.fails("crl", saying="no ca.crt")
        self.fails("show", saying="no certificate")
        self.run_script()
        self.fails("revoke", "bob", saying="'bob'")
        self.fails("revoke", "ca", saying="'ca'")

    def revoked(self):
        listing = openssl("crl", "-in", self.out / "ca.crl", "-noout", "-text").stdout.decode()
        return re.findall(r"Serial Number: ([0-9A-F]+)", listing)

    def crl_check(self, name):
        done = self.verify(name, "-crl_check", "-CRLfile", self.out / "ca.crl",
                           purpose="sslclient", check=False)
        return done.returncode == 0 or re.search(r"lookup: ?(.*)", done.stderr.decode()).group(1)

    def test_revoke(self):
        self.run_script("--client", "alice", "--client", "bob")
        serials = [serial(self.out / "alice.crt")]
        self.run_script("renew", "alice")
        serials.append(serial(self.out / "alice.crt"))
        done = self.run_script("revoke", "alice")
        self.assertRegex(done.stdout, r"\Aca\.crl  expires \S+Z  revoked 2\n\Z")
        self.assertEqual(sorted(self.revoked()), sorted(serials))
        self.assertEqual(self.crl_check("alice"), "certificate revoked")
        self.assertIs(self.crl_check("bob"), True)
        self.assertEqual(stat.S_IMODE((self.out / "ca.crl").stat().st_mode), 0o644)
        # Again: nobody is revoked twice, and the key does not come back by a renewal.
        self.run_script("revoke", "alice")
        self.assertEqual(sorted(self.revoked()), sorted(serials))
        self.fails("renew", "alice", saying="alice.crt is revoked")
        self.fails("client", "alice", saying="alice.crt is revoked")
        self.assertIn("alice.crt: client, revoked", self.run_script("show").stdout)
        self.run_script("rekey", "alice")
        self.assertIs(self.crl_check("alice"), True)
        self.run_script("revoke", "bob", "alice")
        self.assertEqual(len(self.revoked()), 4)

    def test_revoke_without_the_files(self):
        """A lost laptop: its name is enough, and names do not stand for each other."""
        self.run_script("--client", "unknown", "--client", "server2", "--client", "bob")
        lost = serial(self.out / "unknown.crt")
        (self.out / "unknown.crt").unlink()
        (self.out / "unknown.key").unlink()
        self.run_script("revoke", "unknown")
        self.assertEqual(self.revoked(), [lost])
        self.fails("revoke", "serve", saying="'serve'")
        self.fails("revoke", "b.b", saying="'b.b'")

    def test_crl(self):
        self.start("--client", "alice")
        for number in range(1, 4):
            done = self.run_script("crl", "--days", "30")
            self.assertRegex(done.stdout, r"\Aca\.crl  expires \S+Z  revoked 0\n\Z")
            shown = openssl("crl", "-in", self.out / "ca.crl", "-noout", "-text", "-crlnumber",
                            "-lastupdate", "-nextupdate", "-dateopt", "iso_8601").stdout.decode()
            self.assertEqual(int(re.search(r"crlNumber=(\S+)", shown).group(1), 16), number)
            self.assertIn("Authority Key Identifier", shown)
        start, end = (datetime.datetime.strptime(found, "%Y-%m-%d %H:%M:%SZ")
                      for found in re.findall(r"Update=(.*)", shown))
        self.assertLess(abs(now() - datetime.timedelta(hours=1) - start).total_seconds(), 60)
        self.assertLess(abs(now() + 30 * DAY - end).total_seconds(), 2 * 3600)
        self.assertIs(self.crl_check("alice"), True)
        self.run_script("renew", "alice")
        shown = openssl("crl", "-in", self.out / "ca.crl", "-noout", "-crlnumber").stdout.decode()
        self.assertEqual(int(shown.partition("=")[2], 16), 4)
        done = self.run_script("crl", "--days", "36500")
        self.assertIn(dates(self.out / "ca.crt")[1].strftime("%Y-%m-%dT%H:%M:%SZ"), done.stdout)

    def test_record_that_is_gone(self):
        """Without ca.db a new list would forget who is revoked."""
        self.start("--client", "alice")
        self.run_script("revoke", "alice")
        (self.out / "ca.db").unlink()
        self.fails("crl", saying="ca.db is gone")
        self.fails("renew", saying="ca.db is gone")
        (self.out / "ca.crl").unlink()
        self.run_script("renew")

    def test_show(self):
        self.run_script("--client", "alice", "--uri", "spiffe://example.org/alice")
        self.run_script("revoke", "alice")
        (self.out / "alice.key").unlink()
        shutil.copy(self.out / "ca.key", self.out / "server.key")
        before = self.state()
        done = self.run_script("show")
        self.assertEqual(self.state(), before)
        self.assertIn("alice.crt: client, revoked, its key is not here\n", done.stdout)
        self.assertIn("who    CN=alice URI:spiffe://example.org/alice\n", done.stdout)
        self.assertIn("ca.crt: authority\n", done.stdout)
        self.assertIn("server.crt: server, server.key is not its key\n", done.stdout)
        self.assertIn(f"    pin    {self.pin()}\n", done.stdout)
        self.assertNotIn(self.pin("ca"), done.stdout)
        until = dates(self.out / "server.crt")[1].strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertIn(f"    until  {until}\n", done.stdout)
        self.assertRegex(done.stdout, r"ca\.crl  expires \S+  revoked 1\n\Z")


class Apart(Case):
    """--ca-dir: the CA's files in a folder of their own."""

    def setUp(self):
        super().setUp()
        self.ca = self.folder / "a CA's"

    def apart(self, *args, **options):
        return self.run_script(*args, "--ca-dir", self.ca, **options)

    def ca_files(self):
        return sorted(path.name for path in self.ca.iterdir())

    def test_life(self):
        done = self.apart("--client", "alice", "--name", "chat.example.org",
                          preexec_fn=lambda: os.umask(0o022))
        self.assertNotIn("ca.key is in", done.stderr)
        self.assertEqual(self.files(), ["alice.crt", "alice.key", "ca.crt", "server.crt",
                                        "server.key"])
        self.assertEqual(self.ca_files(), ["ca.crt", "ca.db", "ca.key"])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in
                 (self.ca, self.ca / "ca.key", self.ca / "ca.db", self.out, self.out / "ca.crt")}
        self.assertEqual(modes, {"a CA's": 0o700, "ca.key": 0o600, "ca.db": 0o600, "certs": 0o755,
                                 "ca.crt": 0o644})
        before = self.state()
        self.apart("--client", "alice")
        self.assertEqual(self.state(), before)
        pin, authority = self.pin(), self.pin("ca")
        self.apart("renew")
        self.assertEqual(self.pin(), pin)
        self.apart("rekey")
        self.assertNotEqual(self.pin(), pin)
        self.apart("renew", "ca")
        self.assertEqual(self.pin("ca"), authority)
        self.apart("crl")
        self.apart("revoke", "alice")
        self.apart("client", "bob")
        self.apart("server", "other")
        for name in ("server", "other"):
            self.verify(name)
        self.verify("bob", "-crl_check", "-CRLfile", self.out / "ca.crl", purpose="sslclient")
        self.assertIn("alice.crt: client, revoked", self.apart("show").stdout)
        self.same()
        self.assertEqual(self.ca_files(), ["ca.crl", "ca.crt", "ca.db", "ca.key"])
        self.apart("--force")
        self.assertNotEqual(self.pin("ca"), authority)
        self.assertNotIn("ca.crl", self.files() + self.ca_files())
        self.same()

    def same(self):
        """The folder has what the CA tells everybody, and none of its secrets."""
        for name in ("ca.crt", "ca.crl"):
            if name in self.ca_files():
                self.assertEqual((self.out / name).read_bytes(), (self.ca / name).read_bytes())
        self.assertFalse({"ca.key", "ca.db"} & set(self.files()))
        self.assertNotIn(LOCK, self.files() + self.ca_files())
        self.verify("server")

    def test_several_folders(self):
        self.apart()
        self.out = self.folder / "second"
        self.apart("server", "other")
        self.assertEqual(self.files(), ["ca.crt", "other.crt", "other.key"])
        self.verify("other")
        self.apart("revoke", "server")
        self.assertIn("ca.crl", self.files())

    def test_a_folder_from_before(self):
        """It goes on as it was, and says so; moved, it goes on there."""
        done = self.run_script("--client", "alice")
        self.assertIn("ca.key is in", done.stderr)
        self.assertEqual(done.stderr.count("--ca-dir"), 1)
        self.assertIn("ca.key is in", self.run_script("renew").stderr)
        self.assertNotIn("ca.key", self.run_script("renew", "--quiet").stderr)
        authority = self.pin("ca")
        self.ca.mkdir(mode=0o700)
        self.fails("renew", "--ca-dir", self.ca, saying=f"mv '{self.out}'/ca.* '{self.ca}'")
        for path in self.out.glob("ca.*"):
            path.rename(self.ca / path.name)
        self.assertNotIn("ca.key is in", self.apart("renew").stderr)
        self.apart("revoke", "alice")
        self.assertEqual(self.pin("ca"), authority)
        self.same()

    def test_the_wrong_folder(self):
        """No new CA where there is one, and nothing signed by another one."""
        self.apart()
        other = self.folder / "other"
        other.mkdir()
        self.fails("--ca-dir", other, saying="has none")
        self.fails("renew", saying="signing needs ca.key")
        self.run_script("--out", other, out=False)
        self.fails("--ca-dir", other, saying="not that of")
        shutil.copy(other / "ca.key", self.out)
        self.fails("renew", "--ca-dir", self.ca, saying="ca.key each")
        self.fails("--self-signed", "--ca-dir", self.ca, code=2, saying="--self-signed")
        self.fails("renew", "--ca-dir", self.folder / "none", saying="cannot open the folder")
        (self.folder / "file").write_text("")
        self.fails("--ca-dir", self.folder / "file", saying="cannot make the folder")

    def test_interrupted_and_locked(self):
        self.apart()
        before = self.state()
        failing = self.tool("failing", f"""\
            [ "$1" != verify ] || exit 1
            exec {shutil.which('openssl')} "$@"
            """)
        self.apart("rekey", code=1, env={"OPENSSL": str(failing)})
        self.assertEqual({name: facts for name, facts in self.state().items()
                          if not name.startswith("bin")}, before)
        lock = self.ca / LOCK
        lock.mkdir()
        (lock / f"owner.{os.uname().nodename}.999999999").touch()
        self.apart("renew")
        self.same()

    def test_the_same_folder(self):
        self.run_script("--ca-dir", self.out)
        self.assertIn("ca.key", self.files())
        self.run_script("renew", "--ca-dir", f"{self.out}/../certs/")
        self.verify("server")


class Names(Case):
    """The script's texts have the name by which it was called."""

    def test_name(self):
        called = self.folder / "tlsmsg-certs"
        called.symlink_to(SCRIPT)
        for words, stream in ((["--help"], "stdout"), (["show"], "stderr")):
            done = subprocess.run([*SHELL, str(called), *words], cwd=self.folder, text=True,
                                  capture_output=True, timeout=TIMEOUT, check=False)
            self.assertIn("tlsmsg-certs", getattr(done, stream))
            self.assertNotIn("gen-certs", getattr(done, stream))


class Permit(Case):
    def test_limited_ca(self):
        self.run_script("--permit", "example.org", "--permit", "10.1.2.3", "--name",
                        "chat.example.org", "--name", "10.1.2.3", "--client", "alice")
        self.assertRegex(text(self.out / "ca.crt", "-text"), r"Name Constraints: critical\n")
        self.verify("server", "-verify_hostname", "chat.example.org")
        self.verify("alice", purpose="sslclient")
        for option in ("localhost", "127.0.0.1", "::1"):
            kind = "hostname" if option == "localhost" else "ip"
            self.verify("server", f"-verify_{kind}", option)
        for name in ("example.net", "badexample.org", "10.1.2.4", "::2"):
            self.fails("--name", name, saying="permitted subtree violation")
            self.fails("server", "other", "--name", name, saying="permitted subtree violation")
        self.assertIn("for    DNS:localhost", self.run_script("show").stdout)

    def test_peers_refuse_what_is_outside(self):
        """A certificate that somebody else makes with the stolen ca.key."""
        self.run_script("--permit", "example.org", "--name", "chat.example.org")
        for name in ("DNS:bank.example.com", "IP:192.0.2.1"):
            self.sign_by_hand("server", LEAF + [f"subjectAltName = {name}"], now() - DAY,
                              now() + DAY)
            done = self.verify("server", check=False)
            self.assertIn("permitted subtree violation", done.stderr.decode())
        with self.assertRaises(ssl.SSLCertVerificationError):
            handshake(self.out, "bank.example.com")

    def test_limits_of_a_ca_that_is_there(self):
        self.start()
        self.fails("--permit", "example.org", saying="was made without --permit")
        self.run_script("--permit", "example.org", "--force")
        self.fails("--permit", "example.net", saying="DNS:example.net")
        self.run_script("renew", "ca")
        self.assertIn("example.org", text(self.out / "ca.crt", "-ext", "nameConstraints"))
        self.run_script()
        self.fails("client", "c", "--name", "example.net", saying="permitted subtree violation")


class Passwords(Case):
    def test_encrypted_keys(self):
        (self.folder / "password").write_text("correct horse\nsecond line\n")
        (self.folder / "wrong").write_text("battery staple\n")
        (self.folder / "empty").write_text("\ncorrect horse\n")
        password = ["--key-password-file", "password"]
        self.run_script("--client", "alice", *password)
        for name in ("ca", "server", "alice"):
            self.assertIn("ENCRYPTED", (self.out / f"{name}.key").read_text())
            openssl("pkey", "-in", self.out / f"{name}.key", "-passin", "pass:correct horse")
        before = self.state()
        self.run_script()
        self.run_script(*password)
        self.run_script("show")
        self.assertEqual(self.state(), before)
        self.fails("renew", saying="is encrypted (try: --key-password-file FILE)")
        self.fails("crl", saying="is encrypted (try: --key-password-file FILE)")
        self.fails("client", "bob", saying="is encrypted (try: --key-password-file FILE)")
        self.fails("renew", "--key-password-file", "wrong", saying="does not open")
        for name in ("empty", "missing", "certs"):
            self.fails("renew", "--key-password-file", name, saying="no password")
        pin = self.pin()
        self.run_script("renew", *password)
        self.assertEqual(self.pin(), pin)
        self.run_script("revoke", "alice", *password)


class BadInput(Case):
    VALUES = {
        "--days": ["0", "abc", "-1", "1.5", "", "36501", "9" * 20, "08", " 1", "1\n"],
        "--algorithm": ["dsa", "", "RSA", "rsa\n"],
        "--name": ["a b", "a..b", ".a", "a.", "-a", "a_-", "*", "*.org", "a.*.org", "x" * 64,
                   "a." * 126 + "ab", "1.2.3", "123", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", ":",
                   "1.2.3.x4.", "1::2::3", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::",
                   "1:2:3:4::5:6:7:8", "g::", "fe80::1%eth0", "::ffff:1.2.3.4", "[::1]", "a:80",
                   "a,b", "a\nDNS:b", "bücher.example", "127.0.0.1/8"],
        "--permit": ["*.example.org", "a b", "10.0.0.0/8", ""],
        "--client": ["ca", "a/b", ""],
        "client": ["", "../alice", "a/b", ".", "..", ".hidden", "a b", "a\nb", "alice\n", "a\x7f",
                   "a\x1b[31mb", "élan", "爱丽丝", "x" * 65, "ca", "CA", "Server", "a*", "$(id)",
                   "a;b", "-x"],
        "server": ["ca", "Ca", "a/b"],
        "--uri": ["nocolon", "x:", "x:a,DNS:b", "x:${ENV::PATH}", "x:y\nz:w", "1:x"],
        "--email": ["nobody", "a@b@c", "copy", "@b", "a@", "a b@c"],
    }
    ROWS = ["--unknown", "-x", "--force=yes", "--out", "--out=", "frobnicate", "make x", "client",
            "server", "revoke", "--uri x:y", "--self-signed --client a", "client -- a",
            "--self-signed --permit a.org", "renew --force", "renew --algorithm rsa", "renew a/b",
            "revoke a --name b", "crl a", "show a", "show --force", "server a --uri x:y",
            "rekey --force"]

    def test_usage(self):
        rows = [row.split() for row in self.ROWS]
        for option, values in self.VALUES.items():
            before = ["client", "a"] if option in ("--uri", "--email") else []
            rows += [[*before, option, value] for value in values]
        for row in rows:
            with self.subTest(row):
                done = self.fails(*row, code=2)
                self.assertTrue(done.stderr[:-1].isprintable(), done.stderr)
                self.assertTrue(done.stderr.isascii())

    def test_errors_name_what_is_allowed(self):
        self.fails("client", "a b", code=2, saying="letters, digits and ._-@")
        self.fails("--algorithm", "dsa", code=2, saying="ecdsa, rsa or ed25519")
        self.fails("--days", "0", code=2, saying="1 to 36500")
        self.fails("--name", "bücher.example", code=2, saying="xn--")

    def test_help(self):
        done = self.run_script("--help")
        lines = done.stdout.splitlines()
        self.assertLessEqual(len(lines), 60)
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(done.stderr, "")
        source = SCRIPT.read_text()
        for option in set(re.findall(r"(?<=[\s|])--[a-z-]+(?=\))|--[a-z-]+(?= \|)", source)):
            self.assertIn(option, done.stdout)

    def test_folder_is_a_file(self):
        self.out.write_text("")
        for command in ([], ["renew"], ["show"]):
            self.fails(*command, saying=f"'{self.out}'")
        self.out = self.out / "below"
        self.fails(saying="cannot make the folder")

    def test_folder_not_writable(self):
        self.out.mkdir(mode=0o555)
        self.folder.chmod(0o755)
        options = {}
        if os.geteuid() == 0:
            options = {"user": 65534, "group": 65534, "extra_groups": []}
        self.fails(saying="cannot write in", **options)
        self.out = self.out / "below"
        self.fails(saying="cannot make the folder", **options)

    def test_a_folder_in_the_place_of_a_file(self):
        self.start()
        (self.out / "server.crt").unlink()
        (self.out / "server.crt").mkdir()
        self.fails()
        self.fails("--force", saying="is a folder")

    def test_openssl_missing_or_old(self):
        self.fails(saying="OpenSSL 3.0 or later", env={"OPENSSL": str(self.folder / "none")})
        for version in ("OpenSSL 1.1.1w  11 Sep 2023", "LibreSSL 3.9.0", ""):
            tool = self.tool("openssl", f"echo '{version}'\n")
            self.fails(saying="OpenSSL 3.0 or later", env={"OPENSSL": str(tool)})

    def test_standard_output_is_full(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*SHELL, str(SCRIPT), "--out", str(self.out)], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write to standard output", done.stderr)
        self.verify("server")


class Interrupted(Case):
    def blocked(self, when, *args):
        """Starts the script; returns once its openssl is in the sub-command named and waits."""
        ready, real = self.folder / "ready", shutil.which("openssl")
        os.mkfifo(ready)
        fifo = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
        tool = self.tool("blocking", f"""\
            if [ "$1" = {when} ]; then
                echo ready >'{ready}'
                exec sleep {TIMEOUT}
            fi
            exec {real} "$@"
            """)
        child = subprocess.Popen([*SHELL, str(SCRIPT), "--out", str(self.out), *args],
                                 env={**os.environ, "OPENSSL": str(tool)}, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.addCleanup(child.communicate)
        self.addCleanup(lambda: child.poll() is None and os.killpg(child.pid, signal.SIGKILL))
        poll = select.poll()
        poll.register(fifo, select.POLLIN)
        self.assertTrue(poll.poll(TIMEOUT * 1000), f"the script has not come to openssl {when}")
        os.close(fifo)
        ready.unlink()
        return child

    def test_signals(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            for when in ("genpkey", "req", "ca", "verify"):
                with self.subTest(signal=number, when=when):
                    child = self.blocked(when)
                    os.killpg(child.pid, number)
                    self.assertEqual(child.wait(TIMEOUT), code)
                    self.assertEqual(self.files(), [])

    def test_signal_during_a_renewal(self):
        self.start()
        before = {path: path.read_bytes() for path in self.out.iterdir()}
        child = self.blocked("ca", "rekey")
        os.killpg(child.pid, signal.SIGTERM)
        self.assertEqual(child.wait(TIMEOUT), 143)
        self.assertEqual({path: path.read_bytes() for path in self.out.iterdir()}, before)

    def test_killed(self):
        """Nothing but the lock is left, and the next run takes it over."""
        child = self.blocked("ca")
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(TIMEOUT)
        self.assertEqual(self.files(), [LOCK])
        self.run_script()
        self.verify("server")
        self.assertNotIn(LOCK, self.files())

    def test_each_openssl_call_fails_once(self):
        """Whatever call fails, the folder is as it was or as it should be, never between."""
        calls, real = self.folder / "calls", shutil.which("openssl")
        tool = self.tool("failing", f"""\
            set -C
            n=1
            until {{ echo >'{calls}'/$n; }} 2>/dev/null; do n=$((n + 1)); done
            [ $n -ne "$FAILING" ] || exit 1
            exec {real} "$@"
            """)
        full = self.folder / "full"
        self.run_script("--out", full, "--client", "alice", "--uri", "x:alice", "--permit",
                        "example.org", out=False)
        empty = self.folder / "empty"
        empty.mkdir()
        for start, command in ((empty, ["make"]), (full, ["renew", "alice", "ca"])):
            failed = 0
            for call in range(1, 200):
                with self.subTest(command=command, call=call):
                    for folder in (self.out, calls):
                        shutil.rmtree(folder, ignore_errors=True)
                    shutil.copytree(start, self.out)
                    calls.mkdir()
                    done = subprocess.run(
                        [*SHELL, str(SCRIPT), *command, "--out", str(self.out)], check=False,
                        env={**os.environ, "OPENSSL": str(tool), "FAILING": str(call)},
                        timeout=TIMEOUT, stdin=subprocess.DEVNULL, capture_output=True)
                    self.assertIn(done.returncode, (0, 1))
                    if done.returncode:
                        self.assertRegex(done.stderr.decode(), r"(?m)^gen-certs\.sh: .*\n\Z")
                        failed += 1
                    self.check_whole(start, done)
                if len(list(calls.iterdir())) < call:
                    break
            else:
                self.fail("no end of openssl calls")
            self.assertGreater(failed, 6, command)

    def check_whole(self, start, done):
        same = all((self.out / path.name).read_bytes() == path.read_bytes()
                   for path in start.iterdir()) and len(self.files()) == len(list(start.iterdir()))
        if same:
            self.assertEqual(done.returncode, 1, "says that it has done what it has not")
            return
        if start.name == "full":
            self.assertIn("DNS:example.org", text(self.out / "ca.crt", "-ext", "nameConstraints"))
            self.assertEqual(names(self.out / "alice.crt"), ["URI:x:alice"])
            self.verify("alice", purpose="sslclient")
        self.assertNotIn("unknown", (self.out / "ca.db").read_text())
        self.verify("server", "-verify_hostname", "localhost", "-verify_ip", "::1")


class TwoAtOnce(Case):
    def owner(self, pid):
        lock = self.out / LOCK
        lock.mkdir(parents=True)
        (lock / f"owner.{os.uname().nodename}.{pid}").write_text("")
        return lock

    def test_many_runs(self):
        children = [subprocess.Popen([*SHELL, str(SCRIPT), "--out", str(self.out)], text=True,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE) for _ in range(4)]
        results = [child.communicate(timeout=TIMEOUT) for child in children]
        self.assertEqual([child.returncode for child in children], [0] * 4, results)
        self.assertEqual(len({output for output, _ in results}), 1)
        self.assertEqual(RESULT.search(results[0][0]).group(2), self.pin())
        self.assertNotIn(LOCK, self.files())
        self.verify("server")

    def test_folder_is_made_meanwhile(self):
        if "busybox" in SHELL:
            self.skipTest("this shell has a mkdir of its own")
        self.tool("mkdir", 'for last; do :; done\n'
                  'case $last in *certs) /bin/mkdir -p "$last" ;; esac\nexec /bin/mkdir "$@"\n')
        self.run_script(env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}"})
        self.verify("server")

    def test_waits_for_the_other(self):
        if "busybox" in SHELL:
            self.skipTest("this shell has a sleep of its own")
        lock = self.owner(os.getpid())
        self.tool("sleep", f"rm -r '{lock}'\n")
        self.run_script(env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}"})
        self.verify("server")

    def test_gives_up(self):
        """Of a live owner, and of one that may just be about to write its name."""
        if "busybox" in SHELL:
            self.skipTest("this shell has a sleep of its own")
        self.tool("sleep", "exit 0\n")
        path = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        lock = self.owner(os.getpid())
        self.fails(saying=str(lock), env=path)
        for file in lock.iterdir():
            file.unlink()
        self.fails(saying="another run is at work", env=path)

    def test_takes_over_from_the_dead(self):
        child = subprocess.Popen(["true"])
        child.wait(TIMEOUT)
        lock = self.owner(child.pid)
        (lock / "new").mkdir()
        (lock / "new" / "server.key").write_text("half a key")
        self.run_script()
        self.verify("server")
        self.assertNotIn(LOCK, self.files())

    def test_show_needs_no_lock(self):
        self.start()
        self.owner(os.getpid())
        self.run_script("show")


def handshake(folder, name, crl=False, ca="ca.crt", client="alice", version=None):
    """A TLS handshake in memory with Python's ssl, everything verified strictly on both sides."""
    contexts = []
    for purpose, own in ((ssl.PROTOCOL_TLS_SERVER, "server"), (ssl.PROTOCOL_TLS_CLIENT, client)):
        context = ssl.SSLContext(purpose)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if own and (folder / f"{own}.crt").exists():
            context.load_cert_chain(folder / f"{own}.crt", folder / f"{own}.key")
        context.load_verify_locations(folder / ca)
        if version:
            context.minimum_version = context.maximum_version = version
        contexts.append(context)
    if client:
        contexts[0].verify_mode = ssl.CERT_REQUIRED
    if crl:
        contexts[0].load_verify_locations(folder / "ca.crl")
        contexts[0].verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    peer = contexts[1].wrap_bio(to_client, to_server, server_hostname=name)
    open_ends = [peer, server]
    for _ in range(20):
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
        if not open_ends:
            return server.getpeercert()
    raise AssertionError("the handshake does not end")


class Peers(Case):
    NAMES = ("localhost", "127.0.0.1", "::1", "chat.example.org")

    def make(self, algorithm, *options):
        self.out = self.folder / "-".join((algorithm, *options)).replace(" ", "-")
        self.start("--algorithm", algorithm, "--name", "chat.example.org", *options)

    def each(self):
        for algorithm in ALGORITHMS:
            self.make(algorithm, "--client", "alice")
            yield "ca.crt"
            self.make(algorithm, "--self-signed")
            yield "server.crt"

    def test_python(self):
        for ca in self.each():
            client = "alice" if ca == "ca.crt" else None
            for name in self.NAMES:
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                    peer = handshake(self.out, name, ca=ca, client=client, version=version)
                    if client:
                        self.assertEqual(peer["subject"], ((("commonName", "alice"),),))
            with self.assertRaises(ssl.SSLCertVerificationError):
                handshake(self.out, "example.org", ca=ca, client=client)

    def test_python_crl(self):
        self.make("ecdsa", "--client", "alice")
        self.run_script("crl")
        handshake(self.out, "localhost", crl=True)
        self.run_script("revoke", "alice")
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, "certificate revoked"):
            handshake(self.out, "localhost", crl=True)
        self.run_script("rekey", "alice")
        handshake(self.out, "localhost", crl=True)

    def test_certtool(self):
        if shutil.which("certtool") is None:
            self.skipTest("certtool (gnutls-bin) is not installed")

        def certtool(ca, crt, *options):
            return subprocess.run(["certtool", "--verify", "--load-ca-certificate", self.out / ca,
                                   "--infile", self.out / crt, *options], timeout=TIMEOUT,
                                  capture_output=True, text=True, check=False)
        # Not the self-signed ones: certtool has only CAs as anchors, other than GnuTLS's clients.
        for algorithm in ALGORITHMS:
            self.make(algorithm, "--client", "alice")
            for name in ("localhost", "chat.example.org"):
                done = certtool("ca.crt", "server.crt", "--verify-hostname", name,
                                "--verify-purpose", "1.3.6.1.5.5.7.3.1")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotEqual(certtool("ca.crt", "server.crt", "--verify-hostname",
                                         "example.org").returncode, 0)
            done = certtool("ca.crt", "alice.crt", "--verify-purpose", "1.3.6.1.5.5.7.3.2")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.make("ecdsa", "--client", "alice", "--permit", "example.org")
        self.assertEqual(certtool("ca.crt", "server.crt").returncode, 0)
        self.run_script("crl")
        self.assertEqual(certtool("ca.crt", "alice.crt", "--load-crl",
                                  self.out / "ca.crl").returncode, 0)
        self.run_script("revoke", "alice")
        self.assertIn("revoked", certtool("ca.crt", "alice.crt", "--load-crl",
                                          self.out / "ca.crl").stdout)

    def program(self, name, content, *command):
        path = self.folder / name
        path.write_text(textwrap.dedent(content))
        for ca in self.each():
            client = self.out / "alice" if ca == "ca.crt" else ""
            done = subprocess.run([*command, path, self.out, ca, client, *self.NAMES],
                                  capture_output=True, text=True, timeout=TIMEOUT, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, "refused\n"),
                             f"{name} {self.out.name} {done.stdout}{done.stderr}")

    def test_node(self):
        if shutil.which("node") is None:
            self.skipTest("node is not installed")
        self.program("peer.js", """\
            const fs = require("fs"), tls = require("tls"), path = require("path");
            const [folder, ca, client, ...names] = process.argv.slice(2);
            const read = file => fs.readFileSync(path.resolve(folder, file));
            const server = tls.createServer({
                cert: read("server.crt"), key: read("server.key"), ca: read(ca),
                requestCert: client !== "", rejectUnauthorized: client !== "",
            }, socket => socket.end("hello"));
            const dial = name => new Promise((resolve, reject) => {
                const socket = tls.connect({
                    host: "127.0.0.1", port: server.address().port, ca: read(ca),
                    servername: require("net").isIP(name) ? "" : name,
                    checkServerIdentity: (_, cert) => tls.checkServerIdentity(name, cert),
                    ...client && {cert: read(client + ".crt"), key: read(client + ".key")},
                });
                let got = "";
                socket.on("data", data => got += data);
                socket.on("end", () => got === "hello" ? resolve() : reject(new Error("no hello")));
                socket.on("error", reject);
            });
            server.listen(0, "127.0.0.1", async () => {
                for (const name of names) await dial(name);
                await dial("example.org").catch(error => console.log(
                    error.code === "ERR_TLS_CERT_ALTNAME_INVALID" ? "refused" : error));
                server.close();
            });
            """, "node")

    def test_go(self):
        if shutil.which("go") is None:
            self.skipTest("go is not installed")
        source = self.folder / "peer.go"
        source.write_text(textwrap.dedent("""\
            package main

            import (
            	"crypto/tls"
            	"crypto/x509"
            	"errors"
            	"fmt"
            	"net"
            	"os"
            	"path/filepath"
            )

            func must(err error) {
            	if err != nil {
            		panic(err)
            	}
            }

            func main() {
            	folder, ca, client := os.Args[1], os.Args[2], os.Args[3]
            	pem, err := os.ReadFile(filepath.Join(folder, ca))
            	must(err)
            	pool := x509.NewCertPool()
            	if !pool.AppendCertsFromPEM(pem) {
            		panic("no certificate")
            	}
            	own := filepath.Join(folder, "server")
            	pair, err := tls.LoadX509KeyPair(own+".crt", own+".key")
            	must(err)
            	serverConfig := &tls.Config{Certificates: []tls.Certificate{pair}}
            	clientConfig := &tls.Config{RootCAs: pool}
            	if client != "" {
            		own, err := tls.LoadX509KeyPair(client+".crt", client+".key")
            		must(err)
            		clientConfig.Certificates = []tls.Certificate{own}
            		serverConfig.ClientAuth = tls.RequireAndVerifyClientCert
            		serverConfig.ClientCAs = pool
            	}
            	dial := func(name string) error {
            		a, b := net.Pipe()
            		config := clientConfig.Clone()
            		config.ServerName = name
            		done := make(chan error)
            		go func() {
            			server := tls.Server(a, serverConfig)
            			err := server.Handshake()
            			if err == nil {
            				_, err = server.Write([]byte("hello"))
            			}
            			done <- err
            		}()
            		peer := tls.Client(b, config)
            		err := peer.Handshake()
            		if err == nil {
            			_, err = peer.Read(make([]byte, 5))
            		}
            		b.Close()
            		if serverErr := <-done; err == nil {
            			err = serverErr
            		}
            		return err
            	}
            	for _, name := range os.Args[4:] {
            		must(dial(name))
            	}
            	var wrongName x509.HostnameError
            	if err := dial("example.org"); errors.As(err, &wrongName) {
            		fmt.Println("refused")
            	} else {
            		fmt.Println(err)
            	}
            }
            """))
        built = self.folder / "peer"
        cache = {"GOCACHE": str(self.folder / "gocache"), "GO111MODULE": "off", "GOFLAGS": ""}
        subprocess.run(["go", "build", "-o", built, source], check=True, timeout=5 * TIMEOUT,
                       env={**os.environ, **cache}, cwd=self.folder)
        for ca in self.each():
            client = self.out / "alice" if ca == "ca.crt" else ""
            done = subprocess.run([built, self.out, ca, client, *self.NAMES], capture_output=True,
                                  text=True, timeout=TIMEOUT, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, "refused\n"),
                             f"{self.out.name} {done.stdout}{done.stderr}")


class Shells(Case):
    """A whole life under other shells, and with busybox for every tool but openssl."""

    def life(self, **options):
        self.run_script("--client", "alice", "--name", "2001:db8::1", **options)
        before = self.state()
        self.run_script("--client", "alice", "--name", "2001:db8::1", **options)
        self.assertEqual(self.state(), before)
        pin = self.pin()
        self.run_script("renew", **options)
        self.assertEqual(self.pin(), pin)
        self.run_script("rekey", **options)
        self.assertNotEqual(self.pin(), pin)
        self.run_script("revoke", "alice", **options)
        self.assertIn("revoked", self.run_script("show", **options).stdout)
        self.fails("--days", "0", code=2, **options)
        self.fails("client", "a\tb", code=2, **options)
        self.run_script("--force", "--permit", "example.org", **options)
        self.verify("server")

    def test_shells(self):
        for shell in ("dash", "busybox sh", "bash --posix", "ksh", "mksh", "yash"):
            with self.subTest(shell):
                words = shlex.split(shell)
                if shutil.which(words[0]) is None:
                    self.skipTest(f"{words[0]} is not installed")
                self.out = self.folder / words[0]
                self.life(shell=words)

    def test_busybox_userland(self):
        busybox = shutil.which("busybox")
        if busybox is None:
            self.skipTest("busybox is not installed")
        tools = self.folder / "tools"
        tools.mkdir()
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True,
                                 timeout=TIMEOUT).stdout
        for applet in applets.split():
            (tools / applet).symlink_to(busybox)
        (tools / "openssl").unlink(missing_ok=True)
        (tools / "openssl").symlink_to(shutil.which("openssl"))
        self.life(shell=[str(tools / "sh")], env={"PATH": str(tools)})

    def test_shellcheck(self):
        if shutil.which("shellcheck") is None:
            self.skipTest("shellcheck is not installed")
        done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
