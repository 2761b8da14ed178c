//! `ringway attach`: a process at a port of a running instance, to try and to measure with. What a
//! program of its own does there, `ringway::attach` is for.

mod ping;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringway::attach::{Attachment, Message, Options, Queue};
use ringway::config::FilePrefix;
use ringway::control;
use ringway::error::Result;
use ringway::mem::{Trust, kind};
use ringway::port::Role;

use crate::args::AttachArgs;

/// What came since the last report.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
}

/// Attaches, and handles what comes until the instance ends; or opens a connection and pings.
pub fn attach(args: &AttachArgs) -> Result<()> {
    let socket = match &args.socket {
        Some(path) => path.clone(),
        None => socket_of(&args.file_prefix)?,
    };
    let trust = args.isolated.then_some(Trust::Isolated);
    let role = Some(if args.ping { Role::Peer } else { Role::Handler });
    let options = Options { trust, role, ..Options::default() };
    let mut port = Attachment::connect(socket, &args.port, options)?;
    let (queues, trust) = (port.queues().len(), port.grant().trust.name());
    say(&format!("attached to port {} ({trust}, {queues} queues)", args.port));
    if args.ping {
        return ping::ping(&mut port, args.size as usize, args.count);
    }
    let (mut tally, mut reported) = (Tally::default(), Instant::now());
    loop {
        for queue in port.queues() {
            while let Some(message) = queue.receive() {
                tally.messages += 1;
                tally.bytes += message.bytes().len() as u64;
                handle(queue, message, args.echo);
            }
        }
        if reported.elapsed() >= Duration::from_secs(1) {
            tally.report(reported.elapsed());
            (tally, reported) = (Tally::default(), Instant::now());
        }
        port.wait(Some(Duration::from_secs(1)))?;
    }
}

fn socket_of(prefix: &str) -> Result<PathBuf> {
    Ok(control::socket_path(&prefix.parse::<FilePrefix>()?))
}

fn handle(queue: &mut Queue, message: Message, echo: bool) {
    match message.kind {
        kind::DATA if echo => queue.send(message),
        kind::EOF => queue.send(Message::marker(message.conn, kind::CLOSE)),
        // A request of HTTP.
        _ if message.request().is_some() => {
            let target = message.request().map_or(&[][..], |request| request.target());
            let body = if echo { &target[..target.len().min(MOST_BYTES)] } else { &[] };
            queue.respond(&message, 200, "Content-Type: text/plain\r\n", body);
        }
        _ => {}
    }
}

/// Bytes of a target that are sent back: they fit a small slot with the fields.
const MOST_BYTES: usize = 1024;

impl Tally {
    fn report(&self, time: Duration) {
        if self.messages > 0 {
            let per_second = |n: u64| n as f64 / time.as_secs_f64();
            let (messages, mb) = (per_second(self.messages), per_second(self.bytes) / 1e6);
            say(&format!("{messages:.0} messages/s, {mb:.1} MB/s"));
        }
    }
}

/// Prints a line; nobody reading it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
