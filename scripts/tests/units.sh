#!/usr/bin/env bash
# The systemd units of hugepages/, as systemd itself reads them.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"

if ! command -v systemd-analyze >/dev/null; then
    printf 'units.sh: skipped, because there is no systemd-analyze\n'
    exit 77
fi

# The units name the installed script; here its place is taken by the one of this clone.
are_valid() {
    local unit
    for unit in ringway-hugepages.service dev-hugepages-ringway.mount; do
        sed "s|/usr/local/lib/ringway/hugepages|$ROOT/hugepages|" "$ROOT/hugepages/$unit" >"$WORK/$unit"
        run systemd-analyze verify --man=no "$WORK/$unit"
        expect_status 0
        expect_not "$unit"
    done
}

it "are valid units" are_valid
done_testing
