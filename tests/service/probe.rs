//! The service under test: what it does follows from the path it is asked for, and what is asked of
//! it is written down.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use ringway::handler::http::{Body, Pull, Reply, Request, Response, Service};
use ringway::mem::{Buf, Burst, ConnId};
use ringway::pipeline::{Cx, MessageKey};
use ringway::proto::http1::Headers;

/// The bytes that streams are made of.
pub fn letters(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| b'a' + (at % 23) as u8).collect()
}

/// What was asked of the service.
#[derive(Debug, Default)]
pub struct Record {
    /// The paths of the requests that it accepted, in order.
    pub calls: Vec<String>,
    /// Bytes of bodies, and the parts with the last among them.
    pub body_bytes: usize,
    pub lasts: usize,
    /// Trailer fields of requests.
    pub trailers: String,
    /// Parts of streams that it made.
    pub parts: usize,
    /// Streams that it was told are over, by having been asked after the last part.
    pub pulls: usize,
    pub closed: Vec<ConnId>,
    pub drained: Vec<ConnId>,
    /// Does not close when it drains.
    pub stays: Option<ConnId>,
    /// What came after upgrades.
    pub upgraded: Vec<u8>,
    /// `/wait` streams go on.
    pub go: bool,
    /// `/turn` with a bound gives nothing.
    pub stop: bool,
}

/// What is under way on a connection.
enum Doing {
    Reading {
        at_least: Option<usize>,
        bytes: Vec<u8>,
    },
    Never,
    Making {
        at: usize,
        total: usize,
        part: usize,
        trailers: Option<usize>,
    },
    Turning {
        parts: VecDeque<Buf>,
        ended: bool,
        most: usize,
    },
    Waiting,
    Sleeping,
    /// Keeps the body's bytes where they came, and gives them back when it may.
    Hoarding(VecDeque<Buf>),
    /// Lengths of parts, whatever was promised.
    Parts(VecDeque<usize>),
}

/// See the file's head.
pub struct Probe {
    record: Rc<RefCell<Record>>,
    doing: HashMap<ConnId, Doing>,
    key: MessageKey<Rc<()>>,
    /// Hung on each message.
    token: Rc<()>,
}

impl Probe {
    pub fn new(record: Rc<RefCell<Record>>, key: MessageKey<Rc<()>>, token: Rc<()>) -> Self {
        Self { record, doing: HashMap::new(), key, token }
    }

    fn stream(&mut self, conn: ConnId, length: Option<u64>, doing: Doing) -> Reply {
        self.doing.insert(conn, doing);
        Response::new(200, Body::Stream(length)).into()
    }

    fn answer(&mut self, cx: &mut Cx, request: &Request<'_>, path: &str) -> Reply {
        let conn = request.conn();
        let mut words = path[1..].split('/');
        let verb = words.next().unwrap();
        let numbers: Vec<usize> = words.map(|word| word.parse().unwrap()).collect();
        match (verb, &numbers[..]) {
            ("text", _) => Response::text(200, path.to_owned()).into(),
            ("status", &[status]) => Response::text(status as u16, "some text").into(),
            ("illegal", _) => Response::text(200, "").header("a", "b\r\nc: d").into(),
            ("echo", _) => Response::echo().into(),
            ("on_text", _) => Response::text(200, "at once").reading_on().into(),
            ("read", at_least) => {
                let at_least = at_least.first().copied();
                self.doing.insert(conn, Doing::Reading { at_least, bytes: Vec::new() });
                Reply::Body
            }
            ("never", _) => {
                self.doing.insert(conn, Doing::Never);
                Reply::Body
            }
            ("bytes", &[bytes]) => Response::new(200, Body::Bytes(letters(bytes).into())).into(),
            ("buf", &[bytes]) => {
                let Some(mut buf) = cx.alloc(bytes, conn) else { return Reply::Busy };
                assert!(buf.append(&letters(bytes)));
                Response::new(200, Body::Buf(buf)).into()
            }
            ("stream", &[total, part]) => {
                let doing = Doing::Making { at: 0, total, part, trailers: None };
                self.stream(conn, Some(total as u64), doing)
            }
            ("chunks", &[total, part]) => {
                self.stream(conn, None, Doing::Making { at: 0, total, part, trailers: None })
            }
            // With so many bytes in the value of another field.
            ("trailers", &[total, part, value]) => {
                let trailers = Some(value);
                self.stream(conn, None, Doing::Making { at: 0, total, part, trailers })
            }
            ("parts", [promised, parts @ ..]) => {
                let parts = parts.iter().copied().collect();
                self.stream(conn, Some(*promised as u64), Doing::Parts(parts))
            }
            // Goes on when it may: found out by asking, or by being woken.
            ("sleep", _) => self.stream(conn, None, Doing::Sleeping),
            ("wait", _) => self.stream(conn, None, Doing::Waiting),
            // Takes no more while it has so many parts to give.
            ("turn", most) => {
                let (most, ended) =
                    (most.first().copied().unwrap_or(usize::MAX), !request.has_body());
                let doing = Doing::Turning { parts: VecDeque::new(), ended, most };
                self.doing.insert(conn, doing);
                Response::new(200, Body::Stream(None)).reading_on().into()
            }
            ("hoard", _) => {
                self.doing.insert(conn, Doing::Hoarding(VecDeque::new()));
                Response::new(200, Body::Stream(request.content_length())).reading_on().into()
            }
            ("upgrade", _) => Response::upgrade("caps").into(),
            _ => panic!("no such path: {path}"),
        }
    }
}

