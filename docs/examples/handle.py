#!/usr/bin/env python3
"""A program behind the server: reads each message from the JSON transcript, and acts on it.

    tlsmsg-server ... --format json | handle.py

A line arrives here before its reply leaves. So a sender that has its reply knows that this program
was given the message. Read fast enough: while the pipe is full, the server holds its replies back.
"""

import json
import sys


def act(event):
    """What to do with a message: here it is printed with its sender."""
    sender = event.get("identity") or event["peer"]
    print(f"{event['time']} {sender}: {event['message']}", flush=True)


def main():
    for line in sys.stdin:
        event = json.loads(line)
        if event["event"] == "message":
            act(event)


if __name__ == "__main__":
    main()
