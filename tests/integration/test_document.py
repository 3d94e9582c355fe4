#!/usr/bin/env python3
"""The plaintext build holds the document's conversation, byte for byte.

Both programs' stdout, the bytes on the wire in both directions, and stderr, which stays empty.
test_document_pairing.py does the same against the document's own programs; the document's defects
are test_document_defects.py's.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import network
import texts
from document_cases import CASES, LONG_CASES, LONG_LINES, Case, conversation
from document_test import DocumentTest
from harness import Terminal

GOLDEN_CLIENT = (
    "请输入消息（输入 'exit' 退出）: 收到回应：你好，我已收到你的消息：hello\n"
    "请输入消息（输入 'exit' 退出）: 收到回应：你好，我已收到你的消息：你好\n"
    "请输入消息（输入 'exit' 退出）: ").encode()
GOLDEN_SERVER = (
    "等待客户端连接...\n"
    "已连接客户端：('127.0.0.1', {port})\n"
    "收到消息：hello\n"
    "收到消息：你好\n"
    "收到消息：exit\n")


class Conversation(DocumentTest):
    def test_golden(self):
        case = Case("golden", (b"hello\n", "你好\n".encode(), b"exit\n"))
        server, client, recorder = self.converse(case)
        to_server, to_client = recorder.finish()
        self.assertEqual(client.stdout.bytes(), GOLDEN_CLIENT)
        self.assertEqual(server.stdout.bytes(),
                         GOLDEN_SERVER.format(port=recorder.upstream_port).encode())
        self.assertEqual(to_server, "hello你好exit".encode())
        self.assertEqual(to_client, "你好，我已收到你的消息：hello你好，我已收到你的消息：你好"
                                    "你好，我已收到你的消息：exit".encode())

    def test_cases(self):
        for case in (*CASES, *LONG_CASES):
            with self.subTest(case.name):
                golden = conversation(case)
                server, client, recorder = self.converse(case)
                to_server, to_client = recorder.finish()
                self.assertEqual(client.stdout.bytes(), golden.client)
                self.assertEqual(server.stdout.bytes(), golden.server(recorder.upstream_port))
                self.assertEqual(to_server, golden.to_server)
                self.assertEqual(to_client, golden.to_client)

    def test_several_lines_beyond_1024(self):
        golden = conversation(LONG_LINES)
        server, client, recorder = self.converse(LONG_LINES)
        to_server, to_client = recorder.finish()
        self.assertEqual(to_server, golden.to_server)
        self.assertEqual(to_client.replace(texts.REPLY, b""), golden.to_server)
        shown = client.stdout.bytes().replace(texts.prompt(), b"")
        shown = shown.replace(texts.shown_reply(b"").rstrip(b"\n"), b"").replace(b"\n", b"")
        self.assertTrue(to_client.startswith(shown), "the shown replies are not those received")
        said = server.stdout.bytes().split(b"\n", 2)[2]
        said = said.replace(texts.message(b"").rstrip(b"\n"), b"").replace(b"\n", b"")
        self.assertEqual(said, golden.to_server)

    def test_english(self):
        server, port = self.server_on_fixed_port("--lang", "en")
        client = self.run_client("--lang", "en", f"127.0.0.1:{port}", stdin=b"hello\nexit\n")
        server.finish(0)
        self.assertRegex(server.stdout.bytes(), (
            rb"\AWaiting for a client...\nClient connected: \('127.0.0.1', \d+\)\n"
            rb"Message received: hello\nMessage received: exit\n\Z"))
        self.assertEqual(client.stdout.bytes(), (
            "Enter a message ('exit' to leave): Reply received: 你好，我已收到你的消息：hello\n"
            "Enter a message ('exit' to leave): ").encode())

    def test_message_option(self):
        server = self.server()
        client = self.run_client("-m", "one", "--message", "两", f"127.0.0.1:{server.port}")
        self.assertEqual(client.stdout.bytes(), texts.shown_reply(texts.reply(b"one"))
                         + texts.shown_reply(texts.reply("两".encode())))
        server.finish(0)

    def test_quiet_client(self):
        server = self.server()
        client = self.run_client("-q", str(server.port), stdin=b"one\nexit\n")
        self.assertEqual(client.stdout.bytes(), texts.reply(b"one") + b"\n")
        server.finish(0)


class Server(DocumentTest):
    """The server against plain sockets, where each byte and each end is in the test's hands."""

    def test_one_receive_is_one_message(self):
        rows = (
            ("two sends read apart", [b"one", b"two"], [b"one", b"two"]),
            ("line ends are bytes like others", [b"a\nb\n"], [b"a\nb\n"]),
            ("1024 bytes", [b"x" * 1024], [b"x" * 1024]),
            ("1025 bytes", [b"x" * 1025], [b"x" * 1024, b"x"]),
            ("4096 bytes", [b"x" * 4096], [b"x" * 1024] * 4),
        )
        for name, sends, messages in rows:
            with self.subTest(name):
                server = self.server()
                sock = self.connected_peer(server.port)
                expected = b"".join(map(texts.reply, messages))
                got = b""
                for data in sends:
                    sock.sendall(data)
                    kernel.wait_read_by_peer(sock)
                sock.shutdown(socket.SHUT_WR)
                got += network.receive_all(sock)
                server.finish(0)
                self.assertEqual(got, expected)
                self.assertEqual(server.stdout.bytes(),
                                 texts.waiting() + texts.connected(sock.getsockname()[1])
                                 + b"".join(map(texts.message, messages)))

    def test_receive_size_option(self):
        server = self.server("--recv-size", "10")
        sock = self.connected_peer(server.port)
        sock.sendall(b"0123456789abcde")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(sock),
                         texts.reply(b"0123456789") + texts.reply(b"abcde"))
        server.finish(0)

    def test_reply_option(self):
        server = self.server("--reply", "<%s \\n {message} {x}>")
        sock = self.connected_peer(server.port)
        sock.sendall(b"{message}")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(sock), b"<%s \\n {message} {x}>")
        server.finish(0)

    def test_no_message_at_all(self):
        server, port = self.server_on_fixed_port()
        sock = self.connected_peer(port)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(sock), b"")
        server.finish(0)
        self.assertEqual(server.stdout.bytes(),
                         texts.waiting() + texts.connected(sock.getsockname()[1]))
        self.assert_quiet(server)

    def test_ipv6_peer_is_shown_with_flow_and_scope(self):
        self.need_ipv6()
        server = self.server(listen=("[::1]:0",))
        self.assertEqual(server.addresses[0][0], "[::1]")
        with network.connect(server.port, "::1") as sock:
            port = sock.getsockname()[1]
        server.finish(0)
        self.assertEqual(server.stdout.bytes(),
                         texts.waiting() + f"已连接客户端：('::1', {port}, 0, 0)\n".encode())

    def test_accepts_one_client_by_default(self):
        server = self.server()
        with self.connected_peer(server.port) as sock:
            kernel.wait_not_listening(server.port)
            with self.assertRaises(ConnectionRefusedError):
                network.connect(server.port)
            sock.sendall(b"still here")
            self.assertEqual(network.receive_exactly(sock, 46), texts.reply(b"still here"))
        server.finish(0)

    def test_accept_option_serves_at_once(self):
        server = self.server("--accept", "3")
        socks = [self.connected_peer(server.port) for _ in range(3)]
        for number in (2, 0, 1):
            socks[number].sendall(b"%d" % number)
            self.assertEqual(network.receive_exactly(socks[number], 37),
                             texts.reply(b"%d" % number))
        for sock in socks:
            sock.close()
        server.finish(0)

    def test_message_is_out_before_its_reply(self):
        server = self.server(stdout=self.path("transcript"))
        sock = self.connected_peer(server.port)
        for number in range(100):
            message = b"number %03d" % number
            sock.sendall(message)
            network.receive_exactly(sock, 46)
            self.assertTrue(server.transcript().endswith(texts.message(message)))
        sock.close()
        server.finish(0)

    def test_json_transcript(self):
        server = self.server("--format", "json")
        sock = self.connected_peer(server.port)
        sock.sendall(b"a\"\n")
        sock.shutdown(socket.SHUT_WR)
        network.receive_all(sock)
        server.finish(0)
        lines = server.stdout.bytes().decode().splitlines()
        peer = f"127.0.0.1:{sock.getsockname()[1]}"
        time_ = r'\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",'
        for line, rest in zip(lines, (
                rf'"event":"listening","address":"127\.0\.0\.1:{server.port}"\}}',
                rf'"event":"connected","connection":1,"peer":"{peer}"\}}',
                rf'"event":"message","connection":1,"peer":"{peer}","bytes":3,"message":"a\\"\\n"\}}',
                r'"event":"closed","connection":1,"how":"clean","messages":1,'
                r'"seconds":\d+(\.\d{1,3})?\}'), strict=True):
            self.assertRegex(line, rf"\A{time_}{rest}\Z")


