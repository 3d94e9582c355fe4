#!/usr/bin/env python3
"""docs/examples as their readers use them: the programs under test stand in the PATH."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import harness
import texts
from certificates import default_certificates
from harness import ProgramTest
from settings import build_dir, scaled

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "examples")


def has_store():
    return os.path.exists(os.path.join(build_dir(), "tlsmsg-store"))


class ExampleTest(ProgramTest):
    def environment(self, **more):
        return {**os.environ, "PATH": build_dir() + ":" + os.environ["PATH"], **more}

    def run_example(self, name, *words, stdin=b"", expect=0, **variables):
        done = subprocess.run([os.path.join(EXAMPLES, name), *words], input=stdin,
                              capture_output=True, timeout=scaled(20), check=False,
                              env=self.environment(**variables))
        self.assertEqual(done.returncode, expect, done)
        return done

    def say(self, server, *messages):
        words = [word for text in messages for word in ("-m", text)]
        self.run_client("--ca", default_certificates().ca, "-q", *words, str(server.port))


class Report(ExampleTest):
    def setUp(self):
        super().setUp()
        self.recorded = self.path("transcript")
        self.running = self.server("--format", "json", stdout=self.recorded)
        self.variables = {"TLSMSG_SERVER": f"localhost:{self.running.port}",
                          "TLSMSG_CA": default_certificates().ca}

    def reports(self):
        self.running.stop()
        return [event["message"] for event in map(json.loads, self.running.transcript().splitlines())
                if event["event"] == "message"]

    def test_both_ends(self):
        self.run_example("report.sh", "nightly", "true", **self.variables)
        done = self.run_example("report.sh", "nightly", "sh", "-c", "echo why >&2; exit 3", expect=3,
                                **self.variables)
        self.assertEqual(done.stderr, b"why\n")
        host = os.uname().nodename
        done, failed = self.reports()
        self.assertRegex(done, f"^{host}: nightly done after [0-9]+ s$")
        self.assertRegex(failed, f"^{host}: nightly FAILED with 3 after [0-9]+ s$")

    def test_report_that_fails_is_told(self):
        self.running.stop()
        done = self.run_example("report.sh", "nightly", "true", expect=3, **self.variables)
        self.assert_one_line(done.stderr, "tlsmsg-client: ", "cannot connect")

    def test_usage(self):
        self.run_example("report.sh", "nightly", expect=2)


@unittest.skipUnless(has_store(), "built without a store")
class FollowLog(ExampleTest):
    def follow(self, log, port):
        following = subprocess.Popen(
            [os.path.join(EXAMPLES, "follow-log.sh"), log], stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=self.environment(TLSMSG_SERVER=f"localhost:{port}",
                                 TLSMSG_CA=default_certificates().ca,
                                 TLSMSG_SPOOL=self.path("spool.db")))

        def end():
            os.killpg(following.pid, signal.SIGTERM)
            following.wait(scaled(10))

        self.addCleanup(end)

    def test_each_line_once_while_the_server_comes_and_goes(self):
        store, path = self.path("store.db"), self.path("log")
        server, port = self.server_on_fixed_port("--store", store, "--format", "json")
        with open(path, "w", encoding="utf-8") as log:
            def append(*lines):
                log.write("".join(line + "\n" for line in lines))
                log.flush()

            self.follow(path, port)
            # tail begins at the end, wherever that is once it has opened the file.
            append("is it there?")
            while b"is it there?" not in server.stdout.bytes():
                append("is it there?")
                time.sleep(0.05)
            append("one", "two")
            server.wait_line(b'"message":"two"')
            server.kill()
            append("three", "four")
            server = self.server("--store", store, "--format", "json",
                                 listen=(f"127.0.0.1:{port}",))
            append("five")
            server.wait_line(b'"message":"five"')
        server.stop()
        kept = subprocess.run([os.path.join(build_dir(), "tlsmsg-store"), "export", store],
                              capture_output=True, timeout=scaled(20), check=True).stdout
        messages = [json.loads(line)["message"] for line in kept.splitlines()]
        self.assertEqual([text for text in messages if text != "is it there?"],
                         ["one", "two", "three", "four", "five"])


class Handle(ExampleTest):
    def test_is_given_what_is_answered(self):
        with subprocess.Popen([os.path.join(EXAMPLES, "handle.py")], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as behind:
            server = self.server("--format", "json", stdout=behind.stdin)
            behind.stdin.close()
            self.say(server, "one", "zwei ü")
            server.stop()
            said = behind.stdout.read().decode().splitlines()
            self.assertEqual(behind.wait(scaled(10)), 0)
        self.assertEqual([line.split(" ", 2)[2] for line in said], ["one", "zwei ü"])
        self.assertTrue(all(" 127.0.0.1:" in line for line in said), said)


class StoreToCsv(ExampleTest):
    @unittest.skipUnless(has_store(), "built without a store")
    def test_columns(self):
        store = self.path("store.db")
        server = self.server("--store", store, "--quiet")
        self.say(server, "one", 'said "two", twice\nand more')
        server.stop()
        out = subprocess.run([os.path.join(build_dir(), "tlsmsg-store"), "export", store],
                             capture_output=True, timeout=scaled(20), check=True).stdout
        table = self.run_example("store-to-csv.py", stdin=out).stdout.decode()
        rows = list(csv.DictReader(io.StringIO(table, newline="")))
        self.assertEqual([row["id"] for row in rows], ["1", "2"])
        self.assertEqual([row["message"] for row in rows], ["one", 'said "two", twice\nand more'])
        self.assertTrue(all(row["peer"].startswith("127.0.0.1:") for row in rows), rows)


class Uv(ExampleTest):
    PROGRAM = os.path.join(build_dir(), "tests", "example_uv_client")

    @unittest.skipUnless(os.path.exists(PROGRAM), "libuv is not installed")
    def test_asks(self):
        server = self.server()
        # The first of the name's addresses may be one where nobody listens.
        done = subprocess.run(
            [self.PROGRAM, f"localhost:{server.port}", "hello", default_certificates().ca],
            capture_output=True, timeout=scaled(20), check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout, texts.reply(b"hello") + b"\n")

    @unittest.skipUnless(os.path.exists(PROGRAM), "libuv is not installed")
    def test_tells_why_not(self):
        server = self.server()
        done = subprocess.run([self.PROGRAM, f"localhost:{server.port}", "hello"],
                              capture_output=True, timeout=scaled(20), check=False)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"cannot verify server", done.stderr)


if __name__ == "__main__":
    harness.main(plaintext=False)
