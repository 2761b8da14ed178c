//! A client that somebody else wrote.

use std::process::{Command, Output};

use crate::common::{Server, pattern};

/// Runs curl, or says why not.
fn curl(arguments: &[&str]) -> Option<Output> {
    let command = Command::new("curl").args(["-sS", "--max-time", "30"]).args(arguments).output();
    if command.is_err() {
        println!("skipped: curl is not installed");
    }
    command.ok()
}

#[test]
fn curl_gets_and_posts_over_one_connection() {
    let server = Server::http();
    let root = format!("http://{}", server.address(0));
    let (get, ping) = (format!("{root}/"), format!("{root}/ping"));
    let Some(output) = curl(&[&get, &get, "--next", "-sS", "-X", "POST", &ping]) else { return };
    assert!(output.status.success(), "{output:?}");
    let greeting = "hello! I'm go server !";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{greeting}{greeting}pong"));
    server.stop();
}

#[test]
fn curl_posts_a_large_body_after_100_continue_and_gets_it_back() {
    let server = Server::http();
    let echo = format!("http://{}/echo", server.address(0));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("body");
    let body = pattern(3, 1 << 20);
    std::fs::write(&path, &body).unwrap();
    let data = format!("@{}", path.display());
    for expect in ["Expect: 100-continue", "Expect:"] {
        let arguments = ["--expect100-timeout", "20", "-H", expect, "--data-binary", &data, &echo];
        let Some(output) = curl(&arguments) else { return };
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == body, "{expect}: {} bytes came back", output.stdout.len());
    }
    server.stop();
}

#[test]
fn curl_sees_the_status_of_a_refusal() {
    let server = Server::http();
    for (path, method, status) in
        [("/nowhere", "GET", "404"), ("/ping", "GET", "405"), ("/", "HEAD", "200")]
    {
        let url = format!("http://{}{path}", server.address(0));
        let option: &[&str] = if method == "HEAD" { &["-I"] } else { &[] };
        let Some(output) =
            curl(&[option, &["-o", "/dev/null", "-w", "%{http_code}", &url]].concat())
        else {
            return;
        };
        assert_eq!(String::from_utf8(output.stdout).unwrap(), status, "{method} {path}");
    }
    server.stop();
}
