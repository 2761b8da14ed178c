//! Files with secrets in them, which nobody but their owner may read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Permissions that such a file must not have.
const OTHERS: u32 = 0o077;

/// Appends the text of a secret of at most `bytes_max` bytes to `text`, which has room for it, so that no copy
/// is left behind. `what` says what it is, and `made` how it is made.
///
/// # Errors
/// When there is no such file, others may read it, it is longer, or no text.
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
    let got = file.take(bytes_max as u64).read_to_string(text).map_err(failed)?;
    if got == bytes_max {
        return Err(Error::new(what(), format!("it has {bytes_max} bytes or more"), made));
    }
    Ok(())
}
