//! Values that one process writes while others may look on: in a file in memory, or on the heap where nobody does.
//! They begin as zeros, are never moved, and live as long as anybody refers to them.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Zeroable;
use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, RenameFlags, renameat2};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::sync::KeepAlive;

/// Where values begin in a file: no two share a line of the cache, nor the line beside it.
const ALIGN: usize = 128;

/// A value, or a part of one. Clones refer to the same.
pub struct Shared<T> {
    at: NonNull<T>,
    owner: KeepAlive,
}

// SAFETY: it gives shared references to a `T` alone, as an `Arc` does.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { at: self.at, owner: self.owner.clone() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value lies there until the last owner is gone, and nobody has it exclusively.
        unsafe { self.at.as_ref() }
    }
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:p})", self.at)
    }
}

impl<T: Zeroable + Send + Sync + 'static> Shared<T> {
    /// Zeros that only this process sees.
    pub fn on_heap() -> Self {
        let value: Arc<Box<T>> = Arc::new(bytemuck::zeroed_box());
        let at = NonNull::from(&**value);
        Self { at, owner: value }
    }
}

impl<T: 'static> Shared<T> {
    /// A part of it, which keeps the whole.
    pub fn part<U>(&self, choose: impl for<'a> FnOnce(&'a T) -> &'a U) -> Shared<U> {
        Shared { at: NonNull::from(choose(self)), owner: self.owner.clone() }
    }
}

/// A file in memory, mapped whole, with a lock on it that says that its writer lives.
pub struct SharedFile {
    map: Arc<MmapRaw>,
    /// Its lock goes with the process, however that ends.
    file: Flock<File>,
    path: Mutex<Option<PathBuf>>,
    used: usize,
}

impl SharedFile {
    /// A file of `bytes` zeros at `path`, with these permissions and all of its memory there. One that lies there and
    /// whose writer is gone, or that is to be replaced, makes room: who has it mapped keeps it.
    ///
    /// # Errors
    /// Among others `AddrInUse`, where a process lives that writes to what lies there.
    pub fn create(path: &Path, bytes: usize, mode: u32, replace: bool) -> io::Result<Self> {
        if !replace && !is_left_behind(path)? {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
        Self::map(file, bytes, Some(path.to_owned()))
    }

    /// The same without a place in the file system.
    pub fn anonymous(name: &str, bytes: usize) -> io::Result<Self> {
        Self::map(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?), bytes, None)
    }

    fn map(file: File, bytes: usize, path: Option<PathBuf>) -> io::Result<Self> {
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e)?;
        let made = (|| {
            // All of it now: memory that is missing later would be a fault in the middle of a store.
            nix::fcntl::fallocate(
                file.as_fd(),
                nix::fcntl::FallocateFlags::empty(),
                0,
                bytes as i64,
            )?;
            MmapOptions::new().len(bytes).populate().map_raw(&*file)
        })();
        match made {
            Ok(map) => Ok(Self { map: Arc::new(map), file, path: Mutex::new(path), used: 0 }),
            Err(error) => {
                path.iter().for_each(|path| drop(std::fs::remove_file(path)));
                Err(error)
            }
        }
    }

    /// Takes room for a value behind the last one; its offset, and the value.
    ///
    /// # Panics
    /// When the file is too short for it.
    pub fn place<T: Zeroable + Send + Sync + 'static>(&mut self) -> (usize, Shared<T>) {
        const {
            assert!(!std::mem::needs_drop::<T>(), "nobody drops what lies in a file");
            assert!(align_of::<T>() <= ALIGN);
        }
        let offset = self.used.next_multiple_of(ALIGN);
        self.used = offset + size_of::<T>();
        assert!(self.used <= self.map.len(), "the file has room for what it was made for");
        // SAFETY: the offset lies in the mapping, as was asserted.
        let at = unsafe { self.map.as_mut_ptr().add(offset) };
        let at = NonNull::new(at.cast()).expect("a mapping does not begin at 0");
        // The range is nobody else's, aligned, and zeros until somebody writes to the value; `T` may be zeros.
        (offset, Shared { at, owner: self.map.clone() })
    }

    /// What a reader opens.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where it lies; `None`: nowhere.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts it at `path`, and what lies there where it lay itself, for the writer of that to
    /// [take back](Self::take_back); nothing where it lies nowhere.
    pub fn move_to(&self, path: &Path) -> io::Result<()> {
        let mut own = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &mut *own {
            match renameat2(AT_FDCWD, &**own, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE) {
                Err(Errno::ENOENT) => std::fs::rename(&*own, path)?,
                outcome => outcome?,
            }
            path.clone_into(own);
        }
        Ok(())
    }

    /// Has its place again where another one was [put there](Self::move_to) from `place`, and came to nothing. What
    /// else lies at `place` goes, unless its writer lives.
    pub fn take_back(&self, place: &Path) -> io::Result<()> {
        let Some(own) = self.path() else { return Ok(()) };
        if self.lies_at(place) {
            return std::fs::rename(place, own);
        }
        if place.exists() && is_left_behind(place)? {
            std::fs::remove_file(place)?;
        }
        Ok(())
    }

    fn lies_at(&self, path: &Path) -> bool {
        let ours = self.file.metadata().map(|it| (it.dev(), it.ino()));
        let there = std::fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        let Some(path) = self.path() else { return };
        // One that replaced it stays.
        if self.lies_at(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether nobody lives who writes to the file at `path`; so it is where there is none.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => Ok(!has_writer(&file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Whether the process lives that made this file.
pub fn has_writer(file: &File) -> bool {
    let Ok(file) = file.try_clone() else { return true };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

/// `bytes` of a file of another process, from `offset`. Read and not mapped: a file that is cut meanwhile is an error, and
/// no fault.
///
/// # Errors
/// `UnexpectedEof` where the file ends before.
pub fn read_at(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut read = vec![0; bytes];
    file.read_exact_at(&mut read, offset)?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Ordering, Tally};

    fn shared_file(path: &Path) -> io::Result<SharedFile> {
        SharedFile::create(path, 8192, 0o600, false)
    }

    #[test]
    fn who_reads_the_file_sees_what_was_stored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        let mut file = shared_file(&path).unwrap();
        let (first, _) = file.place::<[Tally; 3]>();
        let (second, values) = file.place::<[Tally; 3]>();
        assert_eq!((first, second), (0, ALIGN));
        let last = values.part(|values| &values[2]);
        drop(values);
        last.store(7, Ordering::Relaxed);
        let read = read_at(&File::open(&path).unwrap(), second as u64, 24).unwrap();
        assert_eq!(read[16..], 7u64.to_le_bytes());
        let past = read_at(&File::open(&path).unwrap(), 8192 - 8, 16).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        drop(file);
        assert!(!path.exists());
        last.store(8, Ordering::Relaxed);
    }

    #[test]
    fn a_file_is_its_writers_until_it_ends_and_is_replaced_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        let first = shared_file(&path).unwrap();
        assert!(has_writer(&File::open(&path).unwrap()));
        assert_eq!(shared_file(&path).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        let second = SharedFile::create(&path, 4096, 0o640, true).unwrap();
        drop(first);
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.len(), there.mode() & 0o777), (4096, 0o640), "the second's");
        drop(second);
        // Of somebody who was killed.
        std::fs::write(&path, "old").unwrap();
        assert!(!has_writer(&File::open(&path).unwrap()));
        drop(shared_file(&path).unwrap());
    }
}
