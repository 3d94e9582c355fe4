"""The README as a reader takes it: its commands are run, in order, and what it shows as their
output is what they print. The Chinese README has the same headings, commands and tables.

Runs in a network namespace of its own, because the README uses the default port. Commands that
build or install are not run again: the build under test stands in their places, and their options
and presets are looked up."""

import ctypes
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
PLAINTEXT = os.environ.get("TLSMSG_PLAINTEXT", "0") == "1"
STORE = os.path.exists(os.path.join(BUILD, "tlsmsg-store"))
SECONDS = 30
NOT_RUN = ("./scripts/run.sh", "./scripts/test.sh", "cmake ")
PROMPT = "请输入消息（输入 'exit' 退出）: "
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def blocks(text):
    """The console blocks, each a list of (command, lines of output)."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
        found.append(steps)
    return found


def commands(text):
    return [command for block in blocks(text) for command, _ in block]


def enter_namespace():
    """A network of this process's own, with a loopback interface. OSError where not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if uid != 0 else 0)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                           ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Server:
    """A server that a README's command starts in the background."""

    def __init__(self, command, folder):
        self.process = subprocess.Popen(["sh", "-c", "exec " + command], cwd=folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        encoding="utf-8")
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self.ready.set()
        self.ready.set()

    def stop(self):
        """Ends it as a user would; gives exit code and transcript."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        self.process.stdout.close()
        return code, self.lines


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            enter_namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespace: {error.strerror}") from error

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tlsmsg-readme-")
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(os.path.join(ROOT, "scripts"), os.path.join(self.folder, "scripts"))
        os.mkdir(os.path.join(self.folder, "certs"))
        os.mkdir(os.path.join(self.folder, "build"))
        place = os.path.join(self.folder, "build", "plain") if PLAINTEXT else \
            os.path.join(self.folder, "build")
        os.makedirs(place, exist_ok=True)
        for name in ("tlsmsg-server", "tlsmsg-client", "tlsmsg-store"):
            os.symlink(os.path.join(BUILD, name), os.path.join(place, name))
        # First-use records of these commands are no business of the user's own file.
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = os.path.join(self.folder, "state")
        self.addCleanup(lambda: os.environ.update(XDG_STATE_HOME=before) if before is not None
                        else os.environ.pop("XDG_STATE_HOME", None))
        self.server = None
        self.shown = []

    def tearDown(self):
        if self.server is not None and self.server.process.poll() is None:
            self.server.process.kill()
            self.server.stop()

    def test_commands(self):
        ran = 0
        for block in blocks(read("README.md")):
            if any("build/plain" in command for command, _ in block) != PLAINTEXT:
                continue
            if not STORE and any("tlsmsg-store" in command for command, _ in block):
                continue
            for command, output in block:
                if not command.startswith(NOT_RUN):
                    with self.subTest(command=command):
                        self.step(command, output)
                    ran += 1
        self.end_server()
        self.assertGreater(ran, 0)

    def step(self, command, output):
        if re.match(r"build/(plain/)?tlsmsg-server ?", command):
            self.end_server()
            self.server = Server(command, self.folder)
            self.shown = output
            self.assertTrue(self.server.ready.wait(SECONDS), "the server says nothing")
            self.assertEqual(self.server.lines[:1], ["等待客户端连接..."])
            return
        typed = "".join(line.removeprefix(PROMPT) + "\n" for line in output
                        if line.startswith(PROMPT)) or "hello\nexit\n"
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, input=typed,
                              capture_output=True, timeout=SECONDS, encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        if output:
            wanted = "".join(PROMPT if line.startswith(PROMPT) else line + "\n" for line in output)
            self.assertEqual(done.stdout, wanted)

    def end_server(self):
        """Ends the running server; its transcript begins with what the README shows of it."""
        if self.server is None:
            return
        code, lines = self.server.stop()
        self.server = None
        self.assertEqual(code, 0)
        port = re.compile(r"(\('127\.0\.0\.1', )\d+\)")
        self.assertEqual([port.sub(r"\1PORT)", line) for line in lines[:len(self.shown)]],
                         [port.sub(r"\1PORT)", line) for line in self.shown])


class Shape(unittest.TestCase):
    def test_length(self):
        """What a newcomer reads at one sitting; more belongs in docs."""
        self.assertLess(len(read("README.md").splitlines()), 150)


class NotRun(unittest.TestCase):
    """Of the commands that are not run, at least the names are right."""

    def test_names(self):
        presets = {one["name"] for one in json.loads(read("CMakePresets.json"))["configurePresets"]
                   if not one.get("hidden")}
        options = set(re.findall(r"^option\((\w+)", read("CMakeLists.txt"), re.M))
        for command in commands(read("README.md")):
            self.assertLessEqual(set(re.findall(r"--preset (\w+)", command)), presets)
            self.assertLessEqual(set(re.findall(r"-D(TLSMSG_\w+)=", command)), options)
            script = re.match(r"(?:\./)?(scripts/\S+)", command)
            if script:
                self.assertTrue(os.access(os.path.join(ROOT, script.group(1)), os.X_OK), command)

    def test_links(self):
        documents = ["README.md", *glob.glob("docs/*.md", root_dir=ROOT),
                     *glob.glob("docs/zh/*.md", root_dir=ROOT)]
        self.assertGreater(len(documents), 10)
        for name in documents:
            for link in re.findall(r"\]\(([^):#]+)[^):]*\)", read(name)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(name), link)),
                                f"{name}: {link}")


class Chinese(unittest.TestCase):
    """Each Chinese document has the headings, commands and tables of the English one."""

    PAIRS = ((("README.md",), ("docs", "README.zh-CN.md")),
             (("docs", "install.md"), ("docs", "zh", "install.md")),
             (("docs", "operations.md"), ("docs", "zh", "operations.md")))

    def pairs(self):
        for english, chinese in self.PAIRS:
            with self.subTest(chinese[-1]):
                yield read(*english), read(*chinese)

    def test_headings(self):
        for pair in self.pairs():
            levels = [re.findall(r"^(#+) ", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
                      for text in pair]
            self.assertEqual(*levels)

    def test_commands(self):
        for english, chinese in self.pairs():
            self.assertEqual(blocks(english), blocks(chinese))
            self.assertEqual(*(re.findall(r"^```(?:sh|conf)$.*?^```$", text, re.M | re.S)
                               for text in (english, chinese)))

    def test_tables(self):
        """Whatever is in code or digits in the first cell of a row."""
        for pair in self.pairs():
            english, chinese = ([re.findall(r"`[^`]+`|\d", cell)
                                 for cell in re.findall(r"^\| (.*?[^\\]|\d) \|", text, re.M)]
                                for text in pair)
            self.assertEqual(english, chinese)
            self.assertGreater(len(english), 5)

    def test_named_in_prose(self):
        """Options, files and units that one names, the other names."""
        for pair in self.pairs():
            english, chinese = (sorted(set(re.findall(r"`(--?[a-z][a-z-]*|[A-Z]\w+=)", text)))
                                for text in pair)
            self.assertEqual(english, chinese)

    def test_address(self):
        """One word for the reader, and it is not the formal one."""
        for _, chinese in self.pairs():
            self.assertNotIn("您", chinese)

    def test_promises(self):
        """The table of tlsmsg(7), row by row."""
        manual = read("docs", "man", "tlsmsg.7").split(".Sh PROMISES")[1].split(".El")[0]
        rows = re.findall(r"^\.It ", manual, re.M)
        table = re.findall(r"^\| .* \|$", read("docs", "zh", "promises.md"), re.M)
        self.assertEqual(len(table), len(rows))


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
