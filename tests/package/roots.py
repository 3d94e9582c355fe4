"""Roots of a system that a try may change: what is written to one is kept in memory, over a root that
stays as it is. For the tries by hand of this folder; they run as root."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 900
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=SECONDS, check=True, **options)


def isolated():
    """Begins anew in namespaces, in which every mount and process goes with this one."""
    if os.environ.get("TLSMSG_TRY_ROOTS") != "inside":
        os.environ["TLSMSG_TRY_ROOTS"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                              "--mount-proc", sys.executable, "-B", *sys.argv])


def copy_sources(to):
    """The project's files as git knows them, with what is not yet added."""
    os.makedirs(to)
    files = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                stdout=subprocess.PIPE).stdout
    with subprocess.Popen(["tar", "-C", ROOT, "--null", "-T", "-", "-cf", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tar:
        with subprocess.Popen(["tar", "-C", to, "-xf", "-"], stdin=tar.stdout) as untar:
            tar.stdin.write(files)
            tar.stdin.close()
            if untar.wait(SECONDS) != 0:
                raise OSError("the sources cannot be copied")


class Root:
    """A root of its own over another one, in a new folder."""

    def __init__(self, folder, base):
        self.folder = folder
        self.root = os.path.join(folder, "root")
        os.mkdir(folder)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(folder, name))
        run("mount", "-t", "overlay", "overlay", self.root, "-o",
            f"lowerdir={base},upperdir={folder}/upper,workdir={folder}/work")
        run("mount", "-t", "proc", "proc", os.path.join(self.root, "proc"))
        shutil.copy("/etc/resolv.conf", os.path.join(self.root, "etc", "resolv.conf"))

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))


@contextlib.contextmanager
def workspace():
    """A folder for roots. What is mounted in it goes before it is removed, or is not removed."""
    folder = tempfile.mkdtemp(prefix="tlsmsg-try-")
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = [line.split()[1] for line in file]
        for path in reversed([path for path in mounts if path.startswith(folder + "/")]):
            run("umount", path)
        shutil.rmtree(folder)
