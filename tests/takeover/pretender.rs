//! Who speaks with an instance as one that takes over does.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use ringway::control;
use ringway::sys::passed_fds::recv_with_fds;

use crate::common::{own, patience};

/// An instance that is about to take over, as far as it comes: what the test says is all it does.
pub struct Pretender {
    pub stream: UnixStream,
    _sockets: Vec<OwnedFd>,
}

impl Pretender {
    /// Has the offer, as soon as nobody else has.
    pub fn of(instance: &str) -> Self {
        loop {
            if let Ok(offered) = Self::asks(instance) {
                return offered;
            }
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Has the offer, or what is said instead.
    pub fn asks(instance: &str) -> Result<Self, String> {
        Self::asks_at(&control::socket_path(&own(instance).parse().unwrap()))
    }

    /// The same of the instance with this control socket.
    pub fn asks_at(path: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(patience()).unwrap();
        (&stream).write_all(b"takeover version=1\n").unwrap();
        let (mut text, mut sockets, mut room) = (Vec::new(), Vec::new(), [0; 4096]);
        while !text.ends_with(b"end\n") {
            let (count, fds) = recv_with_fds(&stream, &mut room, 253).unwrap();
            if count == 0 {
                return Err(String::from_utf8(text).unwrap());
            }
            text.extend_from_slice(&room[..count]);
            sockets.extend(fds);
        }
        assert!(!sockets.is_empty());
        Ok(Self { stream, _sockets: sockets })
    }

    pub fn says(self, word: &str) -> Self {
        (&self.stream).write_all(format!("{word}\n").as_bytes()).unwrap();
        self
    }

    pub fn hears(self, wanted: &str) -> Self {
        let mut line = vec![0; wanted.len() + 1];
        (&self.stream).read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8_lossy(&line), format!("{wanted}\n"));
        self
    }
}
