//! Checks of the kernel: its version, io_uring, and the bounds it sets on sockets.

use ringway::config::DataplaneConfig;
use ringway::sys::host::{Host, IoUring, Refusal};

use super::Check;

const FLOOR: (u32, u32) = (6, 1);

/// Enough for bursts of new connections between two rounds of an lcore.
const SOMAXCONN_WANTED: u32 = 1024;

pub fn version(host: &Host) -> Check {
    let name = "kernel";
    let release = host.kernel_release().unwrap_or_else(|| "unknown release".to_owned());
    match host.kernel_version() {
        Some(version) if version >= FLOOR => Check::ok(name, release),
        Some(_) => Check::fail(
            name,
            release,
            "everything: multishot receive and deferred task work came with Linux 6.1",
            "install a kernel of 6.1 or later and reboot",
        ),
        None => Check::warn(
            name,
            release,
            "the certainty that it is Linux 6.1 or later",
            "compare `uname -r` with 6.1",
        ),
    }
}

pub fn io_uring(host: &Host, probed: IoUring) -> Check {
    let name = "io_uring";
    match probed {
        IoUring::Works { defer_taskrun: true } => {
            Check::ok(name, "works, with SINGLE_ISSUER and DEFER_TASKRUN")
        }
        IoUring::Works { defer_taskrun: false } => Check::warn(
            name,
            "works, without DEFER_TASKRUN",
            "completions interrupt the poll loop",
            "install a kernel of 6.1 or later and reboot",
        ),
        IoUring::Refused { errno, by } => {
            let (who, remedy) = refused(host, by);
            let found = format!("refused by {who} ({errno})");
            if probed.is_forbidden() {
                let lost = "a fifth of the requests that a core serves: epoll carries the sockets in its place";
                return Check::warn(name, found, lost, remedy);
            }
            Check::fail(name, found, "everything: it carries every socket", remedy)
        }
    }
}

fn refused(host: &Host, by: Refusal) -> (String, &'static str) {
    match by {
        Refusal::Sysctl => (
            format!("kernel.io_uring_disabled = {}", host.io_uring_disabled().unwrap_or(2)),
            "sudo sysctl -w kernel.io_uring_disabled=0",
        ),
        Refusal::Seccomp => (
            "a seccomp filter, as containers have".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile (docker run --security-opt seccomp=PROFILE.json)",
        ),
        Refusal::Kernel => (
            "the kernel, which has none".to_owned(),
            "boot a kernel of 6.1 or later built with CONFIG_IO_URING=y",
        ),
        Refusal::Resources => (
            "a resource limit".to_owned(),
            "ulimit -l unlimited; ulimit -n 65536; and check free memory",
        ),
        Refusal::Unknown => (
            "something this check cannot see".to_owned(),
            "look for a denial of a security module: sudo dmesg | grep -i denied",
        ),
    }
}

pub fn descriptors(host: &Host) -> Check {
    let name = "files";
    let wanted = u64::from(DataplaneConfig::default().max_connections)
        + u64::from(ringway::limits::ADOPTED_MAX);
    let Some(limit) = host.nofile_limit() else {
        return Check::ok(name, "no limit is shown");
    };
    // `run` raises the soft limit by itself, as far as the hard one goes.
    match limit.hard {
        Some(hard) if hard < wanted => Check::warn(
            name,
            format!("{hard} open files"),
            format!("connections beyond {hard} per lcore, of {wanted} by default"),
            "echo '* - nofile 65536' | sudo tee /etc/security/limits.d/ringway-files.conf, then log \
             in again (a service: LimitNOFILE=65536)",
        ),
        Some(hard) => Check::ok(name, format!("{hard} open files")),
        None => Check::ok(name, "unlimited"),
    }
}

pub fn somaxconn(host: &Host) -> Check {
    let name = "somaxconn";
    match host.somaxconn() {
        Some(n) if n < SOMAXCONN_WANTED => Check::warn(
            name,
            n.to_string(),
            "connections that arrive in a burst larger than that",
            "sudo sysctl -w net.core.somaxconn=4096",
        ),
        Some(n) => Check::ok(name, n.to_string()),
        None => Check::ok(name, "not shown"),
    }
}
