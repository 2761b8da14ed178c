//! A client that sends back what a server sends, until that closes. `cargo run --release --example websocket_client
//! ws://localhost:8080/`; with `--autobahn` behind the URL of an Autobahn fuzzing server it is that suite's client under
//! test (`scripts/autobahn.sh --client`).

use std::time::Duration;

use ringway::websocket::{Error, Message, Options};

/// Sends everything back; what the server says when it closes.
fn echo(url: &str) -> Result<String, Error> {
    let options = Options::new().compress(true).timeout(Duration::from_secs(100));
    let mut client = options.connect(url)?;
    let mut message = Vec::new();
    loop {
        let is_text = match client.receive()? {
            Message::Pong(_) => continue,
            Message::Close(close) => return Ok(close.to_string()),
            Message::Text(text) => {
                message.clear();
                message.extend_from_slice(text.as_bytes());
                true
            }
            Message::Binary(bytes) => {
                message.clear();
                message.extend_from_slice(bytes);
                false
            }
        };
        if is_text {
            client.send_text(std::str::from_utf8(&message).expect("it was a text"))?;
        } else {
            client.send_binary(&message)?;
        }
    }
}

/// Runs every case that the suite has; what becomes of each, it writes down itself.
fn autobahn(url: &str) -> Result<(), Error> {
    let mut client = Options::new().connect(&format!("{url}/getCaseCount"))?;
    let count = match client.receive()? {
        Message::Text(text) => text.parse().expect("a number"),
        other => panic!("no number of cases, but {other:?}"),
    };
    for case in 1..=count {
        match echo(&format!("{url}/runCase?case={case}&agent=ringway")) {
            Ok(_) => println!("case {case} of {count}"),
            Err(error) => println!("case {case} of {count}: {error}"),
        }
    }
    echo(&format!("{url}/updateReports?agent=ringway")).map(drop)
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [url] => println!("closed: {}", echo(url)?),
        [url, suite] if suite == "--autobahn" => autobahn(url.trim_end_matches('/'))?,
        _ => eprintln!("usage: websocket_client ws://HOST:PORT/PATH [--autobahn]"),
    }
    Ok(())
}
