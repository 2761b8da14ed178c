use super::fake::fake;
use super::*;
use ringway::sys::host::{IoUring, Refusal};

#[test]
fn an_old_kernel_fails_and_a_new_one_does_not() {
    for (release, status) in
        [("5.15.0", Status::Fail), ("6.0.9", Status::Fail), ("6.1.0", Status::Ok)]
    {
        let (_root, host) = fake(&[("proc/sys/kernel/osrelease", release)]);
        assert_eq!(kernel::version(&host).status, status, "{release}");
    }
}

#[test]
fn a_forbidden_io_uring_leaves_epoll_and_names_who_forbids_it_w_1() {
    let (_root, host) = fake(&[("proc/sys/kernel/io_uring_disabled", "2")]);
    for (by, found, remedy) in [
        (Refusal::Sysctl, "kernel.io_uring_disabled = 2", "sysctl -w"),
        (Refusal::Seccomp, "seccomp", "io_uring_setup"),
        (Refusal::Kernel, "kernel", "CONFIG_IO_URING"),
    ] {
        let check =
            kernel::io_uring(&host, IoUring::Refused { errno: nix::errno::Errno::EPERM, by });
        assert_eq!(check.status, Status::Warn);
        assert!(check.lost.contains("epoll"), "{check}");
        assert!(check.found.contains(found) && check.remedy.contains(remedy), "{check}");
    }
}

#[test]
fn an_io_uring_that_fails_for_want_of_something_is_not_replaced() {
    let (_root, host) = fake(&[]);
    let (errno, by) = (nix::errno::Errno::ENOMEM, Refusal::Resources);
    let check = kernel::io_uring(&host, IoUring::Refused { errno, by });
    assert_eq!(check.status, Status::Fail);
    assert!(check.remedy.contains("ulimit"), "{check}");
}

#[test]
fn hugepages_are_asked_for_when_none_are_reserved_or_none_are_free() {
    let nr = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    let free = "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    for (total, left, status) in
        [("0", "0", Status::Warn), ("8", "0", Status::Warn), ("8", "3", Status::Ok)]
    {
        let (_root, host) = fake(&[(nr, total), (free, left)]);
        let check = memory::hugepages(&host);
        assert_eq!(check.status, status, "{check}");
        assert_eq!(check.remedy.contains("hugepages/reserve.sh"), status == Status::Warn);
    }
}

#[test]
fn transparent_hugepages_matter_only_without_reserved_ones() {
    let shmem = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let (_root, host) = fake(&[(shmem, "always advise [never]")]);
    assert_eq!(memory::transparent_hugepages(&host).status, Status::Warn);
    let (_root, host) = fake(&[(shmem, "always [advise] never")]);
    assert_eq!(memory::transparent_hugepages(&host).status, Status::Ok);
}

#[test]
fn statistics_want_a_place_in_memory() {
    let (_root, host) = fake(&[("dev/shm/there", "")]);
    // The disk that it lies on stands for memory here.
    assert_eq!(memory::statistics(&host).status, Status::Ok);
    let (_root, host) = fake(&[("proc/none", "")]);
    let check = memory::statistics(&host);
    assert_eq!(check.status, Status::Warn);
    assert!(check.remedy.contains("mount -t tmpfs"), "{check}");
}

#[test]
fn a_small_memlock_limit_is_mended_in_limits_d_unless_a_capability_lifts_it() {
    let limits = ("proc/self/limits", "Max locked memory 65536 65536 bytes\n");
    let (_root, host) = fake(&[limits]);
    let check = memory::memlock(&host);
    assert_eq!(check.status, Status::Warn);
    assert!(check.remedy.contains("limits.d"), "{check}");
    let (_root, host) = fake(&[limits, ("proc/self/status", "CapEff:\t0000000000004000\n")]);
    assert_eq!(memory::memlock(&host).status, Status::Ok);
}

#[test]
fn isolated_cores_count_when_the_process_may_use_them_and_the_tick_is_off() {
    let isolated = "sys/devices/system/cpu/isolated";
    let nohz = "sys/devices/system/cpu/nohz_full";
    let (_root, host) = fake(&[(isolated, "8-9\n")]);
    let check = cores::isolated(&host, &[0, 1, 2]);
    assert!(
        check.found.contains("no core") && check.remedy.contains("isolate-cores.sh 1-2"),
        "{check}"
    );
    let (_root, host) = fake(&[(isolated, "1-2\n"), (nohz, "(null)\n")]);
    assert!(cores::isolated(&host, &[0, 1, 2]).remedy.contains("nohz_full=1-2"));
    let (_root, host) = fake(&[(isolated, "1-2\n"), (nohz, "1-2\n")]);
    assert_eq!(cores::isolated(&host, &[0, 1, 2]).status, Status::Ok);
}

#[test]
fn a_governor_other_than_performance_is_named_with_its_cores() {
    let (_root, host) = fake(&[
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
    ]);
    assert_eq!(cores::governor(&host, &[0]).status, Status::Ok);
    assert_eq!(cores::governor(&host, &[0, 1]).found, "powersave on core 1");
}

#[test]
fn a_cpu_quota_below_the_cores_is_warned_of() {
    let (_root, host) =
        fake(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "150000 100000\n")]);
    assert_eq!(cores::quota(&host, &[0, 1]).status, Status::Warn);
    assert_eq!(cores::quota(&host, &[0]).status, Status::Ok);
}

#[test]
fn few_descriptors_matter_only_where_the_hard_limit_is_low() {
    let (_root, host) = fake(&[("proc/self/limits", "Max open files 1024 524288 files\n")]);
    assert_eq!(kernel::descriptors(&host).status, Status::Ok, "run raises the soft limit");
    let (_root, host) = fake(&[("proc/self/limits", "Max open files 1024 4096 files\n")]);
    assert!(kernel::descriptors(&host).remedy.contains("limits.d"));
}

#[test]
fn only_a_failing_check_makes_a_machine_unfit() {
    let report = Report::of_this_machine();
    assert_eq!(report.fit, report.checks.iter().all(|check| check.status != Status::Fail));
    for check in report.checks {
        assert_eq!(check.status == Status::Ok, check.lost.is_empty() && check.remedy.is_empty());
        assert_eq!(check.to_string().lines().count(), 1);
    }
}
