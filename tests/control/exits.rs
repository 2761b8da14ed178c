//! Exit codes of `ringway ctl`, and what it says when it cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

use crate::bed::{Instance, command, complaint, ctl, toml};
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
    assert!(complaint(ctl(&["attach", "port"]), 2).contains("is for programs"));
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
        "config set KEY VALUE",
        "reload",
        "probe [NAME]",
        "streams CONN",
        "streams trace CONN on|off",
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
    let directory = socket.parent().unwrap();
    assert_eq!((mode(&socket), mode(directory)), (0o600, 0o700));
    instance.text(&["stop"]);
    instance.running.ended_well();
    assert!(!directory.exists(), "nothing is left behind");
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
fn i10_another_user_is_refused_whatever_the_mode_says() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: it takes root to ask as another user");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("listed.sock");
    let ask_as = |uid| {
        let mut command = command(&["--socket", path.to_str().unwrap(), "--json", "version"]);
        // Elsewhere it may not be allowed to look.
        command.uid(uid).current_dir("/").output()
    };
    let (listed, other) = (4_000_000_001u32, 4_000_000_002u32);
    let table = format!(
        "[control]\nsocket = \"{}\"\nmode = \"0666\"\nallow_uids = [{listed}]",
        path.display()
    );
    let _instance = Instance::with("listed", 1, &toml(&table));
    match ask_as(other) {
        Ok(output) => {
            let text = complaint(output, 1);
            assert!(text.contains(&format!("user {other} may not")), "{text}");
            assert_eq!(ask_as(listed).unwrap().status.code(), Some(0));
        }
        Err(why) => eprintln!("skipped: another user may not run the command here: {why}"),
    }
}

#[test]
fn options_may_follow_the_command() {
    let instance = Instance::start("follow");
    let output = ctl(&["version", "--json", "--file-prefix", &instance.name]);
    assert_eq!(output.stdout.first(), Some(&b'{'), "{output:?}");
}

#[test]
fn without_a_control_socket_the_instance_runs_and_nobody_reaches_it() {
    let instance = Instance::with("none", 1, &toml("[control]\nenabled = false"));
    assert_eq!(instance.running.connect().get("/").status(), 200);
    assert!(!instance.socket().exists());
    complaint(instance.ctl(&["stats"]), 3);
}
