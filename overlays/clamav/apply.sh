#!/bin/sh
# ClamAV, once all files are in place: the account that clamd runs as, the signatures that the medium brought, and the
# check that an engine with our own test signature knows the EICAR file.
set -eu
umask 022

fail() { echo "FORJA ERROR: clamav: $*" >&2; exit 1; }

# EPEL's clamd package makes it.
getent passwd clamscan > /dev/null ||
    useradd --system --user-group --no-create-home --home-dir / --shell /sbin/nologin clamscan

brought=/usr/lib/forja/firmas
if [ -d "$brought" ]; then
    /usr/libexec/forja/firmas instalar "$brought"
    rm -rf "$brought"
fi
/usr/libexec/forja/firmas estado || [ $? -lt 3 ]

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# In two pieces, for this script is no test file.
# shellcheck disable=SC2016
printf '%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}$' 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*' > "$work/eicar"
said=$(clamscan --no-summary --database=/var/lib/clamav/forja-prueba.ndb "$work/eicar") || true
case $said in
    *FOUND) ;;
    *) fail "la firma de prueba no reconoce EICAR: $said" ;;
esac
