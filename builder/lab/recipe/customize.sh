#!/bin/sh
# Make a Debian root file system look, where a kickstart looks, like what Anaconda installs.
# Called by mmdebstrap as a customize hook: ROOT NAME "STAGE2 PACKAGES" "BOOT PACKAGES".
set -eu
root=$(readlink -f "${1:?usage: customize.sh ROOT NAME PACKAGES PACKAGES}")
name=${2:?} stage2_packages=${3:?} boot_packages=${4:?}
if [ "$root" = / ] || [ ! -e "$root/etc/debian_version" ] || [ ! -d "$root/var/lib/dpkg" ]; then
    echo "customize.sh: '$root' is not a root file system under construction" >&2
    exit 2
fi

# Unpack packages beside the payload: the live installer and the medium need them, the target does not.
unpack_beside() {
    rm -f "$root"/var/cache/apt/archives/*.deb
    # shellcheck disable=SC2086 # a list of packages
    chroot "$root" apt-get -qq --no-install-recommends --download-only install $2 </dev/null
    mkdir -p "$root/beside/$1"
    for deb in "$root"/var/cache/apt/archives/*.deb; do
        [ -e "$deb" ] || continue
        chroot "$root" dpkg-deb -x "${deb#"$root"}" "/beside/$1"
        rm -f "$deb"
    done
}
unpack_beside stage2 "$stage2_packages"
unpack_beside boot "$boot_packages"

# The EFI files where the RPMs of shim and grub2-efi put them.
esp=$root/boot/efi/EFI
mkdir -p "$esp/debian" "$esp/BOOT"
cp "$root/usr/lib/shim/shimx64.efi.signed" "$esp/debian/shimx64.efi"
cp "$root/usr/lib/shim/mmx64.efi.signed" "$esp/debian/mmx64.efi"
cp "$root/usr/lib/shim/BOOTX64.CSV" "$esp/debian/BOOTX64.CSV"
cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/debian/grubx64.efi"
cp "$root/usr/lib/shim/shimx64.efi.signed" "$esp/BOOT/BOOTX64.EFI"
cp "$root/usr/lib/shim/fbx64.efi.signed" "$esp/BOOT/fbx64.efi"

# The initramfs must find its root under KVM and under Hyper-V, whatever it was built on.
printf '%s\n' hv_vmbus hv_storvsc hv_netvsc virtio_pci virtio_blk virtio_scsi virtio_net xfs dm-mod \
    >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all

# RHEL's grub2: the password of /boot/grub/user.cfg, asked for editing but not for booting.
cp "$(dirname "$0")/01_users" "$root/etc/grub.d/01_users"
chmod 755 "$root/etc/grub.d/01_users"
sed -i 's/^CLASS="--class gnu-linux/CLASS="--unrestricted --class gnu-linux/' "$root/etc/grub.d/10_linux"
grep -q -- --unrestricted "$root/etc/grub.d/10_linux"

# RHEL's administrators are in wheel, and its sudoers lets them.
grep -q '^wheel:' "$root/etc/group" || chroot "$root" groupadd --system wheel
if [ -e "$root/etc/sudoers" ]; then
    sed -i 's/^%sudo\b.*/%wheel\tALL=(ALL)\tALL/' "$root/etc/sudoers"
    grep -q '^%wheel' "$root/etc/sudoers"
fi

# RHEL makes the SSH host keys at boot when there are none (sshd-keygen@.service).
rm -f "$root"/etc/ssh/ssh_host_*
if [ -e "$root/usr/sbin/sshd" ]; then
    cp "$(dirname "$0")/sshd-keygen.service" "$root/etc/systemd/system/"
    chroot "$root" systemctl enable --quiet sshd-keygen.service
fi

# Whoever logs in must see at once what this is.
rm -f "$root/etc/os-release"
sed "s/^PRETTY_NAME=.*/PRETTY_NAME=\"$name (no es RHEL)\"/" "$root/usr/lib/os-release" >"$root/etc/os-release"
printf '%s (no es RHEL) \\n \\l\n\n' "$name" >"$root/etc/issue"
printf '%s (no es RHEL)\n' "$name" >"$root/etc/issue.net"
: >"$root/etc/motd"

# The console's keyboard map takes a minute to compile under emulation: here it is, for a Spanish keyboard.
# The installer writes the same file for the same keyboard, and throws these away for any other.
printf 'XKBMODEL="pc105"\nXKBLAYOUT="es"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n' \
    >"$root/etc/default/keyboard"
chroot "$root" setupcon --save-only --force

# Kernel links in / are Debian's habit, not RHEL's.
printf 'do_symlinks = no\n' >"$root/etc/kernel-img.conf"
rm -f "$root"/vmlinuz* "$root"/initrd.img*

# Nothing of the machine that made it.
: >"$root/etc/machine-id"
rm -f "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/resolv.conf" \
    "$root/var/lib/systemd/random-seed" "$root/etc/ssl/private/ssl-cert-snakeoil.key" \
    "$root/etc/ssl/certs/ssl-cert-snakeoil.pem" "$root/usr/sbin/policy-rc.d"
: >"$root/etc/resolv.conf"
printf 'localhost.localdomain\n' >"$root/etc/mailname"
printf 'localhost\n' >"$root/etc/hostname"
printf '127.0.0.1   localhost localhost.localdomain\n::1         localhost localhost.localdomain\n' \
    >"$root/etc/hosts"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old \
    "$root"/var/lib/dpkg/*-old
find "$root/var/log" -type f -delete

# EPEL's clamd logs by syslog alone, and has no rules for rotating files of its own, which are errors without them.
rm -f "$root"/etc/logrotate.d/clamav-*
