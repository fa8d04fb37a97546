#!/bin/sh
# The groups, and who is in them. The kickstart made the accounts, with their keys and passwords.
set -eu

for group in correo-admin correo-auditor; do
    getent group "$group" >/dev/null || groupadd --system "$group"
done
while read -r user group; do
    usermod --append --groups "$group" "$user"
done </usr/lib/forja/roles.tsv

visudo -c -q || { echo "FORJA ERROR: roles: /etc/sudoers.d/50-forja-roles" >&2; exit 1; }
