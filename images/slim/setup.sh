#!/bin/sh
# Last step of the slim image, run on the host when all packages are installed. $1: root directory of the image.
set -eu
root=$1

chroot "$root" groupadd --gid 1000 daytona
chroot "$root" useradd --uid 1000 --gid 1000 --groups sudo --create-home --shell /bin/bash daytona
echo 'daytona ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/daytona"
chmod 0440 "$root/etc/sudoers.d/daytona"

# Nobody is there to answer a package's questions.
echo 'debconf debconf/frontend select Noninteractive' | chroot "$root" debconf-set-selections

# Byte code that the packages' own scripts left out: layers are read-only, so each sandbox would compile it anew.
chroot "$root" python3 -m compileall -q -j 0 /usr/lib/python3 "/usr/lib/$(chroot "$root" python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')" || true

# The host's name and resolver are not the sandbox's; the files stay as mount points for its own.
: >"$root/etc/hostname"
: >"$root/etc/resolv.conf"
: >"$root/etc/hosts"
rm -f "$root"/var/log/apt/* "$root"/var/log/*.log "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
