//! How epoll comes to carry the sockets.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use ringway::config::IoBackend;

use crate::common::{Running, Start, forbid_io_uring};

const HTTP: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\nprotocol = \"http\"\n\
                    [dataplane]\nmax_connections = 256\n";

/// `ringway run` with these arguments, where io_uring_setup(2) gives EPERM; and where its log goes.
fn forbidden(prefix: &str, arguments: &[&str], toml: &str) -> (Running, tempfile::NamedTempFile) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let running = Running::start_as(prefix, 2, toml, |command| {
        command.args(arguments).stderr(File::create(log.path()).unwrap());
        forbid_io_uring(command);
    });
    (running, log)
}

/// Asks twice over one connection, by a client that somebody else wrote where it is there.
fn answers(server: &Running) {
    assert_eq!(server.connect().get("/").status(), 200);
    let url = format!("http://{}/", server.address);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30", &url, &url]).stdin(Stdio::null());
    match curl.output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            let greeting = "hello! I'm go server !";
            assert_eq!(String::from_utf8(output.stdout).unwrap(), greeting.repeat(2));
        }
        Err(_) => println!("curl is not installed"),
    }
}

#[test]
fn where_io_uring_is_forbidden_epoll_serves_and_one_warning_says_why_w_1() {
    let (server, log) = forbidden("auto", &[], HTTP);
    answers(&server);
    server.signal(Signal::SIGTERM);
    let text = server.ended_well();
    assert!(text.contains("pool: 0 bufs missing"), "{text}");
    let log = fs::read_to_string(log.path()).unwrap();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("epoll")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    for part in ["WARN", "seccomp", "EPERM", "io_uring_setup", "io = \"epoll\""] {
        assert!(warnings[0].contains(part), "{part:?} is not in: {}", warnings[0]);
    }
}

#[test]
fn who_asks_for_epoll_gets_it_without_a_warning_and_the_command_line_goes_first_w_1() {
    let by_file = format!("{HTTP}io = \"epoll\"\n");
    let by_both = format!("{HTTP}io = \"io_uring\"\n");
    for (arguments, toml) in [(&[][..], &by_file), (&["--io", "epoll"], &by_both)] {
        let (server, log) = forbidden("asked", arguments, toml);
        answers(&server);
        server.signal(Signal::SIGTERM);
        server.ended_well();
        let log = fs::read_to_string(log.path()).unwrap();
        assert!(!log.contains("io_uring"), "{log}");
    }
}

#[test]
fn the_line_at_the_start_says_what_carries_the_sockets_w_1() {
    let mut lines = Vec::new();
    let dir = crate::common::configuration(HTTP);
    let mut command = crate::common::command(&dir, "line", 1);
    command.args(["--io", "epoll"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    for line in std::io::BufRead::lines(out) {
        let line = line.unwrap();
        if line.starts_with("ready") {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGINT)
                .unwrap();
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success());
    assert!(lines.iter().any(|line| line.starts_with("epoll: ")), "{lines:?}");
}

#[test]
fn a_dataplane_says_which_it_uses_and_auto_is_never_the_answer_w_1() {
    for wanted in [IoBackend::Auto, IoBackend::Epoll] {
        let server = Start::new().listener("echo", "").io(wanted).start();
        let io = server.plane().io();
        assert_ne!(io, IoBackend::Auto);
        assert!(wanted == IoBackend::Auto || io == wanted);
        assert_eq!(server.plane().uring_flags().is_empty(), io == IoBackend::Epoll);
        assert_eq!(server.connect().send("x").receive(1), b"x");
        server.drain();
    }
}
