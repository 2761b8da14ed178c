//! Uploads that break off and go on.

use std::fs;
use std::time::{Duration, SystemTime};

use ringway::handler::http::{Files, Upload};
use ringway::limits::{UPLOAD_LOOK_NS, UPLOAD_PART_KEPT_SECONDS};

use crate::bed::{Bed, Place, split};
use crate::common::pattern;
use crate::uploads::{hex, upload};

/// Sends so much of a PUT of `/a`, and breaks off.
fn break_off(bed: &mut Bed<Upload>, lines: &str, length: usize, bytes: &[u8]) {
    let conn = bed.harness.open();
    let head = format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{lines}\r\n");
    bed.harness.receive(conn, head);
    for piece in bytes.chunks(2000) {
        bed.harness.receive(conn, piece);
        bed.settle();
    }
    bed.harness.reset(conn);
    bed.settle();
}

fn offset(bed: &mut Bed<Upload>) -> (u16, Option<u64>) {
    let got = bed.ask("HEAD", "/a", "");
    (got.status, got.field("upload-offset").map(|digits| digits.parse().unwrap()))
}

#[test]
fn an_upload_goes_on_where_it_broke_off_g_18() {
    let place = Place::new();
    let content = pattern(1, 50_000);
    let mut bed = Bed::new(upload(&place).resumable());
    assert_eq!(offset(&mut bed), (404, None));
    break_off(&mut bed, "", 50_000, &content[..20_000]);
    assert_eq!(offset(&mut bed), (204, Some(20_000)));
    assert!(!place.path("a").exists());
    // It breaks off again.
    break_off(
        &mut bed,
        "Content-Range: bytes 20000-49999/50000\r\n",
        30_000,
        &content[20_000..30_000],
    );
    assert_eq!(offset(&mut bed), (204, Some(30_000)));
    let lines = "Content-Range: bytes 30000-49999/50000\r\n";
    let got = bed.put("PUT", "/a", lines, &content[30_000..]);
    assert_eq!((got.status, got.json()["sha256"].as_str()), (201, Some(&*hex(&content))));
    assert!(place.read("a") == content);
    assert_eq!(place.names(), ["a"]);
    let got = bed.ask("HEAD", "/a", "");
    assert_eq!((got.status, got.field("upload-complete")), (200, Some("?1")));
    assert_eq!(got.field("content-length"), Some("50000"));
    bed.finish();
}

#[test]
fn an_upload_goes_on_in_another_process() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    break_off(&mut bed, "", 10, b"hello");
    bed.finish();
    let mut bed = Bed::new(upload(&place).resumable());
    let got = bed.put("PUT", "/a", "Content-Range: bytes 5-9/10\r\n", b"world");
    assert_eq!((got.status, place.read("a")), (201, b"helloworld".to_vec()));
    bed.finish();
}

#[test]
fn a_file_may_come_in_ranges_one_after_the_other() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    let got = bed.put("PUT", "/a", "Content-Range: bytes 0-3/10\r\n", b"0123");
    assert_eq!((got.status, got.field("upload-offset")), (202, Some("4")));
    // One that begins too far on leaves a gap.
    let got = bed.put("PUT", "/a", "Content-Range: bytes 5-9/10\r\n", b"56789");
    assert_eq!((got.status, got.field("upload-offset")), (409, Some("4")));
    // One that begins before what is there replaces it.
    let got = bed.put("PUT", "/a", "Content-Range: bytes 2-5/10\r\n", b"abcd");
    assert_eq!((got.status, got.field("upload-offset")), (202, Some("6")));
    let got = bed.put("PUT", "/a", "Content-Range: bytes 6-9/10\r\n", b"6789");
    assert_eq!((got.status, place.read("a")), (201, b"01abcd6789".to_vec()));
    bed.finish();
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    for field in [
        "bytes 0-3/*",
        "bytes */4",
        "bytes 0-4/5",
        "bytes 0-2/4",
        "lines 0-3/4",
        "bytes 3-0/4",
        "x",
    ] {
        let got = bed.put("PUT", "/a", &format!("Content-Range: {field}\r\n"), b"0123");
        assert_eq!(got.status, 400, "{field}");
    }
    let got = bed.put("PUT", "/a", "Content-Range: bytes 1-4/5\r\n", b"1234");
    assert_eq!((got.status, got.field("upload-offset")), (409, Some("0")));
    let total = ringway::limits::UPLOAD_BYTES_MAX + 1;
    let got = bed.put("PUT", "/a", &format!("Content-Range: bytes 0-3/{total}\r\n"), b"0123");
    assert_eq!(got.status, 413);
    assert_eq!(place.names(), [""; 0]);
    bed.finish();
    let mut bed = Bed::new(upload(&place));
    assert_eq!(bed.put("PUT", "/a", "Content-Range: bytes 0-3/4\r\n", b"0123").status, 400);
    assert_eq!(bed.ask("HEAD", "/a", "").status, 405);
    bed.finish();
}

