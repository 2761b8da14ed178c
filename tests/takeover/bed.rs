//! Instances that follow each other, and clients that do not let up meanwhile.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;

use ringway::sync::{AtomicBool, AtomicU64};

use crate::common::{patience, uninterrupted};

/// A port of its own, of those that are free.
pub const ANY: &str = "127.0.0.1:0";

/// A listener of HTTP on this address.
pub fn http(address: &str) -> String {
    format!("[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"http\"\n")
}

/// A configuration of these listeners.
pub fn toml(listeners: &[String]) -> String {
    format!("{}[dataplane]\nmax_connections = 512\ndrain_timeout_ms = 60000\n", listeners.concat())
}

/// How a client uses its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One, until it is told that the response was the last.
    KeepsAlive,
    /// One for each request.
    ConnectsEachTime,
}

/// Requests that were answered, and whether there are to be more.
#[derive(Default)]
pub struct Load {
    over: AtomicBool,
    pub answered: AtomicU64,
}

impl Load {
    /// Runs `work` while clients of both manners ask for `/` at `address`, each of which has to be answered.
    pub fn during<T>(address: SocketAddr, work: impl FnOnce(&Self) -> T) -> T {
        let load = Self::default();
        thread::scope(|scope| {
            let clients: Vec<_> = [Manner::KeepsAlive, Manner::ConnectsEachTime]
                .into_iter()
                .cycle()
                .take(6)
                .map(|manner| {
                    scope.spawn({
                        let load = &load;
                        move || load.ask(address, manner)
                    })
                })
                .collect();
            load.more(100);
            let done = work(&load);
            load.more(100);
            load.over.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().unwrap().unwrap_or_else(|why| panic!("a request failed: {why}"));
            }
            done
        })
    }

    /// Waits until so many more were answered.
    pub fn more(&self, count: u64) {
        let until = self.answered.load(Ordering::Relaxed) + count;
        crate::common::wait_until(|| {
            self.answered.load(Ordering::Relaxed) >= until || self.is_over()
        });
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn ask(&self, address: SocketAddr, manner: Manner) -> io::Result<()> {
        let outcome = self.ask_on(address, manner);
        // Or the others would be waited for.
        if outcome.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn ask_on(&self, address: SocketAddr, manner: Manner) -> io::Result<()> {
        while !self.is_over() {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(patience())?;
            while ask_once(&mut stream, manner)? {
                self.answered.fetch_add(1, Ordering::Relaxed);
                if self.is_over() {
                    return Ok(());
                }
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Asks for `/` and takes the answer; whether the connection goes on.
pub fn ask_once(stream: &mut TcpStream, manner: Manner) -> io::Result<bool> {
    let connection = if manner == Manner::KeepsAlive { "keep-alive" } else { "close" };
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n")?;
    let (mut got, mut room) = (Vec::new(), [0; 4096]);
    let end = loop {
        match got.windows(4).position(|four: &[u8]| four == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => match uninterrupted(|| stream.read(&mut room))? {
                0 => {
                    let why = format!("the end after {:?}", String::from_utf8_lossy(&got));
                    return Err(io::Error::other(why));
                }
                count => got.extend_from_slice(&room[..count]),
            },
        }
    };
    let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let length = head.split("content-length: ").nth(1).expect("a length").split('\r').next();
    let length: usize = length.unwrap().parse().unwrap();
    while got.len() < end + length {
        match uninterrupted(|| stream.read(&mut room))? {
            0 => return Err(io::Error::other("the end within a body")),
            count => got.extend_from_slice(&room[..count]),
        }
    }
    Ok(!head.contains("connection: close"))
}
