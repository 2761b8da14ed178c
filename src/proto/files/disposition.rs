//! What the fields of a form say: where its parts end (RFC 7578 §4.1), and what their files are called (§4.2).

use super::FormFault;
use super::path::is_file_name;
use crate::limits::{FILES_NAME_BYTES_MAX, FORM_BOUNDARY_BYTES_MAX};
use crate::proto::http1::field_lines;

/// The boundary that the `Content-Type` of a form names; `None`: it is no form, or has no legal one
/// (RFC 2046 §5.1.1).
pub fn form_boundary(content_type: &[u8]) -> Option<&[u8]> {
    let (kind, parameters) = split(content_type);
    if !kind.eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    let boundary = value(parameters, b"boundary")?.raw;
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    let fits = (1..=FORM_BOUNDARY_BYTES_MAX).contains(&boundary.len());
    (fits && boundary.iter().all(legal) && !boundary.ends_with(b" ")).then_some(boundary)
}

/// The name of the file in a part of a form, by its head, decoded into `room`. `None`: it is a field of another kind, or no
/// file was chosen. A name that is a path, or none, is refused.
pub fn form_file_name<'a>(
    head: &[u8],
    room: &'a mut [u8; FILES_NAME_BYTES_MAX],
) -> Result<Option<&'a str>, FormFault> {
    let disposition = field_lines(head).get("content-disposition").ok_or(FormFault::Head)?;
    let (kind, parameters) = split(disposition);
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err(FormFault::Head);
    }
    let Some(name) = value(parameters, b"filename").filter(|name| !name.raw.is_empty()) else {
        return Ok(None);
    };
    let len = name.decode(room).ok_or(FormFault::FileName)?;
    let name = std::str::from_utf8(&room[..len]).map_err(|_| FormFault::FileName)?;
    if is_file_name(name) { Ok(Some(name)) } else { Err(FormFault::FileName) }
}

/// The value of a parameter as it stands there, without its quotes.
#[derive(Clone, Copy)]
struct Value<'a> {
    raw: &'a [u8],
    quoted: bool,
}

impl Value<'_> {
    /// Writes what is meant and returns how long it is: browsers escape a quote as `%22` and line ends alike, others put a
    /// backslash before it.
    fn decode(&self, room: &mut [u8]) -> Option<usize> {
        let (mut rest, mut len) = (self.raw, 0);
        while let [byte, after @ ..] = rest {
            let (byte, after) = match (byte, after) {
                (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) if self.quoted => (*escaped, after),
                (b'%', [b'2', b'2', after @ ..]) if self.quoted => (b'"', after),
                (b'%', [b'0', b'A' | b'a', after @ ..]) if self.quoted => (b'\n', after),
                (b'%', [b'0', b'D' | b'd', after @ ..]) if self.quoted => (b'\r', after),
                _ => (*byte, after),
            };
            *room.get_mut(len)? = byte;
            (len, rest) = (len + 1, after);
        }
        Some(len)
    }
}

/// A field's value and its parameters.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    (value[..end].trim_ascii(), &value[end..])
}

/// The value of the first parameter of this name.
fn value<'a>(parameters: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
    let mut rest = parameters;
    loop {
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if rest.starts_with(b";") {
            continue;
        }
        let equals = rest.iter().position(|&byte| matches!(byte, b'=' | b';'))?;
        let found = &rest[..equals];
        let text = rest[equals..].strip_prefix(b"=")?;
        let (value, after) = match text.strip_prefix(b"\"") {
            Some(text) => {
                let end = quoted_end(text)?;
                (Value { raw: &text[..end], quoted: true }, text[end + 1..].trim_ascii_start())
            }
            None => {
                let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
                (Value { raw: text[..end].trim_ascii(), quoted: false }, &text[end..])
            }
        };
        if found.trim_ascii().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// Where the closing quote is.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => byte == b'"',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_in_any_form() {
        for (field, boundary) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8;BOUNDARY=\"a b\" ", Some("a b")),
            (
                "multipart/form-data; x=\";boundary=q\"; boundary=----WebKit+/1",
                Some("----WebKit+/1"),
            ),
            ("multipart/form-data; ; boundary=a", Some("a")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=a\u{e4}", None),
            ("multipart/mixed; boundary=a", None),
            ("text/plain", None),
            ("", None),
        ] {
            let found = form_boundary(field.as_bytes());
            assert_eq!(found, boundary.map(str::as_bytes), "{field}");
        }
        let of = |bytes: usize| format!("multipart/form-data; boundary={}", "a".repeat(bytes));
        assert!(form_boundary(of(FORM_BOUNDARY_BYTES_MAX).as_bytes()).is_some());
        assert!(form_boundary(of(FORM_BOUNDARY_BYTES_MAX + 1).as_bytes()).is_none());
    }

    fn file_name(disposition: &str) -> Result<Option<String>, FormFault> {
        let head = format!("Content-Type: a/b\r\nContent-Disposition: {disposition}\r\n\r\n");
        let mut room = [0; FILES_NAME_BYTES_MAX];
        form_file_name(head.as_bytes(), &mut room).map(|name| name.map(str::to_owned))
    }

    #[test]
    fn names_of_files_are_decoded_as_browsers_and_curl_write_them() {
        for (disposition, name) in [
            ("form-data; name=\"f\"; filename=\"a b.txt\"", Some("a b.txt")),
            ("form-data; filename=\"ä;%22\\\".txt\"; name=f", Some("ä;\"\".txt")),
            ("form-data; name=f; filename=a.txt", Some("a.txt")),
            ("form-data; filename=\"100%41%\"", Some("100%41%")),
            ("form-data; name=\"filename=x\"", None),
            ("form-data; name=f; filename=\"\"", None),
            ("form-data; name=f; filename*=utf-8''x", None),
            ("Form-Data", None),
        ] {
            assert_eq!(file_name(disposition), Ok(name.map(str::to_owned)), "{disposition}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused_g_18() {
        for name in ["..", ".", "../a", "/etc/passwd", "a/b", "C:\\\\a", "a\\b", "a%0Ab", "a\0b"] {
            let disposition = format!("form-data; filename=\"{name}\"");
            assert_eq!(file_name(&disposition), Err(FormFault::FileName), "{name}");
        }
        assert_eq!(file_name("attachment; filename=a"), Err(FormFault::Head));
        let mut room = [0; FILES_NAME_BYTES_MAX];
        assert_eq!(form_file_name(b"\r\n", &mut room), Err(FormFault::Head));
        let head = b"Content-Disposition: form-data; filename=\"\xff\"\r\n\r\n";
        assert_eq!(form_file_name(head, &mut room), Err(FormFault::FileName));
        let long = |bytes: usize| format!("form-data; filename={}", "a".repeat(bytes));
        assert!(file_name(&long(FILES_NAME_BYTES_MAX)).is_ok());
        assert_eq!(file_name(&long(FILES_NAME_BYTES_MAX + 1)), Err(FormFault::FileName));
    }
}
