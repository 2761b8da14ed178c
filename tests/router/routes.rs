//! Which handler a request meets.

use ringway::handler::http::middleware::RequestId;
use ringway::handler::http::{Ctx, Json, Reply, Request, Response, Router, StatusCode};
use ringway::pipeline::Cx;
use ringway::testing::App;

fn app(make: impl FnOnce(Router) -> Router) -> App {
    App::new(|_| make(Router::new()))
}

#[test]
fn methods_and_paths_find_their_handlers_g_15() {
    let mut app = app(|router| {
        router
            .get("/", |_| "root")
            .get("/users/:id", |ctx| format!("user {}", ctx.param("id").unwrap()))
            .get("/users/me", |_| "it is you")
            .post("/users", |_| StatusCode::CREATED)
            .put("/users/:id", |_| "put")
            .patch("/users/:id", |_| "patch")
            .delete("/users/:id", |_| StatusCode::NO_CONTENT)
            .get("/files/*path", |ctx| format!("file {}", ctx.param("path").unwrap()))
    });
    for (method, path, status, text) in [
        ("GET", "/", 200, "root"),
        ("GET", "/?q=1", 200, "root"),
        ("GET", "/users/7", 200, "user 7"),
        ("GET", "/users/a%20b?x", 200, "user a b"),
        ("GET", "/users/me", 200, "it is you"),
        ("POST", "/users", 201, ""),
        ("PUT", "/users/7", 200, "put"),
        ("PATCH", "/users/7", 200, "patch"),
        ("DELETE", "/users/7", 204, ""),
        ("GET", "/files/a/b", 200, "file a/b"),
        ("GET", "/files/", 200, "file "),
        ("GET", "/nothing", 404, "not found\n"),
        ("GET", "/users/", 404, "not found\n"),
        ("GET", "/users/7/more", 404, "not found\n"),
    ] {
        let answer = app.request(method, path, &[], "");
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {path}");
    }
    app.finish_all();
}

trait FinishAll {
    fn finish_all(self);
}

impl FinishAll for App {
    fn finish_all(self) {
        assert_eq!(self.cx.pool.missing(), 0);
    }
}

