//! As an operator does it: a real process, its file, `ringway ctl`, and SIGHUP.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::common::{Client, Running, own, wait_until};

fn ctl(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["ctl", "--file-prefix", &own(name)]).args(arguments).output().unwrap()
}

fn text(name: &str, arguments: &[&str]) -> String {
    let output = ctl(name, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(name: &str, arguments: &[&str]) -> String {
    let output = ctl(name, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

const HTTP: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
                    protocol = \"http\"\n[dataplane]\nmax_connections = 256\n";

const ECHO: &str =
    "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"echo\"\n";

/// Where the listener of this protocol listens.
fn address(name: &str, protocol: &str) -> Option<std::net::SocketAddr> {
    let listed = text(name, &["--json", "listeners"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let found = listed.as_array().unwrap().iter().find(|one| one["protocol"] == protocol)?;
    Some(found["address"].as_str().unwrap().parse().unwrap())
}

#[test]
fn a_file_is_edited_and_reloaded_by_command_and_by_signal_g_13() {
    let running = Running::start("reload", 2, HTTP);
    let mut client = running.connect();
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(text("reload", &["reload"]), "generation 1: nothing differs\n");
    running.rewrite(&format!("{HTTP}{ECHO}"));
    let reply = text("reload", &["reload"]);
    assert!(reply.starts_with("generation 2\nadded tcp 127.0.0.1:"), "{reply}");
    let echo = address("reload", "echo").unwrap();
    assert_eq!(Client::connect(echo).send("hello").receive(5), b"hello");
    running.rewrite(&format!("{HTTP}idle = \"busy\"\n{ECHO}"));
    running.signal(Signal::SIGHUP);
    wait_until(|| text("reload", &["config", "get", "generation"]) == "3\n");
    assert_eq!(text("reload", &["config", "get", "dataplane.idle"]), "busy\n");
    running.rewrite(HTTP);
    running.signal(Signal::SIGHUP);
    wait_until(|| address("reload", "echo").is_none());
    assert_eq!(client.get("/").status(), 200, "through all of it");
    drop(client);
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_the_line_is_named_a_12() {
    let running = Running::start("wrong", 1, HTTP);
    let before = text("wrong", &["config", "get"]);
    let many: String = (0..33)
        .map(|port| {
            let address = format!("127.0.0.1:{}", 20_000 + port);
            format!(
                "[[listener]]\naddress = \"{address}\"\ntransport = \"tcp\"\nprotocol = \"echo\"\n"
            )
        })
        .collect();
    for (toml, part) in [
        ("[[listener]\n".to_owned(), "r.toml:1"),
        (format!("{HTTP}{}", ECHO.replace("echo", "gopher")), "`gopher`"),
        (HTTP.replace("256", "512"), "dataplane.max_connections: 256 -> 512"),
        (many, "33 listeners, and 32 is the most"),
        (HTTP.replace("tcp", "udp").replace("http", "echo"), "without a listener over udp"),
        (
            format!("{HTTP}[control]\nsocket = \"/tmp/elsewhere\"\n"),
            "control.socket: - -> /tmp/elsewhere",
        ),
    ] {
        running.rewrite(&toml);
        let error = complaint("wrong", &["reload"]);
        assert!(error.contains(part), "{part} is not in: {error}");
        assert_eq!(text("wrong", &["config", "get"]), before);
        // A signal is told by the log alone, and as harmless.
        running.signal(Signal::SIGHUP);
        assert_eq!(running.connect().get("/").status(), 200);
    }
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn config_set_changes_what_is_in_force_until_the_file_is_reloaded_a_12() {
    let running = Running::start("set", 1, HTTP);
    let reply = text("set", &["config", "set", "listener.0.config.max_headers", "2"]);
    assert!(
        reply.contains("config.max_headers: - -> 2") && reply.contains("not written"),
        "{reply}"
    );
    let mut client = running.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n");
    assert_eq!(client.response().status(), 431);
    for (arguments, part) in [
        (["dataplane.idle", "lazy"], "set dataplane.idle to lazy"),
        (["dataplane.colour", "red"], "unknown field `colour`"),
        (["listener.7.protocol", "echo"], "there is no listener 7"),
        (["listener.0.config.max_headers", "x"], "max_headers"),
        (["generation", "9"], "unknown field `generation`"),
    ] {
        let error = complaint("set", &[&["config", "set"], &arguments[..]].concat());
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(text("set", &["config", "get", "generation"]), "2\n");
    text("set", &["config", "set", "dataplane.idle", "busy", "dataplane.drain_timeout_ms", "70"]);
    assert_eq!(text("set", &["config", "get", "dataplane.drain_timeout_ms"]), "70\n");
    let reply = text("set", &["reload"]);
    assert!(reply.contains("max_headers: 2 -> -") && reply.contains("70 -> 10000"), "{reply}");
    drop(client);
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn what_the_command_line_says_goes_before_the_file_in_a_reload_too() {
    let running = Running::start_with("before", 1, HTTP, &["--idle", "sleep"]);
    assert_eq!(text("before", &["config", "get", "dataplane.idle"]), "sleep\n");
    running.rewrite(&format!("{HTTP}idle = \"busy\"\n"));
    assert_eq!(text("before", &["reload"]), "generation 1: nothing differs\n");
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn what_is_logged_changes_with_the_file_by_command_and_not_at_all_when_it_is_wrong() {
    let toml = |level: &str| format!("{HTTP}[log]\nlevel = \"{level}\"\n");
    let running = Running::start("logged", 1, &toml("warn"));
    assert_eq!(text("logged", &["log"]), "warn\n");
    running.rewrite(&toml("warn,ringway::lcore=info"));
    let reply = text("logged", &["reload"]);
    assert!(reply.contains("log.level: warn -> warn,ringway::lcore=info"), "{reply}");
    assert_eq!(text("logged", &["log"]), "warn,ringway::lcore=info\n");
    running.rewrite(&format!("{}{ECHO}", toml("loud")));
    let error = complaint("logged", &["reload"]);
    assert!(error.contains("log.level to loud") && error.contains("error, warn"), "{error}");
    assert!(address("logged", "echo").is_none(), "nothing else changed either");
    // What was changed beside the configuration can be set though that says so already.
    text("logged", &["log", "off"]);
    assert_eq!(text("logged", &["config", "get", "log.level"]), "off\n");
    text("logged", &["config", "set", "log.level", "warn,ringway::lcore=info"]);
    assert_eq!(text("logged", &["log"]), "warn,ringway::lcore=info\n");
    text("logged", &["config", "set", "log.level", "-"]);
    assert_eq!(text("logged", &["log"]), "info\n");
    running.signal(Signal::SIGTERM);
    running.ended_well();
}
