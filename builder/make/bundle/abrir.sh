#!/bin/sh
# Abre lo que `make bundle` de Forja ha hecho: comprueba la firma y cada parte, y lo deja en una carpeta.
# Opens what Forja's `make bundle` made: checks the signature and every part, and unpacks it into a folder.
#
#   sh abrir.sh --key HUELLA [--check] [CARPETA]
#   sh abrir.sh --unsigned [--check] [CARPETA]
#
#   --key HUELLA  la huella de quien firma, que llegó por otra vía    the signer's fingerprint, got by another way
#   --unsigned    nadie lo ha firmado, y se abre igual                nobody signed it, and it is opened all the same
#   --check       solo comprobar                                      only check
#   CARPETA       la que se crea (por omisión, la del nombre)         the one that is made (default: by its name)
#
# Necesita / needs: coreutils, tar, gpgv. No usa la red / uses no network.
# Termina con / ends with: 0; 2 lo traído no vale / what was brought is no good; 4 al equipo le falta algo / the host
# lacks something; 5 no se pudo desempaquetar / it could not be unpacked.
set -eu
umask 022

case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in en*) lang=en ;; *) lang=es ;; esac
LC_ALL=C
export LC_ALL

# Both take a text in Spanish and the same in English.
say() { if [ "$lang" = en ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi >&2; }
stop() { code=$1; shift; say "error: $1" "error: $2"; exit "$code"; }

usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

key='' unsigned='' check='' folder=''
while [ $# -gt 0 ]; do
    case $1 in
        --key) [ $# -gt 1 ] || usage; key=$(printf %s "$2" | tr -d '[:space:]' | tr a-f A-F); shift ;;
        --unsigned) unsigned=yes ;;
        --check) check=yes ;;
        -*) usage ;;
        *) [ -z "$folder" ] || usage; folder=$1 ;;
    esac
    shift
done
[ -n "$key$unsigned" ] || usage
[ -z "$key" ] || [ -z "$unsigned" ] || usage
case $folder in '' | /*) ;; *) folder=$PWD/$folder ;; esac
from=$PWD
cd -- "$(dirname -- "$0")"

# Say whether SHA256SUMS is signed by the key: the one that signs, or the primary key that it belongs to.
signed_by() {
    gpgv --keyring ./clave.gpg --status-fd 1 SHA256SUMS.asc SHA256SUMS 2>/dev/null | {
        found=''
        while read -r mark word signer rest; do
            [ "$mark $word" = '[GNUPG:] VALIDSIG' ] || continue
            [ "$signer" != "$1" ] && [ "${rest##* }" != "$1" ] || found=yes
        done
        [ -n "$found" ]
    }
}

[ -f SHA256SUMS ] || stop 2 "falta SHA256SUMS junto a este programa" "SHA256SUMS is not beside this program"
if [ -n "$unsigned" ]; then
    [ ! -f SHA256SUMS.asc ] || stop 2 "está firmado: ábralo con --key HUELLA" "it is signed: open it with --key"
    say '*** NADIE LO HA FIRMADO: las sumas muestran daños, no de quién viene ***' \
        '*** NOBODY HAS SIGNED THIS: the sums show damage, not whom it is from ***'
else
    case $key in *[!0-9A-F]*) key='' ;; esac
    [ ${#key} -eq 40 ] || stop 2 "la huella de una clave tiene 40 cifras hexadecimales" \
        "the fingerprint of a key has 40 hexadecimal digits"
    command -v gpgv >/dev/null || stop 4 "falta gpgv (paquete gpgv de Debian, gnupg2 de RHEL)" \
        "gpgv is not on this host (package gpgv of Debian, gnupg2 of RHEL)"
    for name in SHA256SUMS.asc clave.gpg; do
        [ -f "$name" ] || stop 2 "falta $name: sin él no se sabe quién lo firma" \
            "$name is missing: without it nobody knows who signed"
    done
    signed_by "$key" || stop 2 "la firma no es de la clave $key, o SHA256SUMS ha cambiado: no lo use" \
        "the signature is not by the key $key, or SHA256SUMS has changed: do not use it"
    say "firma correcta de $key" "good signature by $key"
fi

# Every file is looked at before anything is said: one journey may have to bring several again.
bad='' archive='' bytes=0
set --
while read -r sum name; do
    case $name in
        '' | .* | */*) stop 2 "SHA256SUMS nombra '$name', que no puede ser" "SHA256SUMS names '$name', which can't be" ;;
        *.tar | *.tar.[0-9][0-9][0-9]) archive=${name%%.tar*} ;;
    esac
    if [ ! -f "$name" ]; then
        bad="$bad $name"
        say "FALTA    $name" "MISSING  $name"
    elif [ "$(sha256sum <"$name" 2>/dev/null | cut -c 1-64)" != "$sum" ]; then
        bad="$bad $name"
        say "DAÑADO   $name" "DAMAGED  $name"
    else
        say "bien     $name" "good     $name"
        case $name in *.tar | *.tar.[0-9][0-9][0-9]) set -- "$@" "$name"; bytes=$((bytes + $(wc -c <"$name"))) ;; esac
    fi
done <SHA256SUMS
[ -z "$bad" ] || stop 2 "hay que traer otra vez:$bad" "to be brought again:$bad"
[ $# -gt 0 ] || stop 2 "SHA256SUMS no nombra ningún archivo .tar" "SHA256SUMS names no .tar"
[ -z "$check" ] || exit 0

folder=${folder:-$from/$archive}
[ ! -e "$folder" ] || stop 2 "$folder ya existe" "$folder exists already"
partial=$folder.part
mkdir -p -- "$(dirname -- "$folder")"
free=$(df -Pk -- "$(dirname -- "$folder")" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)
[ "$free" -gt $((bytes / 1024 + 10240)) ] || stop 4 "hacen falta $((bytes / 1048576 + 10)) MiB donde está $folder" \
    "it takes $((bytes / 1048576 + 10)) MiB where $folder is"
rm -rf -- "$partial"
trap 'rm -rf -- "$partial"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -- "$partial"
cat -- "$@" | tar -x -f - -C "$partial" --strip-components=1 --no-same-owner ||
    stop 5 "no se pudo desempaquetar en $folder" "it could not be unpacked into $folder"
mv -- "$partial" "$folder"
say "Forja está en $folder" "Forja is in $folder"
say "siguiente:  cd '$folder' && builder/host/set-up.sh image lab && make image PROFILE=clasificado" \
    "next:  cd '$folder' && builder/host/set-up.sh image lab && make image PROFILE=clasificado"
