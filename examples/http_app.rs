//! An application behind a dataplane: HTTP requests reach this process through shared memory.
//!
//! Serve a listener with `protocol = "http"` and `handler = "port:app"` (`ringway run --config
//! examples/ports.toml`), then start this with the path of its control socket, and ask: `curl -i
//! localhost:8081/hello`. Kill it and start it again as you like: meanwhile clients get 503.

use std::env;

use ringway::attach::{Attachment, Options};
use ringway::error::Result;

fn main() -> Result<()> {
    let socket = env::args().nth(1).expect("usage: http_app CONTROL_SOCKET [PORT]");
    let name = env::args().nth(2).unwrap_or("app".to_owned());
    let mut port = Attachment::connect(socket, &name, Options::default())?;
    println!("attached to {name}");
    loop {
        for queue in port.queues() {
            while let Some(message) = queue.receive() {
                // Parts of bodies come as messages of their own, which this one does without.
                let Some(request) = message.request() else { continue };
                let (status, body) = match request.path() {
                    b"/hello" => (200, "hello from another process\n"),
                    _ => (404, "not found\n"),
                };
                let fields = "Content-Type: text/plain\r\n";
                queue.respond(&message, status, fields, body.as_bytes());
            }
        }
        port.wait(None)?; // an error when the dataplane is gone
    }
}
