#!/usr/bin/env bash
# Prepares this machine and starts ringway: packages, hugepages, build, cores, then `ringway run`.
#
# usage: scripts/launch.sh [-c MASK | -l LIST] [launch options] [options of ringway run]
#
#   scripts/launch.sh                     one lcore on each core that can be spared
#   scripts/launch.sh -c 0x6              lcores on cores 1 and 2
#   scripts/launch.sh -l 1-3,5@7          lcores 1 to 3 on their cores, lcore 5 on core 7
#   scripts/launch.sh -l 2 --config my.toml --idle busy --file-prefix second
#
#   --no-build        start the binary that is there; install nothing
#   --no-hugepages    reserve no hugepages, take what is there
#   --dry-run         print every step, take none
#   -h, --help        this text; the options of ringway: target/release/ringway run --help
#
# Every other option goes to `ringway run` as it is: -l/--lcores, -c/--core-mask, --main-lcore,
# --numa-mem, --huge-dir, --no-huge, --in-memory, --file-prefix, --config, --idle, --log-level, ...
#
# Without -c and -l the lcores go to the isolated cores (isolcpus= or scripts/isolate-cores.sh);
# where there are none, to every core this shell may use but core 0; of two cores, to the second.
#
# What needs root (installing packages, reserving hugepages) is done where this user is root or has
# sudo without a password. Otherwise a missing package is an error with the line that installs it,
# and missing hugepages are a warning that says what is lost.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
RESERVE=$ROOT/hugepages/reserve.sh
BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/release/ringway
LCORES_MAX=64

# ---- Options -------------------------------------------------------------------------------------

BUILD=1 HUGEPAGES=1 DRY_RUN='' CORE_LIST='' CORE_MASK='' NUMA_MEM=''
PASSED=()

parse_options() {
    local name value
    [[ ${1:-} != run ]] || shift
    while (($#)); do
        name=${1%%=*} value=''
        case $name in
            --no-build) BUILD='' ;;
            --no-hugepages) HUGEPAGES='' ;;
            --dry-run) DRY_RUN=1 ;;
            -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
            --no-huge) HUGEPAGES='' && PASSED+=("$1") ;;
            -l | --lcores | -c | --core-mask | --numa-mem)
                if [[ $1 == *=* ]]; then value=${1#*=} && PASSED+=("$1"); else
                    need_value "$1" $#
                    value=$2 && PASSED+=("$1" "$2") && shift
                fi
                remember "$name" "$value" ;;
            -[lc]?*) remember "${1:0:2}" "${1:2}" && PASSED+=("$1") ;;
            *) PASSED+=("$1") ;;
        esac
        shift
    done
}

# What launch.sh itself must know of the options that it passes on.
remember() {
    case $1 in
        -l | --lcores) CORE_LIST=$2 ;;
        -c | --core-mask) CORE_MASK=$2 ;;
        --numa-mem) NUMA_MEM=$2 ;;
    esac
}

# ---- Cores ---------------------------------------------------------------------------------------

