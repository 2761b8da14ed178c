//! What uploads of a process that died have left.

use std::time::{Duration, SystemTime};

use super::part::{FLEETING, STAYING, TEMPORARY};
use crate::limits::{UPLOAD_PART_KEPT_SECONDS, UPLOAD_SEARCH_DEPTH_MAX};
use crate::sys::beneath::Beneath;
use crate::sys::directory::Directory;

/// Removes temporary files below `root` that nobody has locked: those of broken connections after a day, the others
/// at once. What cannot be read or removed stays.
pub(super) fn remove(root: &Beneath) {
    if let Ok(directory) = root.directory("") {
        search(&directory, 0);
    }
}

fn search(directory: &Directory, depth: u32) {
    for entry in directory.entries(usize::MAX).unwrap_or_default() {
        if entry.is_directory {
            if depth < UPLOAD_SEARCH_DEPTH_MAX
                && let Ok(below) = directory.enter(&entry.name, false)
            {
                search(&below, depth + 1);
            }
        } else if entry.name.starts_with(TEMPORARY) && is_stale(directory, &entry.name) {
            let _ = directory.remove(&entry.name);
        }
    }
}

/// Whether nobody writes to it, or will. Who is about to lock it sees afterwards that it is gone.
fn is_stale(directory: &Directory, name: &str) -> bool {
    let Ok(file) = directory.read(name) else { return false };
    let kept = Duration::from_secs(UPLOAD_PART_KEPT_SECONDS);
    let is_old = || {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age > kept)
    };
    let is_over = name.ends_with(FLEETING) || name.ends_with(STAYING) && is_old();
    is_over && file.try_lock().is_ok()
}
