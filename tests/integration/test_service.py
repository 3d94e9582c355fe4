#!/usr/bin/env python3
"""The server under a service manager: what it is passed, what it tells, what it gives up, and the
metrics file. For both builds.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import certificates
import harness
import kernel
import manager
import network
import texts
import tls
from certificates import default_certificates
from harness import ProgramTest
from settings import SLOWDOWN, is_plaintext


class ServiceTest(ProgramTest):
    def manager(self, path=None):
        made = manager.Manager(path)
        self.addCleanup(made.close)
        return made

    def listener(self):
        made = network.listen()
        self.addCleanup(made.close)
        return made

    def managed(self, *options, boss=None, watchdog_usec=None, **how):
        """A server under a manager, ready when this returns."""
        boss = boss or self.manager()
        server = self.keep(manager.start_server(*options, env=boss.environment(watchdog_usec),
                                                **how))
        try:
            boss.wait_for("READY")
        except AssertionError as error:
            server.kill()
            raise AssertionError(f"{error}; stderr {server.stderr.bytes()!r}") from None
        return server

    def assert_quiet(self, running):
        """Under TLS a server says where it listens, and no more."""
        said = running.stderr.bytes()
        if not is_plaintext():
            said = harness.LISTENING.sub(b"", said).strip()
        self.assertEqual(said, b"", f"stderr of {running.name}")

    def trust(self):
        return () if is_plaintext() else ("--ca", default_certificates().ca)

    def talk(self, port, ca=None):
        """A whole conversation, in the document's flow, whose bytes are the message's alone; the
        reply must be right."""
        words = self.trust() if ca is None else ("--ca", ca)
        client = self.run_client(*words, *texts.DOCUMENT_FLOW, "-q", "-m", "hello", str(port))
        self.assertEqual(client.stdout.bytes(), texts.reply(b"hello") + b"\n")


class Notification(ServiceTest):
    def test_start_reload_and_end_are_told(self):
        for path in (self.path("notify"), None):
            with self.subTest("a path" if path else "an abstract name"):
                boss, listener = self.manager(path), self.listener()
                server = self.keep(manager.start_server(
                    "--quiet", env=boss.environment(), listener=listener))
                said = boss.next()
                port = listener.getsockname()[1]
                self.assertEqual(said["READY"], "1")
                self.assertIn(f"127.0.0.1:{port}", said["STATUS"])
                self.talk(port)

                server.signal(signal.SIGHUP)
                said = boss.next()
                self.assertEqual(said["RELOADING"], "1")
                self.assertRegex(said["MONOTONIC_USEC"], r"\A[1-9]\d*\Z")
                self.assertEqual(boss.next()["READY"], "1")

                server.signal()
                self.assertEqual(boss.next()["STOPPING"], "1")
                server.finish(0)
                self.assertEqual(boss.rest(), [])
                # A reload is answered at every level; a plaintext server says nothing as it starts.
                said = server.stderr.bytes().splitlines()
                self.assertEqual([b"listening on" in line for line in said],
                                 [False] if is_plaintext() else [True, False])
                self.assertIn(b"configuration reloaded", said[-1])

    def test_end_by_itself_is_told(self):
        boss, listener = self.manager(), self.listener()
        server = self.managed("--quiet", "--accept", "1", boss=boss, listener=listener)
        self.talk(listener.getsockname()[1])
        self.assertEqual(boss.next()["STOPPING"], "1")
        server.finish(0)

    @harness.unittest.skipIf(is_plaintext(), "there is nothing to reload")
    def test_failed_reload_is_told_and_not_the_end(self):
        boss, listener = self.manager(), self.listener()
        made = default_certificates()
        certificate = shutil.copy(made.server, self.path("server.crt"))
        server = self.managed("--quiet", "--cert", certificate, "--key", made.server_key,
                              boss=boss, listener=listener, certificate=False)
        self.write_file("server.crt", b"no certificate\n")
        server.signal(signal.SIGHUP)
        boss.wait_for("RELOADING")
        said = boss.next()
        self.assertEqual(said["READY"], "1")
        self.assertIn("failed", said["STATUS"])
        server.stderr.wait_for(b"the old configuration stays")
        self.talk(listener.getsockname()[1])
        server.stop()

    def test_watchdog(self):
        boss = self.manager()
        server = self.managed("--quiet", boss=boss, watchdog_usec=200000,
                              listener=self.listener())
        for _ in range(4):
            boss.wait_for("WATCHDOG")
        server.stop()

    def test_no_watchdog_unless_asked_for(self):
        boss = self.manager()
        server = self.managed("--quiet", boss=boss, listener=self.listener())
        server.stop()
        self.assertNotIn(b"WATCHDOG", b"".join(boss.rest()))

    def test_manager_that_is_gone(self):
        """A dead notify socket costs nothing."""
        boss, listener = self.manager(), self.listener()
        server = self.managed("--quiet", boss=boss, watchdog_usec=200000, listener=listener)
        boss.close()
        self.talk(listener.getsockname()[1])
        server.stop()
        self.assert_quiet(server)


class PassedSockets(ServiceTest):
    def test_passed_socket_takes_the_default_address_place(self):
        listener = self.listener()
        server = self.managed("--quiet", listener=listener)
        port = listener.getsockname()[1]
        self.assertEqual(kernel.listening_ports(server.pid), [port])
        self.talk(port)
        server.stop()

    def test_beside_listen(self):
        listener = self.listener()
        server = self.managed("--quiet", "--listen", "127.0.0.1:0", listener=listener)
        passed = listener.getsockname()[1]
        ports = kernel.listening_ports(server.pid)
        self.assertEqual(len(ports), 2)
        self.assertIn(passed, ports)
        for port in ports:
            self.talk(port)
        server.stop()

    def test_last_accept_closes_it(self):
        """The passed descriptor itself must not stay open: it would go on taking connections."""
        listener = self.listener()
        port = listener.getsockname()[1]
        server = self.managed("--quiet", "--accept", "1", listener=listener)
        if is_plaintext():
            held = network.connect(port)
        else:
            held = tls.connect(port, tls.client_context(default_certificates().ca)).sock
        with held:
            kernel.wait_until(lambda: not kernel.listening_ports(server.pid),
                              "the server leaves the socket")
        server.finish(0)

    def test_restart_drops_no_client(self):
        """Who connects while no server runs is answered by the next one."""
        listener = self.listener()
        port = listener.getsockname()[1]
        for _ in range(3):
            server = self.managed("--quiet", listener=listener)
            self.talk(port)
            server.stop()
            client = self.start_client(*self.trust(), "-q", "-m", "hello", str(port))
            kernel.wait_until(
                lambda: any(local == port and found.state == kernel.ESTABLISHED
                            for local, _, found, _ in kernel.table()),
                "the client waits in the queue")
            server = self.managed("--quiet", listener=listener)
            client.finish(0)
            self.assertEqual(client.stdout.bytes(), texts.reply(b"hello") + b"\n")
            server.stop()

    def test_socket_of_another_kind(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
            wrong.bind(("127.0.0.1", 0))
            server = self.keep(manager.start_server(listener=wrong))
            server.finish(2)
        self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", "listening")


class Metrics(ServiceTest):
    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def samples(self, name):
        """{name with labels: value}; each line is one of the format's, each name has a type."""
        found, typed = {}, set()
        for line in self.read(name).splitlines():
            if line.startswith("# TYPE "):
                typed.add(line.split()[2])
            elif not line.startswith("# HELP "):
                match = re.fullmatch(r'(tlsmsg_[a-z0-9_]+)(\{[^}]*\})? (\S+)', line)
                self.assertTrue(match, line)
                base = re.sub(r"_(bucket|sum|count)\Z", "", match.group(1))
                self.assertTrue({base, match.group(1)} & typed, line)
                found[match.group(1) + (match.group(2) or "")] = float(match.group(3))
        return found

    def test_written_at_start_and_end(self):
        listener = self.listener()
        server = self.managed("--quiet", "--metrics-file", self.path("m.prom"), listener=listener)
        kernel.wait_until(lambda: os.path.exists(self.path("m.prom")), "the metrics file")
        self.assertEqual(self.samples("m.prom")["tlsmsg_messages_total"], 0)
        self.talk(listener.getsockname()[1])
        server.stop()
        found = self.samples("m.prom")
        self.assertEqual(found["tlsmsg_messages_total"], 1)
        self.assertEqual(found["tlsmsg_replies_total"], 1)
        self.assertEqual(found["tlsmsg_received_bytes_total"], 5)
        self.assertEqual(found['tlsmsg_closed_total{how="clean"}'], 1)
        self.assertEqual(found['tlsmsg_reply_seconds_bucket{le="+Inf"}'], 1)
        if not is_plaintext():
            ends = found["tlsmsg_certificate_not_after_timestamp_seconds"]
            self.assertGreater(ends, time.time() + 30 * 86400)
        else:
            self.assertNotIn("tlsmsg_certificate_not_after_timestamp_seconds", found)
        self.assertEqual(os.listdir(self.folder), ["m.prom"])
        self.assertEqual(os.stat(self.path("m.prom")).st_mode & 0o777, 0o644)
        self.assert_quiet(server)

    def test_replaced_every_few_seconds(self):
        server = self.managed("--quiet", "--metrics-file", self.path("m.prom"),
                              listener=self.listener())
        kernel.wait_until(lambda: os.path.exists(self.path("m.prom")), "the metrics file")
        first = os.stat(self.path("m.prom")).st_ino
        with open(self.path("m.prom"), encoding="ascii"):  # keeps its number from being used again
            kernel.wait_until(lambda: os.stat(self.path("m.prom")).st_ino != first,
                              "a new metrics file", limit=15)
        server.stop()

    def test_failure_is_one_warning(self):
        listener = self.listener()
        server = self.managed("--quiet", "--metrics-file", self.path("missing/m.prom"),
                              listener=listener)
        server.stderr.wait_for(b"cannot write metrics")
        self.talk(listener.getsockname()[1])
        server.stop()
        self.assertEqual(server.stderr.bytes().count(b"cannot write metrics"), 1)


