#!/bin/sh
# RHEL's host keys are not made: the first boot makes fewer and longer. A mistake in the file locks everybody out: better
# now than at boot.
set -eu
export SYSTEMD_OFFLINE=1

systemctl mask sshd-keygen.target
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
mkdir -p /run/sshd # Debian's sshd wants it even for a test
sshd=$(command -v sshd || echo /usr/sbin/sshd)
"$sshd" -t -h "$work/key" || { echo "FORJA ERROR: sshd: /etc/ssh/sshd_config" >&2; exit 1; }
