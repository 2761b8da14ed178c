//! Echoes what connections of a dataplane send, from a process of its own and without a copy.
//!
//! Serve a listener with `protocol = "raw"` and `handler = "port:echo"` (`ringway run --config
//! examples/ports.toml`), start this with the path of its control socket, and try `nc localhost 7008`.

use std::env;

use ringway::attach::{Attachment, Message, Options};
use ringway::error::Result;
use ringway::mem::kind;

fn main() -> Result<()> {
    let socket = env::args().nth(1).expect("usage: attach_echo CONTROL_SOCKET [PORT]");
    let name = env::args().nth(2).unwrap_or("echo".to_owned());
    let mut port = Attachment::connect(socket, &name, Options::default())?;
    println!("attached to {name}");
    loop {
        for queue in port.queues() {
            while let Some(message) = queue.receive() {
                match message.kind {
                    kind::DATA => queue.send(message), // the same bytes, from the same slot
                    kind::EOF => queue.send(Message::marker(message.conn, kind::CLOSE)),
                    _ => {} // OPEN and CLOSED
                }
            }
        }
        port.wait(None)?; // an error when the dataplane is gone
    }
}
