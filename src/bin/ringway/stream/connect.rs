//! `ringway stream connect`: lines there, messages here.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use ringway::stream::{Channel, ChannelOptions, Error, Stream};

use super::args::ConnectArgs;
use super::node::Node;
use super::{failed, not_written, note};

/// Sends what is typed and prints what comes, until both have ended.
pub fn connect(args: &ConnectArgs) -> Result<(), Error> {
    let stream = Node::new(&args.node)?.connect(&args.address, &args.node)?;
    let channel = stream.open(args.channel.channel_type, ChannelOptions::default())?;
    let channel = Arc::new(channel);
    if args.stats {
        // A new key is asked about, which measures a round trip at once.
        stream.rekey();
    }
    let sends = {
        let channel = channel.clone();
        thread::spawn(move || send_lines(&channel))
    };
    let printed = print(&channel);
    if args.stats {
        note(statistics(&stream));
    }
    // Where the peer has closed, nobody waits for the rest of what is typed.
    if sends.is_finished() {
        let sent = sends.join().expect("the thread that reads lines does not panic");
        printed.and(sent)?;
    } else {
        printed?;
    }
    stream.close()
}

fn send_lines(channel: &Channel) -> Result<(), Error> {
    for line in io::stdin().lock().split(b'\n') {
        let line =
            line.map_err(|why| failed("read standard input", why, "see where it comes from"))?;
        channel.send(line)?;
    }
    channel.close();
    Ok(())
}

fn print(channel: &Channel) -> Result<(), Error> {
    while let Some(mut message) = channel.recv()? {
        message.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&message).and_then(|()| out.flush()).map_err(not_written)?;
    }
    Ok(())
}

fn statistics(stream: &Stream) -> String {
    let found = stream.statistics();
    let rtt = match found.rtt.count() {
        0 => "no round trip measured".to_owned(),
        count => format!("round trip {:.3} ms ({count} measured)", found.rtt.mean_ms()),
    };
    format!(
        "sent {} packets, {} bytes; received {} packets, {} bytes; lost {}; {rtt}",
        found.sent.packets,
        found.sent.bytes,
        found.received.packets,
        found.received.bytes,
        found.lost
    )
}
