//! A directory that peers put files into and get them from.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::message::{Description, Message};
use super::part::Part;
use super::sender::{Sender, Source, receive};
use super::sink::Sink;
use super::{FileError, OnProgress, Progress, REPEAT, TIMEOUT, finish, name};
use crate::limits::STREAM_FILE_TAKEN_NS;
use crate::stream::{Channel, Stream};
use crate::sys::directory::Directory;

/// How long to wait for another transfer of a file to end.
const TAKEN: Duration = Duration::from_nanos(STREAM_FILE_TAKEN_NS);

/// A directory that peers put files into and get them from: below it, and nowhere else.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

/// What a peer wanted, and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The name of the file.
    pub name: String,
    /// Whether it was put here; else it was fetched.
    pub is_put: bool,
    /// How much there was of it.
    pub progress: Progress,
}

impl Store {
    /// The directory at `path`, which is made where there is none.
    pub fn open(path: impl AsRef<Path>) -> crate::error::Result<Self> {
        let path = path.as_ref();
        let opened = std::fs::create_dir_all(path).and_then(|()| Directory::open(path));
        match opened {
            Ok(_) => Ok(Self(path.to_owned())),
            Err(why) => Err(crate::error::Error::new(
                format!("keep files in {}", path.display()),
                why,
                "name a directory that can be written to",
            )),
        }
    }

    /// Does what the peer wants on a channel of files that it opened, and waits until that is done.
    pub fn serve(
        &self,
        stream: &Stream,
        channel: &Channel,
        on_progress: OnProgress<'_>,
    ) -> Result<Served, FileError> {
        let Some(bytes) = receive(channel, TIMEOUT)? else { return Err(FileError::Silent) };
        let served = match Message::decode(&bytes) {
            Ok(Message::Put { description, name }) => self
                .take(channel, name, description, on_progress)
                .map(|progress| Served { name: name.to_owned(), is_put: true, progress }),
            Ok(Message::Get { name, .. }) => self
                .give(stream, channel, name, on_progress)
                .map(|progress| Served { name: name.to_owned(), is_put: false, progress }),
            Ok(_) => Err(FileError::Protocol),
            Err(error) => Err(error),
        };
        if served.is_err() {
            finish(channel);
        }
        served
    }

    fn root(&self) -> Result<Directory, FileError> {
        Directory::open(&self.0).map_err(|why| FileError::local("open its directory", why))
    }

    fn take(
        &self,
        channel: &Channel,
        name: &str,
        description: Description,
        on_progress: OnProgress<'_>,
    ) -> Result<Progress, FileError> {
        let part = told(channel, self.open_part(channel, name, description))?;
        channel.send(Message::Ready { offset: part.written() }.encode())?;
        let mut sink = Sink::new(channel, part);
        let progress = sink.run(on_progress, None)?;
        sink.stay();
        channel.close();
        Ok(progress)
    }

    /// Opens the part of a file. Where another transfer writes it, its sender may have been killed and not be missed
    /// yet, which whoever gives the same command again is not to be refused for.
    fn open_part(
        &self,
        channel: &Channel,
        name: &str,
        description: Description,
    ) -> Result<Part, FileError> {
        let deadline = Instant::now() + TAKEN;
        loop {
            let (directory, file) = name::resolve(self.root()?, name, true)?;
            match Part::open(directory, file, description) {
                Err(FileError::Taken) if Instant::now() < deadline => {}
                opened => return opened,
            }
            // What it says meanwhile is its offer again.
            receive(channel, REPEAT)?;
        }
    }

    fn give(
        &self,
        stream: &Stream,
        channel: &Channel,
        name: &str,
        on_progress: OnProgress<'_>,
    ) -> Result<Progress, FileError> {
        let opened = self.root().and_then(|root| {
            let (directory, file) = name::resolve(root, name, false)?;
            let file = directory.read(file).and_then(Source::of);
            file.map_err(|why| FileError::local("read the file", why))
        });
        let source = told(channel, opened)?;
        let have = Message::Have { description: source.description };
        let mut sender = Sender::new(channel, stream.is_datagram(), source);
        channel.send(have.encode())?;
        sender.await_get(&have.encode())?;
        let progress = sender.run(on_progress)?;
        finish(channel);
        Ok(progress)
    }
}

/// Tells the peer of a failure that it would wait for the end of.
fn told<T>(channel: &Channel, outcome: Result<T, FileError>) -> Result<T, FileError> {
    if let Err(error) = &outcome {
        let _ = channel.send(Message::Fail { text: &error.told() }.encode());
    }
    outcome
}
