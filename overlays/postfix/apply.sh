#!/bin/sh
# Postfix, once all files are in place: group, mail program, tables, jail, and Postfix's own word that it takes them.
set -eu
umask 022

# Accounts that may submit at 587: useradd -M -s /sbin/nologin -G correo NAME
getent group correo >/dev/null || groupadd --system correo

# sendmail(8), mailq and the PAM service are RHEL's alternatives: they must mean Postfix.
if command -v alternatives >/dev/null 2>&1; then alternatives --set mta /usr/sbin/sendmail.postfix; fi

# Debian's package has rsyslog listen inside the jail.
rm -f /etc/rsyslog.d/postfix.conf
for log in /var/log/maillog /var/log/maillog.err; do
    [ -e "$log" ] || : >"$log"
    chown root:root "$log"
    chmod 0600 "$log"
done

# Keys that packages made here and now, and that every machine made from the image would share. Nothing uses them; on a
# server in use, which has its own, something may.
if [ -z "${FORJA_RUNNING:-}" ]; then
    rm -f /etc/pki/tls/private/postfix.key /etc/pki/tls/certs/postfix.pem
    rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
fi

/usr/libexec/forja/jaula

# postconf only warns of a name that this Postfix does not know, and the protection would be off: any word is an error.
for list in -n -M -P; do
    said=$(postconf "$list" 2>&1 >/dev/null)
    if [ -n "$said" ]; then
        printf 'postconf %s: %s\n' "$list" "$said" >&2
        exit 1
    fi
done
for table in header_checks mime_header_checks body_checks sender_login; do
    said=$(printf 'Forja: prueba\n' | postmap -q - "regexp:/etc/postfix/$table" 2>&1) || [ $? -eq 1 ]
    if [ -n "$said" ]; then
        printf '/etc/postfix/%s: %s\n' "$table" "$said" >&2
        exit 1
    fi
done

said=$(postmap -q prueba.example texthash:/etc/postfix/transport 2>&1) || [ $? -eq 1 ]
if [ -n "$said" ]; then
    printf '/etc/postfix/transport: %s\n' "$said" >&2
    exit 1
fi

newaliases
# RHEL's unit makes the aliases anew at each start unless this file says that nobody else has touched them.
if [ -e /var/lib/misc/postfix.aliasesdb-stamp ]; then touch -r /etc/aliases.db /var/lib/misc/postfix.aliasesdb-stamp; fi

postfix check
