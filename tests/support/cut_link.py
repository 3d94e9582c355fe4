#!/usr/bin/env python3
"""Peers that vanish: a server and clients in two network namespaces whose link is cut.

Run as `unshare -n cut_link.py SECONDS SERVER-COMMAND... -- CLIENT-COMMAND...` by root, who alone may
make the link. Prints, as JSON, after how many seconds from the cut each end had given up: the server
an idle client and one that it owed a reply, the client an idle server; null: not within four times
SECONDS.
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from namespace_pair import bring_up_loopback
from processes import Program

NEAR, FAR = "10.99.0.1", "10.99.0.2"


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class Link:
    """The far namespace lives as long as its process."""

    def __init__(self):
        self.far = subprocess.Popen(["unshare", "-n", "sleep", "120"])
        mine = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.far.pid}/ns/net") == mine:
            time.sleep(0.01)
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        run("ip", "link", "set", "far", "netns", str(self.far.pid))
        run("ip", "addr", "add", NEAR + "/24", "dev", "near")
        run("ip", "link", "set", "near", "up")
        run(*self.there(), "ip", "addr", "add", FAR + "/24", "dev", "far")
        run(*self.there(), "ip", "link", "set", "far", "up")

    def there(self):
        return ("nsenter", "-t", str(self.far.pid), "-n")

    def cut(self):
        run(*self.there(), "ip", "link", "set", "far", "down")
        return time.monotonic()

    def end(self):
        self.far.kill()
        self.far.wait()


def start(words, **options):
    program = Program(words, **options)
    program.write(b"hello\n")
    program.stdout.wait_for(b"hello")
    return program


def closed(server, connection):
    """Whether the server has told that it has closed this connection."""
    events = map(json.loads, server.stdout.bytes().split(b"\n")[:-1])
    return any(event["event"] == "closed" and event["connection"] == connection
               for event in events)


def watch(ends, since, limit):
    """After how many seconds each of them came true."""
    took = dict.fromkeys(ends)
    while None in took.values() and time.monotonic() - since < limit:
        for name, has_ended in ends.items():
            if took[name] is None and has_ended():
                took[name] = round(time.monotonic() - since, 2)
        time.sleep(0.02)
    return took


def play(server_words, client_words, limit):
    """Two clients, and what the ends say of each other's vanishing. The server owes the second one a
    reply: it is stopped while the message comes."""
    link, running = Link(), []
    try:
        server = Program([*server_words, "--format", "json", "--listen", NEAR + ":0"],
                         name="server")
        running.append(server)
        server.stderr.wait_for(b"listening on")
        port = server.stderr.bytes().split(b"\n")[0].rsplit(b":", 1)[1].decode()
        words = [*link.there(), *client_words, f"{NEAR}:{port}"]
        for name in ("idle", "owed"):
            running.append(start(words, stdin=subprocess.PIPE, name=name))
        _, idle, owed = running
        server.signal(signal.SIGSTOP)
        owed.write(b"more\n")
        time.sleep(0.3)
        since = link.cut()
        server.signal(signal.SIGCONT)
        return watch({"idle": lambda: closed(server, 1), "owed": lambda: closed(server, 2),
                      "client": lambda: idle.process.poll() is not None}, since, limit)
    finally:
        for program in running:
            program.kill()
        link.end()


def main():
    limit, words = 4 * float(sys.argv[1]), sys.argv[2:]
    at = words.index("--")
    bring_up_loopback()
    print(json.dumps(play(words[:at], words[at + 1:], limit)))


if __name__ == "__main__":
    main()
