#!/bin/sh
# The rules are checked before the image boots with them: firewalld with a broken zone starts, and lets nobody in.
set -eu
export SYSTEMD_OFFLINE=1

firewall-offline-cmd --check-config
zone=$(firewall-offline-cmd --get-default-zone)
[ "$zone" = drop ] || { echo "FORJA ERROR: firewall: la zona por defecto es $zone" >&2; exit 1; }
# nftables.service would load rules of its own over firewalld's. On a server in use they are somebody's: not ours to end.
if [ -n "${FORJA_RUNNING:-}" ]; then
    for unit in nftables iptables ip6tables; do
        if [ "$(systemctl is-enabled "$unit.service" 2>/dev/null)" = enabled ]; then
            echo "FORJA ERROR: firewall: $unit está habilitado: lleve sus reglas a firewalld y deshabilítelo antes" >&2
            exit 1
        fi
    done
fi
systemctl mask nftables.service iptables.service ip6tables.service
