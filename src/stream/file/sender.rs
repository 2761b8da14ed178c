//! The end that has a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::message::{CHUNK_HEAD_BYTES, Description, Message};
use super::{FileError, OnProgress, Progress, REPEAT, TIMEOUT};
use crate::limits::{
    STREAM_FILE_CHUNK_BYTES, STREAM_FILE_DATAGRAM_BYTES, STREAM_FILE_DATAGRAM_WINDOW_BYTES,
    STREAM_FILE_WINDOW_BYTES,
};
use crate::stream::{Channel, Error};

/// A file that is to be sent.
pub(super) struct Source {
    file: File,
    pub(super) description: Description,
}

/// One transfer, from the sender's side.
pub(super) struct Sender<'a> {
    channel: &'a Channel,
    source: Source,
    room: Vec<u8>,
    window: u64,
    is_datagram: bool,
    /// Where the receiver began, what it has written, and what goes next.
    begun: u64,
    acked: u64,
    next: u64,
    moved_at: Instant,
    gone_back_at: Instant,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let what = format!("read {}", path.display());
        let file = File::open(path).map_err(|why| FileError::local(&what, why))?;
        Self::of(file).map_err(|why| FileError::local(&what, why))
    }

    /// Looks through a file for its checksum.
    pub(super) fn of(mut file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no ordinary file"));
        }
        let (mut hash, mut room, mut size) = (Sha256::new(), vec![0; 64 * 1024], 0);
        loop {
            let count = file.read(&mut room)?;
            if count == 0 {
                break;
            }
            hash.update(&room[..count]);
            size += count as u64;
        }
        let mode = metadata.permissions().mode() & 0o777;
        let description = Description { size, mode, sha256: hash.finalize().0 };
        Ok(Self { file, description })
    }

    fn read_at(&mut self, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(offset))?;
        let most =
            room.len().min((self.description.size - offset).try_into().unwrap_or(usize::MAX));
        self.file.read_exact(&mut room[..most])?;
        Ok(most)
    }
}

impl<'a> Sender<'a> {
    pub(super) fn new(channel: &'a Channel, is_datagram: bool, source: Source) -> Self {
        let (chunk, window) = match is_datagram {
            true => (STREAM_FILE_DATAGRAM_BYTES, STREAM_FILE_DATAGRAM_WINDOW_BYTES),
            false => (STREAM_FILE_CHUNK_BYTES, STREAM_FILE_WINDOW_BYTES),
        };
        let chunk = chunk.min(channel.message_bytes_max().saturating_sub(CHUNK_HEAD_BYTES)).max(1);
        let now = Instant::now();
        Self {
            channel,
            source,
            room: vec![0; chunk],
            window,
            is_datagram,
            begun: 0,
            acked: 0,
            next: 0,
            moved_at: now,
            gone_back_at: now,
        }
    }

    /// Offers the file until the receiver says where to begin.
    pub(super) fn offer(&mut self, name: &str) -> Result<(), FileError> {
        let put = Message::Put { description: self.source.description, name }.encode();
        let mut began = Instant::now();
        let deadline = began + TIMEOUT;
        self.channel.send(&*put)?;
        loop {
            match receive(self.channel, REPEAT)? {
                Some(bytes) => match Message::decode(&bytes)? {
                    Message::Ready { offset } => return self.begin(offset),
                    Message::Fail { text } => return Err(FileError::Peer(text.to_owned())),
                    _ => return Err(FileError::Protocol),
                },
                None if Instant::now() > deadline => return Err(FileError::Silent),
                // The receiver looks through what it has; over datagrams the offer may be lost.
                None if self.is_datagram && began.elapsed() > REPEAT => {
                    began = Instant::now();
                    self.channel.send(&*put)?;
                }
                None => {}
            }
        }
    }

    /// Begins where the receiver wants it.
    pub(super) fn begin(&mut self, offset: u64) -> Result<(), FileError> {
        if offset > self.source.description.size {
            return Err(FileError::Protocol);
        }
        (self.begun, self.acked, self.next) = (offset, offset, offset);
        self.moved_at = Instant::now();
        Ok(())
    }

