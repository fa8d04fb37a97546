#!/bin/sh
# The policy service runs as a user of its own. EPEL 8's package makes none; Debian's makes this one.
set -eu
getent passwd policyd-spf >/dev/null || useradd --system --no-create-home --home-dir / --shell /sbin/nologin policyd-spf
