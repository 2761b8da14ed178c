//! Listening Unix-domain sockets: their files made, replaced and removed without stealing one from a
//! server that lives. What arrives on them is `transport`'s.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use crate::error::{Error, Result};
use crate::limits::{
    LISTEN_BACKLOG, UNIX_LOCK_RETRY_NS, UNIX_LOCK_TRIES_MAX, UNIX_PATH_BYTES_MAX,
    UNIX_UNLINK_TRIES_MAX,
};
use crate::sync::{AtomicBool, Ordering};

#[cfg(test)]
mod tests;

/// What is added to the name of a file that is to replace another, until it does. There is one at a
/// time: whoever makes it holds the lock.
const NEW: &str = ".new";

/// The same where that takes long, and nobody holds the lock: the one whose place it is to take sees to it that
/// there is one at a time.
const NEXT: &str = ".next";

/// A bound, listening Unix stream socket and its file, which it removes when it is dropped.
///
/// Shared by reference count where several threads accept from it: unlike TCP sockets those of this
/// family cannot share an address.
#[derive(Debug)]
pub struct UnixListener {
    socket: StdListener,
    path: PathBuf,
    /// `None` for an abstract name.
    file: Option<FileId>,
    /// The file is to be removed with it: no other process has the socket as well, and listens on.
    ours: AtomicBool,
}

/// What tells a socket's file from one that somebody else put in its place. The kernel keeps the inode for
/// as long as the socket is open, so no other file gets its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The number of the file system.
    pub device: u64,
    /// That of the file in it.
    pub inode: u64,
}

/// A listening socket whose file has another name than its own so far, so that nobody finds it.
#[derive(Debug)]
pub struct Staged {
    listener: UnixListener,
    new: NewFile,
}

/// A file that is to be in its place; it goes unless it is.
#[derive(Debug)]
struct NewFile(Option<PathBuf>);

