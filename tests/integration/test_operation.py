#!/usr/bin/env python3
"""How a server is run day by day: its options in a file, its transcript in a file that is rotated."""

import json
import os
import pty
import signal
import shutil
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
from certificates import default_certificates
from harness import ProgramTest
from settings import is_plaintext, program, scaled


class OperationTest(ProgramTest):
    # The plaintext build serves one client unless told otherwise.
    MORE = ("--accept", "0")

    def client(self, server, text):
        words = [] if is_plaintext() else ["--ca", default_certificates().ca]
        return self.run_client(*words, f"127.0.0.1:{server.port}", stdin=text.encode() + b"\n")

    def messages(self, path):
        with open(path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file]
        return [event["message"] for event in events if event["event"] == "message"]

    def reload(self, server, says):
        count = server.stderr.bytes().count(says)
        server.signal(signal.SIGHUP)
        server.stderr.wait_for(says, count + 1)


class TranscriptFile(OperationTest):
    def start(self, path):
        return self.server(*self.MORE, "--format", "json", "--log-level", "info", "--transcript",
                           path)

    def test_nothing_is_on_stdout(self):
        path = self.path("t.json")
        server = self.start(path)
        self.client(server, "one")
        server.stop()
        self.assertEqual(self.messages(path), ["one"])
        self.assertEqual(server.stdout.bytes(), b"")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)

    def test_rotation(self):
        path = self.path("t.json")
        server = self.start(path)
        self.client(server, "one")
        os.rename(path, path + ".1")
        self.client(server, "two")
        self.reload(server, b"configuration reloaded")
        self.client(server, "three")
        server.stop()
        self.assertEqual(self.messages(path + ".1"), ["one", "two"])
        self.assertEqual(self.messages(path), ["three"])

    def test_link(self):
        """The file is written where the link points, and the link stays."""
        path = self.write_file("t.json", b"")
        link = self.path("link")
        os.symlink(path, link)
        server = self.start(link)
        self.client(server, "one")
        server.stop()
        self.assertTrue(os.path.islink(link))
        self.assertEqual(self.messages(path), ["one"])

    def test_cannot_be_opened_anew(self):
        """A FIFO in its place: nothing waits, the old file goes on."""
        path = self.path("t.json")
        server = self.start(path)
        os.rename(path, path + ".1")
        os.mkfifo(path)
        self.reload(server, b"the transcript goes on in the old file: cannot open transcript")
        self.client(server, "one")
        os.unlink(path)
        self.reload(server, b"configuration reloaded")
        self.client(server, "two")
        server.stop()
        self.assertEqual(self.messages(path + ".1"), ["one"])
        self.assertEqual(self.messages(path), ["two"])

    def test_opened_anew_where_the_rest_fails(self):
        if is_plaintext():
            self.skipTest("a reload reads nothing in plaintext")
        path, allow = self.path("t.json"), self.write_file("allow", b"CN=alice\n")
        server = self.server("--format", "json", "--log-level", "info", "--transcript", path,
                             "--client-ca", default_certificates().ca, "--allow-file", allow)
        os.rename(path, path + ".1")
        os.unlink(allow)
        self.reload(server, b"the old configuration stays")
        self.assertTrue(os.path.exists(path))

    def test_refused(self):
        """By name, at start and by --check, with nothing waited for."""
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        made = default_certificates()
        words = [] if is_plaintext() else ["--cert", made.server, "--key", made.server_key]
        for path in (fifo, "/dev/null", self.folder, self.path("no/such")):
            for more in ([], ["--check"]):
                with self.subTest(path=path, more=more):
                    server = self.run_server_to_end("--listen", "127.0.0.1:0", *words,
                                                    "--transcript", path, *more, expect=2)
                    self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", path)


