//! From the path of a request to one below a directory. What could lead out of it, or name one file in two ways, is
//! refused; nothing is mended.

use std::fmt;

use crate::limits::{FILES_NAME_BYTES_MAX, FILES_PATH_BYTES_MAX};

/// Why a path names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// It does not begin with a slash.
    NotAbsolute,
    /// Two slashes follow each other.
    Empty,
    /// `.` or `..`, encoded or not.
    Dots,
    /// A slash that is encoded, or a backslash.
    Separator,
    /// NUL or another control character.
    Control,
    /// A percent sign without two hexadecimal digits.
    Escape,
    /// What it decodes to is no UTF-8.
    Utf8,
    /// More than [`FILES_PATH_BYTES_MAX`] bytes, or a name of more than [`FILES_NAME_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::Empty => "the path has an empty name in it",
            Self::Dots => "the path has dots for a name in it",
            Self::Separator => "the path has a backslash or an encoded slash in it",
            Self::Control => "the path has a control character in it",
            Self::Escape => "the path has a broken percent escape in it",
            Self::Utf8 => "the path is no UTF-8",
            Self::TooLong => "the path is too long",
        })
    }
}

/// A path below a directory: names with slashes between them, none of which leads up. Empty for the directory itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelativePath<'a> {
    text: &'a str,
    trailing_slash: bool,
}

impl<'a> RelativePath<'a> {
    /// Decodes the path of a request, without its query, into `room`, of which it needs no more than `path` has.
    pub fn decode(
        path: &[u8],
        room: &'a mut [u8; FILES_PATH_BYTES_MAX],
    ) -> Result<Self, PathFault> {
        let mut rest = path.strip_prefix(b"/").ok_or(PathFault::NotAbsolute)?;
        let mut len = 0;
        while let [byte, after @ ..] = rest {
            let (decoded, after) = match byte {
                b'%' => unescape(after)?,
                b'/' => {
                    room_for(&mut *room, &mut len, b'/')?;
                    rest = after;
                    continue;
                }
                _ => (*byte, after),
            };
            match decoded {
                b'/' | b'\\' => return Err(PathFault::Separator),
                0..0x20 | 0x7f => return Err(PathFault::Control),
                _ => room_for(&mut *room, &mut len, decoded)?,
            }
            rest = after;
        }
        let text = std::str::from_utf8(&room[..len]).map_err(|_| PathFault::Utf8)?;
        let trailing_slash = text.is_empty() || text.ends_with('/');
        let text = text.strip_suffix('/').unwrap_or(text);
        if !(text.is_empty() && len == 0) {
            text.split('/').try_for_each(check_name)?;
        }
        Ok(Self { text, trailing_slash })
    }

    /// The names, with slashes between them.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether it can name a directory alone.
    pub fn has_trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// Whether a name in it begins with a dot, which hides it. `.well-known` does not (RFC 8615).
    pub fn is_hidden(&self) -> bool {
        self.text.split('/').any(|name| name.starts_with('.') && name != ".well-known")
    }

    /// The directory that the last name is in, and that name.
    pub fn split(&self) -> (&'a str, &'a str) {
        self.text.rsplit_once('/').unwrap_or(("", self.text))
    }
}

/// Whether `name` is one name of a file and no path.
pub fn is_file_name(name: &str) -> bool {
    check_name(name).is_ok() && !name.bytes().any(|b| matches!(b, b'/' | b'\\' | 0..0x20 | 0x7f))
}

fn check_name(name: &str) -> Result<(), PathFault> {
    match name {
        "" => Err(PathFault::Empty),
        "." | ".." => Err(PathFault::Dots),
        _ if name.len() > FILES_NAME_BYTES_MAX => Err(PathFault::TooLong),
        _ => Ok(()),
    }
}

fn room_for(room: &mut [u8], len: &mut usize, byte: u8) -> Result<(), PathFault> {
    *room.get_mut(*len).ok_or(PathFault::TooLong)? = byte;
    *len += 1;
    Ok(())
}

