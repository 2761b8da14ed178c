//! What is done with the bytes of one connection's upload, in their order, by a thread of the offload pool.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::Site;
use super::part::{Part, Target};
use crate::mem::Buf;
use crate::offload::CancelToken;
use crate::proto::files::{EntityTag, PathFault};

/// What is to be done next.
pub(super) enum Op {
    /// A file begins.
    Begin(Box<Target>),
    /// The next bytes of it.
    Data(Buf),
    /// The same, of the program's own: a few.
    Bytes(Box<[u8]>),
    /// It is whole.
    End,
}

/// A file that has come.
pub(super) struct Stored {
    /// Below the root.
    pub path: String,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub tag: EntityTag,
    /// There was one of that name before.
    pub replaced: bool,
}

/// How far an upload is.
pub(super) enum Standing {
    Nothing,
    /// So many bytes are there of one that broke off.
    Part(u64),
    /// The file is there, of so many bytes.
    Whole(u64),
}

/// Why an upload came to nothing, as its peer is told.
#[derive(Debug)]
pub(super) struct Fail {
    pub status: u16,
    pub text: Cow<'static, str>,
    /// Where it could go on.
    pub offset: Option<u64>,
}

impl Fail {
    pub fn of(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), offset: None }
    }

    pub fn too_large() -> Self {
        Self::of(413, "the file is larger than is taken here\n")
    }

    pub fn of_path(fault: PathFault) -> Self {
        Self::of(400, format!("{fault}\n"))
    }

    /// Of a failure of the file system.
    pub fn of_system(why: &io::Error) -> Self {
        let (status, text) = match why.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => (507, "there is no room left on the disk\n"),
            Some(libc::EFBIG) => (507, "the file is larger than the system allows\n"),
            Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::EXDEV | libc::ELOOP) => {
                (403, "it may not be written there\n")
            }
            Some(libc::ENOENT | libc::ENOTDIR) => (409, "there is no such directory\n"),
            Some(libc::EEXIST) => (409, "there is such a file already\n"),
            Some(libc::EISDIR | libc::ENOTEMPTY) => (409, "there is a directory of that name\n"),
            Some(libc::ENAMETOOLONG | libc::EINVAL) => {
                (400, "the file system does not take that name\n")
            }
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => (503, "too much is under way\n"),
            _ => (500, "the file could not be written\n"),
        };
        Self::of(status, text)
    }
}

/// The files of one request: those that have come, and the one that is coming.
pub(super) struct Sink {
    site: Arc<Site>,
    part: Option<Box<Part>>,
    pub stored: Vec<Stored>,
    /// A part of a file came whole, and is to be gone on with here.
    pub waits_at: Option<u64>,
}

impl Sink {
    pub fn new(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), part: None, stored: Vec::new(), waits_at: None }
    }

    /// Does all of `ops`, and leaves the list empty. What fails takes the file with it that is coming; what has come
    /// stays.
    pub fn run(&mut self, ops: &mut Vec<Op>, cancel: &CancelToken) -> Result<(), Fail> {
        let done = self.run_all(ops, cancel);
        ops.clear();
        if done.is_err()
            && let Some(part) = self.part.take()
        {
            part.remove();
        }
        done
    }

    fn run_all(&mut self, ops: &[Op], cancel: &CancelToken) -> Result<(), Fail> {
        let mut rest = ops;
        while let [op, after @ ..] = rest {
            rest = after;
            match op {
                Op::Begin(target) => {
                    self.part = Some(Box::new(Part::begin(&self.site, target, cancel)?))
                }
                Op::Data(_) | Op::Bytes(_) => {
                    let more = after.iter().take_while(|op| bytes(op).is_some()).count();
                    let all = &ops[ops.len() - after.len() - 1..ops.len() - after.len() + more];
                    rest = &after[more..];
                    self.write(all)?;
                }
                Op::End => self.end()?,
            }
        }
        Ok(())
    }

    fn write(&mut self, ops: &[Op]) -> Result<(), Fail> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let mut slices: Vec<IoSlice<'_>> = ops.iter().filter_map(bytes).map(IoSlice::new).collect();
        part.write(&self.site, &mut slices)
    }

    fn end(&mut self) -> Result<(), Fail> {
        let Some(part) = self.part.take() else { return Ok(()) };
        if !part.is_whole() {
            self.waits_at = Some(part.bytes());
            return Ok(()); // it is kept
        }
        self.stored.push(part.finish(&self.site)?);
        Ok(())
    }
}

fn bytes(op: &Op) -> Option<&[u8]> {
    match op {
        Op::Data(buf) => Some(buf),
        Op::Bytes(bytes) => Some(bytes),
        Op::Begin(_) | Op::End => None,
    }
}
