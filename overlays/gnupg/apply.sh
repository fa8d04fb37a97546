#!/bin/sh
# Key rings of the people that there are already; those who come later get theirs from /etc/skel.
set -eu
umask 077

awk -F: '$3 == 0 || $3 >= 1000 && $3 < 60000 { print $3, $4, $6 }' /etc/passwd | while read -r uid gid home; do
    [ -d "$home" ] || continue
    if [ -n "${FORJA_RUNNING:-}" ] && [ -e "$home/.gnupg" ]; then
        echo "FORJA PENDIENTE: comparar $home/.gnupg con /etc/skel/.gnupg: el anillo que ya había no se toca"
        continue
    fi
    mkdir -p "$home/.gnupg"
    cp /etc/skel/.gnupg/*.conf "$home/.gnupg/"
    chown -R "$uid:$gid" "$home/.gnupg"
    chmod 0700 "$home/.gnupg"
    chmod 0600 "$home/.gnupg"/*
done

# A wrong word in one of them keeps the program from working at all.
ring=$(mktemp -d)
trap 'rm -rf "$ring"' EXIT
cp /etc/skel/.gnupg/*.conf "$ring"
gpg --homedir "$ring" --batch --no-autostart --list-keys
gpgsm --homedir "$ring" --batch --no-autostart --list-keys
dirmngr --homedir "$ring" --gpgconf-test
gpg-agent --homedir "$ring" --gpgconf-test
