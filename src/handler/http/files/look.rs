//! Finding a file and opening it: done by a thread of the offload pool, which may wait.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::state::Identity;
use super::{FileState, Request, Site, listing, media_type};
use crate::limits::{
    FILES_CACHED_BYTES_MAX, FILES_PATH_BYTES_MAX, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES,
};
use crate::mem::{Buf, Mempool};
use crate::offload::CancelToken;
use crate::proto::files::{Coding, RelativePath};

/// Where small and large slots stand among the classes of a pool.
pub(super) const SMALL: usize = 0;
const LARGE: usize = 1;

/// Times that a small file is read which others write to meanwhile.
const TRIES_MAX: u32 = 3;

/// What is looked for.
pub(super) struct Wanted {
    pub site: Arc<Site>,
    /// Of the request.
    pub head: Buf,
    /// Of its path, the part that leads to the root.
    pub prefix_bytes: usize,
    pub preference: usize,
    /// What is kept of the file: where it has not changed, it is not read again.
    pub known: Option<Identity>,
    pub pool: Mempool,
}

/// What was found.
pub(super) enum Found {
    File(Box<FoundFile>),
    /// A file that has not changed.
    Same,
    /// A directory, without a slash behind its path.
    Directory,
    /// What a directory has in it, and of which media type that is.
    Listing(Vec<u8>, &'static str),
    /// Nothing: with which status to say so.
    Nothing(u16),
}

/// An open file.
pub(super) struct FoundFile {
    pub file: File,
    pub state: FileState,
    pub identity: Identity,
    /// Its first bytes, if there was a slot for them.
    pub first: Option<Buf>,
}

impl FoundFile {
    /// All its bytes, if they are here.
    pub fn whole(&self) -> Option<&Buf> {
        self.first.as_ref().filter(|first| first.len() as u64 == self.state.size)
    }
}

/// The ways to wish for the forms of a file. The first is who takes none.
const PREFERENCES: [[Option<Coding>; 2]; 5] = {
    let (brotli, gzip) = (Some(Coding::Brotli), Some(Coding::Gzip));
    [[None, None], [brotli, None], [gzip, None], [brotli, gzip], [gzip, brotli]]
};

/// How many there are.
pub(super) const PREFERENCES_MAX: usize = PREFERENCES.len();

/// Which of them this is, the forms in the order that they are wished for.
pub(super) fn preference(accepted: [Option<Coding>; 2]) -> usize {
    let mut accepted = accepted;
    accepted.sort_by_key(Option::is_none);
    PREFERENCES.iter().position(|forms| *forms == accepted).unwrap_or(0)
}

impl Wanted {
    /// Looks for it.
    pub fn look(self, cancel: &CancelToken) -> Found {
        if cancel.is_cancelled() {
            return Found::Nothing(503);
        }
        self.find().unwrap_or_else(|why| Found::Nothing(status(&why)))
    }

    fn find(&self) -> io::Result<Found> {
        let request = Request::new(&self.head);
        let mut room = [0; FILES_PATH_BYTES_MAX];
        let path = RelativePath::decode(&request.path()[self.prefix_bytes..], &mut room);
        let path = path.map_err(|_| io::ErrorKind::NotFound)?;
        let (file, metadata) = self.site.root.read(path.as_str())?;
        match (metadata.is_dir(), path.has_trailing_slash()) {
            (true, false) => return Ok(Found::Directory),
            (false, true) => return Err(io::ErrorKind::NotFound.into()),
            (false, false) => return self.file(path.as_str(), file, metadata),
            (true, true) => {}
        }
        let slash = if path.as_str().is_empty() { "" } else { "/" };
        let index = format!("{}{slash}index.html", path.as_str());
        match self.site.root.read(&index) {
            Ok((file, metadata)) if metadata.is_file() => self.file(&index, file, metadata),
            Err(why) if status(&why) != 404 => Err(why),
            _ if self.site.listing => {
                let json = request.header("accept").is_some_and(listing::wants_json);
                let directory = self.site.root.directory(path.as_str())?;
                let (list, kind) =
                    listing::list(&directory, path.as_str(), self.site.hidden, json)?;
                Ok(Found::Listing(list, kind))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The file, or a compressed form of it that lies beside.
    fn file(&self, path: &str, file: File, metadata: Metadata) -> io::Result<Found> {
        let kind = media_type(path);
        for coding in PREFERENCES[self.preference].into_iter().flatten() {
            if let Ok((form, of_form)) = self.site.root.read(&format!("{path}{}", coding.suffix()))
                && of_form.is_file()
                && of_form.modified()? >= metadata.modified()?
            {
                return self.open(form, of_form, Some(coding), kind);
            }
        }
        self.open(file, metadata, None, kind)
    }

    fn open(
        &self,
        file: File,
        mut metadata: Metadata,
        coding: Option<Coding>,
        kind: &'static str,
    ) -> io::Result<Found> {
        let mut identity = Identity::of(&metadata);
        if self.known == Some(identity) {
            return Ok(Found::Same);
        }
        let mut first = self.read_first(&file, metadata.len())?;
        for _ in 1..TRIES_MAX {
            let now = file.metadata()?;
            if Identity::of(&now) == identity {
                break;
            }
            (identity, metadata) = (Identity::of(&now), now);
            first = self.read_first(&file, metadata.len())?;
        }
        let state = FileState::of(&metadata, coding, kind);
        Ok(Found::File(Box::new(FoundFile { file, state, identity, first })))
    }

    /// What is sent first, if a slot is free.
    fn read_first(&self, file: &File, size: u64) -> io::Result<Option<Buf>> {
        let bytes = size.min(FILES_CACHED_BYTES_MAX as u64) as usize;
        let Some(mut buf) = alloc_room(&self.pool, bytes) else { return Ok(None) };
        read_into(&mut buf, file, 0, bytes)?;
        Ok(Some(buf))
    }
}

/// A slot to read up to `bytes` into: a small one where large ones are short, since those who hold most of them are
/// peers that read slowly.
pub(super) fn alloc_room(pool: &Mempool, bytes: usize) -> Option<Buf> {
    let bytes = bytes.clamp(1, LARGE_SLOT_BYTES as usize);
    let large = bytes > SMALL_SLOT_BYTES as usize && !pool.is_short(LARGE);
    let slot = if large { pool.alloc(bytes) } else { None };
    slot.or_else(|| pool.alloc(bytes.min(SMALL_SLOT_BYTES as usize)))
}

/// Fills the free room of `buf` with up to `bytes` of `file` from `at` on; fewer where the file ends before.
fn read_into(buf: &mut Buf, file: &File, at: u64, bytes: usize) -> io::Result<usize> {
    let Some(room) = buf.spare_mut() else { return Ok(0) };
    let most = bytes.min(room.len());
    let mut got = 0;
    while got < most {
        match file.read_at(&mut room[got..most], at + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    buf.grow(got);
    Ok(got)
}

/// What a failure of the file system is told as. What leads outside is not there (EXDEV, ELOOP).
pub(super) fn status(why: &io::Error) -> u16 {
    match why.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => 403,
        Some(
            libc::ENOENT
            | libc::ENOTDIR
            | libc::EXDEV
            | libc::ELOOP
            | libc::ENAMETOOLONG
            | libc::ENXIO
            | libc::EINVAL,
        ) => 404,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => 503,
        None if why.kind() == io::ErrorKind::NotFound => 404,
        _ => 500,
    }
}
