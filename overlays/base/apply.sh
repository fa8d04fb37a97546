#!/bin/sh
# What files alone can't do: repositories of packages, and the set of enabled units. At the installation it runs in a
# chroot, with no network and systemd not running.
set -eu
. /usr/lib/forja/platform.env
export SYSTEMD_OFFLINE=1

# On a server in use (docs/reference/overlay.md): what is the organisation's own is told, and left as it is.
running=${FORJA_RUNNING:-}
fail() { echo "FORJA ERROR: base: $*" >&2; exit 1; }
to_do() { echo "FORJA PENDIENTE: $*"; }

# --- Repositories -----------------------------------------------------------------------------------------------
# A rebuild's release package names mirrors on the Internet and enables them; RHEL's come with a registration.
# dnf.conf of the overlay updates does not look at them; without it they are what a server in use is kept up with.
for file in /etc/yum.repos.d/*.repo; do
    [ -n "$running" ] || [ ! -f "$file" ] || sed -i -E 's/^[[:space:]]*enabled[[:space:]]*=.*/enabled=0/' "$file"
done

# --- Units --------------------------------------------------------------------
if [ -n "$running" ]; then
    # shellcheck disable=SC2086
    systemctl enable $FORJA_SERVICES
    systemctl list-unit-files --state=enabled --no-legend --no-pager | while read -r unit _; do
        grep -qxF "enable $unit" /etc/systemd/system-preset/00-forja.preset ||
            grep -qxF "enable ${unit%%@*}@.${unit##*.}" /etc/systemd/system-preset/00-forja.preset ||
            to_do "si este servidor no necesita $unit: sudo systemctl disable --now $unit"
    done
else
    systemctl preset-all
fi
systemctl set-default multi-user.target
# Ctrl-Alt-Del reboots, a root shell on tty9, and memory dumps.
systemctl mask ctrl-alt-del.target debug-shell.service kdump.service
for unit in $FORJA_SERVICES; do
    [ "$(systemctl is-enabled "$unit")" = enabled ] || fail "$unit no ha quedado habilitado"
done

# --- A mistake in it leaves the machine without logs: better now than at boot ----------------------------------
rsyslogd -N 1 > /dev/null || fail "/etc/rsyslog.conf"
