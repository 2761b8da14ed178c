//! `ringway stream` as people and scripts meet it: real processes, what they print, and with which exit
//! code they end.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use common::{Running, Watchdog, own, pattern, wait_until};
use tempfile::TempDir;

/// A directory with the identities `a`, `b` and `c`, and lists of nodes.
struct Place {
    directory: TempDir,
    _watchdog: Watchdog,
}

impl Place {
    fn new() -> Self {
        let watchdog = Watchdog::start();
        let place = Self { directory: tempfile::tempdir().unwrap(), _watchdog: watchdog };
        for name in ["a", "b", "c"] {
            let made = place.ringway(&["keygen", "--out", name]);
            let address = stdout(&made).split_whitespace().next().unwrap().to_owned();
            fs::write(place.path(&format!("{name}.node")), address).unwrap();
        }
        // What it prints is a list of nodes.
        let shown = ["a", "b"].map(|name| stdout(&place.ringway(&["keygen", "--show", name])));
        fs::write(place.path("known"), shown.concat()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn node(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.node"))).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(args).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn ringway(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Feeds a command.
    fn fed(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// `ringway stream recv` as node `a`, and where it listens.
    fn recv(&self, scheme: &str, args: &[&str]) -> Receiver {
        match scheme {
            "unix" => self.recv_at("unix:s", args),
            _ => self.recv_at(&format!("{scheme}:127.0.0.1:0"), args),
        }
    }

    /// The same, which listens there.
    fn recv_at(&self, at: &str, args: &[&str]) -> Receiver {
        let all = [&["stream", "recv", "--listen", at, "--identity", "a"], args].concat();
        let mut command = self.command(&all);
        let out = fs::File::create(self.path("out")).unwrap();
        let mut child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let address = line_with(&mut lines, "listening at ").split(' ').nth(2).unwrap().to_owned();
        Receiver { child, lines, address, out: self.path("out") }
    }
}

/// A `ringway stream recv` that runs, killed at the end.
struct Receiver {
    child: Child,
    lines: BufReader<ChildStderr>,
    address: String,
    out: PathBuf,
}

impl Receiver {
    fn line_with(&mut self, part: &str) -> String {
        line_with(&mut self.lines, part)
    }

    /// Waits until it has printed this.
    fn has_printed(&self, text: &str) {
        wait_until(|| fs::read_to_string(&self.out).is_ok_and(|found| found == text));
    }

    /// Waits for its end; its exit code.
    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_with(lines: &mut BufReader<ChildStderr>, part: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before {part:?}: {all}");
        if line.contains(part) {
            return line;
        }
        all.push_str(&line);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn assert_well(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

/// The last line of standard error of a command that has failed: its refusal.
fn refusal(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap().to_owned();
    assert!(last.starts_with("ringway: cannot "), "{text}");
    last
}

#[test]
fn a_message_that_is_sent_is_printed_over_each_connection_and_with_all_features() {
    let place = Place::new();
    for scheme in ["tcp", "udp", "unix"] {
        for features in [&[][..], &["--plain", "--no-lz4"], &["--plain", "--lz4"], &["--no-lz4"]] {
            let mut recv = place.recv(scheme, &[&["--known", "known"], features].concat());
            let send = ["stream", "send", &recv.address, "hello there", "--identity", "b"];
            let node = place.node("a");
            let output = place.ringway(&[&send[..], &["--peer", &node], features].concat());
            assert_well(&output);
            recv.has_printed("hello there\n");
            recv.line_with(&format!("node {} has gone", place.node("b")));
            assert!(stderr(&output).contains(&format!("connected to node {node}")));
        }
    }
}

#[test]
fn standard_input_is_sent_whole_and_the_answer_printed() {
    let place = Place::new();
    let recv = place.recv("tcp", &["--trust-anyone", "--echo"]);
    let send = ["stream", "send", &recv.address, "-", "--answer", "--trust-anyone"];
    let output = place.fed(&send, &vec![b'x'; 500_000]);
    assert_well(&output);
    assert!(output.stdout == [vec![b'x'; 500_000], b"\n".to_vec()].concat());
    let output = place.fed(&send, &vec![b'x'; 1024 * 1024 + 1]);
    assert!(refusal(&output).contains("file put"), "{}", stderr(&output));
}

#[test]
fn lines_that_are_typed_are_messages_and_statistics_come_at_the_end() {
    let place = Place::new();
    let recv = place.recv("tcp", &["--trust-anyone", "--echo"]);
    let connect = ["stream", "connect", &recv.address, "--trust-anyone", "--stats"];
    let output = place.fed(&connect, b"one\n\nthree");
    assert_well(&output);
    assert_eq!(stdout(&output), "one\n\nthree\n");
    let text = stderr(&output);
    assert!(text.contains("(encrypted, lz4)") && text.contains("round trip "), "{text}");
}

#[test]
fn an_unknown_node_is_refused_and_both_ends_name_it() {
    let place = Place::new();
    let mut recv = place.recv("tcp", &["--known", "known"]);
    let send = ["stream", "send", &recv.address, "x", "--identity", "c", "--trust-anyone"];
    let stranger = place.node("c");
    assert!(refusal(&place.ringway(&send)).contains(&format!("add this node, {stranger}")));
    assert!(recv.line_with("refused: ").contains(&format!("node {stranger} is not trusted")));
    let other = place.node("b");
    let send = ["stream", "send", &recv.address, "x", "--identity", "b", "--peer", &other];
    let text = refusal(&place.ringway(&send));
    assert!(text.contains(&format!("node {} is not trusted", place.node("a"))), "{text}");
}

#[test]
fn whoever_is_first_at_an_address_is_noted_and_another_one_there_refused() {
    let place = Place::new();
    let mut recv = place.recv("unix", &["--trust-anyone"]);
    let send = ["stream", "send", "unix:s", "x", "--first-use", "pins"];
    assert_well(&place.ringway(&send));
    assert_well(&place.ringway(&send));
    let pins = fs::read_to_string(place.path("pins")).unwrap();
    assert_eq!(pins, format!("unix:s {}\n", place.node("a")));
    recv.child.kill().unwrap();
    recv.child.wait().unwrap();
    fs::copy(place.path("b"), place.path("a")).unwrap();
    let _other = place.recv("unix", &["--trust-anyone"]);
    assert!(refusal(&place.ringway(&send)).contains(&place.node("b")));
}

#[test]
fn ends_that_were_not_told_the_same_say_what_does_not_fit() {
    let place = Place::new();
    let mut recv = place.recv("tcp", &["--trust-anyone"]);
    let send = ["stream", "send", &recv.address, "x", "--trust-anyone", "--plain"];
    let text = refusal(&place.ringway(&send));
    assert!(text.contains("encrypt is required") && text.contains("plain"), "{text}");
    recv.line_with("required feature not offered");
}

#[test]
fn what_cannot_be_is_refused_with_what_helps() {
    let place = Place::new();
    let refused = |args: &[&str]| refusal(&place.ringway(&[&["stream"], args].concat()));
    let text = refused(&["send", "tcp:127.0.0.1:1", "x"]);
    assert!(text.contains("--known") && text.contains("--trust-anyone"), "{text}");
    let text = refused(&["send", "tcp:127.0.0.1:1", "x", "--trust-anyone"]);
    assert!(text.contains("tcp:127.0.0.1:1") && text.contains("refused"), "{text}");
    let text = refused(&["send", "port:x", "x", "--trust-anyone", "--file-prefix", "no-such"]);
    assert!(text.contains("port `x`") && text.contains("no-such"), "{text}");
    let text =
        refused(&["recv", "--listen", "port:x", "--trust-anyone", "--file-prefix", "no-such"]);
    assert!(text.contains("port `x`") && text.contains("start the dataplane"), "{text}");
    fs::write(place.path("bad"), "zz\n").unwrap();
    let text = refused(&["recv", "--listen", "unix:s", "--known", "bad"]);
    assert!(text.contains("line 1"), "{text}");
    let output = place.ringway(&["stream", "send", "127.0.0.1:1", "x", "--trust-anyone"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("tcp:HOST:PORT"), "{}", stderr(&output));
    let both = ["stream", "send", "unix:s", "x", "--plain", "--encrypt"];
    assert_eq!(place.ringway(&both).status.code(), Some(2));
}

#[test]
fn a_receiver_for_one_stream_ends_as_that_did() {
    let place = Place::new();
    let mut recv = place.recv("tcp", &["--trust-anyone", "--once"]);
    assert_well(&place.ringway(&["stream", "send", &recv.address, "x", "--trust-anyone"]));
    assert_eq!(recv.code(), Some(0));
    let mut recv = place.recv("tcp", &["--trust-anyone", "--once"]);
    let mut command = place.command(&["stream", "connect", &recv.address, "--trust-anyone"]);
    let mut connect = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    recv.line_with("connected to");
    connect.kill().unwrap();
    connect.wait().unwrap();
    assert_eq!(recv.code(), Some(1));
}

#[test]
fn a_receiver_that_is_killed_is_noticed() {
    let place = Place::new();
    let mut recv = place.recv("tcp", &["--trust-anyone"]);
    let mut command = place.command(&["stream", "connect", &recv.address, "--trust-anyone"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut connect = command.spawn().unwrap();
    recv.line_with("connected to");
    recv.child.kill().unwrap();
    assert_eq!(connect.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    connect.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("the connection failed"), "{text}");
}

#[test]
fn files_are_put_and_fetched_by_name() {
    let place = Place::new();
    for scheme in ["tcp", "udp", "unix"] {
        let recv = place.recv(scheme, &["--trust-anyone", "--dir", "store"]);
        let content = pattern(3, 2_000_000);
        fs::write(place.path("f"), &content).unwrap();
        let file = |args: &[&str]| {
            let all = [&["stream", "file"], args, &["--trust-anyone"]].concat();
            let output = place.ringway(&all);
            assert_well(&output);
            assert!(stderr(&output).contains("SHA-256 verified"), "{}", stderr(&output));
        };
        file(&["put", &recv.address, "f"]);
        file(&["put", &recv.address, "f", "deep/er/g"]);
        file(&["get", &recv.address, "deep/er/g"]);
        file(&["get", &recv.address, "f", "h"]);
        for found in ["store/f", "store/deep/er/g", "g", "h"] {
            assert!(fs::read(place.path(found)).unwrap() == content, "{scheme} {found}");
        }
    }
}

#[test]
fn a_transfer_whose_sender_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let recv = place.recv("tcp", &["--trust-anyone", "--dir", "store"]);
    let file = fs::File::create(place.path("f")).unwrap();
    file.set_len(200 << 20).unwrap();
    let put = ["stream", "file", "put", &recv.address, "f", "--trust-anyone", "--no-lz4"];
    let mut child = place.command(&put).stderr(Stdio::null()).spawn().unwrap();
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let part = place.path("store/f.part");
    wait_until(|| bytes(&part) > 1 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("store/f").exists(), "it was faster than kill(2)");
    // What it had read before is lost with the process, and nothing else.
    wait_until(|| fs::File::open(&part).is_ok_and(|part| part.try_lock().is_ok()));
    let output = place.ringway(&put);
    assert_well(&output);
    assert!(stderr(&output).contains("goes on at"), "{}", stderr(&output));
    assert_eq!(bytes(&place.path("store/f")), 200 << 20);
    assert!(!part.exists() && !place.path("store/f.part.sum").exists());
}

#[test]
fn a_file_that_is_not_there_or_not_wanted_is_refused_with_the_reason() {
    let place = Place::new();
    let recv = place.recv("tcp", &["--trust-anyone", "--dir", "store"]);
    let file = |args: &[&str]| {
        refusal(&place.ringway(&[&["stream", "file"], args, &["--trust-anyone"]].concat()))
    };
    fs::write(place.path("f"), "x").unwrap();
    assert!(file(&["get", &recv.address, "nothing"]).contains("the peer says"));
    assert!(file(&["put", &recv.address, "f", "../f"]).contains("`..`"));
    assert!(file(&["put", &recv.address, "missing"]).contains("No such file"));
    assert!(file(&["put", &recv.address, "."]).contains("name"));
    drop(recv);
    let recv = place.recv("tcp", &["--trust-anyone"]);
    assert!(file(&["put", &recv.address, "f"]).contains("it has closed the channel"));
}

#[test]
fn an_instance_is_reached_over_each_of_its_transports() {
    let place = Place::new();
    let (identity, socket) = (place.path("a"), place.path("instance"));
    let listener = |address: &str, transport: &str| {
        format!(
            "[[listener]]\naddress = \"{address}\"\ntransport = \"{transport}\"\n\
             protocol = \"stream\"\n\
             config = {{ identity = \"{}\", trust = \"anyone\" }}\n",
            identity.display()
        )
    };
    let socket = socket.display().to_string();
    let places = [("127.0.0.1:0", "tcp"), ("127.0.0.1:0", "udp"), (&socket, "unix")];
    let mut toml: String = places.map(|(address, transport)| listener(address, transport)).concat();
    toml.push_str(&listener("port:feed", "shm"));
    let instance = Running::start("tools", 1, &toml);
    let [tcp, udp] = [0, 1].map(|index: usize| instance.addresses[index]);
    let prefix = own("tools");
    let all = [format!("tcp:{tcp}"), format!("udp:{udp}"), format!("unix:{socket}")];
    for address in all.iter().map(String::as_str).chain(["port:feed"]) {
        let node = place.node("a");
        let send = ["stream", "send", address, "hello", "--answer", "--peer", &node];
        let output = place.ringway(&[&send[..], &["--file-prefix", &prefix]].concat());
        assert_well(&output);
        assert_eq!(stdout(&output), "hello\n", "{address}");
    }
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.ended_well();
}

#[test]
fn messages_and_files_reach_processes_behind_a_dataplane_by_each_way_and_under_each_protection() {
    let place = Place::new();
    let prefix = own("behind");
    let listener = |address: &str, transport: &str| {
        format!(
            "[[listener]]\naddress = \"{address}\"\ntransport = \"{transport}\"\n\
             protocol = \"stream\"\nhandler = \"port:{transport}\"\n\
             config = {{ identity = \"{}\", trust = \"anyone\", encrypt = \"offered\" }}\n",
            place.path("a").display()
        )
    };
    let places = [("127.0.0.1:0", "tcp"), ("127.0.0.1:0", "udp"), ("port:feed", "shm")];
    let toml = places.map(|(address, transport)| listener(address, transport)).concat();
    let instance = Running::start("behind", 1, &toml);
    let [tcp, udp] = [0, 1].map(|index: usize| instance.addresses[index]);
    let content = pattern(11, 1_500_000);
    fs::write(place.path("source"), &content).unwrap();
    let ways =
        [("tcp", format!("tcp:{tcp}")), ("udp", format!("udp:{udp}")), ("shm", "port:feed".into())];
    for (port, address) in ways {
        let serves = ["--dir", port, "--trust-anyone", "--file-prefix", &prefix];
        fs::create_dir(place.path(port)).unwrap();
        let receiver = place.recv_at(&format!("port:{port}"), &serves);
        let mut printed = String::new();
        for protection in [&["--plain", "--no-lz4"][..], &["--plain"], &["--no-lz4"], &[]] {
            let node = place.node("a");
            let to = [&["--peer", &node, "--file-prefix", &prefix], protection].concat();
            let name = format!("file{}", protection.concat());
            let ringway = |args: &[&str]| assert_well(&place.ringway(&[args, &to].concat()));
            ringway(&["stream", "file", "put", &address, "source", &name]);
            let there = fs::read(place.path(port).join(&name)).unwrap();
            assert!(there == content, "{address} {protection:?}");
            ringway(&["stream", "file", "get", &address, &name, "back"]);
            assert!(fs::read(place.path("back")).unwrap() == content);
            ringway(&["stream", "send", &address, &name]);
            printed += &format!("{name}\n");
            receiver.has_printed(&printed);
        }
    }
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.ended_well();
}

#[test]
fn help_explains_each_command_with_examples_and_exit_codes() {
    let place = Place::new();
    for command in [&["connect"][..], &["send"], &["recv"], &["file", "put"], &["file", "get"]] {
        let output = place.ringway(&[&["stream"], command, &["--help"]].concat());
        assert_well(&output);
        let text = stdout(&output);
        for part in ["Examples:", "Exit codes:", "--known", "--first-use", "--plain", "--identity"]
        {
            assert!(text.contains(part), "{command:?}: {part:?} is not in {text}");
        }
    }
}
