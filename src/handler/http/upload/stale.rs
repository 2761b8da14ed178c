//! What uploads have left that broke off: those of a process that died, and those of this one.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::part::{FLEETING, STAYING, TEMPORARY};
use crate::limits::{UPLOAD_PART_KEPT_SECONDS, UPLOAD_SEARCH_DEPTH_MAX};
use crate::sys::beneath::Beneath;
use crate::sys::directory::Directory;

/// The parts that are kept for a sequel, each with the directory that it is in. There are no more than files on the disk.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<HashSet<Leftover>>);

/// The path of a directory below the root, and a name in it.
type Leftover = (String, String);

impl Leftovers {
    /// Removes temporary files below `root` that nobody has locked: those of broken connections after a day, the others
    /// at once. What cannot be read or removed stays.
    pub fn find(root: &Beneath) -> Self {
        let mut found = HashSet::new();
        if let Ok(directory) = root.directory("") {
            search(&directory, "", 0, &mut found);
        }
        Self(Mutex::new(found))
    }

    /// One more stays, in the directory of the file at `target`.
    pub fn add(&self, target: &str, name: &str) {
        let directory = target.rsplit_once('/').map_or("", |(directory, _)| directory);
        self.with(|all| all.insert((directory.to_owned(), name.to_owned())));
    }

    /// Removes those that were kept for a day, and forgets them and those that have gone otherwise.
    pub fn remove_old(&self, root: &Beneath) {
        // Who adds one meanwhile does not wait for the disk.
        let mut all = self.with(std::mem::take);
        all.retain(|(path, name)| match root.directory(path) {
            Ok(directory) => !is_over(&directory, name),
            Err(why) => why.kind() != ErrorKind::NotFound,
        });
        self.with(|added| added.extend(all));
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashSet<Leftover>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn search(directory: &Directory, path: &str, depth: u32, found: &mut HashSet<Leftover>) {
    for entry in directory.entries(usize::MAX).unwrap_or_default() {
        if entry.is_directory {
            if depth < UPLOAD_SEARCH_DEPTH_MAX
                && let Ok(below) = directory.enter(&entry.name, false)
            {
                let slash = if path.is_empty() { "" } else { "/" };
                search(&below, &format!("{path}{slash}{}", entry.name), depth + 1, found);
            }
        } else if entry.name.starts_with(TEMPORARY)
            && !is_over(directory, &entry.name)
            && entry.name.ends_with(STAYING)
        {
            found.insert((path.to_owned(), entry.name));
        }
    }
}

/// Whether the file is gone, since nobody writes to it, or will.
fn is_over(directory: &Directory, name: &str) -> bool {
    let Ok(file) = directory.read(name) else { return !directory.has(name) };
    let kept = Duration::from_secs(UPLOAD_PART_KEPT_SECONDS);
    let is_old = || {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age > kept)
    };
    let is_stale = name.ends_with(FLEETING) || name.ends_with(STAYING) && is_old();
    // It stays locked until it is removed: who has opened it and locks it then sees that it is gone.
    is_stale && file.try_lock().is_ok() && directory.remove(name).is_ok()
}
