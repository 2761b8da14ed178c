//! A directory whose files are opened by paths of others: the kernel itself sees to it that none leads out, by `..`,
//! by a symbolic link or by a rename meanwhile (openat2(2), `RESOLVE_BENEATH`). What was opened is what is looked at.

use std::fs::{File, Metadata};
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::uio::preadv;

use super::directory::Directory;
use crate::error::{Error, Result};

/// Times that a path is looked up while others rename what is on it (EAGAIN of openat2(2)).
const TRIES_MAX: u32 = 16;

/// An open directory, and what is below it.
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// Opens the directory at `path`, wherever that leads.
    ///
    /// # Errors
    /// When there is none, it may not be read, or the kernel or a filter of system calls lacks openat2.
    pub fn open(path: &Path) -> Result<Self> {
        let what = || format!("serve the files below {}", path.display());
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|why| {
            Error::new(what(), why, "make the directory, and let this user read and enter it")
        })?;
        let root = Self(root);
        root.look_up(".", OFlag::O_DIRECTORY | OFlag::O_RDONLY).map_err(|why| {
            Error::new(what(), format!("openat2: {why}"), "allow openat2 in the seccomp profile")
        })?;
        Ok(root)
    }

    /// Opens the file or directory at `path` below it to be read; empty for the directory itself. What is neither, such as
    /// a pipe, a device or a socket, is refused, and nobody waits for it.
    pub fn read(&self, path: &str) -> io::Result<(File, Metadata)> {
        // Without O_NONBLOCK a pipe would wait for its other end.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(self.look_up(path, flags)?);
        let metadata = file.metadata()?;
        match metadata.is_file() || metadata.is_dir() {
            true => Ok((file, metadata)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens the directory at `path` below it, to make files in.
    pub fn directory(&self, path: &str) -> io::Result<Directory> {
        Ok(Directory::from(self.look_up(path, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?))
    }

    fn look_up(&self, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let path = if path.is_empty() { "." } else { path };
        for _ in 1..TRIES_MAX {
            match openat2(&self.0, path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
        Ok(openat2(&self.0, path, how)?)
    }
}

/// Reads from `at` on into `rooms`, one behind the other, and returns how many bytes that were; none at the end
/// (preadv(2)).
pub fn read_vectored_at(file: &File, rooms: &mut [IoSliceMut<'_>], at: u64) -> io::Result<usize> {
    let at = i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        match preadv(file, rooms, at) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;

    /// `root/` with a file in it, and a secret beside it.
    fn place() -> (TempDir, Beneath) {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), "text").unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let beneath = Beneath::open(&root).unwrap();
        (outside, beneath)
    }

    fn text(beneath: &Beneath, path: &str) -> io::Result<String> {
        let mut text = String::new();
        beneath.read(path)?.0.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn files_and_directories_below_are_opened() {
        let (_outside, beneath) = place();
        assert_eq!(text(&beneath, "a/file").unwrap(), "text");
        assert!(beneath.read("").unwrap().1.is_dir() && beneath.read("a/b").unwrap().1.is_dir());
        assert_eq!(beneath.read("a/none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(beneath.read("a/file/").unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(beneath.directory("a/b").is_ok() && beneath.directory("a/file").is_err());
    }

    #[test]
    fn no_path_and_no_link_leads_out_g_18() {
        let (outside, beneath) = place();
        let root = outside.path().join("root");
        symlink("../secret", root.join("up")).unwrap();
        symlink("../..", root.join("a/upper")).unwrap();
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for path in [
            "../secret",
            "a/../../secret",
            "/etc/passwd",
            "up",
            "a/upper/secret",
            "absolute",
            "magic/etc/passwd",
            "loop",
            "a\0b",
        ] {
            assert!(beneath.read(path).is_err(), "{path}");
            assert!(beneath.directory(path).is_err(), "{path}");
        }
        symlink("a/file", root.join("inside")).unwrap();
        assert_eq!(
            text(&beneath, "inside").unwrap(),
            "text",
            "a link that stays inside is followed"
        );
    }

    #[test]
    fn what_is_no_file_is_refused_and_nobody_waits_for_it() {
        let (outside, beneath) = place();
        let root = outside.path().join("root");
        nix::unistd::mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        assert!(beneath.read("pipe").is_err() && beneath.read("socket").is_err());
    }

    #[test]
    fn rooms_are_filled_one_behind_the_other_up_to_the_end() {
        let (outside, beneath) = place();
        fs::write(outside.path().join("root/ten"), "0123456789").unwrap();
        let (file, _) = beneath.read("ten").unwrap();
        let (mut a, mut b) = ([0; 3], [0; 20]);
        let mut read = |at| {
            let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
            read_vectored_at(&file, &mut rooms, at).unwrap()
        };
        assert_eq!((read(10), read(u64::from(u32::MAX)), read(2)), (0, 0, 8));
        assert_eq!((&a, &b[..5]), (b"234", &b"56789"[..]));
    }

    #[test]
    fn where_there_is_no_directory_that_and_what_to_do_is_said() {
        let (outside, _beneath) = place();
        let refused = Beneath::open(&outside.path().join("none")).unwrap_err().to_string();
        assert!(refused.contains("none") && refused.contains("make the directory"), "{refused}");
        assert!(Beneath::open(&outside.path().join("secret")).is_err());
    }
}
