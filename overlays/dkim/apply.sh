#!/bin/sh
# The configuration as OpenDKIM reads it, and the key that the site brought: better refused now than at the first message.
set -eu
opendkim -n -x /etc/opendkim.conf
if [ -e /etc/opendkim/keys/forja.private ]; then /usr/libexec/forja/dkim-registro >/dev/null; fi
