//! Names that a peer may give to files: relative, below a directory, and nothing else.

use super::FileError;
use super::part::{PART, SUM};
use crate::limits::STREAM_FILE_NAME_BYTES_MAX;
use crate::sys::directory::Directory;

/// Refuses a name that could mean anything but a file below a directory.
pub(super) fn check(name: &str) -> Result<(), FileError> {
    let refuse = |why: &str| Err(FileError::Name(why.to_owned()));
    if name.is_empty() || name.len() > STREAM_FILE_NAME_BYTES_MAX {
        return refuse("it is empty or too long");
    }
    if name.starts_with('/') {
        return refuse("it is absolute");
    }
    if name.chars().any(char::is_control) {
        return refuse("it has a control character");
    }
    if name.split('/').any(|part| part == "..") {
        return refuse("it has `..` in it");
    }
    if name.split('/').any(|part| part.is_empty() || part == ".") {
        return refuse("a part of it is empty");
    }
    if name.ends_with(PART) || name.ends_with(SUM) {
        return refuse("it ends like those of parts");
    }
    Ok(())
}

/// The directory that a name leads to below `root`, and the last part of it. No link is followed.
pub(super) fn resolve(
    root: Directory,
    name: &str,
    make: bool,
) -> Result<(Directory, &str), FileError> {
    check(name)?;
    let (path, file) = name.rsplit_once('/').unwrap_or(("", name));
    let mut directory = root;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        directory = directory
            .enter(part, make)
            .map_err(|why| FileError::local(&format!("open the directory {part}"), why))?;
    }
    Ok((directory, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_directory_are_taken() {
        for name in ["a", "a/b.txt", ".hidden", "..a", "a..", "ö/ü ß", "a/b/c/d"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_lead_out_or_nowhere_are_refused() {
        let long = "a/".repeat(600);
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            "a.part",
            "a.part.sum",
            &long,
        ] {
            assert!(matches!(check(name), Err(FileError::Name(_))), "{name:?}");
        }
    }
}
