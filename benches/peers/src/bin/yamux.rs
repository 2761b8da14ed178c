//! yamux over TLS 1.3 on one thread: messages of streams, echoed.
//!
//! usage: yamux          serves, and prints the port that it listens on
//!        yamux PORT     drives such a server, by orders from standard input

use std::future::poll_fn;

use ringway_peers::{STREAMS, Secure, block_on, connect, drive, echo, listen, port_to_drive};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

const PROTOCOL: &[u8] = b"yamux";

async fn serve(connection: Secure) {
    let mut connection = Connection::new(connection.compat(), Config::default(), Mode::Server);
    // It works as long as somebody waits for the next stream.
    while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        tokio::task::spawn_local(async {
            let (reader, writer) = tokio::io::split(stream.compat());
            // A peer that hangs up is no error of the server.
            let _ = echo(reader, writer).await;
        });
    }
}

async fn open(port: u16) -> Vec<Stream> {
    let socket = connect(PROTOCOL, port).await.compat();
    let mut connection = Connection::new(socket, Config::default(), Mode::Client);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(poll_fn(|cx| connection.poll_new_outbound(cx)).await.expect("a stream"));
    }
    tokio::task::spawn_local(async move {
        while let Some(Ok(_)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {}
    });
    streams
}

fn main() {
    block_on(async {
        match port_to_drive() {
            None => listen(PROTOCOL, serve).await,
            Some(port) => {
                let streams = open(port).await.into_iter();
                drive(streams.map(|stream| tokio::io::split(stream.compat())).collect()).await;
            }
        }
    });
}
