#!/usr/bin/env bash
# hugepages/reserve.sh, on a copy of the kernel's files.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"
RESERVE=$ROOT/hugepages/reserve.sh

# The kernel gives no more than LIMIT pages, as where memory is scattered.
reserve_with_limit() {
    local limit=$1
    shift
    bash -c 'source "$1"; limit=$2; shift 2
        kernel_write() { echo $(($1 < limit ? $1 : limit)) >"$2"; echo $(($1 < limit ? $1 : limit)) >"${2%/*}/free_hugepages"; }
        main "$@"' bash "$RESERVE" "$limit" "$@"
}

spreads() {
    run "$RESERVE" reserve --count 5
    expect_status 0
    expect_file "$(pool 0 2048)/nr_hugepages" 3
    expect_file "$(pool 1 2048)/nr_hugepages" 2
    expect "node 0, 2 MiB: 0 -> 3 pages"
}

is_idempotent() {
    run "$RESERVE" reserve --bytes 7M --node 1
    expect_file "$(pool 1 2048)/nr_hugepages" 4
    run "$RESERVE" reserve --bytes 7M --node 1
    expect_status 0
    expect "nothing to change"
    expect_file "$RINGWAY_STATE_DIR/hugepages" "pages 1 2048 4"
    expect_file "$(pool 0 2048)/nr_hugepages" 0
}

never_lowers() {
    put "$(pool 0 2048)/nr_hugepages" 50
    run "$RESERVE" --count 8 --node 0
    expect_status 0
    expect_file "$(pool 0 2048)/nr_hugepages" 50
}

counts_free_pages() {
    put "$(pool 0 2048)/nr_hugepages" 10
    put "$(pool 0 2048)/free_hugepages" 4
    put "$RINGWAY_SYS/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages" 1
    run "$RESERVE" reserve --count 8 --node 0 --free
    expect_file "$(pool 0 2048)/nr_hugepages" 15
}

releases_its_own() {
    put "$(pool 0 2048)/nr_hugepages" 10
    run "$RESERVE" reserve --count 30 --node 0
    run "$RESERVE" reserve --count 40 --node 0
    put "$(pool 0 2048)/nr_hugepages" 45 # five more by someone else
    run "$RESERVE" release
    expect_status 0
    expect_file "$(pool 0 2048)/nr_hugepages" 15
    run "$RESERVE" release
    expect "nothing to release"
    run "$RESERVE" release --all --size 2M
    expect_file "$(pool 0 2048)/nr_hugepages" 0
}

dry_run_changes_nothing() {
    run "$RESERVE" reserve --count 5 --dry-run
    expect_status 0
    expect "would write 3 to $(pool 0 2048)/nr_hugepages (now 0)"
    expect_file "$(pool 0 2048)/nr_hugepages" 0
    run "$RESERVE" mount --dir /mnt/huge --mode 1777 --dry-run
    expect "would mount hugetlbfs on /mnt/huge (pagesize=2M,mode=1777)"
    [[ ! -e $RINGWAY_STATE_DIR/hugepages ]] || complain "a dry run left a record"
}

says_what_is_missing() {
    run reserve_with_limit 3 reserve --count 8 --node 0
    expect_status 1
    expect "5 of 8 pages are missing on node 0, 2 MiB"
    expect "compact_memory"
    expect "hugepagesz=2M hugepages=8"
    expect_file "$RINGWAY_STATE_DIR/hugepages" "pages 0 2048 3"
}

spares_the_machine() {
    run "$RESERVE" reserve --bytes 100G
    expect_status 1
    expect "without starving the rest of the machine"
    expect_file "$(pool 0 2048)/nr_hugepages" 0
}

needs_root() {
    local as=()
    if ((EUID == 0)); then
        as=(runuser -u nobody --)
        chmod 755 "$WORK"
        "${as[@]}" test -x "$RESERVE" || return 0 # a clone that only root can read
    else
        chmod -R a-w "$RINGWAY_SYS"
    fi
    run "${as[@]}" "$RESERVE" reserve --count 8
    chmod -R u+w "$RINGWAY_SYS"
    expect_status 1
    expect "may not write $(pool 0 2048)/nr_hugepages"
    expect "sudo $RESERVE reserve --count 8"
}

checks() {
    put "$(pool 1 2048)/free_hugepages" 10
    run "$RESERVE" check --lcores 1 --node 1
    expect_status 0
    run "$RESERVE" check --lcores 2 --node 1
    expect_status 1
    expect "10 free, 19 needed"
    expect "reserve --count 19 --size 2M --free --node 1"
}

refuses_nonsense() {
    run "$RESERVE" reserve
    expect_status 2
    expect "no amount is given"
    run "$RESERVE" reserve --count many
    expect_status 2
    run "$RESERVE" reserve --count
    expect_status 2
    run "$RESERVE" reserve --count 1 --size 3M
    expect_status 1
    expect "node 0, 2 MiB; node 0, 1 GiB; node 1, 2 MiB; node 1, 1 GiB"
    run "$RESERVE" reserve --count 1 --node 7
    expect_status 1
}

shows() {
    put "$RINGWAY_PROC/self/mounts" "hugetlbfs /mnt/huge hugetlbfs rw,pagesize=2M 0 0"
    run "$RESERVE"
    expect_status 0
    expect "hugetlbfs mount: /mnt/huge (rw,pagesize=2M)"
    run "$RESERVE" mount --dir /mnt/huge
    expect "nothing to change"
    run "$RESERVE" mount --dir /mnt/huge --size 1G
    expect_status 1
    run "$RESERVE" --help
    expect_status 0
    expect "usage: hugepages/reserve.sh"
}

it "spreads pages evenly over the nodes" spreads
it "changes nothing the second time" is_idempotent
it "never lowers a pool that is larger already" never_lowers
it "counts only unclaimed pages with --free" counts_free_pages
it "releases what it reserved and no more" releases_its_own
it "changes nothing in a dry run" dry_run_changes_nothing
it "says how many pages the kernel did not give" says_what_is_missing
it "refuses to starve the machine" spares_the_machine
it "prints the sudo line to whoever may not" needs_root
it "checks without changing" checks
it "refuses options and pools that do not exist" refuses_nonsense
it "shows pools and mounts" shows
done_testing
