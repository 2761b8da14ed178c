//! Where the control socket of an instance lies: in a directory that is this user's alone, and that
//! both the instance and who wants to talk to it find by the instance's name.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::config::FilePrefix;
use crate::error::{Error, Result};
use crate::sys::unix_stream;

const SOCKET: &str = "control.sock";

/// Permissions that others have.
const OTHERS: u32 = 0o077;

/// Permissions of others to change what is in a directory.
const OTHERS_WRITE: u32 = 0o022;

/// The control socket of the instance `prefix` of this user:
/// `/run/ringway/PREFIX/control.sock` as root, else `$XDG_RUNTIME_DIR/ringway/PREFIX/control.sock`,
/// or where there is no such directory of this user `/tmp/ringway-UID/PREFIX/control.sock`.
pub fn socket_path(prefix: &FilePrefix) -> PathBuf {
    base().join(prefix.as_str()).join(SOCKET)
}

/// The names of running instances of this user that have a control socket in its usual place, in
/// order.
pub fn instances() -> Vec<String> {
    let entries = fs::read_dir(base()).into_iter().flatten().flatten();
    let answers = |socket: &Path| unix_stream::connect(socket, Duration::from_millis(100)).is_ok();
    let alive = entries.filter(|entry| answers(&entry.path().join(SOCKET)));
    let mut names: Vec<_> =
        alive.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// A control socket's place; its directory goes with it where it is the usual one.
pub(super) struct Place {
    pub path: PathBuf,
    own: Option<PathBuf>,
}

impl Place {
    /// At this path, whose directory is somebody else's business.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), own: None }
    }

    /// The usual one, with its directories made.
    pub fn make(prefix: &FilePrefix) -> Result<Self> {
        let base = base();
        make_directory(&base, OTHERS_WRITE)?;
        let own = base.join(prefix.as_str());
        make_directory(&own, OTHERS)?;
        Ok(Self { path: own.join(SOCKET), own: Some(own) })
    }

    /// Whether an instance of the same name that ended just now took the directory with it.
    pub fn is_gone(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.exists())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // It stays where another instance of that name has its socket in it.
            let _ = fs::remove_dir(own);
        }
    }
}

fn base() -> PathBuf {
    base_of(geteuid().as_raw(), std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))
}

/// Of this user and his runtime directory. One that is another user's (su keeps the variable) is
/// passed over.
fn base_of(uid: u32, runtime: Option<PathBuf>) -> PathBuf {
    if uid == 0 {
        return PathBuf::from("/run/ringway");
    }
    let own = |path: &PathBuf| {
        path.is_absolute() && fs::metadata(path).is_ok_and(|it| it.is_dir() && it.uid() == uid)
    };
    match runtime.filter(own) {
        Some(path) => path.join("ringway"),
        None => PathBuf::from(format!("/tmp/ringway-{uid}")),
    }
}

/// Makes a directory, or takes one that is there: this user's, no link, and without these
/// permissions of others. What lies in it is then nobody else's.
fn make_directory(path: &Path, forbidden: u32) -> Result<()> {
    let refuse = |why: String, remedy: &str| {
        Err(Error::new(format!("keep the control socket in {}", path.display()), why, remedy))
    };
    let elsewhere = "give [control] a `socket` elsewhere, or `enabled = false`";
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            return refuse(e.to_string(), elsewhere);
        }
        _ => {}
    }
    match fs::symlink_metadata(path) {
        Err(e) => refuse(e.to_string(), elsewhere),
        Ok(found) if !found.is_dir() => {
            refuse("it is no directory".to_owned(), "remove what lies there")
        }
        Ok(found) if found.uid() != geteuid().as_raw() => {
            refuse(format!("it belongs to user {}", found.uid()), elsewhere)
        }
        Ok(found) if found.mode() & forbidden != 0 => {
            let mode = found.mode() & 0o777;
            refuse(format!("others have rights to it (mode {mode:04o})"), "chmod it to 0700")
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_place_is_runs_for_root_and_the_users_own_for_others() {
        let own = tempfile::tempdir().unwrap();
        let runtime = || Some(own.path().to_owned());
        let uid = fs::metadata(own.path()).unwrap().uid();
        assert_eq!(base_of(0, runtime()), Path::new("/run/ringway"));
        let other = uid + 77;
        let shared = PathBuf::from(format!("/tmp/ringway-{other}"));
        assert_eq!(base_of(other, runtime()), shared, "a directory of somebody else");
        assert_eq!(base_of(other, None), shared);
        assert_eq!(base_of(other, Some("relative".into())), shared);
        if uid != 0 {
            assert_eq!(base_of(uid, runtime()), own.path().join("ringway"));
        }
    }

    #[test]
    fn a_directory_is_made_for_this_user_alone_and_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ringway");
        for _ in 0..2 {
            make_directory(&path, OTHERS).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_link_a_file_and_a_directory_that_others_may_use_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (real, path) = (directory.path().join("real"), directory.path().join("path"));
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o700)).unwrap();
        symlink(&real, &path).unwrap();
        let why = |path: &Path, forbidden| make_directory(path, forbidden).unwrap_err().to_string();
        assert!(why(&path, OTHERS).contains("no directory"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(why(&path, OTHERS).contains("no directory"));
        fs::set_permissions(&real, Permissions::from_mode(0o755)).unwrap();
        assert!(why(&real, OTHERS).contains("mode 0755"));
        make_directory(&real, OTHERS_WRITE).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o775)).unwrap();
        assert!(why(&real, OTHERS_WRITE).contains("mode 0775"));
        let missing = directory.path().join("no/such");
        assert!(why(&missing, OTHERS).contains("enabled = false"));
    }
}
