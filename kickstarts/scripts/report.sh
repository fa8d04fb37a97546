# Every line for the person starts with FORJA; the build watches the console for them, and livemedia-creator, which
# connects the serial port to nothing, the installer's log.
set -Eeuo pipefail
report() {
    printf 'FORJA %s\n' "$*" > /dev/console || true
    logger --tag forja "FORJA $*" 2> /dev/null || true
}
trap 'report "ERROR: línea $LINENO: $BASH_COMMAND"' ERR
