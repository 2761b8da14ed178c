//! Files by curl, as one would by hand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::bed::Place;
use crate::common::{Server, pattern};
use crate::sockets::server;
use crate::uploads::hex;

/// A server with its place, and a directory for what curl sends and gets.
struct Bed {
    server: Server,
    place: Place,
    own: tempfile::TempDir,
}

impl Bed {
    /// `None`, having said so: there is no curl.
    fn new() -> Option<Self> {
        if Command::new("curl").arg("--version").output().is_err() {
            println!("skipped: curl is not installed");
            return None;
        }
        let place = Place::new();
        Some(Self { server: server(&place), place, own: tempfile::tempdir().unwrap() })
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.own.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs it in that directory, at a path of the server; what it printed, whose last line is the status.
    fn curl(&self, path: &str, arguments: &[&str]) -> (String, String) {
        let url = format!("http://{}{path}", self.server.address(0));
        let command = Command::new("curl")
            .args(["-sS", "--max-time", "60", "-w", "\n%{http_code}"])
            .args(arguments)
            .arg(url)
            .current_dir(self.own.path())
            .output()
            .unwrap();
        assert!(command.status.success(), "{command:?}");
        let text = String::from_utf8(command.stdout).unwrap();
        let (text, status) = text.rsplit_once('\n').unwrap();
        (text.to_owned(), status.to_owned())
    }
}

#[test]
fn curl_sends_a_file_and_gets_it_back_g_18() {
    let Some(bed) = Bed::new() else { return };
    let content = pattern(1, 5 << 20);
    bed.file("big", &content);
    let (answer, status) = bed.curl("/big", &["-T", "big"]);
    assert_eq!(status, "201");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["sha256"], hex(&content));
    assert!(bed.place.read("big") == content);
    assert_eq!(bed.curl("/big", &["-o", "back"]).1, "200");
    assert!(fs::read(bed.own.path().join("back")).unwrap() == content);
    // As chunks, with and without `Expect`.
    for expect in ["Expect: 100-continue", "Expect:"] {
        let chunked = ["-T", "big", "-H", "Transfer-Encoding: chunked", "-H", expect];
        assert_eq!(bed.curl("/chunked", &chunked).1.as_bytes()[0], b'2');
        assert!(bed.place.read("chunked") == content);
    }
    bed.server.drain();
}

#[test]
fn curl_gets_ranges_and_the_rest_of_a_file() {
    let Some(bed) = Bed::new() else { return };
    let content = pattern(2, 300_000);
    bed.place.write("a", &content);
    assert_eq!(bed.curl("/a", &["-r", "1000-1999", "-o", "range"]).1, "206");
    assert!(fs::read(bed.own.path().join("range")).unwrap() == content[1000..2000]);
    assert_eq!(bed.curl("/a", &["-r", "-10", "-o", "range"]).1, "206");
    assert!(fs::read(bed.own.path().join("range")).unwrap() == content[299_990..]);
    bed.file("part", &content[..123_456]);
    assert_eq!(bed.curl("/a", &["-C", "-", "-o", "part"]).1, "206");
    assert!(fs::read(bed.own.path().join("part")).unwrap() == content);
    assert_eq!(bed.curl("/a", &["-r", "300000-", "-o", "none"]).1, "416");
    let (ranges, status) = bed.curl("/a", &["-r", "0-0,2-2", "-o", "-", "--output-dir", "."]);
    assert!(status == "206" && ranges.contains("multipart") || ranges.contains("Content-Range"));
    bed.server.drain();
}

#[test]
fn curl_sees_that_what_it_has_is_still_good() {
    let Some(bed) = Bed::new() else { return };
    bed.place.write("a.txt", "hello");
    assert_eq!(bed.curl("/a.txt", &["--etag-save", "tag", "-o", "a.txt", "-R"]).1, "200");
    assert_eq!(bed.curl("/a.txt", &["--etag-compare", "tag"]), (String::new(), "304".to_owned()));
    assert_eq!(bed.curl("/a.txt", &["-z", "a.txt"]), (String::new(), "304".to_owned()));
    bed.server.drain();
}

#[test]
fn curl_sends_a_form_with_several_files_g_18() {
    let Some(bed) = Bed::new() else { return };
    let content = pattern(3, 400_000);
    bed.file("a b.bin", &content);
    bed.file("c.txt", b"hello");
    let form =
        ["-F", "note=text", "-F", "f=@\"a b.bin\"", "-F", "f=@c.txt;filename=\"d \\\"e.txt\""];
    let (answer, status) = bed.curl("/", &form);
    assert_eq!(status, "201", "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["files"][0]["sha256"], hex(&content));
    assert_eq!(bed.place.names(), ["a b.bin", "d \"e.txt"]);
    assert!(bed.place.read("a b.bin") == content);
    bed.server.drain();
}

#[test]
fn curl_goes_on_with_an_upload_that_broke_off_g_18() {
    let Some(bed) = Bed::new() else { return };
    let content = pattern(4, 1 << 20);
    bed.file("big", &content);
    let mut client = bed.server.connect();
    client
        .send(format!("PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len()));
    client.send(&content[..500_000]);
    let offset = || {
        let (head, _) = bed.curl("/big", &["-I"]);
        let line = head.lines().find_map(|line| line.strip_prefix("Upload-Offset: "));
        line.map_or(0, |digits| digits.trim().parse::<usize>().unwrap())
    };
    crate::common::wait_until(|| offset() > 0);
    client.reset();
    crate::common::wait_until(|| {
        let from = offset().to_string();
        bed.curl("/big", &["-C", &from, "-T", "big"]).1 == "201"
    });
    assert!(bed.place.read("big") == content);
    bed.server.drain();
}

#[test]
fn curl_is_told_of_what_is_too_large_before_it_sends_it() {
    let Some(bed) = Bed::new() else { return };
    let path = bed.own.path().join("huge");
    fs::File::create(&path).unwrap().set_len(5 << 30).unwrap();
    let (_, status) = bed.curl("/huge", &["-T", "huge", "-H", "Expect: 100-continue"]);
    assert_eq!(status, "413");
    assert_eq!(bed.place.names(), [""; 0]);
    bed.server.drain();
}
