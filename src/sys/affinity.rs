//! Which CPUs a thread runs on: pin it, let it go, ask where it is. Threads are created elsewhere.

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// Where a thread was running when it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The CPU's number.
    pub cpu: u32,
    /// The NUMA node of that CPU.
    pub numa_node: u32,
}

/// What this process was given before any of its threads was pinned.
static STARTED_WITH: OnceLock<CpuSet> = OnceLock::new();

/// Pins the calling thread to `cpus`; with several it floats over them.
///
/// Fails, leaving the thread where it was, when the kernel grants less than all of them.
pub fn pin(cpus: &[u32]) -> Result<()> {
    started_with()?;
    let before = calling_threads_set()?;
    let wanted = to_set(cpus)?;
    let refuse = |why: String| {
        Error::new(
            format!("pin a thread to cores {cpus:?}"),
            why,
            "name online cores inside the process's CPU set (taskset, cpuset cgroup)",
        )
    };
    set_calling_thread(&wanted).map_err(|e| refuse(e.desc().to_owned()))?;
    let granted = calling_threads_set()?;
    if granted == wanted {
        return Ok(());
    }
    set_calling_thread(&before).map_err(|e| refuse(e.desc().to_owned()))?;
    Err(refuse(format!("the kernel grants {:?} of them", to_list(&granted))))
}

/// Lets the calling thread run wherever the process could when it started.
pub fn unpin() -> Result<()> {
    set_calling_thread(started_with()?).map_err(|e| {
        Error::new(
            "unpin a thread",
            e.desc(),
            "check that the process's CPU set still has an online core",
        )
    })
}

/// Where the calling thread is running now. Unless it is pinned to one CPU, it may have moved by
/// the time this returns.
pub fn current() -> Placement {
    let (mut cpu, mut numa_node) = (0u32, 0u32);
    let no_cache = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: getcpu stores one unsigned int through each of its first two arguments, which point
    // to live, exclusively borrowed u32s; the third argument has been unused since Linux 2.6.24.
    let rc = unsafe { libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut numa_node, no_cache) };
    assert_eq!(rc, 0, "getcpu fails only for bad pointers");
    Placement { cpu, numa_node }
}

/// The CPUs this process was given when it started, in order.
pub fn allowed() -> Result<Vec<u32>> {
    started_with().map(to_list)
}

fn started_with() -> Result<&'static CpuSet> {
    if let Some(set) = STARTED_WITH.get() {
        return Ok(set);
    }
    // The main thread's: a thread that was pinned from outside must not narrow the process.
    let set = sched_getaffinity(Pid::this()).map_err(cannot_read)?;
    Ok(STARTED_WITH.get_or_init(|| set))
}

fn calling_threads_set() -> Result<CpuSet> {
    sched_getaffinity(Pid::from_raw(0)).map_err(cannot_read)
}

fn set_calling_thread(set: &CpuSet) -> nix::Result<()> {
    sched_setaffinity(Pid::from_raw(0), set)
}

fn cannot_read(e: Errno) -> Error {
    Error::new(
        "read which cores this process may run on",
        e.desc(),
        "allow sched_getaffinity in the container's seccomp profile",
    )
}

fn to_set(cpus: &[u32]) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu as usize).map_err(|_| {
            Error::new(
                format!("pin a thread to core {cpu}"),
                format!("core numbers end at {}", CpuSet::count() - 1),
                "name a core this machine has",
            )
        })?;
    }
    Ok(set)
}

fn to_list(set: &CpuSet) -> Vec<u32> {
    let has = |cpu: &u32| set.is_set(*cpu as usize).unwrap_or(false);
    (0..CpuSet::count() as u32).filter(has).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const _: () = assert!(CpuSet::count() == crate::limits::CPUS_MAX);

    #[test]
    fn a_pinned_thread_runs_on_every_core_it_is_pinned_to_in_turn_a_7() {
        let cpus = allowed().unwrap();
        thread::spawn(move || {
            for &cpu in &cpus {
                pin(&[cpu]).unwrap();
                assert_eq!(current().cpu, cpu);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn an_unpinned_thread_may_run_where_the_process_could() {
        let cpus = allowed().unwrap();
        thread::spawn(move || {
            pin(&cpus[..1]).unwrap();
            unpin().unwrap();
            assert_eq!(to_list(&calling_threads_set().unwrap()), cpus);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn pinning_to_a_core_that_is_not_there_fails_and_leaves_the_thread_where_it_was() {
        let cpus = allowed().unwrap();
        thread::spawn(move || {
            pin(&cpus[..1]).unwrap();
            assert!(pin(&[1023]).is_err());
            assert!(pin(&[cpus[0], 1023]).unwrap_err().to_string().contains("grants"));
            assert!(pin(&[5000]).unwrap_err().to_string().contains("1023"));
            assert!(pin(&[]).is_err());
            assert_eq!(to_list(&calling_threads_set().unwrap()), cpus[..1]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn pinning_one_thread_leaves_what_the_process_is_allowed() {
        let before = allowed().unwrap();
        thread::spawn(|| pin(&allowed().unwrap()[..1]).unwrap()).join().unwrap();
        assert_eq!(allowed().unwrap(), before);
    }
}