impl UnixListener {
    /// Listens on the file `path` with the permissions `mode`, which it has before anybody can
    /// connect.
    ///
    /// The socket of a server that is gone is replaced, and at no moment is there no file. A path
    /// that somebody listens on is refused, and so is one that is no socket. Of two that start at
    /// the same time one gets a lock (flock(2)) on the directory first, and the other finds it
    /// listening. One that takes no lock can lose its path in the moment between its bind(2) and its
    /// listen(2) alone, since until then nothing tells its file from one whose server is gone.
    ///
    /// A path that begins with `@` is an abstract name (unix(7)): it has no file, and `mode` says
    /// nothing.
    pub fn bind(path: &Path, mode: u32) -> Result<Self> {
        let fail = |why: io::Error| bind_error(path, &why);
        let name = path.as_os_str().as_bytes().strip_prefix(b"@");
        let path = match name {
            Some(_) => path.to_owned(),
            None => std::path::absolute(path).map_err(fail)?,
        };
        if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
            return Err(too_long(&path));
        }
        if let Some(name) = name {
            let socket = listen_abstract(name).map_err(fail)?;
            return Ok(Self::new(socket, path, None, true));
        }
        let directory = lock_directory(&path, UNIX_LOCK_TRIES_MAX)?;
        let stale = look_for_stale(&path)?;
        let made = if stale { replace(&directory, &path, mode) } else { make(&path, &path, mode) };
        let (socket, file) = made.map_err(fail)?;
        Ok(Self::new(socket, path, Some(file), true))
    }

    fn new(socket: StdListener, path: PathBuf, file: Option<FileId>, ours: bool) -> Self {
        Self { socket, path, file, ours: AtomicBool::new(ours) }
    }

    /// A socket that another process made and has as well: it listens at `path`, in `file`. The file stays when
    /// it is dropped, unless it is [kept](Self::keep_file) before.
    pub fn of_fd(fd: OwnedFd, path: PathBuf, file: Option<FileId>) -> Self {
        Self::new(fd.into(), path, file, false)
    }

    /// Listens where a server lives whose place it is to take, which it does later
    /// ([`Staged::take_place`]): until then peers that connect to `path` reach that one.
    ///
    /// # Errors
    /// When the file cannot be made, or `path` is an abstract name, which nobody can take from another.
    pub fn stage(path: &Path, mode: u32) -> Result<Staged> {
        let fail = |why: io::Error| bind_error(path, &why);
        if path.as_os_str().as_bytes().starts_with(b"@") {
            let why = "an abstract name cannot be taken from the server that has it";
            return Err(bind_error(path, &io::Error::other(why)));
        }
        let path = std::path::absolute(path).map_err(fail)?;
        if path.as_os_str().len() > UNIX_PATH_BYTES_MAX {
            return Err(too_long(&path));
        }
        let directory = lock_directory(&path, UNIX_LOCK_TRIES_MAX)?;
        let (socket, file, new) = make_beside(&directory, &path, NEXT, mode).map_err(fail)?;
        let listener = Self::new(socket, path, Some(file), false);
        Ok(Staged { listener, new: NewFile(Some(new)) })
    }

    /// What tells its file from another; `None` for an abstract name.
    pub fn file_id(&self) -> Option<FileId> {
        self.file
    }

    /// The file is removed with the socket from here on.
    pub fn keep_file(&self) {
        self.ours.store(true, Ordering::Relaxed);
    }

    /// The file stays when the socket is dropped: another process has the socket as well, and listens on.
    pub fn leave_file(&self) {
        self.ours.store(false, Ordering::Relaxed);
    }

    /// Gives its file these permissions; nothing where the file is gone or another one lies there.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let _lock = lock_directory(&self.path, UNIX_LOCK_TRIES_MAX)?;
        if self.is_still_there() {
            let set = fs::set_permissions(&self.path, Permissions::from_mode(mode));
            set.map_err(|why| bind_error(&self.path, &why))?;
        }
        Ok(())
    }

    /// Removes what was [staged](Self::stage) for `path` by a process that is gone.
    pub fn clear_staged(path: &Path) -> Result<()> {
        let fail = |why: io::Error| bind_error(path, &why);
        let path = std::path::absolute(path).map_err(fail)?;
        let directory = lock_directory(&path, UNIX_LOCK_TRIES_MAX)?;
        let (_, new) = beside(&path, NEXT);
        let by_short_name = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        let name = new.file_name().map_or_else(|| new.clone(), |name| by_short_name.join(name));
        if look_for_stale(&name)? {
            fs::remove_file(&new).map_err(fail)?;
        }
        Ok(())
    }

    /// The path that it listens on, absolute; an abstract name with its `@`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether peers that connect to the path still reach this socket. Where its file was deleted or
    /// replaced they do not; dropping it and binding anew mends that, unless somebody else listens
    /// there now. One system call.
    pub fn is_still_there(&self) -> bool {
        self.file.is_none_or(|file| file_id(&self.path).is_ok_and(|there| there == file))
    }

    /// The next connection, whose reads and writes block. `WouldBlock` when none waits: the listening
    /// socket does not block, so wait with poll(2).
    pub fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.socket.accept()?.0)
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Under the lock nobody puts a file there between the look and the removal. One that stays is
        // stale from here on.
        if self.file.is_some()
            && self.ours.load(Ordering::Relaxed)
            && let Ok(_lock) = lock_directory(&self.path, UNIX_UNLINK_TRIES_MAX)
            && self.is_still_there()
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Staged {
    /// Where it will listen, absolute.
    pub fn path(&self) -> &Path {
        &self.listener.path
    }

    /// Puts the file in its place, over that of the server that has it: peers that connect from here on reach this
    /// socket. Those that connected before are that server's.
    pub fn take_place(self) -> Result<UnixListener> {
        let Self { listener, mut new } = self;
        let _lock = lock_directory(&listener.path, UNIX_LOCK_TRIES_MAX)?;
        if let Some(file) = &new.0 {
            fs::rename(file, &listener.path).map_err(|why| bind_error(&listener.path, &why))?;
        }
        new.0 = None;
        listener.keep_file();
        Ok(listener)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

/// The directory of `path`, locked until it is dropped.
fn lock_directory(path: &Path, tries: u32) -> Result<File> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let fail = |why: &dyn std::fmt::Display, remedy: &str| {
        let why = format!("its directory {}: {why}", directory.display());
        Error::new(format!("listen on {}", path.display()), why, remedy)
    };
    let file = File::open(directory)
        .map_err(|e| fail(&e, "make the directory, readable and writable by this user"))?;
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_nanos(UNIX_LOCK_RETRY_NS));
            }
            Err(TryLockError::Error(e)) => {
                return Err(fail(&e, "use a directory on a local file system"));
            }
        }
    }
    Err(fail(&"somebody holds a lock on it", "see who with `lslocks`, or use another directory"))
}

