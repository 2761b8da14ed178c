//! Files over channels of type [`FILE`](crate::stream::channel_type::FILE): whole or not at all, from
//! where they were when a transfer was interrupted.
//!
//! Who opens the channel says what it wants, one transfer a channel. [`put`] sends a file, [`get`] fetches
//! one, and a [`Store`] is what the other end serves both from. Each file counts as there once the
//! SHA-256 of all of it is what the sender said; until then it has the name `NAME.part`, and beside it is
//! `NAME.part.sum`, which says of which file it is a part.

mod error;
mod message;
mod name;
mod part;
mod sender;
mod sink;
mod store;

pub use error::FileError;
pub use store::{Served, Store};

use std::path::Path;
use std::time::Duration;

use message::Message;
use part::Part;
use sender::{Sender, Source};
use sink::Sink;

use super::{Channel, ChannelOptions, Stream, channel_type};
use crate::limits::{STREAM_FILE_REPEAT_NS, STREAM_FILE_TIMEOUT_NS};
use crate::sys::directory::Directory;

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were there already.
    pub resumed: u64,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// Called as a transfer goes on.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

pub(super) const REPEAT: Duration = Duration::from_nanos(STREAM_FILE_REPEAT_NS);
pub(super) const TIMEOUT: Duration = Duration::from_nanos(STREAM_FILE_TIMEOUT_NS);

/// Sends the file at `path` to the peer, which calls it `name`. Goes on where an interrupted transfer of
/// the same file was.
pub fn put(
    stream: &Stream,
    path: &Path,
    name: &str,
    on_progress: OnProgress<'_>,
) -> Result<Progress, FileError> {
    name::check(name)?;
    let source = Source::open(path)?;
    let channel = stream.open(channel_type::FILE, ChannelOptions::default())?;
    let mut sender = Sender::new(&channel, stream.is_datagram(), source);
    sender.offer(name)?;
    let progress = sender.run(on_progress)?;
    finish(&channel);
    Ok(progress)
}

/// Fetches the file that the peer calls `name`, to `path`. Goes on where an interrupted transfer of the
/// same file was.
pub fn get(
    stream: &Stream,
    name: &str,
    path: &Path,
    on_progress: OnProgress<'_>,
) -> Result<Progress, FileError> {
    name::check(name)?;
    let (directory, file) = split(path)?;
    let channel = stream.open(channel_type::FILE, ChannelOptions::default())?;
    let ask = |offset| Message::Get { offset, name }.encode();
    let mut have = None;
    let deadline = std::time::Instant::now() + TIMEOUT;
    while have.is_none() {
        channel.send(ask(0))?;
        have = sink::await_have(&channel, deadline)?;
    }
    let Some(description) = have else { return Err(FileError::Silent) };
    let part = Part::open(directory, &file, description)?;
    let mut sink = Sink::new(&channel, part);
    channel.send(ask(sink.written()))?;
    let is_datagram = stream.is_datagram();
    let again: Option<&dyn Fn(u64) -> Vec<u8>> = if is_datagram { Some(&ask) } else { None };
    let progress = sink.run(on_progress, again)?;
    if is_datagram {
        sink.stay();
    }
    finish(&channel);
    Ok(progress)
}

/// Where a file is to be, taken apart. This is the program's own path: links in it are followed.
fn split(path: &Path) -> Result<(Directory, String), FileError> {
    let file = path.file_name().and_then(|name| name.to_str());
    let file = file.ok_or_else(|| FileError::Name("it ends in no name of a file".to_owned()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = Directory::open(parent.unwrap_or(Path::new(".")));
    Ok((
        directory.map_err(|why| FileError::local("open the directory of the file", why))?,
        file.to_owned(),
    ))
}

/// Closes a channel, and waits a little for the peer to do so too: what was last said has come then.
fn finish(channel: &Channel) {
    channel.close();
    let deadline = std::time::Instant::now() + REPEAT;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match channel.recv_timeout(left) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
