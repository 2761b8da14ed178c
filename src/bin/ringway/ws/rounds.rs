//! There and back again: how long messages and pings take.

use std::time::{Duration, Instant};

use ringway::websocket::{Client, Message};

use super::args::WsArgs;
use super::{Failure, close};
use crate::attach::ping::report;

/// Bytes of a ping: its number.
const PING_BYTES: usize = 8;

const NO_ECHO: &str =
    "something else came back than was sent; name a server that sends messages back";

/// Sends messages one after the other, each once the one before has come back.
pub fn messages(args: &WsArgs, mut client: Client, size: usize) -> Result<(), Failure> {
    let count = args.count.unwrap_or(1000);
    // Nothing that compressing makes nothing of.
    let message: Vec<u8> = (0..size as u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    measure(size, count, || {
        client.send_binary(&message)?;
        loop {
            match client.receive()? {
                Message::Binary(back) if back == message => return Ok(()),
                Message::Close(close) => return Err(Failure::Closed(close.clone())),
                // One that nobody asked for is legal, and no message.
                Message::Pong(_) => {}
                _ => return Err(Failure::Told(NO_ECHO.to_owned())),
            }
        }
    })?;
    close(args, client)
}

/// Pings, and waits for each pong; messages that come meanwhile are dropped.
pub fn pings(args: &WsArgs, mut client: Client) -> Result<(), Failure> {
    let mut number = 0_u64;
    measure(PING_BYTES, args.count.unwrap_or(1), || {
        number += 1;
        let payload = number.to_be_bytes();
        client.ping(&payload)?;
        loop {
            match client.receive()? {
                Message::Pong(back) if back == payload => return Ok(()),
                Message::Close(close) => return Err(Failure::Closed(close.clone())),
                _ => {}
            }
        }
    })?;
    close(args, client)
}

fn measure(
    size: usize,
    count: u32,
    mut round: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        round()?;
        times.push(nanoseconds(began.elapsed()));
    }
    times.sort_unstable();
    report(size, &times);
    Ok(())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
