# Owner and mode are declared for every file: given before the hooks, which rely on them, and again after them, for
# a hook or a package's trigger may have changed them.
give_owners_and_modes() {
    while IFS=$'\t' read -r mode owner _ path; do
        chown --no-dereference "$owner" "$path"
        [ -L "$path" ] || chmod "$mode" "$path"
    done < /usr/lib/forja/entries.tsv
}

give_owners_and_modes
for hook in /usr/lib/forja/apply.d/*.sh; do
    [ -e "$hook" ] || continue
    report "aplica ${hook##*/}"
    if ! said=$(/bin/sh "$hook" 2>&1); then
        printf '%s\n' "$said"
        report "ERROR: ${hook##*/}: $(printf '%s' "$said" | tail -n 1)"
        exit 1
    fi
    printf '%s\n' "$said"
done
give_owners_and_modes
rm -rf /usr/lib/forja/apply.d
