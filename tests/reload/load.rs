//! Clients that ask without end, each over a connection that it keeps for as long as the server does, and count what goes
//! wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use ringway::sync::{AtomicBool, AtomicU64};

use crate::common::{patience, uninterrupted, wait_until};

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    responses: AtomicU64,
    /// Responses after which the server closed, as it said.
    last_ones: AtomicU64,
    errors: AtomicU64,
}

/// Clients at work.
pub struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

/// What they saw in all.
pub struct Outcome {
    pub responses: u64,
    pub last_ones: u64,
    pub errors: u64,
}

impl Load {
    /// So many clients of the HTTP server at `address`.
    pub fn start(address: SocketAddr, clients: usize) -> Self {
        let seen = Arc::new(Seen::default());
        let client = |_| {
            let seen = seen.clone();
            std::thread::spawn(move || ask_without_end(address, &seen))
        };
        let clients = (0..clients).map(client).collect();
        Self { seen, clients }
    }

    /// Waits until there were so many more responses.
    pub fn wait_for(&self, more: u64) {
        let until = self.responses() + more;
        wait_until(|| self.responses() >= until || self.seen.errors.load(Ordering::Relaxed) > 0);
    }

    fn responses(&self) -> u64 {
        self.seen.responses.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn finish(self) -> Outcome {
        self.seen.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        Outcome {
            responses: self.seen.responses.load(Ordering::Relaxed),
            last_ones: self.seen.last_ones.load(Ordering::Relaxed),
            errors: self.seen.errors.load(Ordering::Relaxed),
        }
    }
}

fn ask_without_end(address: SocketAddr, seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        if let Err(error) = one_connection(address, seen) {
            eprintln!("a client: {error}");
            seen.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Asks until the server says that a response was the last one.
fn one_connection(address: SocketAddr, seen: &Seen) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(patience())?;
    stream.set_nodelay(true)?;
    let mut room = [0; 4096];
    while !seen.stop.load(Ordering::Relaxed) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut have = 0;
        let closes = loop {
            let count = uninterrupted(|| stream.read(&mut room[have..]))?;
            if count == 0 {
                let why = format!("the end after {have} bytes of a response");
                return Err(std::io::Error::other(why));
            }
            have += count;
            let text = String::from_utf8_lossy(&room[..have]).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| {
                rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok())
            });
            if !head.starts_with("http/1.1 200 ") || length.is_none() {
                return Err(std::io::Error::other(format!("a strange response: {head}")));
            }
            if body.len() >= length.unwrap_or(0) {
                break head.contains("connection: close");
            }
        };
        seen.responses.fetch_add(1, Ordering::Relaxed);
        if closes {
            seen.last_ones.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
    Ok(())
}
