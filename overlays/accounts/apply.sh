#!/bin/sh
# Accounts that exist already, the PAM stack, and files that packages own. Runs in the target, in a chroot; on a server in
# use (docs/reference/overlay.md) the accounts are the organisation's: what would be done to them is told.
set -eu
. /usr/lib/forja/platform.env

fail() { echo "FORJA ERROR: accounts: $*" >&2; exit 1; }
own() { if [ -n "${FORJA_RUNNING:-}" ]; then echo "FORJA PENDIENTE: sudo $*"; else "$@"; fi; }

# --- Accounts -----------------------------------------------------------------
# The installer made the administrator by its own login.defs: ageing is set on what exists.
id -nG "$FORJA_ADMIN" | grep -qw wheel || fail "la cuenta $FORJA_ADMIN no existe o no es del grupo wheel"
awk -F: '$2 ~ /^\$/ {print $1}' /etc/shadow | while read -r account; do
    # An old password would lapse at once, and with it a service that sends mail.
    own chage --maxdays "$FORJA_PASSWORD_MAX_DAYS" --mindays "$FORJA_PASSWORD_MIN_DAYS" --warndays 10 --inactive 30 "$account"
done
for account in $FORJA_NEEDLESS_ACCOUNTS; do
    ! getent passwd "$account" > /dev/null || own userdel "$account"
    ! getent group "$account" > /dev/null || own groupdel "$account"
done
awk -F: '$3 != 0 && $3 < 1000 && $7 !~ /\/(nologin|false)$/ {print $1}' /etc/passwd | while read -r account; do
    own usermod --shell /sbin/nologin "$account"
done

# --- PAM ----------------------------------------------------------------------
if [ ! -e /etc/security/opasswd ]; then (umask 077 && : > /etc/security/opasswd); fi
chmod 0600 /etc/security/opasswd
forja_select_pam || fail "no se ha podido poner en uso la autenticación de /etc/authselect/custom/forja"

# --- Files that packages own --------------------------------------------------
# RHEL's shells set 002 or 022 before /etc/profile.d has its say, and for shells that never read it.
for file in /etc/profile /etc/bashrc /etc/csh.cshrc; do
    [ -f "$file" ] || continue
    sed -i -E 's/^([[:space:]]*umask[[:space:]]+)0?0?[02]2/\1027/' "$file"
    ! grep -qE '^[[:space:]]*umask[[:space:]]+0?0?[02]2' "$file" || fail "umask en $file"
done
chmod 0600 /etc/crontab
# With cron.allow and at.allow, only those listed may use cron and at.
rm -f /etc/cron.deny /etc/at.deny

# --- A mistake here locks everybody out: better now than at boot ---------------
[ -e /var/log/sudo.log ] || : > /var/log/sudo.log
chmod 0600 /var/log/sudo.log
visudo -c -q || fail "/etc/sudoers"
