#!/usr/bin/env bash
# Runs the stress tests of the lock-free code under a sanitizer, on a stable compiler.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/sanitize.sh [thread|address|all] [TEST ARGUMENTS...]     (default: all)

  thread    ThreadSanitizer: data races. It does not model fences, so it says nothing about the
            doorbell's sleep protocol; that is held by the loom model loom-tests/doorbell.rs.
  address   AddressSanitizer: reads and writes out of bounds, use after free, leaks. Processes at
            ports, hostile ones among them, run here alone: both sides map a port's memory.

RING_STRESS_ITEMS (here 100000 unless set), MEM_STRESS_ROUNDS (20000) and OFFLOAD_STRESS_TASKS (20000)
scale the tests, RING_STRESS_SEED, MEM_STRESS_SEED and OFFLOAD_STRESS_SEED repeat a run.
The precompiled standard library is not instrumented, so ThreadSanitizer cannot see the ordering
inside its Arc, channels and test harness: reports with those frames are suppressed.
USAGE
}

kind=${1:-all}
[ $# -eq 0 ] || shift
case $kind in
-h | --help) usage && exit ;;
thread | address) kinds=("$kind") ;;
all) kinds=(thread address) ;;
*) usage >&2 && exit 2 ;;
esac

cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
export RING_STRESS_ITEMS=${RING_STRESS_ITEMS:-100000}
export MEM_STRESS_ROUNDS=${MEM_STRESS_ROUNDS:-20000}
export OFFLOAD_STRESS_TASKS=${OFFLOAD_STRESS_TASKS:-20000}
suppressions=$(mktemp)
trap 'rm -f "$suppressions"' EXIT
printf 'race:%s\n' 'alloc::sync::Arc' 'std::sync::mpmc' 'test::run_test' >"$suppressions"
export TSAN_OPTIONS="suppressions=$suppressions ${TSAN_OPTIONS:-}"
for kind in "${kinds[@]}"; do
    echo "== $kind"
    # Two mappings of one memory look unordered to ThreadSanitizer.
    tests=(--test ring_stress --test mem_stress --test offload_stress)
    if [ "$kind" = thread ]; then
        export RING_STRESS_ONE_MAPPING=1
    else
        unset RING_STRESS_ONE_MAPPING
        tests+=(--test port)
    fi
    RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-Zsanitizer=$kind -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo test --no-default-features --target $target --target-dir "target/sanitize-$kind" \
        "${tests[@]}" -- --test-threads=1 --no-capture "$@"
done
