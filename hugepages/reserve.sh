#!/usr/bin/env bash
# Hugepages for ringway: show, check, reserve, mount and release them.
#
# usage: hugepages/reserve.sh [show]
#        hugepages/reserve.sh check   AMOUNT [--size SIZE] [--node N]
#        hugepages/reserve.sh reserve AMOUNT [--size SIZE] [--node N] [--free]
#        hugepages/reserve.sh mount   [--size SIZE] [--dir DIR] [--mode MODE] [--uid U] [--gid G]
#        hugepages/reserve.sh unmount [--size SIZE] [--dir DIR]
#        hugepages/reserve.sh release [--size SIZE] [--node N] [--all]
#
#   show      pages per node and size, mounts, and what this script has reserved (the default)
#   check     are AMOUNT pages free? Changes nothing; status 1 and the remedy when they are not
#   reserve   raises the pool to AMOUNT pages in all; never lowers it; a second run changes nothing
#   mount     mounts hugetlbfs; needed for `ringway run --huge-dir` only
#   unmount   unmounts it
#   release   gives back what this script reserved and mounted; --all: every page of every pool
#
# AMOUNT is one of
#   --count N       pages
#   --bytes B       bytes, rounded up to whole pages: 256M, 2G
#   --lcores N      as many as the pools of N lcores need (hugepages/README.md has the sum)
#
#   --size SIZE     page size: 2M (the default), 1G, or another one this machine has
#   --node N        on this NUMA node; without it, spread evenly over all nodes
#   --free          AMOUNT pages are to be free: pages that others use do not count
#   --dir DIR       mount point (default /dev/hugepages, for 1G /dev/hugepages-1G)
#   --mode MODE     permissions of the mount's root, octal (default 0755; 1777 lets every user in)
#   --uid, --gid    owner of the mount's root, number or name
#   --dry-run       print every change, make none
#   -h, --help      this text
#
# Reserving needs root; using reserved pages does not. What was reserved is written down in
# /run/ringway/hugepages, so that release takes back that much and no more.
# Exit status: 0 done or nothing to do, 1 could not, 2 wrong options.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../scripts/lib.sh"

RECORD=$STATE_DIR/hugepages
NODES=$SYS/devices/system/node

# ---- The kernel's pools: one per node and page size ----------------------------------------------

# Lines of "node kb directory"; node is - where the kernel knows no nodes.
pools() {
    local dir node
    for dir in "$NODES"/node[0-9]*/hugepages/hugepages-*kB; do
        [[ -d $dir ]] || continue
        node=${dir#"$NODES"/node}
        printf '%s %s %s\n' "${node%%/*}" "$(kb_of "$dir")" "$dir"
    done | sort -k1,1n -k2,2n
    [[ -z $(compgen -G "$NODES/node[0-9]*/hugepages/hugepages-*kB") ]] || return 0
    for dir in "$SYS"/kernel/mm/hugepages/hugepages-*kB; do
        [[ ! -d $dir ]] || printf -- '- %s %s\n' "$(kb_of "$dir")" "$dir"
    done | sort -n -k2
}

kb_of() {
    local name=${1##*hugepages-}
    printf '%s\n' "${name%kB}"
}

number_in() {
    local text
    text=$(read_line "$1")
    printf '%d\n' "${text:-0}"
}

# Pages that stay when nobody uses them. A surplus page goes as soon as its last user does.
pages_in() { printf '%d\n' $(($(number_in "$1/nr_hugepages") - $(number_in "$1/surplus_hugepages"))); }

# Free pages that no mapping has been promised. The kernel keeps promises per size, not per node.
unclaimed_in() {
    local kb promised free
    kb=$(kb_of "$1")
    promised=$(number_in "$SYS/kernel/mm/hugepages/hugepages-${kb}kB/resv_hugepages")
    free=$(($(number_in "$1/free_hugepages") - promised))
    printf '%d\n' $((free > 0 ? free : 0))
}

pool_name() { if [[ $1 == - ]]; then format_kb "$2"; else printf 'node %s, %s\n' "$1" "$(format_kb "$2")"; fi; }

# The pools that --size and --node select; a machine without them is an error that says what it has.
selected_pools() {
    local chosen
    chosen=$(pools | awk -v kb="$KB" -v node="$NODE" \
        '(kb == "" || $2 == kb) && (node == "" || $1 == node || ($1 == "-" && node == 0))')
    [[ -n $chosen ]] || die "cannot find a pool of ${KB:+$(format_kb "$KB") }pages${NODE:+ on node $NODE}" \
        "this machine has $(pools | while read -r n k _; do pool_name "$n" "$k"; done | paste -sd';' | sed 's/;/; /g')" \
        "choose --size and --node among these; 1 GiB pages need a CPU with pdpe1gb"
    printf '%s\n' "$chosen"
}

# ---- Show ----------------------------------------------------------------------------------------

cmd_show() {
    local node kb dir
    printf '%-5s %-9s %8s %8s %8s %8s   %s\n' node page pages free 'in use' surplus memory
    while read -r node kb dir; do show_pool "$node" "$kb" "$dir"; done < <(pools)
    for dir in "$SYS"/kernel/mm/hugepages/hugepages-*kB; do
        [[ $(number_in "$dir/resv_hugepages") == 0 ]] ||
            note "promised to mappings, not yet touched: $(number_in "$dir/resv_hugepages") of $(format_kb "$(kb_of "$dir")")"
    done
    show_mounts
    note "transparent huge pages: $(read_line "$SYS/kernel/mm/transparent_hugepage/enabled")," \
        "in shared memory: $(read_line "$SYS/kernel/mm/transparent_hugepage/shmem_enabled")"
    [[ ! -s $RECORD ]] || note "reserved through this script:"
    show_record
}

show_pool() {
    local total free surplus
    total=$(number_in "$3/nr_hugepages") free=$(number_in "$3/free_hugepages")
    surplus=$(number_in "$3/surplus_hugepages")
    printf '%-5s %-9s %8d %8d %8d %8d   %s\n' "$1" "$(format_kb "$2")" $((total - surplus)) "$free" \
        $((total - free)) "$surplus" "$(format_kb $((total * $2)))"
}

show_mounts() {
    local dir options
    [[ -n $(hugetlbfs_mounts) ]] || note "hugetlbfs mounts: none (only --huge-dir needs one)"
    while read -r dir options; do note "hugetlbfs mount: $dir ($options)"; done < <(hugetlbfs_mounts)
}

show_record() {
    local kind a b c
    [[ -r $RECORD ]] || return 0
    while read -r kind a b c; do
        case $kind in
            pages) note "  $(pool_name "$a" "$b"): $c pages" ;;
            mount) note "  mounted $a" ;;
        esac
    done <"$RECORD"
}

