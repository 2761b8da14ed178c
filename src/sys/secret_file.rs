//! Files with secrets in them, which nobody but their owner may read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// Permissions that such a file must not have.
const OTHERS: u32 = 0o077;

/// Appends the text of a secret of at most `bytes_max` bytes to `text`, which has room for it, so that no copy
/// is left behind. `what` says what it is, and `made` how it is made.
///
/// # Errors
/// When there is no such file, others may read it, it belongs to a user that is neither us nor root, it is longer, or
/// no text.
pub fn read(
    path: &Path,
    what: &str,
    made: &str,
    bytes_max: usize,
    text: &mut String,
) -> Result<()> {
    let what = || format!("read {what} {}", path.display());
    let failed = |e: std::io::Error| Error::new(what(), e, made);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(Error::new(what(), "it is no file", made));
    }
    if mode & OTHERS != 0 {
        let why =
            format!("its permissions are {mode:04o}, and others than its owner may have read it");
        let mend = format!("chmod 600 {0}, or make a new one", path.display());
        return Err(Error::new(what(), why, mend));
    }
    let (owner, us) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if !is_trusted(owner, us) {
        let why = format!("it belongs to user {owner}, who may have read or made it");
        let mend = format!(
            "chown {us} {0}, if you know where it comes from, or make a new one",
            path.display()
        );
        return Err(Error::new(what(), why, mend));
    }
    let got = file.take(bytes_max as u64).read_to_string(text).map_err(failed)?;
    if got == bytes_max {
        return Err(Error::new(what(), format!("it has {bytes_max} bytes or more"), made));
    }
    Ok(())
}

/// Whether a secret of `owner` is one: root reads all files anyway.
const fn is_trusted(owner: u32, us: u32) -> bool {
    owner == us || owner == 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A user that this process is not.
    const OTHER: u32 = 65_534;

    #[test]
    fn a_secret_is_ours_or_root_s() {
        assert!(is_trusted(1000, 1000) && is_trusted(0, 1000) && is_trusted(0, 0));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
    }

    #[test]
    fn a_file_of_another_user_is_refused_and_what_to_do_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "a secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let read = || {
            let mut text = String::with_capacity(64);
            read(&path, "the secret", "make one", 64, &mut text).map(|()| text)
        };
        assert_eq!(read().unwrap(), "a secret");
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(OTHER), None).is_ok() {
            let refused = read().unwrap_err().to_string();
            assert!(refused.contains("user 65534") && refused.contains("chown 0 "), "{refused}");
        }
    }
}
