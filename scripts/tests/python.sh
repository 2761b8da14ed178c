#!/usr/bin/env bash
# Programs in Python at the ports of a dataplane: python/tests, over the C library.
# shellcheck source-path=SCRIPTDIR source=harness.bash source=dataplane.bash
source "$(dirname "$0")/harness.bash"
# shellcheck source-path=SCRIPTDIR source=dataplane.bash
source "$(dirname "$0")/dataplane.bash"

command -v python3 >/dev/null || skip "python3 is not installed"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "python3 is older than 3.11, which the examples want"
build

# Ten minutes without an end: a stack of each thread, and failure.
export PYTHONPATH=$ROOT/python RINGWAY_LIBRARY=$TARGET/debug/libringway.so PYTHONDONTWRITEBYTECODE=1
cd "$ROOT/python/tests"
timeout --signal=ABRT 600 python3 -W error -X faulthandler -m unittest
