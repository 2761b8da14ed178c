//! A directory that paths of others are looked up in without ever leaving it: each step is taken from the
//! one before it, and no symbolic link is followed (openat(2)).

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat, renameat2};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// Permissions of directories that are made, and of files, before the process's mask.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o777);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);

/// An open directory.
#[derive(Debug)]
pub struct Directory(OwnedFd);

/// What a directory has under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl From<OwnedFd> for Directory {
    /// `directory` is an open directory.
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl Directory {
    /// Opens the directory at `path`, wherever that leads.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Opens the directory `name` in it, which is one name and no path; makes it where that is wanted.
    pub fn enter(&self, name: &str, make: bool) -> io::Result<Self> {
        check(name)?;
        if make {
            match mkdirat(&self.0, name, DIRECTORY_MODE) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(why) => return Err(why.into()),
            }
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens the file `name` in it to be read. What is no file, such as a pipe, is refused.
    pub fn read(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDONLY)
    }

    /// Opens the file `name` in it to be read and written, or makes it.
    pub fn write(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDWR | OFlag::O_CREAT)
    }

    /// Makes the file `name`, to be read and written. There is none of that name yet, not even a link.
    pub fn create(&self, name: &str) -> io::Result<File> {
        self.file(name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL)
    }

    /// The state of what has the name `name`, which is not followed if it is a link.
    pub fn metadata(&self, name: &str) -> io::Result<Metadata> {
        check(name)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        File::from(openat(&self.0, name, flags, Mode::empty())?).metadata()
    }

    fn file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        check(name)?;
        // Without O_NONBLOCK a pipe would wait for its other end.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&self.0, name, flags, FILE_MODE)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no ordinary file")),
        }
    }

    /// Whether `name` is anything in it, a link that leads nowhere too.
    pub fn has(&self, name: &str) -> bool {
        check(name).is_ok() && fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Gives the file `from` the name `to`, in place of what has that.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check(from)?;
        check(to)?;
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// The same where nothing has that name; `AlreadyExists` if something does.
    pub fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        check(from)?;
        check(to)?;
        match renameat2(&self.0, from, &self.0, to, RenameFlags::RENAME_NOREPLACE) {
            // Some file systems know no flags. A second name cannot replace one either.
            Err(Errno::EINVAL) => {
                linkat(&self.0, from, &self.0, to, AtFlags::empty())?;
                self.remove(from)
            }
            result => Ok(result?),
        }
    }

    /// Its first entries, at most `most`, in the order of the file system; `.`, `..` and names that are no UTF-8 are left
    /// out.
    pub fn entries(&self, most: usize) -> io::Result<Vec<Entry>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(&self.0, ".", flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == most {
                break;
            }
            let is_directory = match entry.file_type() {
                Some(kind) => kind == Type::Directory,
                None => self.metadata(name).is_ok_and(|metadata| metadata.is_dir()),
            };
            entries.push(Entry { name: name.to_owned(), is_directory });
        }
        Ok(entries)
    }

    /// Removes the file `name`; there being none is no failure.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        check(name)?;
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    /// Has its entries outlast a loss of power (fsync(2)).
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(self.0.as_fd())?)
    }
}

/// Refuses what is more, or something else, than the name of an entry.
fn check(name: &str) -> io::Result<()> {
    let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if is_name { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_made_renamed_and_removed_below_it() {
        let outside = tempfile::tempdir().unwrap();
        let directory = Directory::open(outside.path()).unwrap();
        let below = directory.enter("a", true).unwrap().enter("b", true).unwrap();
        below.write("new").unwrap().write_all(b"text").unwrap();
        below.rename("new", "old").unwrap();
        assert!(below.has("old") && !below.has("new"));
        let mut text = String::new();
        below.read("old").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(outside.path().join("a/b/old").exists());
        below.sync().unwrap();
        below.remove("old").unwrap();
        below.remove("old").unwrap();
        assert!(!below.has("old"));
    }

    #[test]
    fn a_file_is_made_and_named_where_there_is_none() {
        let outside = tempfile::tempdir().unwrap();
        let directory = Directory::open(outside.path()).unwrap();
        directory.create("a").unwrap().write_all(b"text").unwrap();
        assert_eq!(directory.create("a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        symlink("nowhere", outside.path().join("link")).unwrap();
        assert!(directory.create("link").is_err());
        assert!(directory.metadata("link").unwrap().is_symlink());
        directory.create("b").unwrap();
        let refused = directory.rename_new("a", "b").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        directory.rename_new("a", "c").unwrap();
        assert_eq!(directory.metadata("c").unwrap().len(), 4);
        assert!(!directory.has("a"));
    }

    #[test]
    fn entries_are_told_with_what_they_are_as_many_as_are_wanted() {
        let outside = tempfile::tempdir().unwrap();
        let directory = Directory::open(outside.path()).unwrap();
        directory.create("file").unwrap();
        directory.enter("sub", true).unwrap();
        let mut entries = directory.entries(10).unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let entry = |name: &str, is_directory| Entry { name: name.to_owned(), is_directory };
        assert_eq!(entries, [entry("file", false), entry("sub", true)]);
        assert_eq!(directory.entries(2).unwrap().len(), 2);
        assert_eq!(directory.entries(1).unwrap().len(), 1);
    }

    #[test]
    fn no_name_and_no_link_leads_out_of_it() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::create_dir(outside.path().join("in")).unwrap();
        symlink("../secret", outside.path().join("in/file")).unwrap();
        symlink("..", outside.path().join("in/up")).unwrap();
        let directory = Directory::open(&outside.path().join("in")).unwrap();
        for name in ["..", ".", "", "../secret", "up/secret", "a\0b", "/etc/passwd"] {
            assert!(directory.read(name).is_err(), "{name:?}");
            assert!(directory.write(name).is_err(), "{name:?}");
            assert!(directory.enter(name, true).is_err(), "{name:?}");
        }
        assert!(directory.read("file").is_err() && directory.write("file").is_err());
        assert!(directory.enter("up", true).is_err());
        assert!(directory.has("file"));
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let outside = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&outside.path().join("pipe"), FILE_MODE).unwrap();
        let directory = Directory::open(outside.path()).unwrap();
        assert!(directory.read("pipe").is_err());
    }
}
