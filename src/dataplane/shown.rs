//! What the admin listener shows of a running dataplane: its statistics, and of lcores that they have ended.

use std::sync::Arc;

use super::Dataplane;
use crate::admin::Source;
use crate::counters::snapshot::State;
use crate::error::Result;

impl Dataplane {
    /// Tells what it counts, for as long as anybody asks.
    pub(super) fn to_watch(&self) -> Result<Source> {
        let observer = self.observer()?;
        let lives: Vec<_> = self.workers.iter().map(|worker| worker.life.clone()).collect();
        Ok(Arc::new(move || {
            let mut snapshot = observer.snapshot()?;
            if snapshot.state == State::Running {
                for (lcore, life) in snapshot.lcores.iter_mut().zip(&lives) {
                    if life.strong_count() == 0 {
                        lcore.silent_ns = u64::MAX;
                    }
                }
            }
            Ok(snapshot)
        }))
    }
}