class Confinement(ServiceTest):
    def wait_held(self, server):
        """Whether the build has the sandbox, by the server's own words."""
        server.stderr.wait_for(b"sandbox: ")
        return b"sandbox: none in this build" not in server.stderr.bytes()

    def test_what_holds_is_told(self):
        server = self.managed("--quiet", "--log-level", "info", listener=self.listener())
        if self.wait_held(server):
            state = manager.status(server.pid)
            self.assertEqual(state["NoNewPrivs"], "1")
            self.assertEqual(int(state["CapEff"], 16), 0)
            self.assertEqual(int(state["CapPrm"], 16), 0)
            for thread in os.listdir(f"/proc/{server.pid}/task"):
                state = manager.status(f"{server.pid}/task/{thread}")
                self.assertEqual((state["NoNewPrivs"], int(state["CapEff"], 16)), ("1", 0))
        server.stop()

    def test_descriptor_limit_is_raised(self):
        server = self.managed("--quiet", listener=self.listener(), soft_limit=64)
        with open(f"/proc/{server.pid}/limits", encoding="ascii") as file:
            soft, hard = re.search(r"Max open files\s+(\S+)\s+(\S+)", file.read()).groups()
        self.assertEqual(soft, hard)
        server.stop()

    def test_unknown_user(self):
        for words in ((), ("--check",)):
            server = self.keep(manager.start_server("--user", "no-such-user", *words))
            server.finish(2)
            self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", "no-such-user")

    @harness.unittest.skipIf(manager.is_root(), "for users other than root")
    def test_own_and_foreign_user(self):
        listener, own = self.listener(), pwd.getpwuid(os.geteuid()).pw_name
        server = self.managed("--quiet", "--user", own, listener=listener)
        self.talk(listener.getsockname()[1])
        server.stop()
        server = self.keep(manager.start_server("--user", "root"))
        server.finish(2)
        self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", "only root")

    @harness.unittest.skipUnless(manager.is_root(), "only root can become another user")
    def test_user_is_become(self):
        os.chmod(self.folder, 0o777)
        listener, nobody = self.listener(), pwd.getpwnam("nobody")
        server = self.managed("--quiet", "--user", "nobody", "--metrics-file", self.path("m.prom"),
                              listener=listener)
        state = manager.status(server.pid)
        self.assertEqual(state["Uid"].split(), [str(nobody.pw_uid)] * 4)
        self.assertEqual(state["Gid"].split(), [str(nobody.pw_gid)] * 4)
        self.talk(listener.getsockname()[1])
        server.stop()
        self.assertEqual(os.stat(self.path("m.prom")).st_uid, nobody.pw_uid)

    @harness.unittest.skipIf(is_plaintext() or not manager.is_root(), "needs root and keys")
    def test_key_log_is_the_users(self):
        """It is made that user's, so that a reload can open it again; another's is refused."""
        folder, nobody = self.path("keys"), pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        os.mkdir(folder)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        made = [shutil.copy(path, self.path(os.path.basename(path)))
                for path in (default_certificates().server, default_certificates().server_key)]
        for path in made:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        log = os.path.join(folder, "keys.log")
        words = ["--quiet", "--log-level", "info", "--user", "nobody", "--keylog-file", log,
                 "--cert", made[0], "--key", made[1]]
        for what in ("made", "found"):
            with self.subTest(what):
                server = self.managed(*words, listener=self.listener(), certificate=False)
                kernel.wait_until(lambda: os.path.exists(log), "the key log")
                found = os.stat(log)
                self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o7777),
                                 (nobody.pw_uid, nobody.pw_gid, 0o600))
                server.stderr.wait_for(b"sandbox: ")
                server.signal(signal.SIGHUP)
                server.stderr.wait_for(b"configuration reloaded")
                server.stop()
        os.chown(log, 0, 0)
        for check in ((), ("--check",)):
            with self.subTest("root's", check=check):
                server = self.keep(manager.start_server(*words, *check, certificate=False))
                server.finish(2)
                self.assertIn(b"keys.log", server.stderr.bytes())

    @harness.unittest.skipIf(is_plaintext() or not manager.is_root(), "needs root and keys")
    def test_key_log_out_of_reach(self):
        """What a reload could not open is refused before anything is served, by --check, too."""
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        made = [shutil.copy(path, self.path(os.path.basename(path)))
                for path in (default_certificates().server, default_certificates().server_key)]
        os.chown(made[1], nobody.pw_uid, nobody.pw_gid)
        shut, open_to_all = self.path("shut"), self.path("open")
        os.mkdir(shut, 0o700)
        os.mkdir(open_to_all, 0o755)
        found = self.write_file("shut/found.log", b"")
        os.chmod(found, 0o600)
        os.chown(found, nobody.pw_uid, nobody.pw_gid)
        unwritable = self.write_file("open/unwritable.log", b"")
        os.chown(unwritable, nobody.pw_uid, nobody.pw_gid)
        os.chmod(unwritable, 0o400)
        user = ("--user", "nobody")
        rows = ((shut + "/new.log", user, "user 'nobody' cannot open key log"),
                (found, user, "user 'nobody' cannot open key log"),
                (unwritable, user, "user 'nobody' cannot open key log"))
        for log, words, says in rows:
            for check in (("--check",), ()):
                with self.subTest(log, check=check):
                    server = self.keep(manager.start_server(
                        "--quiet", "--cert", made[0], "--key", made[1], *words, *check,
                        "--keylog-file", log, certificate=False))
                    server.finish(2)
                    self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", says, log,
                                         "try: ")
        # Root makes it at the start, in a folder that the user may search and not write.
        log = open_to_all + "/new.log"
        words = ("--quiet", "--log-level", "info", "--cert", made[0], "--key", made[1], *user,
                 "--keylog-file", log)
        server = self.keep(manager.start_server(*words, "--check", certificate=False))
        server.finish(0)
        self.assertFalse(os.path.exists(log), "made by a check")
        server = self.managed(*words, listener=self.listener(), certificate=False)
        server.stderr.wait_for(b"sandbox: ")
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(b"configuration reloaded")
        server.stop()

    @harness.unittest.skipIf(is_plaintext() or not manager.is_root(), "needs root and keys")
    def test_key_log_behind_anothers_folder(self):
        """Root searches any folder at the start, and has given that up when it reloads."""
        if SLOWDOWN != 1:
            self.skipTest("a sanitizer's build keeps root's capabilities")
        nobody = pwd.getpwnam("nobody")
        shut = self.path("shut")
        os.mkdir(shut, 0o700)
        os.chown(shut, nobody.pw_uid, nobody.pw_gid)
        log = shut + "/new.log"
        for check in (("--check",), ()):
            with self.subTest(check=check):
                server = self.keep(manager.start_server("--quiet", *check, "--keylog-file", log))
                server.finish(2)
                self.assertIn(b"cannot open key log '%s' without root's privileges" % log.encode(),
                              server.stderr.bytes())

    @harness.unittest.skipIf(is_plaintext() or not manager.is_root(), "needs root and a key file")
    def test_key_out_of_the_users_reach(self):
        """Told at start, where it serves; --check looks as that user, and refuses."""
        listener = self.listener()
        server = self.managed("--quiet", "--user", "nobody", listener=listener)
        server.stderr.wait_for(b"a reload will fail: user 'nobody' cannot read")
        self.talk(listener.getsockname()[1])
        server.stop()
        server = self.keep(manager.start_server("--user", "nobody", "--check"))
        server.finish(2)
        self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: cannot read ",
                             "Permission denied")

    @harness.unittest.skipIf(is_plaintext(), "there is nothing to reload")
    def test_reload_after_atomic_renewal(self):
        """The sandbox still reaches files that came after it under the same names."""
        listener = self.listener()
        first = certificates.leaf("before", "server")
        second = certificates.leaf("after", "server")
        named = {kind: shutil.copy(getattr(first, kind), self.path(kind))
                 for kind in ("certificate", "key")}
        boss = self.manager()
        server = self.managed("--quiet", "--cert", named["certificate"], "--key", named["key"],
                              boss=boss, listener=listener, certificate=False)
        port = listener.getsockname()[1]
        self.talk(port, certificates.authority("before").ca)
        for kind, path in named.items():
            os.replace(shutil.copy(getattr(second, kind), path + ".new"), path)
        server.signal(signal.SIGHUP)
        boss.wait_for("RELOADING")
        self.assertNotIn("failed", boss.next()["STATUS"])
        self.talk(port, certificates.authority("after").ca)
        server.stop()


if __name__ == "__main__":
    harness.main()
