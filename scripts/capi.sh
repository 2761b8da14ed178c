#!/usr/bin/env bash
# Builds the C library of ringway's ports (capi/) and writes its header, capi/include/ringway.h.
#
# usage: scripts/capi.sh [--debug] [--check]
#
#   --debug      build without optimisation: target/debug in place of target/release
#   --check      build nothing; compare the header with what would be written, and fail when it
#                differs. Exit status 77 when cbindgen cannot be had.
#   -h, --help   this text
#
# The library is libringway.so, and libringway.a. The header is written by cbindgen of one version, taken
# from the path or from target/tools, where it is installed otherwise.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

CBINDGEN_VERSION=0.29.4
SKIPPED=77
cd "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")"
TARGET=${CARGO_TARGET_DIR:-$PWD/target}

# Leaves the path of cbindgen in CBINDGEN.
find_cbindgen() {
    local install=(cargo install --quiet --locked "cbindgen@$CBINDGEN_VERSION" --root "$TARGET/tools")
    for CBINDGEN in cbindgen "$TARGET/tools/bin/cbindgen"; do
        [[ $("$CBINDGEN" --version 2>/dev/null) != "cbindgen $CBINDGEN_VERSION" ]] || return 0
    done
    timeout 600 "${install[@]}" && return
    warn "cannot write capi/include/ringway.h" "cbindgen $CBINDGEN_VERSION is not here, and could not be installed" \
        "$(quoted "${install[@]}")"
    return 1
}

# Writes the header to $1. What a caller in Rust has to promise is plain to one in C.
write_header() {
    "$CBINDGEN" --quiet --config capi/cbindgen.toml --lockfile capi/Cargo.lock capi |
        sed -e '/^\/\/ # Safety$/,/^[^\/]/{/^\/\//d}' | sed -e '/^\/\/$/{N;/\n[^\/]/s/^[^\n]*\n//}' >"$1"
}

check_header() {
    find_cbindgen || exit "$SKIPPED"
    local fresh
    fresh=$(mktemp)
    # shellcheck disable=SC2064  # its name is known now
    trap "rm -f '$fresh'" EXIT
    write_header "$fresh"
    diff -u capi/include/ringway.h "$fresh" ||
        die "capi/include/ringway.h is not what capi/src says" "the one or the other was changed" scripts/capi.sh
}

build=(--release) check=''
while (($#)); do
    case $1 in
        --debug) build=() ;;
        --check) check=1 ;;
        -h | --help) print_help "${BASH_SOURCE[0]}" && exit 0 ;;
        *) die_usage "cannot make sense of $1" ;;
    esac
    shift
done
if [[ -n $check ]]; then
    check_header
    exit 0
fi
cargo build --locked "${build[@]}" --manifest-path capi/Cargo.toml --target-dir "$TARGET"
# Debug builds are for tests, which compare the header.
if ((${#build[@]})) && find_cbindgen; then write_header capi/include/ringway.h; fi
