"""PostgreSQL for the tests: clusters of their own in folders below /tmp, without a port where a
socket will do, run by a user other than root, since the engine refuses that one."""

import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from network import connect, unused_port
from settings import scaled

USERS = ("postgres", "nobody")  # when the tests run as root
LIMIT = 60


def programs():
    """The folder of the newest server that is installed; None: there is none."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not found:
        path = shutil.which("initdb")
        return os.path.dirname(path) if path else None
    return os.path.dirname(max(found, key=lambda name: float(name.split("/")[4])))


def need():
    if programs() is None:
        raise unittest.SkipTest(
            "PostgreSQL is not installed (scripts/setup.sh --peers installs it)")


def _user():
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise unittest.SkipTest("PostgreSQL doesn't run as root, and there is no other user here")


def _as_user(words, **how):
    """Popen, as the user that the engine runs as, without what would lead it elsewhere."""
    user = _user()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {"LC_ALL": "C.UTF-8"}
    if user is not None:
        how |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.Popen(words, env=environment | how.pop("env", {}), cwd="/", **how)


def _run(words, **how):
    process = _as_user(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, **how)
    try:
        said, _ = process.communicate(timeout=scaled(LIMIT))
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise AssertionError(f"{words} ended with {process.returncode}: {said.decode()}")
    return said.decode()


def _state(pid):
    """The letter of /proc; X: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class Cluster:
    """A server with its data. The port is a name alone where no address is listened on."""

    def __init__(self, settings=None, *, copy_of=None, address=""):
        need()
        self.bin = programs()
        self.folder = tempfile.mkdtemp(prefix="tlsmsg-pg-")
        self.data = os.path.join(self.folder, "data")
        self.address, self.process, self.settings, self.databases = address, None, settings, 0
        self.port = unused_port() if address else 5432
        user = _user()
        # A server under test that root started has given up root's rights.
        os.chmod(self.folder, 0o755)
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        try:
            if copy_of is None:
                _run([self._program("initdb"), "-D", self.data, "-U", "owner", "-A", "trust", "-N",
                      "-E", "UTF8", "--locale=C.UTF-8"])
            else:
                _run([self._program("pg_basebackup"), "-D", self.data, "-R", "-X", "stream", "-c",
                      "fast", "-N", "-d", copy_of.conninfo("postgres") +
                      " application_name=" + os.path.basename(self.folder)])
            self.start(settings)
        except BaseException:
            self.remove()
            raise

    @property
    def name(self):
        """As a standby calls itself."""
        return os.path.basename(self.folder)

    def _program(self, name):
        return os.path.join(self.bin, name)

    def start(self, settings=None):
        """Starts it; ready when this returns. settings stay for later starts."""
        values = {"listen_addresses": self.address, "port": self.port,
                  "unix_socket_directories": self.folder, "max_connections": 60,
                  "shared_buffers": "16MB", "wal_sender_timeout": "0", "autovacuum": "off",
                  "log_min_messages": "warning", "wal_keep_size": "256MB"}
        if settings is not None:
            self.settings = settings
        with open(os.path.join(self.data, "postgresql.conf"), "w", encoding="ascii") as conf:
            for name, value in (values | (self.settings or {})).items():
                conf.write(f"{name} = '{value}'\n")
        words = [self._program("postgres"), "-D", self.data]
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = _as_user(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + scaled(LIMIT)
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("the server doesn't start: " + self.log()[-2000:])
            time.sleep(0.05)

    def answers(self):
        ready = _as_user([self._program("pg_isready"), "-q", "-h", self.folder, "-p",
                          str(self.port)], stdin=subprocess.DEVNULL)
        return ready.wait(scaled(LIMIT)) == 0

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def conninfo(self, database):
        return f"host={self.folder} port={self.port} user=owner dbname={database}"

    def url(self, database, user="owner", **parameters):
        """What --store takes."""
        words = {"host": self.address or self.folder, "port": self.port} | parameters
        return f"postgresql://{user}@/{database}?" + "&".join(f"{k}={v}" for k, v in words.items())

    def database(self):
        """A new one, by name."""
        self.databases += 1
        name = f"test{self.databases}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return name

    def execute(self, database, *statements):
        """Each a transaction of its own; what the last one says, as text."""
        words = [self._program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d",
                 self.conninfo(database)]
        for statement in statements:
            words += ["-c", statement]
        return _run(words, env={"PGOPTIONS": "-c search_path=tlsmsg,public"})

    def query(self, database, sql):
        """Rows as tuples: numbers, texts, None, and bytes for bytea."""
        said = self.execute(database, f"SELECT coalesce(json_agg(q), '[]') FROM ({sql}) AS q")
        return [tuple(bytes.fromhex(value[2:]) if isinstance(value, str) and value[:2] == "\\x"
                      else value for value in row.values()) for row in json.loads(said)]

    def setting(self, name):
        return self.execute("postgres", f"SHOW {name}").strip()

    def session(self, database):
        return Session(self, database)

    def set(self, **settings):
        """Changes settings of the running server."""
        for name, value in settings.items():
            self.execute("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("postgres", "SELECT pg_reload_conf()")
        end = time.monotonic() + scaled(LIMIT)
        while any(self.setting(name) != value for name, value in settings.items()):
            if time.monotonic() > end:
                raise AssertionError(f"the server doesn't take {settings}")

    def promote(self):
        self.execute("postgres", "SELECT pg_promote(true, 60)")

    def pids(self):
        """The server and all its processes."""
        def children(pid):
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return [int(word) for word in file.read().split()]
        return [self.process.pid, *children(self.process.pid)]

    def signal_all(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """All of it at once, as when the machine's power goes: also the process that it is just
        forking, since one that is left holds on to the memory that the next start wants."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)
        self._wait_for(lambda: _state(self.process.pid) in "TZ", "its stop")
        pids = self.pids()
        self.signal_all(signal.SIGKILL)
        self.process.wait(scaled(LIMIT))
        self._wait_for(lambda: all(_state(pid) in "XZ" for pid in pids), "the end of all of it")

    @staticmethod
    def _wait_for(condition, what):
        end = time.monotonic() + scaled(LIMIT)
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not in time: {what}")
            time.sleep(0.005)

    def stop(self):
        """In order, though without waiting for clients."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(scaled(LIMIT))

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Pooler:
    """PgBouncer before a cluster's database, on a port of its own."""

    def __init__(self, program, cluster, mode):
        self.port, self.bin = unused_port(), cluster.bin
        path = os.path.join(cluster.folder, f"pgbouncer-{mode}.ini")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"[databases]\npostgres = user=owner host={cluster.folder} port={cluster.port}\n"
                       f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
                       f"unix_socket_dir =\nauth_type = any\npool_mode = {mode}\n")
        os.chmod(path, 0o644)
        self.process = _as_user([program, "-q", path], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        end = time.monotonic() + scaled(LIMIT)
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PgBouncer doesn't start: {self.end()}")
            time.sleep(0.05)

    def answers(self):
        try:
            connect(self.port).close()
            return True
        except OSError:
            return False

    def url(self, database):
        return f"postgresql://owner@127.0.0.1:{self.port}/{database}"

    def execute(self, database, statement):
        """In one of its sessions."""
        return _run([os.path.join(self.bin, "psql"), "-XqAt", "-d", self.url(database), "-c",
                     statement])

    def end(self):
        """Returns what it said."""
        self.process.kill()
        return self.process.communicate()[1].decode()


class Session:
    """A psql that stays, so that a transaction can be held open."""

    def __init__(self, cluster, database):
        self.process = _as_user(
            [os.path.join(cluster.bin, "psql"), "-XqAt", "-d", cluster.conninfo(database)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PGOPTIONS": "-c search_path=tlsmsg,public"})

    def do(self, sql):
        """Runs it and waits until it is done; the lines that it said."""
        self.process.stdin.write(f"{sql};\n\\echo done-here\n".encode())
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) not in (b"done-here\n", b""):
            lines.append(line.decode().rstrip("\n"))
        return lines

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
