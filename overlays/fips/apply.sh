#!/bin/sh
# Crypto policy FIPS, the mark /etc/system-fips, and an initramfs that checks the kernel. Not the boot loader: the
# installer has put fips=1 and boot= there already.
set -eu
command -v fips-mode-setup > /dev/null || exit 0 # nothing to set where there is no such mode; the tests see it

fail() { echo "FORJA ERROR: fips: $*" >&2; exit 1; }

grep -qw 'fips=1' /proc/cmdline || fail "el instalador no ha arrancado con fips=1: arranque la entrada de este medio"
fips-mode-setup --enable --no-bootcfg
[ "$(update-crypto-policies --show)" = FIPS ] || fail "la política criptográfica no es FIPS"
