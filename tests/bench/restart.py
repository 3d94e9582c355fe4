#!/usr/bin/env python3
"""How long real clients wait for a server that is killed and started again, on PostgreSQL.

Each client has a message answered, then one unanswered when the server is killed. Prints when the new
server listened, when half and all of the clients had their replies, what the server needed, and what
the store has. Needs PostgreSQL, and memory for the clients' processes (about 4 MB each).
"""

import argparse
import os
import resource
import selectors
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import postgresql
from certificates import default_certificates
from network import unused_port
from processes import kill_all
from settings import program

LIMIT = 300


class Clients:
    def __init__(self, count, port):
        words = [*program("tlsmsg-client"), "--ca", default_certificates().ca, "-q", "--retry", "240",
                 "--timeout", "240"]
        self.selector = selectors.DefaultSelector()
        self.processes = []
        for number in range(count):
            process = subprocess.Popen([*words, "--producer", f"c{number}", str(port)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
            os.set_blocking(process.stdout.fileno(), False)
            self.selector.register(process.stdout, selectors.EVENT_READ)
            self.processes.append(process)

    def say(self, text):
        for process in self.processes:
            process.stdin.write(text)
            process.stdin.flush()

    def replies(self, since):
        """When each client's next reply came, in order."""
        times = []
        while len(times) < len(self.processes):
            ready = self.selector.select(LIMIT)
            if not ready:
                raise SystemExit(f"restart.py: {len(times)} of {len(self.processes)} replies in time")
            for key, _ in ready:
                data = key.fileobj.read()
                if not data:
                    raise SystemExit("restart.py: a client has ended")
                times += [time.monotonic() - since] * data.count(b"\n")
        return times

    def end(self):
        for process in self.processes:
            process.stdin.close()
        return [process.wait(LIMIT) for process in self.processes]

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()


def serve(cluster, port):
    server = harness.Server("--store", cluster.url("postgres"), "--store-timeout", "240", "--quiet",
                            listen=(f"127.0.0.1:{port}",))
    server.stderr.wait_for(b"listening on", limit=60)
    return server


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        user, system = file.read().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(cluster, count):
    port = unused_port()
    server = serve(cluster, port)
    clients = Clients(count, port)
    try:
        clients.say(b"one\n")
        clients.replies(time.monotonic())
        # Nothing is answered while the engine stands still.
        cluster.signal_all(signal.SIGSTOP)
        clients.say(b"two\n")
        server.signal(signal.SIGKILL)
        server.finish(-signal.SIGKILL)
        cluster.signal_all(signal.SIGCONT)
        killed = time.monotonic()
        server = serve(cluster, port)
        listens = time.monotonic() - killed
        times = clients.replies(killed)
        used = cpu_seconds(server.pid)
        if any(clients.end()):
            raise SystemExit("restart.py: a client has failed")
        rows, distinct = cluster.query(
            "postgres", "SELECT count(*) AS rows, count(DISTINCT (producer, seq)) AS distinct_rows"
            " FROM message")[0]
        print(f"{count} clients: listening after {listens:.2f} s, half answered after "
              f"{times[count // 2]:.2f} s, all after {times[-1]:.2f} s; {used:.2f} s of CPU, "
              f"{1000 * used / count:.2f} ms a client; {rows} messages stored, {distinct} different",
              flush=True)
        return rows == distinct == 2 * count
    finally:
        clients.kill()
        server.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    files = 2 * arguments.clients + 200
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, hard)))
    sound = True
    try:
        for _ in range(arguments.rounds):
            cluster = postgresql.Cluster()
            try:
                sound &= measure(cluster, arguments.clients)
            finally:
                cluster.remove()
    finally:
        kill_all()
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
