#!/bin/sh
# What files alone can't do: accounts that exist already, files that packages own, the set of enabled units, and the
# initramfs. At the installation it runs in a chroot, with no network and systemd not running.
set -eu
. /usr/lib/forja/platform.env
export SYSTEMD_OFFLINE=1

# On a server in use (docs/reference/overlay.md): what is the organisation's own is told, and left as it is.
running=${FORJA_RUNNING:-}
fail() { echo "FORJA ERROR: base: $*" >&2; exit 1; }
to_do() { echo "FORJA PENDIENTE: $*"; }

# --- Accounts -----------------------------------------------------------------
# The installer made the administrator by its own login.defs: ageing is set on what exists.
id -nG "$FORJA_ADMIN" | grep -qw wheel || fail "la cuenta $FORJA_ADMIN no existe o no es del grupo wheel"
awk -F: '$2 ~ /^\$/ {print $1}' /etc/shadow | while read -r account; do
    set -- chage --maxdays "$FORJA_PASSWORD_MAX_DAYS" --mindays "$FORJA_PASSWORD_MIN_DAYS" --warndays 10 "$account"
    # An old password would lapse at once, and with it a service that sends mail.
    if [ -n "$running" ]; then to_do "sudo $*"; else "$@"; fi
done

# --- Files that packages own --------------------------------------------------
# RHEL's shells set 002 or 022 before /etc/profile.d has its say, and for shells that never read it.
for file in /etc/profile /etc/bashrc /etc/csh.cshrc; do
    [ -f "$file" ] || continue
    sed -i -E 's/^([[:space:]]*umask[[:space:]]+)0?0?[02]2/\1027/' "$file"
    ! grep -qE '^[[:space:]]*umask[[:space:]]+0?0?[02]2' "$file" || fail "umask en $file"
done
chmod 0600 /etc/crontab
# With cron.allow and no cron.deny, only those listed may use cron.
rm -f /etc/cron.deny /etc/at.deny
[ -e /var/log/sudo.log ] || : > /var/log/sudo.log
chmod 0600 /var/log/sudo.log

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
# Ctrl-Alt-Del reboots, a root shell on tty9, memory dumps, and RHEL's host keys: the first boot makes fewer and longer.
systemctl mask ctrl-alt-del.target debug-shell.service kdump.service sshd-keygen.target
for unit in $FORJA_SERVICES; do
    [ "$(systemctl is-enabled "$unit")" = enabled ] || fail "$unit no ha quedado habilitado"
done

# --- A mistake in one of these locks everybody out, or leaves the machine without logs: better now than at boot -----
visudo -c -q || fail "/etc/sudoers"
rsyslogd -N 1 > /dev/null || fail "/etc/rsyslog.conf"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
mkdir -p /run/sshd # Debian's sshd wants it even for a test
sshd=$(command -v sshd || echo /usr/sbin/sshd)
"$sshd" -t -h "$work/key" || fail "/etc/ssh/sshd_config"

# --- Initramfs ----------------------------------------------------------------
# A server in use boots on the hypervisor that it is on: the next kernel brings the drivers of the other one.
# Only where dracut makes it; the laboratory's has the drivers already, and a test looks into both.
if [ -z "$running" ] && command -v dracut > /dev/null; then
    dracut --force --regenerate-all
    for image in /boot/initramfs-*.img; do
        "$FORJA_LIST_INITRAMFS" "$image" > "$work/content"
        for driver in hv_vmbus hv_storvsc hv_netvsc virtio_blk virtio_scsi; do
            grep -q "/$driver\.ko" "$work/content" || fail "$image no contiene $driver"
        done
    done
fi