#[test]
fn two_at_a_time_do_not_write_into_one_file() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    let conn = bed.harness.open();
    bed.harness.receive(conn, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    bed.settle();
    let got = bed.put("PUT", "/a", "", b"other");
    assert_eq!((got.status, got.text()), (409, "it is being uploaded by somebody else\n"));
    bed.harness.receive(conn, "world");
    bed.settle();
    assert_eq!(split(bed.harness.sent(conn), true).0.status, 201);
    assert_eq!(place.read("a"), b"helloworld");
    bed.harness.reset(conn);
    bed.settle();
    bed.finish();
}

#[test]
fn a_new_upload_begins_anew() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    break_off(&mut bed, "", 100, b"something else");
    let got = bed.put("PUT", "/a", "", b"new");
    assert_eq!((got.status, place.read("a")), (201, b"new".to_vec()));
    assert_eq!(place.names(), ["a"]);
    bed.finish();
}

#[test]
fn who_asks_for_the_head_of_a_file_gets_that_of_the_file_unless_an_upload_is_open() {
    let place = Place::new();
    place.write("a", "old");
    let files = Files::new(place.root()).unwrap();
    let mut bed = Bed::new(upload(&place).resumable().overwriting().with_files(files));
    let got = bed.ask("HEAD", "/a", "");
    assert_eq!((got.status, got.field("content-length")), (200, Some("3")));
    assert!(got.field("etag").is_some());
    break_off(&mut bed, "", 100, b"newer");
    assert_eq!(offset(&mut bed), (204, Some(5)));
    assert_eq!(bed.get("/a").text(), "old");
    assert_eq!(bed.ask("HEAD", "/", "").status, 404);
    fs::write(place.path("index.html"), "x").unwrap();
    assert_eq!(bed.ask("HEAD", "/", "").status, 200);
    bed.finish();
}

/// Makes the part of `place` older than it may become.
fn age(place: &Place) {
    let names = place.names();
    let part = names.iter().find(|name| name.ends_with(".part")).expect("there is one");
    let old = SystemTime::now() - Duration::from_secs(UPLOAD_PART_KEPT_SECONDS + 60);
    let file = fs::File::options().write(true).open(place.path(part)).unwrap();
    file.set_modified(old).unwrap();
}

#[test]
fn what_nobody_goes_on_with_for_a_day_is_removed_while_others_send() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    let hour = Duration::from_nanos(UPLOAD_LOOK_NS + 1);
    let send = |bed: &mut Bed<Upload>, path: &str| {
        bed.harness.advance(hour);
        assert_eq!(bed.put("PUT", path, "", b"x").status, 201);
    };
    break_off(&mut bed, "", 50_000, &pattern(1, 20_000));
    send(&mut bed, "/b");
    send(&mut bed, "/c");
    assert_eq!(offset(&mut bed), (204, Some(20_000)), "it is of today");
    age(&place);
    send(&mut bed, "/d");
    assert_eq!(place.names(), ["b", "c", "d"]);
    bed.finish();
}

#[test]
fn what_another_process_left_today_is_removed_tomorrow() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).resumable());
    break_off(&mut bed, "", 50_000, &pattern(1, 20_000));
    bed.finish();
    let mut bed = Bed::new(upload(&place).resumable());
    assert_eq!(bed.put("PUT", "/b", "", b"x").status, 201);
    age(&place);
    bed.harness.advance(Duration::from_nanos(UPLOAD_LOOK_NS + 1));
    assert_eq!(bed.put("PUT", "/c", "", b"x").status, 201);
    assert_eq!(place.names(), ["b", "c"]);
    bed.finish();
}
