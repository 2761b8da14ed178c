#!/usr/bin/env bash
# Measures GETs of files beside nginx, and prints a table as it stands in docs/BENCHMARKS.md.
#
# usage: scripts/bench-files.sh [ROUNDS] [SECONDS]     (default: 5 rounds of 2 seconds for each)
#
# examples/upload.rs and nginx (one worker, sendfile, open_file_cache) serve one directory from core 0; wrk asks from core
# 1 over 50 connections that stay open. The servers take turns in each round. Cells are min / median / max over the rounds:
# thousands of requests a second, and microseconds of the server's CPU time for each. Needs nginx and wrk. With NO_BUILD=1 the example is
# taken as it was built.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-2}
for tool in nginx wrk; do
    command -v "$tool" >/dev/null || { echo "missing: apt-get install $tool" >&2 && exit 1; }
done
test -n "${NO_BUILD:-}" || cargo build --release --example upload
place=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$place"' EXIT
mkdir "$place/files"
for size in 1024 16384 1048576; do head -c "$size" /dev/urandom >"$place/files/$size"; done
chmod -R a+rX "$place"
cat >"$place/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $place/pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100;
    server { listen 127.0.0.1:8091; location /files/ { root $place; } } }
CONF
taskset -c 0 nginx -c "$place/nginx.conf" &
nginx=$!
taskset -c 0 target/release/examples/upload "$place/files" >/dev/null &
ours=$!
sleep 1
nginx_worker=$(pgrep -P "$nginx")

# Ticks of CPU time that a process has taken.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# One turn: server's name, its process, port, bytes.
turn() {
    local before after requests
    before=$(ticks "$2")
    requests=$(taskset -c 1 wrk -t1 -c50 -d"${seconds}s" "http://127.0.0.1:$3/files/$4" |
        awk '/requests in/ { print $1 } /Non-2xx/ { exit 1 }')
    after=$(ticks "$2")
    awk -v n="$requests" -v s="$seconds" -v t=$((after - before)) \
        'BEGIN { printf "%.1f %.2f\n", n / s / 1000, t * 10000 / n }' >>"$place/$1.$4"
}

# min / median / max of a column.
spread() { sort -n -k"$1,$1" "$2" | awk -v c="$1" '{ v[NR] = $c } END { print v[1] " / " v[int((NR + 1) / 2)] " / " v[NR] }'; }

for _ in $(seq "$rounds"); do
    for size in 1024 16384 1048576; do
        turn ringway "$ours" 8090 "$size"
        turn nginx "$nginx_worker" 8091 "$size"
    done
done
echo "| bytes | server | k requests/s | server CPU, µs a request |"
echo "|---:|---|---|---|"
for size in 1024 16384 1048576; do
    for server in ringway nginx; do
        echo "| $size | $server | $(spread 1 "$place/$server.$size") | $(spread 2 "$place/$server.$size") |"
    done
done
