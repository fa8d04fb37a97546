#!/bin/sh
# What packages own: the subscription manager's own switch, and the keys that rpm knows.
set -eu
if [ -e /etc/rhsm/rhsm.conf ]; then
    sed -i -E 's/^[[:space:]]*(manage_repos|auto_enable_yum_plugins)[[:space:]]*=.*/\1 = 0/' /etc/rhsm/rhsm.conf
fi
# Known from the start: dnf would ask about them at the first update, and nobody compares fingerprints then.
if command -v rpm >/dev/null && [ -e /etc/pki/rpm-gpg/RPM-GPG-KEY-forja ]; then
    rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-forja
fi
