//! An HTTP server. `cargo run --release --example http_hello`, then `curl localhost:8080/hello/you`

use ringway::dataplane::Builder;
use ringway::handler::http::{Request, Response};
use ringway::pipeline::Cx;

fn answer(_cx: &mut Cx, request: &Request<'_>) -> Response {
    match request.path() {
        b"/" => Response::text(200, "hello, whoever you are\n"),
        path => match path.strip_prefix(b"/hello/") {
            Some(name) => {
                Response::text(200, format!("hello, {}\n", String::from_utf8_lossy(name)))
            }
            None => Response::text(404, "not found\n"),
        },
    }
}

fn main() -> ringway::error::Result<()> {
    let report = Builder::on_one_core()?.http(([0, 0, 0, 0], 8080), || answer).run()?;
    println!("{report}");
    Ok(())
}