impl Service for Probe {
    fn call(&mut self, cx: &mut Cx, request: &Request<'_>) -> Reply {
        let path = String::from_utf8(request.path().to_vec()).unwrap();
        let reply = self.answer(cx, request, &path);
        if !matches!(reply, Reply::Busy) {
            self.record.borrow_mut().calls.push(path);
            cx.extensions.set(request.message(), self.key, self.token.clone(), None);
        }
        reply
    }

    fn body(&mut self, cx: &mut Cx, conn: ConnId, part: &Buf, last: bool) -> Reply {
        let reply = match self.doing.get_mut(&conn) {
            Some(Doing::Reading { at_least, bytes }) => {
                bytes.extend_from_slice(part);
                if last || at_least.is_some_and(|least| bytes.len() >= least) {
                    let bytes = std::mem::take(bytes);
                    self.doing.remove(&conn);
                    Response::new(200, Body::Bytes(bytes.into())).into()
                } else {
                    Reply::Body
                }
            }
            Some(Doing::Turning { parts, most, .. }) if parts.len() >= *most => return Reply::Busy,
            Some(Doing::Turning { parts, ended, .. }) => {
                if !part.is_empty() {
                    let Some(mut turned) = cx.alloc(part.len(), conn) else { return Reply::Busy };
                    assert!(turned.append(&part.to_ascii_uppercase()));
                    parts.push_back(turned);
                }
                *ended = last;
                Reply::Body
            }
            Some(Doing::Hoarding(parts)) => {
                parts.push_back(part.slice(0, part.len()));
                Reply::Body
            }
            _ => Reply::Body,
        };
        let mut record = self.record.borrow_mut();
        record.body_bytes += part.len();
        record.lasts += usize::from(last);
        reply
    }

    fn trailers(&mut self, _cx: &mut Cx, _conn: ConnId, fields: Headers<'_>) {
        for (name, value) in fields {
            let [name, value] = [name, value].map(String::from_utf8_lossy);
            self.record.borrow_mut().trailers += &format!("{name}={value};");
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        let mut record = self.record.borrow_mut();
        record.pulls += 1;
        let made = match self.doing.get_mut(&conn).expect("nobody asked for a stream") {
            Doing::Making { at, total, trailers: None, .. } if at == total => Pull::End,
            Doing::Making { at, total, trailers: Some(value), .. } if at == total => {
                let lines = format!("Sum: 7\r\nLast: {}\r\n", "x".repeat(*value));
                let buf = cx.alloc(lines.len(), conn);
                buf.map_or(Pull::Busy, |mut buf| {
                    assert!(buf.append(lines.as_bytes()));
                    Pull::Trailers(buf)
                })
            }
            Doing::Making { at, total, part, .. } => {
                let bytes = (*part).min(*total - *at);
                make(cx, conn, *at, bytes).inspect(|_| *at += bytes).map_or(Pull::Busy, Pull::Part)
            }
            Doing::Parts(parts) => match parts.front().copied() {
                None => Pull::End,
                Some(bytes) => match make(cx, conn, 0, bytes) {
                    Some(part) => {
                        parts.pop_front();
                        Pull::Part(part)
                    }
                    None => Pull::Busy,
                },
            },
            Doing::Turning { most: 0..16, .. } if record.stop => Pull::Busy,
            Doing::Turning { parts, ended, .. } => match parts.pop_front() {
                Some(part) => Pull::Part(part),
                None if *ended => Pull::End,
                None => Pull::Wait,
            },
            Doing::Hoarding(_) if !record.go => Pull::Busy,
            Doing::Hoarding(parts) => parts.pop_front().map_or(Pull::End, Pull::Part),
            Doing::Waiting if record.go => Pull::End,
            Doing::Waiting => Pull::Busy,
            Doing::Sleeping if record.go || cx.draining => Pull::End,
            Doing::Sleeping => Pull::Wait,
            _ => panic!("a stream was asked for where none was promised"),
        };
        match made {
            Pull::Part(_) => record.parts += 1,
            Pull::End | Pull::Trailers(_) | Pull::Lost => drop(self.doing.remove(&conn)),
            Pull::Wait | Pull::Busy => {}
        }
        made
    }

    fn upgraded(&mut self, _cx: &mut Cx, mut bytes: Buf, output: &mut Burst) {
        assert!(output.room() >= 8, "less room than was promised: {}", output.room());
        self.record.borrow_mut().upgraded.extend_from_slice(&bytes);
        if let Some(own) = bytes.bytes_mut() {
            own.make_ascii_uppercase();
        }
        output.push(bytes).unwrap();
    }

    fn drain(&mut self, cx: &mut Cx, conn: ConnId, output: &mut Burst) {
        assert!(cx.draining && output.room() >= 8, "less room than was promised");
        let mut record = self.record.borrow_mut();
        record.drained.push(conn);
        if record.stays != Some(conn) {
            output.push(Buf::linger(conn)).unwrap();
        }
    }

    fn closed(&mut self, _cx: &mut Cx, conn: ConnId) {
        self.doing.remove(&conn);
        self.record.borrow_mut().closed.push(conn);
    }
}

/// Bytes of [`letters`] from `at` on.
fn make(cx: &mut Cx, conn: ConnId, at: usize, bytes: usize) -> Option<Buf> {
    let mut part = cx.alloc(bytes.max(1), conn)?;
    assert!(part.append(&letters(at + bytes)[at..]), "a part fits a slot");
    Some(part)
}
