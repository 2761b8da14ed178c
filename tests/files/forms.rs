//! What `Upload` takes by forms.

use std::fs;

use ringway::handler::http::Upload;

use crate::bed::{Bed, Got, Place};
use crate::common::pattern;
use crate::uploads::{hex, upload};

const KIND: &str = "Content-Type: multipart/form-data; boundary=----Boundary7\r\n";

/// A form of these parts: the parameters of each, and its content.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (parameters, content) in parts {
        let head =
            format!("------Boundary7\r\nContent-Disposition: form-data; {parameters}\r\n\r\n");
        form.extend([head.as_bytes(), *content, b"\r\n"].concat());
    }
    form.extend(b"------Boundary7--\r\n");
    form
}

fn post(bed: &mut Bed<Upload>, path: &str, parts: &[(&str, &[u8])]) -> Got {
    bed.put("POST", path, KIND, &form(parts))
}

#[test]
fn the_files_of_a_form_are_taken_and_its_fields_read_past_g_18() {
    let place = Place::new();
    fs::create_dir(place.path("dir")).unwrap();
    let mut bed = Bed::new(upload(&place));
    let large = pattern(1, 100_000);
    let tricky = b"\r\n------Boundary\r\n\r\n------Boundary6\r\n--";
    let got = post(
        &mut bed,
        "/dir/",
        &[
            ("name=\"comment\"", b"a field"),
            ("name=\"f\"; filename=\"large.bin\"", &large),
            ("name=\"f\"; filename=\"\"", b""),
            ("name=\"f\"; filename=\"\u{e4} %22.txt\"", tricky),
            ("name=\"f\"; filename=\"empty\"", b""),
        ],
    );
    assert_eq!(got.status, 201, "{}", got.text());
    assert_eq!(
        got.json(),
        serde_json::json!({"files": [
            {"path": "/dir/large.bin", "bytes": 100_000, "sha256": hex(&large)},
            {"path": "/dir/\u{e4} \".txt", "bytes": tricky.len(), "sha256": hex(tricky)},
            {"path": "/dir/empty", "bytes": 0, "sha256": hex(b"")},
        ]})
    );
    assert!(place.read("dir/large.bin") == large);
    assert_eq!(place.read("dir/\u{e4} \".txt"), tricky);
    assert_eq!(fs::read_dir(place.path("dir")).unwrap().count(), 3);
    let got = post(&mut bed, "/", &[("name=x", b"y")]);
    assert_eq!((got.status, got.json()), (201, serde_json::json!({"files": []})));
    bed.finish();
}

#[test]
fn a_form_is_the_same_however_it_is_cut() {
    let content = b"\r\n------Boundary\r\n\r\r\n----a";
    let form = form(&[("name=f; filename=a", content)]);
    for most in (1..60).chain([1000]) {
        let place = Place::new();
        let mut bed = Bed::new(upload(&place));
        let conn = bed.harness.open();
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\n{KIND}Content-Length: {}\r\n\r\n", form.len());
        bed.harness.receive(conn, head);
        for piece in form.chunks(most) {
            bed.harness.receive(conn, piece);
            bed.harness.run_one_offloaded();
        }
        bed.settle();
        assert_eq!(place.read("a"), content, "{most}");
        bed.harness.reset(conn);
        bed.settle();
        bed.finish();
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused_g_18() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).overwriting());
    for name in ["../a", "..", "/etc/passwd", "a/b", "C:\\\\a", "a\\b", "a%0Ab"] {
        let parameters = format!("name=f; filename=\"{name}\"");
        let got = post(&mut bed, "/", &[(&parameters, b"x")]);
        assert_eq!(got.status, 400, "{name}");
    }
    assert_eq!(post(&mut bed, "/", &[("name=f; filename=.env", b"x")]).status, 403);
    assert_eq!(post(&mut bed, "/none/", &[("name=f; filename=a", b"x")]).status, 409);
    assert_eq!(post(&mut bed, "/../", &[("name=f; filename=a", b"x")]).status, 400);
    assert_eq!(place.names(), [""; 0]);
    bed.finish();
}

#[test]
fn broken_forms_are_refused_and_leave_nothing() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place));
    let whole = form(&[("name=f; filename=a", b"x")]);
    for (kind, body, status) in [
        ("Content-Type: text/plain\r\n", &whole[..], 415),
        ("", &whole, 415),
        ("Content-Type: multipart/form-data\r\n", &whole, 415),
        (KIND, &whole[..whole.len() - 4], 400),
        (KIND, b"", 400),
        (KIND, b"------Boundary7x\r\n", 400),
        (KIND, b"------Boundary7\r\nA: b\r\n\r\n\r\n------Boundary7--", 400),
    ] {
        let got = bed.put("POST", "/", kind, body);
        assert_eq!(got.status, status, "{kind} {}: {}", body.escape_ascii(), got.text());
        assert_eq!(place.names(), [""; 0]);
    }
    bed.finish();
}

#[test]
fn a_file_of_a_form_may_be_as_large_as_one_alone() {
    let place = Place::new();
    let mut bed = Bed::new(upload(&place).max_bytes(10_000));
    let file = |name: &str| format!("name=f; filename={name}");
    let content = pattern(1, 10_001);
    let (a, b) = (file("a"), file("b"));
    let got = post(&mut bed, "/", &[(&a, &content[..10_000]), (&b, &content[..10_000])]);
    assert_eq!(got.status, 201);
    let c = file("c");
    assert_eq!(post(&mut bed, "/", &[(&c, &content)]).status, 413);
    assert_eq!(place.names(), ["a", "b"]);
    bed.finish();
}

#[test]
fn what_came_before_a_failure_stays() {
    let place = Place::new();
    place.write("b", "old");
    let mut bed = Bed::new(upload(&place));
    let got = post(
        &mut bed,
        "/",
        &[("filename=a", b"new"), ("filename=b", b"new"), ("filename=c", b"x")],
    );
    assert_eq!(got.status, 409);
    assert_eq!((place.names(), place.read("b")), (vec!["a".into(), "b".into()], b"old".to_vec()));
    bed.finish();
}
