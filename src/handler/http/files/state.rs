//! What is known of a file, what its response says of it, and what a request makes of that.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::super::fields::Fields;
use super::{Request, Site};
use crate::proto::files::{
    ByteRanges, Coding, Condition, EntityTag, Selection, Validators, condition, if_range, select,
};
use crate::proto::http1::{Method, http_date};

/// A file as it was when it was opened.
#[derive(Debug, Clone, Copy)]
pub(in crate::handler::http) struct FileState {
    /// Bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: u64,
    pub tag: EntityTag,
    pub coding: Option<Coding>,
    pub media_type: &'static str,
}

/// What tells whether two looks have seen the same file, and the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Of the inode: it changes with renames and links, too.
    changed: (i64, i64),
}

impl Identity {
    pub fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl FileState {
    /// Of a file with this metadata.
    pub fn of(file: &Metadata, coding: Option<Coding>, media_type: &'static str) -> Self {
        let modified = u64::try_from(file.mtime()).unwrap_or(0);
        let modified_ns =
            modified.wrapping_mul(1_000_000_000).wrapping_add(file.mtime_nsec() as u64);
        let tag = EntityTag::of_file(file.ino(), file.len(), modified_ns);
        Self { size: file.len(), modified, tag, coding, media_type }
    }

    /// The fields that all responses about it have.
    pub(super) fn fields(&self, site: &Site) -> Fields {
        let mut fields = Fields::NONE;
        fields.push(b"ETag", self.tag.as_bytes());
        fields.push(b"Last-Modified", &http_date(self.modified));
        fields.push(b"Accept-Ranges", b"bytes");
        fields.push(b"X-Content-Type-Options", b"nosniff");
        if let Some(value) = &site.cache_control {
            fields.push(b"Cache-Control", value.as_bytes());
        }
        if site.precompressed {
            fields.push(b"Vary", b"Accept-Encoding");
        }
        if let Some(coding) = self.coding {
            fields.push(b"Content-Encoding", coding.name().as_bytes());
        }
        fields
    }
}

/// What a request is told of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it lies on the stack, for a call")]
pub(super) enum Told {
    Whole,
    Ranges(ByteRanges),
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Looks at what the request says of conditions and ranges. `now`: seconds since 1970.
pub(super) fn told(request: &Request<'_>, state: &FileState, now: u64) -> Told {
    let fields = request.headers();
    let current = Validators { tag: &state.tag, modified: state.modified };
    match condition(&fields, true, Some(current), now) {
        Condition::NotModified => return Told::NotModified,
        Condition::Failed => return Told::Failed,
        Condition::Met => {}
    }
    let range = request.header("range").filter(|_| request.method() == Method::Get);
    match range {
        Some(range) if if_range(&fields, current, now) => match select(range, state.size) {
            Selection::Whole => Told::Whole,
            Selection::Ranges(ranges) => Told::Ranges(ranges),
            Selection::Unsatisfiable => Told::Unsatisfiable,
        },
        _ => Told::Whole,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_of_a_far_future_has_a_state_like_any_other_g_18() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = File::create(directory.path().join("a")).unwrap();
        // Its nanoseconds since 1970 are just more than 64 bits hold. Not every file system has such a time.
        let seconds = u64::MAX / 1_000_000_000;
        let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 999_999_999);
        file.set_modified(time).unwrap();
        let state = FileState::of(&file.metadata().unwrap(), None, "text/plain");
        assert_eq!(state.modified, seconds);
    }
}
