#!/bin/sh
# Boots systemd as the first process of namespaces of its own, over this machine's files: what it
# writes goes to memory. Needs root, and is itself run by unshare(1), see test_units.py.
#   $1  folder to work in, inside at /run/test; its units/ are known to the manager
#   $2  folder whose files are laid over the machine's
#   $3  what the manager starts
#   $4  root whose files are meant, where it is not this machine's
set -eu
work=$1 above=$2 target=$3 below=${4:-/}

mount --make-rprivate /
mkdir -p "$work/memory"
mount -t tmpfs tmpfs "$work/memory"
mkdir "$work/memory/written" "$work/memory/scratch" "$work/memory/root"
cp -a "$above/." "$work/memory/written/"
mount -t overlay overlay "$work/memory/root" \
    -o "lowerdir=$below,upperdir=$work/memory/written,workdir=$work/memory/scratch"

cd "$work/memory/root"
mkdir -p proc sys dev run tmp old
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev
while read -r name major minor; do
    mknod -m 666 "dev/$name" c "$major" "$minor"
done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
mkdir dev/shm dev/pts run/systemd run/systemd/system run/test
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
cp "$work"/units/* run/systemd/system/
mount --bind "$work" run/test

pivot_root . old
umount -l old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test /lib/systemd/systemd --system \
    --unit="$target" --show-status=false
