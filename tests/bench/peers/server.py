"""The document's reply with Python's asyncio and ssl, both from the standard library.

asyncio hands over a stream, so a line is a message; the replies to lines that came together leave in
one write. Usage: python3 server.py CERT KEY; the port is told on stderr.
"""

import asyncio
import ssl
import sys

PREFIX = "你好，我已收到你的消息：".encode()


class Conversation(asyncio.Protocol):
    """One connection: holds the beginning of a line whose end has not come yet."""

    def __init__(self):
        self.transport = None
        self.tail = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        lines = (self.tail + data).split(b"\n")
        self.tail = lines.pop()
        if lines:
            self.transport.write(b"".join(PREFIX + line + b"\n" for line in lines))


async def main(cert, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        Conversation, "127.0.0.1", 0, ssl=context, backlog=4096
    )
    port = server.sockets[0].getsockname()[1]
    print(f"bench-python: listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
