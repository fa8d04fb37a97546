# One disk boots on both firmwares. The configuration is one, in /boot; the file on the EFI system partition only
# leads there (RHEL 8.3 keeps two, and a symbolic link for grubenv that GRUB can't follow across file systems).
. /usr/lib/forja/platform.env
grub=/boot/$FORJA_GRUB_DIR
vendor=/boot/efi/EFI/$FORJA_EFI_DIR
boot_uuid=$(findmnt -n -o UUID --mountpoint /boot)
boot_disk=/dev/$(lsblk -n -o PKNAME "$(findmnt -n -o SOURCE --mountpoint /boot)" | head -n 1)

if [ -s "$vendor/user.cfg" ]; then
    mv "$vendor/user.cfg" "$grub/user.cfg"
fi
if [ -L "$grub/grubenv" ]; then
    cp --remove-destination "$(readlink -f "$grub/grubenv")" "$grub/grubenv"
fi
if [ -n "$FORJA_GRUB_MKCONFIG" ]; then
    # The BLS entries take their arguments from kernelopts in grubenv; grub.cfg holds them too, in case it is lost.
    "$FORJA_GRUB_MKCONFIG" -o "$grub/grub.cfg"
fi
"$FORJA_GRUB_INSTALL" --target=i386-pc "$boot_disk"
rm -f "$vendor/grubenv"
cat > "$vendor/grub.cfg" <<STUB
search --no-floppy --fs-uuid --set=dev $boot_uuid
set prefix=(\$dev)/$FORJA_GRUB_DIR
export prefix
configfile \$prefix/grub.cfg
STUB
chmod 0700 "$grub"
chmod 0600 "$grub/grub.cfg" "$grub/user.cfg"
if [ -e "$grub/grubenv" ]; then chmod 0600 "$grub/grubenv"; fi
test -s /boot/efi/EFI/BOOT/BOOTX64.EFI
test -s "$grub/i386-pc/core.img"
grep -q '^GRUB2_PASSWORD=grub\.pbkdf2' "$grub/user.cfg"
report "arranque BIOS y UEFI"
