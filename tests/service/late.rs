//! Responses that come later, when the connection is woken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ringway::handler::Http;
use ringway::handler::http::{Reply, Request, Response, Service};
use ringway::mem::{Buf, Burst, ConnId, kind};
use ringway::pipeline::chain::http1::{Http1, Settings};
use ringway::pipeline::{Cx, Pipeline};
use ringway::testing::{Harness, SLOTS};

use crate::bed::{get, post, read};

#[derive(Default)]
struct Record {
    answers: HashMap<ConnId, &'static str>,
    asked: usize,
    body: usize,
    woken: usize,
    closed: usize,
}

/// Owes each response until there is one in its record.
#[derive(Default, Clone)]
struct Debtor(Rc<RefCell<Record>>);

impl Service for Debtor {
    fn call(&mut self, _cx: &mut Cx, request: &Request<'_>) -> Reply {
        if request.path() == b"/talk" {
            return Response::upgrade("talk").into();
        }
        Reply::Later
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, part: &Buf, _last: bool) -> Reply {
        self.0.borrow_mut().body += part.len();
        Reply::Later
    }

    fn woken(&mut self, _cx: &mut Cx, conn: ConnId) -> Option<Response> {
        let mut record = self.0.borrow_mut();
        record.asked += 1;
        record.answers.remove(&conn).map(|text| Response::text(200, text))
    }

    fn upgraded(&mut self, _cx: &mut Cx, bytes: Buf, _output: &mut Burst) {
        self.0.borrow_mut().woken += usize::from(bytes.kind() == kind::WAKE);
    }

    fn closed(&mut self, _cx: &mut Cx, _conn: ConnId) {
        self.0.borrow_mut().closed += 1;
    }
}

fn bed() -> (Harness<Http<Debtor>>, Debtor) {
    let debtor = Debtor::default();
    let theirs = debtor.clone();
    let harness = Harness::build(move |_| {
        let chain = Http1::new(SLOTS, Settings::for_slots(256, 64));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, theirs))
    });
    (harness, debtor)
}

#[test]
fn a_response_that_is_owed_is_asked_for_when_its_connection_is_woken() {
    let (mut bed, debtor) = bed();
    let conn = bed.open();
    bed.wake(conn);
    bed.receive(conn, [get("/a"), get("/b")].concat());
    bed.wake(conn);
    assert_eq!((debtor.0.borrow().asked, bed.sent(conn)), (1, &b""[..]), "not there yet");
    debtor.0.borrow_mut().answers.insert(conn, "first");
    bed.wake(conn);
    assert_eq!(read(bed.sent(conn)).last().unwrap().text(), (200, "first"));
    debtor.0.borrow_mut().answers.insert(conn, "second");
    bed.wake(conn);
    let got = read(bed.sent(conn));
    assert_eq!((got.len(), got[1].text()), (2, (200, "second")), "the next is owed in its turn");
    bed.wake(conn);
    assert_eq!(debtor.0.borrow().asked, 3, "nothing is owed");
    bed.finish();
}

#[test]
fn a_response_may_come_before_the_end_of_the_body_and_behind_it() {
    for cut in [false, true] {
        let (mut bed, debtor) = bed();
        let conn = bed.open();
        let request = post("/", &[b'x'; 1000]);
        let end = if cut { 500 } else { request.len() };
        bed.receive(conn, &request[..end]);
        debtor.0.borrow_mut().answers.insert(conn, "done");
        bed.wake(conn);
        bed.receive(conn, &request[end..]);
        let got = read(bed.sent(conn));
        assert_eq!((got.len(), got[0].text()), (1, (200, "done")), "cut: {cut}");
        assert_eq!(debtor.0.borrow().body < 1000, cut, "what came after it is for nobody");
        bed.finish();
    }
}

#[test]
fn a_service_hears_that_the_connection_has_gone_which_it_owed_a_response() {
    let (mut bed, debtor) = bed();
    let conn = bed.open();
    bed.receive(conn, get("/"));
    bed.reset(conn);
    assert_eq!(debtor.0.borrow().closed, 1);
    bed.finish();
}

#[test]
fn a_protocol_that_took_over_hears_that_it_is_woken() {
    let (mut bed, debtor) = bed();
    let conn = bed.open();
    let upgrade = "GET /talk HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n";
    bed.receive(conn, upgrade);
    bed.wake(conn);
    assert_eq!((debtor.0.borrow().woken, debtor.0.borrow().asked), (1, 0));
    bed.finish();
}

/// Takes a part of a body only once it was woken.
#[derive(Default, Clone)]
struct Reluctant(Rc<RefCell<(bool, usize, Vec<u8>)>>);

impl Service for Reluctant {
    fn call(&mut self, _cx: &mut Cx, _request: &Request<'_>) -> Reply {
        Reply::Body
    }

    fn body(&mut self, _cx: &mut Cx, _conn: ConnId, part: &Buf, last: bool) -> Reply {
        let (ready, asked, taken) = &mut *self.0.borrow_mut();
        *asked += 1;
        if !std::mem::take(ready) {
            return Reply::Wait;
        }
        taken.extend_from_slice(part);
        if last { Response::text(200, "taken").into() } else { Reply::Body }
    }
}

#[test]
fn a_part_that_waits_comes_again_when_its_connection_is_woken_and_costs_nothing_meanwhile() {
    let service = Reluctant::default();
    let theirs = service.clone();
    let mut bed = Harness::build(move |_| {
        let chain = Http1::new(SLOTS, Settings::for_slots(256, 64));
        (Pipeline::Http1(Box::new(chain)), Http::new(SLOTS, theirs))
    });
    let conn = bed.open();
    bed.receive(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let asked = || service.0.borrow().1;
    let before = asked();
    bed.run();
    assert_eq!(asked(), before, "nobody has woken it");
    let wake = |bed: &mut Harness<Http<Reluctant>>| {
        service.0.borrow_mut().0 = true;
        bed.wake(conn);
    };
    wake(&mut bed);
    assert_eq!(service.0.borrow().2, b"hello");
    bed.receive(conn, "world");
    bed.wake(conn); // without a reason
    assert!(bed.sent(conn).is_empty());
    wake(&mut bed);
    assert_eq!(service.0.borrow().2, b"helloworld");
    assert_eq!(read(bed.sent(conn))[0].text(), (200, "taken"));
    // Many parts that wait hold the peer back, and go when they are taken.
    let parts = 40;
    bed.receive(conn, format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {parts}\r\n\r\n"));
    for _ in 0..parts {
        bed.receive(conn, "x");
    }
    assert!(bed.paused(conn));
    for _ in 0..parts {
        wake(&mut bed);
    }
    assert!(!bed.paused(conn));
    assert_eq!(read(bed.sent(conn)).len(), 2);
    bed.receive(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx");
    bed.reset(conn);
    bed.finish();
}
