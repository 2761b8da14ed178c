//! Exit codes of `ringway ctl`, and what it says when it cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::bed::{Instance, complaint, ctl, toml};
use crate::common::{Watchdog, own};

#[test]
fn an_instance_that_does_not_run_is_exit_code_3_with_the_path_and_the_way_out() {
    let name = own("nobody");
    let text = complaint(ctl(&["--file-prefix", &name, "stats"]), 3);
    let path = ringway::control::socket_path(&name.parse().unwrap());
    let start = format!("ringway run --file-prefix {name}");
    for part in [path.to_str().unwrap(), &start, "--socket"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(text.lines().count(), 1);
    let text = complaint(ctl(&["--socket", "/no/such/socket", "stats"]), 3);
    assert!(text.contains("/no/such/socket"), "{text}");
}

#[test]
fn other_instances_are_named_where_one_is_not_there() {
    let other = Instance::start("other");
    let text = complaint(ctl(&["--file-prefix", &own("absent"), "stats"]), 3);
    assert!(text.contains(&other.name), "{text}");
    let (socket, name) = (other.socket(), other.name.clone());
    other.running.killed();
    assert!(socket.exists());
    let text = complaint(ctl(&["--file-prefix", &own("absent"), "stats"]), 3);
    assert!(!text.contains(&name), "one that was killed is none: {text}");
    fs::remove_dir_all(socket.parent().unwrap()).unwrap();
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    assert_eq!(ctl(&[]).status.code(), Some(2));
    assert_eq!(ctl(&["--frobnicate", "stats"]).status.code(), Some(2));
    assert_eq!(ctl(&["--socket", "/a", "--file-prefix", "b", "stats"]).status.code(), Some(2));
    complaint(ctl(&["--file-prefix", "../x", "stats"]), 2);
}

#[test]
fn a_server_that_closes_before_its_reply_is_whole_is_exit_code_1() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || drop(listener.accept().unwrap()));
    let text = complaint(ctl(&["--socket", path.to_str().unwrap(), "stats"]), 1);
    assert!(text.starts_with("error: the connection ended too early"), "{text}");
}

#[test]
fn help_needs_no_manual() {
    let output = ctl(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "--file-prefix",
        "--socket",
        "--json",
        "[default: ringway]",
        "/run/ringway/NAME/control.sock",
        "stats [lcores]",
        "config get [KEY]",
        "Examples:",
        "Exit codes:",
        "  3  nobody listens",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn the_socket_is_this_users_alone_in_a_directory_that_is_too() {
    let instance = Instance::start("mode");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = instance.socket();
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn i10_the_configuration_says_where_the_socket_is_and_who_may_use_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edge.sock");
    let (path_text, nobody) = (path.to_str().unwrap(), 4_000_000_000u32);
    let table =
        format!("[control]\nsocket = \"{path_text}\"\nmode = \"0660\"\nallow_uids = [{nobody}]");
    let instance = Instance::with("elsewhere", 1, &toml(&table));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let output = ctl(&["--socket", path_text, "config", "get", "control"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(path_text) && text.contains("0660"), "who runs it may: {text}");
    complaint(instance.ctl(&["stats"]), 3);
    let second = crate::common::configuration(&toml(&table));
    let output = crate::common::command(&second, "elsewhere2", 1).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(path_text) && text.contains("`socket` in [control]"), "{text}");
}

#[test]
fn without_a_control_socket_the_instance_runs_and_nobody_reaches_it() {
    let instance = Instance::with("none", 1, &toml("[control]\nenabled = false"));
    assert_eq!(instance.running.connect().get("/").status(), 200);
    assert!(!instance.socket().exists());
    complaint(instance.ctl(&["stats"]), 3);
}
