#!/usr/bin/env python3
"""A store's messages as CSV (RFC 4180), with the columns that a table wants.

    tlsmsg-store export store.db | store-to-csv.py >messages.csv
"""

import csv
import json
import sys

COLUMNS = ("id", "time", "identity", "peer", "producer", "seq", "message")


def main():
    table = csv.writer(sys.stdout, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for line in sys.stdin:
        message = json.loads(line)
        table.writerow([message.get(column, "") for column in COLUMNS])


if __name__ == "__main__":
    main()
