//! System calls that are made again.

use std::io::{self, ErrorKind};

/// Makes a call until nothing interrupts it. With a time-out on its socket, a read ends with EINTR
/// when its process was stopped for a moment, though nobody handles a signal (signal(7)).
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