/// Whether there is the socket of a server that is gone; refuses anything else that is there.
fn look_for_stale(path: &Path) -> Result<bool> {
    let what = || format!("listen on {}", path.display());
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(bind_error(path, &e)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(Error::new(
                what(),
                "a file lies there that is no socket",
                "move it away, or change the listener's address",
            ));
        }
        Ok(_) => {}
    }
    let knock = || connect(open()?.as_raw_fd(), &UnixAddr::new(path)?);
    match knock() {
        Err(Errno::ECONNREFUSED) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        // One that is full, or takes something other than streams, lives as well.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => {
            Err(bind_error(path, &Errno::EADDRINUSE.into()))
        }
        Err(why) => Err(Error::new(
            what(),
            format!("whether its server lives cannot be told: {}", why.desc()),
            "remove the file if nobody listens there, or change the listener's address",
        )),
    }
}

/// Makes the socket under another name, and puts it in the place of the one at `path` when it is ready
/// to be connected to.
fn replace(directory: &File, path: &Path, mode: u32) -> io::Result<(StdListener, FileId)> {
    let (socket, file, new) = make_beside(directory, path, NEW, mode)?;
    fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))?;
    Ok((socket, file))
}

/// Makes the socket under another name, which ends like this, and returns that too.
fn make_beside(
    directory: &File,
    path: &Path,
    ending: &str,
    mode: u32,
) -> io::Result<(StdListener, FileId, PathBuf)> {
    let (fits, new) = beside(path, ending);
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(ending);
    // Of one that was stopped here.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let (socket, file) = make(if fits { &new } else { &short }, &new, mode)?;
    Ok((socket, file, new))
}

/// The file beside `path` whose name ends like this, and whether its path is short enough for a socket's.
fn beside(path: &Path, ending: &str) -> (bool, PathBuf) {
    let mut longer = path.as_os_str().to_owned();
    longer.push(ending);
    // A long path has no room for more; then the file has a short name, and its directory another.
    let fits = longer.len() <= UNIX_PATH_BYTES_MAX;
    (fits, if fits { PathBuf::from(longer) } else { path.with_file_name(ending) })
}

/// Listens on the file `path`, which is bound by `name`. Before it listens nobody can connect.
fn make(name: &Path, path: &Path, mode: u32) -> io::Result<(StdListener, FileId)> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &UnixAddr::new(name)?)?;
    let ready = || {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        listen(&socket, backlog())?;
        file_id(path)
    };
    let file = ready().inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok((socket.into(), file))
}

fn listen_abstract(name: &[u8]) -> io::Result<StdListener> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    listen(&socket, backlog())?;
    Ok(socket.into())
}

fn open() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn backlog() -> Backlog {
    Backlog::new(LISTEN_BACKLOG).unwrap_or(Backlog::MAXCONN)
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let file = fs::symlink_metadata(path)?;
    Ok(FileId { device: file.dev(), inode: file.ino() })
}

fn too_long(path: &Path) -> Error {
    Error::new(
        format!("listen on {}", path.display()),
        format!(
            "the path has {} bytes, and a Unix socket's has at most {UNIX_PATH_BYTES_MAX}",
            path.as_os_str().len()
        ),
        "use a shorter path, such as one below /run",
    )
}

fn bind_error(path: &Path, why: &io::Error) -> Error {
    let what = format!("listen on {}", path.display());
    match why.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => Error::new(
            what,
            "a server listens there already",
            format!(
                "see which with `ss -xlp | grep '{}'`, or change the listener's address",
                path.display()
            ),
        ),
        Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Error::new(
            what,
            why.to_string(),
            "let this user write to the directory, or use another one",
        ),
        Some(Errno::EMFILE | Errno::ENFILE) => {
            Error::new(what, "the limit on open files is reached", "raise it with `ulimit -n`")
        }
        _ => Error::new(what, why.to_string(), "change the listener's address"),
    }
}
