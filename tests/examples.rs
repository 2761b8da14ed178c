//! The programs under `examples/`, started as a user would, spoken to and ended with ctrl-C.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use ringway::proto::websocket::CloseCode;
use ringway::websocket::{Message, Options};

use common::{Client, Watchdog};

/// A running example, which does not outlive its test.
struct Example {
    child: Child,
    /// Of those that listen on a port.
    address: SocketAddr,
    _watchdog: Watchdog,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside the directory of this test's own binary.
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples").join(name)
}

impl Example {
    /// `None`, having said why: it was not built, or somebody else has its port.
    fn start(name: &str, port: u16) -> Option<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if let Err(error) = TcpListener::bind(address) {
            eprintln!("skipped: {name} needs port {port}: {error}");
            return None;
        }
        Self::spawn(name, &[], address)
    }

    /// The same with arguments, wherever it listens.
    fn spawn(name: &str, arguments: &[&str], address: SocketAddr) -> Option<Self> {
        let binary = binary(name);
        if !binary.exists() {
            eprintln!("skipped: {name} is not built; see `cargo build --examples`");
            return None;
        }
        let mut command = Command::new(binary);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Some(Self { child, address, _watchdog: Watchdog::start() })
    }

    /// A connection, once it listens.
    fn connect(&mut self) -> Client {
        let address = self.address;
        Client::over(self.wait_for(|| TcpStream::connect(address)))
    }

    /// What `attempt` makes, once it succeeds.
    fn wait_for<T>(&mut self, attempt: impl Fn() -> std::io::Result<T>) -> T {
        loop {
            if let Ok(made) = attempt() {
                return made;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status}: {:?}", self.child.stderr.take().map(std::io::read_to_string));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it with SIGINT, which has to leave nothing behind.
    fn interrupt(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        let said = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        assert!(said.contains("0 bufs missing"), "{said}");
    }
}

#[test]
fn echo_sends_back_what_it_gets_and_ends_with_a_clean_account() {
    let Some(mut example) = Example::start("echo", 7007) else { return };
    let mut client = example.connect();
    let bytes = common::pattern(1, 300_000);
    for piece in bytes.chunks(10_000) {
        assert!(client.send(piece).receive(piece.len()) == piece);
    }
    assert_eq!(client.finish().receive_all(), b"");
    example.interrupt();
}

#[test]
fn http_hello_greets_by_name_and_ends_with_a_clean_account() {
    let Some(mut example) = Example::start("http_hello", 8080) else { return };
    let mut client = example.connect();
    assert_eq!(client.get("/").body, b"hello, whoever you are\n");
    assert_eq!(client.get("/hello/you").body, b"hello, you\n");
    assert_eq!(client.get("/else").status(), 404);
    example.interrupt();
    assert_eq!(client.receive_all(), b"", "a connection that waits is closed");
}

#[test]
fn upload_keeps_what_it_gets_and_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 8090));
    if let Err(error) = TcpListener::bind(address) {
        return eprintln!("skipped: upload needs port 8090: {error}");
    }
    let example = Example::spawn("upload", &[directory.path().to_str().unwrap()], address);
    let Some(mut example) = example else { return };
    let mut client = example.connect();
    assert!(client.get("/").body.starts_with(b"<!doctype html>"));
    let content = common::pattern(7, 300_000);
    let form = [
        &b"--x\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"[..],
        &content,
        b"\r\n--x--",
    ];
    let form = form.concat();
    client.send(format!(
        "POST /files/ HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n",
        form.len(),
    ));
    assert_eq!(client.send(form).response().status(), 201);
    assert!(client.get("/files/a").body == content);
    client.send("GET /files/ HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    let list = r#"[{"bytes":300000,"directory":false,"name":"a"}]"#;
    assert_eq!(client.response().body, list.as_bytes());
    example.interrupt();
}

#[test]
fn custom_protocol_turns_frames_round_and_ends_with_a_clean_account() {
    let Some(mut example) = Example::start("custom_protocol", 7100) else { return };
    let mut client = example.connect();
    for piece in [&b"\0\x05hello\0\0"[..], b"\0", b"\x03ab", b"c"] {
        client.send(piece);
    }
    assert_eq!(client.receive(14), b"\0\x05olleh\0\0\0\x03cba");
    client.send(b"\x03\xe9"); // 1001, of at most 1000
    assert_eq!(client.receive_all(), b"");
    example.interrupt();
}

#[test]
fn websocket_page_gives_its_page_and_sends_messages_back() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let example = Example::spawn("websocket_page", &[&address.to_string()], address);
    let Some(mut example) = example else { return };
    let page = example.connect().get("/");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with(b"<!DOCTYPE html>"));
    let mut client = Options::new().compress(true).connect(&format!("ws://{address}/")).unwrap();
    client.send_text("close 4001").unwrap();
    assert_eq!(client.receive().unwrap(), Message::Text("close 4001"));
    let close = client.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(close.code, CloseCode::new(4001));
    example.interrupt();
}

#[test]
fn chat_tells_whoever_says_too_much_at_once_and_goes_on_g_8() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Some(mut example) = Example::spawn("chat", &[&address.to_string()], address) else {
        return;
    };
    assert!(example.connect().get("/").body.starts_with(b"<!doctype html>"));
    let enter = |name: &str| {
        Options::new().connect(&format!("ws://{address}/chat?name={name}&room=hall")).unwrap()
    };
    let hear = |client: &mut ringway::websocket::Client| match client.receive().unwrap() {
        Message::Text(text) => text.to_owned(),
        other => panic!("{other:?}"),
    };
    let mut ann = enter("ann");
    assert_eq!(hear(&mut ann), r#"{"here":["ann"]}"#);
    let mut bob = enter("bob");
    for client in [&mut ann, &mut bob] {
        assert_eq!(hear(client), r#"{"here":["ann","bob"]}"#);
    }
    ann.send_text(&"x".repeat(20_000)).unwrap();
    let told = hear(&mut ann);
    assert!(
        told.starts_with(r#"{"error":"not said: it is longer than the largest slot"#),
        "{told}"
    );
    ann.send_text("short").unwrap();
    for client in [&mut ann, &mut bob] {
        assert_eq!(hear(client), r#"{"from":"ann","text":"short"}"#);
    }
    for client in [ann, bob] {
        client.close(CloseCode::NORMAL, "").unwrap();
    }
    example.interrupt();
}

#[test]
fn commands_greets_in_text_and_json_and_ends_with_a_clean_account() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("commands.sock");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let example = Example::spawn("commands", &[path.to_str().unwrap()], nowhere);
    let Some(mut example) = example else { return };
    for (command, reply) in [
        ("greet you\n", "hello, you\n"),
        ("j/greet \"you\"\n", "{\"hello\": \"\\\"you\\\"\"}\n"),
        ("leave\n", "error: no command `leave`, but `greet`\n"),
    ] {
        let mut peer = example.wait_for(|| UnixStream::connect(&path));
        peer.set_read_timeout(common::patience()).unwrap();
        peer.write_all(command.as_bytes()).unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, reply);
    }
    example.interrupt();
    assert!(!path.exists());
}
