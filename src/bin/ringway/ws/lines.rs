//! Lines of standard input as texts, and what comes, until both ends have said all.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use ringway::proto::websocket::Kind;
use ringway::sys::unix_stream::{self, Until, Waited};
use ringway::websocket::{Client, Message};

use super::args::WsArgs;
use super::{Failure, ended, print, send};

/// How long a wait is at most, for want of a reason to end it.
const LONG: Duration = Duration::from_secs(3600);

/// Lines of the input that have not been sent.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    ended: bool,
}

impl Input {
    /// Reads what is there, once.
    fn fill(&mut self) -> Result<(), Failure> {
        let mut room = [0; 64 * 1024];
        let count = io::stdin().lock().read(&mut room).map_err(|why| {
            Failure::Told(format!("cannot read standard input: {why}; redirect it from elsewhere"))
        })?;
        self.ended = count == 0;
        self.bytes.extend_from_slice(&room[..count]);
        Ok(())
    }

    /// The next line, without its end; the last need not have one.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n');
        let Some(end) = end else {
            let rest = std::mem::take(&mut self.bytes);
            if self.ended && !rest.is_empty() {
                return Some(rest);
            }
            self.bytes = rest;
            return None;
        };
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        line.pop_if(|last| *last == b'\r');
        Some(line)
    }
}

/// Talks until the input ends and the server has closed, or the server closes by itself.
pub fn lines(args: &WsArgs, mut client: Client) -> Result<(), Failure> {
    let mut input = Input::default();
    loop {
        if let Some(outcome) = hear(args, &mut client)? {
            return outcome;
        }
        if input.ended {
            return part(args, client);
        }
        let stdin = io::stdin();
        let waited = unix_stream::wait(client.as_fd(), Until::Readable, Some(stdin.as_fd()), LONG);
        if waited.map_err(ringway::websocket::Error::Io)? == Waited::Rung {
            input.fill()?;
            while let Some(line) = input.line() {
                send(args, &mut client, Kind::Text, &line)?;
            }
        }
    }
}

/// Prints what has come; how it ended, if it has.
fn hear(args: &WsArgs, client: &mut Client) -> Result<Option<Result<(), Failure>>, Failure> {
    while let Some(message) = client.receive_within(Duration::ZERO)? {
        match message {
            Message::Close(close) => return Ok(Some(ended(args, close))),
            message => print(args, message)?,
        }
    }
    Ok(None)
}

/// The input has ended: closes, and prints what the server still has to say.
fn part(args: &WsArgs, mut client: Client) -> Result<(), Failure> {
    client.begin_close(args.close, "")?;
    loop {
        match client.receive()? {
            Message::Close(close) => return ended(args, close),
            message => print(args, message)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends_and_the_last_needs_none() {
        let mut input = Input { bytes: b"one\ntwo\r\n\nthr".to_vec(), ended: false };
        assert_eq!(input.line().unwrap(), b"one");
        assert_eq!(input.line().unwrap(), b"two");
        assert_eq!(input.line().unwrap(), b"");
        assert_eq!(input.line(), None);
        input.bytes.extend(b"ee");
        input.ended = true;
        assert_eq!(input.line().unwrap(), b"three");
        assert_eq!(input.line(), None);
    }
}
