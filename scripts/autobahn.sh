#!/usr/bin/env bash
# Runs the Autobahn suite of WebSocket cases against `protocol = "websocket"`, or against the client.
#
# usage: scripts/autobahn.sh [--client] [CASES...]      (default: '*', all 517; '13.*' is one category)
#
# The suite (0.8.2) is written in Python 2.7, which has to be there as python2.7, or as what PYTHON2
# names; it is installed below target/autobahn with pip. The report is target/autobahn/report/index.html;
# what is not OK is printed. All cases take an hour or more: compression (12, 13) is most of it.
#
# Exit status: 0 when every case is OK, non-strict or informational; 1 otherwise; 77 without Python 2.7.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

[[ ${1:-} != -h && ${1:-} != --help ]] || { print_help "${BASH_SOURCE[0]}" && exit 0; }
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
client=''
[[ ${1:-} != --client ]] || { client=1 && shift; }
((${#})) || set -- '*'

python=${PYTHON2:-python2.7}
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
    warn "cannot run the Autobahn suite" "$python is no Python 2.7" "name one: PYTHON2=/path/to/python2.7 $0"
    exit 77
fi
here=target/autobahn
mkdir -p "$here"
if [[ ! -f $here/site/autobahntestsuite/__init__.py ]]; then
    "$python" -m pip install --quiet --target "$here/site" autobahntestsuite==0.8.2 autobahn==0.10.9
    # A package in several parts, which only an installation in the usual place finds.
    touch "$here/site/zope/__init__.py"
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cases=$(printf '"%s", ' "$@")
common="\"outdir\": \"$here/report\", \"cases\": [${cases%, }], \"exclude-cases\": [], \"exclude-agent-cases\": {}"
rm -rf "$here/report"
server=''
trap 'kill "$server" 2>/dev/null || true' EXIT

# wait_for_line FILE PATTERN WHAT: until the server in the background has said so.
wait_for_line() {
    until grep -q "$2" "$1"; do
        kill -0 "$server" || die "cannot start $3" "it ended" "see $1"
        sleep 0.1
    done
}

test_server() {
    cargo build --release --locked --bin ringway
    cat >"$here/ringway.toml" <<TOML
[[listener]]
address = "127.0.0.1:$port"
transport = "tcp"
protocol = "websocket"
config = { max_message_bytes = 33554432 }
TOML
    cat >"$here/spec.json" <<JSON
{$common, "servers": [{"agent": "ringway", "url": "ws://127.0.0.1:$port", "options": {"version": 18}}]}
JSON
    target/release/ringway run --no-huge --file-prefix "autobahn-$$" --config "$here/ringway.toml" >"$here/server.log" &
    server=$!
    wait_for_line "$here/server.log" '^ready' ringway
    PYTHONPATH=$here/site "$python" "$here/site/bin/wstest" -m fuzzingclient -s "$here/spec.json" | grep '^Running'
}

test_client() {
    cargo build --release --locked --example websocket_client
    printf '{%s, "url": "ws://127.0.0.1:%s", "options": {"failByDrop": false}, "webport": 0}\n' "$common" "$port" >"$here/spec.json"
    PYTHONPATH=$here/site "$python" -u "$here/site/bin/wstest" -m fuzzingserver -s "$here/spec.json" >"$here/server.log" 2>&1 &
    server=$!
    wait_for_line "$here/server.log" 'Ok, will run' wstest
    target/release/examples/websocket_client "ws://127.0.0.1:$port" --autobahn
}

if [[ $client ]]; then test_client; else test_server; fi

python3 - "$here/report/index.json" <<'PYTHON'
import collections, json, sys

cases = json.load(open(sys.argv[1]))["ringway"]
good = {"OK", "NON-STRICT", "INFORMATIONAL"}
number = lambda name: [int(part) for part in name.split(".")]
tally = collections.Counter(case["behavior"] for case in cases.values())
print(", ".join(f"{count} {behavior}" for behavior, count in sorted(tally.items())))
for name in sorted(cases, key=number):
    case = cases[name]
    if (case["behavior"], case["behaviorClose"]) != ("OK", "OK"):
        print(f"{name}: {case['behavior']}, close {case['behaviorClose']}")
sys.exit(any(case[key] not in good for case in cases.values() for key in ("behavior", "behaviorClose")))
PYTHON