# Sets CPUS, one per lcore, and adds -l to the options when the user chose no cores.
choose_cores() {
    if [[ -n $CORE_LIST ]]; then
        mapfile -t CPUS < <(lcore_cpus "$CORE_LIST")
    elif [[ -n $CORE_MASK ]]; then
        mapfile -t CPUS < <(lcore_cpus "$(mask_to_list "$CORE_MASK")")
    else
        pick_cores
        mapfile -t CPUS < <(lcore_cpus "$CORE_LIST")
        PASSED=(-l "$CORE_LIST" "${PASSED[@]}")
    fi
    ((${#CPUS[@]})) || warn "cannot count the lcores of ${CORE_LIST:-$CORE_MASK}" "it is no core list or mask that this script reads" \
        "ringway says below what it makes of it"
}

pick_cores() {
    local online allowed why
    online=$(read_line "$SYS/devices/system/cpu/online")
    allowed=$(awk '/^Cpus_allowed_list:/ { print $2 }' "$PROC/self/status")
    if CORE_LIST=$(list_common "$(read_line "$SYS/devices/system/cpu/isolated")" "$online") && [[ -n $CORE_LIST ]]; then
        why="isolated at boot"
    elif CORE_LIST=$(list_common "$(isolate_recorded cores)" "$online") && [[ -n $CORE_LIST ]]; then
        why="isolated by scripts/isolate-cores.sh"
    else
        CORE_LIST=$(spare_cores "$allowed")
        why="of the cores $allowed that this shell may use; none is isolated (scripts/isolate-cores.sh)"
    fi
    CORE_LIST=$(first_cores "$LCORES_MAX" "$CORE_LIST")
    note "lcores: $CORE_LIST ($why)"
}

# All but core 0; of two cores the second; the only one where there is but one.
spare_cores() {
    local cores
    read -ra cores <<<"$(expand_list "$1")"
    case ${#cores[@]} in
        1 | 2) printf '%s\n' "${cores[-1]}" ;;
        *) list_minus "$1" 0 ;;
    esac
}

first_cores() {
    local cores
    read -ra cores <<<"$(expand_list "$2")"
    compress_list "${cores[@]:0:$1}"
}

# Inside a cpuset partition only its members may run: this shell, and so ringway, becomes one.
join_partition() {
    local group
    group=$(isolate_recorded partition)
    [[ -n $group && -n $(list_common "$(compress_cpus)" "$(isolate_recorded cores)") ]] || return 0
    if [[ -n $DRY_RUN ]]; then
        note "would enter the cpuset partition $group"
    elif may_root; then
        printf '%d\n' $$ | as_root tee "$group/cgroup.procs" >/dev/null
    else
        die "cannot run on cores $(isolate_recorded cores)" "they belong to the cpuset partition $group, and uid $EUID may not enter it" \
            "$(sudo_line "$0" "${PASSED[@]}")"
    fi
}

compress_cpus() {
    local cpus
    cpus=$(expand_list "$(IFS=,; printf '%s' "${CPUS[*]}")")
    # shellcheck disable=SC2086  # a list of numbers
    compress_list $cpus
}

# ---- Build and hugepages -------------------------------------------------------------------------

build() {
    if [[ -z $BUILD ]]; then
        [[ -x $BINARY || -n $DRY_RUN ]] || die "cannot start $BINARY" "it is not there" "leave out --no-build"
        return 0
    fi
    need_packages ${DRY_RUN:+--dry-run} "${BUILD_PACKAGES[@]}"
    need_cargo "$ROOT"
    step cargo build --release --locked --manifest-path "$ROOT/Cargo.toml"
}

# Runs a command, or prints it in a dry run.
step() {
    if [[ -n $DRY_RUN ]]; then
        note "would run: $(quoted "$@")"
    else
        "$@"
    fi
}

reserve_hugepages() {
    local node cpu mb
    [[ -n $HUGEPAGES ]] || return 0
    local -A lcores=()
    if [[ -n $NUMA_MEM ]]; then
        node=0
        for mb in ${NUMA_MEM//,/ }; do reserve_on $((node++)) --bytes "${mb}M"; done
        return 0
    fi
    for cpu in "${CPUS[@]}"; do
        node=$(node_of_cpu "$cpu")
        lcores[$node]=$((${lcores[$node]:-0} + 1))
    done
    for node in "${!lcores[@]}"; do reserve_on "$node" --lcores "${lcores[$node]}"; done
}

# reserve_on NODE AMOUNT...: going on without is allowed, going on silently is not.
reserve_on() {
    local line=("$RESERVE" reserve --free --node "$@")
    [[ -z $DRY_RUN ]] || line+=(--dry-run)
    if "$RESERVE" check --node "$@" >/dev/null 2>&1; then
        note "hugepages: enough are free on node $1"
    elif [[ -n $DRY_RUN ]]; then
        "${line[@]}" || say_what_is_lost "$1"
    elif may_root; then
        as_root "${line[@]}" || say_what_is_lost "$1"
    else
        say_what_is_lost "$1" "uid $EUID may not reserve them" "$(sudo_line "${line[@]}")"
    fi
}

say_what_is_lost() {
    warn "cannot have all hugepages on node $1" "${2:-see above}" "${3:-}"
    note "going on without: the pools take smaller pages, and random access to them is 1.2 to 1.6 times slower"
}

# ---- Start ---------------------------------------------------------------------------------------

main() {
    parse_options "$@"
    choose_cores
    build
    reserve_hugepages
    join_partition
    note "${DRY_RUN:+would start: }$(quoted "$BINARY" run "${PASSED[@]}")"
    [[ -n $DRY_RUN ]] || exec "$BINARY" run "${PASSED[@]}"
}

main "$@"
