//! A file that is coming: the temporary one beside its place, until it is whole.

use std::fs::{File, Metadata};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Site;
use super::sink::{Fail, Standing, Stored};
use crate::handler::http::Request;
use crate::handler::http::files::FileState;
use crate::mem::Buf;
use crate::offload::CancelToken;
use crate::proto::files::{Condition, RelativePath, Validators, condition, media_type};
use crate::sys::directory::Directory;
use crate::sys::random;

/// What the names of temporary files begin with.
pub(super) const TEMPORARY: &str = ".ringway-";
/// What they end with: those that go with their connection, and those that stay for a sequel.
pub(super) const FLEETING: &str = ".tmp";
pub(super) const STAYING: &str = ".part";

/// Times that another name is tried, where one that is made is taken for stale at once.
const TRIES_MAX: u32 = 8;

/// Bytes that are hashed between two looks whether anybody still waits.
const HASHED_BYTES: usize = 1 << 20;

/// Whether an upload can be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onward {
    /// What comes of it goes with its connection.
    No,
    /// Its bytes from `first` up to `end` come now, of `total`.
    From { first: u64, end: u64, total: u64 },
}

/// Where a file goes.
pub(super) struct Target {
    /// Below the root; empty for the root itself.
    directory: String,
    name: String,
    /// The head of the request, if it may have conditions.
    head: Option<Buf>,
    onward: Onward,
}

impl Target {
    /// The place that `path` names.
    pub fn of(path: RelativePath<'_>, head: Option<Buf>, onward: Onward) -> Self {
        let (directory, name) = path.split();
        Self { directory: directory.to_owned(), name: name.to_owned(), head, onward }
    }

    /// The file `name` of a form to `directory`.
    pub fn in_directory(directory: &str, name: &str) -> Self {
        let (directory, name) = (directory.to_owned(), name.to_owned());
        Self { directory, name, head: None, onward: Onward::No }
    }

    fn path(&self) -> String {
        match &*self.directory {
            "" => self.name.clone(),
            directory => format!("{directory}/{}", self.name),
        }
    }

    /// The name under which what came of it stays. It is as long whatever the file is called.
    fn staying_name(&self) -> String {
        let hash = Sha256::digest(self.name.as_bytes());
        let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{TEMPORARY}{digits}{STAYING}")
    }
}

/// A file that is coming. Dropped, it goes, unless it can be gone on with.
pub(super) struct Part {
    site: Arc<Site>,
    directory: Directory,
    target: String,
    name: String,
    temporary: String,
    /// Locked: whoever finds it unlocked knows that nobody writes to it.
    file: File,
    hash: Sha256,
    bytes: u64,
    onward: Onward,
    /// It is to be the first of its name, by a condition of the request.
    is_first: bool,
    stays: bool,
}

impl Part {
    /// Makes the temporary file, or opens the one that is gone on with.
    pub fn begin(site: &Arc<Site>, target: &Target, cancel: &CancelToken) -> Result<Self, Fail> {
        let directory =
            site.root.directory(&target.directory).map_err(|why| Fail::of_system(&why))?;
        let is_first = check(site, target, &directory)?;
        let (temporary, file) = match target.onward {
            Onward::No => make_fleeting(&directory)?,
            Onward::From { first, .. } => open_staying(&directory, target, first)?,
        };
        let mut part = Self {
            site: Arc::clone(site),
            directory,
            target: target.path(),
            name: target.name.clone(),
            temporary,
            file,
            hash: Sha256::new(),
            bytes: 0,
            onward: target.onward,
            is_first,
            stays: target.onward != Onward::No,
        };
        if let Onward::From { first, .. } = target.onward {
            part.go_on(first, cancel)?;
        }
        Ok(part)
    }

    /// Goes on behind the first `first` bytes, which are hashed again.
    fn go_on(&mut self, first: u64, cancel: &CancelToken) -> Result<(), Fail> {
        let system = |why: io::Error| Fail::of_system(&why);
        self.file.set_len(first).map_err(system)?;
        let mut room = vec![0; HASHED_BYTES.min(first as usize)];
        self.file.seek(SeekFrom::Start(0)).map_err(system)?;
        while self.bytes < first {
            if cancel.is_cancelled() {
                return Err(Fail::of(503, "")); // nobody hears it
            }
            let most = (first - self.bytes).min(room.len() as u64) as usize;
            self.file.read_exact(&mut room[..most]).map_err(system)?;
            self.hash.update(&room[..most]);
            self.bytes += most as u64;
        }
        Ok(())
    }

