#!/usr/bin/env python3
"""Each pairing of our programs with the document's equals the document's own pair.

TLSMSG_DOCUMENT names a folder that holds the document's programs as server.py and client.py.
Their port is fixed, so conversations are held one at a time in a network namespace of their own.
What is compared: both programs' stdout and the bytes on the wire in both directions.
"""

import concurrent.futures
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import texts
from document_cases import CASES, LONG_CASES, LONG_LINES, conversation
from harness import ProgramTest
from settings import DOCUMENT, program, scaled

HELPER = os.path.join(os.path.dirname(os.path.abspath(harness.__file__)), "namespace_pair.py")
DATA = ("client", "server", "client_error", "server_error", "to_server", "to_client")
COMPARED = ("client", "server", "to_server", "to_client")


def namespace_words():
    """The words that start a program in a new network namespace, or why there are none."""
    why = "unshare is not installed"
    for words in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        try:
            done = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=scaled(10), check=False)
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return words
        why = done.stderr.decode("utf-8", "replace").strip()
    raise unittest.SkipTest(f"unshare -n makes no network namespace here: {why}")


class Pairing(ProgramTest):
    limit = 120

    @classmethod
    def setUpClass(cls):
        if not DOCUMENT:
            raise unittest.SkipTest("TLSMSG_DOCUMENT is not set: it names the folder with the "
                                    "document's server.py and client.py")
        for name in ("server.py", "client.py"):
            if not os.path.isfile(os.path.join(DOCUMENT, name)):
                raise AssertionError(f"TLSMSG_DOCUMENT={DOCUMENT} holds no {name}")
        cls.namespace = namespace_words()

    def words(self, role, whose):
        if whose == "document":
            # Unbuffered, so that it can be told when it prompts; the rest only starts it faster.
            return [sys.executable, "-u", "-I", "-S", "-B",
                    os.path.join(os.path.abspath(DOCUMENT), f"{role}.py")]
        return program(f"tlsmsg-{role}")

    def converse(self, cases, server, client):
        """The results of some cases, one after the other. Bytes travel as hexadecimal digits."""
        orders = [{"server": self.words("server", server), "client": self.words("client", client),
                   "chunks": [chunk.hex() for chunk in case.chunks], "prompts": case.prompts,
                   "prompt": texts.prompt().hex(), "long": case not in CASES}
                  for case in cases]
        done = subprocess.run([*self.namespace, sys.executable, "-B", HELPER],
                              input=json.dumps(orders).encode(), capture_output=True,
                              timeout=scaled(self.limit), check=False)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0 or len(results) != len(cases):
            raise AssertionError(f"{server} server, {client} client: {cases[len(results)].name}: "
                                 + done.stderr.decode("utf-8", "replace"))
        for result in results:
            for name in DATA:
                result[name] = bytes.fromhex(result[name])
            # The client's port is the kernel's choice.
            result["server"] = re.sub(rb"\('127\.0\.0\.1', \d+\)", b"('127.0.0.1', PORT)",
                                      result["server"], count=1)
        return results

    def conversations(self, cases, server, client):
        """The results of all cases, two at a time: they mostly wait."""
        half = len(cases) // 2
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            halves = pool.map(lambda part: self.converse(part, server, client),
                              (cases[:half], cases[half:]))
            return [result for part in halves for result in part]

    def assert_ours_is_content(self, result, server, client):
        for role, whose in (("server", server), ("client", client)):
            if whose == "ours":
                self.assertEqual(result[f"{role}_status"], 0, f"our {role}'s exit status")
                self.assertEqual(result[f"{role}_error"], b"", f"our {role}'s stderr")

    @classmethod
    def document_results(cls):
        """The document's own pair, run once for all pairings."""
        if "documents" not in cls.__dict__:
            cls.documents = cls("compare_pairing").conversations(
                (*CASES, *LONG_CASES, LONG_LINES), "document", "document")
        return cls.documents

    def compare_pairing(self, server, client):
        document = self.document_results()
        ours = self.conversations((*CASES, *LONG_CASES, LONG_LINES), server, client)
        for number, case in enumerate(CASES):
            with self.subTest(case.name):
                self.assert_ours_is_content(ours[number], server, client)
                for name in COMPARED:
                    self.assertEqual(ours[number][name], document[number][name], name)
        for number, case in enumerate(LONG_CASES, len(CASES)):
            with self.subTest(case.name):
                self.assert_ours_is_content(ours[number], server, client)
                self.compare_long(ours[number], document[number])
        with self.subTest(LONG_LINES.name):
            self.assert_ours_is_content(ours[-1], server, client)
            self.compare_joined(ours[-1], document[-1])

    def compare_long(self, ours, document):
        """The document's client leaves bytes unread here: its closing resets the connection, and
        whether the reply to exit still went out is then chance."""
        for name in ("client", "server", "to_server"):
            self.assertEqual(ours[name], document[name], name)
        self.assertEqual(ours["to_client"].removesuffix(texts.reply(b"exit")),
                         document["to_client"].removesuffix(texts.reply(b"exit")), "to_client")

    def compare_joined(self, ours, document):
        """Several lines beyond 1024: the joined bytes are equal, the cuts may differ."""
        self.assertEqual(ours["to_server"], document["to_server"])
        lines = conversation(LONG_LINES).to_server

        def joined(data, *labels):
            for label in labels:
                data = data.replace(label, b"")
            return data.replace(b"\n", b"")

        message = texts.message(b"").rstrip(b"\n")
        for result in (ours, document):
            said = joined(result["server"].split(b"\n", 2)[2], message)
            self.assertEqual(said, lines)
            shown = joined(result["client"], texts.prompt(), texts.shown_reply(b"").rstrip(b"\n"))
            self.assertTrue(result["to_client"].startswith(shown))
            self.assertTrue(lines.startswith(joined(result["to_client"], texts.REPLY)[:-4]))

    def test_golden_equals_the_document(self):
        """The goldens of test_document.py are the document's."""
        for case, result in zip((*CASES, *LONG_CASES), self.document_results()):
            with self.subTest(case.name):
                golden = conversation(case)
                self.assertEqual(result["client"], golden.client)
                self.assertEqual(result["server"].replace(b"PORT", b"1"), golden.server(1))
                self.assertEqual(result["to_server"], golden.to_server)
                self.assertTrue(golden.to_client.startswith(result["to_client"]))

    def test_document_server_our_client(self):
        self.compare_pairing("document", "ours")

    def test_our_server_document_client(self):
        self.compare_pairing("ours", "document")

    def test_both_ours(self):
        self.compare_pairing("ours", "ours")


if __name__ == "__main__":
    harness.main(plaintext=True)
