//! What an instance logs: lines that a thread of their own writes, so that nobody waits for who reads them; levels
//! that change while it runs; and no more than some lines a second of the same kind.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ringway::error::{Error, Result};
use ringway::sync::{AtomicU64, Ordering};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Lines that wait to be written; further ones are lost, and counted.
const LINES_MAX: usize = 1024;

/// Lines of one kind in a second; of `debug` and `trace` any number.
const SAME_LINES_MAX: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// An object each.
    Json,
}

/// The log of this process.
#[derive(Clone)]
pub struct Logs {
    levels: reload::Handle<Targets, Registry>,
    told: Arc<Mutex<String>>,
    queue: Queue,
}

impl Logs {
    /// Logs to standard error from here on, what `levels` says: see [`set`](Self::set).
    ///
    /// # Errors
    /// When `levels` says nothing, or no thread can be had.
    pub fn start(levels: &str, format: Format) -> Result<Self> {
        let (filter, handle) = reload::Layer::new(parse(levels)?);
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        let queue = Queue { sender, lost: Arc::default() };
        let limit = Limit::default();
        let kinds = limit.kinds.clone();
        let lost = queue.lost.clone();
        let lines_thread = thread::Builder::new().name("log".to_owned());
        let started = lines_thread.spawn(move || write_lines(&lines, &lost, &kinds, io::stderr()));
        started
            .map_err(|e| Error::new("start the log's thread", e, "raise the limit `ulimit -u`"))?;
        let line = fmt::layer().with_writer(queue.clone());
        let line = match format {
            Format::Json => line.json().flatten_event(true).boxed(),
            Format::Text => line.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        };
        tracing_subscriber::registry().with(filter).with(limit).with(line).init();
        Ok(Self { levels: handle, told: Arc::new(Mutex::new(levels.to_owned())), queue })
    }

    /// What is logged.
    pub fn get(&self) -> String {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has this be logged from here on: a level, or levels of modules, as `info,ringway::dataplane=debug`.
    pub fn set(&self, levels: &str) -> Result<()> {
        self.prepare(levels)?();
        Ok(())
    }

    /// What has it be logged.
    pub fn prepare(&self, levels: &str) -> Result<impl FnOnce() + Send + use<>> {
        let (filter, levels, logs) = (parse(levels)?, levels.to_owned(), self.clone());
        Ok(move || {
            let mut told = logs.told.lock().unwrap_or_else(PoisonError::into_inner);
            match logs.levels.reload(filter) {
                Ok(()) => *told = levels,
                Err(error) => warn!("cannot change what is logged: {error}"),
            }
        })
    }

    /// Waits until what was logged is written, if somebody takes it.
    pub fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.queue.sender.try_send(Word::Flush(done)).is_ok() {
            let _ = written.recv_timeout(SECOND);
        }
    }
}

/// What is to be logged, from text.
///
/// # Errors
/// When it is no level and no list of modules with levels.
pub fn parse(levels: &str) -> Result<Targets> {
    let refuse = |why: String| {
        let remedy = "say error, warn, info, debug, trace or off, for all or for modules: \
                      `info,ringway::dataplane=debug`";
        Error::new(format!("log `{levels}`"), why, remedy)
    };
    if levels.trim().is_empty() {
        return Err(refuse("it is empty".to_owned()));
    }
    // A word that is no level would be taken for a module of which all is logged.
    for part in levels.split(',') {
        let is_level = part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        if !is_level && !part.contains('=') {
            return Err(refuse(format!("`{part}` is no level")));
        }
    }
    levels.parse().map_err(|e: tracing_subscriber::filter::ParseError| refuse(e.to_string()))
}

/// What goes to the thread.
enum Word {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The way there.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Word>,
    lost: Arc<Lost>,
}

