//! Services behind a router: files, uploads, and what answers when it is polled.

use std::fs;

use ringway::handler::http::middleware::{Auth, Compress, RequestId};
use ringway::handler::http::{
    Ctx, Files, Ready, Reply, Request, Response, Router, Service, Upload,
};
use ringway::limits::HTTP_BODY_BYTES_MAX;
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::testing::{Answer, App};

fn finish(app: &mut App, conn: ConnId) -> Answer {
    while app.run_offloaded() > 0 {}
    app.answer(conn, false).expect("an answer")
}

#[test]
fn files_and_uploads_are_mounted_beside_functions_g_18() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.css"), "a { color: red }".repeat(100)).unwrap();
    let mut app = App::new(|_| {
        let files = Files::new(dir.path()).unwrap().at_prefix("/static");
        let upload = Upload::new(dir.path()).unwrap().at_prefix("/up");
        Router::new()
            .layer(RequestId::new())
            .layer(Compress)
            .get("/", |_| "page")
            .mount("/static/*path", files)
            .mount("/up/*path", upload)
    });
    assert_eq!(app.get("/").text(), "page");
    let put = "PUT /up/new.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let conn = app.begin(put, b"hello");
    let answer = finish(&mut app, conn);
    assert_eq!(answer.status, 201, "{}", answer.text());
    for (path, status, text) in [
        ("new.txt", 200, "hello"),
        ("a.css", 200, &*"a { color: red }".repeat(100)),
        ("none", 404, "not found\n"),
    ] {
        let head = format!("GET /static/{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let conn = app.begin(&head, b"");
        let answer = finish(&mut app, conn);
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
        assert_eq!(answer.header("x-request-id").map(str::len), Some(16), "{path}");
    }
    assert_eq!(app.get("/static/../a.css").status, 400);
    assert_eq!(app.post("/static/a.css", "x").status, 405);
}

#[test]
fn no_spelling_of_a_path_leads_round_the_layers_of_a_group_g_15_g_18() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("pri+vate")).unwrap();
    fs::write(dir.path().join("pri+vate/x"), "secret").unwrap();
    fs::write(dir.path().join("open"), "open").unwrap();
    let mut app = App::new(|_| {
        let files = Files::new(dir.path()).unwrap().at_prefix("/files");
        let mut upload = Upload::new(dir.path()).unwrap().at_prefix("/up");
        upload = upload.with_files(Files::new(dir.path()).unwrap().at_prefix("/up"));
        let guard = |ctx: &mut Ctx<'_>| ctx.bearer() == Some(b"s3cret");
        let (first, second) = (Auth::new("Bearer", guard), Auth::new("Bearer", guard));
        let private = files.clone();
        Router::new()
            .group("/files/pri+vate", |g| g.layer(first).mount("/*path", private))
            .group("/up/pri%2Bvate", |g| g.layer(second).any("/*path", |_| "guarded"))
            .mount("/files/*path", files)
            .mount("/up/*path", upload)
    });
    let mut ask = |method: &str, path: &str, fields: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let conn = app.begin(&head, b"");
        let answer = finish(&mut app, conn);
        (answer.status, answer.text().to_owned())
    };
    for path in ["pri+vate/x", "%70ri+vate/x", "pri%2Bvate/x", "pri%2bvat%65/%78", "%70%72i+vate/x"]
    {
        for prefix in ["/files", "/%66iles", "http://a/%66%69les", "/up", "/%75p"] {
            let target = format!("{prefix}/{path}");
            assert_eq!(ask("GET", &target, "").0, 401, "{target}");
            assert_eq!(ask("PUT", &target, "Content-Length: 0\r\n").0, 401, "{target}");
        }
        let known = ask("GET", &format!("/%66iles/{path}"), "Authorization: Bearer s3cret\r\n");
        assert_eq!(known, (200, "secret".to_owned()), "{path}");
    }
    assert_eq!(ask("GET", "/%66iles/%6fpen", ""), (200, "open".to_owned()));
    assert_eq!(ask("GET", "/%75p/ope%6E", ""), (200, "open".to_owned()));
    // What is no slash to the router is none to what it leads to.
    assert_eq!(ask("GET", "/files/pri+vate%2Fx", "").0, 400);
    assert_eq!(ask("GET", "/files%2Fpri+vate/x", "").0, 404);
    for dots in ["open/../pri+vate/x", "open/%2e%2E/pri+vate/x", ".%2e/files/pri+vate/x", "%2e/x"] {
        assert_eq!(ask("GET", &format!("/files/{dots}"), "").0, 400, "{dots}");
    }
}

#[test]
fn a_router_takes_bodies_as_large_as_its_services_do_and_its_functions_what_is_usual() {
    let dir = tempfile::tempdir().unwrap();
    let upload = Upload::new(dir.path()).unwrap().max_bytes(1 << 30);
    let most = upload.body_bytes_max();
    let router = Router::new().mount("/up/*path", upload.at_prefix("/up"));
    let routed = router.post("/len", |ctx| ctx.body().len().to_string()).build().unwrap();
    assert_eq!(routed.body_bytes_max(), most);
    assert_eq!(Router::new().post("/len", |_| "").build().unwrap().body_bytes_max(), None);
}

#[test]
fn a_function_beside_an_upload_takes_bodies_up_to_what_is_usual_and_no_larger() {
    let dir = tempfile::tempdir().unwrap();
    let usual = HTTP_BODY_BYTES_MAX as usize;
    let mut app = App::new(|_| {
        let upload = Upload::new(dir.path()).unwrap().at_prefix("/up");
        let len = |ctx: &mut Ctx<'_>| ctx.body().len().to_string();
        Router::new().mount("/up/*path", upload).post("/len", len)
    });
    assert_eq!(app.post("/len", vec![1; usual]).text(), usual.to_string());
    assert_eq!(app.post("/len", vec![1; usual + 1]).status, 413);
    let head = format!("PUT /up/a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", usual + 1);
    let conn = app.begin(&head, b"");
    for piece in vec![7; usual + 1].chunks(16 * 1024) {
        app.receive(conn, piece);
        while app.run_offloaded() > 0 {}
    }
    assert_eq!(finish(&mut app, conn).status, 201);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), HTTP_BODY_BYTES_MAX + 1);
}

/// Answers when it is polled.
struct Polled(Vec<ConnId>);

impl Service for Polled {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        Reply::Body
    }

    fn body(&mut self, _cx: &mut Cx, conn: ConnId, _part: &Buf, _last: bool) -> Reply {
        self.0.push(conn);
        Reply::Later
    }

    fn ready(&mut self, _cx: &mut Cx) -> Option<Ready> {
        Some(Ready::Response(self.0.pop()?, Response::text(200, "polled")))
    }

    fn is_polled(&self) -> bool {
        true
    }
}

#[test]
fn a_service_that_is_polled_answers_through_the_layers() {
    let mut app = App::new(|_| {
        Router::new().layer(RequestId::new()).get("/", |_| "page").mount("/p", Polled(Vec::new()))
    });
    let conn = app.begin("GET /p HTTP/1.1\r\nHost: a\r\n\r\n", b"");
    let answer = app.answer(conn, false).expect("an answer");
    assert_eq!(answer.text(), "polled");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(16));
    assert_eq!(app.post("/p", "x").text(), "polled");
}
