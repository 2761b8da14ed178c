//! `ringway ws`, as people and scripts use it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::common::{Server, Start, pattern};

fn server() -> Server {
    Start::new().listener("websocket", "").start()
}

fn url(server: &Server) -> String {
    format!("ws://{}/", server.address(0))
}

fn ws(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("ws").args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // What is printed is read at the same time. Who does not read its input is not written to.
    let writes = thread::spawn(move || _ = stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writes.join().unwrap();
    output
}

fn code(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("an exit code");
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
fn lines_go_there_and_come_back_and_the_end_is_clean() {
    let server = server();
    let url = &*url(&server);
    for options in [&[][..], &["--compress"]] {
        let arguments = [&[url], options].concat();
        let (code, out, err) = code(&ws(&arguments, "one\ntwö\n\nthe last".as_bytes()));
        assert_eq!((code, &*out), (0, "one\ntwö\n\nthe last\n"), "{err}");
        assert!(err.ends_with("closed: 1000\n"), "{err}");
    }
    server.wait_for_no_connections();
    server.stop();
}

#[test]
fn many_lines_at_once_come_back() {
    let server = server();
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let (code, out, err) = code(&ws(&[&url(&server), "--timeout", "100"], lines.as_bytes()));
    assert_eq!(code, 0, "{err}");
    assert!(out == lines);
    server.stop();
}

#[test]
fn messages_of_the_command_line_come_back_and_are_printed() {
    let server = server();
    let url = &*url(&server);
    let (code_, out, _) = code(&ws(&[url, "--text", "one", "--text", "two"], b""));
    assert_eq!((code_, &*out), (0, "one\ntwo\n"));
    let (code_, out, _) = code(&ws(&[url, "--text", "one", "--expect", "0"], b""));
    assert_eq!((code_, &*out), (0, ""));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let bytes = pattern(5, 300_000);
    std::fs::write(&path, &bytes).unwrap();
    let path = path.to_str().unwrap();
    for options in [&[][..], &["--fragment", "1000"], &["--fragment", "70000", "--compress"]] {
        let arguments = [&[url, "--binary-file", path, "--raw"], options].concat();
        let output = ws(&arguments, b"");
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == bytes);
    }
    std::fs::write(path, b"\x00\xff").unwrap();
    let (code_, out, _) = code(&ws(&[url, "--binary-file", path], b""));
    assert_eq!((code_, &*out), (0, "binary, 2 bytes: 00 ff\n"));
    server.stop();
}

#[test]
fn pings_and_rounds_are_timed() {
    let server = server();
    let url = &*url(&server);
    for arguments in
        [&["--ping"][..], &["--ping", "--count", "3"], &["--size", "1000", "--count", "9"]]
    {
        let (code, out, err) = code(&ws(&[&[url], arguments].concat(), b""));
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("there and back, ") && out.contains("p99 "), "{out}");
    }
    server.stop();
}

#[test]
fn the_end_says_by_its_code_what_happened() {
    let small = Start::new().listener("websocket", "max_message_bytes = 10").start();
    let url = &*url(&small);
    let (code_, _, err) = code(&ws(&[url, "--text", "more than ten"], b""));
    assert_eq!((code_, err.contains("closed: 1009 frame too large")), (3, true), "{err}");
    let (code_, _, err) = code(&ws(&[url], b"more than ten\n"));
    assert_eq!((code_, err.contains("1009")), (3, true), "{err}");
    let (code_, _, err) = code(&ws(&[url, "--text", "a", "--expect", "2", "--timeout", "1"], b""));
    assert_eq!((code_, err.contains("within 1s")), (1, true), "{err}");
    let (code_, _, err) = code(&ws(&[url, "--text", "a", "--origin", "http://elsewhere"], b""));
    assert_eq!((code_, err.contains("status 403")), (1, true), "{err}");
    let (code_, _, err) = code(&ws(&[url, "--text", "a", "--max-message", "0"], b""));
    assert_eq!((code_, err.contains("message too large (it was told 1009)")), (1, true), "{err}");
    let (code_, _, err) = code(&ws(&[url, "--text", "a", "--close", "3000"], b""));
    assert_eq!((code_, err.contains("closed: 3000")), (0, true), "{err}");
    let (code_, _, err) = code(&ws(&[url, "--binary-file", "/nonexistent"], b""));
    assert_eq!((code_, err.contains("cannot read /nonexistent")), (1, true), "{err}");
    small.stop();
    let (code_, _, err) = code(&ws(&[url, "--text", "a"], b""));
    assert_eq!((code_, err.contains("cannot connect to 127.0.0.1:")), (1, true), "{err}");
    for wrong in [&["wss://a"][..], &["a"]] {
        assert_eq!(code(&ws(wrong, b"")).0, 1);
    }
    for wrong in [
        &["ws://a", "--close", "1005"][..],
        &["ws://a", "--ping", "--size", "1"],
        &["ws://a", "--count", "1"],
        &["ws://a", "-H", "no colon"],
        &[],
    ] {
        assert_eq!(code(&ws(wrong, b"")).0, 2, "{wrong:?}");
    }
}

#[test]
fn its_help_has_examples_and_exit_codes() {
    let (code, out, _) = code(&ws(&["--help"], b""));
    assert_eq!(code, 0);
    for part in ["Examples:", "Exit codes:", "--binary-file", "--fragment", "--unix", "--header"] {
        assert!(out.contains(part), "{part}");
    }
}
