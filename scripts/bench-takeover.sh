#!/usr/bin/env bash
# Counts what clients notice of a takeover (`ringway run --takeover`) and of a reload (`ringway ctl reload`), and prints
# a table as it stands in docs/BENCHMARKS.md.
#
# usage: scripts/bench-takeover.sh [ROUNDS] [SECONDS]     (default: 3 rounds of 4 seconds for each)
#
# An instance serves `GET /` from one lcore on core 0; wrk asks from core 1 over 50 connections that stay open, and beside it
# over 10 connections that are new for each request. In the middle of each turn nothing happens, or another instance takes
# over, or the configuration is read again with another listener in it. Cells are sums of errors (refused, reset, cut short, timed out, not 200) over all
# rounds, and the worst latency sample in milliseconds of each round. Needs wrk. With NO_BUILD=1 target/release/ringway is
# taken as it was built.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} seconds=${2:-4}
command -v wrk >/dev/null || { echo "missing: apt-get install wrk" >&2 && exit 1; }
test -n "${NO_BUILD:-}" || cargo build --release
place=$(mktemp -d)
name=bench-takeover-$$
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$place"' EXIT

cat >"$place/r.toml" <<'TOML'
[[listener]]
address = "127.0.0.1:8097"
transport = "tcp"
protocol = "http"
config = { max_requests = 1000000000 }
[dataplane]
max_connections = 1024
TOML
cat >"$place/told.lua" <<'LUA'
done = function(summary, latency)
    local e = summary.errors
    io.write(string.format("told %d %d %.1f\n", summary.requests,
        e.connect + e.read + e.write + e.status + e.timeout, latency.max / 1000))
end
LUA

run() { target/release/ringway run -l 0 --file-prefix "$name" --config "$place/r.toml" --log-level error "$@"; }
ctl() { target/release/ringway ctl --file-prefix "$name" "$@"; }

# Waits until the process that answers is not $1, and leaves it in $pid.
await_another() {
    local before=$1
    until pid=$(ctl --json version 2>/dev/null | sed 's/.*"pid":\([0-9]*\).*/\1/') && [[ -n $pid && $pid != "$before" ]]; do
        sleep 0.05
    done
}

ask() {
    local manner=$1 connections=$2
    shift 2
    taskset -c 1 wrk -t1 -c"$connections" -d"${seconds}s" -s "$place/told.lua" "$@" http://127.0.0.1:8097/ |
        sed -n 's/^told //p' >>"$place/$event.$manner"
}

nothing() { :; }
takeover() {
    run --takeover >/dev/null &
    await_another "$pid"
}
# The listener is another one each time: its successor takes its sockets over.
reload() {
    sed -i 's/= 1000000000 /= 1000000001 /; t; s/= 1000000001 /= 1000000000 /' "$place/r.toml"
    ctl reload | grep -q '^changed' || echo "the reload changed nothing" >&2
}

events=(nothing takeover)
run >/dev/null &
await_another ""
! ctl help | grep -q '^reload' || events+=(reload)
for _ in $(seq "$rounds"); do
    for event in "${events[@]}"; do
        ask open 50 &
        open=$!
        ask new 10 -H 'Connection: close' &
        new=$!
        sleep "$(awk -v s="$seconds" 'BEGIN { print s / 2 }')"
        "$event"
        wait "$open" "$new"
    done
done
ctl stop >/dev/null

echo "| in the middle | connections | requests | errors | worst sample of each round, ms |"
echo "|---|---|---:|---:|---|"
for event in "${events[@]}"; do
    for manner in open new; do
        awk -v event="$event" -v manner="$manner" '
            { requests += $1; errors += $2; worst = worst (NR > 1 ? ", " : "") $3 }
            END { print "| " event " | " (manner == "open" ? "stay open" : "new for each request") " | " requests " | " errors " | " worst " |" }
        ' "$place/$event.$manner"
    done
done
