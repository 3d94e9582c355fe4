#!/usr/bin/env python3
"""A database for bench.sh: starts PostgreSQL in folders of its own, writes its address to FILE and
removes all of it when it is ended. With --replicated there is a synchronous standby."""

import argparse
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support"))

import postgresql

# As it is shipped, but for what a server of this size would be given, and autovacuum as it is.
SETTINGS = {"shared_buffers": "128MB", "max_wal_size": "4GB", "autovacuum": "on"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicated", action="store_true")
    parser.add_argument("file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    clusters = []
    try:
        clusters.append(postgresql.Cluster(
            SETTINGS | ({"synchronous_standby_names": "*"} if options.replicated else {})))
        if options.replicated:
            clusters.append(postgresql.Cluster(SETTINGS, copy_of=clusters[0]))
        while options.replicated and not clusters[0].query(
                "postgres", "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
            time.sleep(0.1)
        with open(options.file + ".new", "w", encoding="ascii") as out:
            out.write(clusters[0].url("postgres") + "\n")
        os.rename(options.file + ".new", options.file)
        while True:
            signal.pause()
    finally:
        for cluster in clusters:
            cluster.remove()


if __name__ == "__main__":
    main()