#[test]
fn head_options_and_405_come_for_free() {
    let mut app = app(|router| {
        router
            .get("/a", |_| "text")
            .post("/a", |_| "posted")
            .get("/h", |_| "get")
            .route(ringway::proto::http1::Method::Head, "/h", |_| {
                Response::empty(200).header("X-Own", "yes")
            })
            .route(ringway::proto::http1::Method::Options, "/o", |_| "own")
    });
    let head = app.request("HEAD", "/a", &[], "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("4")));
    assert_eq!(app.request("HEAD", "/h", &[], "").header("x-own"), Some("yes"));
    let options = app.request("OPTIONS", "/a", &[], "");
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
    assert_eq!(app.request("OPTIONS", "/o", &[], "").text(), "own");
    for method in ["PUT", "BREW"] {
        let refused = app.request(method, "/a", &[], "");
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    }
    assert_eq!(app.request("HEAD", "/nothing", &[], "").status, 404);
    assert_eq!(app.request("HEAD", "/o", &[], "").status, 405);
}

#[test]
fn options_of_the_server_itself_names_the_methods_of_all_routes_g_15() {
    let ask = |app: &mut App| {
        let answer = app.request("OPTIONS", "*", &[], "");
        assert!(answer.header("x-request-id").is_some(), "through the layers");
        (answer.status, answer.header("allow").map(str::to_owned))
    };
    let said = |methods: &str| (204, Some(methods.to_owned()));
    let with = |make: fn(Router) -> Router| app(|router| make(router.layer(RequestId::new())));
    let mut none = with(|router| router.fallback(|_| "fallback"));
    assert_eq!(ask(&mut none), said("OPTIONS"));
    let mut some = with(|router| router.get("/a", |_| "").group("/g", |g| g.put("/b", |_| "")));
    assert_eq!(ask(&mut some), said("GET, HEAD, PUT, OPTIONS"));
    let mut any = with(|router| router.mount("/s", plain));
    assert_eq!(ask(&mut any), said("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    // It is no path that a pattern may have.
    let mut all = with(|router| router.get("/*all", |_| "all"));
    assert_eq!(ask(&mut all), said("GET, HEAD, OPTIONS"));
}

#[test]
fn groups_have_a_prefix_and_a_fallback_of_their_own() {
    let mut app = app(|router| {
        router
            .group("/api", |api| {
                api.get("/", |_| "api root")
                    .group("/v1", |v1| v1.get("/x", |_| "x").fallback(|_| "v1 has no such"))
            })
            .fallback(|ctx| format!("nothing at {}", String::from_utf8_lossy(ctx.path())))
    });
    assert_eq!(app.get("/api/").text(), "api root");
    assert_eq!(app.get("/api/v1/x").text(), "x");
    assert_eq!(app.get("/api/v1/y/z").text(), "v1 has no such");
    assert_eq!(app.get("/api/v2").text(), "nothing at /api/v2");
}

#[test]
fn paths_are_compared_decoded_and_dot_segments_lead_nowhere_g_15() {
    let mut app = app(|router| {
        router
            .layer(RequestId::new())
            .get("/a-b/~c", |_| "literal")
            .get("/caf%C3%A9", |_| "encoded")
            .get("/%3Aid/x", |_| "colon")
            .get("/of/:name", |ctx| ctx.param("name").unwrap().into_owned())
            .get("/all/*rest", |ctx| ctx.param("rest").unwrap().into_owned())
            .fallback(|_| "nothing here")
    });
    for (path, status, text) in [
        ("/a-b/~c", 200, "literal"),
        ("/%61%2Db/%7ec", 200, "literal"),
        ("/caf%C3%A9", 200, "encoded"),
        ("/caf%c3%a9", 200, "encoded"),
        ("/%63af%C3%a9", 200, "encoded"),
        ("/:id/x", 200, "colon"),
        ("/%3aid/x", 200, "colon"),
        ("/a-b%2F~c", 200, "nothing here"),
        ("/a-b/%257ec", 200, "nothing here"),
        ("/%6ff/a%2Fb", 200, "a/b"),
        ("/of/%2e%2e%2e", 200, "..."),
        ("/of/.a", 200, ".a"),
        ("/of/%zz%", 200, "%zz%"),
        ("/all/a%20b/%2e.c", 200, "a b/..c"),
        ("/of/..", 400, "the path has dots for a name in it\n"),
        ("/of/%2e", 400, "the path has dots for a name in it\n"),
        ("/all/x/%2E./y", 400, "the path has dots for a name in it\n"),
        ("/all/x/..", 400, "the path has dots for a name in it\n"),
        ("/no/%2e%2e/such", 400, "the path has dots for a name in it\n"),
    ] {
        let answer = app.get(path);
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
        assert!(answer.header("x-request-id").is_some(), "{path}: through the layers");
    }
}

#[test]
fn any_takes_what_no_method_of_the_path_does() {
    let mut app = app(|router| router.get("/a", |_| "get").any("/a", |_| "any"));
    assert_eq!(app.get("/a").text(), "get");
    assert_eq!(app.request("HEAD", "/a", &[], "").header("content-length"), Some("3"));
    assert_eq!(app.request("DELETE", "/a", &[], "").text(), "any");
    assert_eq!(app.request("BREW", "/a", &[], "").text(), "any");
}

#[test]
fn queries_are_decoded_as_forms_are() {
    let mut app = app(|router| {
        router.get("/q", |ctx| {
            Json([ctx.query("a"), ctx.query("b"), ctx.query("c")].map(|v| v.map(String::from)))
        })
    });
    assert_eq!(app.get("/q?a=1+2&b=%c3%a9").text(), r#"["1 2","é",null]"#);
    assert_eq!(app.get("/q?c").text(), r#"[null,null,""]"#);
    assert_eq!(app.get("/q").text(), "[null,null,null]");
}

#[test]
fn routes_that_make_no_sense_are_refused_before_the_start() {
    for (router, why) in [
        (Router::new().get("/a", |_| "").get("/a", |_| ""), "there is one"),
        (Router::new().any("/a", |_| "").mount("/a", plain), "there is one"),
        (Router::new().get("/:a", |_| "").get("/:b", |_| ""), "there is one"),
        (Router::new().get("/%61", |_| "").get("/a", |_| ""), "there is one"),
        (Router::new().get("/a/%2e./b", |_| ""), "never routed"),
        (Router::new().get("a", |_| ""), "begin with"),
        (Router::new().group("b", |b| b.get("/a", |_| "")), "begin with"),
        (Router::new().group("/b", |b| b.get("a", |_| "")), "begin with"),
    ] {
        let error = router.build().err().expect(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

fn plain(_cx: &mut Cx, request: &Request<'_>) -> Reply {
    match request.path() {
        b"/echo" => Response::echo().into(),
        _ => Response::text(200, "a service").into(),
    }
}

#[test]
fn services_are_mounted_and_may_echo_from_where_the_body_lies() {
    let mut app = app(|router| router.mount("/echo", plain).mount("/s/*rest", plain));
    let body = vec![b'x'; 5000];
    assert_eq!(app.post("/echo", &body).body, body);
    assert_eq!(app.get("/s/1/2").text(), "a service");
}

#[test]
fn heads_are_told_in_the_words_of_the_http_crate() {
    let mut app = app(|router| {
        router.any("/h/*rest", |ctx: &mut Ctx<'_>| {
            let head = ctx.to_http().unwrap();
            let response =
                http::Response::builder().status(202).header("X-Was", head.method().as_str());
            let response =
                response.header("Connection", "close").header("X-Uri", head.uri().path());
            response.body(format!("{:?}", head.headers().get("x-a").unwrap()).into_bytes()).unwrap()
        })
    });
    let answer = app.request("BREW", "/h/x?y", &["X-A: b"], "");
    assert_eq!((answer.status, answer.text()), (202, "\"b\""));
    assert_eq!((answer.header("x-was"), answer.header("x-uri")), (Some("BREW"), Some("/h/x")));
    assert_eq!(answer.header("connection"), None, "that is not its to say");
}
