#!/usr/bin/env python3
"""A program behind the server: takes each message from its JSON transcript, and acts on it.

    tlsmsg-server ... --format json | handle.py

A line is here before its reply has left, so a sender that has a reply knows that this program was
given the message. The pipe must keep up: while it is full, the server holds its replies back.
"""

import json
import sys


def act(event):
    """What is to be done with a message: here it is printed with its sender."""
    sender = event.get("identity") or event["peer"]
    print(f"{event['time']} {sender}: {event['message']}", flush=True)


def main():
    for line in sys.stdin:
        event = json.loads(line)
        if event["event"] == "message":
            act(event)


if __name__ == "__main__":
    main()
