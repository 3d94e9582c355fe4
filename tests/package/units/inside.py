"""Run in the booted system of test_units.py, as root: the units of the service as they are
installed, with their options changed as an administrator would."""

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

from manager import HERE, SECONDS, journal, show, systemctl, until


def unit_line(name):
    with open(show("tlsmsg.service", "FragmentPath"), encoding="utf-8") as file:
        return re.search(rf"(?m)^{name}=(.*)$", file.read()).group(1)


with open(os.path.join(HERE, "settings"), encoding="utf-8") as settings:
    KIND = settings.read().split()
PLAINTEXT, STORE = "plaintext" in KIND, "store" in KIND
BIN, ETC = (os.path.dirname(unit_line("ExecStart").split()[at]) for at in (0, 2))
CERT, KEY = (os.path.join(ETC, "certs", "server." + end) for end in ("crt", "key"))
HOOK = os.path.join(os.path.dirname(BIN), "libexec", "tlsmsg", "certbot-deploy")
LOGS = "/var/log/tlsmsg"
STATE = "/var/lib/tlsmsg"


def prepare():
    """What a package's installation does."""
    with open("/etc/group", "a", encoding="utf-8") as file:
        file.write("tlsmsg:x:987:\n")
    with open("/etc/passwd", "a", encoding="utf-8") as file:
        file.write("tlsmsg:x:987:987::/nonexistent:/usr/sbin/nologin\n")
    shutil.copy(os.path.join(ETC, "server.conf"), HERE)
    if not PLAINTEXT:
        for name in ("certs", "ca"):
            shutil.copytree(os.path.join(HERE, name), os.path.join(ETC, name))
        shutil.chown(KEY, "tlsmsg", "tlsmsg")


def installed():
    with open(os.path.join(HERE, "server.conf"), encoding="utf-8") as file:
        return file.read()


def options(*lines, name="server"):
    """The installed configuration, its messages in a place of the instance's, and more lines."""
    text = installed().replace("/transcript.json", f"/{name}.json")
    if name != "server":
        text = text.replace(STATE, f"{STATE}-server-{name}")
    with open(os.path.join(ETC, name + ".conf"), "w", encoding="utf-8") as file:
        file.write(text + "".join(line + "\n" for line in lines))


def change(name, before, after):
    """In the configuration of an instance."""
    path = os.path.join(ETC, name + ".conf")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(before, after))


def stored(name=""):
    """As an administrator looks: root, while the server writes."""
    done = subprocess.run([os.path.join(BIN, "tlsmsg-store"), "export", f"{STATE}{name}/store.db"],
                          capture_output=True, timeout=SECONDS, encoding="utf-8", check=True)
    return [json.loads(line)["message"] for line in done.stdout.splitlines()]


