//! HTTP/2 over TLS 1.3 on one thread: messages in the bodies of requests and their responses, echoed.
//!
//! usage: h2          serves, and prints the port that it listens on
//!        h2 PORT     drives such a server, by orders from standard input

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use ringway_peers::{STREAMS, Secure, block_on, connect, drive, echo, listen, port_to_drive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PROTOCOL: &[u8] = b"h2";

/// Of a stream and of all: more than is ever under way.
const WINDOW_BYTES: u32 = 4 << 20;

/// A body that comes, as bytes.
struct Incoming {
    body: RecvStream,
    data: Bytes,
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.data.is_empty() {
            let Some(data) = ready!(self.body.poll_data(cx)) else { return Poll::Ready(Ok(())) };
            self.data = data.map_err(io::Error::other)?;
        }
        let bytes = self.data.len().min(to.remaining());
        to.put_slice(&self.data[..bytes]);
        self.data.advance(bytes);
        let released = self.body.flow_control().release_capacity(bytes);
        Poll::Ready(released.map_err(io::Error::other))
    }
}

/// A body that goes.
struct Outgoing(SendStream<Bytes>);

impl AsyncWrite for Outgoing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.reserve_capacity(bytes.len());
        while self.0.capacity() == 0 {
            let capacity = ready!(self.0.poll_capacity(cx)).ok_or(io::ErrorKind::BrokenPipe)?;
            capacity.map_err(io::Error::other)?;
        }
        let len = bytes.len().min(self.0.capacity());
        let sent = self.0.send_data(Bytes::copy_from_slice(&bytes[..len]), false);
        Poll::Ready(sent.map(|()| len).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}

async fn serve(socket: Secure) {
    let mut server = h2::server::Builder::new();
    server.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let mut connection = server.handshake::<_, Bytes>(socket).await.expect("a handshake");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let writer = respond.send_response(Response::new(()), false).expect("a response");
        let reader = Incoming { body: request.into_body(), data: Bytes::new() };
        // A peer that hangs up is no error of the server.
        tokio::task::spawn_local(async { drop(echo(reader, Outgoing(writer)).await) });
    }
}

async fn run(port: u16) {
    let mut client = h2::client::Builder::new();
    client.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let socket = connect(PROTOCOL, port).await;
    let (client, connection) = client.handshake::<_, Bytes>(socket).await.expect("a handshake");
    tokio::task::spawn_local(connection);
    let mut client = client.ready().await.expect("a connection");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = Request::builder().method(Method::POST).uri("https://localhost/").body(());
        let sent = client.send_request(request.expect("a request"), false);
        let (response, writer) = sent.expect("it is sent");
        let body = response.await.expect("a response").into_body();
        streams.push((Incoming { body, data: Bytes::new() }, Outgoing(writer)));
    }
    drive(streams).await;
}

fn main() {
    block_on(async {
        match port_to_drive() {
            None => listen(PROTOCOL, serve).await,
            Some(port) => run(port).await,
        }
    });
}
