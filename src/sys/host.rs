//! Facts about the host, each read from one file under a root that tests can fake. Facts only:
//! what they mean for ringway is said by `ringway doctor`.

mod cgroup;
mod io_uring;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use io_uring::{IoUring, Refusal};

/// The machine below a root directory, which is `/` except in tests.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

/// The hugepages of one size on one NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hugepages {
    /// The node.
    pub node: u32,
    /// The size of one page in KiB.
    pub page_kib: u64,
    /// Pages reserved.
    pub total: u64,
    /// Pages nobody has taken yet.
    pub free: u64,
}

/// A resource limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is in force.
    pub soft: Option<u64>,
    /// How far the process may raise it by itself.
    pub hard: Option<u64>,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// The host whose `/proc` and `/sys` are below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The kernel's release, such as `6.1.0-18-amd64`.
    pub fn kernel_release(&self) -> Option<String> {
        self.line("proc/sys/kernel/osrelease")
    }

    /// The kernel's major and minor version.
    pub fn kernel_version(&self) -> Option<(u32, u32)> {
        let release = self.kernel_release()?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// The CPUs that are online.
    pub fn online_cpus(&self) -> Option<Vec<u32>> {
        self.cpu_list("sys/devices/system/cpu/online").filter(|cpus| !cpus.is_empty())
    }

    /// The CPUs the scheduler places nothing on by itself (`isolcpus`, isolated cpuset
    /// partitions).
    pub fn isolated_cpus(&self) -> Vec<u32> {
        self.cpu_list("sys/devices/system/cpu/isolated").unwrap_or_default()
    }

    /// The CPUs without a timer tick while one thread runs on them (`nohz_full`).
    pub fn nohz_full_cpus(&self) -> Vec<u32> {
        self.cpu_list("sys/devices/system/cpu/nohz_full").unwrap_or_default()
    }

    /// The frequency governor of a CPU; `None` where frequency is not this kernel's to scale.
    pub fn governor(&self, cpu: u32) -> Option<String> {
        self.line(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"))
    }

    /// Hugepages by node and size; empty where the kernel has none.
    pub fn hugepages(&self) -> Vec<Hugepages> {
        let nodes = self.numbered("sys/devices/system/node", "node").into_iter();
        let of_nodes = nodes.flat_map(|node| {
            self.hugepages_in(&format!("sys/devices/system/node/node{node}/hugepages"), node)
        });
        let of_nodes: Vec<Hugepages> = of_nodes.collect();
        if of_nodes.is_empty() { self.hugepages_in("sys/kernel/mm/hugepages", 0) } else { of_nodes }
    }

    /// The setting of transparent hugepages for anonymous memory.
    pub fn thp_anonymous(&self) -> Option<String> {
        self.chosen("sys/kernel/mm/transparent_hugepage/enabled")
    }

    /// The setting of transparent hugepages for shared memory, memfds among it.
    pub fn thp_shmem(&self) -> Option<String> {
        self.chosen("sys/kernel/mm/transparent_hugepage/shmem_enabled")
    }

    /// Bytes free in `/dev/shm`; `None` where that is no directory.
    pub fn shared_memory_free(&self) -> Option<u64> {
        let found = nix::sys::statvfs::statvfs(&self.root.join("dev/shm")).ok()?;
        Some(found.blocks_available() * found.fragment_size())
    }

    /// How much memory this process may lock, in bytes.
    pub fn memlock_limit(&self) -> Option<Limit> {
        self.limit("Max locked memory")
    }

    /// How many descriptors this process may open; also the bound of an io_uring file table.
    pub fn nofile_limit(&self) -> Option<Limit> {
        self.limit("Max open files")
    }

    /// `net.core.somaxconn`: the bound of every listener's accept queue.
    pub fn somaxconn(&self) -> Option<u32> {
        self.line("proc/sys/net/core/somaxconn")?.parse().ok()
    }

    /// `kernel.io_uring_disabled`: 0 open to all, 1 to privileged processes and the group of
    /// `kernel.io_uring_group`, 2 to none. `None` before Linux 6.6, which has no such setting.
    pub fn io_uring_disabled(&self) -> Option<u32> {
        self.line("proc/sys/kernel/io_uring_disabled")?.parse().ok()
    }

    /// Whether this process runs under a seccomp filter, as containers do.
    pub fn seccomp_filtered(&self) -> bool {
        self.status_field("Seccomp:").as_deref() == Some("2")
    }

    /// Whether this process may lock any amount of memory (CAP_IPC_LOCK).
    pub fn may_lock_any_memory(&self) -> bool {
        const CAP_IPC_LOCK: u32 = 14;
        let effective = self.status_field("CapEff:");
        let bits = effective.and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
        bits >> CAP_IPC_LOCK & 1 == 1
    }

    /// What the machine calls itself when it is virtual; `None` on bare metal.
    pub fn hypervisor(&self) -> Option<String> {
        let cpuinfo = self.read("proc/cpuinfo")?;
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
        flags.split_whitespace().find(|flag| *flag == "hypervisor")?;
        let vendor = self.line("sys/class/dmi/id/sys_vendor");
        Some(vendor.unwrap_or_else(|| "unnamed hypervisor".to_owned()))
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    pub(super) fn cpu_list(&self, path: &str) -> Option<Vec<u32>> {
        self.read(path).map(|text| parse_cpu_list(&text))
    }

    /// The numbers n of the entries `<prefix>n` in a directory, in order.
    pub(super) fn numbered(&self, dir: &str, prefix: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| {
            entry.file_name().to_str()?.strip_prefix(prefix)?.parse::<u32>().ok()
        };
        let mut numbers: Vec<u32> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn line(&self, path: &str) -> Option<String> {
        self.read(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The word in brackets: how sysfs marks the setting in force.
    fn chosen(&self, path: &str) -> Option<String> {
        let text = self.read(path)?;
        let (_, rest) = text.split_once('[')?;
        rest.split_once(']').map(|(word, _)| word.to_owned())
    }

    fn status_field(&self, label: &str) -> Option<String> {
        let status = self.read("proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(label))?;
        Some(line.trim().to_owned())
    }

    fn limit(&self, label: &str) -> Option<Limit> {
        let limits = self.read("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(label))?;
        let mut values = line.split_whitespace().map(|value| match value {
            "unlimited" => Some(None),
            number => number.parse().ok().map(Some),
        });
        Some(Limit { soft: values.next()??, hard: values.next()?? })
    }

    fn hugepages_in(&self, dir: &str, node: u32) -> Vec<Hugepages> {
        let entries = fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten();
        let pool = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let count = |file| self.line(&format!("{dir}/{name}/{file}"))?.parse().ok();
            Some(Hugepages {
                node,
                page_kib: name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?,
                total: count("nr_hugepages")?,
                free: count("free_hugepages")?,
            })
        };
        let mut pools: Vec<Hugepages> = entries.filter_map(pool).collect();
        pools.sort_unstable_by_key(|pool| pool.page_kib);
        pools
    }
}

/// Refuses a directory that is not on a hugetlbfs mount.
pub fn check_hugetlbfs(dir: &Path) -> Result<()> {
    let refuse = |why: String| {
        Error::new(
            format!("take hugepages from {}", dir.display()),
            why,
            "mount one with `sudo hugepages/reserve.sh mount --dir DIR`, or leave out --huge-dir to \
             use anonymous hugepages",
        )
    };
    let found = nix::sys::statfs::statfs(dir).map_err(|e| refuse(e.desc().to_owned()))?;
    if found.filesystem_type() != nix::sys::statfs::HUGETLBFS_MAGIC {
        return Err(refuse("it is not on a hugetlbfs mount".to_owned()));
    }
    Ok(())
}

/// The kernel's own notation, `0-3,8`; what it prints instead of an empty list reads as empty.
fn parse_cpu_list(text: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