class HangUp(OperationTest):
    """A server ends with the terminal that it was started at, and with no other."""

    def open_window(self, *words):
        """Runs words in a window of their own; its descriptor, and the server's process."""
        made = default_certificates()
        more = [] if is_plaintext() else ["--cert", made.server, "--key", made.server_key]
        log = self.path("log")
        server = [*program("tlsmsg-server"), "--listen", "127.0.0.1:0", *self.MORE,
                  "--log-level", "info", "--transcript", self.path("t"), *more]
        shell = (words[0] if words else "exec {}").format(
            " ".join(f"'{word}'" for word in server) + f" 2>'{log}'")
        shell = shell.replace("SAY_PID", f"echo $! >'{self.path('pid')}'")
        pid, window = pty.fork()
        if pid == 0:
            os.execvp("bash", ["bash", "--norc", "--noprofile", *(words[1:] or ["-c"]), shell])
        self.addCleanup(self.end, pid)
        self.wait(lambda: os.path.exists(log) and b"listening on" in self.read(log))
        if words and "SAY_PID" in words[0]:
            said = self.path("pid")
            self.wait(lambda: os.path.exists(said) and self.read(said).endswith(b"\n"))
            number = int(self.read(said))
            self.addCleanup(self.end, number)
            return window, number
        return window, pid

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def wait(self, done):
        for _ in range(int(scaled(1000))):
            if done():
                return
            time.sleep(0.01)
        self.fail("waited in vain")

    def end(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    def runs(self, pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False  # gone before the file was opened, or before it was read

    def reloads(self, pid):
        count = self.read(self.path("log")).count(b"configuration reloaded")
        os.kill(pid, signal.SIGHUP)
        self.wait(lambda: self.read(self.path("log")).count(b"configuration reloaded") > count)

    def test_foreground(self):
        window, pid = self.open_window()
        self.reloads(pid)  # the terminal is there
        os.close(window)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_background_of_a_shell(self):
        """An interactive shell hands the hang-up on to its jobs."""
        window, pid = self.open_window("{} & SAY_PID; read", "-ic")
        self.reloads(pid)
        os.close(window)
        self.wait(lambda: not self.runs(pid))

    @unittest.skipUnless(shutil.which("tmux"), "needs tmux")
    def test_tmux(self):
        """A session that is detached is a terminal that is there; one that is killed is not."""
        log, number = self.path("log"), self.path("pid")
        made = [] if is_plaintext() else ["--cert", default_certificates().server, "--key",
                                          default_certificates().server_key]
        server = [*program("tlsmsg-server"), "--listen", "127.0.0.1:0", *self.MORE, "--log-level",
                  "info", "--transcript", self.path("t"), *made]
        words = " ".join(f"'{word}'" for word in server)
        tmux = ["tmux", "-S", self.path("tmux"), "-f", "/dev/null"]
        self.addCleanup(subprocess.run, [*tmux, "kill-server"], capture_output=True, check=False)
        subprocess.run([*tmux, "new-session", "-d", "-s", "it",
                        f"echo $$ >'{number}'; exec {words} 2>'{log}'"], check=True)
        self.wait(lambda: os.path.exists(log) and b"listening on" in self.read(log))
        pid = int(self.read(number))  # was written before the server began
        self.reloads(pid)
        self.assertTrue(self.runs(pid))
        subprocess.run([*tmux, "kill-session", "-t", "it"], check=True)
        self.wait(lambda: not self.runs(pid))

    def test_nohup(self):
        window, pid = self.open_window("nohup {} >/dev/null & SAY_PID; wait")
        os.close(window)
        time.sleep(0.3)
        self.reloads(pid)
        self.assertTrue(self.runs(pid))

    def test_setsid(self):
        window, pid = self.open_window("setsid {} & SAY_PID; wait")
        os.close(window)
        time.sleep(0.3)
        self.reloads(pid)
        self.assertTrue(self.runs(pid))


class WrittenFiles(OperationTest):
    def refuses(self, *words, name):
        made = default_certificates()
        more = [] if is_plaintext() else ["--cert", made.server, "--key", made.server_key]
        for check in ([], ["--check"]):
            server = self.run_server_to_end("--listen", "127.0.0.1:0", *more, *words, *check,
                                            expect=2)
            self.assert_one_line(server.stderr.bytes(), "tlsmsg-server: ", name)

    def test_metrics(self):
        """What is not a regular file is refused by name, and stays what it is."""
        fifo, link = self.path("fifo"), self.path("link")
        os.mkfifo(fifo)
        os.symlink(self.write_file("real", b"old"), link)
        for path in (fifo, link, "/dev/null", self.folder):
            with self.subTest(path=path):
                self.refuses("--metrics-file", path, name=path)
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))
        self.assertTrue(os.path.islink(link))
        with open(self.path("real"), "rb") as file:
            self.assertEqual(file.read(), b"old")

    def test_key_log(self):
        if is_plaintext():
            self.skipTest("plaintext has no keys")
        fifo, two = self.path("fifo"), self.write_file("two", b"")
        os.mkfifo(fifo, 0o600)
        os.chmod(two, 0o600)
        os.link(two, self.path("second-name"))
        paths = [fifo, two, self.folder]
        if os.geteuid() == 0:
            paths.append(self.write_file("nobody", b""))
            os.chmod(paths[-1], 0o600)
            os.chown(paths[-1], 65534, 65534)
        for path in paths:
            with self.subTest(path=path):
                self.refuses("--keylog-file", path, name=path)


class ConfigFile(OperationTest):
    def write(self, *lines):
        return self.write_file("server.conf", "".join(line + "\n" for line in lines).encode())

    def test_server(self):
        config = self.write("# a comment", "transcript " + self.path("t.json"), "format json",
                            "accept 5")
        server = self.server("--config", config, "--accept", "1")
        self.client(server, "one")
        server.finish(0)  # the command line wins
        self.assertEqual(self.messages(self.path("t.json")), ["one"])

    def test_client(self):
        server = self.server(*self.MORE)
        lines = ["quiet"] if is_plaintext() else ["quiet", "ca " + default_certificates().ca]
        client = self.run_client("--config", self.write(*lines), f"127.0.0.1:{server.port}",
                                 stdin=b"hello\n")
        self.assertEqual(client.stdout.bytes().decode(), "你好，我已收到你的消息：hello\n")

    def test_errors_name_file_and_line(self):
        for program, run in (("server", self.run_server_to_end), ("client", self.run_client)):
            config = self.write("", "lang en", "lang fr")
            with self.subTest(program=program):
                ended = run("--config", config, expect=2)
                self.assertEqual(ended.stderr.bytes().decode(),
                                 f"tlsmsg-{program}: {config}:3: --lang wants zh or en, not 'fr'\n")

    def test_password(self):
        """Told of a file that others can read, and of no other."""
        config = self.write("format json", "store postgresql://me:secret@host/base", "lang fr")
        for mode, told in ((0o644, True), (0o640, False)):
            os.chmod(config, mode)
            ended = self.run_server_to_end("--config", config, expect=2)
            self.assertEqual(b"holds a password" in ended.stderr.bytes(), told)

    def test_not_read_on_reload(self):
        config = self.write("log-level info", "accept 0")
        server = self.server("--config", config)
        self.write("no-such-option")
        self.reload(server, b"configuration reloaded")


if __name__ == "__main__":
    harness.main()