#[derive(Default)]
struct Lost(AtomicU64);

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Queue {
    /// Takes a whole line, or loses it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Word::Line(line.to_vec())).is_err() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes, and once a second says what did not.
fn write_lines(words: &Receiver<Word>, lost: &Lost, kinds: &Kinds, mut to: impl Write) {
    let mut looked = Instant::now();
    loop {
        match words.recv_timeout(SECOND) {
            // Nobody reading it is no reason to stop.
            Ok(Word::Line(line)) => drop(to.write_all(&line)),
            Ok(Word::Flush(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= SECOND {
            looked = Instant::now();
            let lost = lost.0.swap(0, Ordering::Relaxed);
            if lost > 0 {
                warn!("{lost} lines of the log are lost: they came faster than they were read");
            }
            for (left_out, place) in kinds.left_out() {
                warn!("{left_out} more lines like those of {place} were left out");
            }
        }
    }
}

/// Leaves out what is said too often.
#[derive(Default)]
struct Limit {
    kinds: Arc<Kinds>,
}

/// How often each kind of line was said.
#[derive(Default)]
struct Kinds(Mutex<HashMap<Identifier, Kind>>);

struct Kind {
    since: Instant,
    count: u32,
    left_out: u64,
    place: String,
}

impl Kinds {
    /// Whether one more may be said.
    fn may(&self, event: &Event<'_>, now: Instant) -> bool {
        let meta = event.metadata();
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(meta.callsite()).or_insert_with(|| {
            let line = meta.line().unwrap_or_default();
            let place = format!("{}, line {line}", meta.target());
            Kind { since: now, count: 0, left_out: 0, place }
        });
        if now.duration_since(kind.since) >= SECOND {
            (kind.since, kind.count) = (now, 0);
        }
        kind.count = kind.count.saturating_add(1);
        let may = kind.count <= SAME_LINES_MAX;
        kind.left_out += u64::from(!may);
        may
    }

    /// What was left out since this was last asked, and of where.
    fn left_out(&self) -> Vec<(u64, String)> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = kinds.values_mut().filter(|kind| kind.left_out > 0);
        left_out.map(|kind| (std::mem::take(&mut kind.left_out), kind.place.clone())).collect()
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        *event.metadata().level() > Level::INFO || self.kinds.may(event, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say_often(lines: u32) {
        for line in 0..lines {
            warn!("line {line}");
        }
    }

    #[test]
    fn lines_of_one_kind_are_left_out_past_ten_a_second_and_counted() {
        let limit = Limit::default();
        let kinds = limit.kinds.clone();
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        let queue = Queue { sender, lost: Arc::default() };
        let line = fmt::layer().with_writer(queue.clone());
        let subscriber = tracing_subscriber::registry().with(limit).with(line);
        tracing::subscriber::with_default(subscriber, || {
            let began = Instant::now();
            say_often(SAME_LINES_MAX + 5);
            // On a machine that is very slow a second window may have begun.
            if began.elapsed() < SECOND {
                assert_eq!(lines.try_iter().count(), SAME_LINES_MAX as usize);
                let left_out = kinds.left_out();
                assert_eq!((left_out.len(), left_out[0].0), (1, 5), "{left_out:?}");
            }
            assert!(kinds.left_out().is_empty());
            (0..100).for_each(|line| tracing::debug!("line {line}"));
            warn!("of another kind");
        });
        assert!(lines.try_iter().count() >= 101);
    }

    #[test]
    fn who_does_not_read_holds_nobody_up_and_what_is_lost_is_counted() {
        let (sender, lines) = mpsc::sync_channel(2);
        let queue = Queue { sender, lost: Arc::default() };
        for _ in 0..5 {
            (&queue).write_all(b"line\n").unwrap();
        }
        assert_eq!(queue.lost.0.load(Ordering::Relaxed), 3);
        assert_eq!(lines.try_iter().count(), 2);
    }

    #[test]
    fn what_is_to_be_logged_is_a_level_or_a_list_of_modules() {
        for good in ["info", "off", "warn,ringway::dataplane=debug", "ringway=trace"] {
            parse(good).unwrap();
        }
        for bad in ["", "loud", "info,loud", "ringway=loud", "info debug"] {
            let why = parse(bad).err().unwrap_or_else(|| panic!("{bad}")).to_string();
            assert!(why.contains("error, warn, info, debug, trace"), "{why}");
        }
    }
}
