"""Runs the commands of packaging/fleet/README.md on machines of its own, then loses and replaces each of
them under load: what was answered is in the database, once. Not a part of the ordinary tests, since it
takes minutes; as root, with PostgreSQL 15, HAProxy and socat.

The machines are namespaces of network, mounts and processes, joined by a bridge; what they write is
kept in memory and goes with them.

Usage: try_fleet.py BUILD        BUILD has the programs
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from roots import PATH, ROOT

FLEET = os.path.join(ROOT, "packaging", "fleet")
ADDRESSES = {"proxy": "192.0.2.10", "one": "192.0.2.11", "two": "192.0.2.12", "three": "192.0.2.13",
             "db1": "192.0.2.21", "db2": "192.0.2.22", "client": "192.0.2.99"}
SERVERS = ("one", "two", "three")
# What each machine has for itself, by the user who owns it.
FOLDERS = {"/etc/postgresql": "postgres", "/var/lib/postgresql": "postgres",
           "/var/log/postgresql": "postgres", "/run/postgresql": "postgres",
           "/etc/tlsmsg": "root", "/run/tlsmsg": "tlsmsg", "/run/haproxy": "root"}
USER = "tlsmsg:x:64123:64123::/nonexistent:/usr/sbin/nologin\n"
GROUP = "tlsmsg:x:64123:\n"
PRODUCERS = ("p0", "p1", "p2", "p3")
SECONDS = 120


def fail(text):
    sys.exit(f"try_fleet.py: FAILED: {text}")


def run(*words, **how):
    return subprocess.run(words, stdin=subprocess.DEVNULL, check=True, timeout=SECONDS, **how)


def blocks(sets_up):
    """The page's, of setting up or of replacing: machines, user and text of each."""
    with open(os.path.join(FLEET, "README.md"), encoding="utf-8") as file:
        before, after = file.read().split("## Replacing each")
    found = re.findall(r"(?ms)^```sh\n# (.*?), as (\w+)\n(.*?)^```$", before if sets_up else after)
    return [(re.findall(r"\w+", machines.replace(" and ", " ")), user, text)
            for machines, user, text in found]


