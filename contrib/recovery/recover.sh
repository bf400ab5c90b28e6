#!/bin/bash
# Restore a backup with nothing but tar, gpg, gunzip, rdiff and coreutils: no Tarragon, no duplicity, no Python.
#
#     recover.sh REPOSITORY TARGET [TIME]
#
# REPOSITORY  the folder that holds the files duplicity-full.*, duplicity-inc.* (fetch them from wherever they are)
# TARGET      a folder that does not exist yet or is empty
# TIME        restore as it was at this time, written as in the file names (20231114T221320Z); default: the newest
#
# Encrypted backups: put the passphrase into the environment variable PASSPHRASE, or leave it unset and gpg asks.
# Secret keys must be in your key ring. Run as root to get owners and devices back.
# TMPDIR needs room for one set of the backup, twice.
#
# Exit status: 0 all restored; 1 something could not be (each such thing is named); 2 nothing could be started.
# docs/recovery.md tells what happens here, step by step, for doing it by hand.

set -u
export LC_ALL=C

repository=${1:?usage: recover.sh REPOSITORY TARGET [TIME]}
target=${2:?usage: recover.sh REPOSITORY TARGET [TIME]}
until=${3:-99999999T999999Z}
failures=0

die() { echo "recover.sh: $*" >&2; exit 2; }
complain() { echo "recover.sh: $*" >&2; failures=$((failures + 1)); }

for tool in tar gunzip sha1sum awk find rdiff; do
    command -v "$tool" >/dev/null || die "this needs $tool"
done
[ -d "$repository" ] || die "'$repository' is not a folder"
mkdir -p -- "$target" || exit 2
[ -z "$(ls -A -- "$target")" ] || die "'$target' is not empty"
target=$(cd -- "$target" && pwd) || exit 2
repository=$(cd -- "$repository" && pwd) || exit 2
umask 077
work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT
mkdir "$work/folders"

# --- 1. What is stored, decoded -----------------------------------------------------------------------------------

# decode FILE: the plain bytes of a stored file. What its name ends in tells how it is stored (docs/format.md § 1.1).
decode() {
    case $1 in
    *.gpg | *.g)
        # gpg's exit status also fails when a signer is unknown; what counts is that the decryption itself was sound.
        if [ -n "${PASSPHRASE+set}" ]; then
            gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase-fd 3 --status-file "$work/status" \
                --decrypt -- "$1" 3<<<"$PASSPHRASE" 2>"$work/gpg.log"
        else
            gpg --quiet --status-file "$work/status" --decrypt -- "$1" 2>"$work/gpg.log"
        fi
        grep -q '^\[GNUPG:\] DECRYPTION_OKAY' "$work/status" || { cat "$work/gpg.log" >&2; return 1; }
        ;;
    *.gz | *.z) gunzip -c <"$1" ;;
    *) cat -- "$1" ;;
    esac
}

# --- 2. Which sets are needed -------------------------------------------------------------------------------------

