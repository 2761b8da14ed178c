//! A service of files on the harness, with a directory of its own.

use std::fs;
use std::path::PathBuf;

use ringway::handler::Http;
use ringway::handler::http::Service;
use ringway::limits::{LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use ringway::mem::{ClassSize, ConnId, Mempool};
use ringway::pipeline::Pipeline;
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::sys::mapping::Request;
use ringway::testing::{Harness, SLOTS};
use tempfile::TempDir;

/// A directory with some files in it, and a secret beside it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.root()).unwrap();
        fs::write(place.0.path().join("secret"), "secret").unwrap();
        place
    }

    pub fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), content).unwrap();
    }

    pub fn read(&self, below: &str) -> Vec<u8> {
        fs::read(self.path(below)).unwrap_or_else(|why| panic!("{below}: {why}"))
    }

    /// All that is in the root, by name.
    pub fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = fs::read_dir(self.root()).unwrap().map(name).collect();
        names.sort();
        names
    }
}

/// A response as its peer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Got {
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// The first response in `bytes`, and what follows it; `has_body`: it does not answer HEAD.
pub fn split(bytes: &[u8], has_body: bool) -> (Got, &[u8]) {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", bytes.escape_ascii())) + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut got = Got { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
    let length = got.field("content-length").map_or(0, |digits| digits.parse().unwrap());
    let length = if has_body && got.status != 304 { length } else { 0 };
    let whole = (end + length).min(bytes.len());
    got.body = bytes[end..whole].to_vec();
    (got, &bytes[whole..])
}

pub struct Bed<S: Service> {
    pub harness: Harness<Http<S>>,
}

impl<S: Service> Bed<S> {
    pub fn new(service: S) -> Self {
        Self::with_slots(service, 512, 64)
    }

    pub fn with_slots(service: S, small: u32, large: u32) -> Self {
        let request = Request { no_huge: true, ..Request::new("ringway-files", 0) };
        let size = |slot_bytes, slots| ClassSize { slot_bytes, slots };
        let sizes = [size(SMALL_SLOT_BYTES, small), size(LARGE_SLOT_BYTES, large)];
        let pool = Mempool::create(&request, &sizes, None).unwrap();
        let harness = Harness::build_on(pool, |_| {
            let mut settings = Settings::for_slots(small, large);
            settings.limits.body_bytes = service.body_bytes_max().unwrap_or(1 << 20);
            let chain = Http1::new(SLOTS, settings);
            (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, service))
        });
        Self { harness }
    }

    /// Has all work done, and what comes of it.
    pub fn settle(&mut self) {
        while self.harness.run_offloaded() > 0 {}
    }

    /// Sends `bytes` on a connection of its own, and settles.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> ConnId {
        let conn = self.harness.open();
        self.harness.receive(conn, bytes);
        self.settle();
        conn
    }

    /// What a request gets; `lines` are more fields, each with its CRLF.
    pub fn ask(&mut self, method: &str, target: &str, lines: &str) -> Got {
        let conn = self.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let (got, rest) = split(self.harness.sent(conn), method != "HEAD");
        assert_eq!(rest, b"", "{method} {target}");
        self.harness.reset(conn);
        self.settle();
        got
    }

    pub fn get(&mut self, target: &str) -> Got {
        self.ask("GET", target, "")
    }

    /// The same with a body.
    pub fn put(&mut self, method: &str, target: &str, lines: &str, body: &[u8]) -> Got {
        let conn = self.harness.open();
        let length = body.len();
        self.harness.receive(
            conn,
            format!(
                "{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{lines}\r\n"
            ),
        );
        for piece in body.chunks(1500) {
            self.harness.receive(conn, piece);
            self.settle();
        }
        self.settle();
        let (got, rest) = split(self.harness.sent(conn), method != "HEAD");
        assert_eq!(rest, b"", "{method} {target}");
        self.harness.reset(conn);
        self.settle();
        got
    }

    /// Takes the slots back that the service keeps on purpose, and looks for what was left behind.
    pub fn finish(self) {
        drop(self);
    }
}
