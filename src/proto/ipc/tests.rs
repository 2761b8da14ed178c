use proptest::prelude::*;

use super::*;

fn text(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Fault> {
    let line = decode_command(bytes)?;
    Ok(line.map(|line| (&bytes[line.text], line.consumed)))
}

fn error(json: bool, message: &str, code: u16) -> String {
    let mut out = String::new();
    write_error(&mut out, json, message, code).unwrap();
    out
}

#[test]
fn a_line_ends_at_its_newline_and_what_follows_stays() {
    assert_eq!(text(b"ping\nmore\n"), Ok(Some((&b"ping"[..], 5))));
    assert_eq!(text(b"ping\r\nmore"), Ok(Some((&b"ping"[..], 6))));
    assert_eq!(text(b"ping\r\r\n"), Ok(Some((&b"ping\r"[..], 7))), "one carriage return goes");
    assert_eq!(text(b"\n"), Ok(Some((&b""[..], 1))));
    assert_eq!(text(b""), Ok(None));
    assert_eq!(text(b"ping\r"), Ok(None));
}

#[test]
fn i4_4096_bytes_with_the_newline_are_a_command_and_one_more_is_too_long() {
    let mut longest = vec![b'a'; IPC_COMMAND_BYTES_MAX];
    assert_eq!(text(&longest), Ok(None), "the newline is not there, but nothing is behind it");
    *longest.last_mut().unwrap() = b'\n';
    assert_eq!(text(&longest), Ok(Some((&longest[..4095], 4096))));
    let mut longer = vec![b'a'; IPC_COMMAND_BYTES_MAX + 1];
    assert_eq!(text(&longer), Err(Fault::TooLong));
    *longer.last_mut().unwrap() = b'\n';
    assert_eq!(text(&longer), Err(Fault::TooLong), "it is never cut");
    assert!(Fault::TooLong.message().contains(&IPC_COMMAND_BYTES_MAX.to_string()));
}

#[test]
fn i4_what_is_not_utf8_or_holds_a_nul_is_refused_once_the_line_has_ended() {
    assert_eq!(text(b"\xc3"), Ok(None), "the rest of the character may be under way");
    assert_eq!(text(b"\xc3\n"), Err(Fault::Utf8));
    assert_eq!(text("é\n".as_bytes()), Ok(Some(("é".as_bytes(), 3))));
    assert_eq!(text(b"a\0b\n"), Err(Fault::Nul));
    assert_eq!(text(b"ping\n\xff\0"), Ok(Some((&b"ping"[..], 5))), "that is behind the line");
}

#[test]
fn faults_are_listed_by_their_numbers_and_each_says_something_of_its_own() {
    for (number, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, number);
        let same = Fault::ALL.iter().filter(|other| other.message() == fault.message());
        assert_eq!(same.count(), 1);
        assert!((400..600).contains(&fault.code()) && !fault.message().contains('\n'));
    }
}

#[test]
fn a_command_is_a_prefix_a_first_word_and_the_rest() {
    let command = |json, name, arguments| Command { json, name, arguments };
    assert_eq!(Command::parse("ping"), command(false, "ping", ""));
    assert_eq!(Command::parse("  echo  a  b "), command(false, "echo", "a  b"));
    assert_eq!(Command::parse("j/echo\té x"), command(true, "echo", "é x"));
    assert_eq!(Command::parse("j/j/echo"), command(true, "j/echo", ""));
    assert_eq!(Command::parse("j/ echo"), command(true, "", "echo"));
    assert_eq!(Command::parse("J/echo"), command(false, "J/echo", ""));
    assert_eq!(Command::parse("j/"), command(true, "", ""));
    assert_eq!(Command::parse(""), command(false, "", ""));
}

#[test]
fn i6_errors_are_one_line_of_text_or_json() {
    assert_eq!(error(false, "no such command", 404), "error: no such command\n");
    assert_eq!(error(false, "two\r\nlines", 500), "error: two  lines\n");
    assert_eq!(error(true, "no \"x\"\n", 404), "{\"error\": \"no \\\"x\\\"\\n\", \"code\": 404}\n");
}

proptest! {
    #[test]
    fn lines_are_found_as_the_standard_library_finds_them(
        bytes in prop::collection::vec(prop::sample::select(b"ab\n\r\0\xc3\xa9".to_vec()), 0..12),
        padding in prop_oneof![Just(0usize), 4084..4098usize],
    ) {
        let bytes = [vec![b'-'; padding], bytes].concat();
        let found = text(&bytes);
        match bytes.split_inclusive(|&byte| byte == b'\n').next() {
            Some(line) if line.ends_with(b"\n") && line.len() <= 4096 => {
                match std::str::from_utf8(line).map(|line| line.lines().next().unwrap_or("")) {
                    Err(_) => prop_assert_eq!(found, Err(Fault::Utf8)),
                    Ok(line) if line.contains('\0') => prop_assert_eq!(found, Err(Fault::Nul)),
                    Ok(text) => prop_assert_eq!(found, Ok(Some((text.as_bytes(), line.len())))),
                }
            }
            _ if bytes.len() <= 4096 => prop_assert_eq!(found, Ok(None)),
            _ => prop_assert_eq!(found, Err(Fault::TooLong)),
        }
    }

    #[test]
    fn commands_are_read_as_the_standard_library_splits_them(text in "[ \t]*(j/)?[a-z/é ]{0,12}") {
        let command = Command::parse(&text);
        let words = text.trim_ascii();
        prop_assert_eq!(command.json, words.starts_with("j/"));
        prop_assert_eq!(command.json, wants_json(text.as_bytes()));
        let words = words.strip_prefix("j/").unwrap_or(words);
        let (name, rest) = words.split_once([' ', '\t']).unwrap_or((words, ""));
        prop_assert_eq!((command.name, command.arguments), (name, rest.trim_ascii()));
    }
}
