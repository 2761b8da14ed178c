//! hyper on one thread, pipelined replies gathered. Answers every request with 12 bytes of text.
//!
//! usage: hyper; prints the port that it listens on.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello World!")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn serve(stream: TcpStream) {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut http = hyper::server::conn::http1::Builder::new();
    let connection =
        http.pipeline_flush(true).serve_connection(TokioIo::new(stream), service_fn(hello));
    // A peer that hangs up is no error of the server.
    let _ = connection.await;
}

async fn listen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("bound").port());
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::task::spawn_local(serve(stream));
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("tokio");
    tokio::task::LocalSet::new().block_on(&runtime, listen());
}
