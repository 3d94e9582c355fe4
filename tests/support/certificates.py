"""Certificates for the tests.

The default set comes from scripts/gen-certs.sh, as a user's does, once per test process. The
Authority makes what that script rightly does not: expired ones, wrong names, odd identities.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from settings import ROOT, scaled


@functools.cache
def folder():
    made = tempfile.mkdtemp(prefix="tlsmsg-certs-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def run(words, **more):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=scaled(60), check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words[0]} {words[1]} ended with {done.returncode}: "
                             f"{done.stderr.decode('utf-8', 'replace')}")
    return done.stdout


@dataclass(frozen=True)
class Certificates:
    """The paths of one run of scripts/gen-certs.sh."""

    out: str

    @property
    def ca(self):
        return os.path.join(self.out, "ca.crt")

    @property
    def server(self):
        return os.path.join(self.out, "server.crt")

    @property
    def server_key(self):
        return os.path.join(self.out, "server.key")

    @property
    def client(self):
        return os.path.join(self.out, "alice.crt")

    @property
    def client_key(self):
        return os.path.join(self.out, "alice.key")


@functools.cache
def default_certificates():
    out = os.path.join(folder(), "default")
    run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "--out", out, "--client", "alice"])
    return Certificates(out)


CONFIGURATION = """
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
certificate = {folder}/ca.crt
private_key = {folder}/ca.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = optional
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
{names}
"""

DATES = {
    "valid": ("20200101000000Z", "20491231235959Z"),
    "expired": ("20200101000000Z", "20210101000000Z"),
    "ends soon": ("20200101000000Z",
                  time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 10 * 86400 + 3600))),
    "not yet valid": ("20480101000000Z", "20491231235959Z"),
}

KEYS = {
    "ecdsa": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


@dataclass(frozen=True)
class Leaf:
    certificate: str
    key: str


class Authority:
    """A private CA of the tests' own, made with openssl commands."""

    def __init__(self, name):
        self.folder = os.path.join(folder(), f"authority-{name}")
        os.mkdir(self.folder)
        self._write("index.txt", "")
        self._write("serial", "1000\n")
        self.ca = os.path.join(self.folder, "ca.crt")
        self.key = os.path.join(self.folder, "ca.key")
        self._new_key("ecdsa", self.key)
        run(["openssl", "req", "-x509", "-new", "-key", self.key, "-out", self.ca, "-days", "365",
             "-subj", f"/CN=tests {name}", "-config", self._configuration("", ""),
             "-extensions", "root"])

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def _configuration(self, names, usage):
        if names:
            names = f"subjectAltName = {names}"
        text = CONFIGURATION.format(folder=self.folder, names=names,
                                    usage=usage or "serverAuth,clientAuth")
        return self._write("openssl.cnf", text + "[req]\ndistinguished_name = dn\n[dn]\n")

    @staticmethod
    def _new_key(algorithm, path):
        run(["openssl", "genpkey", "-algorithm", *KEYS[algorithm], "-out", path])

    def issue(self, name, *, names="DNS:localhost,IP:127.0.0.1", subject=None, dates="valid",
              algorithm="ecdsa", usage="serverAuth,clientAuth"):
        """A leaf; names is openssl's subjectAltName, "" for none."""
        certificate = os.path.join(self.folder, f"{name}.crt")
        key = os.path.join(self.folder, f"{name}.key")
        request = os.path.join(self.folder, f"{name}.csr")
        configuration = self._configuration(names, usage)
        start, end = DATES[dates]
        self._new_key(algorithm, key)
        run(["openssl", "req", "-new", "-key", key, "-out", request, "-utf8",
             "-subj", f"/CN={subject or name}", "-config", configuration])
        run(["openssl", "ca", "-batch", "-notext", "-config", configuration, "-extensions", "leaf",
             "-startdate", start, "-enddate", end, "-in", request, "-out", certificate])
        return Leaf(certificate, key)


@functools.cache
def authority(name):
    """One authority per name and test process."""
    return Authority(name)


@functools.cache
def leaf(authority_name, name, **how):
    return authority(authority_name).issue(name, **how)
