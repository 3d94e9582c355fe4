"""The Containerfile, read instead of built: an image that is run as nobody in particular, holds no
more than the server needs and no secret, and bears a read-only file system. Each rule is also
tried on a file that breaks it."""

import json
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD",
                "HEALTHCHECK", "ENV", "ARG", "LABEL", "WORKDIR"}
# A tag that names another system tomorrow.
MOVING = ("latest", "stable", "testing", "unstable", "sid", "rolling", "edge")
RUNTIME = {"libssl3t64"}
SECRET = re.compile(r"passw|secret|token|credential|private|\.key\b|\.pem\b|api_?key", re.I)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


class Container:
    """A Containerfile as stages of (instruction, rest); ValueError for what it can't be sure of."""

    def __init__(self, text):
        self.comments = [line for line in text.splitlines() if line.startswith("#")]
        self.stages = []
        plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for line in re.sub(r"[ \t]*\\\n[ \t]*", " ", plain).splitlines():
            if not line.strip():
                continue
            match = re.fullmatch(r"([A-Z]+) +(\S.*)", line)
            if match is None or match.group(1) not in INSTRUCTIONS:
                raise ValueError(f"not an instruction that is allowed here: {line}")
            if match.group(1) == "FROM":
                self.stages.append([])
            if not self.stages:
                raise ValueError(f"before the first FROM: {line}")
            self.stages[-1].append(match.groups())

    def all(self, name):
        return [rest for stage in self.stages for word, rest in stage if word == name]

    def last(self, name):
        """What the instruction says in the final stage, which is the image: a list."""
        return [rest for word, rest in self.stages[-1] if word == name]


def base_images(container):
    """Named with a release, so that the same file gives the same system."""
    stages = set()
    for rest in container.all("FROM"):
        match = re.fullmatch(r"(\S+?)(?::(\S+))?(?: AS (\w+))?", rest)
        tag = match.group(2) or "latest"
        if match.group(1) not in stages and tag.split("-")[0] in MOVING:
            yield f"FROM {rest}: name a release"
        stages.add(match.group(3))


def user(container):
    """By number, for what checks it without reading the image's users, and never root."""
    users = container.last("USER")
    if len(users) != 1 or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0]):
        yield f"USER {users}: one, as UID:GID, neither of them 0"
    words = [word for word, _ in container.stages[-1]]
    if "USER" in words and "RUN" in words[words.index("USER"):]:
        yield "RUN after USER"


def secrets(container):
    """Layers are forever, so nothing that comes into the image may be secret."""
    for stage in container.stages:
        for word, rest in stage:
            if word in ("ENV", "ARG", "LABEL", "COPY") and SECRET.search(rest):
                yield f"{word} {rest}"
    for rest in container.last("COPY"):
        if not rest.startswith("--from="):
            yield f"COPY {rest}: the image takes from a build stage alone"


def packages(container):
    """Lists of packages are not kept, and the image has what the program runs with."""
    for rest in container.all("RUN"):
        if "apt-get install" in rest:
            for part in ("apt-get update", "--no-install-recommends",
                         "rm -rf /var/lib/apt/lists/*"):
                if part not in rest:
                    yield f"RUN {rest}: without {part}"
    found = set()
    for rest in container.last("RUN"):
        for command in rest.split("&&"):
            match = re.fullmatch(r" *apt-get install -y --no-install-recommends (.*?) *", command)
            if match:
                found |= set(match.group(1).split())
            elif not re.fullmatch(r" *(apt-get update|rm -rf /var/lib/apt/lists/\*) *", command):
                yield f"RUN {command.strip()}: building is for a build stage"
    if found != RUNTIME:
        yield f"packages {sorted(found)} instead of {sorted(RUNTIME)}"


