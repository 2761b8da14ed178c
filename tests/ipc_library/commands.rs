//! What a command is, however it arrives, and what its reply is.

use std::io::Write;
use std::net::Shutdown;

use ringway::limits::IPC_COMMAND_BYTES_MAX;

use crate::bed::Bed;
use crate::common::pattern;

#[test]
fn i1_a_command_is_answered() {
    let bed = Bed::new();
    assert_eq!(bed.text("echo hello there"), "hello there\n");
    assert_eq!(bed.text("nothing"), "");
    assert_eq!(bed.text("  echo   two words \r"), "two words\n");
}

#[test]
fn i4_a_command_of_4096_bytes_is_taken_and_one_more_is_refused_whole() {
    let bed = Bed::new();
    let longest = format!("echo {}", "a".repeat(IPC_COMMAND_BYTES_MAX - 6));
    assert_eq!(bed.text(&longest).len(), longest.len() - 5 + 1);
    for parts in [1, 2] {
        let line = format!("{longest}b\n");
        let (front, back) = line.as_bytes().split_at(line.len() / parts);
        let reply = bed.raw(&[front, back]).unwrap();
        assert_eq!(
            String::from_utf8(reply).unwrap(),
            "error: the command is longer than 4096 bytes with its newline\n"
        );
    }
}

#[test]
fn i4_what_is_no_line_of_utf8_is_an_error_in_the_format_that_was_asked_for() {
    let bed = Bed::new();
    for (sent, message) in [
        (&b"echo \xff\n"[..], "the command is not UTF-8"),
        (b"echo \0\n", "the command holds a NUL byte"),
    ] {
        assert_eq!(bed.raw(&[sent]).unwrap(), format!("error: {message}\n").as_bytes());
        let reply = bed.raw(&[b"j/", sent]).unwrap();
        let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!((reply["error"].as_str(), reply["code"].as_u64()), (Some(message), Some(400)));
    }
    let mut stream = bed.connect();
    stream.write_all(b"echo unended").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let reply = std::io::read_to_string(stream).unwrap();
    assert_eq!(reply, "error: the command was not ended by a newline\n");
}

#[test]
fn a_command_in_ten_writes_is_one_command() {
    let bed = Bed::new();
    let mut stream = bed.connect();
    for part in ["e", "ch", "o ", "1", "2", "3", "4", "5", "6", "\r\n"] {
        stream.write_all(part.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(std::io::read_to_string(stream).unwrap(), "123456\n");
}

#[test]
fn i3_of_two_commands_in_one_write_the_first_is_answered_and_its_reply_is_whole() {
    let bed = Bed::new();
    assert_eq!(bed.raw(&[b"echo first\necho second\n"]).unwrap(), b"first\n");
    let long = [b"echo first\n".as_slice(), &[b'x'; 100_000]].concat();
    assert_eq!(bed.raw(&[&long]).unwrap(), b"first\n");
}

#[test]
fn i5_a_reply_of_10_mb_arrives_whole() {
    let bed = Bed::new();
    let bytes = 10 << 20;
    assert!(bed.send(&format!("bytes {bytes}")).unwrap() == pattern(7, bytes));
}

#[test]
fn i6_a_handlers_error_has_the_standard_format_in_text_and_in_json() {
    let bed = Bed::new();
    assert_eq!(bed.raw(&[b"refuse\n"]).unwrap(), b"error: two lines \"quoted\"\n");
    assert_eq!(
        bed.raw(&[b"j/refuse\n"]).unwrap(),
        b"{\"error\": \"two\\nlines \\\"quoted\\\"\", \"code\": 400}\n"
    );
    assert_eq!(bed.refusal("refuse"), ("two lines \"quoted\"".to_owned(), None));
    assert_eq!(bed.refusal("j/refuse"), ("two\nlines \"quoted\"".to_owned(), Some(400)));
    assert_eq!(bed.refusal("j/nonsense").1, Some(404));
    assert_eq!((bed.text("format"), bed.text("j/format")), ("text".into(), "json".into()));
}

#[test]
fn i10_a_handler_knows_who_asks() {
    let bed = Bed::new();
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!(bed.text("peer"), format!("{} {uid} {gid}", std::process::id()));
}
