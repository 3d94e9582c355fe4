#!/usr/bin/env python3
"""Conversations on the document's fixed port, one at a time, in a network namespace of their own.

Run as `unshare -n namespace_pair.py`: reads a list of orders as JSON (see converse() in
test_document_pairing.py) and prints for each a line of JSON: what both programs gave and what went
over the wire. A packet socket on lo records the wire, since the port leaves no room for a proxy.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kernel
from processes import Program

PORT = 12345
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
ETH_P_IP, ETHERNET, TCP, SYN = 0x0800, 14, 6, 2


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack_from("16sh", request)[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def start_capture():
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    capture.bind(("lo", ETH_P_IP))
    capture.setblocking(False)
    return capture


def segments(capture):
    """(to the server?, client's port, sequence number, flags, payload) of each TCP segment."""
    while True:
        try:
            frame = capture.recv(1 << 17)
        except BlockingIOError:
            return
        packet = frame[ETHERNET:]
        if packet[9] != TCP:
            continue
        packet = packet[:struct.unpack_from("!H", packet, 2)[0]]
        segment = packet[(packet[0] & 15) * 4:]
        source, target, sequence, _, lengths_flags = struct.unpack_from("!HHIIH", segment)
        payload = segment[(lengths_flags >> 12) * 4:]
        to_server = target == PORT
        yield to_server, source if to_server else target, sequence, lengths_flags & 0x3F, payload


def reassemble(capture):
    """Both directions' bytes of the one connection that began, (to the server, to the client)."""
    client, first, data = None, {}, {True: bytearray(), False: bytearray()}
    for to_server, port, sequence, flags, payload in segments(capture):
        if flags & SYN:
            client = client or port
            if port == client:
                first[to_server] = sequence + 1
        if port != client or not payload:
            continue
        at = (sequence - first[to_server]) % (1 << 32)
        if at > len(data[to_server]):
            raise AssertionError("the capture has a hole")
        data[to_server][at:at + len(payload)] = payload
    return bytes(data[True]), bytes(data[False])


def converse(order):
    prompt = bytes.fromhex(order["prompt"])
    running = []
    try:
        server = Program(order["server"], name="server")
        running.append(server)
        kernel.wait_until(lambda: kernel.is_listening(PORT), "the server listens")
        client = Program(order["client"], stdin=subprocess.PIPE, name="client")
        running.append(client)
        client.stdout.wait_for(prompt)
        for number, chunk in enumerate(order["chunks"]):
            if number:
                client.stdout.wait_for(prompt, order["prompts"][number - 1])
                if order["long"]:  # its first reply may be shown before the server has read all
                    kernel.wait_read_by_server(PORT)
            client.write(bytes.fromhex(chunk))
        client.close_stdin()
        return {"client_status": client.wait(), "server_status": server.wait(),
                "client": client.stdout.bytes().hex(), "server": server.stdout.bytes().hex(),
                "client_error": client.stderr.bytes().hex(),
                "server_error": server.stderr.bytes().hex()}
    finally:
        for program in running:
            program.kill()


def main():
    bring_up_loopback()
    for order in json.load(sys.stdin):
        with start_capture() as capture:
            result = converse(order)
            to_server, to_client = reassemble(capture)
        print(json.dumps({**result, "to_server": to_server.hex(), "to_client": to_client.hex()}),
              flush=True)


if __name__ == "__main__":
    main()
