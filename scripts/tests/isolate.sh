#!/usr/bin/env bash
# scripts/isolate-cores.sh, on a copy of the kernel's files. It has no tasks in it: moving tasks is
# seen on a real machine only.
# shellcheck source-path=SCRIPTDIR source=harness.bash
source "$(dirname "$0")/harness.bash"
ISOLATE=$ROOT/scripts/isolate-cores.sh

# A cgroup v2 tree with a cpuset controller. A plain file takes any partition, as a kernel that can.
give_cgroup2() {
    put "$RINGWAY_SYS/fs/cgroup/cgroup.controllers" "cpuset cpu memory"
    put "$RINGWAY_SYS/fs/cgroup/cgroup.subtree_control" "cpu memory"
}

moves_and_restores() {
    put "$RINGWAY_PROC/irq/8/smp_affinity_list" 2
    put "$RINGWAY_PROC/irq/9/smp_affinity_list" 0
    run "$ISOLATE" 2,3
    expect_status 0
    expect "interrupts: 2 moved, 1 away already"
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 0-1
    expect_file "$RINGWAY_PROC/irq/8/smp_affinity_list" 0-1
    expect_file "$RINGWAY_PROC/irq/9/smp_affinity_list" 0
    expect_file "$RINGWAY_PROC/irq/default_smp_affinity" 3
    expect_file "$RINGWAY_SYS/devices/virtual/workqueue/cpumask" 3
    run "$ISOLATE" --undo
    expect_status 0
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 0-3
    expect_file "$RINGWAY_PROC/irq/8/smp_affinity_list" 2
    expect_file "$RINGWAY_PROC/irq/9/smp_affinity_list" 0
    expect_file "$RINGWAY_PROC/irq/default_smp_affinity" f
    expect_file "$RINGWAY_SYS/devices/virtual/workqueue/cpumask" f
    run "$ISOLATE" --undo
    expect "nothing to undo"
}

is_idempotent() {
    run "$ISOLATE" 3
    run "$ISOLATE" 3
    expect_status 0
    expect "nothing to change"
    run "$ISOLATE" 2
    expect_status 1
    expect "cores 3 are isolated already"
    run "$ISOLATE" --undo
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 0-3
}

leaves_what_others_set() {
    run "$ISOLATE" 3
    put "$RINGWAY_PROC/irq/7/smp_affinity_list" 1
    run "$ISOLATE" --undo
    expect "1 left as others have set them since"
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 1
}

keeps_a_core() {
    run "$ISOLATE" 0-3
    expect_status 1
    expect "no core would be left"
    run "$ISOLATE" 3,9
    expect_status 1
    expect "this machine has cores 0-3 online"
    run "$ISOLATE" 3-1
    expect_status 2
    run "$ISOLATE"
    expect_status 2
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 0-3
}

dry_run_changes_nothing() {
    run "$ISOLATE" 1 --dry-run
    expect_status 0
    expect "interrupts: 3 would be moved"
    expect_file "$RINGWAY_PROC/irq/7/smp_affinity_list" 0-3
    [[ ! -e $RINGWAY_STATE_DIR ]] || complain "a dry run left a record"
}

says_why_no_partition() {
    mkdir -p "$RINGWAY_SYS/fs/cgroup/cpuset"
    run "$ISOLATE" 3 --dry-run
    expect "cgroup v1 owns the cpuset controller here"
    expect "isolcpus=managed_irq,domain,3 nohz_full=3 rcu_nocbs=3 irqaffinity=0-2"
}

makes_a_partition() {
    local group=$RINGWAY_SYS/fs/cgroup/ringway.slice
    give_cgroup2
    run "$ISOLATE" 2-3
    expect_status 0
    expect "$group is isolated, cores 2-3"
    expect_not "tasks:"
    expect_file "$group/cpuset.cpus" 2-3
    expect_file "$group/cpuset.cpus.partition" isolated
    run "$ISOLATE" 2-3
    expect "nothing to change"
    rm -f "$group"/* # as the kernel's own files go with their directory
    run "$ISOLATE" --undo
    expect_status 0
    [[ ! -d $group ]] || complain "the partition is still there"
    expect_file "$RINGWAY_SYS/fs/cgroup/cgroup.subtree_control" -cpuset
}

it "moves interrupts and kernel work, and restores them" moves_and_restores
it "changes nothing the second time" is_idempotent
it "does not undo what others have set since" leaves_what_others_set
it "keeps a core for the rest of the machine" keeps_a_core
it "changes nothing in a dry run" dry_run_changes_nothing
it "says why there is no partition, and what would do" says_why_no_partition
it "makes and removes a cpuset partition" makes_a_partition
done_testing
