//! `ringway attach` at `ringway run`: two processes, and `kill -9`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::common::{Client, Running, own, wait_until};

const TOML: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
                    protocol = \"http\"\nhandler = \"port:app\"\n";

fn attach(prefix: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["attach", "app", "--file-prefix", &own(prefix)]).args(more);
    command
}

/// Starts the tool and waits until it is attached.
fn attached(prefix: &str, more: &[&str]) -> Child {
    let mut child = attach(prefix, more).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("attached to port app"), "{line}");
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_that_is_killed_is_missed_until_the_next_one_attaches() {
    let instance = Running::start("attach", 1, TOML);
    let mut client: Client = instance.connect();
    assert_eq!(client.get("/").status(), 503);
    for trust in [&["--echo"][..], &["--echo", "--isolated"]] {
        let child = attached("attach", trust);
        assert_eq!(client.get("/a?b").body, b"/a?b");
        let second = attach("attach", &["--sink"]).output().unwrap();
        let refusal = String::from_utf8(second.stderr).unwrap();
        assert!(refusal.contains("is attached to it") && !second.status.success(), "{refusal}");
        kill(child);
        wait_until(|| client.get("/").status() == 503);
    }
    let child = attached("attach", &["--sink"]);
    let response = client.get("/");
    assert_eq!((response.status(), response.body.len()), (200, 0));
    drop(client);
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.ended_well();
    let status = child.wait_with_output().unwrap().status;
    assert!(!status.success(), "its dataplane has gone");
}

#[test]
fn who_finds_no_port_is_told_which_there_are() {
    let _instance = Running::start("noport", 1, TOML);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["attach", "else", "--sink", "--file-prefix", &own("noport")]);
    let refusal = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(refusal.contains("there is no such port; name one of: app"), "{refusal}");
    let mut nobody = Command::new(env!("CARGO_BIN_EXE_ringway"));
    nobody.args(["attach", "app", "--sink", "--file-prefix", "no-such-instance"]);
    let output = nobody.output().unwrap();
    let refusal = String::from_utf8(output.stderr).unwrap();
    assert!(refusal.contains("start the dataplane") && !output.status.success(), "{refusal}");
}

const PING: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
                    protocol = \"http\"\nhandler = \"port:app\"\n\
                    [[listener]]\naddress = \"port:feed\"\ntransport = \"shm\"\nprotocol = \"echo\"\n\
                    [[listener]]\naddress = \"port:pipe\"\ntransport = \"shm\"\nprotocol = \"raw\"\n\
                    handler = \"port:end\"\n";

/// What `ringway attach` prints, and whether it succeeded.
fn outcome(prefix: &str, port: &str, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["attach", port, "--file-prefix", &own(prefix)]).args(more);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_ping_prints_how_long_bytes_take_there_and_back() {
    let instance = Running::start("ping", 1, PING);
    for more in [
        &["--count", "200"][..],
        &["--count", "50", "--isolated"],
        &["--count", "20", "--size", "1000000"],
        &["--count", "1", "--size", "1"],
    ] {
        let more = [&["--ping"], more].concat();
        let (success, text) = outcome("ping", "feed", &more);
        assert!(success && text.contains("there and back"), "{text}");
        for word in ["min ", "p50 ", "p90 ", "p99 ", "p99.9 ", "max ", "#"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let (success, text) = outcome("ping", "pipe", &["--ping", "--count", "1"]);
    assert!(!success && text.contains("whose listener echoes"), "nobody is at the end: {text}");
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.ended_well();
}

#[test]
fn a_ping_that_nobody_answers_ends_with_the_reason() {
    let instance = Running::start("silent", 1, PING);
    let mut sink = Command::new(env!("CARGO_BIN_EXE_ringway"));
    sink.args(["attach", "end", "--sink", "--file-prefix", &own("silent")]);
    let mut sink = sink.stdout(std::process::Stdio::piped()).spawn().unwrap();
    // It says so once it is there.
    std::io::Read::read_exact(sink.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let (success, text) = outcome("silent", "pipe", &["--ping", "--count", "1"]);
    assert!(!success && text.contains("nothing came back"), "{text}");
    assert!(text.contains("whose listener echoes"), "{text}");
    sink.kill().unwrap();
    sink.wait().unwrap();
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.ended_well();
}

#[test]
fn who_is_at_the_wrong_side_of_a_listener_is_told() {
    let _instance = Running::start("roles", 1, PING);
    let (success, text) = outcome("roles", "app", &["--ping"]);
    assert!(!success && text.contains("handles the connections of others"), "{text}");
    assert!(text.contains("transport = \"shm\""), "{text}");
    let (success, text) = outcome("roles", "feed", &["--echo"]);
    assert!(!success && text.contains("its process opens connections"), "{text}");
    assert!(text.contains("handler = \"port:NAME\""), "{text}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["ctl", "ports", "--file-prefix", &own("roles")]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for (port, role) in [("app", "handler"), ("feed", "peer"), ("pipe", "peer"), ("end", "handler")]
    {
        let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(port));
        let line = lines.next().unwrap_or_else(|| panic!("{port}: {text}"));
        assert!(line.contains(role), "{line}");
    }
}
