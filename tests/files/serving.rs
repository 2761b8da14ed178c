//! What `Files` sends.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use ringway::handler::http::Files;
use ringway::limits::FILES_CACHED_BYTES_MAX;

use crate::bed::{Bed, Place, split};
use crate::common::pattern;

fn bed(place: &Place) -> Bed<Files> {
    Bed::new(Files::new(place.root()).unwrap())
}

/// Sizes around those at which a file is sent otherwise.
const SIZES: [usize; 10] = [
    0,
    1,
    256,
    257,
    2048,
    2049,
    FILES_CACHED_BYTES_MAX,
    FILES_CACHED_BYTES_MAX + 1,
    300_000,
    1 << 20,
];

#[test]
fn files_of_any_size_come_whole_and_again_g_18() {
    let place = Place::new();
    for size in SIZES {
        place.write(&format!("a/{size}.bin"), pattern(size as u64, size));
    }
    let mut bed = bed(&place);
    for round in 0..3 {
        for size in SIZES {
            let got = bed.get(&format!("/a/{size}.bin"));
            assert_eq!((got.status, got.body.len()), (200, size), "round {round}");
            assert!(got.body == pattern(size as u64, size));
            assert_eq!(got.field("content-type"), Some("application/octet-stream"));
            assert_eq!(got.field("accept-ranges"), Some("bytes"));
            let head = bed.ask("HEAD", &format!("/a/{size}.bin"), "");
            let without_date = |head: &str| head.replace(got.field("date").unwrap(), "");
            assert_eq!(without_date(&head.head), without_date(&got.head));
        }
    }
    bed.finish();
}

