#!/bin/sh
# Mode, booleans, ports and types, into the policy's store: no policy is loaded (-N), for the kernel that runs now is the
# installer's. The lines of selinux.semanage are those of `semanage export`; what is there already is left out, since
# semanage refuses to define a thing twice.
#   antivirus_can_scan_system 0: clamd reads only what amavis gives it, in /var/spool/amavisd (antivirus_db_t)
#   antivirus_use_jit 0: bytecode signatures are interpreted; no memory both written and executed
#   saslauthd_read_shadow 0: PAM asks unix_chkpwd
#   postfix_local_write_mail_spool 1: local(8) delivers to /var/spool/mail
#   deny_ptrace 1: nobody looks into a running process, not even root
#   /var/log/faillock: the policy knows pam_faillock's records below /run only
#   /etc/opendkim/keys: the policy knows /etc/mail/dkim-milter/keys only
# Ports 25, 587, 10024, 10025, 8891, 6514 and the sockets in /run have their types in the policy already.
set -eu
command -v semanage > /dev/null || exit 0 # nothing to set where there is no policy; the tests see it

fail() { echo "FORJA ERROR: selinux: $*" >&2; exit 1; }

# A server in use that has none must be labelled first: enforcing at its next boot, nobody would get in.
if [ -n "${FORJA_RUNNING:-}" ] && [ "$(getenforce)" = Disabled ]; then
    fail "SELinux está desactivado: antes, SELINUX=permissive, touch /.autorelabel y reiniciar"
fi

config=/etc/selinux/config
sed -i -E -e 's/^SELINUX=.*/SELINUX=enforcing/' -e 's/^SELINUXTYPE=.*/SELINUXTYPE=targeted/' "$config"
grep -qx 'SELINUX=enforcing' "$config" || fail "$config no dice enforcing"
grep -qx 'SELINUXTYPE=targeted' "$config" || fail "$config no dice targeted"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
semanage export -S targeted > "$work/now"
grep -vxFf "$work/now" /usr/lib/forja/selinux.semanage > "$work/missing" || true
[ ! -s "$work/missing" ] || semanage import -N -S targeted -f "$work/missing"
# For those whose files are made here and now; the rest is labelled when the image is sealed.
[ ! -d /etc/opendkim/keys ] || restorecon -RF /etc/opendkim/keys
