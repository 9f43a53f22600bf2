#!/usr/bin/env bash
# shellcheck source=common.sh
[ "$(type -t say || true)" = function ] || source "$(dirname "$0")/common.sh"
#
# The disk for data: local SSDs if the machine has some, else a persistent disk of ours, else the boot disk.

LABEL=fdist-data

# local_ssds: the devices of the machine's local NVMe SSDs, one a line.
local_ssds() {
    local each
    for each in "$ROOT"/dev/disk/by-id/google-local-nvme-ssd-*; do
        [ -e "$each" ] && [[ "$each" != *-part* ]] && echo "$each"
    done
    return 0
}

# one_device SSD...: one device of all of them. Without mdadm it is the first, and the others lie idle.
one_device() {
    if [ $# -eq 1 ]; then
        echo "$1"
        return
    fi
    if ! command -v mdadm >/dev/null; then
        apt-get install --yes --quiet mdadm >&2 || {
            say "mdadm cannot be installed: of $# local SSDs one is used"
            echo "$1"
            return
        }
    fi
    local array="$ROOT/dev/md/fdist"
    if [ ! -e "$array" ]; then
        mdadm --assemble "$array" "$@" >&2 ||
            mdadm --create "$array" --level=0 --force --run --raid-devices=$# "$@" >&2
    fi
    echo "$array"
}

# make_file_system DEVICE: XFS if there is mkfs.xfs, since files can be cloned on it; else ext4.
make_file_system() {
    if command -v mkfs.xfs >/dev/null; then
        mkfs.xfs -q -f -L "$LABEL" "$1"
    else
        mkfs.ext4 -q -F -L "$LABEL" -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$1"
    fi
}

# mount_data_disk DIRECTORY PERSISTENT [keep]: the data's file system at a directory. PERSISTENT: device name of a
# persistent disk. keep: a file system that cannot be mounted is left alone, since what is on it is nowhere else.
mount_data_disk() {
    local directory="$1" device="$ROOT/dev/disk/by-id/google-$2" keep="${3:-}" ssds
    install -d -m 755 "$directory"
    if mountpoint -q "$directory"; then return; fi
    mapfile -t ssds < <(local_ssds)
    if [ "${#ssds[@]}" -gt 0 ]; then
        device="$(one_device "${ssds[@]}")"
    elif [ ! -e "$device" ]; then
        say "no disk for data: files go to the boot disk"
        return
    fi
    if [ "$(blkid -s LABEL -o value "$device" || true)" = "$LABEL" ] && mount -o noatime "$device" "$directory"; then
        say "$device is back at $directory with what was on it"
        return
    fi
    if [ -n "$keep" ] && [ -n "$(blkid -s TYPE -o value "$device" || true)" ]; then
        die "$device has a file system that cannot be mounted; look at it before it is used"
    fi
    say "making a file system on $device"
    make_file_system "$device"
    mount -o noatime "$device" "$directory"
}
