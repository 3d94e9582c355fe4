"""What the tests of the document's conversation share."""

import kernel
import network
import texts
from harness import ProgramTest


class DocumentTest(ProgramTest):
    def talk(self, client, case, recorder):
        """Writes each chunk when the client prompts for it and the server has read the one
        before, then ends the client's stdin."""
        client.stdout.wait_for(texts.prompt())
        for number, chunk in enumerate(case.chunks):
            if number:
                client.stdout.wait_for(texts.prompt(), case.prompts[number - 1])
                kernel.wait_read_by_peer(recorder.upstream)
            client.write(chunk)
        client.close_stdin()

    def converse(self, case):
        """Both programs with a recorder between; returns what each gave."""
        server, port = self.server_on_fixed_port()
        recorder = self.recorder(port)
        client = self.start_client(f"127.0.0.1:{recorder.port}")
        self.talk(client, case, recorder)
        client.finish(0)
        server.finish(0)
        self.assert_quiet(server)
        self.assert_quiet(client)
        return server, client, recorder

    def connected_peer(self, port):
        sock = network.connect(port)
        self.addCleanup(sock.close)
        return sock
