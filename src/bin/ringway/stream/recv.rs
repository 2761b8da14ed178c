//! `ringway stream recv`: accepts streams, prints messages, stores and gives files.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ringway::stream::file::Store;
use ringway::stream::{Address, Channel, Code, Error, Listener, Stream, channel_type};

use super::args::RecvArgs;
use super::node::{Node, describe};
use super::{not_written, note};

/// Streams at a time, each with some threads: further peers are told to come later.
const STREAMS_MAX: usize = 256;

/// What all streams share.
struct Desk {
    echo: bool,
    store: Option<Store>,
}

/// Accepts streams until it is interrupted, or with `--once` one.
pub fn recv(args: &RecvArgs) -> Result<(), Error> {
    let node = Node::new(&args.node)?;
    let store = args.dir.as_ref().map(Store::open).transpose()?;
    let desk = Arc::new(Desk { echo: args.echo, store });
    let (identity, policy) = (node.identity.clone(), node.policy.clone());
    let listener = Listener::with(&args.listen, identity, policy, node.options.clone())?;
    match listener.address() {
        at @ Address::Port(_) => {
            note(format_args!("listening at {at} as the node of its dataplane"))
        }
        at => note(format_args!("listening at {at} as node {}", listener.node())),
    }
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let stream = match listener.accept() {
            Ok(stream) => Arc::new(stream),
            Err(error) => {
                note(format_args!("refused: {error}"));
                continue;
            }
        };
        node.keep_pins()?;
        note(describe(&stream));
        if args.once {
            listener.stop();
            return desk.serve(&stream);
        }
        threads.retain(|thread| !thread.is_finished());
        match threads.len() {
            STREAMS_MAX => stream.begin_to_close(Code::Limit, "as many streams as there may be"),
            _ => threads.push(desk.clone().serve_aside(stream)),
        }
    }
}

impl Desk {
    /// Serves a stream on a thread of its own.
    fn serve_aside(self: Arc<Self>, stream: Arc<Stream>) -> JoinHandle<()> {
        thread::spawn(move || {
            if let Err(error) = self.serve(&stream) {
                note(error);
            }
        })
    }

    /// Serves the channels of a stream until it ends.
    fn serve(self: &Arc<Self>, stream: &Arc<Stream>) -> Result<(), Error> {
        let mut threads = Vec::new();
        let end = loop {
            let channel = match stream.accept() {
                Ok(channel) => channel,
                Err(error) => break error,
            };
            let (desk, stream) = (self.clone(), stream.clone());
            threads.push(thread::spawn(move || desk.serve_channel(&stream, &channel)));
            threads.retain(|thread| !thread.is_finished());
        };
        for thread in threads {
            // It does not panic, and has said what failed.
            let _ = thread.join();
        }
        note(format_args!("node {} has gone", stream.peer()));
        match end.end() {
            Some(found) if found.is_orderly() => Ok(()),
            _ => Err(end),
        }
    }

    /// Serves one channel, and says what comes of it.
    fn serve_channel(&self, stream: &Stream, channel: &Channel) {
        let served = match channel.channel_type() {
            channel_type::FILE => self.serve_file(stream, channel),
            _ => self.print_messages(channel).map_err(|error| error.to_string()),
        };
        if let Err(why) = served {
            note(why);
        }
    }

    fn serve_file(&self, stream: &Stream, channel: &Channel) -> Result<(), String> {
        let Some(store) = &self.store else {
            channel.close();
            return Err("a peer asks about files, of which there are none without --dir".to_owned());
        };
        let served =
            store.serve(stream, channel, &mut |_| {}).map_err(|error| error.to_string())?;
        let verb = if served.is_put { "stored" } else { "gave" };
        note(format_args!("{verb} {} ({} bytes)", served.name, served.progress.size));
        Ok(())
    }

    fn print_messages(&self, channel: &Channel) -> Result<(), Error> {
        while let Some(message) = channel.recv()? {
            print(&message)?;
            if self.echo {
                channel.send(message)?;
            }
        }
        channel.close();
        Ok(())
    }
}

fn print(message: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(message).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(not_written)
}
