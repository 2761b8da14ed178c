#!/usr/bin/env bash
# Runs every test of ringway, stage by stage, and says at the end how each went.
#
# usage: scripts/test.sh [--only STAGE,...] [--skip STAGE,...] [--fail-fast]
#
#   setup       the packages and the Rust that building needs: installed, or the line that does it
#   fmt         cargo fmt --check
#   clippy      cargo clippy on all targets, warnings are errors
#   test        unit and integration tests, the examples are built
#   browser     the dashboard, and pages of the examples, in a headless Chromium (tests/browser)
#   doctest     the examples in the documentation
#   doc         the documentation builds without a warning
#   loom        models of everything lock-free, every interleaving (target/loom)
#   sanitize    scripts/sanitize.sh all: the stress tests under the sanitizers
#   shell       shellcheck over every script
#   scripts     the scripts' own tests, scripts/tests/*.sh
#
#   --only LIST   these stages alone          --skip LIST   all but these
#   --list        print the names of the stages
#   --fail-fast   stop at the first stage that fails
#   -h, --help    this text
#
# Needs no root, no hugepages and no network beyond loopback, once the packages and crates are there.
# A stage or test that lacks something on this machine is skipped, with the reason. A stage that takes
# longer than RINGWAY_STAGE_SECONDS (2400) fails.
# Exit status: 0 when nothing failed, 1 otherwise, 2 wrong options.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

ROOT=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
STAGES=(setup fmt clippy test browser doctest doc loom sanitize shell scripts)
STAGE_SECONDS=${RINGWAY_STAGE_SECONDS:-2400}
SKIPPED=77 # the status by which a stage, or a script's test, says that it was skipped

# ---- The stages: each runs in a shell of its own -------------------------------------------------

# Ends a stage without a verdict; the reason is its last word.
skip() {
    printf '%s\n' "$1" >"$SKIP_REASON"
    exit "$SKIPPED"
}

need_component() {
    need_cargo "$ROOT"
    cargo "$1" --version >/dev/null 2>&1 || skip "cargo $1 is not installed: rustup component add $2"
}

stage_setup() {
    local tool
    need_packages "${BUILD_PACKAGES[@]}"
    for tool in curl python3 socat tmux; do
        command -v "$tool" >/dev/null || need_tool "$tool"
    done
    need_cargo "$ROOT"
    rustc --version
    note "uid $EUID, $(nproc) cores, Linux $(uname -r)"
    "$ROOT/hugepages/reserve.sh" show
}

# Only some tests want it, and they skip themselves without it.
need_tool() {
    if may_root; then need_packages "$1"; else
        warn "$1 is missing" "the tests that use it will be skipped" "$(sudo_line apt-get install --yes "$1")"
    fi
}

stage_fmt() {
    need_component fmt rustfmt
    cargo fmt --all --check
    cargo fmt --manifest-path capi/Cargo.toml --check
}

stage_clippy() {
    need_component clippy clippy
    cargo clippy --locked --workspace --all-targets -- -D warnings
    cp Cargo.lock capi/Cargo.lock
    cargo clippy --manifest-path capi/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" --all-targets -- -D warnings
}

stage_test() {
    need_cargo "$ROOT"
    cargo test --locked --workspace --lib --bins --tests --examples
}

BROWSER_PACKAGES=(chromium chromium-driver)

stage_browser() {
    need_cargo "$ROOT"
    command -v python3 >/dev/null || skip "python3 is not installed: $(sudo_line apt-get install --yes python3)"
    if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
        # Large, and of no use for anything else: where it cannot be had, the rest is tested all the same.
        (may_root && need_packages "${BROWSER_PACKAGES[@]}") ||
            skip "no browser is installed: $(sudo_line apt-get install --yes --no-install-recommends "${BROWSER_PACKAGES[@]}")"
    fi
    cargo build --locked --bins --examples
    cd tests/browser
    python3 -B -m unittest --verbose
}

stage_doctest() {
    need_cargo "$ROOT"
    cargo test --locked --workspace --doc
}

stage_doc() {
    need_cargo "$ROOT"
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
}

stage_loom() {
    need_cargo "$ROOT"
    RUSTFLAGS="--cfg loom" cargo test --locked --release --test loom --target-dir target/loom
}

stage_sanitize() {
    local status=0
    [[ -x scripts/sanitize.sh ]] || skip "there is no scripts/sanitize.sh"
    need_cargo "$ROOT"
    scripts/sanitize.sh all || status=$?
    ((status != SKIPPED)) || skip "scripts/sanitize.sh says above what it lacks"
    return "$status"
}

