//! What `Upload` takes by PUT.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use ringway::handler::http::{Files, Upload};
use ringway::limits::UPLOAD_BUFS_MAX;
use ringway::proto::http1::Limits;
use sha2::{Digest, Sha256};

use crate::bed::{Bed, Place, split};
use crate::common::pattern;

pub fn upload(place: &Place) -> Upload {
    Upload::new(place.root()).unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_file_of_any_size_is_taken_whole_and_its_hash_is_told_g_18() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    let mut bed = Bed::new(upload(&place));
    for size in [0usize, 1, 1499, 1500, 1501, 100_000, 700_000] {
        let content = pattern(size as u64, size);
        let got = bed.put("PUT", &format!("/dir/{size}%20a.bin"), "", &content);
        assert_eq!(got.status, 201, "{}", got.text());
        assert_eq!(
            got.json(),
            serde_json::json!({
                "path": format!("/dir/{size} a.bin"), "bytes": size, "sha256": hex(&content),
            })
        );
        assert!(place.read(&format!("dir/{size} a.bin")) == content);
    }
    let got = bed.put("PUT", "/hello", "", b"hello");
    let digest = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(got.field("repr-digest"), Some(digest));
    bed.finish();
    let mut bed = Bed::new(Files::new(place.root()).unwrap());
    assert_eq!(bed.get("/hello").field("etag"), got.field("etag"));
    assert_eq!(place.names(), ["dir", "hello"], "no temporary file is left");
}

#[test]
fn a_body_in_chunks_is_taken() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place));
    let conn = bed.send(
        "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    assert_eq!(split(bed.harness.sent(conn), true).0.status, 201);
    assert_eq!(place.read("a"), b"hello world");
    bed.harness.reset(conn);
    bed.settle();
    bed.finish();
}

#[test]
fn a_file_that_is_there_is_replaced_only_where_that_is_wanted() {
    let place = Place::new();
    place.write("a", "old");
    let mut bed = Bed::new(upload(&place));
    assert_eq!(bed.put("PUT", "/a", "", b"new").status, 409);
    assert_eq!(bed.put("PUT", "/a", "If-None-Match: *\r\n", b"new").status, 412);
    assert_eq!(place.read("a"), b"old");
    bed.finish();
    let mut bed = Bed::new(upload(&place).overwriting());
    assert_eq!(bed.put("PUT", "/a", "If-None-Match: *\r\n", b"new").status, 412);
    assert_eq!(bed.put("PUT", "/a", "If-Match: \"x\"\r\n", b"new").status, 412);
    let got = bed.put("PUT", "/a", "", b"new");
    assert_eq!((got.status, place.read("a")), (200, b"new".to_vec()));
    let tag = format!("If-Match: {}\r\n", got.field("etag").unwrap());
    assert_eq!(bed.put("PUT", "/a", &tag, b"newer").status, 200);
    assert_eq!(bed.put("PUT", "/a", &tag, b"newest").status, 412);
    assert_eq!(bed.put("PUT", "/b", "If-None-Match: *\r\n", b"first").status, 201);
    assert_eq!(bed.put("PUT", "/c", "If-Match: *\r\n", b"first").status, 412);
    assert_eq!(place.names(), ["a", "b"]);
    bed.finish();
}

#[test]
fn who_came_second_does_not_replace_who_was_first() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).overwriting());
    for (lines, status) in [("", 409), ("If-None-Match: *\r\n", 412)] {
        let mut second = Bed::new(upload(&place));
        let conn = second.harness.open();
        let head = format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n{lines}\r\n");
        second.harness.receive(conn, head);
        second.harness.receive(conn, "sec");
        second.settle();
        assert_eq!(bed.put("PUT", "/a", "", b"first").json()["bytes"], 5);
        second.harness.receive(conn, "ond");
        second.settle();
        assert_eq!(split(second.harness.sent(conn), true).0.status, status);
        assert_eq!((place.read("a"), place.names()), (b"first".to_vec(), vec!["a".to_owned()]));
        fs::remove_file(place.path("a")).unwrap();
        second.harness.reset(conn);
        second.settle();
        second.finish();
    }
    bed.finish();
}

