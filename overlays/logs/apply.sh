#!/bin/sh
# rsyslog starts with a mistake in its files too, and logs less: better seen now.
set -eu
said=$(rsyslogd -N 1 2>&1) || { printf 'FORJA ERROR: logs: %s\n' "$said" >&2; exit 1; }
