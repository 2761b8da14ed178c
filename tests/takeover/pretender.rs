//! Who speaks with an instance as one that takes over does, or one that is taken over from.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use ringway::control;
use ringway::sys::passed_fds::{recv_with_fds, send_with_fds};

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

    /// An instance that is taken over from: offers these sockets, each with its line, to who comes to its control socket.
    pub fn offers(control: &UnixListener, sockets: &[(String, BorrowedFd<'_>)]) -> Self {
        let (stream, _) = control.accept().unwrap();
        let stream = Self { stream, _sockets: Vec::new() }.hears("takeover version=1").stream;
        let first = format!("offer version=1 sockets={}\n", sockets.len());
        send_with_fds(&stream, first.as_bytes(), &[]).unwrap();
        for (line, fd) in sockets {
            send_with_fds(&stream, format!("{line}\n").as_bytes(), &[*fd]).unwrap();
        }
        Self { stream, _sockets: Vec::new() }.says("end")
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

/// The control socket of an instance that a test plays.
pub fn played(instance: &str) -> UnixListener {
    let path = control::socket_path(&own(instance).parse().unwrap());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
    UnixListener::bind(path).unwrap()
}
