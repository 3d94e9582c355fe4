#!/usr/bin/env python3
"""Turns the messages of a store into CSV (RFC 4180), for a spreadsheet or a database.

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
