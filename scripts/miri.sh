#!/usr/bin/env bash
# Runs the rings' unit tests under Miri. Needs: rustup component add miri --toolchain nightly
set -euo pipefail
cd "$(dirname "$0")/.."
MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES=4 \
    cargo +nightly miri test --no-default-features --lib --target-dir target/miri ring:: -- --skip doorbell "$@"
