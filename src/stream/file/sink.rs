//! The end that gets a file.

use std::time::{Duration, Instant};

use super::message::{Description, Message};
use super::part::Part;
use super::sender::receive;
use super::{FileError, OnProgress, Progress, REPEAT, TIMEOUT};
use crate::limits::STREAM_FILE_DATAGRAM_WINDOW_BYTES;
use crate::stream::Channel;

/// Bytes after which the sender is told: some times in its smallest window.
const ACK_BYTES: u64 = STREAM_FILE_DATAGRAM_WINDOW_BYTES / 8;

/// How long to stay for a sender that has not heard that all is there.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One transfer, from the receiver's side.
pub(super) struct Sink<'a> {
    channel: &'a Channel,
    part: Part,
    begun: u64,
    told: u64,
    moved_at: Instant,
}

impl<'a> Sink<'a> {
    pub(super) fn new(channel: &'a Channel, part: Part) -> Self {
        let begun = part.written();
        Self { channel, part, begun, told: begun, moved_at: Instant::now() }
    }

    pub(super) fn written(&self) -> u64 {
        self.part.written()
    }

    /// Writes what comes until it is all there. `ask`: what is said again where nothing comes.
    pub(super) fn run(
        &mut self,
        on_progress: OnProgress<'_>,
        ask: Option<&dyn Fn(u64) -> Vec<u8>>,
    ) -> Result<Progress, FileError> {
        let outcome = self.take_all(on_progress, ask);
        match &outcome {
            Ok(_) => {
                self.channel.send(Message::Done.encode())?;
            }
            Err(FileError::Peer(_) | FileError::Stream(_)) => {}
            Err(error) => {
                let fail = Message::Fail { text: &error.told() }.encode();
                let _ = self.channel.send_timeout(fail, REPEAT);
            }
        }
        outcome
    }

    fn take_all(
        &mut self,
        on_progress: OnProgress<'_>,
        ask: Option<&dyn Fn(u64) -> Vec<u8>>,
    ) -> Result<Progress, FileError> {
        on_progress(self.progress());
        while !self.part.is_whole() {
            match receive(self.channel, REPEAT)? {
                Some(bytes) => self.take(&bytes, on_progress)?,
                None if self.moved_at.elapsed() > TIMEOUT => return Err(FileError::Silent),
                None => {
                    let written = self.part.written();
                    let again = ask.map(|ask| ask(written));
                    // A sender that waits for room goes on by itself.
                    let again = again.unwrap_or_else(|| Message::Ack { offset: written }.encode());
                    let _ = self.channel.try_send(again);
                }
            }
        }
        self.part.finish()?;
        Ok(self.progress())
    }

    fn take(&mut self, bytes: &[u8], on_progress: OnProgress<'_>) -> Result<(), FileError> {
        match Message::decode(bytes)? {
            Message::Chunk { offset, bytes } if offset == self.part.written() => {
                self.part.append(bytes)?;
                self.moved_at = Instant::now();
                let written = self.part.written();
                if written - self.told >= ACK_BYTES {
                    self.told = written;
                    self.channel.send(Message::Ack { offset: written }.encode())?;
                    on_progress(self.progress());
                }
            }
            // Something before it is lost, or it has been here.
            Message::Chunk { .. } => {}
            Message::Put { description, .. } if description == *self.part.description() => {
                let offset = self.part.written();
                self.channel.send(Message::Ready { offset }.encode())?;
            }
            Message::Have { description } if description == *self.part.description() => {}
            // The file has changed since it was asked for.
            Message::Have { .. } | Message::Put { .. } => return Err(FileError::Checksum),
            Message::Fail { text } => return Err(FileError::Peer(text.to_owned())),
            _ => return Err(FileError::Protocol),
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let size = self.part.description().size;
        Progress { resumed: self.begun, done: self.part.written(), size }
    }

    /// Says that all is there to a sender that has not heard it, until it closes.
    pub(super) fn stay(&self) {
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            match receive(self.channel, REPEAT) {
                Ok(Some(_)) => {
                    let _ = self.channel.try_send(Message::Done.encode());
                }
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }
}

/// What the peer says of a file that was asked for, if it does in time.
pub(super) fn await_have(
    channel: &Channel,
    deadline: Instant,
) -> Result<Option<Description>, FileError> {
    let asked = Instant::now();
    loop {
        match receive(channel, REPEAT)? {
            Some(bytes) => match Message::decode(&bytes)? {
                Message::Have { description } => return Ok(Some(description)),
                // An answer to a question that was asked twice.
                Message::Chunk { .. } => {}
                Message::Fail { text } => return Err(FileError::Peer(text.to_owned())),
                _ => return Err(FileError::Protocol),
            },
            None if Instant::now() > deadline => return Err(FileError::Silent),
            // It may look through a large file.
            None if asked.elapsed() > 8 * REPEAT => return Ok(None),
            None => {}
        }
    }
}
