//! Checks of memory: hugepages of both kinds, what may be locked, and NUMA.

use ringway::sys::host::{Host, Hugepages};
use ringway::sys::topology::{Source, Topology};

use super::Check;

/// Below this, locking even modest pools fails.
const MEMLOCK_WANTED_BYTES: u64 = 64 << 20;

/// What an instance of a few lcores takes.
const STATS_WANTED_BYTES: u64 = 4 << 20;

const RESERVE: &str = "sudo hugepages/reserve.sh reserve --bytes 512M --free";

pub fn hugepages(host: &Host) -> Check {
    let name = "hugepages";
    let reserved: Vec<Hugepages> = host.hugepages().into_iter().filter(|p| p.total > 0).collect();
    if reserved.is_empty() {
        return Check::warn(
            name,
            "none reserved",
            "the pools fall back to smaller pages: more TLB misses, memory that may be swapped",
            RESERVE,
        );
    }
    let pools: Vec<String> = reserved.iter().map(pool).collect();
    let found = pools.join(", ");
    if reserved.iter().any(|pages| pages.free > 0) {
        return Check::ok(name, found);
    }
    Check::warn(name, found, "none is free for a further instance", RESERVE)
}

fn pool(pages: &Hugepages) -> String {
    let size = match pages.page_kib {
        kib if kib >= 1 << 20 => format!("{} GiB", kib >> 20),
        kib => format!("{} MiB", kib >> 10),
    };
    format!("{} of {} pages of {size} free on node {}", pages.free, pages.total, pages.node)
}

/// What catches the pools when no hugepage is reserved: they are memfds, so the setting for shared
/// memory decides.
pub fn transparent_hugepages(host: &Host) -> Check {
    let name = "thp";
    let (anonymous, shmem) = (host.thp_anonymous(), host.thp_shmem());
    let word = |setting: &Option<String>| setting.clone().unwrap_or_else(|| "none".to_owned());
    let found = format!("shared memory {}, anonymous {}", word(&shmem), word(&anonymous));
    let on = matches!(shmem.as_deref(), Some("always" | "within_size" | "advise" | "force"));
    if on || host.hugepages().iter().any(|pages| pages.free > 0) {
        return Check::ok(name, found);
    }
    Check::warn(
        name,
        found,
        "without reserved hugepages the pools use 4 KiB pages",
        "echo advise | sudo tee /sys/kernel/mm/transparent_hugepage/shmem_enabled",
    )
}

/// Where statistics lie, for those who look from outside and after a crash.
pub fn statistics(host: &Host) -> Check {
    let name = "stats";
    match host.shared_memory_free() {
        Some(bytes) if bytes >= STATS_WANTED_BYTES => {
            Check::ok(name, format!("{} MiB free in /dev/shm", bytes >> 20))
        }
        Some(bytes) => Check::warn(
            name,
            format!("{} KiB free in /dev/shm", bytes >> 10),
            "`ringway top` sees nothing of an instance whose statistics find no room there",
            "sudo mount -o remount,size=64M /dev/shm (docker: --shm-size=64m)",
        ),
        None => Check::warn(
            name,
            "no /dev/shm",
            "`ringway top` sees nothing, while it runs or after a crash",
            "sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        ),
    }
}

pub fn memlock(host: &Host) -> Check {
    let name = "memlock";
    if host.may_lock_any_memory() {
        return Check::ok(name, "any amount, by CAP_IPC_LOCK");
    }
    match host.memlock_limit().and_then(|limit| limit.soft) {
        Some(bytes) if bytes < MEMLOCK_WANTED_BYTES => Check::warn(
            name,
            format!("{} KiB", bytes >> 10),
            "--mlock, and registered io_uring buffers beyond that",
            "echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/ringway-memlock.conf, \
             then log in again (a service: LimitMEMLOCK=infinity)",
        ),
        Some(bytes) => Check::ok(name, format!("{} MiB", bytes >> 20)),
        None => Check::ok(name, "unlimited"),
    }
}

pub fn numa(topology: Option<&Topology>) -> Check {
    let name = "numa";
    let Some(topology) = topology else {
        return Check::fail(
            name,
            "the machine's cores cannot be read",
            "everything: no lcore can be placed",
            "mount /sys, or allow sched_getaffinity in the container's seccomp profile",
        );
    };
    let found = match topology.nodes() {
        [_] => "1 node".to_owned(),
        nodes => format!("{} nodes", nodes.len()),
    };
    if topology.source() == Source::Hwloc {
        return Check::ok(name, found);
    }
    Check::warn(
        name,
        format!("{found}, read without hwloc"),
        "memory placed on the node of its lcore, where there are several",
        "mount /sys inside the container",
    )
}
