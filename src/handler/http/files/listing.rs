//! What a directory has in it, as a page or as JSON.

use std::fmt::Write;
use std::io;

use crate::limits::FILES_LISTED_MAX;
use crate::sys::directory::Directory;

/// Whether the `Accept` field asks for JSON by name.
pub(super) fn wants_json(accept: &[u8]) -> bool {
    let mut kinds = accept.split(|&byte| byte == b',');
    kinds.any(|kind| kind.trim_ascii_start().starts_with(b"application/json"))
}

/// The list, and its media type: directories first, each by name, at most [`FILES_LISTED_MAX`] of them.
pub(super) fn list(
    directory: &Directory,
    path: &str,
    hidden: bool,
    json: bool,
) -> io::Result<(Vec<u8>, &'static str)> {
    let mut rows = Vec::new();
    for entry in directory.entries(FILES_LISTED_MAX)? {
        if entry.name.starts_with('.') && !hidden {
            continue;
        }
        // What went meanwhile is left out, and so is what is neither a file nor a directory.
        let Ok(metadata) = directory.metadata(&entry.name) else { continue };
        if metadata.is_dir() || metadata.is_file() || metadata.is_symlink() {
            let bytes = metadata.is_file().then_some(metadata.len());
            rows.push((!metadata.is_dir(), entry.name, bytes));
        }
    }
    rows.sort();
    Ok(if json { (as_json(&rows), "application/json") } else { (as_page(path, &rows), PAGE) })
}

const PAGE: &str = "text/html; charset=utf-8";

/// Whether it is no directory, its name, and its bytes if it is a file.
type Row = (bool, String, Option<u64>);

fn as_json(rows: &[Row]) -> Vec<u8> {
    let row = |(no_directory, name, bytes): &Row| serde_json::json!({ "name": name, "directory": !no_directory, "bytes": bytes });
    serde_json::Value::from(rows.iter().map(row).collect::<Vec<_>>()).to_string().into_bytes()
}

fn as_page(path: &str, rows: &[Row]) -> Vec<u8> {
    let title = escaped(path);
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><title>/{title}</title><h1>/{title}</h1><table>\n"
    );
    if !path.is_empty() {
        page.push_str("<tr><td><a href=\"../\">../</a></td></tr>\n");
    }
    for (no_directory, name, bytes) in rows {
        let slash = if *no_directory { "" } else { "/" };
        let (link, name) = (encoded(name), escaped(name));
        let bytes = bytes.map_or(String::new(), |bytes| bytes.to_string());
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{bytes}</td></tr>"
        );
    }
    page.push_str("</table>\n");
    page.into_bytes()
}

/// A name as it stands in a path (RFC 3986 §2).
fn encoded(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_so_that_they_cannot_be_anything_else() {
        let rows = [
            (false, "dir".to_owned(), None),
            (true, "a\"<b>&%2e?.txt".to_owned(), Some(7)),
            (true, "javascript:x".to_owned(), Some(1)),
        ];
        let page = String::from_utf8(as_page("<p>", &rows)).unwrap();
        assert!(page.contains("<title>/&lt;p&gt;</title>") && page.contains("href=\"./dir/\""));
        assert!(
            page.contains(
                "href=\"./a%22%3Cb%3E%26%252e%3F.txt\">a&quot;&lt;b&gt;&amp;%2e?.txt</a>"
            )
        );
        assert!(page.contains("href=\"./javascript%3Ax\""));
        let json: serde_json::Value = serde_json::from_slice(&as_json(&rows)).unwrap();
        assert_eq!(json[0]["directory"], true);
        assert_eq!(json[1]["name"], "a\"<b>&%2e?.txt");
        assert_eq!(json[1]["bytes"], 7);
    }

    #[test]
    fn json_is_for_who_names_it() {
        assert!(
            wants_json(b"text/html, application/json;q=0.5") && wants_json(b"application/json")
        );
        assert!(!wants_json(b"*/*") && !wants_json(b"text/html") && !wants_json(b""));
    }
}
