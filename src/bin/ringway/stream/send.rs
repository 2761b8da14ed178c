//! `ringway stream send`: one message.

use std::io::{self, Read, Write};

use ringway::stream::{ChannelOptions, Error};

use super::args::SendArgs;
use super::node::Node;
use super::{failed, not_written};

/// Sends the message, and with `--answer` prints what comes back.
pub fn send(args: &SendArgs) -> Result<(), Error> {
    let node = Node::new(&args.node)?;
    let message = message(args, node.options.message_bytes_max.into())?;
    let stream = node.connect(&args.address, &args.node)?;
    let channel = stream.open(args.channel.channel_type, ChannelOptions::default())?;
    channel.send(message)?;
    if args.answer {
        let Some(mut answer) = channel.recv()? else {
            return Err(failed(
                "print an answer",
                "the peer closed the channel without one",
                "see whether it is a peer that answers",
            ));
        };
        answer.push(b'\n');
        io::stdout().write_all(&answer).map_err(not_written)?;
    }
    channel.close();
    // The peer closes when it has read all, so that what was sent is known to have come.
    while channel.recv()?.is_some() {}
    stream.close()
}

fn message(args: &SendArgs, bytes_max: u64) -> Result<Vec<u8>, Error> {
    if args.message != "-" {
        return Ok(args.message.clone().into_bytes());
    }
    let mut message = Vec::new();
    let read = io::stdin().take(bytes_max + 1).read_to_end(&mut message);
    read.map_err(|why| failed("read standard input", why, "see where it comes from"))?;
    if message.len() as u64 > bytes_max {
        let what = format!("send more than {bytes_max} bytes as one message");
        let remedy = "send it as a file: `ringway stream file put`";
        return Err(failed(what, "standard input has more", remedy));
    }
    Ok(message)
}
