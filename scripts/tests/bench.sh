#!/usr/bin/env bash
# scripts/bench.sh: its options, and what it would run. Nothing is measured here.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"
BENCH=$ROOT/scripts/bench.sh

bench() { run "$BENCH" --dry-run "$@"; }

measures_what_is_named() {
    put "$RINGWAY_PROC/loadavg" "0.10 0.10 0.10 1/100 1"
    bench selfloop --rounds 7
    expect_status 0
    expect "cargo bench --quiet --bench selfloop -- 7"
    expect_not "==== http ===="
    expect_not "will be noisy"
}

measures_ports_beside_what_is_built() {
    bench port --rounds 3 --seconds 0.5
    expect_status 0
    expect "benches/peers/Cargo.toml"
    expect "cargo bench --quiet --bench port -- 3 0.5"
}

measures_everything() {
    bench
    expect_status 0
    for kind in http port echo modes selfloop udp stream stream_peers instructions memory ring mempool; do expect "==== $kind ===="; done
    expect "benches/peers/Cargo.toml"
}

tells_of_a_busy_machine() {
    put "$RINGWAY_PROC/loadavg" "3.10 0.10 0.10 1/100 1"
    bench ring
    expect "timings will be noisy: the load of this machine is 3.10"
}

refuses() {
    bench nonsense
    expect_status 2
    expect "cannot measure nonsense"
    bench --rounds
    expect_status 2
    expect "its value is missing"
    bench --rounds many
    expect_status 2
    expect "it is not a number"
}

explains_itself() {
    run "$BENCH" --help
    expect_status 0
    expect "usage: scripts/bench.sh"
    expect_not "set -euo"
}

it "measures what is named" measures_what_is_named
it "measures ports beside what is built" measures_ports_beside_what_is_built
it "measures everything when nothing is named" measures_everything
it "tells of a busy machine" tells_of_a_busy_machine
it "refuses what it does not know" refuses
it "explains itself" explains_itself
done_testing
