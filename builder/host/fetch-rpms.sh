#!/bin/sh
# Fetch the RPMs of system-packages.tsv, with all that they need, into a repository in a folder.
#
#   builder/host/fetch-rpms.sh FOLDER
#
# For RHEL hosts without a network, whose packages Forja may not pass on: run it as root on a RHEL (or rebuild) of the
# same release that has one, and bring the folder to the other as .bundle/rhel of what abrir.sh has unpacked there.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v dnf >/dev/null || { echo "$0: dnf is not here: this is for a RHEL with a network" >&2; exit 4; }

names=$(grep -v '^#' "$here/system-packages.tsv" | cut -f 1,4 | grep -E '^(image|test)' | cut -f 2 | grep -vx -e - | sort -u)
dnf -y install dnf-plugins-core createrepo_c
# One word a package: no name holds a blank.
# shellcheck disable=SC2086
dnf -y download --resolve --alldeps --archlist=x86_64,noarch --destdir "$1" $names
createrepo_c "$1"
