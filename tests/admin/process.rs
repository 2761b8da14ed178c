//! `ringway run` with an admin listener, asked by curl and by others.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::bed::{TOKEN, get};
use crate::common::{Running, wait_until};
use crate::prometheus::{Metric, parse};

/// One HTTP listener, an admin listener, and more of its table.
fn toml(more: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{more}\n"
    )
}

fn start(name: &str, lcores: usize, more: &str) -> (Running, SocketAddr) {
    let running = Running::start(name, lcores, &toml(more));
    let admin = running.admin.expect("it has an admin listener");
    (running, admin)
}

fn metrics(admin: SocketAddr) -> Vec<Metric> {
    let response = get(admin, "/metrics", "");
    assert_eq!(response.status(), 200);
    let text = String::from_utf8(response.body).unwrap();
    parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The sum of all samples of this name.
fn sum(metrics: &[Metric], name: &str) -> f64 {
    let samples = metrics.iter().flat_map(|metric| &metric.samples);
    samples.filter(|sample| sample.name == name).map(|sample| sample.value).sum()
}

/// Whether a program is there, which is said where it is not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn metrics_count_what_was_served() {
    let (running, admin) = start("metrics", 2, "");
    let before = sum(&metrics(admin), "ringway_lcore_messages_total");
    let mut client = running.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/health").status(), 200);
    }
    // The answer may be there before its count.
    wait_until(|| sum(&metrics(admin), "ringway_lcore_messages_total") == before + 10.0);
    wait_until(|| sum(&metrics(admin), "ringway_lcore_connections") == 1.0);
    let metrics = metrics(admin);
    assert_eq!(sum(&metrics, "ringway_up"), 1.0);
    let lcores: Vec<_> = metrics
        .iter()
        .filter(|metric| metric.name == "ringway_lcore_rounds_total")
        .flat_map(|metric| &metric.samples)
        .map(|sample| sample.label("lcore").unwrap().to_owned())
        .collect();
    assert_eq!(lcores, ["0", "1"]);
    assert!(sum(&metrics, "ringway_lcore_seconds_total") > 0.0);
    assert!(sum(&metrics, "ringway_pool_slots") > 0.0);
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    if !has("promtool") {
        return;
    }
    let (running, admin) = start("promtool", 1, "");
    assert_eq!(running.connect().get("/health").status(), 200);
    let text = get(admin, "/metrics", "").body;
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn curl_reads_every_page() {
    if !has("curl") {
        return;
    }
    let (_running, admin) = start("curl", 1, "");
    let curl = |path: &str, arguments: &[&str]| {
        let url = format!("http://localhost:{}{path}", admin.port());
        let form = [
            "-sS",
            "--noproxy",
            "*",
            "--max-time",
            "60",
            "-4",
            "-w",
            "\n%{http_code} %{content_type}",
        ];
        let output = Command::new("curl").args(form).args(arguments).arg(url).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, form) = text.rsplit_once('\n').unwrap();
        (body.to_owned(), form.to_owned())
    };
    assert_eq!(curl("/healthz", &[]), ("ok\n".into(), "200 text/plain; charset=utf-8".into()));
    assert_eq!(curl("/readyz", &[]).0, "ok\n");
    let (page, form) = curl("/", &["--compressed"]);
    assert!(page.starts_with("<!DOCTYPE html>") && form == "200 text/html; charset=utf-8");
    let stats: serde_json::Value =
        serde_json::from_str(&curl("/stats.json?buckets=1", &[]).0).unwrap();
    assert_eq!(stats["state"], "running");
    assert_eq!(stats["listeners"][0]["protocol"], "http");
    assert!(curl("/", &["-X", "POST", "--data", "x=1"]).1.starts_with("405"));
    assert!(curl("/", &["-I"]).1.starts_with("200"));
    assert!(curl("/", &["-H", "Host: evil.example"]).1.starts_with("421"));
    assert!(curl("/../../etc/passwd", &["--path-as-is"]).1.starts_with("404"));
}

#[test]
fn it_is_ready_until_it_drains_and_alive_until_its_end() {
    let (running, admin) = start("drain", 1, "[dataplane]\ndrain_timeout_ms = 3600000");
    let status = |path| get(admin, path, "").status();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    // A request that is not whole keeps the drain waiting.
    let mut client = running.connect();
    client.send("GET /health HTTP/1.1\r\n");
    wait_until(|| sum(&metrics(admin), "ringway_lcore_connections") == 1.0);
    running.signal(Signal::SIGTERM);
    wait_until(|| status("/readyz") == 503);
    assert_eq!(get(admin, "/readyz", "").body, b"it drains\n");
    assert_eq!(status("/healthz"), 200);
    running.signal(Signal::SIGTERM);
    running.ended_well();
    assert!(std::net::TcpStream::connect(admin).is_err(), "it ends with its instance");
}

#[test]
fn with_a_token_everything_but_health_needs_it() {
    let (_running, admin) = start("token", 1, &format!("token = \"{TOKEN}\""));
    let status = |path: &str, fields: &str| get(admin, path, fields).status();
    assert_eq!(status("/healthz", ""), 200);
    for path in ["/", "/metrics", "/stats.json"] {
        assert_eq!(status(path, ""), 401);
        assert_eq!(status(path, "Authorization: Bearer 0123456789abcdeF\r\n"), 401);
        assert_eq!(status(path, &format!("Authorization: Bearer {TOKEN}\r\n")), 200);
    }
    let login = get(admin, &format!("/?token={TOKEN}"), "");
    let cookie = login.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!((login.status(), login.field("location")), (303, Some("/")));
    assert_eq!(status("/", &format!("Cookie: {cookie}\r\n")), 200);
}
