#!/usr/bin/env bash
# Keeps cores free for ringway's lcores: everything that can be moved away from them is.
#
# usage: scripts/isolate-cores.sh LIST [--dry-run]     isolate the cores of LIST, such as 1-3,5
#        scripts/isolate-cores.sh --show               what is isolated, and what still runs there
#        scripts/isolate-cores.sh --undo [--dry-run]   put everything back as it was
#
# Best first, as far as the machine allows:
#   1. a cgroup v2 cpuset partition (cpuset.cpus.partition = isolated, else root): the scheduler
#      itself keeps away. launch.sh starts ringway inside it; a service joins it by Slice=ringway.slice.
#   2. without one, the user tasks are moved by their affinity. They could move back; a partition,
#      or isolcpus= on the kernel's command line, is the firmer way, and the script says which line.
#   3. interrupts, the affinity of future interrupts, and the kernel's unbound work are moved.
# Never moved: kernel threads, and tasks that somebody pinned to the isolated cores alone.
#
# At least one core always stays with the rest of the machine. A second run with the same LIST moves
# what has come since, or changes nothing. Each change is written down before it is made, in
# /run/ringway/isolate.state, so that --undo restores exactly that, also after a run cut short.
# Nothing outlives a reboot. Needs root, except --show and --dry-run.
# Exit status: 0 isolated as far as possible, or undone; 1 could not; 2 wrong options.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

RECORD=$ISOLATE_RECORD
CGROUPS=$SYS/fs/cgroup
SLICE=ringway.slice
GROUP=$CGROUPS/$SLICE
WORK_MASK=$SYS/devices/virtual/workqueue/cpumask
PF_KTHREAD=$((0x00200000))

# ---- The record: tab-separated lines, one per change, each written before the change -------------
#   cores LIST | partition DIRECTORY | controller FILE | file PATH BEFORE AFTER
#   task TID START BEFORE AFTER      (START tells a task from a later one of the same number)

record() {
    local IFS=$'\t'
    printf '%s\n' "$*" >>"$RECORD" ||
        die "cannot write $RECORD" "see above" "without it nothing could be undone; make room in $STATE_DIR"
}

# ---- Isolate -------------------------------------------------------------------------------------

isolate() {
    check_cores
    need_root
    [[ -n $DRY_RUN ]] || lock_state "$CORES"
    check_record
    note "isolating cores $CORES; cores $HOUSEKEEPING stay with the rest of the machine"
    [[ -n $DRY_RUN || -n $(isolate_recorded cores) ]] || record cores "$CORES"
    CHANGES=0
    local in_partition=''
    if make_partition; then in_partition=1; else say_no_partition; fi
    move_interrupts
    move_mask "$PROC/irq/default_smp_affinity" "new interrupts"
    move_mask "$WORK_MASK" "unbound kernel work"
    [[ -n $in_partition ]] || move_tasks
    warn_irqbalance
    if [[ -n $DRY_RUN ]]; then
        note "dry run: $CHANGES changes would be made"
    elif ((CHANGES == 0)); then
        note "nothing to change"
    else
        note "$CHANGES changes made; undo them with: $(sudo_line "$0" --undo)"
    fi
}

check_cores() {
    local online offline
    online=$(read_line "$SYS/devices/system/cpu/online")
    CORES=$(expand_list "$LIST") || die_usage "cannot read the core list $LIST" "it is no list such as 1-3,5"
    # shellcheck disable=SC2086  # a list of numbers
    CORES=$(compress_list $CORES)
    [[ -n $CORES ]] || die_usage "cannot isolate cores" "the list is empty"
    offline=$(list_minus "$CORES" "$online")
    [[ -z $offline ]] || die "cannot isolate cores $offline" "this machine has cores $online online" "choose among these"
    HOUSEKEEPING=$(list_minus "$online" "$CORES")
    [[ -n $HOUSEKEEPING ]] || die "cannot isolate cores $CORES" "no core would be left for the rest of the machine" \
        "leave at least one of $online out, best core 0"
}

check_record() {
    local before
    before=$(isolate_recorded cores)
    [[ -z $before || $before == "$CORES" ]] ||
        die "cannot isolate cores $CORES" "cores $before are isolated already" "$(sudo_line "$0" --undo) && $(sudo_line "$0" "$CORES")"
}

