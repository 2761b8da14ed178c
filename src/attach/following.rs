//! A port for as long as the program runs, whoever serves it: one instance, the one that takes over from it, and the
//! next that is started after one that has ended.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Attachment, Options, Queue, wait_for_any};
use crate::error::{Error, Result};

/// How long to wait before another try to attach.
const RETRY: Duration = Duration::from_millis(20);

/// A port that is attached to again wherever its dataplane goes.
///
/// When another instance takes over (`ringway run --takeover`), this attaches to that one before it accepts
/// anybody, and stays attached to the old one until it has ended: what was begun there ends there, and no request
/// is lost. When a dataplane ends without a successor, it attaches to the next that is started.
///
/// ```no_run
/// use ringway::attach::{Following, Options};
///
/// # fn main() -> ringway::error::Result<()> {
/// let mut port = Following::connect("/run/ringway/ringway/control.sock", "app", Options::default())?;
/// loop {
///     for queue in port.queues() {
///         while let Some(message) = queue.receive() {
///             if message.request().is_some() {
///                 queue.respond(&message, 200, "", b"hello\n");
///             }
///         }
///         queue.flush();
///     }
///     port.wait(None)?;
/// }
/// # }
/// ```
///
/// Connections of two dataplanes may have the same numbers. A program that keeps something of them, or answers
/// later, goes through [`attachments`](Self::attachments), whose numbers are never used again.
pub struct Following {
    socket: PathBuf,
    name: String,
    options: Options,
    /// In the order in which they began: all but the last are about to end.
    attached: Vec<Attachment>,
    /// The number of the last of them, which is never used again.
    number: u64,
    /// When to look next whether they are still there, and to try to attach.
    next_look: Instant,
    /// Why the last try was in vain.
    refusal: Option<Error>,
}

impl Following {
    /// Attaches to the port `name` of the dataplane whose control socket is at `socket`.
    ///
    /// # Errors
    /// As [`Attachment::connect`]. Once this has succeeded, a dataplane that is not there is waited for.
    pub fn connect(socket: impl AsRef<Path>, name: &str, options: Options) -> Result<Self> {
        let options = Options { follow: true, ..options };
        let socket = socket.as_ref().to_owned();
        let attached = vec![Attachment::connect(&socket, name, options)?];
        let (name, next_look) = (name.to_owned(), Instant::now());
        Ok(Self { socket, name, options, attached, number: 0, next_look, refusal: None })
    }

    /// The queues of all dataplanes that it is attached to.
    pub fn queues(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.attached.iter_mut().flat_map(|port| port.queues.iter_mut())
    }

    /// What it is attached to, each with its number: 0 for the first, and one more for each that follows. All but
    /// the last are about to end; there is none while no dataplane runs.
    pub fn attachments(&mut self) -> impl Iterator<Item = (u64, &mut Attachment)> {
        self.attached.iter_mut().map(|port| (port.number, port))
    }

    /// Why the last try to attach was in vain; `None` while it is attached to whoever serves.
    pub fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Waits until a queue has something, or `timeout` is over, or there is news of a dataplane; attaches meanwhile
    /// where it has to.
    ///
    /// # Errors
    /// None so far: a dataplane that is gone is waited for.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let now = Instant::now();
            let news = now >= self.next_look && self.look(now);
            let left = until.map(|until| until.saturating_duration_since(now));
            if news || left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            let nap = self.is_wanted().then_some(RETRY);
            let most = [left, nap].into_iter().flatten().min();
            if self.attached.is_empty() {
                thread::sleep(most.unwrap_or(RETRY));
            } else {
                wait_for_any(&mut self.attached, most);
            }
            if self.attached.iter().any(Attachment::has_input) {
                return Ok(());
            }
            // It may have been news of a dataplane that ended the wait.
            self.next_look = now;
        }
    }

    /// Whether nobody is attached to whoever serves now.
    fn is_wanted(&self) -> bool {
        self.attached.iter().all(Attachment::has_moved)
    }

    /// Drops what has ended, and attaches where that is wanted; whether something came or went.
    fn look(&mut self, now: Instant) -> bool {
        self.next_look = now + RETRY;
        let before = self.attached.len();
        self.attached.retain(Attachment::is_alive);
        let mut news = self.attached.len() < before;
        if self.is_wanted() {
            match Attachment::connect(&self.socket, &self.name, self.options) {
                Ok(mut port) => {
                    self.number += 1;
                    port.number = self.number;
                    self.attached.push(port);
                    self.refusal = None;
                    news = true;
                }
                Err(error) => self.refuse(error),
            }
        }
        news
    }

    /// Says each reason once.
    fn refuse(&mut self, error: Error) {
        if self.refusal.as_ref() != Some(&error) {
            tracing::debug!("{error}");
        }
        self.refusal = Some(error);
    }
}
