#!/bin/sh
# What files alone can't do: repositories of packages, and the set of enabled units. Runs in the target, in a chroot,
# with no network and systemd not running.
set -eu
. /usr/lib/forja/platform.env
export SYSTEMD_OFFLINE=1

fail() { echo "FORJA ERROR: base: $*" >&2; exit 1; }

# --- Repositories -----------------------------------------------------------------------------------------------
# A rebuild's release package names mirrors on the Internet and enables them; RHEL's come with a registration.
for file in /etc/yum.repos.d/*.repo; do
    [ ! -f "$file" ] || sed -i -E 's/^[[:space:]]*enabled[[:space:]]*=.*/enabled=0/' "$file"
done

# --- Units --------------------------------------------------------------------
systemctl preset-all
systemctl set-default multi-user.target
# Ctrl-Alt-Del reboots, a root shell on tty9, and memory dumps.
systemctl mask ctrl-alt-del.target debug-shell.service kdump.service
for unit in $FORJA_SERVICES; do
    [ "$(systemctl is-enabled "$unit")" = enabled ] || fail "$unit no ha quedado habilitado"
done

# --- A mistake in it leaves the machine without logs: better now than at boot ----------------------------------
rsyslogd -N 1 > /dev/null || fail "/etc/rsyslog.conf"
