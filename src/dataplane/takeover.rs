//! One instance takes over from another of the same name: its listening sockets pass to the new process, which
//! accepts from them as the old one stops to. Nothing that waits in them is lost, and connections end where they
//! began. How the two speak is in docs/PROTOCOLS.md.

mod inherited;
mod offer;
mod predecessor;
mod successor;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub(super) use inherited::Inherited;
pub(super) use predecessor::{Predecessor, Stand};
pub(super) use successor::{Parts as SuccessionParts, Succession};

use crate::limits::{TAKEOVER_ATTACH_NS, TAKEOVER_BUILD_NS, TAKEOVER_STEP_NS};

/// The version that both have to speak.
const VERSION: u32 = 1;

/// What the new one says once it could serve, and what it is answered.
const READY: &str = "ready";
const GO: &str = "go";

/// What it says once its control socket is in its place, so that processes at ports can attach to it.
const PLACED: &str = "placed";

/// What it says once it does, and what it is answered when the old one accepts no more.
const CONFIRM: &str = "confirm";
const STOPPED: &str = "stopped";

const ATTACH: Duration = Duration::from_nanos(TAKEOVER_ATTACH_NS);
const STEP: Duration = Duration::from_nanos(TAKEOVER_STEP_NS);
const BUILD: Duration = Duration::from_nanos(TAKEOVER_BUILD_NS);

/// Bytes of one of these lines, or of an error.
const LINE_BYTES_MAX: usize = 4096;

fn say(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    stream.set_write_timeout(Some(STEP))?;
    stream.write_all(format!("{line}\n").as_bytes())
}

/// The next line, which has to come within `patience`; `None`: the other side has ended. Nothing behind it is
/// taken.
fn hear(mut stream: &UnixStream, patience: Duration) -> io::Result<Option<String>> {
    let until = Instant::now() + patience;
    let mut line = Vec::new();
    loop {
        // All of it: a byte now and then would go on for hours.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() == LINE_BYTES_MAX => {
                return Err(io::Error::other("the line has no end"));
            }
            Ok(_) => line.push(byte[0]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // It ended without a look at what was said last.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_line_has_to_be_whole_in_time_however_its_bytes_come() {
        let (near, far) = UnixStream::pair().unwrap();
        say(&far, "ready").unwrap();
        assert_eq!(hear(&near, STEP).unwrap().as_deref(), Some("ready"));
        let drip = thread::spawn(move || {
            while (&far).write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let why = hear(&near, Duration::from_millis(100)).unwrap_err();
        drop(near);
        drip.join().unwrap();
        use io::ErrorKind::{TimedOut, WouldBlock};
        assert!(matches!(why.kind(), TimedOut | WouldBlock), "{why}");
    }
}
