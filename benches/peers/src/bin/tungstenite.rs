//! tokio-tungstenite on one thread, which sends every message back, as its own example does: what is there is
//! answered before it is flushed.
//!
//! usage: tungstenite; prints the port that it listens on.

use std::future::ready;

use futures_util::{StreamExt, TryStreamExt};
use tokio::net::TcpStream;

async fn serve(stream: TcpStream) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let (sink, messages) = socket.split();
    let messages = messages.try_filter(|message| ready(message.is_text() || message.is_binary()));
    // A peer that hangs up is no error of the server.
    let _ = messages.forward(sink).await;
}

fn main() {
    ringway_peers::serve_tcp(serve);
}