#[test]
fn every_escape_is_refused_and_nothing_is_written_g_18() {
    let place = Place::new();
    symlink("../secret", place.path("link")).unwrap();
    symlink("..", place.path("up")).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    let before = fs::read_dir(place.root().parent().unwrap()).unwrap().count();
    let mut bed = Bed::new(upload(&place).overwriting());
    for (path, status) in [
        ("/../a", 400),
        ("/%2e%2e/a", 400),
        ("/..%2fa", 400),
        ("/..\\a", 400),
        ("/a%00", 400),
        ("//a", 400),
        ("/%ff", 400),
        ("/", 409),
        ("/dir/", 409),
        ("/dir", 409),
        ("/none/a", 409),
        ("/link/a", 403),
        ("/up/a", 403),
        ("/.htaccess", 403),
        ("/.ringway-0.tmp", 403),
        (&format!("/{}", "a".repeat(256)), 400),
    ] {
        let got = bed.put("PUT", path, "", b"x");
        assert_eq!(got.status, status, "{path}: {}", got.text());
    }
    assert_eq!(place.names(), ["dir", "link", "up"]);
    // A link of the name itself is replaced, and not followed.
    assert_eq!(bed.put("PUT", "/link", "", b"x").status, 200);
    assert_eq!(fs::read(place.root().parent().unwrap().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(place.root().parent().unwrap()).unwrap().count(), before);
    bed.finish();
}

#[test]
fn what_is_too_large_is_refused_before_it_comes_or_as_it_does() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).max_bytes(10_000));
    assert_eq!(bed.put("PUT", "/at", "", &pattern(1, 10_000)).status, 201);
    // Its length is known: nothing of it is read.
    for length in [10_001u64, 10_000 + 65_537, u64::MAX / 2] {
        let conn =
            bed.send(format!("PUT /past HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        assert_eq!(split(bed.harness.sent(conn), true).0.status, 413, "{length}");
        bed.harness.reset(conn);
        bed.settle();
    }
    for (bytes, status) in [(10_000, 201), (10_001, 413)] {
        let head = "PUT /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
        let conn = bed.send([head, &chunk].concat());
        assert_eq!(split(bed.harness.sent(conn), true).0.status, status, "{bytes}");
        bed.harness.reset(conn);
        bed.settle();
        let _ = fs::remove_file(place.path("chunked"));
    }
    assert_eq!(place.names(), ["at"]);
    bed.finish();
}

#[test]
fn a_peer_that_is_faster_than_the_disk_is_held_back() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place));
    let conn = bed.harness.open();
    let content = pattern(1, 1 << 20);
    let head = format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len());
    bed.harness.receive(conn, head);
    let mut sent = 0;
    while !bed.harness.paused(conn) {
        bed.harness.receive(conn, &content[sent..sent + 1000]);
        sent += 1000;
        // Those in the work under way, those that wait behind it, and what HTTP holds.
        assert!(sent < 1000 * (2 * UPLOAD_BUFS_MAX + 40), "no end to what is taken");
    }
    let held = bed.harness.cx.pool.missing();
    bed.settle();
    assert!(!bed.harness.paused(conn), "the disk has caught up");
    assert!(bed.harness.cx.pool.missing() < held);
    for piece in content[sent..].chunks(2000) {
        bed.harness.receive(conn, piece);
        if bed.harness.paused(conn) {
            bed.settle();
        }
    }
    bed.settle();
    assert_eq!(split(bed.harness.sent(conn), true).0.json()["sha256"], hex(&content));
    assert!(place.read("a") == content);
    bed.harness.reset(conn);
    bed.settle();
    assert_eq!(bed.harness.cx.pool.missing(), 0);
    bed.finish();
}

