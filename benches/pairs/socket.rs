//! A pair of Unix stream sockets that both sides, two threads, look at all the time; a burst is one
//! write.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use ringway::sync::spin_loop;

use super::{BURST, MESSAGE, MESSAGE_BYTES, Pair, each, warm_up};

enum Order {
    Echo(u64),
    Take(u64),
    Give(u64),
}

/// This end, and the thread that has the other.
pub struct Socket {
    stream: UnixStream,
    orders: Sender<Order>,
}

/// Repeats what would block.
fn spin<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => spin_loop(),
            outcome => return outcome.expect("a socket"),
        }
    }
}

fn send(mut stream: &UnixStream, bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        at += spin(|| stream.write(&bytes[at..]));
    }
}

fn receive(mut stream: &UnixStream, room: &mut [u8]) {
    let mut at = 0;
    while at < room.len() {
        at += spin(|| stream.read(&mut room[at..]));
    }
    assert!(room.chunks(MESSAGE_BYTES).all(|message| message == MESSAGE), "not what was sent");
}

fn trip(stream: &UnixStream) {
    send(stream, &MESSAGE);
    receive(stream, &mut [0; MESSAGE_BYTES]);
}

fn echo(stream: &UnixStream, count: u64) {
    let mut message = [0; MESSAGE_BYTES];
    for _ in 0..count {
        receive(stream, &mut message);
        send(stream, &message);
    }
}

fn bursts(count: u64) -> impl Iterator<Item = usize> {
    let whole = count / BURST as u64;
    let rest = (count % BURST as u64) as usize;
    (0..whole).map(|_| BURST).chain((rest > 0).then_some(rest)).map(|burst| burst * MESSAGE_BYTES)
}

fn give(stream: &UnixStream, count: u64) {
    let bytes = [7; BURST * MESSAGE_BYTES];
    bursts(count).for_each(|burst| send(stream, &bytes[..burst]));
}

fn take(stream: &UnixStream, count: u64) {
    let mut room = [0; BURST * MESSAGE_BYTES];
    bursts(count).for_each(|burst| receive(stream, &mut room[..burst]));
}

impl Socket {
    /// Both ends.
    pub fn start() -> Self {
        let (stream, other) = UnixStream::pair().expect("a pair of sockets");
        for end in [&stream, &other] {
            end.set_nonblocking(true).expect("non-blocking");
        }
        let (orders, incoming) = channel();
        thread::spawn(move || {
            super::super::support::pin(0);
            for order in incoming {
                match order {
                    Order::Echo(count) => echo(&other, count),
                    Order::Take(count) => take(&other, count),
                    Order::Give(count) => give(&other, count),
                }
            }
        });
        Self { stream, orders }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("it runs until it hears no more");
    }
}

impl Pair for Socket {
    fn name(&self) -> &'static str {
        "Unix socket, busy"
    }

    fn trips(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.order(Order::Echo(before + count));
        (0..before).for_each(|_| trip(&self.stream));
        let start = Instant::now();
        (0..count).for_each(|_| trip(&self.stream));
        each(start, count)
    }

    fn down(&mut self, count: u64) -> f64 {
        let before = warm_up(count);
        self.order(Order::Take(before));
        self.order(Order::Take(count));
        give(&self.stream, before);
        let start = Instant::now();
        give(&self.stream, count);
        each(start, count)
    }

    fn up(&mut self, count: u64) -> Option<f64> {
        let before = warm_up(count);
        self.order(Order::Give(before));
        self.order(Order::Give(count));
        take(&self.stream, before);
        let start = Instant::now();
        take(&self.stream, count);
        Some(each(start, count))
    }
}
