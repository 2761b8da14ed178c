//! Lcores that do not come round: that is noticed and said, with what they do and, where asked, with their backtraces.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::config::StatsConfig;
use crate::control::{Answer, Commands};
use crate::counters::{Doing, LcoreBlock, Segment};
use crate::ipc::Error;
use crate::sync::{Ordering, Tally};
use crate::sys::backtrace;
use crate::time::Instant;

/// How long an lcore may take to say where it is. One that runs needs microseconds, and a core.
const PATIENCE: Duration = Duration::from_secs(1);

const USAGE: &str = "backtrace LCORE";

const HELP: &str = "where an lcore is, though it does not come round; it is interrupted for that";

/// What is known of one lcore.
#[derive(Default)]
pub(super) struct Watched {
    /// It was said that it hangs.
    hangs: bool,
}

impl Watched {
    /// Looks whether it has come round for as long as it may take, and says so where that changes.
    pub fn look(&mut self, lcore: &LcoreBlock, now: Instant, stats: &StatsConfig) {
        let alive = word(&lcore.alive_ns);
        // One that has not begun, or sleeps in the kernel, or has ended.
        let is_quiet = alive == 0 || word(&lcore.rests) == 1;
        let silent = if is_quiet { 0 } else { now.ns_since(Instant::from_ns(alive)) };
        let hangs = u128::from(silent) >= stats.watchdog.as_nanos();
        lcore.silent_ns.store(if hangs { silent } else { 0 }, Ordering::Relaxed);
        let id = word(&lcore.lcore_id);
        if hangs && !self.hangs {
            lcore.stalls.store(word(&lcore.stalls) + 1, Ordering::Relaxed);
            let (ms, doing) = (silent / 1_000_000, doing(lcore));
            tracing::warn!("lcore {id} has not come round for {ms} ms: {doing}");
            if stats.backtrace {
                match backtrace::of_thread(word(&lcore.thread_id) as u32, PATIENCE) {
                    Ok(frames) => tracing::warn!("lcore {id} is at\n    {}", frames.join("\n    ")),
                    Err(why) => tracing::warn!("there is no backtrace of lcore {id}: {why}"),
                }
            }
        } else if self.hangs && !hangs {
            tracing::warn!("lcore {id} comes round again");
        }
        self.hangs = hangs;
    }
}

fn word(cell: &Tally) -> u64 {
    cell.load(Ordering::Relaxed)
}

fn doing(lcore: &LcoreBlock) -> Doing {
    Doing::from_words(word(&lcore.doing), word(&lcore.doing_listener), word(&lcore.doing_conn))
}

/// `backtrace`.
pub(super) fn add_commands(segment: Arc<Segment>, commands: &mut Commands) {
    commands.add(USAGE, HELP, move |command, reply| {
        answer(&segment, command.arguments.trim())?.write(command.json, reply)
    });
}

fn answer(segment: &Segment, name: &str) -> Result<Answer, Error> {
    let id: u64 = name.parse().map_err(|_| Error::handler(400, format!("it is `{USAGE}`")))?;
    let lcore = segment.lcores().find(|lcore| word(&lcore.lcore_id) == id);
    let lcore = lcore.ok_or_else(|| {
        Error::handler(404, format!("there is no lcore {id}: `ringway ctl lcores` lists them"))
    })?;
    let frames = backtrace::of_thread(word(&lcore.thread_id) as u32, PATIENCE);
    let frames = frames.map_err(|why| Error::handler(503, format!("lcore {id}: {why}")))?;
    let text = format!("{}\n    {}", doing(lcore), frames.join("\n    "));
    let frames = Value::Array(frames.into_iter().map(Value::String).collect());
    Ok(Answer::Note(frames, text))
}