class OnATerminal(DocumentTest):
    """Control characters: raw to a file or pipe (see the cases above), escaped on a terminal."""

    MESSAGE = "红\x1b[31m\x07\x7f \u0085\u2028\u202e\t\r|\\x41".encode()
    ESCAPED = "红\\x1b[31m\\x07\\x7f \\u0085\\u2028\\u202e\\t\\r|\\x41".encode()

    def on_terminal(self, start):
        terminal = Terminal()
        try:
            running = start(terminal.slave)
        finally:
            terminal.close_slave()
        return running, terminal.output

    def test_server(self):
        server, screen = self.on_terminal(lambda slave: self.server(stdout=slave))
        sock = self.connected_peer(server.port)
        sock.sendall(self.MESSAGE + b"\nline")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(network.receive_all(sock), texts.reply(self.MESSAGE + b"\nline"))
        server.finish(0)
        self.assertEqual(texts.lower_escapes(screen.finish()),
                         texts.waiting() + texts.connected(sock.getsockname()[1])
                         + texts.message(self.ESCAPED + b"\\nline"))

    def test_client(self):
        peer = self.peer(lambda sock: (sock.sendall(sock.recv(1024)), sock.recv(1024)))
        client, screen = self.on_terminal(
            lambda slave: self.start_client(str(peer.port), stdout=slave))
        client.write(self.MESSAGE + b"\n")
        client.close_stdin()
        client.finish(0)
        peer.finish()
        self.assertEqual(texts.lower_escapes(screen.finish()), texts.prompt()
                         + texts.shown_reply(self.ESCAPED) + texts.prompt())


if __name__ == "__main__":
    harness.main(plaintext=True)