stage_shell() {
    command -v shellcheck >/dev/null || skip "shellcheck is not installed: $(sudo_line apt-get install --yes shellcheck)"
    find hugepages scripts .ci -name '*.sh' -o -path .ci/run | sort | xargs shellcheck --external-sources
}

stage_scripts() {
    local test status failed=0 passed=0 skipped=0
    for test in scripts/tests/*.sh; do
        status=0
        bash "$test" || status=$?
        case $status in
            0) passed=$((passed + 1)) ;;
            "$SKIPPED") skipped=$((skipped + 1)) ;;
            *) failed=$((failed + 1)) && note "FAILED: $test" ;;
        esac
    done
    note "files: $passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
}

# ---- Running them --------------------------------------------------------------------------------

declare -A VERDICT=() SECONDS_TAKEN=() REASON=()

run_stage() {
    local name=$1 began=$EPOCHSECONDS status=0 verdict
    printf '\n==== %s ====\n' "$name"
    : >"$SKIP_REASON"
    timeout --kill-after=30 "$STAGE_SECONDS" bash "$0" --run-stage "$name" </dev/null &
    RUNNING=$!
    wait "$RUNNING" || status=$?
    RUNNING=''
    case $status in
        0) verdict=passed ;;
        "$SKIPPED") verdict=skipped && REASON[$name]=$(read_line "$SKIP_REASON") ;;
        124 | 137) verdict=failed && REASON[$name]="no end after $STAGE_SECONDS seconds" ;;
        *) verdict=failed && REASON[$name]="exit status $status" ;;
    esac
    VERDICT[$name]=$verdict SECONDS_TAKEN[$name]=$((EPOCHSECONDS - began))
    printf '==== %s: %s in %d s%s ====\n' "$name" "$verdict" "${SECONDS_TAKEN[$name]}" "${REASON[$name]:+ (${REASON[$name]})}"
}

summary() {
    local name verdict passed=0 failed=0 skipped=0
    printf '\n%-12s %-8s %8s   %s\n' stage verdict seconds reason
    for name in "${CHOSEN[@]}"; do
        verdict=${VERDICT[$name]:-skipped}
        printf '%-12s %-8s %8d   %s\n' "$name" "$verdict" "${SECONDS_TAKEN[$name]:-0}" "${REASON[$name]:-}"
        case $verdict in passed) passed=$((passed + 1)) ;; failed) failed=$((failed + 1)) ;; *) skipped=$((skipped + 1)) ;; esac
    done
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0))
}

# Ends the stage that runs, and with it what it started.
interrupted() {
    [[ -z $RUNNING ]] || kill "$RUNNING" 2>/dev/null || true
    printf '\ninterrupted\n' >&2
    exit 130
}

run_all() {
    local name failed=''
    RUNNING=''
    SKIP_REASON=$(mktemp)
    export SKIP_REASON
    trap 'rm -f "$SKIP_REASON"' EXIT
    trap interrupted INT TERM
    for name in "${CHOSEN[@]}"; do
        if [[ -n $failed ]]; then
            REASON[$name]="--fail-fast: $failed failed"
            continue
        fi
        run_stage "$name"
        [[ -z $FAIL_FAST || ${VERDICT[$name]} != failed ]] || failed=$name
    done
    summary
}

# ---- Options -------------------------------------------------------------------------------------

FAIL_FAST='' CHOSEN=("${STAGES[@]}")

check_names() {
    local name
    for name in "$@"; do
        [[ " ${STAGES[*]} " == *" $name "* ]] || die_usage "cannot find the stage $name" "there are ${STAGES[*]}"
    done
}

# choose only|skip a,b: keeps the order of the stages.
choose() {
    local name kept=() listed
    IFS=, read -ra listed <<<"$2"
    check_names "${listed[@]}"
    for name in "${CHOSEN[@]}"; do
        if [[ " ${listed[*]} " == *" $name "* ]]; then
            [[ $1 == skip ]] || kept+=("$name")
        elif [[ $1 == skip ]]; then
            kept+=("$name")
        fi
    done
    CHOSEN=("${kept[@]}")
    ((${#CHOSEN[@]})) || die_usage "cannot run the tests" "--$1 $2 leaves no stage"
}

cd "$ROOT"
while (($#)); do
    case $1 in
        --only | --skip)
            need_value "$1" $#
            choose "${1#--}" "$2"
            shift ;;
        --only=* | --skip=*)
            name=${1%%=*}
            choose "${name#--}" "${1#*=}" ;;
        --fail-fast) FAIL_FAST=1 ;;
        --list) printf '%s\n' "${STAGES[@]}" && exit 0 ;;
        --run-stage)
            check_names "${2:-}"
            "stage_$2"
            exit 0 ;;
        -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
        *) die_usage "cannot make sense of $1" ;;
    esac
    shift
done
run_all
