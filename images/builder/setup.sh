#!/bin/sh
# Last step of the image that builds run in, on the host when all packages are installed. $1: root directory of the image.
set -eu
root=$1

# The host's name and resolver are not the sandbox's; the files stay as mount points for its own.
: >"$root/etc/hostname"
: >"$root/etc/resolv.conf"
: >"$root/etc/hosts"
rm -f "$root"/var/log/apt/* "$root"/var/log/*.log "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/lib/apt/lists/*_*
