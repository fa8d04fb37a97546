# The one log of the installation that stays, for the audit: what our scripts said. It holds no secret.
target=/mnt/sysimage/var/log/forja
install -d -m 0700 "$target"
for log in /tmp/forja-*.log /mnt/sysimage/root/forja-*.log; do
    [ -e "$log" ] || continue
    printf '== %s\n' "${log##*/}"
    cat "$log"
done > "$target/instalacion.log"
chmod 0600 "$target/instalacion.log"
rm -f /mnt/sysimage/root/forja-*.log
