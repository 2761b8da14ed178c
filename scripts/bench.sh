#!/usr/bin/env bash
# Measures ringway, and prints tables as they stand in docs/BENCHMARKS.md.
#
# usage: scripts/bench.sh [WHAT...] [--rounds N] [--seconds S]
#
#   http          GET over loopback beside nginx, may_minihttp and hyper: requests per second, CPU time
#                 and system calls per request, latency; server on core 0, client on core 1
#   websocket     messages sent back beside uWebSockets, fastwebsockets and tungstenite: the same figures; and
#                 masking by itself. uWebSockets takes part where RINGWAY_UWEBSOCKETS names its example of an
#                 echo, which benches/websocket.rs says how to build
#   port          processes at ports: a queue beside two rings by hand, a Unix socket and iceoryx2; an
#                 echo and GET beside handlers in the dataplane's own process; Python beside asyncio
#   echo          round trip of one connection beside an epoll server, and what an idle lcore takes
#   modes         the ways of using io_uring, each beside the default
#   selfloop      one echo and one GET on one thread beside a bare io_uring server, in ns
#   udp           one datagram echoed, on one thread and on two, beside recvmmsg and sendmmsg, and beside GRO
#                 and GSO by hand
#   stream        messages of streams in memory beside a loop by hand, the cipher and the compressor alone;
#                 then the cipher, the handshake and the compressor by themselves
#   stream_peers  the same over loopback beside yamux over TLS, HTTP/2 and QUIC: messages per second and CPU
#                 time per message; server on core 0, client on core 1
#   broadcast     one message to 10,000 WebSockets beside as many sends by hand, on one core
#   instructions  user-space instructions of one GET, and of one message of a WebSocket, by stage, under valgrind;
#                 no noise, no kernel
#   memory        what 10,000 idle connections cost `ringway run`, and WebSockets
#   ring          rings beside rtrb and crossbeam, ns per element
#   mempool       allocation beside a free list and the heap, ns per buf
#   all           all of these, in this order (default)
#
#   --rounds N    interleaved rounds of what has rounds (http, websocket, port, echo, modes, stream_peers, ring 9; selfloop, udp, stream 400,
#                 broadcast 41);
#                 short ones of port, twenty for each
#   --seconds S   of one turn of one server in http, websocket, port and stream_peers (1)
#   --rows N      the functions that cost most, beside the stages of instructions (0)
#   --dry-run     say what would be installed and run
#   -h, --help    this text
#
# Both sides of a comparison take turns in one run and are compared pair by pair; trust the ratios, and
# a rate only where the client was not the bottleneck, which http says. Timings want a machine that
# does nothing else: this script says so where it does. instructions does not care.
#
# What is missing is installed where it may be (as root), or the line that does it is printed: nginx for
# http, valgrind and addr2line for instructions, perf for the system calls in http and websocket. may_minihttp,
# hyper, fastwebsockets, tungstenite, iceoryx2 and the peers of streams are built from benches/peers, with the crates that they need. A peer that is not
# there is left out, and named.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
KINDS=(http websocket port echo modes selfloop udp stream stream_peers broadcast instructions memory ring mempool)

# ---- What has to be there ------------------------------------------------------------------------

# want_tool COMMAND PACKAGE: installs it, or warns with the line that does.
want_tool() {
    local path=$PATH:/usr/sbin
    PATH=$path command -v "$1" >/dev/null && return
    if [[ -n $DRY_RUN ]]; then
        need_packages --dry-run "$2"
    elif may_root && command -v dpkg-query >/dev/null; then
        need_packages "$2"
    else
        warn "$1 is missing" "what needs it is left out" "$(sudo_line apt-get install --yes "$2")"
    fi
}

build_peers() {
    perform cargo build --quiet --release --manifest-path benches/peers/Cargo.toml ||
        warn "cannot build the peers" "cargo failed, see above" "give it a network, and run again"
}

# A machine that is busy with something else gives timings that mean nothing.
say_if_busy() {
    local load
    load=$(read_line "$PROC/loadavg")
    load=${load%% *}
    ((${load%.*} < 1)) ||
        warn "timings will be noisy" "the load of this machine is $load" "wait until it does nothing else"
    (($(nproc) >= 2)) ||
        warn "client and server share a core" "there is only one" "run this on a machine with two or more"
}

# ---- The measurements ----------------------------------------------------------------------------

# Runs a command, or says it.
perform() {
    if [[ -n $DRY_RUN ]]; then note "would run: $(quoted "$@")"; else "$@"; fi
}

bench() {
    local name=$1
    shift
    perform cargo bench --quiet --bench "$name" -- "$@"
}

measure_http() {
    want_tool nginx nginx-light
    want_tool perf linux-perf
    build_peers
    # nginx lies where only root's PATH goes.
    PATH=$PATH:/usr/sbin bench http "${ROUNDS:-9}" "$SECONDS_A_TURN"
}

measure_websocket() {
    want_tool perf linux-perf
    build_peers
    bench websocket "${ROUNDS:-9}" "$SECONDS_A_TURN"
    bench mask
}

