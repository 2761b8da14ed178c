//! The control line protocol: one UTF-8 command ended by a newline, answered with raw bytes until
//! the server closes. Here a line is found in what has arrived, read as a command, and an error is
//! written; what commands there are is the service's business.

use std::fmt::{self, Write};
use std::ops::Range;

use crate::limits::IPC_COMMAND_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Start of a command whose answer is to be JSON.
const JSON_PREFIX: &str = "j/";

/// A whole line at the front of what has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The command: valid UTF-8 without NUL, and without the `\n` or `\r\n` that ended it.
    pub text: Range<usize>,
    /// Bytes that the line takes with its end.
    pub consumed: usize,
}

/// Why a command is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// The first [`IPC_COMMAND_BYTES_MAX`] bytes hold no newline, and there are more.
    TooLong,
    /// The line is not UTF-8.
    Utf8,
    /// The line holds a NUL, at which many a reader would cut it.
    Nul,
    /// The peer ended its side before its command. Found by whoever reads, not in the bytes.
    Unended,
    /// The command took too long to arrive. Found by whoever reads, not in the bytes.
    Timeout,
    /// There is no room to wait for the rest of the command. Found by whoever reads.
    Busy,
}

impl Fault {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::TooLong, Self::Utf8, Self::Nul, Self::Unended, Self::Timeout, Self::Busy];

    /// What the peer is told, without `error: ` and a newline.
    pub fn message(self) -> &'static str {
        match self {
            Self::TooLong => "the command is longer than 4096 bytes with its newline",
            Self::Utf8 => "the command is not UTF-8",
            Self::Nul => "the command holds a NUL byte",
            Self::Unended => "the command was not ended by a newline",
            Self::Timeout => "the command took too long to arrive",
            Self::Busy => "too many commands are not whole; try again, with yours in one piece",
        }
    }

    /// The `code` of an error in JSON: the status that HTTP has for the like.
    pub fn code(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::Utf8 | Self::Nul | Self::Unended => 400,
            Self::Timeout => 408,
            Self::Busy => 503,
        }
    }
}

/// Looks for a whole line at the front of `bytes`, which is all that has arrived so far.
///
/// `Ok(None)`: it has not ended, and still may within [`IPC_COMMAND_BYTES_MAX`] bytes. What follows
/// the line is not looked at.
pub fn decode_command(bytes: &[u8]) -> Result<Option<Line>, Fault> {
    let window = &bytes[..bytes.len().min(IPC_COMMAND_BYTES_MAX)];
    let Some(newline) = window.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() > window.len() { Err(Fault::TooLong) } else { Ok(None) };
    };
    let line = &bytes[..newline];
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if std::str::from_utf8(text).is_err() {
        return Err(Fault::Utf8);
    }
    if text.contains(&0) {
        return Err(Fault::Nul);
    }
    Ok(Some(Line { text: 0..text.len(), consumed: newline + 1 }))
}

/// Whether the answer to what `bytes` begin is to be JSON, even where they are no command.
pub fn wants_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(JSON_PREFIX.as_bytes())
}

/// A command as its service sees it. It borrows from the line's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Whether it began with `j/`: the answer is to be JSON.
    pub json: bool,
    /// The first word, without `j/`. Empty where the line holds no word.
    pub name: &'a str,
    /// All behind the first word, without ASCII whitespace at both ends.
    pub arguments: &'a str,
}

impl<'a> Command<'a> {
    /// Reads a line's text. Every text is a command; whether there is one of that name the service
    /// knows.
    pub fn parse(text: &'a str) -> Self {
        let text = text.trim_ascii();
        let (json, text) = match text.strip_prefix(JSON_PREFIX) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
        let (name, arguments) = text.split_at(end);
        Self { json, name, arguments: arguments.trim_ascii() }
    }
}

/// Writes an error: `error: <message>` or, for JSON, `{"error": "<message>", "code": <code>}`, and a
/// newline. A line break in the message becomes a space in the first, so that an error is one line.
/// Fails as `out` does.
pub fn write_error(out: &mut dyn Write, json: bool, message: &str, code: u16) -> fmt::Result {
    if json {
        out.write_str("{\"error\": ")?;
        write_json_string(out, message)?;
        return writeln!(out, ", \"code\": {code}}}");
    }
    out.write_str("error: ")?;
    for (index, part) in message.split(['\n', '\r']).enumerate() {
        if index > 0 {
            out.write_char(' ')?;
        }
        out.write_str(part)?;
    }
    out.write_char('\n')
}

/// Writes `text` as a JSON string with its quotes (RFC 8259 §7). Fails as `out` does.
pub fn write_json_string(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        // All that has to be escaped is one byte, so `at` never splits a character.
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(&text[plain..at])?;
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte))?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
        plain = at + 1;
    }
    out.write_str(&text[plain..])?;
    out.write_char('"')
}
