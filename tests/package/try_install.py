"""Runs the commands of docs/install.md, in its order, in clean roots: the source's in one, the packages'
in another, and those of the service on a server that is booted for it, with a client beside it. Not a
part of the ordinary tests, since it takes minutes and the network; as root.

Usage: try_install.py ROOTS RELEASE...   ROOTS/RELEASE is a root of that Debian release, with apt
                                         (mmdebstrap --variant=apt RELEASE ROOTS/RELEASE)
"""

import contextlib
import glob
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time

from roots import PATH, ROOT, Root, copy_sources, isolated, run, workspace
from test_units import Group

HERE = os.path.dirname(os.path.abspath(__file__))
NAME, ADDRESS = "msg.example.org", "192.0.2.7"
SECONDS = 600
# Where the server's machine has to have its dependencies before it is cut off the network.
SERVER_HAS = ("adduser", "certbot", "libpq5", "libsqlite3-0", "logrotate", "nftables", "openssh-server",
              "openssl", "pebble", "postgresql", "systemd-sysv")
CLIENT_HAS = ("libedit2", "libsqlite3-0", "libssl3", "openssh-client")
# What a command has to print.
PRINTS = {
    "tlsmsg-server --config": "The configuration is good.",
    "systemctl status": "active (running)",
    "tlsmsg-client --ca ca.crt -m 'it works'": "：it works",
    "tlsmsg-client --ca ca.crt --spool": "：kept until it is delivered",
    "tlsmsg-client --ca ca.crt --probe": "TLSv1.3",
    "tlsmsg-client --ca ca.crt --cert alice.crt": "：alice is here",
    "tlsmsg-certs show": "server.crt: server",
    "tlsmsg-store list": "it works",
    "tlsmsg-store tail": "alice is here",
    "tlsmsg-store verify": "sound",
    "su postgres -c 'tlsmsg-store verify": "sound",
    "apt install ./tlsmsg_": "install -d -m 700 /etc/tlsmsg/ca",
    "cat /run/tlsmsg/tlsmsg.prom": "tlsmsg_",
    "apt purge tlsmsg-server": "stored messages stay in /var/lib/tlsmsg"}


def fail(text):
    sys.exit(f"try_install.py: FAILED: {text}")


