//! `ringway attach --ping`: how long bytes take through a listener and back.

use std::time::{Duration, Instant};

use ringway::attach::{Attachment, Queue};
use ringway::error::{Error, Result};
use ringway::mem::{ConnId, kind};

use super::say;

/// Rounds before those that are measured, so that everybody's caches are warm.
const WARM_UP: u32 = 100;

/// Looks without anything new between two questions whether the dataplane lives: they cost a system call.
const LOOKS: u32 = 1 << 20;

/// How long bytes may take to come back before nobody is believed to echo.
const PATIENCE: Duration = Duration::from_secs(10);

/// Columns of the longest bar.
const BAR: u64 = 40;

/// One connection of this process.
struct Pinger<'a> {
    port: &'a mut Attachment,
    conn: ConnId,
}

/// Sends `size` bytes and waits for as many, `count` times, and prints how long that took.
pub fn ping(port: &mut Attachment, size: usize, count: u32) -> Result<()> {
    let mut pinger = Pinger::open(port)?;
    for _ in 0..WARM_UP.min(count) {
        pinger.round(size)?;
    }
    let mut times = Vec::with_capacity(count as usize);
    for _ in 0..count {
        times.push(pinger.round(size)?.as_nanos() as u64);
    }
    times.sort_unstable();
    report(size, &times);
    Ok(())
}

impl<'a> Pinger<'a> {
    fn open(port: &'a mut Attachment) -> Result<Self> {
        let number = port.queues()[0].connect();
        port.queues()[0].flush();
        let mut pinger = Self { port, conn: ConnId::NONE };
        let (mut looks, began) = (0, Instant::now());
        loop {
            match pinger.queue().receive() {
                Some(word) if word.number == number && word.kind == kind::OPEN => {
                    pinger.conn = word.conn;
                    return Ok(pinger);
                }
                Some(word) if word.number == number => return Err(closed("it refused")),
                Some(_) => {}
                None => pinger.look(&mut looks, began)?,
            }
        }
    }

    fn queue(&mut self) -> &mut Queue {
        &mut self.port.queues()[0]
    }

    /// There and back once.
    fn round(&mut self, size: usize) -> Result<Duration> {
        let (began, mut to_send, mut to_hear) = (Instant::now(), size, size);
        let mut looks = 0;
        while to_hear > 0 {
            let conn = self.conn;
            let queue = self.queue();
            while to_send > 0
                && let Some(sent) = send(queue, conn, to_send)
            {
                to_send -= sent;
            }
            queue.flush();
            match queue.receive() {
                Some(message) if message.kind == kind::CLOSED => return Err(closed("it closed")),
                Some(message) => to_hear = to_hear.saturating_sub(message.bytes().len()),
                None => self.look(&mut looks, began)?,
            }
        }
        let time = began.elapsed();
        // The slots of the last message go back.
        self.queue().flush();
        Ok(time)
    }

    /// Nothing has come since `began`: now and then looks whether anything can.
    fn look(&mut self, looks: &mut u32, began: Instant) -> Result<()> {
        std::hint::spin_loop();
        *looks += 1;
        if looks.is_multiple_of(LOOKS) && began.elapsed() > PATIENCE {
            let why = format!("nothing came back within {} s", PATIENCE.as_secs());
            return Err(Error::new("ping", why, ECHOES));
        }
        if looks.is_multiple_of(LOOKS) && !self.port.is_alive() {
            let remedy = "attach again once it runs";
            return Err(Error::new(
                "ping",
                "the dataplane has ended, or cut this process off",
                remedy,
            ));
        }
        Ok(())
    }
}

const ECHOES: &str =
    "name a port whose listener echoes: protocol = \"echo\", or a handler that does";

fn closed(what: &str) -> Error {
    Error::new("ping", format!("{what} the connection"), ECHOES)
}

/// Sends one message, of `bytes` if a slot that large is there; how many it took.
fn send(queue: &mut Queue, conn: ConnId, bytes: usize) -> Option<usize> {
    let most = bytes.min(queue.slot_bytes_max());
    let mut message = queue.alloc(conn, most).or_else(|| queue.alloc(conn, 1))?;
    let room = message.spare_mut().len().min(bytes);
    // What lies there may be of anybody's connection.
    message.spare_mut()[..room].fill(b'.');
    message.grow(room);
    queue.send(message);
    Some(room)
}

/// Prints what `times`, in order and in nanoseconds, are like.
pub fn report(size: usize, times: &[u64]) {
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    let us = |ns: u64| format!("{:.2}", ns as f64 / 1e3);
    say(&format!("{size} bytes there and back, {} times, in microseconds:", times.len()));
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
    let inner = shares.map(|(name, share)| format!("{name} {}", us(at(share)))).join("  ");
    say(&format!("  min {}  {inner}  max {}", us(times[0]), us(at(1.0))));
    for (from, count) in octaves(times) {
        let bar = "#".repeat((count * BAR).div_ceil(times.len() as u64) as usize);
        say(&format!("  {:>10} to {:>10} {count:>9} {bar}", us(from), us(from * 2)));
    }
}

/// How many times lie in each octave, from the first that has some to the last.
fn octaves(times: &[u64]) -> Vec<(u64, u64)> {
    let octave = |ns: u64| ns.max(1).ilog2();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Vec::new() };
    let count = |of: u32| times.iter().filter(|time| octave(**time) == of).count() as u64;
    (octave(*first)..=octave(*last)).map(|of| (1 << of, count(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_in_its_octave_and_gaps_are_shown() {
        assert_eq!(octaves(&[]), []);
        assert_eq!(octaves(&[0]), [(1, 1)]);
        assert_eq!(octaves(&[4, 7, 8, 33]), [(4, 2), (8, 1), (16, 0), (32, 1)]);
    }
}
