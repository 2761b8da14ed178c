//! fastwebsockets on one thread, which sends every message back, as its own example does.
//!
//! usage: fastwebsockets; prints the port that it listens on.

use std::convert::Infallible;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

async fn echo(upgrade: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn open(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (response, socket) = upgrade(&mut request).expect("a request for a WebSocket");
    tokio::task::spawn_local(echo(socket));
    Ok(response)
}

async fn serve(stream: TcpStream) {
    let http = hyper::server::conn::http1::Builder::new();
    let connection = http.serve_connection(TokioIo::new(stream), service_fn(open));
    // A peer that hangs up is no error of the server.
    let _ = connection.with_upgrades().await;
}

fn main() {
    ringway_peers::serve_tcp(serve);
}