    /// Waits until the receiver, which was told what there is, says where to begin.
    pub(super) fn await_get(&mut self, have: &[u8]) -> Result<(), FileError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match receive(self.channel, REPEAT)? {
                Some(bytes) => match Message::decode(&bytes)? {
                    Message::Get { offset, .. } => return self.begin(offset),
                    Message::Fail { text } => return Err(FileError::Peer(text.to_owned())),
                    _ => return Err(FileError::Protocol),
                },
                None if Instant::now() > deadline => return Err(FileError::Silent),
                None if self.is_datagram => self.channel.send(have)?,
                None => {}
            }
        }
    }

    /// Sends the file until the receiver says that it has all of it.
    pub(super) fn run(&mut self, on_progress: OnProgress<'_>) -> Result<Progress, FileError> {
        on_progress(self.progress());
        loop {
            let size = self.source.description.size;
            let may_send = self.next < size && self.next - self.acked < self.window;
            if may_send {
                self.send_chunk()?;
            }
            let wait = if may_send { Duration::ZERO } else { REPEAT };
            while let Some(bytes) = receive(self.channel, wait)? {
                if self.hear(&bytes)? {
                    on_progress(self.progress());
                    return Ok(self.progress());
                }
                on_progress(self.progress());
                if wait > Duration::ZERO {
                    break;
                }
            }
            self.go_back_if_nothing_moves()?;
        }
    }

    fn progress(&self) -> Progress {
        Progress { resumed: self.begun, done: self.acked, size: self.source.description.size }
    }

    fn send_chunk(&mut self) -> Result<(), FileError> {
        let offset = self.next;
        let read = self.source.read_at(offset, &mut self.room);
        let count = read.map_err(|why| {
            let error = FileError::local("read the file", why);
            let _ = self.channel.try_send(Message::Fail { text: &error.told() }.encode());
            error
        })?;
        let chunk = Message::Chunk { offset, bytes: &self.room[..count] }.encode();
        match self.channel.send_timeout(chunk, REPEAT) {
            Ok(()) => self.next += count as u64,
            // The receiver is slow; what it has to say is heard meanwhile.
            Err(Error::TimedOut(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What the receiver says; whether it has all.
    fn hear(&mut self, bytes: &[u8]) -> Result<bool, FileError> {
        match Message::decode(bytes)? {
            Message::Ack { offset } if offset <= self.source.description.size => {
                if offset > self.acked {
                    self.acked = offset;
                    self.next = self.next.max(offset);
                    self.moved_at = Instant::now();
                }
                Ok(false)
            }
            Message::Get { offset, .. } => {
                // It asks again, or tells where it begins.
                self.begin(offset)?;
                Ok(false)
            }
            Message::Ready { .. } => Ok(false),
            Message::Done => {
                self.acked = self.source.description.size;
                Ok(true)
            }
            Message::Fail { text } => Err(FileError::Peer(text.to_owned())),
            _ => Err(FileError::Protocol),
        }
    }

    fn go_back_if_nothing_moves(&mut self) -> Result<(), FileError> {
        let now = Instant::now();
        if now > self.moved_at + TIMEOUT {
            return Err(FileError::Silent);
        }
        let since = now.saturating_duration_since(self.moved_at.max(self.gone_back_at));
        if self.is_datagram && since >= REPEAT {
            self.next = self.acked;
            self.gone_back_at = now;
            if self.next == self.source.description.size {
                self.send_chunk()?;
            }
        }
        Ok(())
    }
}

/// The next message, if one comes in time.
pub(super) fn receive(channel: &Channel, wait: Duration) -> Result<Option<Vec<u8>>, FileError> {
    match channel.recv_timeout(wait) {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(FileError::Peer("it has closed the channel".to_owned())),
        Err(Error::TimedOut(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
