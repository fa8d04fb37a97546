#!/bin/sh
# What speaks to others, or makes what is a server's own, waits for the mark that a seed leaves.
set -eu
. /usr/lib/forja/semilla.env

fail() { echo "FORJA ERROR: seed: $*" >&2; exit 1; }
for folder in $FORJA_WAITING; do
    (umask 022 && mkdir -p "$folder")
    printf '# Closed until a seed was applied (forja-semilla).\n[Unit]\nConditionPathExists=/var/lib/forja/semilla\n' \
        > "$folder/05-forja-semilla.conf"
    chmod 0644 "$folder/05-forja-semilla.conf"
done
[ ! -e /var/lib/forja/semilla ] || fail "la imagen trae la marca de una semilla"
if [ -e /etc/forja/semilla.pem ]; then
    openssl pkey -pubin -in /etc/forja/semilla.pem -noout || fail "seed.key no es una clave pública en PEM"
fi
