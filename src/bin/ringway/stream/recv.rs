//! `ringway stream recv`: accepts streams, prints messages, stores and gives files.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use ringway::stream::{Channel, Code, Error, Listener, Stream, channel_type};

use super::args::RecvArgs;
use super::node::{Node, describe};
use super::{not_written, note};

/// What all streams share.
struct Desk {
    echo: bool,
}

/// Accepts streams until it is interrupted, or with `--once` one.
pub fn recv(args: &RecvArgs) -> Result<(), Error> {
    let node = Node::new(&args.node)?;
    let desk = Arc::new(Desk { echo: args.echo });
    let (identity, policy) = (node.identity.clone(), node.policy.clone());
    let listener = Listener::with(&args.listen, identity, policy, node.options.clone())?;
    note(format_args!("listening at {} as node {}", listener.address(), listener.node()));
    loop {
        let stream = match listener.accept() {
            Ok(stream) => stream,
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
        let desk = desk.clone();
        thread::spawn(move || {
            if let Err(error) = desk.serve(&stream) {
                note(error);
            }
        });
    }
}

impl Desk {
    /// Serves the channels of a stream until it ends.
    fn serve(self: &Arc<Self>, stream: &Stream) -> Result<(), Error> {
        let mut threads = Vec::new();
        let end = loop {
            let channel = match stream.accept() {
                Ok(channel) => channel,
                Err(error) => break error,
            };
            let desk = self.clone();
            threads.push(thread::spawn(move || desk.serve_channel(&channel)));
            threads.retain(|thread| !thread.is_finished());
        };
        for thread in threads {
            if let Ok(Err(error)) = thread.join() {
                note(error);
            }
        }
        note(format_args!("node {} has gone", stream.peer()));
        match end.end() {
            Some(found) if found.is_orderly() => Ok(()),
            _ => Err(end),
        }
    }

    fn serve_channel(&self, channel: &Channel) -> Result<(), Error> {
        if channel.channel_type() == channel_type::FILE {
            return Err(Error::Refused(Code::Refused));
        }
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
