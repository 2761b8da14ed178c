//! The part of a file that has come: kept beside its place until all of it has.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use super::FileError;
use super::message::Description;
use crate::sys::directory::Directory;

/// What is added to the name of a file of which not all has come.
pub(super) const PART: &str = ".part";

/// What is added to it for the file that says what it is a part of.
pub(super) const SUM: &str = ".part.sum";

/// Permissions that a peer may give: none that make a program another user's.
const MODE: u32 = 0o777;

/// A file that is being written.
pub(super) struct Part {
    directory: Directory,
    name: String,
    file: File,
    description: Description,
    written: u64,
    hash: Sha256,
}

impl Part {
    /// Opens the part of a file that is there, or begins a new one; [`FileError::Taken`] while another transfer
    /// writes it.
    pub(super) fn open(
        directory: Directory,
        name: &str,
        description: Description,
    ) -> Result<Self, FileError> {
        let what = "write the file";
        let fail = |why| FileError::local(what, why);
        let (part, sum) = (format!("{name}{PART}"), format!("{name}{SUM}"));
        let file = directory.write(&part).map_err(fail)?;
        file.try_lock().map_err(|why| match why {
            TryLockError::WouldBlock => FileError::Taken,
            TryLockError::Error(why) => fail(why),
        })?;
        let record = record(&description);
        let mut this = Self {
            directory,
            name: name.to_owned(),
            file,
            description,
            written: 0,
            hash: Sha256::new(),
        };
        if this.reads(&sum).is_some_and(|before| before == record) {
            this.resume().map_err(fail)?;
        } else {
            this.file.set_len(0).map_err(fail)?;
            let mut file = this.directory.write(&sum).map_err(fail)?;
            file.set_len(0).and_then(|()| file.write_all(record.as_bytes())).map_err(fail)?;
        }
        Ok(this)
    }

    fn reads(&self, sum: &str) -> Option<String> {
        let mut text = String::new();
        self.directory.read(sum).ok()?.take(1024).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Takes what is there for what has come: its checksum is part of that of all.
    fn resume(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut room = vec![0; 64 * 1024];
        loop {
            let count = self.file.read(&mut room)?;
            if count == 0 {
                break;
            }
            self.hash.update(&room[..count]);
            self.written += count as u64;
        }
        if self.written > self.description.size {
            (self.written, self.hash) = (0, Sha256::new());
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
        }
        Ok(())
    }

    /// Bytes that are there.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    pub(super) fn is_whole(&self) -> bool {
        self.written == self.description.size
    }

    /// Adds the next bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.written + bytes.len() as u64 > self.description.size {
            return Err(FileError::Protocol);
        }
        if let Err(why) = self.file.write_all(bytes) {
            // Some of it may be there; the length says how much is known to be.
            let _ = self.file.set_len(self.written);
            return Err(FileError::local("write the file", why));
        }
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its name, if it is what it was said to be; else throws it away.
    pub(super) fn finish(&mut self) -> Result<(), FileError> {
        let (part, sum) = (format!("{}{PART}", self.name), format!("{}{SUM}", self.name));
        if self.hash.clone().finalize().0 != self.description.sha256 {
            // A part that is wrong would never become right.
            let _ = self.directory.remove(&part).and_then(|()| self.directory.remove(&sum));
            return Err(FileError::Checksum);
        }
        let mode = Permissions::from_mode(self.description.mode & MODE);
        let done = self.file.set_permissions(mode).and_then(|()| self.file.sync_all());
        done.and_then(|()| self.directory.rename(&part, &self.name))
            .and_then(|()| self.directory.remove(&sum))
            .and_then(|()| self.directory.sync())
            .map_err(|why| FileError::local("put the file in its place", why))
    }
}

/// What the file beside a part says.
fn record(description: &Description) -> String {
    let hex: String = description.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {hex}\n", description.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(bytes: &[u8]) -> Description {
        let size = bytes.len() as u64;
        Description { size, mode: 0o7640, sha256: Sha256::digest(bytes).0 }
    }

    #[test]
    fn a_part_goes_on_where_it_was_and_becomes_the_file_when_its_checksum_is_right() {
        let place = tempfile::tempdir().unwrap();
        let open = || {
            let directory = Directory::open(place.path()).unwrap();
            Part::open(directory, "f", described(b"0123456789"))
        };
        let mut part = open().unwrap();
        part.append(b"0123").unwrap();
        assert!(matches!(open(), Err(FileError::Taken)), "it is being written");
        drop(part);
        let mut part = open().unwrap();
        assert_eq!((part.written(), part.is_whole()), (4, false));
        part.append(b"456789").unwrap();
        assert_eq!(part.append(b"x"), Err(FileError::Protocol));
        part.finish().unwrap();
        let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        let path = place.path().join("f");
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_part_of_another_file_is_begun_anew_and_a_wrong_one_thrown_away() {
        let place = tempfile::tempdir().unwrap();
        let open = |bytes: &[u8]| {
            let directory = Directory::open(place.path()).unwrap();
            Part::open(directory, "f", described(bytes)).unwrap()
        };
        open(b"one").append(b"on").unwrap();
        let mut part = open(b"two");
        assert_eq!(part.written(), 0);
        part.append(b"twx").unwrap();
        assert_eq!(part.finish(), Err(FileError::Checksum));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
