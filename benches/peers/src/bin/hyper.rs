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
use tokio::net::TcpStream;

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello World!")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn serve(stream: TcpStream) {
    let mut http = hyper::server::conn::http1::Builder::new();
    let connection =
        http.pipeline_flush(true).serve_connection(TokioIo::new(stream), service_fn(hello));
    // A peer that hangs up is no error of the server.
    let _ = connection.await;
}

fn main() {
    ringway_peers::serve_tcp(serve);
}