# ---- Check and reserve ---------------------------------------------------------------------------

# Pages of KB KiB in --count, --bytes or --lcores.
pages_asked() {
    if [[ -n $COUNT ]]; then
        printf '%d\n' "$COUNT"
    elif [[ -n $BYTES ]]; then
        ceil_div "$BYTES" $((KB * 1024))
    elif [[ -n $LCORES ]]; then
        pages_for_lcores "$LCORES" "$KB"
    else
        die_usage "cannot $COMMAND hugepages" "no amount is given: --count, --bytes or --lcores"
    fi
}

# Runs FUNCTION node kb directory pages for each selected pool, the pages spread evenly.
spread() {
    local each=$1 pages nodes share i=0 status=0 chosen lines line node kb dir
    pages=$(pages_asked)
    chosen=$(selected_pools)
    mapfile -t lines <<<"$chosen"
    nodes=${#lines[@]}
    for line in "${lines[@]}"; do
        read -r node kb dir <<<"$line"
        share=$((pages / nodes + (i++ < pages % nodes ? 1 : 0)))
        "$each" "$node" "$kb" "$dir" "$share" || status=1
    done
    return "$status"
}

check_pool() {
    local name have line=("$0" reserve --count "$4" --size "$(short_kb "$2")" --free)
    name=$(pool_name "$1" "$2") have=$(unclaimed_in "$3")
    if ((have >= $4)); then
        note "$name: $have pages free, $4 needed: enough"
        return 0
    fi
    [[ $1 == - ]] || line+=(--node "$1")
    fail "too few hugepages on $name" "$have free, $4 needed" "$(sudo_line "${line[@]}")"
    return 1
}

reserve_pool() {
    local node=$1 kb=$2 dir=$3 wanted=$4 name before target after
    name=$(pool_name "$node" "$kb") before=$(pages_in "$dir")
    target=$wanted
    [[ -z $FREE ]] || target=$((before + wanted - $(unclaimed_in "$dir")))
    if ((before >= target)); then
        note "$name: $before pages, $(unclaimed_in "$dir") free: nothing to change"
        return 0
    fi
    memory_suffices "$node" $(((target - before) * kb)) "$name" || return 1
    if [[ -n $DRY_RUN ]]; then
        note "would write $target to $dir/nr_hugepages (now $before)"
        return 0
    fi
    set_pages "$dir" "$target" "reserve $((target - before)) pages on $name"
    after=$(pages_in "$dir")
    ((after == before)) || record_pages "$node" "$kb" $((after - before))
    note "$name: $before -> $after pages, $(unclaimed_in "$dir") free"
    ((after >= target)) || say_missing "$name" "$kb" $((target - after)) "$target"
}

# Refuses what would starve the machine: the kernel would swap and kill to give it.
memory_suffices() {
    local kb=$2 usable=''
    [[ $1 == - || -z $(pools | awk -v n="$1" '$1 != n') ]] ||
        usable=$(awk '/MemFree:|FilePages:/ { sum += $4 } END { print int(sum * 0.9) }' "$NODES/node$1/meminfo")
    [[ -n $usable ]] || usable=$(awk '/^MemAvailable:/ { print int($2 * 0.9) }' "$PROC/meminfo")
    ((kb > usable)) || return 0
    fail "cannot reserve $((kb / 1024)) MiB more on $3" \
        "only $((usable / 1024)) MiB can be taken without starving the rest of the machine" \
        "ask for less, or free memory first (ps aux --sort=-rss | head)"
    return 1
}

# set_pages DIRECTORY PAGES WHAT
set_pages() {
    local reason
    [[ -w $1/nr_hugepages ]] || need_root "$3" "$1/nr_hugepages"
    reason=$(kernel_write "$2" "$1/nr_hugepages" 2>&1) ||
        die "cannot $3" "the kernel refused $2 in nr_hugepages (${reason##*: })" \
            "reserve them at boot: $(boot_line "$(kb_of "$1")" "$2")"
}

kernel_write() { printf '%s\n' "$1" >"$2"; }

need_root() {
    is_root && die "cannot $1" "$2 is read-only even for root, as in a container" "run the same line on the host"
    die "cannot $1" "uid $EUID may not write $2" "$(sudo_line "$0" "${ARGUMENTS[@]}")"
}

boot_line() {
    printf 'add "hugepagesz=%s hugepages=%d" to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot' \
        "$(short_kb "$1")" "$2"
}

# say_missing POOL KB MISSING TARGET: the kernel gave fewer pages than asked. Status 1.
say_missing() {
    fail "$3 of $4 pages are missing on $1" "free memory is too scattered for $(format_kb "$2") pages" \
        "echo 1 | sudo tee $PROC/sys/vm/compact_memory && $(sudo_line "$0" "${ARGUMENTS[@]}")"
    printf '  or:   %s\n' "$(boot_line "$2" "$4")" \
        "give back what was got: $(sudo_line "$0" release)" >&2
    return 1
}

# ---- The record of what was reserved here --------------------------------------------------------

# record_pages NODE KB ADDED: adds to what is already written down for that pool.
record_pages() {
    local old
    old=$(awk -v n="$1" -v k="$2" '$1 == "pages" && $2 == n && $3 == k { print $4 }' "$RECORD" 2>/dev/null) || old=0
    record_without pages "$1" "$2"
    printf 'pages %s %s %d\n' "$1" "$2" $((${old:-0} + $3)) >>"$RECORD"
}

# record_without WORD...: drops the line that starts with these words.
record_without() {
    [[ -e $RECORD ]] || return 0
    awk -v start="$* " 'index($0 " ", start) != 1' "$RECORD" >"$RECORD.new"
    mv "$RECORD.new" "$RECORD"
    [[ -s $RECORD ]] || rm -f "$RECORD"
}

# ---- Release -------------------------------------------------------------------------------------

cmd_release() {
    local kind a b c none=1 chosen lines=() line
    [[ ! -r $RECORD ]] || mapfile -t lines <"$RECORD"
    for line in "${lines[@]}"; do
        read -r kind a b c <<<"$line"
        if [[ $kind == mount && -z $NODE$SIZE_GIVEN ]]; then
            none='' && unmount_dir "$a"
        elif [[ $kind == pages && ( -z $NODE || $a == "$NODE" ) && ( -z $SIZE_GIVEN || $b == "$KB" ) ]]; then
            none='' && release_pool "$a" "$b" "$c"
        fi
    done
    if [[ -n $ALL ]]; then
        [[ -n $SIZE_GIVEN ]] || KB=''
        chosen=$(selected_pools)
        while read -r a b c; do empty_pool "$a" "$b" "$c"; done <<<"$chosen"
    elif [[ -n $none ]]; then
        note "nothing to release: this script has reserved nothing here (--all releases every page of every pool)"
    fi
}

# release_pool NODE KB PAGES: takes PAGES off the pool and off the record.
release_pool() {
    local dir before target
    dir=$(pools | awk -v n="$1" -v k="$2" '$1 == n && $2 == k { print $3 }')
    before=$(pages_in "$dir")
    target=$((before > $3 ? before - $3 : 0))
    lower_pool "$1" "$2" "$dir" "$before" "$target"
    [[ -n $DRY_RUN ]] || record_without pages "$1" "$2"
}

empty_pool() {
    local before
    before=$(pages_in "$3")
    ((before == 0)) || lower_pool "$1" "$2" "$3" "$before" 0
    ((before > 0)) || note "$(pool_name "$1" "$2"): 0 pages: nothing to change"
    [[ -n $DRY_RUN ]] || record_without pages "$1" "$2"
}

# lower_pool NODE KB DIRECTORY BEFORE TARGET
lower_pool() {
    local name surplus
    name=$(pool_name "$1" "$2")
    if [[ -n $DRY_RUN ]]; then
        note "would write $5 to $3/nr_hugepages (now $4)"
        return 0
    fi
    (($4 == $5)) || set_pages "$3" "$5" "release pages on $name"
    note "$name: $4 -> $(pages_in "$3") pages"
    surplus=$(number_in "$3/surplus_hugepages")
    ((surplus == 0)) || warn "$surplus pages on $name are still in use" "some process maps them" \
        "they go by themselves when it ends; see who: sudo grep -l 'KernelPageSize: *$2 kB' /proc/[0-9]*/smaps"
}

# ---- Mounts --------------------------------------------------------------------------------------

hugetlbfs_mounts() { awk '$3 == "hugetlbfs" { print $2, $4 }' "$PROC/self/mounts"; }

mount_dir() {
    if [[ -n $DIR ]]; then printf '%s\n' "$DIR"; elif ((KB == 2048)); then
        printf '/dev/hugepages\n'
    else
        printf '/dev/hugepages-%s\n' "$(short_kb "$KB")"
    fi
}

cmd_mount() {
    local dir options made=0
    selected_pools >/dev/null
    dir=$(mount_dir)
    options=pagesize=$(short_kb "$KB"),mode=${MODE:-0755}${OWNER:+,uid=$OWNER}${GROUP:+,gid=$GROUP}
    ! is_mounted "$dir" || return 0
    if [[ -n $DRY_RUN ]]; then
        [[ -d $dir ]] || note "would make the directory $dir"
        note "would mount hugetlbfs on $dir ($options)"
        return 0
    fi
    is_root || die "cannot mount hugetlbfs on $dir" "uid $EUID may not mount" "$(sudo_line "$0" "${ARGUMENTS[@]}")"
    [[ -d $dir ]] || made=1
    mkdir -p "$dir"
    mount -t hugetlbfs -o "$options" hugetlbfs "$dir" ||
        die "cannot mount hugetlbfs on $dir ($options)" "mount failed, see above" "choose another --dir, or run it on the host"
    printf 'mount %s %d\n' "$dir" "$made" >>"$RECORD"
    note "mounted hugetlbfs on $dir ($options)"
}

# Is DIR a hugetlbfs mount as asked? Refuses one that is not as asked.
is_mounted() {
    local options want
    want=$(short_kb "$KB")
    options=$(hugetlbfs_mounts | awk -v d="$1" '$1 == d { o = $2 } END { print o }')
    [[ -n $options ]] || return 1
    [[ ,$options, == *,pagesize=$want,* ]] ||
        die "cannot mount $(format_kb "$KB") pages on $1" "it is a hugetlbfs mount already ($options)" "choose another --dir"
    [[ -z $MODE$OWNER$GROUP ]] || owned_as_asked "$1" ||
        die "cannot give $1 the mode or owner asked" "it is mounted already, as $(stat -c '%a %U:%G' "$1")" \
            "choose another --dir, or: sudo chmod ${MODE:-1777} $1"
    note "$1: hugetlbfs is mounted there already ($options): nothing to change"
}

owned_as_asked() {
    local mode uid gid
    read -r mode uid gid < <(stat -c '%a %u %g' "$1")
    [[ -z $MODE || $((8#$MODE)) == "$((8#$mode))" ]] && [[ ${OWNER:-$uid} == "$uid" && ${GROUP:-$gid} == "$gid" ]]
}

cmd_unmount() { unmount_dir "$(mount_dir)"; }

unmount_dir() {
    local made
    made=$(awk -v d="$1" '$1 == "mount" && $2 == d { print $3 }' "$RECORD" 2>/dev/null) || made=''
    if [[ -z $(hugetlbfs_mounts | awk -v d="$1" '$1 == d') ]]; then
        note "$1: no hugetlbfs is mounted there: nothing to change"
    elif [[ -n $DRY_RUN ]]; then
        note "would unmount $1"
        return 0
    else
        is_root || die "cannot unmount $1" "uid $EUID may not" "$(sudo_line "$0" "${ARGUMENTS[@]}")"
        umount "$1" || die "cannot unmount $1" "some process has a file open there" "see who: fuser -vm $1"
        note "unmounted $1"
    fi
    [[ -n $DRY_RUN ]] || record_without mount "$1"
    [[ $made != 1 || -n $DRY_RUN ]] || rmdir "$1"
}

# ---- Options -------------------------------------------------------------------------------------

COMMAND='' KB='' SIZE_GIVEN='' NODE='' COUNT='' BYTES='' LCORES='' FREE='' ALL='' DRY_RUN=''
DIR='' MODE='' OWNER='' GROUP=''
ARGUMENTS=()

parse_options() {
    ARGUMENTS=("$@")
    while (($#)); do
        case $1 in
            show | check | reserve | mount | unmount | release)
                [[ -z $COMMAND ]] || die_usage "cannot both $COMMAND and $1"
                COMMAND=$1 ;;
            --count | --bytes | --lcores | --size | --node | --dir | --mode | --uid | --gid)
                need_value "$1" $#
                take_value "$1" "$2"
                shift ;;
            --*=*) take_value "${1%%=*}" "${1#*=}" ;;
            --free) FREE=1 ;;
            --all) ALL=1 ;;
            --dry-run) DRY_RUN=1 ;;
            -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
            *) die_usage "cannot make sense of $1" ;;
        esac
        shift
    done
    default_command
    default_size
}

