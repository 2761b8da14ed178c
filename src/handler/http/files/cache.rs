//! Small files that are asked for again and again: each in one slot that all responses share.

use std::collections::HashMap;
use std::sync::Arc;

use super::look::PREFERENCES_MAX;
use super::state::Identity;
use super::{FileState, Site};
use crate::limits::{FILES_CACHED_MAX, FILES_FRESH_NS};
use crate::mem::{Buf, ConnId};
use crate::pipeline::Cx;
use crate::time::Instant;

/// A file in memory.
pub(super) struct Kept {
    pub site: Arc<Site>,
    pub state: FileState,
    pub identity: Identity,
    pub body: Buf,
    /// The fields that responses about it have.
    pub lines: Vec<u8>,
    /// The same in a slot, if one was free.
    pub shared_lines: Option<Buf>,
}

impl Kept {
    pub fn new(
        cx: &Cx,
        site: &Arc<Site>,
        state: &FileState,
        identity: Identity,
        body: &Buf,
    ) -> Self {
        let lines = state.fields(site).lines().to_vec();
        let slot = cx.alloc(lines.len(), ConnId::NONE);
        let shared_lines = slot.and_then(|mut slot| slot.append(&lines).then_some(slot));
        let body = body.slice(0, body.len());
        Self { site: Arc::clone(site), state: *state, identity, body, lines, shared_lines }
    }
}

/// The files that an lcore keeps, by what was asked for.
pub(super) struct Cache {
    /// By the forms of a file that the peer takes, and by the path as it came.
    files: [HashMap<Box<[u8]>, Entry>; PREFERENCES_MAX],
}

struct Entry {
    kept: Arc<Kept>,
    /// When it was last looked at.
    looked: Instant,
    /// Until then somebody is taken to be looking.
    looking: Instant,
    used: Instant,
}

impl Cache {
    pub fn new() -> Self {
        Self { files: Default::default() }
    }

    /// The file that is kept, and whether it may be sent as it is. Where it has not been looked at for a second, that is for
    /// whoever asks to do; those who ask meanwhile get it as it is, for a second more.
    #[inline]
    pub fn get(
        &mut self,
        preference: usize,
        path: &[u8],
        now: Instant,
    ) -> Option<(&Arc<Kept>, bool)> {
        let entry = self.files[preference].get_mut(path)?;
        entry.used = now;
        let fresh = now < entry.looked.after_ns(FILES_FRESH_NS) || now < entry.looking;
        if !fresh {
            entry.looking = now.after_ns(FILES_FRESH_NS);
        }
        Some((&entry.kept, fresh))
    }

    /// It was looked at and has not changed.
    pub fn confirm(&mut self, preference: usize, path: &[u8], now: Instant) {
        if let Some(entry) = self.files[preference].get_mut(path) {
            (entry.looked, entry.looking) = (now, now);
        }
    }

    /// It is not there any more, or is not to be kept.
    pub fn forget(&mut self, preference: usize, path: &[u8]) {
        self.files[preference].remove(path);
    }

    /// Keeps a file, in place of the one that was not asked for the longest; not while the pool is short of such slots.
    pub fn put(&mut self, cx: &Cx, preference: usize, path: &[u8], kept: Arc<Kept>) {
        if kept.body.size_class().is_some_and(|class| cx.pool.is_short(class)) {
            return self.forget(preference, path);
        }
        let known = self.files[preference].contains_key(path);
        if !known && self.files.iter().map(HashMap::len).sum::<usize>() >= FILES_CACHED_MAX {
            self.forget_oldest();
        }
        let entry = Entry { kept, looked: cx.now, looking: cx.now, used: cx.now };
        self.files[preference].insert(path.into(), entry);
    }

    fn forget_oldest(&mut self) {
        let all = self.files.iter().enumerate();
        let all = all.flat_map(|(at, files)| files.iter().map(move |(path, e)| (e.used, at, path)));
        let oldest = all.min_by_key(|(used, ..)| *used).map(|(_, at, path)| (at, path.clone()));
        if let Some((preference, path)) = oldest {
            self.forget(preference, &path);
        }
    }
}