need_root() {
    [[ -n $DRY_RUN || -w $PROC/irq/default_smp_affinity ]] && return 0
    is_root && die "cannot move anything off a core" "$PROC/irq is read-only even for root, as in a container" \
        "run the same line on the host"
    die "cannot move anything off a core" "uid $EUID may not write $PROC/irq" "$(sudo_line "$0" "${ARGUMENTS[@]}")"
}

# apply FILE VALUE: one write to the kernel; false where it refuses.
apply() { { printf '%s\n' "$2" >"$1"; } 2>/dev/null; }

# ---- The cpuset partition ------------------------------------------------------------------------

# Sets REASON and returns false where the machine cannot have one.
make_partition() {
    REASON=''
    if is_partition; then
        note "cpuset partition: $GROUP is $(read_line "$GROUP/cpuset.cpus.partition") already"
        return 0
    fi
    partition_possible || return 1
    if [[ -n $DRY_RUN ]]; then
        note "would make the cpuset partition $GROUP of cores $CORES"
        CHANGES=$((CHANGES + 1))
        return 0
    fi
    [[ -n $(isolate_recorded partition) ]] || record partition "$GROUP"
    make_group && fill_partition && return 0
    drop_partition
    return 1
}

is_partition() { [[ $(read_line "$GROUP/cpuset.cpus.partition") =~ ^(isolated|root)$ ]]; }

partition_possible() {
    if [[ ! -e $CGROUPS/cgroup.controllers ]]; then
        REASON="cgroup v2 is not what is mounted at $CGROUPS"
        [[ ! -d $CGROUPS/cpuset ]] || REASON="cgroup v1 owns the cpuset controller here"
    elif [[ " $(read_line "$CGROUPS/cgroup.controllers") " != *" cpuset "* ]]; then
        REASON="cgroup v2 at $CGROUPS has no cpuset controller to give"
    elif [[ ! -w $CGROUPS && -z $DRY_RUN ]]; then
        REASON="$CGROUPS is read-only, as in a container"
    fi
    [[ -z $REASON ]]
}

# Where systemd owns the tree it must know the group, or it removes it at its next reload.
under_systemd() { [[ $CGROUPS == /sys/fs/cgroup && -d /run/systemd/system ]]; }

make_group() {
    if under_systemd; then
        systemctl set-property --runtime "$SLICE" AllowedCPUs="$CORES" && systemctl start "$SLICE" && return 0
        REASON="systemd refused $SLICE, see above"
        return 1
    fi
    enable_cpuset || return 1
    REASON="the kernel refused the group $GROUP of cores $CORES"
    mkdir -p "$GROUP" && apply "$GROUP/cpuset.cpus" "$CORES"
}

enable_cpuset() {
    local control=$CGROUPS/cgroup.subtree_control
    [[ " $(read_line "$control") " != *" cpuset "* ]] || return 0
    [[ -n $(isolate_recorded controller) ]] || record controller "$control"
    apply "$control" +cpuset && return 0
    REASON="the kernel refused +cpuset in $control"
    return 1
}

fill_partition() {
    local kind got=''
    for kind in isolated root; do
        apply "$GROUP/cpuset.cpus.partition" "$kind" || continue
        got=$(read_line "$GROUP/cpuset.cpus.partition")
        [[ $got == "$kind" ]] || continue
        note "cpuset partition: $GROUP is $kind, cores $CORES"
        CHANGES=$((CHANGES + 1))
        return 0
    done
    REASON="the kernel says: ${got:-it does not know partitions (Linux 5.15 does)}"
    return 1
}

# Whoever runs inside goes on, on all cores.
drop_partition() {
    ! is_partition || apply "$GROUP/cpuset.cpus.partition" member ||
        warn "cannot end the partition $GROUP" "the kernel refused it"
    if under_systemd; then drop_slice; else drop_group; fi
    is_partition || forget partition controller
}

drop_slice() {
    systemctl set-property --runtime "$SLICE" AllowedCPUs= || true
    # Stopping a slice ends what runs in it, so that is done to an empty one only.
    grep -qs 'populated 1' "$GROUP/cgroup.events" || systemctl stop "$SLICE" || true
}

