# shellcheck shell=bash
# What the scripts' own tests share: a copy of the kernel's files to work on, and the checks.
# Sourced by scripts/tests/*.sh. Nothing here touches the machine.

set -euo pipefail

ROOT=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export RINGWAY_SYS=$WORK/sys RINGWAY_PROC=$WORK/proc RINGWAY_STATE_DIR=$WORK/run

FAILED=0 OUT='' STATUS=0

# run COMMAND...: leaves its output, errors included, in OUT and its status in STATUS.
run() {
    STATUS=0
    OUT=$("$@" 2>&1) || STATUS=$?
}

expect_status() { [[ $STATUS == "$1" ]] || complain "status $STATUS in place of $1"; }
expect() { [[ $OUT == *"$1"* ]] || complain "the output lacks: $1"; }
expect_not() { [[ $OUT != *"$1"* ]] || complain "the output has: $1"; }
expect_file() { [[ $(<"$1") == "$2" ]] || complain "$1 holds '$(<"$1")' in place of '$2'"; }
expect_equal() { [[ $1 == "$2" ]] || complain "'$1' in place of '$2'"; }

complain() {
    FAILED=$((FAILED + 1))
    printf 'FAILED: %s (line %d of %s)\n' "$1" "${BASH_LINENO[1]}" "${0##*/}"
    printf '%s\n' "$OUT" | sed 's/^/    | /'
}

# it "does something" FUNCTION: one test, on a fresh copy of the kernel's files.
it() {
    local before=$FAILED
    rm -rf "${WORK:?}"/*
    fake_machine
    "$2"
    if ((FAILED == before)); then printf 'ok      %s\n' "$1"; else printf 'NOT ok  %s\n' "$1"; fi
}

# put FILE VALUE
put() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1"
}

pool() { printf '%s\n' "$RINGWAY_SYS/devices/system/node/node$1/hugepages/hugepages-$2kB"; }

# Four cores on two nodes, 8 GiB of memory, empty pools of 2 MiB and 1 GiB pages, three interrupts.
fake_machine() {
    local node kb cpu irq sys=$RINGWAY_SYS proc=$RINGWAY_PROC
    for kb in 2048 1048576; do
        for node in 0 1; do
            for file in nr_hugepages free_hugepages surplus_hugepages; do put "$(pool "$node" "$kb")/$file" 0; done
        done
        put "$sys/kernel/mm/hugepages/hugepages-${kb}kB/resv_hugepages" 0
    done
    for node in 0 1; do
        put "$sys/devices/system/node/node$node/meminfo" "Node $node MemFree: 4000000 kB"
    done
    for cpu in 0 1 2 3; do mkdir -p "$sys/devices/system/cpu/cpu$cpu/node$((cpu / 2))"; done
    put "$sys/devices/system/cpu/online" 0-3
    put "$sys/devices/system/cpu/isolated" ''
    put "$sys/devices/virtual/workqueue/cpumask" f
    for irq in 7 8 9; do put "$proc/irq/$irq/smp_affinity_list" 0-3; done
    put "$proc/irq/default_smp_affinity" f
    put "$proc/meminfo" "MemAvailable: 8000000 kB"
    put "$proc/self/mounts" "none / rootfs rw 0 0"
    put "$proc/self/status" "Cpus_allowed_list:	0-3"
}

done_testing() {
    printf '%s: %s\n' "${0##*/}" "$( ((FAILED)) && printf '%d checks failed' "$FAILED" || printf 'all passed')"
    ((FAILED == 0))
}