#[test]
fn a_kept_file_is_asked_of_the_file_system_once_a_second() {
    let place = Place::new();
    place.write("a.txt", "one");
    let mut bed = bed(&place);
    assert_eq!(bed.get("/a.txt").text(), "one");
    place.write("a.txt", "two!");
    // Nothing is asked of the pool while it is fresh.
    let conn = bed.harness.open();
    bed.harness.receive(conn, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(split(bed.harness.sent(conn), true).0.text(), "one");
    bed.harness.advance(Duration::from_millis(1001));
    // One looks, and who comes meanwhile gets what is there.
    let [first, second] = [bed.harness.open(), bed.harness.open()];
    bed.harness.receive(first, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    bed.harness.receive(second, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(split(bed.harness.sent(second), true).0.text(), "one");
    bed.settle();
    assert_eq!(split(bed.harness.sent(first), true).0.text(), "two!");
    assert_eq!(bed.get("/a.txt").text(), "two!");
    fs::remove_file(place.path("a.txt")).unwrap();
    bed.harness.advance(Duration::from_millis(1001));
    assert_eq!(bed.get("/a.txt").status, 404);
    assert_eq!(bed.get("/a.txt").status, 404);
}

#[test]
fn a_file_that_has_not_changed_is_not_read_again() {
    let place = Place::new();
    place.write("a.txt", "one");
    let mut bed = bed(&place);
    let tag = bed.get("/a.txt").field("etag").unwrap().to_owned();
    bed.harness.advance(Duration::from_millis(1001));
    let got = bed.get("/a.txt");
    assert_eq!((got.text(), got.field("etag")), ("one", Some(&*tag)));
}

#[test]
fn no_more_files_are_kept_than_there_is_room_for() {
    let place = Place::new();
    for n in 0..ringway::limits::FILES_CACHED_MAX + 10 {
        place.write(&format!("{n}"), "x");
    }
    let mut bed = bed(&place);
    for n in 0..ringway::limits::FILES_CACHED_MAX + 10 {
        bed.harness.advance(Duration::from_nanos(1));
        assert_eq!(bed.get(&format!("/{n}")).text(), "x");
    }
    // Each holds a slot for its bytes and one for its fields.
    assert_eq!(bed.harness.cx.pool.missing() as usize, 2 * ringway::limits::FILES_CACHED_MAX);
}

#[test]
fn conditions_are_answered_for_kept_and_for_streamed_files() {
    let place = Place::new();
    place.write("small.txt", "hello");
    place.write("large.bin", pattern(1, 100_000));
    let mut bed = bed(&place);
    for path in ["/small.txt", "/large.bin"] {
        let got = bed.get(path);
        let (tag, date) = (got.field("etag").unwrap(), got.field("last-modified").unwrap());
        for (line, status) in [
            (format!("If-None-Match: {tag}"), 304),
            (format!("If-None-Match: \"x\", W/{tag}"), 304),
            ("If-None-Match: \"x\"".to_owned(), 200),
            (format!("If-Modified-Since: {date}"), 304),
            (format!("If-Match: {tag}"), 200),
            ("If-Match: \"x\"".to_owned(), 412),
            ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 412),
        ] {
            for method in ["GET", "HEAD"] {
                let got = bed.ask(method, path, &format!("{line}\r\n"));
                assert_eq!(got.status, status, "{method} {path} {line}");
                if status == 304 {
                    assert_eq!(got.field("etag"), Some(tag));
                    assert!(got.body.is_empty());
                }
            }
        }
    }
    bed.finish();
}

#[test]
fn ranges_are_cut_out_of_kept_and_of_streamed_files() {
    let place = Place::new();
    for size in [5_000usize, 200_000] {
        place.write("file", pattern(7, size));
        let whole = pattern(7, size);
        let mut bed = bed(&place);
        let tag = bed.get("/file").field("etag").unwrap().to_owned();
        for (range, first, last) in [
            ("0-0", 0, 0),
            ("0-", 0, size - 1),
            ("10-4000", 10, 4000),
            ("-1", size - 1, size - 1),
            ("4999-", 4999, size - 1),
            ("-999999", 0, size - 1),
        ] {
            let got = bed.ask("GET", "/file", &format!("Range: bytes={range}\r\n"));
            assert_eq!(got.status, 206, "{range}");
            let field = format!("bytes {first}-{last}/{size}");
            assert_eq!(got.field("content-range"), Some(&*field));
            assert!(got.body == whole[first..=last], "{range} of {size}");
        }
        let got = bed.ask("GET", "/file", &format!("Range: bytes={size}-\r\n"));
        let field = format!("bytes */{size}");
        assert_eq!((got.status, got.field("content-range")), (416, Some(&*field)));
        for lines in [
            "Range: bytes=x\r\n".to_owned(),
            "Range: bytes=0-1,1-2\r\n".to_owned(),
            "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n".to_owned(),
        ] {
            let got = bed.ask("GET", "/file", &lines);
            assert!(got.status == 200 && got.body == whole, "{lines}");
        }
        let got = bed.ask("GET", "/file", &format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n"));
        assert_eq!((got.status, got.body.len()), (206, 2));
        assert_eq!(bed.ask("HEAD", "/file", "Range: bytes=0-1\r\n").status, 200);
        bed.finish();
    }
}

#[test]
fn several_ranges_come_as_parts() {
    let place = Place::new();
    for size in [5_000usize, 200_000] {
        place.write("file.pdf", pattern(3, size));
        let whole = pattern(3, size);
        let mut bed = bed(&place);
        let got = bed.ask("GET", "/file.pdf", "Range: bytes=100-199, 0-9, -3\r\n");
        assert_eq!(got.status, 206);
        let kind = got.field("content-type").unwrap();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for range in [100..=199, 0..=9, size - 3..=size - 1] {
            let (first, last) = (range.start(), range.end());
            expected.extend(format!(
                "\r\n--{boundary}\r\nContent-Type: application/pdf\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n"
            ).bytes());
            expected.extend(&whole[range]);
        }
        expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
        assert!(got.body == expected, "{size}");
        bed.finish();
    }
}

#[test]
fn every_escape_is_refused_g_18() {
    let place = Place::new();
    place.write("a/b.txt", "b");
    place.write(".env", "hidden");
    symlink("../secret", place.path("link")).unwrap();
    symlink("..", place.path("up")).unwrap();
    symlink(place.root().parent().unwrap().join("secret"), place.path("absolute")).unwrap();
    nix::unistd::mkfifo(&place.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut bed = bed(&place);
    for path in [
        "/../secret",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/..\\secret",
        "/a%00.txt",
        "//secret",
        "/a//b.txt",
        "/./a/b.txt",
        "/%c0%ae%c0%ae/secret",
        "/%ff",
        "/a/b.txt%",
        "/..%5csecret",
        "/%2e/a/b.txt",
    ] {
        assert_eq!(bed.get(path).status, 400, "{path}");
    }
    for path in [
        "/link",
        "/up/secret",
        "/up/",
        "/absolute",
        "/pipe",
        "/.env",
        "/%2eenv",
        "/a/b.txt/",
        "/none",
        "/a/b.txt/c",
        "/%252e%252e/secret",
        &format!("/{}", "a".repeat(300)),
        &"/a".repeat(1000),
    ] {
        let got = bed.get(path);
        assert_eq!((got.status, got.text()), (404, "not found\n"), "{path}");
    }
    symlink("a/b.txt", place.path("inside")).unwrap();
    assert_eq!(bed.get("/inside").text(), "b");
    assert_eq!(bed.get("/a/b.txt?x=/../..").text(), "b");
    bed.finish();
}

#[test]
fn a_directory_is_its_index_or_its_list_or_nothing() {
    let place = Place::new();
    place.write("with/index.html", "<p>");
    place.write("without/a b.txt", "12345");
    place.write("without/.hidden", "");
    fs::create_dir(place.path("without/sub")).unwrap();
    let mut bed = bed(&place);
    let got = bed.get("/with?x=1");
    assert_eq!((got.status, got.field("location")), (301, Some("/with/?x=1")));
    let got = bed.get("/with/");
    assert_eq!(got.text(), "<p>");
    assert_eq!(got.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(bed.get("/without/").status, 404);
    assert_eq!(bed.get("/").status, 404);
    bed.finish();
    let mut bed = Bed::new(Files::new(place.root()).unwrap().listing());
    let page = bed.get("/without/");
    assert!(page.text().contains("href=\"./a%20b.txt\"") && !page.text().contains("hidden"));
    let json = bed.ask("GET", "/without/", "Accept: application/json\r\n").json();
    assert_eq!(
        json,
        serde_json::json!([
            {"name": "sub", "directory": true, "bytes": null},
            {"name": "a b.txt", "directory": false, "bytes": 5},
        ])
    );
    assert_eq!(bed.get("/without").status, 301);
    bed.finish();
}

#[test]
fn methods_that_change_something_are_not_allowed() {
    let place = Place::new();
    place.write("a", "x");
    let mut bed = bed(&place);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let got = bed.ask(method, "/a", "");
        assert_eq!((got.status, got.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    bed.finish();
}

#[test]
fn files_are_served_below_a_prefix_alone() {
    let place = Place::new();
    place.write("a.txt", "a");
    place.write("index.html", "index");
    let mut bed = Bed::new(Files::new(place.root()).unwrap().at_prefix("/static/"));
    assert_eq!(bed.get("/static/a.txt").text(), "a");
    assert_eq!(bed.get("/static/").text(), "index");
    assert_eq!(bed.get("/static").field("location"), Some("/static/"));
    for path in ["/a.txt", "/", "/staticx/a.txt", "/statica.txt"] {
        assert_eq!(bed.get(path).status, 404, "{path}");
    }
    assert_eq!(bed.get("/static/../a.txt").status, 400);
    assert_eq!(bed.get("/static//a.txt").status, 400);
    bed.finish();
}

#[test]
fn a_compressed_form_is_sent_to_who_takes_it_unless_it_is_older() {
    let place = Place::new();
    for (name, content) in [
        ("a.js", "plain"),
        ("a.js.gz", "gzip"),
        ("a.js.br", "brotli"),
        ("b.js.gz", "old"),
        ("b.js", "new"),
    ] {
        place.write(name, content);
    }
    let old = fs::File::options().write(true).open(place.path("b.js.gz")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
    let mut bed = Bed::new(Files::new(place.root()).unwrap().precompressed());
    for _ in 0..2 {
        for (accepts, text, coding) in [
            ("", "plain", None),
            ("Accept-Encoding: gzip\r\n", "gzip", Some("gzip")),
            ("Accept-Encoding: gzip, br\r\n", "brotli", Some("br")),
            ("Accept-Encoding: gzip, br;q=0.1\r\n", "gzip", Some("gzip")),
            ("Accept-Encoding: zstd\r\n", "plain", None),
        ] {
            let got = bed.ask("GET", "/a.js", accepts);
            assert_eq!((got.text(), got.field("content-encoding")), (text, coding), "{accepts}");
            assert_eq!(got.field("vary"), Some("Accept-Encoding"));
            assert_eq!(got.field("content-type"), Some("text/javascript; charset=utf-8"));
        }
    }
    assert_eq!(bed.ask("GET", "/b.js", "Accept-Encoding: gzip\r\n").text(), "new");
    bed.finish();
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was() {
    let place = Place::new();
    let old = pattern(1, 500_000);
    place.write("file", &old);
    let mut bed = bed(&place);
    let conn = bed.harness.open();
    bed.harness.receive(conn, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(bed.harness.run_one_offloaded());
    place.write("new", pattern(2, 10));
    fs::rename(place.path("new"), place.path("file")).unwrap();
    bed.settle();
    assert!(split(bed.harness.sent(conn), true).0.body == old);
    assert!(bed.get("/file").body == pattern(2, 10));
    bed.finish();
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_cuts_the_response() {
    let place = Place::new();
    place.write("file", pattern(1, 500_000));
    let mut bed = bed(&place);
    let conn = bed.harness.open();
    bed.harness.receive(conn, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(bed.harness.run_one_offloaded());
    fs::File::options().write(true).open(place.path("file")).unwrap().set_len(100_000).unwrap();
    bed.settle();
    let (got, _) = split(bed.harness.sent(conn), true);
    assert_eq!(got.field("content-length"), Some("500000"));
    assert!(got.body == pattern(1, 500_000)[..100_000]);
    assert!(bed.harness.closed(conn).is_some(), "the peer sees that it is not whole");
    bed.finish();
}

#[test]
fn who_goes_while_its_file_is_looked_for_or_sent_leaves_nothing_behind() {
    let place = Place::new();
    place.write("file", pattern(1, 500_000));
    for steps in 0..8 {
        let mut bed = bed(&place);
        let conn = bed.harness.open();
        bed.harness.receive(conn, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..steps {
            bed.harness.run_one_offloaded();
        }
        bed.harness.reset(conn);
        bed.settle();
        assert_eq!(bed.harness.cx.pool.missing(), 0, "{steps}");
        bed.finish();
    }
}

#[test]
fn with_few_slots_a_large_file_comes_slowly_and_whole() {
    let place = Place::new();
    place.write("file", pattern(1, 300_000));
    let mut bed = Bed::with_slots(Files::new(place.root()).unwrap(), 32, 8);
    let mut hoard: Vec<_> = std::iter::from_fn(|| bed.harness.cx.pool.alloc(16_384)).collect();
    let got = bed.get("/file");
    assert!(got.status == 200 && got.body == pattern(1, 300_000));
    hoard.clear();
    bed.finish();
}

#[test]
fn requests_behind_each_other_on_a_connection_are_answered_in_order() {
    let place = Place::new();
    place.write("small", "small");
    place.write("large", pattern(1, 200_000));
    let mut bed = bed(&place);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let conn = bed.send([get("/large"), get("/small"), get("/none"), get("/large")].concat());
    let mut rest = bed.harness.sent(conn);
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let (got, after) = split(rest, true);
        bodies.push((got.status, got.body.len()));
        rest = after;
    }
    assert_eq!(bodies, [(200, 200_000), (200, 5), (404, 10), (200, 200_000)]);
    assert!(rest.is_empty());
    bed.harness.reset(conn);
    bed.settle();
    bed.finish();
}