take_value() {
    case $1 in
        --count) COUNT=$(number_option "$@") ;;
        --lcores) LCORES=$(number_option "$@") ;;
        --node) NODE=$(number_option "$@") ;;
        --bytes) BYTES=$(parse_bytes "$2") || die_usage "cannot read --bytes $2" "it is no size such as 256M" ;;
        --size)
            KB=$(parse_bytes "$2") || die_usage "cannot read --size $2" "it is no size such as 2M or 1G"
            KB=$((KB / 1024)) SIZE_GIVEN=1 ;;
        --dir) DIR=$(absolute_option "$@") ;;
        --mode) [[ $2 =~ ^[0-7]{3,4}$ ]] || die_usage "cannot read --mode $2" "it is no octal mode such as 1777"; MODE=$2 ;;
        --uid) OWNER=$(id -u "$2" 2>/dev/null) || die_usage "cannot find the user $2" ;;
        --gid)
            GROUP=$(getent group "$2" | cut -d: -f3) || true
            [[ -n $GROUP ]] || die_usage "cannot find the group $2" ;;
        *) die_usage "cannot make sense of $1" ;;
    esac
}

number_option() {
    [[ $2 =~ ^[0-9]{1,7}$ ]] || die_usage "cannot read $1 $2" "it is no number"
    printf '%d\n' $((10#$2))
}

absolute_option() {
    [[ $2 == /* && $2 != *[[:space:]]* ]] || die_usage "cannot read $1 $2" "it is no absolute path without blanks"
    printf '%s\n' "${2%/}"
}

# `reserve.sh --count 64` means reserve; `reserve.sh` alone means show.
default_command() {
    [[ -z $COMMAND ]] || return 0
    COMMAND=show
    [[ -z $COUNT$BYTES$LCORES ]] || COMMAND=reserve
}

default_size() {
    [[ -z $KB ]] || return 0
    KB=2048
    [[ -d $SYS/kernel/mm/hugepages/hugepages-2048kB ]] || KB=$(awk '/^Hugepagesize:/ { print $2 }' "$PROC/meminfo")
    [[ -n $KB ]] || die "cannot $COMMAND hugepages" "this kernel has none (CONFIG_HUGETLBFS is off)" \
        "use another kernel, or go without: ringway run --no-huge"
}

main() {
    parse_options "$@"
    [[ $COMMAND =~ ^(show|check)$ || -n $DRY_RUN ]] || ! can_write_record || lock_state "$@"
    case $COMMAND in
        check) spread check_pool ;;
        reserve) spread reserve_pool ;;
        *) "cmd_$COMMAND" ;;
    esac
}

# Whoever may not write the record may not write the pools either, and is told so at the first
# pool that would have to change.
can_write_record() { is_root || { mkdir -p "$STATE_DIR" && [[ -w $STATE_DIR ]]; } 2>/dev/null; }

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