/// The byte that the two digits behind a percent sign name, and what follows them.
fn unescape(after: &[u8]) -> Result<(u8, &[u8]), PathFault> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match after {
        [high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
            _ => Err(PathFault::Escape),
        },
        _ => Err(PathFault::Escape),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(path: impl AsRef<[u8]>) -> Result<(String, bool), PathFault> {
        let mut room = [0; FILES_PATH_BYTES_MAX];
        let path = RelativePath::decode(path.as_ref(), &mut room)?;
        Ok((path.as_str().to_owned(), path.has_trailing_slash()))
    }

    #[test]
    fn paths_become_names_below_the_root_g_18() {
        for (path, text, slash) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.txt", "a/b.txt", false),
            ("/a%20b", "a b", false),
            ("/%C3%A4", "ä", false),
            ("/%61", "a", false),
            ("/%252e%252e", "%2e%2e", false),
            ("/...", "...", false),
            ("/..a/a..", "..a/a..", false),
            ("/a+b", "a+b", false),
        ] {
            assert_eq!(decode(path), Ok((text.to_owned(), slash)), "{path}");
        }
    }

    #[test]
    fn every_way_out_is_refused_g_18() {
        use PathFault::*;
        for (path, fault) in [
            ("", NotAbsolute),
            ("a", NotAbsolute),
            ("*", NotAbsolute),
            ("..", NotAbsolute),
            ("//", Empty),
            ("//etc/passwd", Empty),
            ("/a//b", Empty),
            ("/a//", Empty),
            ("/..", Dots),
            ("/.", Dots),
            ("/../", Dots),
            ("/./a", Dots),
            ("/a/../b", Dots),
            ("/%2e%2e/a", Dots),
            ("/%2E./a", Dots),
            ("/.%2e", Dots),
            ("/a%2fb", Separator),
            ("/..%2f..%2fa", Separator),
            ("/%2f", Separator),
            ("/a\\b", Separator),
            ("/..%5c", Separator),
            ("/..\\", Separator),
            ("/a%00.txt", Control),
            ("/a%0a", Control),
            ("/a%7f", Control),
            ("/%", Escape),
            ("/%4", Escape),
            ("/%zz", Escape),
            ("/%u002e", Escape),
            ("/%+1", Escape),
            ("/%c0%ae%c0%ae", Utf8),
            ("/%e0%80%af", Utf8),
            ("/%ff", Utf8),
            ("/%ed%a0%80", Utf8),
        ] {
            assert_eq!(decode(path), Err(fault), "{path}");
        }
    }

    #[test]
    fn the_bounds_hold_at_them_and_one_past_them() {
        let name = |bytes: usize| format!("/{}", "a".repeat(bytes));
        assert!(decode(name(FILES_NAME_BYTES_MAX)).is_ok());
        assert_eq!(decode(name(FILES_NAME_BYTES_MAX + 1)), Err(PathFault::TooLong));
        let path = |bytes: usize| "/a".repeat(bytes / 2) + if bytes % 2 == 1 { "a" } else { "" };
        let most = FILES_PATH_BYTES_MAX + 1; // with the slash before it
        assert!(decode(path(most)).is_ok());
        assert_eq!(decode(path(most + 1)), Err(PathFault::TooLong));
    }

    #[test]
    fn names_with_a_dot_first_are_hidden() {
        let hidden = |path: &str| {
            let mut room = [0; FILES_PATH_BYTES_MAX];
            RelativePath::decode(path.as_bytes(), &mut room).unwrap().is_hidden()
        };
        assert!(hidden("/.git/config") && hidden("/a/.env") && hidden("/%2eenv"));
        assert!(!hidden("/") && !hidden("/a.b") && !hidden("/.well-known/acme"));
    }

    #[test]
    fn names_of_files_are_no_paths() {
        assert!(is_file_name("a b.txt") && is_file_name("ä"));
        for name in ["", ".", "..", "a/b", "/a", "a\\b", "C:\\a", "a\0", "a\n"] {
            assert!(!is_file_name(name), "{name:?}");
        }
        assert!(is_file_name(&"a".repeat(255)) && !is_file_name(&"a".repeat(256)));
    }

    /// Decodes the whole, as a reader of RFC 3986 would, and looks at the names afterwards.
    fn oracle(path: &[u8]) -> Option<String> {
        let mut names = Vec::new();
        for raw in path.strip_prefix(b"/")?.split(|&byte| byte == b'/') {
            let text = String::from_utf8(raw.to_vec()).ok()?;
            let mut pieces = text.split('%');
            let mut name = pieces.next()?.as_bytes().to_vec();
            for piece in pieces {
                let digits = piece.get(..2)?;
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                name.push(u8::from_str_radix(digits, 16).ok()?);
                name.extend(&piece.as_bytes()[2..]);
            }
            names.push(String::from_utf8(name).ok()?);
        }
        if names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        let good = |name: &String| is_file_name(name);
        names.iter().all(good).then(|| names.join("/"))
    }

    proptest! {
        #[test]
        fn any_path_decodes_as_it_does_name_by_name(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "/", "/", "a", ".", "%2e", "%2F", "%5c", "%41", "%c3%a4", "%c3", "%", "\\", "%00", "é", "%0",
            ]), 0..10),
        ) {
            let path = format!("/{}", pieces.concat());
            let decoded = decode(&path).ok().map(|(text, _)| text);
            prop_assert_eq!(decoded, oracle(path.as_bytes()));
        }
    }
}
