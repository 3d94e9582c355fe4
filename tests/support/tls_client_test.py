"""What the tests of the TLS client share: Python servers that a test has act as it likes."""

import texts
import tls
from certificates import default_certificates
from harness import ProgramTest

PROGRAM = "tlsmsg-client: "
# Ways to say that something was not there in time.
TIMED_OUT = ("time", "within")


class ClientTest(ProgramTest):
    @property
    def ca(self):
        return default_certificates().ca

    def tls_peer(self, handle, leaf=None, host="127.0.0.1", **how):
        """A Python TLS server; handle(end) after each handshake."""
        made = default_certificates()
        certificate = leaf.certificate if leaf else made.server
        context = tls.server_context(certificate, leaf.key if leaf else made.server_key, **how)
        return self.peer(lambda sock: handle(tls.accept(sock, context)), host)

    @staticmethod
    def answer(end):
        """What a good server does until the client's close_notify."""
        while data := end.receive():
            end.send(texts.reply(data))
        end.answer_close()
