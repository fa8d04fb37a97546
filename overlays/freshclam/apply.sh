#!/bin/sh
# The account that freshclam writes the signatures as: EPEL's clamav-filesystem makes it, with the folder.
set -eu

getent passwd clamupdate > /dev/null ||
    useradd --system --user-group --no-create-home --home-dir /var/lib/clamav --shell /sbin/nologin clamupdate
chown clamupdate:clamupdate /var/lib/clamav
