#!/usr/bin/env bash
# Programs in C at the ports of a dataplane: the library, its header, and the examples.
# shellcheck source-path=SCRIPTDIR source=harness.bash source=dataplane.bash
source "$(dirname "$0")/harness.bash"
# shellcheck source-path=SCRIPTDIR source=dataplane.bash
source "$(dirname "$0")/dataplane.bash"

command -v cc >/dev/null || skip "there is no C compiler"
command -v curl >/dev/null || skip "curl is not installed"
build

compile() {
    run cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$ROOT/capi/include" "$ROOT/$1" \
        -L"$TARGET/debug" -lringway -Wl,-rpath,"$TARGET/debug" -o "$WORK/$(basename "$1" .c)"
    expect_status 0
}

passes_its_own_tests() {
    run cargo test --quiet --manifest-path "$ROOT/capi/Cargo.toml" --target-dir "$TARGET"
    expect_status 0
}

has_its_header() {
    run "$ROOT/scripts/capi.sh" --check
    if ((STATUS == 77)); then printf '%s\n' "not looked at: $OUT"; else expect_status 0; fi
}

is_for_cpp_too() {
    command -v c++ >/dev/null || { printf 'not looked at: there is no C++ compiler\n' && return; }
    run c++ -Wall -Wextra -Werror -fsyntax-only -x c++ "$ROOT/capi/include/ringway.h"
    expect_status 0
}

answers_requests() {
    compile examples/c/http.c
    start_dataplane
    start_program "$WORK/http" "$SOCKET" app
    run get /hello
    expect "HTTP/1.1 200 OK"
    expect "hello, curl/"
    run curl --silent --include --max-time 10 --request PUT --data-binary @- "http://127.0.0.1:$HTTP/hello" </etc/passwd
    expect "HTTP/1.1 405"
    run get /nothing
    expect "HTTP/1.1 404"
    end_program
    end_dataplane
}

may_be_killed() {
    local killed=0
    compile examples/c/http.c
    start_dataplane
    while ((killed++ < 5)); do
        start_program "$WORK/http" "$SOCKET" app
        await answers /hello 200
        end_program
        await answers /hello 503
    done
    end_dataplane
}

echoes() {
    local name port
    compile examples/c/echo.c
    start_dataplane
    for name in echo isolated; do
        port=$([[ $name == echo ]] && echo "$RAW" || echo "$ISOLATED")
        start_program "$WORK/echo" "$SOCKET" "$name"
        exchange "$port" "hello $name"
        expect_equal "$OUT" "hello $name"
        end_program
    done
    end_dataplane
}

refuses_what_is_wrong() {
    compile capi/tests/misuse.c
    start_dataplane
    run timeout 60 "$WORK/misuse" "$SOCKET" echo "$RAW"
    expect_status 0
    run timeout 60 "$WORK/misuse" "$SOCKET" isolated "$ISOLATED"
    expect_status 0
    end_dataplane
}

sends_blocks() {
    compile capi/tests/blocks.c
    start_dataplane 'mempool = { blocks = 4 }'
    run timeout 60 "$WORK/blocks" "$SOCKET" echo "$RAW" 4194304
    expect_status 0
    run timeout 60 "$WORK/blocks" "$SOCKET" isolated "$ISOLATED" 16384
    expect_status 0
    end_dataplane
}

tells_why() {
    compile examples/c/http.c
    run timeout 60 "$WORK/http" "$WORK/nowhere.sock" app
    expect_status 1
    expect "cannot attach to port \`app\` at $WORK/nowhere.sock"
    start_dataplane
    run timeout 60 "$WORK/http" "$SOCKET" another
    expect_status 1
    expect "there is no such port"
    start_program "$WORK/http" "$SOCKET" app
    run timeout 60 "$WORK/http" "$SOCKET" app
    expect_status 1
    expect "process $PROGRAM is attached to it"
    kill -9 "$DATAPLANE" && { wait "$DATAPLANE" 2>/dev/null || true; }
    await says program "cannot use the port: the dataplane has ended"
    DATAPLANE=''
    end_program
}

it "passes its own tests" passes_its_own_tests
it "has the header that its source says" has_its_header
it "has a header that C++ takes" is_for_cpp_too
it "answers requests" answers_requests
it "may be killed at any time, and the next one goes on" may_be_killed
it "echoes, over shared and isolated ports" echoes
it "refuses what is wrong, and goes on" refuses_what_is_wrong
it "sends as much at once as a slot holds, and no more" sends_blocks
it "tells why it cannot attach, and when the dataplane is gone" tells_why
done_testing
