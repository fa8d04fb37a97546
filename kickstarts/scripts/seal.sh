# A golden image has no identity and no history of its own.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /boot/loader/random-seed
rm -f /root/anaconda-ks.cfg /root/original-ks.cfg /root/.bash_history /home/*/.bash_history
rm -rf /var/log/anaconda /var/log/journal/* /var/cache/dnf /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache
rm -f /var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key /var/lib/NetworkManager/seen-bssids
rm -f /var/lib/NetworkManager/timestamps /var/lib/dhclient/* /var/lib/dhcp/* /var/lib/chrony/drift
rm -f /var/lib/forja/primer-arranque
find /tmp /var/tmp -mindepth 1 -delete
find /var/log -type f ! -path '/var/log/forja/*' -exec truncate --size=0 {} +
if command -v setfiles > /dev/null; then
    # Works on the files themselves, so it does not matter whether the installer's kernel enforces anything.
    setfiles -F -e /proc -e /sys -e /dev -e /run /etc/selinux/targeted/contexts/files/file_contexts / > /dev/null
fi
# The last that touches a file: what is there now is what the machine is compared with.
if [ -x /usr/libexec/forja/integridad ]; then
    /usr/libexec/forja/integridad inicial
    if command -v setfiles > /dev/null; then
        setfiles -F /etc/selinux/targeted/contexts/files/file_contexts /var/lib/aide
    fi
fi
sync
fstrim --all || true # a disk that can't discard stays larger, no worse
