for log in /tmp/forja-*.log /mnt/sysimage/root/forja-*.log /tmp/anaconda.log; do
    [ -s "$log" ] || continue
    printf 'FORJA final de %s:\n' "$log" > /dev/console
    tail -n 15 "$log" > /dev/console
done
printf 'FORJA FIN: la instalación ha fallado\n' > /dev/console
