//! A page that talks to the server it came from. `cargo run --release --example websocket_page`, then open
//! <http://localhost:8080> in a browser. The argument is where to listen, if that is to be elsewhere.

use std::net::SocketAddr;

use ringway::dataplane::Builder;
use ringway::handler::http::{Reply, Request, Response};
use ringway::handler::websocket::{Out, Service};
use ringway::mem::Buf;
use ringway::pipeline::Cx;
use ringway::pipeline::chain::websocket::MessageMeta;
use ringway::proto::websocket::CloseCode;

/// Gives the page to whoever asks for it, sends messages back, and closes with the code in a message `close 4001`.
struct Page;

impl Service for Page {
    fn request(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        match request.path() {
            b"/" => Response::text(200, include_str!("websocket_page.html"))
                .content_type("text/html; charset=utf-8")
                .into(),
            _ => Response::text(404, "not found\n").into(),
        }
    }

    fn message(&mut self, _cx: &mut Cx, message: Buf, _meta: MessageMeta, out: &mut Out<'_>) {
        let (conn, code) = (message.conn(), asked_for(&message));
        out.send(message);
        if let Some(code) = code {
            out.close(conn, code);
        }
    }
}

/// The code in `close 4001`.
fn asked_for(message: &[u8]) -> Option<CloseCode> {
    let digits = message.strip_prefix(b"close ")?;
    CloseCode::new(std::str::from_utf8(digits).ok()?.parse().ok()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("0.0.0.0:8080".to_owned());
    let builder = Builder::on_one_core()?.websocket(address.parse::<SocketAddr>()?, || Page);
    println!("{}", builder.run()?);
    Ok(())
}
