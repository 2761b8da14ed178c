use std::sync::Arc;

use super::*;
use crate::config::{AdminConfig, AdminToken};
use crate::counters::snapshot::{LcoreSnapshot, State};

const TOKEN: &str = "0123456789abcdef";

fn site(token: Option<&str>, tell: impl Fn() -> Snapshot + Send + Sync + 'static) -> Site {
    site_of(token, Arc::new(move || Ok(tell())))
}

fn site_of(token: Option<&str>, source: Source) -> Site {
    let address = "127.0.0.1:9090".parse().unwrap();
    let token = token.map(|text| AdminToken::Text(text.into()));
    let access = Access::new(&AdminConfig { address, token }, address).unwrap();
    Site::new(access, source)
}

fn running() -> Snapshot {
    Snapshot { state: State::Running, instance: "blue".into(), ..Snapshot::default() }
}

/// The whole answer to a request with these lines.
fn ask(site: &Site, line: &str, fields: &str) -> String {
    let text = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let request = Request::decode(text.as_bytes()).unwrap().unwrap();
    String::from_utf8(site.answer(&request)).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_path_has_its_media_type_and_nothing_else_is_there() {
    let site = site(None, running);
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/stats.json", "application/json"),
        ("/stats.json?buckets=1", "application/json"),
        ("/words.json", "application/json"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz?x", "text/plain; charset=utf-8"),
    ] {
        let answer = ask(&site, &format!("GET {path}"), "");
        assert_eq!(status(&answer), 200, "{path}");
        assert!(answer.contains(&format!("\r\nContent-Type: {media_type}\r\n")), "{answer}");
        let head = ask(&site, &format!("HEAD {path}"), "");
        assert_eq!(head.split_once("\r\n\r\n").unwrap().1, "", "{path}");
    }
    for path in [
        "/metrics/",
        "//metrics",
        "/../metrics",
        "/./",
        "/%6detrics",
        "/Metrics",
        "/index.html",
        "/..",
        "/etc/passwd",
        "/../../../../etc/passwd",
        "/metrics%00",
        "/metrics;x",
        "/metrics/..",
    ] {
        assert_eq!(status(&ask(&site, &format!("GET {path}"), "")), 404, "{path}");
    }
}

#[test]
fn whatever_would_change_something_is_refused() {
    let site = site(None, running);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = ask(&site, &format!("{method} /"), "");
        assert_eq!(status(&answer), 405, "{method}");
        assert!(answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }
}

#[test]
fn health_is_200_or_503_and_why() {
    let of = |path: &str, state, silent_ns| {
        let lcores = vec![LcoreSnapshot { silent_ns, ..LcoreSnapshot::default() }];
        let site = site(None, move || Snapshot { state, lcores: lcores.clone(), ..running() });
        let answer = ask(&site, &format!("GET {path}"), "");
        (status(&answer), answer.split_once("\r\n\r\n").unwrap().1.trim().to_owned())
    };
    assert_eq!(of("/healthz", State::Running, 0), (200, "ok".into()));
    assert_eq!(of("/healthz", State::Draining, 0), (200, "ok".into()));
    assert_eq!(of("/readyz", State::Draining, 0), (503, "it drains".into()));
    let hangs = (503, "lcore 0 has been silent for 9.0 s".into());
    assert_eq!(of("/healthz", State::Running, 9_000_000_000), hangs);
    assert_eq!(of("/readyz", State::Running, 9_000_000_000), hangs);
}

#[test]
fn with_a_token_only_health_is_told_without_it_and_not_why() {
    let ill = || Snapshot { state: State::Died, ..Snapshot::default() };
    let (well, ill) = (site(Some(TOKEN), running), site(Some(TOKEN), ill));
    for path in ["/", "/metrics", "/stats.json", "/words.json", "/nothing", "/../metrics"] {
        for fields in ["", "Authorization: Bearer wrong\r\n", "Cookie: ringway_9090=wrong\r\n"] {
            let answer = ask(&well, &format!("GET {path}"), fields);
            assert_eq!(status(&answer), 401, "{path}");
            assert!(!answer.contains("blue") && answer.contains("\r\nWWW-Authenticate: Bearer"));
        }
        assert_eq!(status(&ask(&well, &format!("GET {path}?token=0123456789abcdeg"), "")), 401);
    }
    assert_eq!(status(&ask(&well, "GET /healthz", "")), 200);
    let told = ask(&ill, "GET /healthz", "");
    assert!(status(&told) == 503 && !told.contains("gone"), "{told}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(ask(&ill, "GET /healthz", &bearer).contains("its process is gone"));
    assert_eq!(status(&ask(&well, "GET /metrics", &bearer)), 200);
    let form = ask(&well, "GET /", "Accept: text/html\r\n");
    assert!(status(&form) == 401 && form.contains("<form"), "{form}");
}

#[test]
fn the_token_in_the_url_is_changed_for_a_cookie_once() {
    let site = site(Some(TOKEN), running);
    let answer = ask(&site, &format!("GET /?token={TOKEN}"), "");
    assert_eq!(status(&answer), 303);
    assert!(answer.contains("\r\nLocation: /\r\n"), "{answer}");
    let cookie = answer.split_once("Set-Cookie: ").unwrap().1;
    assert!(cookie.lines().next().unwrap().ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    for path in ["/", "/metrics", "/stats.json"] {
        assert_eq!(status(&ask(&site, &format!("GET {path}"), &cookie)), 200);
    }
}

#[test]
fn a_page_of_another_host_reads_nothing() {
    let site = site(None, running);
    let text = "GET /stats.json HTTP/1.1\r\nHost: evil.example:9090\r\n\r\n";
    let request = Request::decode(text.as_bytes()).unwrap().unwrap();
    let answer = String::from_utf8(site.answer(&request)).unwrap();
    assert!(status(&answer) == 421 && !answer.contains("blue"), "{answer}");
}

#[test]
fn openmetrics_are_for_those_who_accept_them() {
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let answer = ask(&site(None, running), "GET /metrics", accept);
    assert!(answer.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0;"));
    assert!(answer.ends_with("# EOF\n"));
}

#[test]
fn a_source_that_panics_costs_its_request_alone() {
    let site = site(None, || panic!("on purpose"));
    assert_eq!(status(&ask(&site, "GET /metrics", "")), 500);
    assert_eq!(status(&ask(&site, "GET /", "")), 200);
}

#[test]
fn a_source_that_cannot_tell_says_why() {
    use crate::error::Error;
    let site = site_of(None, Arc::new(|| Err(Error::new("look", "it is dark", "light a lamp"))));
    for (path, expected) in [("/metrics", 500), ("/stats.json", 500), ("/healthz", 503)] {
        let answer = ask(&site, &format!("GET {path}"), "");
        assert!(status(&answer) == expected && answer.contains("it is dark"), "{answer}");
    }
}

#[test]
fn pages_run_their_own_script_and_reach_nobody_else() {
    let of = |page| policy(page);
    assert!(of(LOGIN).contains("script-src 'none'; style-src 'sha256-"), "{}", of(LOGIN));
    assert!(of(DASHBOARD).contains("script-src 'sha256-"), "{}", of(DASHBOARD));
    for page in [LOGIN, DASHBOARD] {
        assert!(of(page).starts_with("default-src 'none';"));
        for foreign in ["http://", "https://", "src=\"//", "@import", "url("] {
            let elsewhere = page.replace("http://www.w3.org/2000/svg", "").contains(foreign);
            assert!(!elsewhere, "{foreign}: a page needs nothing from elsewhere");
        }
        for element in ["<script", "<style"] {
            assert!(page.matches(element).count() <= 1, "what has no hash does not run");
        }
        assert!(!page.contains(" style=\"") && !page.contains(" onclick="));
    }
}
