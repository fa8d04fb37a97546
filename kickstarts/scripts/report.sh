# Every line for the person starts with FORJA; the build watches the console for them.
set -Eeuo pipefail
report() { printf 'FORJA %s\n' "$*" > /dev/console || true; }
trap 'report "ERROR: línea $LINENO: $BASH_COMMAND"' ERR