    /// The next bytes.
    pub fn write(&mut self, site: &Site, mut slices: &mut [IoSlice<'_>]) -> Result<(), Fail> {
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        let most = match self.onward {
            Onward::No => site.bytes_max,
            Onward::From { end, .. } => end,
        };
        if self.bytes + bytes > most {
            return Err(Fail::too_large());
        }
        slices.iter().for_each(|slice| self.hash.update(&slice[..]));
        while !slices.is_empty() {
            match self.file.write_vectored(slices) {
                Ok(0) => return Err(Fail::of_system(&io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(Fail::of_system(&why)),
            }
        }
        self.bytes += bytes;
        Ok(())
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing more is to come of the file, in this request or another.
    pub fn is_whole(&self) -> bool {
        match self.onward {
            Onward::No => true,
            Onward::From { total, .. } => self.bytes == total,
        }
    }

    /// Gives the file its name.
    pub fn finish(mut self: Box<Self>, site: &Site) -> Result<Stored, Fail> {
        self.stays = false;
        let system = |why: io::Error| Fail::of_system(&why);
        if site.syncing {
            self.file.sync_all().map_err(system)?;
        }
        let replaced = self.directory.has(&self.name);
        if site.overwriting && !self.is_first {
            self.directory.rename(&self.temporary, &self.name).map_err(system)?;
        } else {
            self.directory.rename_new(&self.temporary, &self.name).map_err(|why| {
                match why.kind() == io::ErrorKind::AlreadyExists && self.is_first {
                    true => Fail::of(412, EXISTS),
                    false => Fail::of_system(&why),
                }
            })?;
        }
        self.temporary.clear(); // there is none any more
        if site.syncing {
            self.directory.sync().map_err(system)?;
        }
        let state = state(&self.file.metadata().map_err(system)?, &self.name);
        Ok(Stored {
            path: std::mem::take(&mut self.target),
            bytes: self.bytes,
            sha256: self.hash.finalize_reset().into(),
            tag: state.tag,
            replaced,
        })
    }

    /// Drops it, and what is there of it.
    pub fn remove(mut self: Box<Self>) {
        self.stays = false;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.stays {
            self.site.leftovers.add(&self.target, &self.temporary);
        } else if !self.temporary.is_empty() {
            // Where that fails, the next start tries again.
            let _ = self.directory.remove(&self.temporary);
        }
    }
}

const EXISTS: &str = "there is such a file already\n";

fn state(file: &Metadata, name: &str) -> FileState {
    FileState::of(file, None, media_type(name))
}

/// Looks at what has the name now. `true`: the request says that it is to be the first of it.
fn check(site: &Site, target: &Target, directory: &Directory) -> Result<bool, Fail> {
    let there = directory.metadata(&target.name).ok();
    if there.as_ref().is_some_and(Metadata::is_dir) {
        return Err(Fail::of_system(&io::Error::from_raw_os_error(libc::EISDIR)));
    }
    let mut is_first = false;
    if let Some(head) = &target.head {
        let fields = Request::new(head).headers();
        let state = there.as_ref().map(|file| state(file, &target.name));
        let current =
            state.as_ref().map(|file| Validators { tag: &file.tag, modified: file.modified });
        // Nobody sends dates with years of two digits any more.
        if condition(&fields, false, current, 0) != Condition::Met {
            return Err(Fail::of(412, "the file is another by now\n"));
        }
        is_first = fields.get("if-none-match") == Some(b"*");
    }
    if there.is_some() && !site.overwriting {
        return Err(Fail::of(409, EXISTS));
    }
    Ok(is_first)
}

/// A temporary file with a name that no other has.
fn make_fleeting(directory: &Directory) -> Result<(String, File), Fail> {
    for _ in 0..TRIES_MAX {
        let mut random = [0; 8];
        random::fill(&mut random).map_err(|why| Fail::of_system(&why))?;
        let name = format!("{TEMPORARY}{:016x}{FLEETING}", u64::from_le_bytes(random));
        let file = directory.create(&name).map_err(|why| Fail::of_system(&why))?;
        if is_ours(&file) {
            return Ok((name, file));
        }
    }
    Err(Fail::of(503, "somebody removes what is made here\n"))
}

/// The temporary file that stays for `target`, of which at least `first` bytes are there.
fn open_staying(
    directory: &Directory,
    target: &Target,
    first: u64,
) -> Result<(String, File), Fail> {
    let name = target.staying_name();
    for _ in 0..TRIES_MAX {
        let file = directory.write(&name).map_err(|why| Fail::of_system(&why))?;
        if file.try_lock().is_err() {
            return Err(Fail::of(409, "it is being uploaded by somebody else\n"));
        }
        let metadata = file.metadata().map_err(|why| Fail::of_system(&why))?;
        if metadata.nlink() == 0 {
            continue; // it was removed before it was locked
        }
        if metadata.len() < first {
            if metadata.len() == 0 {
                let _ = directory.remove(&name); // there was none
            }
            let text = "there is less of it than that\n".into();
            return Err(Fail { status: 409, text, offset: Some(metadata.len()) });
        }
        return Ok((name, file));
    }
    Err(Fail::of(503, "somebody removes what is made here\n"))
}

/// Whether a file that was just made is locked now, and still there.
fn is_ours(file: &File) -> bool {
    file.try_lock().is_ok() && file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

/// How far the upload of `target` is.
pub(super) fn standing(site: &Site, target: &Target) -> Result<Standing, Fail> {
    let directory = match site.root.directory(&target.directory) {
        Ok(directory) => directory,
        Err(_) => return Ok(Standing::Nothing),
    };
    if let Ok(part) = directory.metadata(&target.staying_name()) {
        return Ok(Standing::Part(part.len()));
    }
    match directory.metadata(&target.name) {
        Ok(file) if file.is_file() => Ok(Standing::Whole(file.len())),
        _ => Ok(Standing::Nothing),
    }
}