class Machine:
    """What runs in it ends when its first process does: that is the loss of its power."""

    def __init__(self, name, folder, build):
        self.name, self.folder = name, os.path.join(folder, name)
        for path in (*FOLDERS, "/etc-work"):
            os.makedirs(self.folder + path)
        self.start(build)

    def start(self, build):
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sleep", "infinity"])
        inner = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        deadline = time.monotonic() + 10
        self.pid = 0
        while not self.pid:
            if time.monotonic() > deadline:
                fail("a machine doesn't start")
            with open(inner, encoding="ascii") as file:
                self.pid = int((file.read().split() or ["0"])[0])
            if self.pid and os.readlink(f"/proc/{self.pid}/exe") != shutil.which("sleep"):
                self.pid = 0
        veth = f"to-{self.name}"
        run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid))
        run("ip", "link", "set", veth, "master", "bridge", "up")
        self.sh("ip link set lo up; ip link set eth0 up; "
                f"ip addr add {ADDRESSES[self.name]}/24 dev eth0")
        shared = os.path.dirname(self.folder)
        self.sh(f"mount -t tmpfs none /run; mount -t overlay none /etc -o lowerdir=/etc,"
                f"upperdir={self.folder}/etc,workdir={self.folder}/etc-work; "
                f"cp {shared}/hosts {shared}/passwd {shared}/group /etc")
        for path, owner in FOLDERS.items():
            self.sh(f"mkdir -p {path}; mount --bind {self.folder}{path} {path}; chown {owner}: {path}")
        # As they are called where they are installed.
        self.sh(f"mount -t tmpfs none /usr/local/bin; cd /usr/local/bin; ln -s {build}/tlsmsg-* .; "
                f"ln -s {ROOT}/scripts/gen-certs.sh tlsmsg-certs; "
                f"ln -s {ROOT}/scripts/rotate-ticket-keys.sh tlsmsg-ticket-keys")

    def enter(self, user="root"):
        words = ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "env", "-i", PATH,
                 "LC_ALL=C.UTF-8", "HOME=" + pwd.getpwnam(user).pw_dir]
        return words + ([] if user == "root" else
                        ["setpriv", "--reuid", user, "--regid", user, "--init-groups"])

    def sh(self, text, user="root", cwd="/"):
        """Runs commands, which have to succeed. Returns what they print."""
        done = subprocess.run([*self.enter(user), "bash", "-ec", f"cd {cwd}\n{text}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, encoding="utf-8", timeout=SECONDS,
                              check=False)
        if done.returncode != 0:
            fail(f"on {self.name}, exit {done.returncode} of\n{text}\n{done.stdout}")
        return done.stdout

    def begin(self, *words, **how):
        return subprocess.Popen([*self.enter(), *words], stderr=subprocess.PIPE, **how)

    def link(self, state):
        run("ip", "link", "set", f"to-{self.name}", state)

    def lose(self):
        self.process.kill()
        self.process.wait()


class Fleet:
    def __init__(self, folder, build):
        self.folder, self.build, self.services = folder, build, {}
        work = os.path.join(folder, "typed")
        shutil.copytree(FLEET, work)
        os.chmod(work, 0o755)
        for name, line in (("passwd", USER), ("group", GROUP)):
            with open(f"/etc/{name}", encoding="utf-8") as source, \
                    open(os.path.join(folder, name), "w", encoding="utf-8") as copy:
                text = source.read()
                copy.write(text if "\ntlsmsg:" in text else text + line)
        with open(os.path.join(folder, "hosts"), "w", encoding="ascii") as hosts:
            hosts.write("127.0.0.1 localhost\n")
            for name, address in ADDRESSES.items():
                hosts.write(f"{address} {'msg' if name == 'proxy' else name}.example.org\n")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "link", "set", "bridge", "up")
        self.machines = {name: Machine(name, folder, build) for name in ADDRESSES}
        for name in ("db1", "db2"):
            self.on(name, "pg_createcluster 15 main --start -e UTF8 --locale C.UTF-8")

    def on(self, name, text, user="root"):
        return self.machines[name].sh(text, user, os.path.join(self.folder, "typed"))

    def set_up(self):
        for machines, user, text in blocks(sets_up=True):
            for name in machines:
                print(f"  {name}, as {user}: {text.splitlines()[0]} ...", flush=True)
                self.until(lambda: self.prints(name, user, text), "what the page says of it")
        for name in SERVERS:
            self.serve(name)
        self.proxy = self.machines["proxy"].begin("haproxy", "-W", "-db", "-f",
                                                  os.path.join(FLEET, "haproxy.cfg"))

    def prints(self, name, user, text):
        """Whether a block that is run prints what the page says."""
        printed = self.on(name, text, user)
        return all(result in printed for command, result in (
            ("sync_state", "db2|sync"), ("--check", "The configuration is good."))
            if command in text)

    def serve(self, name):
        self.services[name] = self.machines[name].begin(
            "tlsmsg-server", "--config", "/etc/tlsmsg/server.conf", "--user", "tlsmsg")
        self.until(lambda: '{promise="replicated"} 1' in self.on(
            name, "cat /run/tlsmsg/tlsmsg.prom 2>/dev/null || true"), "a server's promise")

    @staticmethod
    def until(condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                fail(f"not within {SECONDS} s: {what}")
            time.sleep(0.1)

    def stop(self, name, number):
        """The server itself, whose parents only entered its machine."""
        pid = self.on(name, "pidof -s tlsmsg-server").strip()
        self.on(name, f"kill -{number} {pid}")
        self.services[name].communicate(timeout=SECONDS)
        os.unlink(self.machines[name].folder + "/run/tlsmsg/tlsmsg.prom")

    def tell_proxy(self, command):
        self.on("proxy", f"echo '{command}' | socat - /run/haproxy/admin.sock")

    def wait_for_standby(self, primary):
        self.until(lambda: "|sync" in self.on(
            primary, "psql -Atc 'SELECT application_name, sync_state FROM pg_stat_replication'",
            "postgres"), "the standby")

    def end(self):
        for machine in self.machines.values():
            machine.lose()


class Load:
    """Clients whose lines come one by one."""

    def __init__(self, fleet):
        self.stop, self.sent = threading.Event(), {}
        words = ("tlsmsg-client", "--ca", f"{fleet.folder}/typed/fleet-tls/ca.crt", "-q", "--retry",
                 "300", "--timeout", "30")
        self.clients = {name: fleet.machines["client"].begin(
            *words, "--producer", name, "msg.example.org", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE) for name in PRODUCERS}
        self.answered = dict.fromkeys(PRODUCERS, 0)
        self.threads = [threading.Thread(target=target, args=(name,), daemon=True)
                        for name in PRODUCERS for target in (self.feed, self.read)]
        for thread in self.threads:
            thread.start()

    def feed(self, name):
        count = 0
        with contextlib.suppress(BrokenPipeError):
            while not self.stop.is_set():
                count += 1
                self.clients[name].stdin.write(b"%s line %d\n" % (name.encode(), count))
                self.clients[name].stdin.flush()
                time.sleep(0.02)
            self.clients[name].stdin.close()
        self.sent[name] = count

    def read(self, name):
        for _ in self.clients[name].stdout:
            self.answered[name] += 1

    def goes_on(self):
        """Waits until each client has had another hundred replies."""
        before = dict(self.answered)
        Fleet.until(lambda: all(self.answered[name] > before[name] + 100 for name in PRODUCERS),
                    f"replies: {self.answered}, {before} before")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(SECONDS)
        for name, client in self.clients.items():
            if client.wait(SECONDS) != 0:
                fail(f"{name} ended with {client.returncode}: {client.stderr.read().decode()}")


def lose_servers(fleet, load):
    yield "one is drained, stopped and started"
    fleet.tell_proxy("set server servers/one state drain")
    fleet.stop("one", "TERM")
    fleet.serve("one")
    fleet.tell_proxy("set server servers/one state ready")
    yield "two is killed and started"
    fleet.stop("two", "KILL")
    fleet.serve("two")
    yield "three is cut off for 8 s"
    fleet.machines["three"].link("down")
    time.sleep(8)
    fleet.machines["three"].link("up")
    yield "HAProxy is reloaded"
    fleet.on("proxy", "kill -USR2 $(pgrep -o haproxy)")
    load.goes_on()


def lose_databases(fleet, _load):
    yield "the standby is lost and started"
    fleet.machines["db2"].link("down")
    fleet.on("db2", "pg_ctlcluster 15 main stop -m immediate", "postgres")
    time.sleep(7)
    fleet.machines["db2"].link("up")
    fleet.on("db2", "pg_ctlcluster 15 main start", "postgres")
    yield "the primary is stopped, the standby promoted, the old one rewound"
    fleet.on("db1", "pg_ctlcluster 15 main stop", "postgres")
    fleet.on("db2", "pg_ctlcluster 15 main promote", "postgres")
    rewind(fleet, "db1", "db2")
    yield "the primary is cut off while it runs, the standby promoted, the old one rewound"
    fleet.machines["db2"].link("down")
    fleet.on("db1", "pg_ctlcluster 15 main promote", "postgres")
    # Cut off it has written what nobody else has.
    fleet.on("db2", "PGOPTIONS='-c synchronous_commit=local' psql -qc 'CREATE TABLE alone(id int)'",
             "postgres")
    fleet.on("db2", "pg_ctlcluster 15 main stop -m immediate", "postgres")
    fleet.machines["db2"].link("up")
    rewind(fleet, "db2", "db1")
    if fleet.on("db2", "psql -Atc \"SELECT to_regclass('alone')\"", "postgres").strip():
        fail("the old primary has kept what it wrote alone")


def rewind(fleet, old, new):
    """By the page's blocks, in which db1 is the old primary."""
    names = {"db1": old, "db2": new}
    for machines, user, text in blocks(sets_up=False):
        text = re.sub("db[12]", lambda match: names[match.group()], text)
        for name in machines:
            fleet.on(names[name], text, user)
    fleet.wait_for_standby(new)


def count(fleet, load):
    rows = fleet.on("db1", "psql -AtF ' ' messages -c \"SELECT text, count(*) FROM tlsmsg.messages"
                    " GROUP BY text\"", "postgres").splitlines()
    stored = dict(row.rsplit(" ", 1) for row in rows)
    due = {f"{name} line {number}" for name in PRODUCERS
           for number in range(1, load.sent[name] + 1)}
    lost = due - set(stored)
    doubled = [text for text, times in stored.items() if times != "1"]
    print(f"{len(due)} messages sent, {sum(load.answered.values())} replies, {len(lost)} lost, "
          f"{len(doubled)} doubled", flush=True)
    if lost or doubled or set(stored) != due or sum(load.answered.values()) != len(due):
        fail(f"lost {sorted(lost)[:5]}, doubled {doubled[:5]}")


def main():
    build = os.path.abspath(sys.argv[1])
    if os.environ.get("TLSMSG_TRY_FLEET") != "inside":
        os.environ["TLSMSG_TRY_FLEET"] = "inside"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                              "--mount-proc", sys.executable, "-B", *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="tlsmsg-fleet-")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "none", folder)
    fleet = None
    try:
        fleet = Fleet(folder, build)
        fleet.set_up()
        load = Load(fleet)
        load.goes_on()
        for lose in (lose_servers, lose_databases):
            for scene in lose(fleet, load):
                load.goes_on()
                print(f"  {scene}", flush=True)
            load.goes_on()
        load.end()
        count(fleet, load)
    finally:
        if fleet is not None:
            fleet.end()
        run("umount", "-l", folder)
        os.rmdir(folder)


if __name__ == "__main__":
    main()
