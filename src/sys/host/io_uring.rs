//! Whether io_uring works for this process, found out by asking for a ring; and if not, who
//! refuses it.

use std::io;

use ::io_uring::{Builder, IoUring as Ring, cqueue, squeue};
use nix::errno::Errno;

use super::Host;

/// What came of asking the kernel for a small ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoUring {
    /// It gives rings.
    Works {
        /// Also with SINGLE_ISSUER and DEFER_TASKRUN, which enter the kernel least.
        defer_taskrun: bool,
    },
    /// It gives none.
    Refused {
        /// The error it gave.
        errno: Errno,
        /// Who refuses, as far as the host's files tell.
        by: Refusal,
    },
}

/// Who keeps io_uring from a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `kernel.io_uring_disabled`.
    Sysctl,
    /// The seccomp filter of a container or a service manager.
    Seccomp,
    /// The kernel, which is too old or built without it.
    Kernel,
    /// RLIMIT_MEMLOCK, RLIMIT_NOFILE or memory itself is used up.
    Resources,
    /// Something else: a security module, most likely.
    Unknown,
}

impl IoUring {
    /// Whether it is forbidden, or not there at all: no passing want, and no fault of ours.
    pub fn is_forbidden(&self) -> bool {
        let errno = match self {
            Self::Works { .. } => return false,
            Self::Refused { errno, .. } => errno,
        };
        matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS)
    }
}

impl Host {
    /// Sets up and drops a small ring, as the dataplane would.
    pub fn io_uring(&self) -> IoUring {
        if let Err(e) = setup(|_| {}) {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(0));
            return IoUring::Refused { errno, by: self.refusal(errno) };
        }
        let deferred = setup(|builder| {
            builder.setup_single_issuer().setup_defer_taskrun();
        });
        IoUring::Works { defer_taskrun: deferred.is_ok() }
    }

    pub(super) fn refusal(&self, errno: Errno) -> Refusal {
        let disabled = self.io_uring_disabled().unwrap_or(0) > 0;
        match errno {
            Errno::EPERM if disabled => Refusal::Sysctl,
            Errno::EPERM | Errno::EACCES | Errno::ENOSYS if self.seccomp_filtered() => {
                Refusal::Seccomp
            }
            Errno::ENOSYS => Refusal::Kernel,
            Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => Refusal::Resources,
            _ => Refusal::Unknown,
        }
    }
}

fn setup(flags: impl FnOnce(&mut Builder<squeue::Entry, cqueue::Entry>)) -> io::Result<Ring> {
    let mut builder = Ring::builder();
    flags(&mut builder);
    builder.build(8)
}
