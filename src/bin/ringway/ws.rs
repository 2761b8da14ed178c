//! `ringway ws`: a WebSocket client for people and scripts.

pub mod args;
mod lines;
mod rounds;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use ringway::proto::websocket::{CloseCode, Kind};
use ringway::websocket::{Client, Close, Error, Message, Options};

use args::WsArgs;

/// The server closed otherwise than it was to.
const CLOSED: u8 = 3;

/// Bytes of a binary message that are printed.
const HEX_BYTES: usize = 64;

/// Why the command ends otherwise than well.
enum Failure {
    Ws(Error),
    /// In words.
    Told(String),
    /// The server has closed too early, or with a code of its own.
    Closed(Close),
    /// Nobody reads what is printed: no reason to complain.
    NobodyReads,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Closed(close) => Self::Closed(close),
            error => Self::Ws(error),
        }
    }
}

/// Connects, and does what the arguments say.
pub fn ws(args: &WsArgs) -> ExitCode {
    let outcome = options(args).connect(&args.url).map_err(Failure::from).and_then(|client| {
        eprintln!("connected{}", agreed(&client));
        talk(args, client)
    });
    match outcome {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Closed(close)) => {
            eprintln!("ringway: the server closed: {close}");
            ExitCode::from(CLOSED)
        }
        Err(Failure::Ws(error)) => fail(&error.to_string()),
        Err(Failure::Told(text)) => fail(&text),
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("ringway: {text}");
    ExitCode::FAILURE
}

fn options(args: &WsArgs) -> Options {
    let mut options = Options::new()
        .compress(args.compress)
        .timeout(Duration::from_secs(args.timeout.into()))
        .message_bytes_max(args.max_message);
    for protocol in &args.protocol {
        options = options.protocol(protocol);
    }
    for (name, value) in &args.header {
        options = options.field(name, value);
    }
    if let Some(origin) = &args.origin {
        options = options.origin(origin);
    }
    match &args.unix {
        Some(path) => options.unix(path),
        None => options,
    }
}

fn agreed(client: &Client) -> String {
    let protocol = client.protocol().map(|name| format!(", protocol {name}")).unwrap_or_default();
    let compresses = if client.compresses() { ", compressing" } else { "" };
    format!("{protocol}{compresses}")
}

fn talk(args: &WsArgs, client: Client) -> Result<(), Failure> {
    if args.ping {
        rounds::pings(args, client)
    } else if let Some(size) = args.size {
        rounds::messages(args, client, size as usize)
    } else if args.text.is_empty() && args.binary_file.is_empty() {
        lines::lines(args, client)
    } else {
        once(args, client)
    }
}

/// Sends what the arguments say, and prints as many messages as are expected.
fn once(args: &WsArgs, mut client: Client) -> Result<(), Failure> {
    for text in &args.text {
        send(args, &mut client, Kind::Text, text.as_bytes())?;
    }
    for path in &args.binary_file {
        let bytes = fs::read(path).map_err(|why| {
            Failure::Told(format!("cannot read {}: {why}; name a file", path.display()))
        })?;
        send(args, &mut client, Kind::Binary, &bytes)?;
    }
    let sent = args.text.len() + args.binary_file.len();
    let mut expected = args.expect.map_or(sent, |count| count as usize);
    while expected > 0 {
        match client.receive()? {
            Message::Pong(_) => {}
            Message::Close(close) => return Err(Failure::Closed(close.clone())),
            message => {
                print(args, message)?;
                expected -= 1;
            }
        }
    }
    close(args, client)
}

/// Sends a message. Where that fails because the server has closed, that is the reason.
fn send(args: &WsArgs, client: &mut Client, kind: Kind, bytes: &[u8]) -> Result<(), Failure> {
    let Err(failure) = send_whole_or_cut(args, client, kind, bytes) else { return Ok(()) };
    while let Ok(Some(message)) = client.receive_within(Duration::ZERO) {
        match message {
            Message::Close(close) => return Err(Failure::Closed(close.clone())),
            message => print(args, message)?,
        }
    }
    Err(failure)
}

/// In one frame, or as the arguments say.
fn send_whole_or_cut(
    args: &WsArgs,
    client: &mut Client,
    kind: Kind,
    bytes: &[u8],
) -> Result<(), Failure> {
    let Some(fragment) = args.fragment else {
        match (kind, std::str::from_utf8(bytes)) {
            (Kind::Text, Ok(text)) => client.send_text(text)?,
            (Kind::Text, Err(_)) => return Err(Error::Payload("a text has to be UTF-8").into()),
            (Kind::Binary, _) => client.send_binary(bytes)?,
        }
        return Ok(());
    };
    let mut message = client.begin(kind);
    let mut pieces = bytes.chunks(fragment as usize);
    let last = pieces.next_back().unwrap_or_default();
    for piece in pieces {
        message.send(piece)?;
    }
    Ok(message.end(last)?)
}

/// Closes, and says how that went.
fn close(args: &WsArgs, client: Client) -> Result<(), Failure> {
    let close = client.close(args.close, "")?;
    ended(args, &close)
}

/// A close is as it was to be where the server says the same, or that all is well.
fn ended(args: &WsArgs, close: &Close) -> Result<(), Failure> {
    let code = close.code.unwrap_or(args.close);
    if code != args.close && code != CloseCode::NORMAL {
        return Err(Failure::Closed(close.clone()));
    }
    eprintln!("closed: {close}");
    Ok(())
}

/// Prints a message.
fn print(args: &WsArgs, message: Message<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let printed = match message {
        Message::Text(text) if args.raw => out.write_all(text.as_bytes()),
        Message::Binary(bytes) if args.raw => out.write_all(bytes),
        Message::Text(text) => writeln!(out, "{text}"),
        Message::Binary(bytes) => writeln!(out, "{}", hex(bytes)),
        Message::Pong(_) | Message::Close(_) => Ok(()),
    };
    printed.and_then(|()| out.flush()).map_err(|_| Failure::NobodyReads)
}

/// `binary, 3 bytes: 00 01 ff`
fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(HEX_BYTES)];
    let digits: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if shown.len() < bytes.len() { " …" } else { "" };
    format!("binary, {} bytes: {}{more}", bytes.len(), digits.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_messages_are_shown_up_to_a_length() {
        assert_eq!(hex(&[]), "binary, 0 bytes: ");
        assert_eq!(hex(&[0, 255]), "binary, 2 bytes: 00 ff");
        assert!(hex(&[0; HEX_BYTES]).ends_with(" 00"));
        assert!(hex(&[0; HEX_BYTES + 1]).ends_with(" 00 …"));
    }
}
