//! What an operator chooses beside the file: idling, memory, and the name of the instance.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::limits::FILE_PREFIX_BYTES_MAX;

/// What an lcore does when a round of its loop found no work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleMode {
    /// Spins: the shortest wake-up, and a core that never rests. For isolated cores.
    Busy,
    /// Spins a while, then pauses, then waits in the ring.
    #[default]
    Adaptive,
    /// Waits in the ring at once: the least power, tens of microseconds to wake up.
    Sleep,
}

impl IdleMode {
    /// The names of all modes, as written in a file and on the command line.
    pub const NAMES: [&str; 3] = ["busy", "adaptive", "sleep"];

    /// The mode's name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl FromStr for IdleMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Busy, Self::Adaptive, Self::Sleep].into_iter().find(|m| m.name() == name).ok_or_else(
            || {
                Error::new(
                    format!("idle as `{name}`"),
                    "there is no such mode",
                    format!("choose one of {}", Self::NAMES.join(", ")),
                )
            },
        )
    }
}

/// Which of the kernel's interfaces carries the sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoBackend {
    /// io_uring, or epoll where io_uring is forbidden, as in many containers.
    #[default]
    Auto,
    /// io_uring, or an error.
    IoUring,
    /// epoll.
    Epoll,
}

impl IoBackend {
    /// All names, as written in a file and on the command line.
    pub const NAMES: [&str; 3] = ["auto", "io_uring", "epoll"];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl FromStr for IoBackend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let mut all = [Self::Auto, Self::IoUring, Self::Epoll].into_iter();
        all.find(|backend| backend.name() == name).ok_or_else(|| {
            Error::new(
                format!("carry sockets by `{name}`"),
                "there is no such interface",
                format!("choose one of {}", Self::NAMES.join(", ")),
            )
        })
    }
}

/// Where the pools' memory comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Memory to take at start, in MiB, one entry per NUMA node in the order of their numbers;
    /// empty: as much as the pools need, on the nodes of their lcores.
    pub numa_mem_mb: Vec<u64>,
    /// A hugetlbfs mount to take pages from, in place of anonymous ones.
    pub huge_dir: Option<PathBuf>,
    /// Use no hugepages even where there are some.
    pub no_huge: bool,
    /// Leave nothing in the file system: a file in `huge_dir` is removed once it is mapped.
    pub in_memory: bool,
    /// Lock the pools in memory, and fail where that is refused.
    pub mlock: bool,
}

/// The name that keeps one instance's files apart from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePrefix(String);

impl FilePrefix {
    /// The prefix as text, safe as one component of a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for FilePrefix {
    fn default() -> Self {
        Self("ringway".to_owned())
    }
}

impl fmt::Display for FilePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FilePrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=FILE_PREFIX_BYTES_MAX).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if fits && text.bytes().all(plain) && !text.starts_with(['.', '-']) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(
            format!("use the file prefix {text:?}"),
            "it becomes part of file names",
            format!(
                "use 1 to {FILE_PREFIX_BYTES_MAX} letters, digits, `-`, `_` or `.`, starting with \
                 a letter, digit or `_`"
            ),
        ))
    }
}
