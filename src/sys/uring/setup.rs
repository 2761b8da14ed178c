//! How an io_uring comes up: the ladder of flags, and what to tell the operator when it does not.

use std::{fmt, io};

use io_uring::IoUring;

use crate::error::Error;

/// How completions reach the thread that owns the ring (io_uring_setup(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG`: the kernel does completion work only inside
    /// our own enter, and raises a flag in shared memory when there is some.
    Defer,
    /// `SINGLE_ISSUER | DEFER_TASKRUN` without the flag: every poll has to enter the kernel.
    DeferUnflagged,
    /// `COOP_TASKRUN | TASKRUN_FLAG`: completion work rides on any kernel entry.
    Coop,
    /// `SQPOLL`: a kernel thread submits. It needs a core of its own.
    SqPoll,
    /// No flag at all.
    Plain,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Defer => "DEFER_TASKRUN+TASKRUN_FLAG",
            Mode::DeferUnflagged => "DEFER_TASKRUN",
            Mode::Coop => "COOP_TASKRUN+TASKRUN_FLAG",
            Mode::SqPoll => "SQPOLL",
            Mode::Plain => "plain",
        })
    }
}

/// Sizes of a ring and the mode to try first.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Submission entries, a power of two.
    pub sq_entries: u32,
    /// Completion entries, a power of two.
    pub cq_entries: u32,
    /// Direct descriptors: the low `files_reserved` are installed by
    /// [`Uring::install_file`](super::Uring::install_file), the rest are given out by the kernel to
    /// accepted connections.
    pub files: u32,
    /// Direct descriptors kept back from the kernel's own allocation.
    pub files_reserved: u32,
    /// The first rung of the ladder.
    pub mode: Mode,
}

/// Tries the wanted mode with all that helps it, then gives up one flag at a time on `EINVAL`.
pub(super) fn climb_down(options: &Options) -> io::Result<(IoUring, Mode, bool)> {
    let modes: &[Mode] = match options.mode {
        Mode::Defer => &[Mode::Defer, Mode::DeferUnflagged, Mode::Coop, Mode::Plain],
        Mode::DeferUnflagged => &[Mode::DeferUnflagged, Mode::Plain],
        Mode::Coop => &[Mode::Coop, Mode::Plain],
        Mode::SqPoll => &[Mode::SqPoll, Mode::Plain],
        Mode::Plain => &[Mode::Plain],
    };
    let mut refusal = io::Error::from_raw_os_error(libc::EINVAL);
    for &mode in modes {
        for no_sqarray in [true, false] {
            match build(options, mode, no_sqarray) {
                Ok(ring) => return Ok((ring, mode, no_sqarray)),
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => refusal = e,
                Err(e) => return Err(e),
            }
        }
    }
    Err(refusal)
}

fn build(options: &Options, mode: Mode, no_sqarray: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(options.cq_entries).setup_clamp().setup_submit_all().dontfork();
    match mode {
        Mode::Defer => {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }
        Mode::DeferUnflagged => {
            builder.setup_single_issuer().setup_defer_taskrun();
        }
        Mode::Coop => {
            builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
        }
        Mode::SqPoll => {
            builder.setup_single_issuer().setup_sqpoll(10);
        }
        Mode::Plain => {}
    }
    if no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(options.sq_entries)
}

/// Says which of the known causes this is, and what mends it (io_uring_setup(2), ERRORS).
pub(super) fn setup_error(options: &Options, why: io::Error) -> Error {
    let what = "set up an io_uring";
    match why.raw_os_error() {
        Some(libc::EPERM) => Error::new(
            what,
            "io_uring is forbidden here (EPERM: kernel.io_uring_disabled or a seccomp filter)",
            "run `sysctl -w kernel.io_uring_disabled=0`; in a container allow io_uring_setup, \
             io_uring_enter and io_uring_register in its seccomp profile",
        ),
        Some(libc::ENOSYS) => Error::new(
            what,
            "this kernel has no io_uring (ENOSYS)",
            "use Linux 6.1 or newer, and allow io_uring in the container's seccomp profile",
        ),
        Some(libc::ENOMEM) => Error::new(
            what,
            "not enough lockable memory (ENOMEM)",
            "raise RLIMIT_MEMLOCK with `ulimit -l unlimited` (LimitMEMLOCK=infinity in a unit)",
        ),
        Some(libc::EMFILE) => Error::new(
            what,
            format!("{} direct descriptors pass the limit on open files", options.files),
            "raise it with `ulimit -n`, or lower max_connections in the configuration",
        ),
        Some(libc::EINVAL) => Error::new(
            what,
            "this kernel lacks what ringway needs (EINVAL)",
            "use Linux 6.1 or newer",
        ),
        _ => Error::new(what, why, "see `ringway doctor`"),
    }
}
