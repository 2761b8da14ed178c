//! The probe on a harness, and a reader of responses that shares no code with their writer.

use std::cell::{Ref, RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use ringway::handler::http::Http;
use ringway::mem::ConnId;
use ringway::pipeline::chain::http1::Settings;
use ringway::pipeline::{Pipeline, chain};
use ringway::testing::{Harness, SLOTS};

use crate::probe::{Probe, Record};

/// A harness around the probe.
pub struct Bed {
    harness: Harness<Http<Probe>>,
    record: Rc<RefCell<Record>>,
    token: Rc<()>,
}

impl Deref for Bed {
    type Target = Harness<Http<Probe>>;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl DerefMut for Bed {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.harness
    }
}

impl Bed {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than the usual.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (record, token) = (Rc::default(), Rc::new(()));
        let harness = Harness::build(|extensions| {
            let mut settings = Settings::for_slots(256, 64);
            change(&mut settings);
            let key = extensions.register_message();
            let probe = Probe::new(Rc::clone(&record), key, Rc::clone(&token));
            let chain = chain::Http1::new(SLOTS, settings);
            (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, probe))
        });
        Self { harness, record, token }
    }

    pub fn record(&self) -> Ref<'_, Record> {
        self.record.borrow()
    }

    pub fn record_mut(&mut self) -> RefMut<'_, Record> {
        self.record.borrow_mut()
    }

    /// Values that hang on messages now.
    pub fn values(&self) -> usize {
        Rc::strong_count(&self.token) - 2
    }

    /// Small slots that are free.
    pub fn free_slots(&self) -> usize {
        let pool = &self.cx.pool;
        (pool.sizes()[0].slots - pool.missing()) as usize
    }

    /// The responses so far on `conn`, none of which answers HEAD.
    pub fn responses(&self, conn: ConnId) -> Vec<Got> {
        read(self.sent(conn))
    }

    /// What a connection of its own gets for `bytes`.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Got> {
        let conn = self.open();
        self.receive(conn, bytes);
        let got = self.responses(conn);
        self.reset(conn);
        got
    }

    /// Takes the slots of all connections back, and looks for what was left behind.
    pub fn finish(self) {
        let Self { harness, token, .. } = self;
        harness.finish();
        assert_eq!(Rc::strong_count(&token), 1, "values were left");
    }
}

/// A response as its peer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
    /// Its end has come, or is the connection's.
    pub whole: bool,
}

impl Got {
    pub fn text(&self) -> (u16, &str) {
        (self.status, std::str::from_utf8(&self.body).unwrap())
    }

    pub fn has(&self, field: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(field))
    }

    pub fn closes(&self) -> bool {
        self.has("Connection: close")
    }

    fn length(&self) -> Option<usize> {
        let lines = self.head.lines().map(str::to_ascii_lowercase);
        let mut lengths = lines.filter_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        let length = lengths.next();
        assert!(lengths.next().is_none(), "two lengths: {}", self.head);
        length
    }
}

/// All responses in `bytes`, whose last may be in the middle.
pub fn read(mut bytes: &[u8]) -> Vec<Got> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(read_one(&mut bytes));
    }
    all
}

fn read_one(bytes: &mut &[u8]) -> Got {
    let text = String::from_utf8_lossy(bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {text}")) + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no head: {text}"));
    let status = status[..3].parse().unwrap();
    *bytes = &bytes[end..];
    let mut got = Got { status, head, body: Vec::new(), trailers: String::new(), whole: true };
    let chunked = got.has("Transfer-Encoding: chunked");
    match got.length() {
        _ if matches!(status, 100 | 204 | 304) => assert!(!chunked, "{}", got.head),
        Some(length) => {
            assert!(!chunked, "two framings: {}", got.head);
            got.whole = length <= bytes.len();
            got.body = take(bytes, length).to_vec();
        }
        None if chunked => got.whole = read_chunks(bytes, &mut got).is_some(),
        None => got.body = take(bytes, usize::MAX).to_vec(),
    }
    got
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        *bytes = &[];
        return None;
    };
    let line = std::str::from_utf8(&bytes[..end]).unwrap();
    *bytes = &bytes[end + 2..];
    Some(line)
}

/// `None`: they end in the middle.
fn read_chunks(bytes: &mut &[u8], got: &mut Got) -> Option<()> {
    loop {
        let size = usize::from_str_radix(line(bytes)?, 16).unwrap();
        if size == 0 {
            break;
        }
        let chunk = take(bytes, size);
        got.body.extend_from_slice(chunk);
        if chunk.len() < size {
            return None;
        }
        assert!(line(bytes)?.is_empty(), "a chunk is longer than its size");
    }
    loop {
        match line(bytes)? {
            "" => return Some(()),
            field => got.trailers += &format!("{field};"),
        }
    }
}

/// A request without a body.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into()
}

/// A request with a body of known length.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One in chunks of these bytes.
pub fn post_chunks(path: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in chunks {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend([chunk, &b"\r\n"[..]].concat());
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
