"""Tries packaging/Containerfile without an engine, as root: its instructions are carried out in
roots of the system that it names, and the image is started as its head shows: read-only, as its own
user, without capabilities. Not a part of the ordinary tests, since it takes minutes and the network.

Usage: try_container.py ROOT    a root of that system with apt (mmdebstrap --variant=apt trixie ROOT)
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from roots import PATH, ROOT, Root, copy_sources, isolated, run, workspace


def stages_of(name):
    """The file's stages, each a list of (instruction, rest), FROM first."""
    with open(os.path.join(ROOT, "packaging", name), encoding="utf-8") as file:
        text = re.sub(r"(?m)^#.*\n", "", file.read())
    found = []
    for line in re.sub(r"[ \t]*\\\n[ \t]*", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if word:
            found[-1].append((word, rest))
    return found


class Stage(Root):
    """A root that a stage's instructions change."""

    def carry_out(self, word, rest, stages):
        if word == "RUN":
            run("chroot", self.root, "env", "-i", PATH, "DEBIAN_FRONTEND=noninteractive", "sh", "-c",
                rest, stdout=subprocess.DEVNULL)
        elif word == "COPY" and rest.startswith("--from="):
            source, what, to = rest.removeprefix("--from=").split()
            shutil.copy(stages[source].path(what), self.path(to))
        elif word == "COPY":
            copy_sources(self.path(rest.split()[1]))
        elif word not in ("FROM", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"):
            raise ValueError(f"not known here: {word}")


# In a network of its own: the image's server, as its user and without capabilities, and the client of
# the build stage. What the server says goes to files.
CONVERSATION = """
ip link set lo up
chroot "$IMAGE" setpriv --reuid "${USER%:*}" --regid "${USER#*:}" --clear-groups \
    --bounding-set=-all --no-new-privs env -i "$@" >"$FOLDER/out" 2>"$FOLDER/err" &
server=$!
tries=0
until chroot "$BUILD" /build/tlsmsg-client --ca /tmp/ca.crt --timeout 2 -q -m hello 127.0.0.1:12345
do
    tries=$((tries + 1))
    [ $tries -lt 20 ] && kill -0 $server || exit 1
    sleep 0.2
done
kill -TERM $server
wait $server
"""


def converse(folder, image, said, build):
    """A reply, the message in the mounted store, and exit 0 on the image's stop signal."""
    certificates = os.path.join(folder, "certs")
    run(os.path.join(ROOT, "scripts", "gen-certs.sh"), "--quiet", "--out", certificates,
        stdout=subprocess.DEVNULL)
    shutil.copy(os.path.join(certificates, "ca.crt"), build.path("/tmp/ca.crt"))
    user = said["USER"]
    for name in ("server.crt", "server.key"):
        os.chown(os.path.join(certificates, name), *map(int, user.split(":")))
    os.mkdir(image.path("/certs"))
    run("mount", "--bind", certificates, image.path("/certs"))
    run("mount", "-o", "remount,ro,bind", image.path("/certs"))
    store = os.path.join(folder, "store")
    os.mkdir(store, 0o700)
    os.chown(store, *map(int, user.split(":")))
    for root in (image, build):
        os.mkdir(root.path("/store"))
        run("mount", "--bind", store, root.path("/store"))
    run("mount", "-o", "remount,ro", image.root)
    words = json.loads(said["ENTRYPOINT"]) + json.loads(said["CMD"])
    done = subprocess.run(["unshare", "--net", "sh", "-u", "-c", CONVERSATION, "sh", *words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60,
                          env={**os.environ, "IMAGE": image.root, "BUILD": build.root,
                               "USER": user, "FOLDER": folder}, encoding="utf-8", check=False)
    out, err = (pathlib.Path(folder, name).read_text("utf-8") for name in ("out", "err"))
    kept = subprocess.run(["chroot", build.root, "/build/tlsmsg-store", "export",
                           "/store/store.db"], stdout=subprocess.PIPE, timeout=60,
                          encoding="utf-8", check=False).stdout
    if done.returncode != 0 or not done.stdout.endswith("hello\n") or out or \
            '"message":"hello"' not in kept:
        sys.exit(f"try_container.py: FAILED: exit {done.returncode}, reply {done.stdout!r}, "
                 f"server: {out} {err}")


def main():
    if len(sys.argv) != 2 or os.geteuid() != 0:
        sys.exit(__doc__)
    isolated()
    base = os.path.realpath(sys.argv[1])
    container = stages_of("Containerfile")
    with workspace() as folder:
        stages = {}
        for at, instructions in enumerate(container):
            name = instructions[0][1].partition(" AS ")[2] or str(at)
            stages[name] = Stage(os.path.join(folder, name), base)
            for word, rest in instructions:
                print(f"try_container.py: {name}: {word} {rest[:60]}", flush=True)
                stages[name].carry_out(word, rest, stages)
        made = list(stages.values())
        converse(folder, made[-1], dict(container[-1]), made[0])
    print("try_container.py: passed")


if __name__ == "__main__":
    main()
