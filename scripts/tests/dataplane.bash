# shellcheck shell=bash
# A dataplane with ports, and programs at them, for scripts/tests/*.sh. Sourced behind harness.bash.

export -n RINGWAY_SYS RINGWAY_PROC RINGWAY_STATE_DIR # it runs on this machine, not on a copy
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
DATAPLANE='' PROGRAM=''
trap 'end_program; end_dataplane; rm -rf "$WORK"' EXIT

# The status by which a script's test says that it was skipped.
skip() {
    printf 'skipped %s: %s\n' "${0##*/}" "$1"
    exit 77
}

build() {
    command -v cargo >/dev/null || skip "cargo is not installed"
    (cd "$ROOT" && cargo build --quiet --locked --bin ringway && scripts/capi.sh --debug)
}

# await COMMAND...: until it succeeds, at most ten seconds.
await() {
    local tries=200
    while ! "$@"; do
        ((tries--)) || { complain "never: $*" && return; }
        sleep 0.05
    done
}

says() { grep -q -- "$2" "$WORK/$1.log"; }
gone() { ! kill -0 "$1" 2>/dev/null; }

# Where the listener of protocol $1 listens; of several the one at place $2.
port_of() { sed -n "s/^listening on 127.0.0.1:\([0-9]*\) ($1)$/\1/p" "$WORK/dataplane.log" | sed -n "${2:-1}p"; }

# start_dataplane [LINE]: with one more line of configuration. Leaves the ports in HTTP, RAW and
# ISOLATED, and the control socket in SOCKET.
start_dataplane() {
    local cpu listener='address = "127.0.0.1:0", transport = "tcp"'
    SOCKET=$WORK/control.sock
    chmod 0700 "$WORK"
    cat >"$WORK/ports.toml" <<TOML
listener = [
    { $listener, protocol = "http", handler = "port:app" },
    { $listener, protocol = "raw", handler = "port:echo" },
    { $listener, protocol = "raw", handler = "port:isolated", isolated = true },
]
control = { socket = "$SOCKET" }
${1:-}
TOML
    : >"$WORK/dataplane.log"
    cpu=$(awk '/^Cpus_allowed_list/ { sub(/[,-].*/, "", $2); print $2 }' /proc/self/status)
    "$TARGET/debug/ringway" run --config "$WORK/ports.toml" -l "0@$cpu" --idle sleep --no-huge \
        --file-prefix "ports-$$" >"$WORK/dataplane.log" 2>&1 &
    DATAPLANE=$!
    await says dataplane '^ready'
    # shellcheck disable=SC2034  # for the tests
    HTTP=$(port_of http) RAW=$(port_of raw 1) ISOLATED=$(port_of raw 2)
}

# Drains it; all that was lent has to be home.
end_dataplane() {
    [[ -n $DATAPLANE ]] || return 0
    local pid=$DATAPLANE
    DATAPLANE=''
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || complain "the dataplane ended with status $?: $(tail -3 "$WORK/dataplane.log")"
}

# start_program COMMAND...: returns once it is attached.
start_program() {
    : >"$WORK/program.log" # what the one before has said
    "$@" >"$WORK/program.log" 2>&1 &
    PROGRAM=$!
    await says program '^attached'
}

end_program() {
    [[ -n $PROGRAM ]] || return 0
    kill -9 "$PROGRAM" 2>/dev/null || true
    wait "$PROGRAM" 2>/dev/null || true
    PROGRAM=''
}

get() { curl --silent --include --max-time 10 "http://127.0.0.1:$HTTP$1"; }
answers() { get "$1" | grep -q "^HTTP/1.1 $2 "; }

# exchange PORT TEXT: leaves the line that comes back in OUT.
exchange() {
    local stream
    OUT=''
    exec {stream}<>"/dev/tcp/127.0.0.1/$1"
    printf '%s\n' "$2" >&"$stream"
    read -r -t 10 OUT <&"$stream" || true
    exec {stream}>&-
}
