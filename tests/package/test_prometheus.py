"""What Prometheus makes of the metrics and of the alert rules, asked of its own tool: the server's
text passes its lint, the rules are valid, and each alert fires in the rules' own test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = os.path.join(ROOT, "packaging", "prometheus")
BUILD = os.environ.get("TLSMSG_BUILD_DIR", "")
PLAINTEXT = os.environ.get("TLSMSG_PLAINTEXT", "0") == "1"
SECONDS = 60
# Only where there are certificates.
OF_TLS = {"tlsmsg_certificate_not_after_timestamp_seconds",
          "tlsmsg_ca_not_after_timestamp_seconds", "tlsmsg_crl_next_update_timestamp_seconds"}
# A build with a store brings the store's own tool.
HAS_STORE = os.path.exists(os.path.join(BUILD, "tlsmsg-store"))


def read(name):
    with open(os.path.join(RULES, name), encoding="utf-8") as file:
        return file.read()


def promtool(*words, text=None):
    return subprocess.run(["promtool", *words], cwd=RULES, input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=SECONDS, encoding="utf-8",
                          check=False)


def metrics():
    """What a server writes that has been asked nothing yet."""
    with tempfile.TemporaryDirectory(prefix="tlsmsg-prometheus-") as folder:
        path = os.path.join(folder, "tlsmsg.prom")
        command = [os.path.join(BUILD, "tlsmsg-server"), "--quiet", "--accept", "0", "--listen",
                   "127.0.0.1:0", "--metrics-file", path]
        if HAS_STORE:
            command += ["--store", os.path.join(folder, "store.db")]
        if not PLAINTEXT:
            certs = os.path.join(folder, "certs")
            subprocess.run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out", certs],
                           stdout=subprocess.DEVNULL, timeout=SECONDS, check=True)
            subprocess.run([os.path.join(ROOT, "scripts", "gen-certs.sh"), "crl", "--quiet", "--out",
                            certs], stdout=subprocess.DEVNULL, timeout=SECONDS, check=True)
            command += ["--cert", certs + "/server.crt", "--key", certs + "/server.key",
                        "--client-ca", certs + "/ca.crt", "--crl", certs + "/ca.crl"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as server:
            ends = time.monotonic() + SECONDS
            while not os.path.exists(path) and server.poll() is None and time.monotonic() < ends:
                time.sleep(0.05)
            server.send_signal(signal.SIGTERM)
            server.wait(SECONDS)
        with open(path, encoding="ascii") as file:
            return file.read()


class Rules(unittest.TestCase):
    def test_each_alert_is_tried(self):
        """Where it fires, and where it does not."""
        alerts = re.findall(r"^ +- alert: (\w+)$", read("tlsmsg.rules.yml"), re.M)
        self.assertGreater(len(alerts), 5)
        self.assertEqual(len(set(alerts)), len(alerts))
        tried = read("tlsmsg.rules.test.yml")
        fired = re.findall(r"^ +alertname: (\w+)\n +exp_alerts:\n +- exp_labels:", tried, re.M)
        self.assertEqual(sorted(set(fired)), sorted(alerts))

    def test_metrics_exist(self):
        """An alert on a metric that nobody writes never fires, and nobody notices."""
        written = set(re.findall(r"^# TYPE (\w+) ", metrics(), re.M))
        self.assertGreater(len(written), 10)
        watched = set(re.findall(r"\btlsmsg_\w+", " ".join(
            re.findall(r"^ +expr: ((?:>\n)?.*)$", read("tlsmsg.rules.yml"), re.M))))
        watched = {re.sub(r"_bucket$", "", name) for name in watched}
        self.assertGreater(len(watched), 4)
        elsewhere = OF_TLS if PLAINTEXT else set()
        if not HAS_STORE:
            elsewhere |= {name for name in watched if name.startswith("tlsmsg_store_")}
        self.assertEqual(watched - elsewhere - written, set())


@unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
class Promtool(unittest.TestCase):
    def passes(self, *words, text=None):
        done = promtool(*words, text=text)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_metrics(self):
        self.assertEqual(self.passes("check", "metrics", text=metrics()), "")

    def test_rules(self):
        self.passes("check", "rules", "tlsmsg.rules.yml")
        self.passes("test", "rules", "tlsmsg.rules.test.yml")

    def test_can_fail(self):
        """The tool is one that looks: at a unit that is not a base unit, and at a rule's test."""
        self.assertNotEqual(promtool("check", "metrics", text="# HELP a_days A.\n# TYPE a_days gauge\n"
                                                              "a_days 1\n").returncode, 0)
        with tempfile.TemporaryDirectory() as folder:
            for name in os.listdir(RULES):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(read(name).replace("> 2\n", "> 2000\n"))
            done = promtool("test", "rules", os.path.join(folder, "tlsmsg.rules.test.yml"))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("TlsmsgRestarts", done.stdout)


if __name__ == "__main__":
    if not BUILD:
        sys.exit("set TLSMSG_BUILD_DIR to a finished build (ctest does)")
    unittest.main(verbosity=2)
