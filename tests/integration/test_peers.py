#!/usr/bin/env python3
"""Foreign TLS programs as clients of our server, and as servers for our client.

A tool that is not installed is a said skip. openssl s_client has test_policy.py to itself.
"""

import os
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import kernel
import network
import texts
from certificates import default_certificates
from harness import ProgramTest
from processes import Program
from settings import scaled

NODE_CLIENT = """
const [port, ca] = process.argv.slice(1);
const options = {port, host: '127.0.0.1', servername: 'localhost',
                 ca: require('fs').readFileSync(ca)};
const messages = ['hello', '你好', '再见'];
const socket = require('tls').connect(options, () => socket.write(messages[0]));
let waiting = '';
socket.setEncoding('utf8');
socket.on('data', (text) => {
    waiting += text;
    if (!waiting.endsWith('：' + messages[0])) return;
    console.log(waiting);
    waiting = '';
    messages.shift();
    if (messages.length) socket.write(messages[0]); else socket.end();
});
socket.on('close', (failed) => process.exit(failed ? 1 : 0));
"""

NODE_SERVER = """
const [cert, key] = process.argv.slice(1);
const read = require('fs').readFileSync;
const server = require('tls').createServer({cert: read(cert), key: read(key)}, (socket) => {
    socket.on('data', (data) => socket.write(Buffer.concat([Buffer.from('node: '), data])));
    socket.on('error', () => {});
});
server.listen(0, '127.0.0.1');
"""


class PeerTest(ProgramTest):
    @property
    def made(self):
        return default_certificates()

    def start(self, *words, stdin=subprocess.PIPE):
        return self.keep(Program(words, stdin=stdin))


class Clients(PeerTest):
    """Each talks to our server, verifying it, line by line."""

    def converse(self, server, *words, ends=True):
        """Lines, each after the reply to the one before; then end of file on the tool's stdin."""
        client = self.start(*words)
        for line in (b"hello\n", "你好\n".encode(), b"third line\n"):
            client.write(line)
            client.stdout.wait_for(texts.reply(line))
        client.close_stdin()
        if ends:
            client.finish(0)
        else:
            client.kill()
        server.wait_line(b'"event":"closed"')
        said = server.stdout.bytes().decode()
        self.assertEqual(said.count('"event":"message"'), 3)
        return said

    def json_server(self):
        return self.server("--format", "json")

    def test_gnutls_cli(self):
        tool, server = self.tool("gnutls-cli"), self.json_server()
        said = self.converse(server, tool, "--x509cafile", self.made.ca, "--sni-hostname",
                             "localhost", "--verify-hostname", "localhost", "-p",
                             str(server.port), "127.0.0.1")
        self.assertIn('"how":"clean"', said)

    def test_ncat(self):
        tool, server = self.tool("ncat"), self.json_server()
        self.converse(server, tool, "--ssl", "--ssl-verify", "--ssl-trustfile", self.made.ca,
                      "-4", "localhost", str(server.port), ends=False)

    def test_socat(self):
        tool, server = self.tool("socat"), self.json_server()
        self.converse(server, tool, "-t", "5", "STDIO",
                      f"OPENSSL:localhost:{server.port},pf=ip4,verify=1,cafile={self.made.ca}")

    def test_curl(self):
        """Nobody closes, so curl's own time limit ends it: 28 is right."""
        tool, server = self.tool("curl"), self.json_server()
        curl = self.start(tool, "--silent", "--http0.9", "--max-time", "2", "--cacert",
                          self.made.ca, f"https://127.0.0.1:{server.port}/",
                          stdin=subprocess.DEVNULL)
        curl.finish(28)
        self.assertTrue(curl.stdout.bytes().startswith(texts.REPLY + b"GET / HTTP/1.1\r\n"))
        server.wait_line(b'"message":"GET / HTTP/1.1\\r\\n')

    def test_python(self):
        server = self.json_server()
        context = ssl.create_default_context(cafile=self.made.ca)
        with socket.create_connection(("127.0.0.1", server.port), scaled(10)) as sock:
            with context.wrap_socket(sock, server_hostname="localhost") as secure:
                for message in (b"hello", "你好".encode()):
                    secure.sendall(message)
                    reply = texts.reply(message)
                    self.assertEqual(network.receive_exactly(secure, len(reply)), reply)
                secure.unwrap().close()  # raises unless both close_notify are exchanged
        server.wait_line(b'"how":"clean"')

    def test_node(self):
        tool, server = self.tool("node"), self.json_server()
        node = self.start(tool, "-e", NODE_CLIENT, str(server.port), self.made.ca,
                          stdin=subprocess.DEVNULL)
        node.finish(0)
        self.assertEqual(node.stdout.bytes().decode().splitlines(), [
            "你好，我已收到你的消息：hello", "你好，我已收到你的消息：你好",
            "你好，我已收到你的消息：再见"])
        server.wait_line(b'"how":"clean"')


class Servers(PeerTest):
    """Each echoes; our client verifies it, sends two messages and ends with 0."""

    def converse(self, port, prefix=b""):
        client = self.run_client("--ca", self.made.ca, "-q", "-m", "hello", "-m", "你好",
                                 f"127.0.0.1:{port}")
        self.assertEqual(client.stdout.bytes(),
                         prefix + b"hello\n" + prefix + "你好\n".encode())
        self.assert_quiet(client)
        client = self.run_client("--ca", self.made.ca, f"127.0.0.1:{port}",
                                 stdin=b"a line\nexit\n")
        self.assertEqual(client.stdout.bytes(), texts.prompt()
                         + texts.shown_reply(prefix + b"a line") + texts.prompt())
        self.assert_quiet(client)

    def listen(self, *words):
        """A foreign server and the port it chose."""
        server = self.start(*words, stdin=subprocess.DEVNULL)
        return kernel.wait_listening(server.pid)

    def test_socat(self):
        tool = self.tool("socat")
        self.converse(self.listen(
            tool, f"OPENSSL-LISTEN:0,bind=127.0.0.1,fork,verify=0,cert={self.made.server},"
            f"key={self.made.server_key}", "EXEC:cat"))

    def test_ncat(self):
        tool = self.tool("ncat")
        self.converse(self.listen(
            tool, "--listen", "--keep-open", "--ssl", "--ssl-cert", self.made.server, "--ssl-key",
            self.made.server_key, "--exec", "/bin/cat", "127.0.0.1", "0"))

    def test_node(self):
        tool = self.tool("node")
        self.converse(self.listen(tool, "-e", NODE_SERVER, self.made.server,
                                  self.made.server_key), b"node: ")

    def test_python(self):
        """With Python's own sockets, not the tests' record engine."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.made.server, self.made.server_key)

        def handle(sock):
            with context.wrap_socket(sock, server_side=True) as secure:
                while data := secure.recv(16384):
                    secure.sendall(b"python: " + data)
                secure.unwrap().close()

        peer = self.peer(handle)
        self.converse(peer.port, b"python: ")
        peer.finish()


if __name__ == "__main__":
    harness.main(plaintext=False)
