#!/usr/bin/env bash
# Runs a fuzz target under libFuzzer, on a stable compiler.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/fuzz.sh [TARGET|all] [SECONDS] [LIBFUZZER ARGUMENTS...]     (default: all, 60 each)

Targets are the names in fuzz/fuzz_targets. A run begins with the files of fuzz/corpus/TARGET and
with what earlier runs found, which stays in target/fuzz/corpus/TARGET. An input that breaks
something stays in target/fuzz/artifacts/TARGET, and the run ends with status 1 and its path. To look
at one input again:

  scripts/fuzz.sh TARGET 0 PATH

Once mended, put it into fuzz/corpus/TARGET under a name that says what it is: tests/fuzz_corpus.rs
replays each file there in every run of the tests. A C++ compiler is needed, for libFuzzer itself.
USAGE
}

cd "$(dirname "$0")/.."
wanted=${1:-all} seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
case $wanted in
-h | --help) usage && exit ;;
all) targets=(fuzz/fuzz_targets/*.rs) ;;
*) targets=("fuzz/fuzz_targets/$wanted.rs") ;;
esac
if ! [[ -f ${targets[0]} && $seconds =~ ^[0-9]+$ ]]; then usage >&2 && exit 2; fi

triple=$(rustc -vV | sed -n 's/^host: //p')
# What libFuzzer looks at: which edges were taken how often, and what was compared with what.
flags=(--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks)
for option in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-$option")
done
# A target of its own keeps the flags from build scripts.
RUSTFLAGS="${flags[*]}" cargo build --release --manifest-path fuzz/Cargo.toml --bins \
    --target "$triple" --target-dir target/fuzz

for path in "${targets[@]}"; do
    target=$(basename "$path" .rs)
    found=target/fuzz/corpus/$target artifacts=target/fuzz/artifacts/$target
    mkdir -p "$found" "$artifacts"
    run=("target/fuzz/$triple/release/$target" -artifact_prefix="$artifacts/")
    if ((seconds == 0)); then
        "${run[@]}" "$@"
    else
        echo "== $target, $seconds s"
        "${run[@]}" -max_total_time="$seconds" -timeout=10 "$@" "$found" "fuzz/corpus/$target"
    fi
done
