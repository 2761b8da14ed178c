//! Values that layers hang on requests and connections for each other.

use ringway::handler::http::{Ctx, Router};
use ringway::testing::App;

#[test]
fn a_request_has_its_values_and_its_connection_has_others_a_8() {
    let mut app = App::new(|extensions| {
        let (user, visits) =
            (extensions.register_message::<String>(), extensions.register::<u32>());
        let say = move |ctx: &mut Ctx<'_>| {
            let name = ctx.get(user).cloned().unwrap_or_default();
            format!("{name} {}", ctx.get(visits).copied().unwrap_or_default())
        };
        Router::new()
            .wrap(move |ctx, next| {
                if let Some(name) = ctx.query("user").map(String::from) {
                    assert!(ctx.set(user, name));
                }
                let so_far = ctx.get(visits).copied().unwrap_or_default();
                assert!(ctx.set(visits, so_far + 1));
                next.run(ctx)
            })
            .get("/", say)
            .post("/", say)
    });
    let conn = app.open();
    let ask = |app: &mut App, request: &str| {
        app.receive(conn, request);
        app.answer(conn, false).unwrap().text().to_owned()
    };
    assert_eq!(ask(&mut app, "GET /?user=ann HTTP/1.1\r\nHost: a\r\n\r\n"), "ann 1");
    assert_eq!(ask(&mut app, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), " 2");
    let post = "POST /?user=bob HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(ask(&mut app, post), "bob 3");
    assert_eq!(app.get("/?user=cid").text(), "cid 1", "another connection");
}