def start(container):
    """One program, without a shell, so that it gets the signals; on the port that is told."""
    words = []
    for name in ("ENTRYPOINT", "CMD"):
        try:
            (rest,) = container.last(name)
            words.append(json.loads(rest))
        except ValueError:
            yield f"{name} {container.last(name)}: one, as a list"
            return
    program, command = words[0][0], words[0][1:] + words[1]
    copied = [rest.split()[1:] for rest in container.last("COPY")]
    if [os.path.join(to, os.path.basename(what)) for what, to in copied] != [program]:
        yield f"the image has {copied}, and starts {program}"
    known = set(re.findall(r"--[a-z-]+", read("docs", "options.md")))
    for word in command:
        if word.startswith("-") and word not in known:
            yield f"no such option: {word}"
    if container.last("EXPOSE") != [command[command.index("--listen") + 1].rpartition(":")[2]]:
        yield f"EXPOSE {container.last('EXPOSE')}"
    if container.last("STOPSIGNAL") != ["SIGTERM"]:
        yield "STOPSIGNAL is the one that drains: SIGTERM"


def read_only(container):
    """Nothing that it starts with is written, and the head shows how to run it so."""
    for word in ("--metrics-file", "--keylog-file"):
        if any(word in rest for rest in container.last("ENTRYPOINT") + container.last("CMD")):
            yield f"{word} writes into the image"
    shown = " ".join(line.lstrip("# ").rstrip("\\") for line in container.comments)
    for word in ("--read-only", "--cap-drop all", "no-new-privileges", ":ro "):
        if word not in shown:
            yield f"the command in its head lacks {word}"


def said(container):
    """What the image can't do, and what nobody has tried."""
    text = " ".join(container.comments)
    if not container.last("HEALTHCHECK") and "No HEALTHCHECK: " not in text:
        yield "neither a HEALTHCHECK nor the reason"
    if "unbuilt" not in text:
        yield "its head does not say that it is unbuilt where there is no engine"


RULES = (base_images, user, secrets, packages, start, read_only, said)


class Containerfile(unittest.TestCase):
    def setUp(self):
        self.text = read("packaging", "Containerfile")

    def test_rules(self):
        container = Container(self.text)
        for rule in RULES:
            with self.subTest(rule=rule.__name__):
                self.assertEqual(list(rule(container)), [])

    def test_context(self):
        """What the build is given to copy leaves out builds, history and keys."""
        ignored = read(".dockerignore").splitlines()
        for line in ("/build*/", "/.git/", "/certs/*"):
            self.assertIn(line, ignored)

    def test_each_rule_can_be_broken(self):
        for rule, old, new in (
                (base_images, "trixie-slim\n", "latest\n"),
                (base_images, "debian:trixie-slim AS", "debian AS"),
                (user, "USER 10001:10001", "USER tlsmsg"),
                (user, "USER 10001:10001", "USER 0:10001"),
                (user, "USER 10001:10001\n", ""),
                (user, "EXPOSE", "RUN apt-get update\nEXPOSE"),
                (secrets, "EXPOSE", "ENV DB_PASSWORD=x\nEXPOSE"),
                (secrets, "COPY --from=build", "COPY certs/server.key /certs/\nCOPY --from=build"),
                (secrets, "COPY --from=build /out/", "COPY out/"),
                (packages, "libssl3t64 ", "libssl3t64 gcc "),
                (packages, "--no-install-recommends libssl3t64", "libssl3t64"),
                (packages, "make \\\n    && rm -rf /var/lib/apt/lists/*", "make"),
                (packages, "COPY --from", "RUN curl -O x\nCOPY --from"),
                (start, 'CMD ["--cert", "/certs/server.crt"', "CMD --cert"),
                (start, '"--format"', '"--formats"'),
                (start, "EXPOSE 12345", "EXPOSE 443"),
                (start, "SIGTERM", "SIGKILL"),
                (start, "/out/tlsmsg-server /usr/bin/", "/out/ /usr/bin/"),
                (read_only, '"--format", "json"', '"--metrics-file", "/x"'),
                (read_only, "--read-only ", ""),
                (said, "No HEALTHCHECK", "HEALTHCHECK"),
                (said, "unbuilt", "fine")):
            with self.subTest(rule=rule.__name__, new=new):
                self.assertIn(old, self.text)
                self.assertNotEqual(list(rule(Container(self.text.replace(old, new)))), [])

    def test_what_cannot_be_read_is_refused(self):
        for line in ("ADD x /x", "VOLUME /certs", "run apt-get update", "FROM"):
            with self.subTest(line=line), self.assertRaises(ValueError):
                Container(self.text + line + "\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