# The newest full backup, then the incremental that begins where it ends, then the one that begins where that ends, …
cd "$repository" || exit 2
end=
for manifest in duplicity-full.*Z.manifest duplicity-full.*Z.manifest.gpg; do
    [ -e "$manifest" ] || continue
    time=${manifest#duplicity-full.}
    time=${time%%.*}
    if [[ $time > $end && ! $time > $until ]]; then
        end=$time
        sets=("$manifest")
    fi
done
[ -n "$end" ] || die "there is no full backup in '$repository' (up to that time)"
while :; do
    next=
    for manifest in duplicity-inc."$end".to.*Z.manifest duplicity-inc."$end".to.*Z.manifest.gpg; do
        [ -e "$manifest" ] || continue
        time=${manifest#duplicity-inc.*.to.}
        time=${time%%.*}
        [[ $time > $end && ! $time > $until && $time > $next ]] && next=$time && following=$manifest
    done
    [ -n "$next" ] || break
    sets+=("$following")
    end=$next
done

# --- 3. One set as one tar archive --------------------------------------------------------------------------------

# hashes MANIFEST: "number sha1" of each volume. A resumed backup repeats volumes: the later block counts, and volumes
# above the last one named are void (docs/format.md § 2.4).
hashes() {
    awk 'tolower($1) == "filelist" { files = 1; next }
         /^[Vv][Oo][Ll][Uu][Mm][Ee] /  { number = $2 + 0; last = number; files = 0 }
         !files && tolower($1) == "hash" && toupper($2) == "SHA1" { sha1[number] = $3 }
         END { for (n = 1; n <= last; n++) print n, (n in sha1 ? sha1[n] : "-") }' "$1"
}

# append VOLUME: put the entries of a decoded volume behind those of the volumes before it. A volume ends at its first
# block of zeros, or simply at the end of the data; behind the zeros may be anything (docs/format.md § 3.5). tar says at
# which block it stopped.
append() {
    local blocks
    blocks=$(tar --list --block-number --file "$1" --quoting-style=escape 2>/dev/null | tail -n 1 |
        sed -n 's/^block \([0-9]*\): \*\* .*/\1/p')
    if [ ! -s "$1" ]; then return 0; fi
    [ -n "$blocks" ] || return 1
    head -c $((blocks * 512)) "$1" >>"$work/set.tar"
}

gather() {
    local set=$1 prefix number sha1 volume
    prefix=${set%.manifest*}
    : >"$work/set.tar"
    decode "$set" >"$work/manifest" || { complain "'$set' cannot be read"; return 1; }
    while read -r number sha1; do
        volume=
        for volume in "$prefix.vol$number.difftar"{,.gz,.gpg} ''; do
            [ -e "$volume" ] && break
        done
        if [ -z "$volume" ]; then
            complain "volume $number of $prefix is missing: what it holds is lost"
        elif [ "$sha1" != - ] && [ "$(sha1sum <"$volume" | cut -c 1-40)" != "$sha1" ]; then
            complain "'$volume' is damaged (SHA-1 differs from the manifest): what it holds is lost"
        elif ! decode "$volume" >"$work/volume.tar" || ! append "$work/volume.tar"; then
            complain "'$volume' cannot be read: what it holds is lost"
        fi
    done < <(hashes "$work/manifest")
}

# --- 4. Put one set onto the target -------------------------------------------------------------------------------

same_metadata() { # FROM TO: owner first, mode second (a new owner takes setuid away), time last
    chown --no-dereference --reference="$1" -- "$2" 2>/dev/null
    chmod --reference="$1" -- "$2" && touch --no-create --reference="$1" -- "$2"
}

key() { printf '%s' "$1" | sha1sum | cut -c 1-40; }

join() { # FOLDER: the parts 1, 2, … of one file, into $work/joined; only the last part is shorter than 65536 bytes
    local part=1 last=65536
    : >"$work/joined"
    while [ -f "$1/$part" ]; do
        cat -- "$1/$part" >>"$work/joined"
        last=$(stat -c %s -- "$1/$part")
        part=$((part + 1))
    done
    [ "$last" -lt 65536 ]
}

replace() { # FILE PATH METADATA: FILE becomes PATH in the target
    rm -rf -- "${target:?}/$2"
    mkdir -p -- "$(dirname -- "$target/$2")"
    mv -T -- "$1" "$target/$2" && same_metadata "$3" "$target/$2"
}

patch_file() { # DELTA PATH METADATA
    if [ ! -f "$target/$2" ] || [ -L "$target/$2" ]; then
        complain "'$2' cannot be brought up to date: the version before is missing"
    elif rdiff --force patch -- "$target/$2" "$1" "$work/patched"; then
        replace "$work/patched" "$2" "$3"
    else
        complain "'$2' cannot be brought up to date: rdiff failed"
    fi
}

apply() {
    local stage=$work/stage path name line
    rm -rf "$stage"
    mkdir "$stage"
    [ -s "$work/set.tar" ] || return 0 # nothing had changed
    # tar refuses '..' and takes a leading '/' away by itself. Without --delay-directory-restore it would set the time
    # of a folder as soon as an entry of another kind comes, and then put more files into that folder.
    tar --extract --file "$work/set.tar" --preserve-permissions --delay-directory-restore \
        --anchored --exclude 'deleted/*' \
        --directory "$stage" --warning=no-unknown-keyword --warning=no-timestamp 2>"$work/tar.log" ||
        complain "tar: $(cat "$work/tar.log")"

    # The names in the order of the archive, one a line, with newlines and the like escaped; %b undoes the escapes.
    tar --list --file "$work/set.tar" --quoting-style=escape --warning=no-unknown-keyword 2>/dev/null >"$work/names"

    if [ "$(head -n 1 "$work/names")" = snapshot/ ] || grep -q '^multivol_[a-z]*/\./1$' "$work/names"; then
        complain "this is a backup of one single file: see 'A single file' in docs/recovery.md"
        return 1
    fi

    # What is gone: the children are named after their folder, so from the last to the first.
    grep '^deleted/' "$work/names" | tac | while IFS= read -r line; do
        printf -v name '%b.' "${line#deleted/}" # the dot keeps newlines at the end of a name
        rm -rf -- "${target:?}/${name%.}"
    done

    # Folders: make them, and remember mode, owner and time for the end; filling them would change the times.
    grep '^snapshot/.*/$' "$work/names" | while IFS= read -r line; do
        printf -v name '%b.' "${line#snapshot/}"
        path=${name%/.}
        [ -L "$target/$path" ] || [ ! -d "$target/$path" ] && rm -rf -- "${target:?}/$path"
        mkdir -p -- "$target/$path"
        [ "$path" = . ] && path=
        mkdir -p "$work/folders/$(key "$path")"
        same_metadata "$stage/snapshot/$path" "$work/folders/$(key "$path")"
    done

    # Everything else that is whole: files, links, fifos, devices.
    if [ -d "$stage/snapshot" ]; then
        find "$stage/snapshot" -mindepth 1 ! -type d -printf '%P\0' | while IFS= read -r -d '' path; do
            rm -rf -- "${target:?}/$path"
            mkdir -p -- "$(dirname -- "$target/$path")"
            mv -T -- "$stage/snapshot/$path" "$target/$path"
        done
    fi

    # Big files in parts, changed files (rdiff deltas), and deltas in parts.
    while IFS= read -r line; do
        printf -v name '%b.' "${line#multivol_snapshot/}"
        path=${name%/1.}
        if join "$stage/multivol_snapshot/$path"; then
            replace "$work/joined" "$path" "$stage/multivol_snapshot/$path/1"
        else
            rm -rf -- "${target:?}/$path"
            complain "'$path' is not whole: left out"
        fi
    done < <(grep '^multivol_snapshot/.*/1$' "$work/names")
    if [ -d "$stage/diff" ]; then
        while IFS= read -r -d '' path; do
            patch_file "$stage/diff/$path" "$path" "$stage/diff/$path"
        done < <(find "$stage/diff" -type f -printf '%P\0')
    fi
    while IFS= read -r line; do
        printf -v name '%b.' "${line#multivol_diff/}"
        path=${name%/1.}
        [ -d "$stage/multivol_diff/$path" ] || continue
        if join "$stage/multivol_diff/$path"; then
            mv "$work/joined" "$work/delta"
            patch_file "$work/delta" "$path" "$stage/multivol_diff/$path/1"
        else
            complain "'$path' stays as it was before ${set%.manifest*}: its delta is not whole"
        fi
    done < <(grep '^multivol_diff/.*/1$' "$work/names")
}

for set in "${sets[@]}"; do
    echo "reading ${set%.manifest*}"
    gather "$set" && apply
done

# --- 5. Modes, owners and times of the folders, the deepest first -------------------------------------------------

find "$target" -depth -type d -printf '%P\0' | while IFS= read -r -d '' path; do
    folder=$work/folders/$(key "$path")
    [ -d "$folder" ] && same_metadata "$folder" "$target/$path"
done

if [ "$failures" -gt 0 ]; then
    echo "recover.sh: $failures problems: see above" >&2
    exit 1
fi
echo "all restored to $target, as of $end"