def page():
    """The page's sections: heading, and its blocks, each a language and its text."""
    with open(os.path.join(ROOT, "docs", "install.md"), encoding="utf-8") as file:
        parts = re.split(r"(?m)^#{2,3} (.*)\n", file.read())
    return [(heading, re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", text))
            for heading, text in zip(parts[1::2], parts[2::2])]


class Machine:
    """Runs blocks in a root, by a command that enters it."""

    def __init__(self, enter, folder):
        self.enter, self.folder = enter, folder

    def sh(self, text, code=0):
        """Runs a block, whose commands have to succeed. Returns what they print."""
        done = subprocess.run(
            [*self.enter, "env", "-i", PATH, "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb",
             "DEBIAN_FRONTEND=noninteractive", "REQUESTS_CA_BUNDLE=/root/pebble/server.crt", "sh",
             "-ec", f"cd {self.folder}\n{text}"], stdin=subprocess.DEVNULL, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
            check=False)
        if done.returncode != code:
            fail(f"exit {done.returncode}, not {code}, of\n{text}\n{done.stdout[-3000:]}")
        return done.stdout

    def block(self, text):
        """Runs a block of the page, and holds what it prints against PRINTS."""
        for line in text.splitlines():
            print("  " + line, flush=True)
        printed = self.sh(text)
        for begin, wanted in PRINTS.items():
            if any(line.startswith(begin) for line in text.splitlines()) and wanted not in printed:
                fail(f"{begin} does not print {wanted!r}:\n{printed}")


def fresh(folder, base, packages=()):
    """A root in which apt asks nothing and adds nothing, with packages."""
    root = Root(folder, base)
    for name, text in (("etc/apt/apt.conf.d/90try", 'APT::Get::Assume-Yes "true";\n'
                        'APT::Install-Recommends "false";\n'),
                       ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")):
        with open(root.path(name), "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(root.path("usr/sbin/policy-rc.d"), 0o755)
    machine = Machine(("chroot", root.root), "/root")
    machine.sh("apt-get -qq update")
    if packages:
        machine.sh(f"apt-get -qq install {' '.join(packages)}")
    return root


def spent_by_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare_root(folder, base, sections):
    """What needs nothing but the sources: the two scripts of README.md, and the build from source."""
    root = fresh(folder, base)
    copy_sources(root.path("/source"))
    machine = Machine(("chroot", root.root), "/source")
    began, spent = time.monotonic(), spent_by_children()
    said = machine.sh("echo hello | ./scripts/run.sh")
    took, spent = time.monotonic() - began, spent_by_children() - spent
    print(f"try_install.py: run.sh: {took:.1f} s, of processors {spent:.1f} s", flush=True)
    # 30 s are promised for two idle processors; these may be busy with something else.
    if "：hello" not in said or "run.sh: building in" not in said or spent > 40:
        fail(f"run.sh took {spent:.1f} s of processors and said:\n{said}")
    if re.search(r"setup.sh: installing.*(python3|cmocka)", said):
        fail(f"run.sh installs what it does not need: {said}")
    for _, text in sections["From source"]:
        machine.block(text)
    machine.sh("/usr/local/bin/tlsmsg-server --version; /usr/local/bin/tlsmsg-certs --help")


def packages(folder, base, sections, out):
    """Builds them as the page says, once more as a later version, and a program with the library."""
    root = fresh(folder, base)
    copy_sources(root.path("/source"))
    machine = Machine(("chroot", root.root), "/source")
    for _, text in sections["Packages"]:
        machine.block(text)
    version = re.search(r"_([\d.]+)_", glob.glob(root.path("/source/**/tlsmsg-client_*.deb"),
                                                  recursive=True)[0]).group(1)
    machine.sh(f"cpack --preset package -G DEB -B /next -D CPACK_PACKAGE_VERSION={version}.1")
    made = glob.glob(root.path(f"/source/**/*_{version}_*.deb"), recursive=True)
    for name, files in (("now", made), ("next", glob.glob(root.path("/next/*.deb")))):
        os.makedirs(os.path.join(out, name))
        for path in files:
            shutil.copy(path, os.path.join(out, name))
    shutil.copytree(os.path.join(out, "now"), root.path("/packages"))
    machine.folder = "/packages"
    for _, text in sections["The library"]:
        machine.block(text)
    if "usage: ask" not in machine.sh("./ask || :"):
        fail("the example does not run")


def from_before(folder, base, sections, debs):
    """An installation of 0.1 is led to this one, and its CA's key to where it belongs."""
    root = fresh(folder, base, ("adduser", "openssl"))
    machine = Machine(("chroot", root.root), "/packages")
    shutil.copytree(os.path.join(debs, "now"), root.path("/packages"))
    shutil.copytree(os.path.join(HERE, "tlsmsg-0.1.0"), root.path("/old"))
    machine.sh("dpkg-deb --build --root-owner-group /old /root/old.deb && apt install /root/old.deb")
    run(os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out",
        root.path("/etc/tlsmsg/certs"), stdout=subprocess.DEVNULL)
    certificate = machine.sh("chown tlsmsg: /etc/tlsmsg/certs/server.key\n"
                             "cat /etc/tlsmsg/certs/server.crt")
    for _, text in sections["From 0.1"]:
        machine.block(text)
    if machine.sh("cat /etc/tlsmsg/certs/server.crt") != certificate:
        fail("another certificate")
    machine.sh("ls /etc/tlsmsg/ca/ca.key /etc/tlsmsg/certs/ca.crt\n! ls /etc/tlsmsg/certs/ca.key\n"
               "tlsmsg-server --config /etc/tlsmsg/server.conf --check --user tlsmsg")


def at_a_terminal(folder, base, debs):
    """The packaged client has line editing, with the release's own libedit, which differ in keys."""
    root = fresh(folder, base, ("openssl", "python3"))
    copy_sources(root.path("/source"))
    run("mount", "--rbind", "/dev", root.path("/dev"))
    with open(root.path("/etc/hosts"), "a", encoding="ascii") as file:
        file.write("127.0.0.1 localhost\n")
    shutil.copytree(os.path.join(debs, "now"), root.path("/packages"))
    os.mkdir(root.path("/build"))
    for name in ("tlsmsg-client", "tlsmsg-server", "tlsmsg-store"):
        os.symlink("/usr/bin/" + name, root.path("/build/" + name))
    machine = Machine(("chroot", root.root), "/source/tests/integration")
    machine.sh("apt install /packages/libtlsmsg0.2_*.deb /packages/tlsmsg-client_*.deb "
               "/packages/tlsmsg-server_*.deb")
    said = machine.sh("export TLSMSG_BUILD_DIR=/build\nldd /usr/bin/tlsmsg-client | grep libedit\n"
                      "python3 -B test_comfort.py 2>&1")
    if "Editing.test_insert_and_history) ... ok" not in said or "skipped" in said:
        fail(f"line editing was not tried:\n{said}")


@contextlib.contextmanager
def booted(folder, root):
    """A root's system, running. Yields the process that is its manager."""
    for name in ("units", "above"):
        os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, "units", "try.target"), "w", encoding="ascii") as file:
        file.write("[Unit]\nDescription=The try\nWants=multi-user.target\n")
    group = Group()
    with subprocess.Popen(
            ["unshare", "--cgroup", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork",
             "--kill-child", os.path.join(HERE, "units", "boot.sh"), folder,
             os.path.join(folder, "above"), "try.target", root.root],
            stdin=subprocess.DEVNULL, preexec_fn=group.join) as outer:
        try:
            yield manager_below(outer)
        finally:
            outer.kill()
            outer.wait()
            group.close()


def manager_below(outer):
    """The first process in there, once it is systemd."""
    for _ in range(600):
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if children:
            with open(f"/proc/{children[0]}/comm", encoding="ascii") as file:
                if file.read() == "systemd\n":
                    return children[0]
        if outer.poll() is not None:
            break
        time.sleep(0.1)
    return fail("the system does not boot")


class Service:
    """A server and a client on a network of their own, led through the page's steps."""

    def __init__(self, folder, base, debs):
        self.debs = debs
        self.server_root = fresh(os.path.join(folder, "server"), base, SERVER_HAS)
        self.client_root = fresh(os.path.join(folder, "client"), base, CLIENT_HAS)
        for root in (self.server_root, self.client_root):
            with open(root.path("/etc/hosts"), "a", encoding="ascii") as file:
                file.write(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
            shutil.copytree(os.path.join(debs, "now"), root.path("/root/packages"))
        os.remove(self.server_root.path("/usr/sbin/policy-rc.d"))
        self.introduce()
        self.server = self.client = None
        self.booted = os.path.join(folder, "booted") # in there: /run/test
        self.ca = "ca.crt"

    def introduce(self):
        """The client may use ssh, and the server certbot with a CA on its own machine."""
        client = Machine(("chroot", self.client_root.root), "/root")
        client.sh("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && printf "
                  "'StrictHostKeyChecking accept-new\\n' >/etc/ssh/ssh_config.d/try.conf")
        os.makedirs(self.server_root.path("/root/.ssh"), mode=0o700, exist_ok=True)
        shutil.copy(self.client_root.path("/root/.ssh/id_ed25519.pub"),
                    self.server_root.path("/root/.ssh/authorized_keys"))
        pebble = self.server_root.path("/root/pebble")
        run(os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--self-signed", "--out",
            pebble, stdout=subprocess.DEVNULL)
        with open(os.path.join(pebble, "config"), "w", encoding="ascii") as file:
            json.dump({"pebble": {
                "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
                "certificate": "/root/pebble/server.crt", "privateKey": "/root/pebble/server.key",
                "httpPort": 80, "tlsPort": 443}}, file)
        with open(self.server_root.path("/etc/letsencrypt/cli.ini"), "a", encoding="ascii") as file:
            file.write("server = https://localhost:14000/dir\nagree-tos = true\n"
                       "register-unsafely-without-email = true\nnon-interactive = true\n")

    def start(self, process):
        """Enters the booted server, and gives the network its address."""
        inside = ("nsenter", "--target", process)
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{ADDRESS}/24", "dev", "lo")):
            run(*inside, "--net", "ip", *words)
        self.server = Machine((*inside, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"),
                              "/root/packages")
        self.client = Machine((*inside, "--net", "chroot", self.client_root.root),
                              "/root/packages")
        self.server.sh("hostname server1\nfor _ in $(seq 300); do\n"
                       "[ ! -S /run/systemd/private ] || break; sleep 0.1; done\n"
                       "systemctl is-system-running --wait || :")
        # The table is Debian's; its service would be enabled by an administrator.
        self.server.sh("nft -f /etc/nftables.conf; systemctl start ssh")
        self.server.sh("systemd-run --quiet --setenv=PEBBLE_VA_NOSLEEP=1 pebble "
                       "-config /root/pebble/config")

    def configure(self, text):
        """Lines of the page's in server.conf: in the place of those of the same name, or added."""
        for line in text.splitlines():
            print("  server.conf: " + line, flush=True)
            name, value = line.split(" ", 1)
            self.server.sh(f"sed -i '/^{name} /d' /etc/tlsmsg/server.conf\n"
                           f"echo '{name} {value}' >>/etc/tlsmsg/server.conf")
            if name == "cert":
                self.server.sh("sed -i '/^key /d' /etc/tlsmsg/server.conf")

    def run(self, blocks):
        for language, text in blocks:
            if language == "conf":
                self.configure(text)
            elif text.startswith("cat "):
                # The page says that it takes a moment.
                self.server.sh(f"for _ in $(seq 300); do [ ! -e {text.split()[1]} ] || break; "
                               "sleep 0.1; done")
                self.server.block(text)
            elif text.startswith("# on the client\n"):
                self.client.block(text)
            else:
                self.server.block(text)

    def send(self, text, who="bob", code=0, to=NAME):
        """One message of a client with a certificate."""
        self.client.sh(f"tlsmsg-client --ca {self.ca} --cert {who}.crt --key {who}.key "
                       f"-m '{text}' {to}", code)

    def stored(self, text, name="tlsmsg"):
        if text not in self.server.sh(f"tlsmsg-store list /var/lib/{name}/store.db"):
            fail(f"the store of {name} lacks {text!r}")

    # What has to be true after a step, beside what its commands print.

    def after_own_clients(self):
        self.client.sh(f"scp -q 'root@{NAME}:/etc/tlsmsg/certs/bob.*' .")
        self.send("bob is here")
        self.send("alice again", who="alice", code=5)

    def after_renewal(self):
        """The public CA's certificate is shown; a renewal of certbot's is taken over by itself."""
        self.client.sh("cat >public.crt <<'END'\n" + self.server.sh(
            "python3 -c 'import ssl, urllib.request as u; print(u.urlopen("
            "\"https://localhost:15000/roots/0\", context=ssl.create_default_context("
            "cafile=\"/root/pebble/server.crt\")).read().decode())'") + "END")
        self.ca = "public.crt"
        self.send("over the public CA")
        probe = f"tlsmsg-client --ca {self.ca} --cert bob.crt --key bob.key --probe {NAME}"
        before = self.client.sh(probe)
        self.server.sh("certbot renew --force-renewal --no-random-sleep-on-renew")
        for _ in range(100):
            if self.client.sh(probe) != before:
                break
            time.sleep(0.1)
        else:
            fail(f"certbot's renewal is not shown: {before}")
        self.send("after the renewal")
        self.server.sh("systemctl is-enabled tlsmsg-renew.timer; systemctl start tlsmsg-renew")

    def after_backup(self):
        self.stored("after the renewal")
        self.send("after the backup")

    def after_several(self):
        """The second now stores in the database. It goes on after a restart of that, waits for one that
        starts later, as at a boot, and reaches it over TCP, too."""
        self.send("to the database", to=NAME + ":12346")
        self.server.sh("systemctl restart postgresql")
        self.send("to the database again", to=NAME + ":12346")
        self.server.sh("systemctl stop postgresql; systemctl restart tlsmsg-server@second || :\n"
                       "systemctl start postgresql; for _ in $(seq 300); do\n"
                       "! systemctl is-active tlsmsg-server@second || break; sleep 0.1; done")
        self.send("to the later database", to=NAME + ":12346")
        self.server.sh("su postgres -c \"psql -c \\\"ALTER ROLE tlsmsg PASSWORD 'secret'\\\"\"\n"
                       "echo '127.0.0.1:5432:messages:tlsmsg:secret' >/etc/tlsmsg/pgpass\n"
                       "chmod 600 /etc/tlsmsg/pgpass; chown tlsmsg: /etc/tlsmsg/pgpass\n"
                       "sed -i 's#^store .*#store postgresql://tlsmsg@127.0.0.1/messages?"
                       "passfile=/etc/tlsmsg/pgpass#' /etc/tlsmsg/second.conf\n"
                       "systemctl restart tlsmsg-server@second")
        self.send("over TCP", to=NAME + ":12346")
        found = self.server.sh("su postgres -c 'tlsmsg-store list postgresql:///messages'\n"
                               "systemctl is-active tlsmsg-server@second")
        for text in ("to the database", "to the database again", "to the later database", "over TCP"):
            if text not in found:
                fail(f"the database lacks {text!r}:\n{found}")

    def last_step(self, blocks):
        self.server.sh("rm *.deb")
        shutil.copytree(os.path.join(self.debs, "next"), os.path.join(self.booted, "next"))
        self.server.sh("cp /run/test/next/*.deb .; echo '# mine' >>/etc/tlsmsg/server.conf")
        self.run(blocks[:1])
        self.server.sh("grep -q '# mine' /etc/tlsmsg/server.conf\n"
                       "for unit in tlsmsg tlsmsg-server@second; do\n"
                       "    pid=$(systemctl show --value --property MainPID $unit)\n"
                       "    [ \"$(readlink /proc/$pid/exe)\" = /usr/bin/tlsmsg-server ]\ndone")
        self.send("after the upgrade")
        self.stored("after the upgrade")
        self.run(blocks[1:])
        self.server.sh("[ -s /var/lib/tlsmsg/store.db ]; [ ! -e /etc/tlsmsg ]\n"
                       "! systemctl is-active tlsmsg tlsmsg-server@second tlsmsg-renew.timer")

    def lead(self, sections):
        after = {"6": self.after_own_clients, "7": self.after_renewal, "9": self.after_backup,
                 "11": self.after_several}
        steps = [(heading, blocks) for heading, blocks in sections.items()
                 if re.match(r"\d+\. ", heading)]
        for heading, blocks in steps[:-1]:
            print("try_install.py: " + heading, flush=True)
            self.run(blocks)
            after.get(heading.split(".")[0], lambda: None)()
        print("try_install.py: " + steps[-1][0], flush=True)
        self.last_step(steps[-1][1])


def main():
    if len(sys.argv) < 3 or os.geteuid() != 0:
        sys.exit(__doc__)
    isolated()
    sections = dict(page())
    lines = [line for blocks in sections.values() for _, text in blocks for line in text.splitlines()]
    stale = [begin for begin in PRINTS if not any(line.startswith(begin) for line in lines)]
    if stale:
        fail(f"the page has no {stale}")
    for release in sys.argv[2:]:
        base = os.path.realpath(os.path.join(sys.argv[1], release))
        with workspace() as folder:
            print(f"try_install.py: {release}: from source", flush=True)
            bare_root(os.path.join(folder, "bare"), base, sections)
            print(f"try_install.py: {release}: packages", flush=True)
            packages(os.path.join(folder, "build"), base, sections, os.path.join(folder, "debs"))
            print(f"try_install.py: {release}: at a terminal", flush=True)
            at_a_terminal(os.path.join(folder, "terminal"), base, os.path.join(folder, "debs"))
            service = Service(folder, base, os.path.join(folder, "debs"))
            with booted(service.booted, service.server_root) as manager:
                service.start(manager)
                service.lead(sections)
            print(f"try_install.py: {release}: from 0.1", flush=True)
            from_before(os.path.join(folder, "before"), base, sections, os.path.join(folder, "debs"))
    print("try_install.py: passed")


if __name__ == "__main__":
    main()
