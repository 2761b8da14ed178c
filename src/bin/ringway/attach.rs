//! `ringway attach`: a process at a port of a running instance, to try and to measure with. What a
//! program of its own does there, `ringway::attach` is for.

pub mod ping;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringway::attach::{Attachment, Following, Message, Options, Queue};
use ringway::config::FilePrefix;
use ringway::control;
use ringway::error::Result;
use ringway::mem::{Trust, kind};
use ringway::port::Role;

use crate::args::AttachArgs;

/// What came since the last report.
struct Tally {
    messages: u64,
    bytes: u64,
    since: Instant,
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
    if args.follow {
        return follow(args, &socket, options);
    }
    let mut port = Attachment::connect(socket, &args.port, options)?;
    let (queues, trust) = (port.queues().len(), port.grant().trust.name());
    say(&format!("attached to port {} ({trust}, {queues} queues)", args.port));
    if args.ping {
        return ping::ping(&mut port, args.size as usize, args.count);
    }
    let mut tally = Tally::new();
    loop {
        port.queues().iter_mut().for_each(|queue| tally.take(queue, args.echo));
        tally.report();
        port.wait(Some(Duration::from_secs(1)))?;
    }
}

/// The same for whatever instance there is.
fn follow(args: &AttachArgs, socket: &Path, options: Options) -> Result<()> {
    let mut port = Following::connect(socket, &args.port, options)?;
    let (mut tally, mut last) = (Tally::new(), None);
    loop {
        let newest = port.attachments().map(|(number, _)| number).max();
        if newest != last {
            match newest {
                Some(_) => say(&format!("attached to port {}", args.port)),
                None => say("the instance has ended: waiting for the next"),
            }
            last = newest;
        }
        port.queues().for_each(|queue| tally.take(queue, args.echo));
        tally.report();
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
    fn new() -> Self {
        Self { messages: 0, bytes: 0, since: Instant::now() }
    }

    /// Handles what came on a queue.
    fn take(&mut self, queue: &mut Queue, echo: bool) {
        while let Some(message) = queue.receive() {
            self.messages += 1;
            self.bytes += message.bytes().len() as u64;
            handle(queue, message, echo);
        }
    }

    /// Once a second.
    fn report(&mut self) {
        let time = self.since.elapsed();
        if time < Duration::from_secs(1) {
            return;
        }
        if self.messages > 0 {
            let per_second = |n: u64| n as f64 / time.as_secs_f64();
            let (messages, mb) = (per_second(self.messages), per_second(self.bytes) / 1e6);
            say(&format!("{messages:.0} messages/s, {mb:.1} MB/s"));
        }
        *self = Self::new();
    }
}

/// Prints a line; nobody reading it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