measure_port() {
    build_peers
    # For Python.
    perform scripts/capi.sh || true
    bench port "${ROUNDS:-9}" "$SECONDS_A_TURN"
}

measure_echo() { bench loopback latency idle "${ROUNDS:-9}"; }
measure_modes() { bench loopback modes "${ROUNDS:-9}"; }
measure_selfloop() { bench selfloop "${ROUNDS:-400}"; }
measure_stream() {
    bench stream "${ROUNDS:-400}"
    bench aead
    bench compress
}
measure_stream_peers() {
    build_peers
    bench stream_peers "${ROUNDS:-9}" "$SECONDS_A_TURN"
}
measure_udp() {
    bench udp "${ROUNDS:-400}"
    bench udp two 9
}
measure_broadcast() { bench broadcast 10000 "${ROUNDS:-41}"; }
measure_memory() { bench memory 10000; }
measure_ring() { bench ring_paired "${ROUNDS:-9}"; }
measure_mempool() { bench mempool; }

# Transport, connections, requests in flight on each; of WebSockets also the bytes of a message. `router`: in memory,
# behind a router and three layers.
SHAPES=("memory 1 1" "memory 50 1" "memory 1 16" "memory 50 16" "tcp 1 1" "tcp 50 1" "tcp 50 16"
    "router 50 1"
    "memory 50 1 64" "memory 50 16 64" "tcp 50 1 64" "tcp 50 16 64")
# A multiple of connections x in flight in each.
REQUESTS=16000

measure_instructions() {
    local binary shape
    want_tool valgrind valgrind
    want_tool addr2line binutils
    if [[ -n $DRY_RUN ]]; then
        note "would run: benches/instructions.rs under valgrind, twice for each of ${#SHAPES[@]} shapes"
        return
    fi
    if ! command -v valgrind >/dev/null; then
        warn "instructions are not counted" "valgrind is missing"
        return
    fi
    binary=$(bench_binary instructions)
    for shape in "${SHAPES[@]}"; do
        count_instructions "$binary" "$shape"
    done
}

# The program that cargo has built for a bench.
bench_binary() {
    cargo bench --quiet --no-run --bench "$1" --message-format=json |
        sed -n "s/.*\"name\":\"$1\".*\"executable\":\"\([^\"]*\)\".*/\1/p"
}

# count_instructions BINARY "TRANSPORT CONNECTIONS IN_FLIGHT [BYTES]"
count_instructions() {
    local binary=$1 transport connections in_flight bytes n what=GET
    read -r transport connections in_flight bytes <<<"$2"
    [[ -z $bytes ]] || what="message of $bytes bytes"
    for n in $REQUESTS $((2 * REQUESTS)); do
        valgrind --quiet --tool=callgrind --dump-instr=yes --callgrind-out-file="$PROFILES/$n" \
            "$binary" "$transport" "$n" "$connections" "$in_flight" ${bytes:+"$bytes"} >"$PROFILES/log" 2>&1 || {
            cat "$PROFILES/log" >&2
            die "cannot count instructions" "valgrind failed, see above"
        }
    done
    printf '\nInstructions of one %s over %s, %d connections, %d in flight each\n\n' \
        "$what" "$transport" "$connections" "$in_flight"
    python3 scripts/instructions.py "$binary" "$PROFILES/$REQUESTS" "$PROFILES/$((2 * REQUESTS))" "$REQUESTS" "$ROWS"
}

# ---- Options -------------------------------------------------------------------------------------

CHOSEN=() ROUNDS='' SECONDS_A_TURN=1 ROWS=0 DRY_RUN=''

# need_number OPTION VALUE: of seconds there may be parts.
need_number() {
    [[ $2 =~ ^[0-9]+$ || $1 == --seconds && $2 =~ ^[0-9]+\.[0-9]+$ ]] ||
        die_usage "cannot read $1 $2" "it is not a number"
}

while (($#)); do
    case $1 in
        --rounds | --rows | --seconds)
            need_value "$1" $#
            need_number "$1" "$2"
            case $1 in
                --rounds) ROUNDS=$2 ;;
                --rows) ROWS=$2 ;;
                --seconds) SECONDS_A_TURN=$2 ;;
            esac
            shift ;;
        --dry-run) DRY_RUN=1 ;;
        -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
        all) CHOSEN=("${KINDS[@]}") ;;
        *)
            [[ " ${KINDS[*]} " == *" $1 "* ]] || die_usage "cannot measure $1" "there are ${KINDS[*]}"
            CHOSEN+=("$1") ;;
    esac
    shift
done
((${#CHOSEN[@]})) || CHOSEN=("${KINDS[@]}")

cd "$ROOT"
[[ -n $DRY_RUN ]] || need_packages "${BUILD_PACKAGES[@]}"
need_cargo "$ROOT"
PROFILES=$(mktemp -d)
trap 'rm -rf "$PROFILES"' EXIT
say_if_busy
for kind in "${CHOSEN[@]}"; do
    printf '\n==== %s ====\n' "$kind"
    "measure_$kind"
done
