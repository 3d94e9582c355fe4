#!/usr/bin/env python3
"""A server that is cut off from its database, without a reset: packets are lost and nothing is told.

Run as `unshare -n cut_database.py SERVER-COMMAND... -- CLIENT-COMMAND...` by root, who alone may make
the links. The server and its client live in a network namespace of their own, with a link to the
primary and one to its synchronous standby. The first link is cut under a client that has messages on
the way, the standby promoted. Prints, as JSON, the client's exit status, after how many seconds from
the cut it was answered again, and how often the promoted database has each message.
"""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import postgresql
from cut_link import Link, run
from namespace_pair import bring_up_loopback
from network import unused_port
from processes import Program

HBA = "local all all trust\nlocal replication all trust\nhost all all 10.99.0.0/16 trust\n"
SECOND = ("10.99.1.1", "10.99.1.2")  # of the standby, as the server sees it
LINES = 40


def add_link(link):
    run("ip", "link", "add", "near2", "type", "veth", "peer", "name", "far2")
    run("ip", "link", "set", "far2", "netns", str(link.far.pid))
    run("ip", "addr", "add", SECOND[0] + "/24", "dev", "near2")
    run("ip", "link", "set", "near2", "up")
    run(*link.there(), "ip", "addr", "add", SECOND[1] + "/24", "dev", "far2")
    run(*link.there(), "ip", "link", "set", "far2", "up")
    run(*link.there(), "ip", "link", "set", "lo", "up")


def pair():
    """A primary and its synchronous standby, reached by the links."""
    primary = postgresql.Cluster({"synchronous_standby_names": "*"}, address="0.0.0.0")
    with open(os.path.join(primary.data, "pg_hba.conf"), "w", encoding="ascii") as file:
        file.write(HBA)
    standby = postgresql.Cluster({}, copy_of=primary, address="0.0.0.0")
    primary.execute("postgres", "SELECT pg_reload_conf()")
    standby.execute("postgres", "SELECT pg_reload_conf()")
    while not primary.query("postgres", "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
        time.sleep(0.05)
    return primary, standby


def converse(link, primary, standby, server_words, client_words):
    port = unused_port()
    store = primary.url("postgres", host=f"10.99.0.1,{SECOND[0]}",
                        port=f"{primary.port},{standby.port}")
    server = Program([*link.there(), *server_words, "--listen", f"127.0.0.1:{port}", "--store", store,
                      "--quiet"], name="server")
    try:
        server.stderr.wait_for(b"listening on", limit=30)
        client = Program([*link.there(), *client_words, "--retry", "120", "--timeout", "60",
                          f"127.0.0.1:{port}"], stdin=subprocess.PIPE, name="client")
        for i in range(LINES):
            if i == LINES // 2:
                client.stdout.wait_for(b"\n", LINES // 2, limit=30)
                cut = link.cut()
            client.write(b"line %d\n" % i)
            if i == LINES // 2:
                server.stderr.wait_for(b"the store is away", limit=60)
                standby.promote()
        client.close_stdin()
        client.stdout.wait_for(b"\n", LINES, limit=120)
        seconds = round(time.monotonic() - cut, 1)
        status = client.wait(30)
        rows = standby.query("postgres", "SELECT text FROM messages ORDER BY seq")
        return {"status": status, "seconds": seconds, "lines": [text for text, in rows],
                "log": server.stderr.bytes().decode()}
    finally:
        server.kill()


def main():
    at = sys.argv.index("--")
    bring_up_loopback()
    link = Link()
    clusters = ()
    try:
        add_link(link)
        clusters = pair()
        print(json.dumps(converse(link, *clusters, sys.argv[1:at], sys.argv[at + 1:])))
    finally:
        for cluster in clusters:
            cluster.remove()
        link.end()


if __name__ == "__main__":
    main()
