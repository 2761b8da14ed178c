//! The control socket while one takes over: whom commands reach.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use ringway::control;

use crate::bed::{ANY, http, toml};
use crate::common::{Running, own};

fn ctl(instance: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(["ctl", "--file-prefix", &own(instance)]).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn with_nobody_there_it_starts_as_usual_and_says_so() {
    let mut running = Running::spawn("nobody", 1, &toml(&[http(ANY)]), &["--takeover"]);
    running.line_with("no instance of this name runs: nothing to take over");
    running.await_readiness();
    assert_eq!(running.connect().get("/").status(), 200);
    running.signal(Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn commands_reach_the_new_one_while_the_old_one_drains_and_a_stop_ends_the_new_one_alone() {
    let name = "commands";
    let mut first = Running::start(name, 1, &toml(&[http(ANY)]));
    let address = first.address;
    // Something that lasts.
    let mut client = first.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.head().status(), 200);
    let second = Running::take_over(name, 1, &toml(&[http(&address.to_string())]));
    let pid = format!("process {} has taken over", second.pid());
    first.line_with(&pid);
    first.leave_files();
    let version = ctl(name, &["--json", "version"]);
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["pid"], second.pid());
    assert_eq!(ctl(name, &["stop"]).status.code(), Some(0));
    second.ended_well();
    client.send("cd");
    assert_eq!(client.receive_all(), b"abcd", "what the old one has under way it finishes");
    first.ended_well();
    assert!(!control::socket_path(&own(name).parse().unwrap()).exists());
}

#[test]
fn the_old_ones_end_leaves_the_files_of_the_new_one_alone() {
    let name = "files";
    let directory = tempfile::tempdir().unwrap();
    let (path, socket) =
        (directory.path().join("listener"), control::socket_path(&own(name).parse().unwrap()));
    let unix = format!(
        "[[listener]]\naddress = \"{}\"\ntransport = \"unix\"\nprotocol = \"http\"\n",
        path.display()
    );
    let mut first = Running::start(name, 1, &toml(&[http(ANY), unix.clone()]));
    let address = first.address;
    let inode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().ino();
    let stats = ringway::counters::path(nix::unistd::geteuid().as_raw(), &own(name));
    let before = (inode(&path), inode(&socket), inode(&stats));
    let second = Running::take_over(name, 2, &toml(&[http(&address.to_string()), unix]));
    first.leave_files();
    first.ended_well();
    assert_eq!(inode(&path), before.0, "the same socket");
    assert_ne!(inode(&socket), before.1, "another one in its place");
    assert_ne!(inode(&stats), before.2, "the statistics are its own");
    let get = || {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&path)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text.starts_with("HTTP/1.1 200 "))
    };
    assert!(get().unwrap());
    std::fs::remove_file(&path).unwrap();
    crate::common::wait_until(|| matches!(get(), Ok(true)));
    second.signal(Signal::SIGTERM);
    second.ended_well();
    assert!(!path.exists(), "it goes with the one whose it is now");
    assert!(!socket.exists() && !stats.exists());
}

#[test]
fn without_takeover_a_second_one_is_refused_as_before() {
    let name = "plain";
    let first = Running::start(name, 1, &toml(&[http(ANY)]));
    let directory = crate::common::configuration(&toml(&[http(ANY)]));
    let output = crate::common::command(&directory, name, 1).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("process {} runs", first.pid())), "{text}");
}

#[test]
fn without_a_control_socket_there_is_nothing_to_find_the_other_by() {
    let none = toml(&[http(ANY)]) + "[control]\nenabled = false\n";
    let directory = crate::common::configuration(&none);
    let mut command = crate::common::command(&directory, "blind", 1);
    let output = command.arg("--takeover").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no control socket") && text.contains("[control]"), "{text}");
}

#[test]
fn the_admin_listener_passes_to_the_new_one() {
    let name = "admin";
    let with = |listeners: String, address: &str| {
        format!("{listeners}\n[admin]\naddress = \"{address}\"\n")
    };
    let mut first = Running::start(name, 1, &with(toml(&[http(ANY)]), ANY));
    let admin = first.admin.expect("it has one");
    let same = with(toml(&[http(&first.address.to_string())]), &admin.to_string());
    let second = Running::take_over(name, 1, &same);
    first.leave_files();
    first.ended_well();
    assert_eq!(second.admin, Some(admin));
    let mut client = crate::common::Client::connect(admin);
    let response = client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").response();
    assert_eq!(response.status(), 200);
}
