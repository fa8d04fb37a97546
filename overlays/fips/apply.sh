#!/bin/sh
# Crypto policy FIPS, the mark /etc/system-fips, and an initramfs that checks the kernel. Not the boot loader: the
# installer has put fips=1 and boot= there already.
set -eu
command -v fips-mode-setup > /dev/null || exit 0 # nothing to set where there is no such mode; the tests see it

fail() { echo "FORJA ERROR: fips: $*" >&2; exit 1; }

if [ -n "${FORJA_RUNNING:-}" ]; then # kernel, initramfs and boot loader are the operator's
    [ "$(cat /proc/sys/crypto/fips_enabled)" = 1 ] || fail "antes: sudo fips-mode-setup --enable, y reiniciar"
    exit 0
fi
grep -qw 'fips=1' /proc/cmdline || fail "el instalador no ha arrancado con fips=1: arranque la entrada de este medio"
fips-mode-setup --enable --no-bootcfg
[ "$(update-crypto-policies --show)" = FIPS ] || fail "la política criptográfica no es FIPS"
