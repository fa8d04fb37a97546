#!/bin/sh
# The initramfs, once dracut's configuration and the modules that are refused are in place.
set -eu
. /usr/lib/forja/platform.env

fail() { echo "FORJA ERROR: boot: $*" >&2; exit 1; }

# Only where dracut makes it; the laboratory's has the drivers already, and a test looks into both. A server in use boots on
# the hypervisor that it is on: its next kernel brings the drivers of the other one.
[ -z "${FORJA_RUNNING:-}" ] && command -v dracut > /dev/null || exit 0
content=$(mktemp)
trap 'rm -f "$content"' EXIT
dracut --force --regenerate-all
for image in /boot/initramfs-*.img; do
    "$FORJA_LIST_INITRAMFS" "$image" > "$content"
    for driver in hv_vmbus hv_storvsc hv_netvsc virtio_blk virtio_scsi; do
        grep -q "/$driver\.ko" "$content" || fail "$image no contiene $driver"
    done
done
