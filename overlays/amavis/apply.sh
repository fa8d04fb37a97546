#!/bin/sh
# amavis, once all files are in place: what packages run by cron, and amavis's own word that it takes its configuration.
set -eu
umask 022

fail() { echo "FORJA ERROR: amavis: $*" >&2; exit 1; }

# Debian's package synchronises Bayes from here, as an account with a shell.
rm -f /etc/cron.d/amavisd-new
# Refused while something runs as amavis, unless all is so already.
said=$(usermod --shell /sbin/nologin --home /var/spool/amavisd amavis 2>&1) || fail "detenga antes el filtro: $said"

# It loads all that it would load, and ends.
said=$(runuser -u amavis -- /usr/sbin/amavisd -c /etc/amavisd/amavisd.conf showkeys 2>&1) || fail "$said"
for program in gzip bzip2 xz cpio cabextract 7za file; do
    command -v "$program" > /dev/null || fail "falta $program: no se podrían abrir los adjuntos"
done
