//! From the end of a name to a media type.

/// Those that pages and downloads are made of, by their registrations with IANA, sorted. A table of our own, since a
/// crate's thousand types are mostly of files that nobody serves, and none of them says `charset`.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jar", "application/java-archive"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("py", "text/plain; charset=utf-8"),
    ("rs", "text/plain; charset=utf-8"),
    ("rtf", "application/rtf"),
    ("sh", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/vnd.wave"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The media type of a file by the end of its name, in any case; text is taken to be UTF-8. What is not known is
/// `application/octet-stream`, which a browser saves.
pub fn media_type(name: &str) -> &'static str {
    const UNKNOWN: &str = "application/octet-stream";
    let Some((_, end)) = name.rsplit_once('.') else { return UNKNOWN };
    let mut lower = [0; 16];
    let Some(lower) = lower.get_mut(..end.len()) else { return UNKNOWN };
    lower.copy_from_slice(end.as_bytes());
    lower.make_ascii_lowercase();
    let found = TYPES.binary_search_by(|(end, _)| end.as_bytes().cmp(lower));
    found.map_or(UNKNOWN, |index| TYPES[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http1::is_value;

    #[test]
    fn the_table_is_sorted_and_legal() {
        assert!(TYPES.is_sorted_by(|a, b| a.0 < b.0));
        for (end, kind) in TYPES {
            assert!(end.len() <= 16 && !end.bytes().any(|byte| byte.is_ascii_uppercase()));
            assert!(is_value(kind.as_bytes()) && kind.contains('/'));
            assert_eq!(media_type(&format!("a.{end}")), *kind);
        }
    }

    #[test]
    fn the_last_end_of_a_name_in_any_case_tells() {
        assert_eq!(media_type("a.tar.GZ"), "application/gzip");
        assert_eq!(media_type("INDEX.HTML"), "text/html; charset=utf-8");
        for name in ["", "a", "a.", "html", "a.unknown", "a.averylongendofaname", "a.ä"] {
            assert_eq!(media_type(name), "application/octet-stream", "{name}");
        }
    }
}
