#!/bin/sh
# SpamAssassin, once all files are in place: only our list of plug-ins, no rules fetched by cron, and its own check.
set -eu
umask 022
. /usr/lib/forja/platform.env

fail() { echo "FORJA ERROR: spamassassin: $*" >&2; exit 1; }

for file in "$FORJA_SPAMASSASSIN"/*.pre; do
    [ "${file##*/}" = forja.pre ] || sed -i -E 's/^[[:space:]]*(try)?loadplugin/# forja.pre: &/' "$file"
done
rm -f /etc/cron.d/sa-update /etc/cron.daily/spamassassin

# Warnings end with 0.
said=$(spamassassin --nocreate-prefs --local --lint 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"
