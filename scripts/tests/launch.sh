#!/usr/bin/env bash
# scripts/launch.sh, on a copy of the kernel's files and with a stand-in for the binary.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"
LAUNCH=$ROOT/scripts/launch.sh
export CARGO_TARGET_DIR=$WORK/target

stub() {
    mkdir -p "$CARGO_TARGET_DIR/release"
    printf '#!/bin/sh\necho "stub: $*"; exit 7\n' >"$CARGO_TARGET_DIR/release/ringway"
    chmod +x "$CARGO_TARGET_DIR/release/ringway"
}

launch() { run "$LAUNCH" --no-build "$@"; }

starts() {
    stub
    launch --no-hugepages -c 0x6 --config 'a b.toml' --idle=busy
    expect_status 7
    expect "stub: run -c 0x6 --config a b.toml --idle=busy"
}

picks_cores() {
    launch --no-hugepages --dry-run
    expect "ringway run -l 1-3"
    put "$RINGWAY_PROC/self/status" "Cpus_allowed_list:	0-1"
    launch --no-hugepages --dry-run
    expect "ringway run -l 1"
    put "$RINGWAY_PROC/self/status" "Cpus_allowed_list:	0"
    launch --no-hugepages --dry-run
    expect "ringway run -l 0"
}

prefers_isolated_cores() {
    put "$RINGWAY_STATE_DIR/isolate.state" "cores	3"
    launch --no-hugepages --dry-run
    expect "ringway run -l 3"
    put "$RINGWAY_SYS/devices/system/cpu/isolated" 2
    launch --no-hugepages --dry-run
    expect "ringway run -l 2"
}

reserves_where_the_lcores_are() {
    launch --dry-run -l 1-3
    expect "would write 10 to $(pool 0 2048)/nr_hugepages"
    expect "would write 19 to $(pool 1 2048)/nr_hugepages"
    launch --dry-run --lcores=0@2
    expect "would write 10 to $(pool 1 2048)/nr_hugepages"
    expect_not "$(pool 0 2048)"
    launch --dry-run -c 0x3 --numa-mem 64,32
    expect "would write 32 to $(pool 0 2048)/nr_hugepages"
    expect "would write 16 to $(pool 1 2048)/nr_hugepages"
}

reserves_nothing_when_told() {
    launch --dry-run -l 1 --no-huge
    expect_not "would write"
    expect "ringway run -l 1 --no-huge"
    put "$(pool 0 2048)/free_hugepages" 10
    launch --dry-run -l 1
    expect "enough are free on node 0"
    expect_not "would write"
}

says_what_is_lost() {
    rm -rf "$RINGWAY_SYS/devices/system/node/node1/hugepages"
    launch --dry-run -l 3
    expect_status 0
    expect "going on without"
    expect "ringway run -l 3"
}

leaves_odd_lists_to_ringway() {
    stub
    launch --no-hugepages -l 1-x
    expect_status 7
    expect "stub: run -l 1-x"
    expect "cannot count the lcores of 1-x"
    launch -l
    expect_status 2
}

misses_the_binary() {
    launch --no-hugepages -l 1
    expect_status 1
    expect "leave out --no-build"
}

enters_the_partition() {
    printf 'cores\t3\npartition\t/sys/fs/cgroup/ringway.slice\n' >"$WORK/state"
    put "$RINGWAY_STATE_DIR/isolate.state" "$(<"$WORK/state")"
    launch --dry-run --no-hugepages
    expect "would enter the cpuset partition /sys/fs/cgroup/ringway.slice"
    launch --dry-run --no-hugepages -l 1
    expect_not "would enter"
}

it "starts ringway run with every other option passed on" starts
it "picks the cores that can be spared" picks_cores
it "prefers isolated cores" prefers_isolated_cores
it "reserves hugepages on the nodes of its lcores" reserves_where_the_lcores_are
it "reserves nothing when told, or when enough are free" reserves_nothing_when_told
it "says what is lost and goes on without hugepages" says_what_is_lost
it "leaves odd core lists to ringway to refuse" leaves_odd_lists_to_ringway
it "says so when there is no binary" misses_the_binary
it "enters the cpuset partition of isolated cores" enters_the_partition
done_testing
