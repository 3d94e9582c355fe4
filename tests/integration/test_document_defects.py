#!/usr/bin/env python3
"""The document's own defects, mended in the plaintext build: the server's, then the client's."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import network
import texts
from document_test import DocumentTest
from settings import scaled


class ServerDefects(DocumentTest):
    """The rows of the table of the document's defects that the server mends."""

    def test_reset_is_the_end_of_the_conversation(self):
        for name, last in (("after exit", b"exit"), ("after a message", b"hello")):
            with self.subTest(name):
                server, port = self.server_on_fixed_port()
                sock = self.connected_peer(port)
                sock.sendall(last)
                kernel.wait_read_by_peer(sock)
                network.reset(sock)
                server.finish(0)
                self.assertTrue(server.stdout.bytes().endswith(texts.message(last)))
                self.assert_quiet(server)

    def test_reset_before_any_message(self):
        server, port = self.server_on_fixed_port()
        network.reset(self.connected_peer(port))
        server.finish(0)
        self.assert_quiet(server)

    def test_character_split_by_the_edge(self):
        for char in ("é", "中", "😀"):
            encoded = char.encode()
            for cut in range(1, len(encoded)):
                with self.subTest(char=char, cut=cut):
                    filler = b"a" * (1024 - cut)
                    server = self.server()
                    sock = self.connected_peer(server.port)
                    sock.sendall(filler + encoded)
                    sock.shutdown(socket.SHUT_WR)
                    self.assertEqual(network.receive_all(sock),
                                     texts.reply(filler) + texts.reply(encoded))
                    server.finish(0)
                    self.assertTrue(server.stdout.bytes().endswith(
                        texts.message(filler) + texts.message(encoded)))

    def test_receive_that_holds_only_a_tail_is_no_message(self):
        server = self.server()
        sock = self.connected_peer(server.port)
        for byte in "中😀".encode():
            sock.sendall(bytes([byte]))
            kernel.wait_read_by_peer(sock)
        sock.sendall(b"!")
        sock.shutdown(socket.SHUT_WR)
        got = network.receive_all(sock)
        server.finish(0)
        expected = ["中".encode(), "😀".encode(), b"!"]
        self.assertEqual(got, b"".join(map(texts.reply, expected)))
        self.assertTrue(server.stdout.bytes().endswith(b"".join(map(texts.message, expected))))

    INVALID = (
        ("a lone continuation byte", b"\x80"),
        ("never a byte of UTF-8", b"ok\xffok"),
        ("overlong slash", b"\xc0\xaf"),
        ("overlong in three", b"\xe0\x80\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        ("a start byte before ASCII", b"\xe4x"),
        ("Latin-1", b"caf\xe9 noir"),
    )

    def test_invalid_utf8_closes_that_conversation(self):
        for name, data in self.INVALID:
            with self.subTest(name):
                server, port = self.server_on_fixed_port()
                sock = self.connected_peer(port)
                sock.sendall(b"before")
                self.assertEqual(network.receive_exactly(sock, 42), texts.reply(b"before"))
                sock.sendall(data)
                self.assertEqual(network.receive_all(sock), b"", "answered or not closed in order")
                sock.close()  # the server need not wait for us
                server.finish(0)
                self.assertTrue(server.stdout.bytes().endswith(texts.message(b"before")))
                self.assert_one_line(server.stderr.bytes(), "", "utf-8")

    def test_earlier_messages_of_the_same_turn_are_answered(self):
        server = self.server()
        sock = self.connected_peer(server.port)
        sock.sendall(b"a" * 1024 + b"\xff")
        self.assertEqual(network.receive_all(sock), texts.reply(b"a" * 1024))
        sock.close()
        server.finish(0)

    def test_tail_incomplete_at_the_end(self):
        for tail in (b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x98"):
            with self.subTest(tail=tail):
                server, port = self.server_on_fixed_port()
                sock = self.connected_peer(port)
                sock.sendall(b"a" + tail)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(network.receive_all(sock), texts.reply(b"a"))
                server.finish(0)
                self.assertTrue(server.stdout.bytes().endswith(texts.message(b"a")))
                self.assert_one_line(server.stderr.bytes(), "", "utf-8")

    def test_server_that_serves_more_goes_on(self):
        server = self.server("--accept", "3")
        other = self.connected_peer(server.port)
        bad = self.connected_peer(server.port)
        bad.sendall(b"\xff")
        self.assertEqual(network.receive_all(bad), b"")
        bad.close()
        late = self.connected_peer(server.port)
        for sock in (other, late):
            sock.sendall(b"ok")
            self.assertEqual(network.receive_exactly(sock, 38), texts.reply(b"ok"))
            sock.close()
        server.finish(0)

    def test_port_is_free_again_at_once(self):
        server, port = self.server_on_fixed_port()
        sock = self.connected_peer(port)
        sock.sendall(b"\xff")  # makes the server close first, so that its side lingers
        self.assertEqual(network.receive_all(sock), b"")
        server.finish(0)
        sock.close()
        again = self.keep(harness.Server(listen=(f"127.0.0.1:{port}",)))
        again.stdout.wait_for(texts.waiting())
        again.stop(0)


class ClientDefects(DocumentTest):
    """The rows of the table of the document's defects that the client mends."""

    def answer_until_exit(self, sock):
        while (data := sock.recv(1024)) not in (b"", b"exit"):
            sock.sendall(texts.reply(data))
        return data

    def test_after_exit_half_closes_and_drains(self):
        outcome = []

        def handle(sock):
            self.answer_until_exit(sock)
            outcome.append(sock.recv(1024))  # the client's FIN, before its reply is sent
            sock.sendall(texts.reply(b"exit"))
            sock.shutdown(socket.SHUT_WR)
            outcome.append(kernel.wait_closed(sock))  # a client that was gone resets

        peer = self.peer(handle)
        client = self.run_client(str(peer.port), stdin=b"hello\nexit\n")
        peer.finish()
        self.assertEqual(outcome, [b"", 0])
        self.assertEqual(client.stdout.bytes(), texts.prompt()
                         + texts.shown_reply(texts.reply(b"hello")) + texts.prompt())
        self.assert_quiet(client)

    def test_drains_for_a_second_at_most(self):
        done = []

        def handle(sock):
            self.answer_until_exit(sock)
            while not done:
                time.sleep(0.01)  # holds the connection open

        peer = self.peer(handle)
        client = self.start_client(str(peer.port))
        client.write(b"exit\n")
        started = time.monotonic()
        client.finish(0, limit=4)
        took = time.monotonic() - started
        done.append(True)
        peer.finish()
        self.assertGreater(took, 0.5, "did not wait for the server at all")
        self.assertLess(took, scaled(3), "waited longer than a second")
        self.assert_quiet(client)

    def test_end_of_file_at_the_prompt(self):
        server, port = self.server_on_fixed_port()
        client = self.run_client(str(port), stdin=b"hello\n")
        server.finish(0)
        self.assertEqual(client.stdout.bytes(), texts.prompt()
                         + texts.shown_reply(texts.reply(b"hello")) + texts.prompt())
        self.assert_quiet(client)
        self.assert_quiet(server)

    def test_empty_line_sends_nothing(self):
        server = self.server()
        recorder = self.recorder(server.port)
        client = self.run_client(str(recorder.port), stdin=b"\n\nhello\n\nexit\n")
        server.finish(0)
        self.assertEqual(recorder.finish()[0], b"helloexit")
        self.assertEqual(client.stdout.bytes(), texts.prompt() * 3
                         + texts.shown_reply(texts.reply(b"hello")) + texts.prompt() * 2)
        self.assert_quiet(client)

    def test_reply_split_within_a_character(self):
        def handle(sock):
            sock.recv(1024)
            sock.sendall(b"a" * 1023 + "中".encode())  # cut by the client's own edge
            sock.recv(1024)  # its second line gets what was left
            self.answer_until_exit(sock)

        peer = self.peer(handle)
        client = self.start_client(str(peer.port))
        for count, line in enumerate((b"one\n", b"two\n", b"exit\n"), 1):
            client.stdout.wait_for(texts.prompt(), count)
            client.write(line)
        client.finish(0)
        peer.finish()
        self.assertEqual(client.stdout.bytes(),
                         texts.prompt() + texts.shown_reply(b"a" * 1023)
                         + texts.prompt() + texts.shown_reply("中".encode()) + texts.prompt())

    def test_receive_that_holds_only_a_tail_is_no_reply(self):
        def handle(sock):
            sock.recv(1024)
            for byte in "中".encode():
                sock.sendall(bytes([byte]))
                kernel.wait_read_by_peer(sock)
            self.answer_until_exit(sock)

        peer = self.peer(handle)
        client = self.start_client(str(peer.port))
        client.write(b"one\n")
        client.stdout.wait_for(texts.prompt(), 2)
        client.write(b"exit\n")
        client.finish(0)
        peer.finish()
        self.assertEqual(client.stdout.bytes(), texts.prompt()
                         + texts.shown_reply("中".encode()) + texts.prompt())

    def test_invalid_utf8_on_stdin(self):
        server = self.server()
        recorder = self.recorder(server.port)
        client = self.run_client(str(recorder.port), stdin=b"one\n\xff\xfe\ntwo\nexit\n", expect=1)
        server.finish(0)
        self.assertEqual(recorder.finish()[0], b"onetwoexit")
        self.assertEqual(client.stdout.bytes(), texts.prompt()
                         + texts.shown_reply(texts.reply(b"one")) + texts.prompt() * 2
                         + texts.shown_reply(texts.reply(b"two")) + texts.prompt())
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", "utf-8")

    def test_server_closes_first(self):
        rows = (
            ("instead of a reply", lambda sock: sock.recv(1024), texts.prompt()),
            ("by a reset", lambda sock: (sock.recv(1024), network.reset(sock)), texts.prompt()),
            ("after a reply", lambda sock: (sock.sendall(texts.reply(sock.recv(1024)))),
             texts.prompt() + texts.shown_reply(texts.reply(b"hello")) + texts.prompt()),
        )
        for name, handle, shown in rows:
            with self.subTest(name):
                peer = self.peer(handle)
                client = self.start_client(str(peer.port))
                client.write(b"hello\n")  # stdin stays open: the end must be noticed without it
                client.finish(6)
                peer.finish()
                self.assertEqual(client.stdout.bytes(), shown)
                self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", str(peer.port))

    def test_invalid_utf8_from_the_server(self):
        peer = self.peer(lambda sock: (sock.recv(1024), sock.sendall(b"\xff"), sock.recv(1024)))
        client = self.run_client(str(peer.port), stdin=b"hello\n", expect=6)
        peer.finish()
        self.assertEqual(client.stdout.bytes(), texts.prompt())
        self.assert_one_line(client.stderr.bytes(), "tlsmsg-client: ", "utf-8")

    def test_waits_for_a_slow_reply_without_a_timeout(self):
        def handle(sock):
            data = sock.recv(1024)
            time.sleep(1.5)  # longer than --timeout, which is for connecting alone
            sock.sendall(texts.reply(data))
            sock.recv(1024)

        peer = self.peer(handle)
        client = self.run_client("--timeout", "1", "-m", "hello", str(peer.port))
        peer.finish()
        self.assertEqual(client.stdout.bytes(), texts.shown_reply(texts.reply(b"hello")))


if __name__ == "__main__":
    harness.main(plaintext=True)
