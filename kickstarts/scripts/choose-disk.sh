# The one fixed disk that is not the medium. More than one: a person must decide, so nothing is erased.
medium=$(findmnt -n -o SOURCE --target /run/install/repo)
medium_disk=$(lsblk -n -o PKNAME "$medium" | head -n 1)
medium_disk=${medium_disk:-${medium#/dev/}}
disks=$(lsblk -d -n -b -o NAME,TYPE,RM,RO,SIZE | awk -v medium="$medium_disk" \
    '$2 == "disk" && $3 == 0 && $4 == 0 && $5 > 0 && $1 != medium && $1 !~ /^(fd|zram|ram|loop|sr)/ {print $1}')
count=$(printf '%s' "$disks" | grep -c . || true)
if [ "$count" -ne 1 ]; then
    report "ERROR: hacen falta un disco fijo y solo uno para instalar; hay $count: $(printf '%s' "$disks" | tr '\n' ' ')"
    exit 1
fi
disk=$disks
# The menu's entry that starts by itself never erases a server: the medium may have been forgotten in it. The one that
# a person chooses says forja.reinstalar.
if ! grep -qw forja.reinstalar /proc/cmdline &&
    pvs --noheadings -o vg_name,pv_name 2> /dev/null | grep -Eq "^ *sistema +/dev/$disk(p?[0-9]+)? *$"; then
    report "ERROR: en $disk ya hay un servidor instalado; para borrarlo elija en el menú la entrada de reinstalar"
    exit 1
fi
case $medium in
    /dev/sr*) source=cdrom ;;
    *) source='url --url=file:///run/install/repo' ;; # a USB stick: the medium is mounted there already
esac