#[test]
fn a_connection_that_dies_takes_its_temporary_file_with_it() {
    let place = Place::new();
    for steps in 0..6 {
        let mut bed = Bed::new(upload(&place));
        let conn = bed.harness.open();
        bed.harness.receive(conn, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nx");
        for _ in 0..steps {
            bed.harness.receive(conn, "more");
            bed.harness.run_one_offloaded();
        }
        assert_eq!(place.names().len(), usize::from(steps > 0), "{steps}");
        bed.harness.reset(conn);
        bed.settle();
        assert_eq!((place.names(), bed.harness.cx.pool.missing()), (vec![], 0), "{steps}");
        bed.finish();
    }
}

#[test]
fn a_directory_that_vanishes_or_may_not_be_written_is_told() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    let mut bed = Bed::new(upload(&place));
    let conn = bed.harness.open();
    bed.harness.receive(conn, "PUT /dir/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    bed.settle();
    fs::remove_dir_all(place.path("dir")).unwrap();
    bed.harness.receive(conn, "y");
    bed.settle();
    let got = split(bed.harness.sent(conn), true).0;
    assert_eq!((got.status, got.text()), (409, "there is no such directory\n"));
    bed.harness.reset(conn);
    bed.settle();
    fs::create_dir(place.path("locked")).unwrap();
    fs::set_permissions(place.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(place.path("locked/probe"), "").is_err() {
        assert_eq!(bed.put("PUT", "/locked/a", "", b"x").status, 403);
    } else {
        println!("root may write anywhere: not looked at");
    }
    bed.finish();
}

#[test]
fn a_failure_in_the_middle_is_told_at_once_and_leaves_nothing() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place));
    let conn = bed.harness.open();
    bed.harness.receive(conn, "PUT /none/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    bed.settle();
    assert_eq!(split(bed.harness.sent(conn), true).0.status, 409);
    // The rest of the body is read past, and the next request is answered.
    bed.harness.take_sent(conn);
    let rest =
        [&[b'y'; 99][..], b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb"].concat();
    bed.harness.receive(conn, rest);
    bed.settle();
    assert_eq!(split(bed.harness.sent(conn), true).0.status, 201);
    bed.harness.reset(conn);
    bed.settle();
    assert_eq!(place.names(), ["b"]);
    bed.finish();
}

#[test]
fn what_a_dead_process_left_is_removed_at_the_start_and_what_is_being_written_is_not() {
    let place = Place::new();
    place.write(".ringway-0011223344556677.tmp", "stale");
    place.write("a/b/.ringway-0011223344556677.tmp", "stale");
    place.write(".ringway-00112233445566778899aabbccddeeff.part", "of today");
    place.write(".ringway-10112233445566778899aabbccddeeff.part", "old");
    place.write("mine.tmp", "x");
    let old = fs::File::options()
        .write(true)
        .open(place.path(".ringway-10112233445566778899aabbccddeeff.part"));
    let age = std::time::Duration::from_secs(ringway::limits::UPLOAD_PART_KEPT_SECONDS + 60);
    old.unwrap().set_modified(std::time::SystemTime::now() - age).unwrap();
    let mut bed = Bed::new(upload(&place));
    let today = ".ringway-00112233445566778899aabbccddeeff.part";
    assert_eq!(place.names(), [today, "a", "mine.tmp"]);
    assert_eq!(fs::read_dir(place.path("a/b")).unwrap().count(), 0);
    let conn = bed.harness.open();
    bed.harness.receive(conn, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    bed.settle();
    assert_eq!(place.names().len(), 4);
    let _second = upload(&place);
    assert_eq!(place.names().len(), 4, "somebody has it locked");
    bed.harness.receive(conn, "y");
    bed.settle();
    assert_eq!(place.read("x"), b"xy");
    bed.harness.reset(conn);
    bed.settle();
    bed.finish();
}

#[test]
fn files_and_uploads_share_a_path() {
    let place = Place::new();
    let files = Files::new(place.root()).unwrap().at_prefix("/up");
    let mut bed = Bed::new(upload(&place).at_prefix("/up").with_files(files));
    assert_eq!(bed.put("PUT", "/up/a.txt", "", b"hello").status, 201);
    let got = bed.get("/up/a.txt");
    assert_eq!((got.status, got.text()), (200, "hello"));
    assert_eq!(bed.put("PUT", "/a.txt", "", b"hello").status, 404);
    assert_eq!(bed.get("/a.txt").status, 404);
    assert_eq!(bed.ask("HEAD", "/up/a.txt", "").field("content-length"), Some("5"));
    let got = bed.ask("DELETE", "/up/a.txt", "");
    assert_eq!((got.status, got.field("allow")), (405, Some("GET, HEAD, PUT, POST")));
    bed.finish();
    let mut bed = Bed::new(upload(&place));
    assert_eq!(bed.get("/a.txt").field("allow"), Some("PUT, POST"));
    bed.finish();
}

#[test]
fn bodies_may_be_as_large_as_the_service_says_not_as_http_does() {
    let place = Place::new();
    let most = ringway::handler::http::Service::body_bytes_max(&upload(&place)).unwrap();
    assert!(most > Limits::default().body_bytes);
}
