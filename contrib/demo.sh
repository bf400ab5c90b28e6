#!/bin/sh
# What Tarragon does, in one minute: an encrypted backup of a real folder, a change, an incremental backup, both times
# restored and compared. Every command is printed before it runs. `make demo` calls this; `tarragon` must be on the PATH.
#
#     contrib/demo.sh [FOLDER]          FOLDER: what to back up; default: a real folder of this machine
#
# Nothing outside a temporary folder is written: cache, state and keys live there too, and it is removed at the end.

set -eu

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@"; }

pick() { # the first folder that is there and has some megabytes, but not hundreds
    for folder in /usr/share/doc /usr/share/perl /usr/share/zoneinfo /usr/share/locale /usr/share/info; do
        size=$(du -sm "$folder" 2>/dev/null | cut -f 1)
        if [ "${size:-0}" -ge 4 ] && [ "${size:-0}" -le 150 ]; then
            echo "$folder"
            return
        fi
    done
    echo /etc
}

command -v tarragon >/dev/null || { echo "demo.sh: tarragon is not on the PATH; 'make setup' makes it" >&2; exit 1; }
command -v gpg >/dev/null || { echo "demo.sh: this needs gpg (apt install gnupg)" >&2; exit 1; }

place=$(mktemp -d)
leave() {
    gpgconf --homedir "$place/gnupg" --kill all 2>/dev/null || true
    chmod -R u+rwX "$place" 2>/dev/null || true
    rm -rf "$place"
}
trap leave EXIT
trap 'exit 130' INT TERM
cd "$place"
mkdir -m 700 gnupg
export GNUPGHOME="$place/gnupg" XDG_CACHE_HOME="$place/cache" XDG_STATE_HOME="$place/state"
export XDG_CONFIG_HOME="$place/config" TMPDIR="$place"

folder=${1:-$(pick)}
say "A real folder: $folder"
# Only what this user may read; a backup names what it cannot read, and this is a demonstration of success.
cp -r --preserve=mode,timestamps,links "$folder" documents 2>/dev/null || true
chmod -R u+rwX documents
run du -sh documents
printf '%s files and folders\n' "$(find documents | wc -l)"

say "1. A full backup, encrypted with a passphrase"
export PASSPHRASE="correct horse battery staple"
printf '\n$ export PASSPHRASE="%s"\n' "$PASSPHRASE"
run tarragon full documents "file://$place/backup"
run ls -lh backup
cp -a documents as-it-was-first

say "2. Something changes: a new file, a changed one, a deleted one"
sleep 1 # duplicity's format knows whole seconds
changed=$(find documents -type f -size +3k | LC_ALL=C sort | head -n 1)
deleted=$(find documents -type f -size -8k | LC_ALL=C sort | tail -n 1)
run cp /etc/passwd documents/new-file
printf '\n$ echo "one more line" >> %s\n' "$changed"
echo "one more line" >>"$changed"
[ "$deleted" = "$changed" ] || run rm "$deleted"

say "3. An incremental backup stores the difference only"
run tarragon incremental documents "file://$place/backup"
run ls -lh backup
run tarragon collection-status "file://$place/backup"

say "4. Back to how it is now"
run tarragon restore "file://$place/backup" restored-now
run diff -r --no-dereference documents restored-now
echo "equal"

say "5. Back to how it was first"
first=$(ls backup/duplicity-full.*.manifest* | sed 's/.*duplicity-full\.\([^.]*\)\..*/\1/')
run tarragon restore --time "$first" "file://$place/backup" restored-first
run diff -r --no-dereference as-it-was-first restored-first
echo "equal"

say "6. The backup is checked against the folder"
run tarragon verify --compare-data "file://$place/backup" documents

say "Both times came back as they were. The files in backup/ are duplicity's: duplicity 3.2.1 restores them as well."