def messages(name="server", number=""):
    with open(f"{LOGS}/{name}.json{number}", encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return [line["message"] for line in found if line["event"] == "message"]


def converse(port=12345, text="hello"):
    trust = [] if PLAINTEXT else ["--ca", f"{ETC}/certs/ca.crt"]
    return subprocess.run([os.path.join(BIN, "tlsmsg-client"), *trust, "-q", "-m", text, str(port)],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          encoding="utf-8", check=False)


def presented(port=12345):
    """The certificate that the server shows, as PEM."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=SECONDS)


def first_of(path):
    """The first certificate of a file."""
    with open(path, encoding="ascii") as file:
        return re.search(r"(?s)-+BEGIN CERT.*?-+END CERT\w+-+\n", file.read()).group()


def certbot(name):
    """A certificate as certbot leaves it, where root alone may look, with its deploy hook run.
    Returns the file that the hook makes."""
    live, archive = (os.path.join("/etc/letsencrypt", kind, name) for kind in ("live", "archive"))
    for folder in (live, archive):
        os.makedirs(folder, exist_ok=True)
        os.chmod(os.path.dirname(folder), 0o700)
    number = len(os.listdir(archive)) // 2 + 1
    work = tempfile.mkdtemp()
    subprocess.run([os.path.join(BIN, "tlsmsg-certs"), "--quiet", "--out", work], timeout=SECONDS,
                   stdout=subprocess.DEVNULL, check=True)
    for ours, theirs, mode in (("crt", "fullchain", 0o644), ("key", "privkey", 0o600)):
        path = os.path.join(archive, f"{theirs}{number}.pem")
        shutil.move(os.path.join(work, "server." + ours), path)
        os.chmod(path, mode)
        link = os.path.join(live, theirs + ".pem")
        os.symlink(os.path.relpath(path, live), link + ".new")
        os.rename(link + ".new", link)
    subprocess.run([HOOK], env={"PATH": os.environ["PATH"], "RENEWED_LINEAGE": live},
                   timeout=SECONDS, check=True)
    return os.path.join(ETC, "certbot", name + ".pem")


def rotate():
    """By the packages' file, where logrotate is installed; else by hand what it does."""
    if shutil.which("logrotate"):
        subprocess.run(["logrotate", "--force", "--state", "/run/rotated",
                        os.path.join(HERE, "logrotate")], timeout=SECONDS, check=True)
    else:
        os.rename(LOGS + "/server.json", LOGS + "/server.json.1")
        systemctl("try-reload-or-restart", "tlsmsg.service", "tlsmsg-server@*.service")


class Service(unittest.TestCase):
    def setUp(self):
        options()
        self.addCleanup(systemctl, "stop", "tlsmsg.socket", "tlsmsg.service",
                        "tlsmsg-server@*.service")
        self.addCleanup(systemctl, "reset-failed")

    def answers(self, port=12345, text="hello"):
        done = converse(port, text)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.endswith(f"：{text}\n"), done.stdout)

    def test_start_and_stop(self):
        systemctl("start", "tlsmsg")
        self.assertEqual(show("tlsmsg", "ActiveState"), "active")
        self.answers()
        process = show("tlsmsg", "MainPID")
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        self.assertEqual(status["Uid"].split("\t"), ["987"] * 4)
        self.assertEqual(int(status["CapBnd"], 16) | int(status["CapEff"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        systemctl("stop", "tlsmsg")
        self.assertEqual(show("tlsmsg", "Result"), "success")

    def test_wrong_option_is_tried_once(self):
        """And however often it was tried, the mended one starts."""
        before = journal("tlsmsg").count("no-such-option")
        options("no-such-option")
        for tries in range(1, 8):
            systemctl("start", "tlsmsg", code=1)
            # With a restart to come it would be "activating".
            self.assertEqual(show("tlsmsg", "ActiveState"), "failed")
            self.assertEqual(show("tlsmsg", "NRestarts"), "0")
            self.assertEqual(show("tlsmsg", "ExecMainStatus"), "2")
            self.assertEqual(journal("tlsmsg").count("no-such-option") - before, tries)
        options()
        systemctl("start", "tlsmsg")
        self.answers()

    def test_crash_is_started_again(self):
        systemctl("start", "tlsmsg")
        os.kill(int(show("tlsmsg", "MainPID")), signal.SIGKILL)
        until(lambda: (show("tlsmsg", "NRestarts"), show("tlsmsg", "ActiveState")),
              ("1", "active"))
        self.answers()

    def test_reload(self):
        systemctl("start", "tlsmsg")
        process = show("tlsmsg", "MainPID")
        systemctl("reload", "tlsmsg")
        self.answers()
        if not PLAINTEXT:
            with open(KEY, encoding="ascii") as file:
                key = file.read()
            with open(KEY, "w", encoding="ascii") as file:
                file.write("not a key\n")
            systemctl("reload", "tlsmsg")
            until(lambda: "the old configuration stays" in journal("tlsmsg"), True)
            self.answers()
            with open(KEY, "w", encoding="ascii") as file:
                file.write(key)
        self.assertEqual(show("tlsmsg", "MainPID"), process)

    def test_transcript(self):
        """Each message is in the file, none in the journal; the folder is for the group to read."""
        if STORE:
            # As the file says it: these two in the place of "quiet".
            with open(os.path.join(ETC, "server.conf"), "w", encoding="utf-8") as file:
                text = re.sub(r"(?m)^#(transcript|format) ", r"\1 ", installed())
                file.write(re.sub(r"(?m)^quiet$", "", text).replace("transcript.json",
                                                                    "server.json"))
        systemctl("start", "tlsmsg")
        self.answers(text="before the rotation")
        found = os.stat(LOGS + "/server.json")
        self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (987, 987, 0o640))
        self.assertEqual(os.stat(LOGS).st_mode & 0o777, 0o750)
        rotate()
        until(lambda: os.path.exists(LOGS + "/server.json"), True)
        self.answers(text="after the rotation")
        self.assertIn("before the rotation", messages(number=".1"))
        self.assertEqual(messages(), ["after the rotation"])
        self.assertNotIn("the rotation", journal("tlsmsg"))

    @unittest.skipUnless(STORE, "this build has no store")
    def test_store(self):
        """As it is installed: each answered message is in the store, for its owner alone, through
        a crash; none is anywhere else."""
        shutil.rmtree(LOGS, ignore_errors=True)
        systemctl("start", "tlsmsg")
        self.answers(text="before the crash")
        os.kill(int(show("tlsmsg", "MainPID")), signal.SIGKILL)
        until(lambda: (show("tlsmsg", "NRestarts"), show("tlsmsg", "ActiveState")),
              ("1", "active"))
        systemctl("reload", "tlsmsg")
        self.answers(text="after the crash")
        self.assertEqual(stored()[-2:], ["before the crash", "after the crash"])
        for path, mode in ((STATE, 0o700), (STATE + "/store.db", 0o600)):
            found = os.stat(path)
            self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o777), (987, 987, mode))
        self.assertEqual(os.listdir(LOGS), [])
        self.assertNotIn("the crash", journal("tlsmsg"))

    @unittest.skipUnless(STORE, "this build has no store")
    def test_spool(self):
        """Kept while the server is away, delivered by the unit, which its timer starts."""
        spool, unit = "/var/lib/tlsmsg-spool/localhost:12345.db", "tlsmsg-spool@localhost:12345"
        folder = "/etc/systemd/system/tlsmsg-spool@.service.d"
        os.makedirs(folder)
        self.addCleanup(shutil.rmtree, folder)
        with open(folder + "/trust.conf", "w", encoding="ascii") as file:
            file.write(f"[Service]\nEnvironment=\"OPTIONS=--ca {ETC}/certs/ca.crt\"\n")
        systemctl("daemon-reload")
        # Without a spool there is nothing to do, and none is made.
        systemctl("start", unit + ".service")
        self.assertFalse(os.path.exists(spool))
        os.makedirs(os.path.dirname(spool), mode=0o700, exist_ok=True)
        command = [os.path.join(BIN, "tlsmsg-client"), "--ca", f"{ETC}/certs/ca.crt", "-q",
                   "--spool", spool]
        done = subprocess.run([*command, "-m", "kept", "12345"], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=SECONDS, encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 7, done.stderr)
        # That it waits is no failure.
        systemctl("start", unit + ".service")
        self.assertIn("1 message waits in spool", journal(unit + ".service"))
        systemctl("start", "tlsmsg")
        before = stored()
        # Who has it open delivers by himself.
        with subprocess.Popen([*command, "12345"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as client:
            until(lambda: stored()[len(before):], ["kept"])
            systemctl("start", unit + ".service")
            self.assertNotIn("in use by process", journal(unit + ".service"))
            client.stdin.close()
            self.assertEqual(client.wait(SECONDS), 0)
        systemctl("stop", "tlsmsg")
        subprocess.run([*command, "-m", "more", "12345"], stdin=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=SECONDS, check=False)
        systemctl("start", "tlsmsg", unit + ".timer")
        self.addCleanup(systemctl, "stop", unit + ".timer")
        self.assertNotEqual(show(unit + ".timer", "NextElapseUSecRealtime"), "")
        systemctl("start", unit + ".service")
        self.assertEqual(stored()[len(before):], ["kept", "more"])
        self.assertEqual(os.stat(spool).st_mode & 0o777, 0o600)

    @unittest.skipIf(PLAINTEXT, "needs certificates")
    def test_renewal(self):
        """The timer's service renews what ends soon, with the list of revoked clients; the server
        shows it, and its user still reads the key."""
        options(f"client-ca {ETC}/certs/ca.crt", f"crl {ETC}/certs/ca.crl")
        certs = [os.path.join(BIN, "tlsmsg-certs"), "--quiet", "--out", f"{ETC}/certs", "--ca-dir",
                 f"{ETC}/ca", "crl"]
        subprocess.run(certs, timeout=SECONDS, stdout=subprocess.DEVNULL, check=True)
        systemctl("start", "tlsmsg")
        before = presented(), first_of(CERT), os.stat(f"{ETC}/certs/ca.crl").st_ino
        self.assertEqual(before[0], before[1])
        systemctl("start", "tlsmsg-renew")
        until(lambda: presented() == first_of(CERT), True)
        self.assertNotEqual(first_of(CERT), before[1])
        self.assertNotEqual(os.stat(f"{ETC}/certs/ca.crl").st_ino, before[2])
        found = os.stat(KEY)
        self.assertEqual((found.st_uid, found.st_mode & 0o777), (987, 0o600))
        # Nothing ends soon any more: the certificate stays.
        renewed = first_of(CERT)
        systemctl("start", "tlsmsg-renew")
        self.assertEqual(first_of(CERT), renewed)
        systemctl("start", "tlsmsg-renew.timer")
        self.assertEqual(show("tlsmsg-renew.timer", "ActiveState"), "active")
        systemctl("stop", "tlsmsg-renew.timer")

    @unittest.skipIf(PLAINTEXT, "needs certificates")
    def test_certbot(self):
        """Its deploy hook brings the service what it may not read itself, whole, and again."""
        file = certbot("msg.example.org")
        found = os.stat(file)
        self.assertEqual((found.st_uid, found.st_mode & 0o777), (987, 0o600))
        with open(os.path.join(ETC, "server.conf"), encoding="utf-8") as conf:
            text = re.sub(r"(?m)^key .*\n", "", conf.read())
        with open(os.path.join(ETC, "server.conf"), "w", encoding="utf-8") as conf:
            conf.write(re.sub(r"(?m)^cert .*$", f"cert {file}", text))
        systemctl("start", "tlsmsg")
        process, first = show("tlsmsg", "MainPID"), presented()
        self.assertEqual(first, first_of(file))
        certbot("msg.example.org")
        self.assertNotEqual(first, first_of(file))
        until(lambda: presented() == first_of(file), True)
        self.assertEqual(show("tlsmsg", "MainPID"), process)
        self.assertEqual(os.listdir(os.path.join(ETC, "certbot")), ["msg.example.org.pem"])
        done = subprocess.run([HOOK], env={}, stderr=subprocess.PIPE, timeout=SECONDS,
                              encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--deploy-hook " + HOOK, done.stderr)

    def test_instances(self):
        """Two beside the first; the end of one takes nothing of another's away. One is called as
        the client's folder ends, the other still has its store where instances had them."""
        spool, earlier = STATE + "-spool", STATE + "-one"
        for path in (spool, earlier):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, mode=0o700)
        shutil.chown(earlier, "tlsmsg", "tlsmsg")
        systemctl("start", "tlsmsg")
        for name, port in (("one", 7001), ("spool", 7002)):
            options(f"listen {port}", f"metrics-file /run/tlsmsg-server-{name}/metrics", name=name)
            if name == "one":
                change("one", STATE + "-server-one/", earlier + "/")
            systemctl("start", f"tlsmsg-server@{name}")
            until(lambda name=name: os.path.exists(f"/run/tlsmsg-server-{name}/metrics"), True)
            self.answers(port, text=name)
        if STORE:
            self.assertEqual([stored("-one"), stored("-server-spool")], [["one"], ["spool"]])
        found = os.stat(spool)
        self.assertEqual((found.st_uid, found.st_mode & 0o777, os.listdir(spool)), (0, 0o700, []))
        systemctl("stop", "tlsmsg", "tlsmsg-server@one")
        self.answers(7002)
        self.assertEqual(sorted(name for name in os.listdir("/run") if "tlsmsg" in name),
                         ["tlsmsg-server-spool"])
        self.assertTrue(os.path.exists("/run/tlsmsg-server-spool/metrics"))
        self.assertEqual(converse(7001).returncode, 3)

    def test_socket(self):
        """The first client starts the service; a restart with new options is not noticed."""
        systemctl("start", "tlsmsg.socket")
        self.assertEqual(show("tlsmsg.service", "ActiveState"), "inactive")
        self.answers()
        self.assertEqual(show("tlsmsg.service", "ActiveState"), "active")
        systemctl("restart", "tlsmsg.service")
        self.answers()

    def test_socket_gives_up(self):
        """With a wrong option clients are refused soon, not kept waiting; mended, it starts."""
        options("no-such-option")
        before = journal("tlsmsg").count("no-such-option")
        systemctl("start", "tlsmsg.socket")
        self.assertIn(converse().returncode, (3, 6))
        until(lambda: show("tlsmsg.socket", "ActiveState"), "failed")
        self.assertLessEqual(journal("tlsmsg").count("no-such-option") - before, 4)
        options()
        systemctl("start", "tlsmsg.socket", "tlsmsg.service")
        self.answers()
        self.assertEqual(show("tlsmsg.socket", "ActiveState"), "active")


if __name__ == "__main__":
    prepare()
    unittest.main(verbosity=2)
