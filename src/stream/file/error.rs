//! Why a file was not transferred.

use std::fmt;
use std::io;

use crate::stream::Error;

/// Why a file was not transferred. What has come of it stays, and the same transfer goes on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// The stream or the channel failed.
    Stream(Error),
    /// Something with files at this end.
    Local {
        /// What could not be done.
        what: String,
        /// Why.
        why: String,
        /// Whether the disk is full.
        is_full: bool,
    },
    /// Another transfer writes the same file.
    Taken,
    /// A name that no file may have.
    Name(String),
    /// What came is not what the sender said it would be. It was thrown away.
    Checksum,
    /// The peer says that it cannot.
    Peer(String),
    /// The peer says what makes no sense here.
    Protocol,
    /// Nothing has moved for too long.
    Silent,
}

impl FileError {
    pub(super) fn local(what: &str, why: io::Error) -> Self {
        let is_full =
            matches!(why.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self::Local { what: what.to_owned(), why: why.to_string(), is_full }
    }

    /// The same as the peer is told: no paths of this machine.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Local { is_full: true, .. } => "its disk is full".to_owned(),
            Self::Local { what, why, .. } => format!("it cannot {what}: {why}"),
            Self::Taken => "somebody else is writing the file".to_owned(),
            Self::Name(why) => format!("it does not take the name: {why}"),
            Self::Checksum => "what came has another checksum than was said".to_owned(),
            Self::Protocol => "it did not understand".to_owned(),
            Self::Stream(_) | Self::Peer(_) | Self::Silent => "it has given up".to_owned(),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot transfer the file: ")?;
        match self {
            Self::Stream(error) => write!(f, "{error}"),
            Self::Local { what, why, is_full: true } => {
                write!(f, "cannot {what}: {why}; free some space, and give the same command again")
            }
            Self::Local { what, why, .. } => {
                write!(f, "cannot {what}: {why}; see to its path and its permissions")
            }
            Self::Taken => f.write_str(
                "another transfer is writing it; give the same command again when that has ended",
            ),
            Self::Name(why) => write!(
                f,
                "its name is refused: {why}; use a relative path below the directory, without `..`"
            ),
            Self::Checksum => f.write_str(
                "what came has another checksum than was said; see whether the file changes, and \
                 give the same command again",
            ),
            Self::Peer(text) => write!(
                f,
                "the peer says that {}; mend it there, and give the same command again",
                text.escape_debug()
            ),
            Self::Protocol => f.write_str(
                "the peer says what makes no sense; see whether there is one that keeps files, such as \
                 `ringway stream recv --dir DIR`, of the same version",
            ),
            Self::Silent => f.write_str(
                "nothing has moved for too long; give the same command again, it goes on from there",
            ),
        }
    }
}

impl std::error::Error for FileError {}

impl From<Error> for FileError {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_is_said_to_the_peer_and_here_with_what_helps() {
        for number in [libc::ENOSPC, libc::EDQUOT] {
            let full = FileError::local("write the file", io::Error::from_raw_os_error(number));
            assert_eq!(full.told(), "its disk is full");
            assert!(full.to_string().contains("free some space"), "{full}");
        }
        let other = FileError::local("write the file", io::ErrorKind::PermissionDenied.into());
        assert!(other.told().contains("permission denied"), "{}", other.told());
    }
}
