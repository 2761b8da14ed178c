//! What is served over HTTP: the endpoints of `ringway run`, a body that is summed up as it comes,
//! and bodies that are made in parts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ringway::handler::Builtin;
use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::mem::{Buf, ConnId};
use ringway::pipeline::Cx;
use ringway::proto::http1::{Headers, Method};
use ringway::transport::sim::Rng;

/// The reply to a body that is summed up.
pub fn sum_of(body: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.add(body);
    sum.text()
}

/// A body of `bytes` that is made in parts.
pub fn stream_of(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| byte_at(bytes, at)).collect()
}

fn byte_at(bytes: usize, at: usize) -> u8 {
    (at * 7 + bytes) as u8
}

#[derive(Default)]
struct Sum {
    bytes: usize,
    hash: u64,
}

impl Sum {
    fn add(&mut self, part: &[u8]) {
        self.bytes += part.len();
        for &byte in part {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self) -> String {
        format!("{} {:016x}\n", self.bytes, self.hash)
    }
}

/// A body that is being made.
struct Stream {
    bytes: usize,
    at: usize,
    sized: bool,
}

/// See the module.
pub struct Served {
    builtin: Builtin,
    sums: HashMap<ConnId, Sum>,
    streams: HashMap<ConnId, Stream>,
    rng: Rng,
    /// Bodies that are coming or being made.
    open: Rc<Cell<usize>>,
    /// Those that gave nothing, and are to be woken.
    asleep: Asleep,
}

/// Connections whose streams wait to be woken.
pub type Asleep = Rc<RefCell<Vec<ConnId>>>;

impl Served {
    /// Beside the service, a view of how many bodies it has open, and of those that wait.
    pub fn new(seed: u64, builtin: Builtin) -> (Self, Rc<Cell<usize>>, Asleep) {
        let open = Rc::new(Cell::new(0));
        let (sums, streams) = (HashMap::new(), HashMap::new());
        let (rng, asleep) = (Rng::new(seed), Asleep::default());
        let served =
            Self { builtin, sums, streams, rng, open: open.clone(), asleep: asleep.clone() };
        (served, open, asleep)
    }

    fn note(&self) {
        self.open.set(self.sums.len() + self.streams.len());
    }

    /// In a buf, so that a response that waits for its head holds a slot.
    fn sum(cx: &mut Cx, sum: &Sum) -> Option<Response> {
        let mut text = cx.alloc(64, ConnId::NONE)?;
        assert!(text.append(sum.text().as_bytes()));
        Some(Response::new(200, Body::Buf(text)).content_type("text/plain"))
    }

    fn stream(&mut self, request: &Request<'_>, sized: bool) -> Response {
        let number = request.target().split(|&byte| byte == b'?').nth(1).unwrap_or_default();
        let bytes: usize = str::from_utf8(number).unwrap().parse().unwrap();
        if request.method() == Method::Get {
            let before = self.streams.insert(request.conn(), Stream { bytes, at: 0, sized });
            assert!(before.is_none(), "a response began before the last one ended");
        }
        Response::new(200, Body::Stream(sized.then_some(bytes as u64)))
    }
}

impl Service for Served {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let reply = match request.path() {
            b"/stream" => self.stream(request, false).into(),
            b"/sized" => self.stream(request, true).into(),
            b"/sum" if request.has_body() => {
                let before = self.sums.insert(request.conn(), Sum::default());
                assert!(before.is_none(), "a request began before the last one ended");
                Reply::Body
            }
            b"/sum" => Self::sum(cx, &Sum::default()).into(),
            _ => return self.builtin.call(cx, request),
        };
        self.note();
        reply
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        let sum = self.sums.get_mut(&conn).expect("a body that was asked for");
        if !last {
            sum.add(part);
            return Reply::Body;
        }
        let mut whole = Sum { ..*sum };
        whole.add(part);
        let response = Self::sum(cx, &whole);
        if response.is_some() {
            self.sums.remove(&conn);
            self.note();
        }
        response.into()
    }

    fn trailers(&mut self, _cx: &mut Cx, _conn: ConnId, mut fields: Headers<'_>) {
        assert!(fields.next().is_some(), "trailers without a field");
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let stream = self.streams.get_mut(&conn).expect("a body that was begun");
        let left = stream.bytes - stream.at;
        if left == 0 && stream.sized {
            self.streams.remove(&conn);
            self.note();
            return Pull::End;
        }
        if self.rng.below(8) == 0 {
            self.asleep.borrow_mut().push(conn);
            return Pull::Wait;
        }
        let Some(mut part) = cx.alloc(1, conn) else { return Pull::Busy };
        if left == 0 {
            assert!(part.append(format!("X-Bytes: {}\r\n", stream.bytes).as_bytes()));
            self.streams.remove(&conn);
            self.note();
            return Pull::Trailers(part);
        }
        let count = 1 + self.rng.below(left.min(part.tailroom()));
        let bytes: Vec<u8> =
            (stream.at..stream.at + count).map(|at| byte_at(stream.bytes, at)).collect();
        assert!(part.append(&bytes));
        stream.at += count;
        Pull::Part(part)
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.sums.remove(&conn);
        self.streams.remove(&conn);
        self.note();
    }
}
