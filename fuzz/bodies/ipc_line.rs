//! What must hold of the line protocol for any bytes. The fuzz target and `tests/fuzz_corpus.rs`
//! share it.

use ringway::limits::IPC_COMMAND_BYTES_MAX;
use ringway::proto::ipc::{Command, Fault, decode_command, wants_json, write_error};

/// The first byte says how much padding stands in front, so that short inputs reach the limit; the
/// rest is what a peer sent.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let padding = if first < 128 { 0 } else { IPC_COMMAND_BYTES_MAX - usize::from(first - 128) };
    let bytes = [vec![b' '; padding], bytes.to_vec()].concat();
    let whole = decode_command(&bytes);
    match &whole {
        Ok(Some(line)) => {
            assert!(line.consumed <= IPC_COMMAND_BYTES_MAX && bytes[line.consumed - 1] == b'\n');
            let end = &bytes[line.text.end..line.consumed];
            assert!(line.text.start == 0 && (end == b"\n" || end == b"\r\n"));
            let text = std::str::from_utf8(&bytes[line.text.clone()]).expect("it was looked at");
            assert!(!text.contains(['\n', '\0']));
            check_command(text);
        }
        Ok(None) => assert!(bytes.len() <= IPC_COMMAND_BYTES_MAX && !bytes.contains(&b'\n')),
        Err(fault) => check_error(fault.message(), wants_json(&bytes), fault.code()),
    }
    // In pieces the same is found, however they are cut.
    for end in bytes.len().saturating_sub(8)..bytes.len() {
        match decode_command(&bytes[..end]) {
            Ok(None) => {}
            early => assert_eq!(early, whole),
        }
    }
    assert_eq!(whole == Err(Fault::TooLong), {
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        newline.unwrap_or(bytes.len()) >= IPC_COMMAND_BYTES_MAX
            && bytes.len() > IPC_COMMAND_BYTES_MAX
    });
}

fn check_command(text: &str) {
    let Command { json, name, arguments } = Command::parse(text);
    assert_eq!(json, wants_json(text.as_bytes()));
    assert!(!name.contains(|c: char| c.is_ascii_whitespace()));
    assert_eq!(arguments, arguments.trim_ascii());
    assert!(text.contains(name) && text.trim_ascii_end().ends_with(arguments));
    check_error(text, json, 404);
}

/// An error is one line, whatever its message holds.
pub fn check_error(message: &str, json: bool, code: u16) {
    let mut out = String::new();
    write_error(&mut out, json, message, code).expect("a String takes all");
    assert!(out.find('\n') == Some(out.len() - 1));
    assert!(out.starts_with(if json { "{\"error\": \"" } else { "error: " }));
    if json {
        let read: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        assert_eq!(read["error"], message);
    }
}