drop_group() {
    local pid control
    while read -r pid; do apply "$CGROUPS/cgroup.procs" "$pid" || true; done < <(cat "$GROUP/cgroup.procs" 2>/dev/null)
    [[ ! -d $GROUP ]] || rmdir "$GROUP" || warn "cannot remove the group $GROUP" "there are groups in it"
    control=$(isolate_recorded controller)
    [[ -z $control ]] || apply "$control" -cpuset || warn "cannot take cpuset out of $control" "others use it by now"
}

# forget KIND...: takes these lines out of the record.
forget() {
    awk -F'\t' -v kinds=" $* " '!index(kinds, " " $1 " ")' "$RECORD" >"$RECORD.new"
    mv "$RECORD.new" "$RECORD"
}

say_no_partition() {
    warn "cannot make a cpuset partition of cores $CORES" "$REASON" \
        "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or isolate at boot: $(kernel_line)"
    note "going on by affinity: tasks keep away until one of them chooses otherwise"
}

kernel_line() {
    printf 'add "isolcpus=managed_irq,domain,%s nohz_full=%s rcu_nocbs=%s irqaffinity=%s" to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot' \
        "$CORES" "$CORES" "$CORES" "$HOUSEKEEPING"
}

# ---- Interrupts and unbound kernel work ----------------------------------------------------------

move_interrupts() {
    local file before after moved=0 away=0 refused=()
    for file in "$PROC"/irq/[0-9]*/smp_affinity_list; do
        [[ -e $file ]] || continue
        before=$(read_line "$file")
        after=$(away_from_cores "$before")
        if [[ $after == "$before" ]]; then
            away=$((away + 1))
        elif change_file "$file" "$before" "$after"; then
            moved=$((moved + 1))
        else
            refused+=("$(basename "$(dirname "$file")")")
        fi
    done
    note "interrupts: $moved ${DRY_RUN:+would be }moved, $away away already, ${#refused[@]} refused by the kernel" \
        "${refused[*]:+(${refused[*]}: bound to their core)}"
    CHANGES=$((CHANGES + moved))
}

# A list without the isolated cores; what had only those goes to the housekeeping cores.
away_from_cores() {
    local kept
    kept=$(list_minus "$1" "$CORES")
    printf '%s\n' "${kept:-$HOUSEKEEPING}"
}

change_file() {
    [[ -z $DRY_RUN ]] || return 0
    record file "$1" "$2" "$3"
    apply "$1" "$3" && [[ $(read_line "$1") != "$2" ]]
}

# move_mask FILE WHAT: the same for a file that holds one hexadecimal mask.
move_mask() {
    local before list after
    [[ -e $1 ]] || return 0
    before=$(read_line "$1") list=$(mask_to_list "$(read_line "$1")")
    if [[ $(away_from_cores "$list") == "$list" ]]; then
        note "$2: away already"
        return 0
    fi
    after=$(list_to_mask "$(away_from_cores "$list")")
    if change_file "$1" "$before" "$after"; then
        note "$2: ${DRY_RUN:+would go }$before -> $after in $1"
        CHANGES=$((CHANGES + 1))
    else
        warn "cannot move $2 off cores $CORES" "the kernel refused $after in $1"
    fi
}

warn_irqbalance() {
    grep -qsx irqbalance "$PROC"/[0-9]*/comm || return 0
    warn "irqbalance runs" "it may move interrupts back" \
        "set IRQBALANCE_BANNED_CPULIST=$CORES in /etc/default/irqbalance, then: sudo systemctl restart irqbalance"
}

# ---- Tasks ---------------------------------------------------------------------------------------

# Lines of "tid list" for every thread there is.
task_affinities() {
    printf '%s\0' "$PROC"/[0-9]*/task/[0-9]*/status | xargs -0 grep -Hs '^Cpus_allowed_list:' |
        awk '{ sub(/\/status:.*/, "", $1); sub(/.*\//, "", $1); print $1, $2 }' || true
}

# task_stat TID: sets TASK_PARENT, TASK_FLAGS and TASK_START; false when it is gone.
task_stat() {
    local text fields
    text=$(read_line "$PROC/$1/stat")
    [[ -n $text ]] || return 1
    read -ra fields <<<"${text##*) }"
    TASK_PARENT=${fields[1]} TASK_FLAGS=${fields[6]} TASK_START=${fields[19]}
}

