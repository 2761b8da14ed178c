//! Layers around handlers: `cargo run --release --example middleware`, then
//! `curl -i localhost:8080/`, `curl -i -H 'Authorization: Bearer secret' localhost:8080/api/me`,
//! `curl -i localhost:8080/api/me`, `curl -i localhost:8080/panic`, `curl -i --compressed localhost:8080/long`.

use std::time::Duration;

use ringway::dataplane::Builder;
use ringway::handler::http::middleware::{
    AccessLog, Auth, Compress, Cors, Log, RateLimit, RequestId, Timeout,
};
use ringway::handler::http::{Ctx, Failure, Json, Router};
use ringway::pipeline::Extensions;
use serde_json::json;

/// Who asks: found out by a layer, read by handlers.
struct User(&'static str);

fn main() -> ringway::error::Result<()> {
    let log = AccessLog::to(std::io::stdout())?;
    let lines = log.lines();
    let router = move |extensions: &mut Extensions| {
        let user = extensions.register_message::<User>();
        Router::new()
            .layer(RequestId::new())
            .layer(Log::new(&lines))
            .layer(Cors::any())
            .layer(Compress)
            .layer(Timeout::after(Duration::from_secs(5)))
            .layer(RateLimit::per_connection(1000, 100))
            .get("/", |_| "hello\n")
            .get("/long", |_| "a long line of text, which is shorter on the wire\n".repeat(100))
            .get("/panic", |_| -> &'static str { panic!("this costs one request") })
            .get("/error/:number", |ctx: &mut Ctx<'_>| -> Result<String, Failure> {
                let number: u8 = ctx.param("number").unwrap_or_default().parse()?;
                Ok(format!("{number} is a number\n"))
            })
            .get("/slow/:n", |ctx| {
                let n: u64 = ctx.param("n").and_then(|n| n.parse().ok()).unwrap_or(1);
                // Leaves the core to others; cancelled when the client goes away.
                ctx.offload(move |cancel| {
                    let sum: u64 = (0..n).take_while(|_| !cancel.is_cancelled()).sum();
                    format!("{sum}\n")
                })
            })
            .group("/api", |api| {
                let known = move |ctx: &mut Ctx<'_>| match ctx.bearer() {
                    Some(b"secret") => ctx.set(user, User("ann")),
                    _ => false,
                };
                api.layer(Auth::new("Bearer", known)).get("/me", move |ctx| {
                    let name = ctx.get(user).map(|user| user.0);
                    let id = ctx.request_id().map(|id| id.to_string());
                    Json(json!({ "name": name, "request": id }))
                })
            })
            // A function is a layer too: the innermost here.
            .wrap(|ctx, next| match ctx.header("x-teapot") {
                Some(_) => Failure::new(418, "short and stout").into(),
                None => next.run(ctx),
            })
    };
    println!("{}", Builder::on_one_core()?.router(([127, 0, 0, 1], 8080), router).run()?);
    Ok(())
}
