use nix::errno::Errno;

use super::fake::fake;
use super::*;

#[test]
fn a_host_that_tells_nothing_gives_no_fact_and_no_panic() {
    let (_root, host) = fake(&[]);
    assert_eq!(host.kernel_version(), None);
    assert_eq!(host.online_cpus(), None);
    assert!(host.isolated_cpus().is_empty() && host.nohz_full_cpus().is_empty());
    assert!(host.hugepages().is_empty());
    assert_eq!((host.thp_anonymous(), host.thp_shmem()), (None, None));
    assert_eq!((host.memlock_limit(), host.nofile_limit()), (None, None));
    assert_eq!((host.somaxconn(), host.io_uring_disabled()), (None, None));
    assert_eq!(host.cpu_quota_cores(), None);
    assert_eq!((host.hypervisor(), host.governor(0)), (None, None));
    assert!(!host.seccomp_filtered() && !host.may_lock_any_memory());
}

#[test]
fn a_kernel_version_is_read_from_any_distributions_release() {
    for (release, version) in [
        ("6.1.0-18-amd64\n", Some((6, 1))),
        ("5.15.0\n", Some((5, 15))),
        ("6.18-rc1\n", Some((6, 18))),
        ("custom\n", None),
    ] {
        let (_root, host) = fake(&[("proc/sys/kernel/osrelease", release)]);
        assert_eq!(host.kernel_version(), version, "{release}");
    }
}

#[test]
fn cpu_lists_read_as_the_kernel_prints_them() {
    let list =
        [("0-3,8\n", vec![0, 1, 2, 3, 8]), ("\n", vec![]), ("(null)\n", vec![]), ("5", vec![5])];
    for (text, cpus) in list {
        assert_eq!(parse_cpu_list(text), cpus, "{text:?}");
    }
}

#[test]
fn hugepages_are_counted_by_node_and_size_or_in_whole_where_no_node_is_shown() {
    let (_root, host) = fake(&[
        ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "8\n"),
        ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "3\n"),
        ("sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages", "2\n"),
        ("sys/devices/system/node/node0/hugepages/hugepages-1048576kB/free_hugepages", "2\n"),
    ]);
    let gigantic = Hugepages { node: 0, page_kib: 1 << 20, total: 2, free: 2 };
    let huge = Hugepages { node: 1, page_kib: 2048, total: 8, free: 3 };
    assert_eq!(host.hugepages(), [gigantic, huge]);

    let (_root, host) = fake(&[
        ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "4\n"),
    ]);
    assert_eq!(host.hugepages(), [Hugepages { node: 0, page_kib: 2048, total: 4, free: 4 }]);
}

#[test]
fn transparent_hugepage_settings_are_the_words_in_brackets() {
    let dir = "sys/kernel/mm/transparent_hugepage";
    let (_root, host) = fake(&[
        (&format!("{dir}/enabled"), "always [madvise] never\n"),
        (&format!("{dir}/shmem_enabled"), "always within_size advise [never] deny force\n"),
    ]);
    assert_eq!(host.thp_anonymous().as_deref(), Some("madvise"));
    assert_eq!(host.thp_shmem().as_deref(), Some("never"));
}

#[test]
fn limits_are_numbers_or_unlimited() {
    let (_root, host) = fake(&[(
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            1024                 524288               files     \n\
         Max locked memory         unlimited            unlimited            bytes     \n",
    )]);
    assert_eq!(host.nofile_limit(), Some(Limit { soft: Some(1024), hard: Some(524_288) }));
    assert_eq!(host.memlock_limit(), Some(Limit { soft: None, hard: None }));
}

#[test]
fn the_tightest_quota_on_the_way_to_the_root_counts_in_cgroup_v2() {
    let (_root, host) = fake(&[
        ("proc/self/cgroup", "0::/a/b\n"),
        ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
    ]);
    assert_eq!(host.cpu_quota_cores(), Some(1.5));
}

#[test]
fn a_container_sees_its_quota_at_the_root_of_either_cgroup_version() {
    let (_root, host) = fake(&[
        ("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n1:memory:/\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_eq!(host.cpu_quota_cores(), Some(0.5));
    let (_root, host) =
        fake(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "200000 100000\n")]);
    assert_eq!(host.cpu_quota_cores(), Some(2.0));
    let (_root, host) = fake(&[
        ("proc/self/cgroup", "1:cpu:/\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_eq!(host.cpu_quota_cores(), None);
}

#[test]
fn a_refused_ring_is_laid_to_whoever_refused_it() {
    let sysctl = ("proc/sys/kernel/io_uring_disabled", "2\n");
    let filtered = ("proc/self/status", "Name:\tx\nSeccomp:\t2\n");
    for (files, errno, by) in [
        (vec![sysctl], Errno::EPERM, Refusal::Sysctl),
        (vec![sysctl, filtered], Errno::EPERM, Refusal::Sysctl),
        (vec![filtered], Errno::EPERM, Refusal::Seccomp),
        (vec![filtered], Errno::ENOSYS, Refusal::Seccomp),
        (vec![], Errno::ENOSYS, Refusal::Kernel),
        (vec![], Errno::ENOMEM, Refusal::Resources),
        (vec![], Errno::EPERM, Refusal::Unknown),
    ] {
        let (_root, host) = fake(&files);
        assert_eq!(host.refusal(errno), by, "{files:?} {errno}");
    }
}

#[test]
fn locking_any_memory_is_a_capability_and_a_hypervisor_is_a_cpu_flag() {
    let (_root, host) = fake(&[
        ("proc/self/status", "CapEff:\t0000000000004000\n"),
        ("proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor lm\n"),
        ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
    ]);
    assert!(host.may_lock_any_memory());
    assert_eq!(host.hypervisor().as_deref(), Some("QEMU"));
    let (_root, host) = fake(&[("proc/cpuinfo", "flags\t\t: fpu lm\n")]);
    assert_eq!(host.hypervisor(), None);
}

#[test]
fn this_host_tells_its_kernel_its_cores_and_its_limits() {
    let host = Host::default();
    assert!(host.kernel_version().is_some());
    assert!(host.nofile_limit().is_some());
    assert!(!host.online_cpus().unwrap().is_empty());
}

#[test]
fn a_plain_directory_is_no_hugepage_directory() {
    let (root, _host) = fake(&[]);
    let error = check_hugetlbfs(root.path()).unwrap_err().to_string();
    assert!(error.contains("not on a hugetlbfs mount"), "{error}");
    assert!(check_hugetlbfs(&root.path().join("none")).is_err());
}