is_user_task() { task_stat "$1" && ((!(TASK_FLAGS & PF_KTHREAD))); }

move_tasks() {
    local tid list moved=0 away=0 pinned=() refused=()
    local -A target=()
    while read -r tid list; do
        is_user_task "$tid" || continue
        [[ -n ${target[$list]:-} ]] || target[$list]=$(away_from_cores "$list")
        if [[ ${target[$list]} == "$list" ]]; then
            away=$((away + 1))
        elif [[ -z $(list_minus "$list" "$CORES") ]]; then
            pinned+=("$(task_name "$tid")")
        elif move_task "$tid" "$list" "${target[$list]}"; then
            moved=$((moved + 1))
        elif [[ -e $PROC/$tid ]]; then
            refused+=("$(task_name "$tid")")
        fi
    done < <(task_affinities)
    note "tasks: $moved ${DRY_RUN:+would be }moved, $away away already, ${#refused[@]} refused by the kernel" \
        "${refused[*]:+(${refused[*]})}"
    ((${#pinned[@]} == 0)) || note "tasks left, because somebody pinned them there: ${pinned[*]}"
    CHANGES=$((CHANGES + moved))
}

task_name() { printf '%s(%d)' "$(read_line "$PROC/$1/comm")" "$1"; }

move_task() {
    [[ -z $DRY_RUN ]] || return 0
    record task "$1" "$TASK_START" "$2" "$3"
    set_affinity "$1" "$3"
}

set_affinity() { taskset -pc "$2" "$1" >/dev/null 2>&1; }

# ---- Undo ----------------------------------------------------------------------------------------

undo() {
    local lines
    if [[ ! -e $RECORD ]]; then
        note "nothing to undo: no cores are isolated by this script"
        return 0
    fi
    need_root
    [[ -n $DRY_RUN ]] || lock_state --undo
    CORES=$(isolate_recorded cores)
    HOUSEKEEPING=$(list_minus "$(read_line "$SYS/devices/system/cpu/online")" "$CORES")
    mapfile -t lines < <(tac "$RECORD")
    declare -gA OLD=() NEW=()
    UNDONE=0 LEFT=0
    undo_lines "${lines[@]}"
    undo_inherited
    [[ -z $(isolate_recorded partition)$(isolate_recorded controller) ]] || undo_partition
    if [[ -n $DRY_RUN ]]; then
        note "dry run: $UNDONE changes would be undone"
        return 0
    fi
    ! is_partition || exit 1
    rm -f "$RECORD"
    note "cores $CORES are given back: $UNDONE changes undone, $LEFT left as others have set them since"
}

undo_lines() {
    local line kind a b c d
    for line in "$@"; do
        IFS=$'\t' read -r kind a b c d <<<"$line"
        case $kind in
            file) undo_file "$a" "$b" "$c" ;;
            task) undo_task "$a" "$b" "$c" "$d" ;;
        esac
    done
}

# undo_file PATH BEFORE AFTER: only where it still holds what we wrote. A write that the kernel
# refused left BEFORE in place.
undo_file() {
    local now
    now=$(read_line "$1")
    if [[ $now == "$2" || -z $now ]]; then
        return 0
    elif ! same_cores "$now" "$3"; then
        LEFT=$((LEFT + 1))
        note "left: $1 is $now, which is not what this script wrote ($3)"
    elif [[ -n $DRY_RUN ]] || apply "$1" "$2"; then
        UNDONE=$((UNDONE + 1))
    else
        warn "cannot write $2 to $1" "the kernel refused it"
    fi
}

# The kernel may print 00000001 for the 1 that was written.
same_cores() { [[ $1 == "$2" ]] || { [[ $1$2 != *-* ]] && [[ $(mask_to_list "$1") == "$(mask_to_list "$2")" ]]; }; }

undo_task() {
    OLD[$1]=$3 NEW[$1]=$4
    task_stat "$1" && [[ $TASK_START == "$2" ]] || return 0
    restore_task "$1" "$3" "$4"
}

# restore_task TID BEFORE AFTER
restore_task() {
    local now
    now=$(awk '/^Cpus_allowed_list:/ { print $2 }' "$PROC/$1/status" 2>/dev/null) || return 0
    if [[ $now == "$3" ]]; then
        [[ -n $DRY_RUN ]] || set_affinity "$1" "$2" || return 0
        UNDONE=$((UNDONE + 1))
    elif [[ $now != "$2" ]]; then
        LEFT=$((LEFT + 1))
    fi
}

# Tasks born since have inherited a narrowed affinity: they get what their forebear gets back.
undo_inherited() {
    local tid list forebear
    ((${#OLD[@]})) || return 0
    while read -r tid list; do
        [[ -z ${OLD[$tid]:-} ]] || continue
        forebear=$(recorded_forebear "$tid") || continue
        [[ $list != "${NEW[$forebear]}" ]] || restore_task "$tid" "${OLD[$forebear]}" "$list"
    done < <(task_affinities)
}

recorded_forebear() {
    local tid=$1
    tid=$(awk '/^Tgid:/ { print $2 }' "$PROC/$1/status" 2>/dev/null) || return 1
    while [[ -n $tid && $tid != 0 ]]; do
        [[ -z ${OLD[$tid]:-} ]] || { printf '%s\n' "$tid" && return 0; }
        task_stat "$tid" || return 1
        tid=$TASK_PARENT
    done
    return 1
}

undo_partition() {
    if [[ -n $DRY_RUN ]]; then
        note "would end the cpuset partition $GROUP"
    else
        drop_partition
    fi
    UNDONE=$((UNDONE + 1))
}

# ---- Show ----------------------------------------------------------------------------------------

show() {
    local boot
    boot=$(read_line "$SYS/devices/system/cpu/isolated")
    note "cores online: $(read_line "$SYS/devices/system/cpu/online")"
    note "isolated at boot (isolcpus): ${boot:-none}"
    note "without timer ticks (nohz_full): $(tickless)"
    CORES=$(isolate_recorded cores)
    note "isolated by this script: ${CORES:-none}"
    if [[ -n $(isolate_recorded partition) ]]; then
        note "cpuset partition: $(read_line "$GROUP/cpuset.cpus.partition"), cores $(read_line "$GROUP/cpuset.cpus.effective")"
    fi
    [[ -z ${CORES:=$boot} ]] || show_guests
}

tickless() {
    local list
    list=$(read_line "$SYS/devices/system/cpu/nohz_full")
    [[ $list =~ ^[0-9] ]] || list=none
    printf '%s\n' "$list"
}

# What may still run on the isolated cores.
show_guests() {
    local file tid list irqs=() tasks=()
    for file in "$PROC"/irq/[0-9]*/smp_affinity_list; do
        list=$(read_line "$file")
        [[ -z $list || -z $(list_common "$list" "$CORES") ]] || irqs+=("$(basename "$(dirname "$file")")")
    done
    local -A common=()
    while read -r tid list; do
        is_user_task "$tid" || continue
        [[ -n ${common[$list]:-} ]] || common[$list]=.$(list_common "$list" "$CORES")
        [[ ${common[$list]} == . ]] || tasks+=("$(task_name "$tid")")
    done < <(task_affinities)
    note "interrupts that may still come to cores $CORES: ${irqs[*]:-none}"
    note "user tasks that may still run on cores $CORES: ${#tasks[@]} ${tasks[*]:0:8}"
}

# ---- Options -------------------------------------------------------------------------------------

LIST='' ACTION=isolate DRY_RUN=''
ARGUMENTS=("$@")

while (($#)); do
    case $1 in
        --undo | --show) ACTION=${1#--} ;;
        --dry-run) DRY_RUN=1 ;;
        -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
        -*) die_usage "cannot make sense of $1" ;;
        *) [[ -z $LIST ]] || die_usage "cannot isolate both $LIST and $1" "one list is taken"; LIST=$1 ;;
    esac
    shift
done
[[ -n $LIST || $ACTION != isolate ]] || die_usage "cannot isolate cores" "no list is given, such as 1-3,5"
[[ -z $LIST || $ACTION == isolate ]] || die_usage "cannot both --$ACTION and isolate $LIST"
"$ACTION"
