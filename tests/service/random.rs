//! Random exchanges, cuts, empty pools and turns on several connections, against an oracle that
//! knows what each request is answered.

use std::time::Duration;

use proptest::prelude::*;
use ringway::mem::ConnId;

use crate::bed::{Bed, Got, get, post, post_chunks};
use crate::probe::letters;
use crate::starvation::exchanges;

/// A request, and the oracle's answer.
#[derive(Debug, Clone)]
struct Exchange {
    bytes: Vec<u8>,
    body: Vec<u8>,
    calls: usize,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let body = || prop::collection::vec(b'a'..=b'z', 0..6_000);
    let sizes = || prop::collection::vec(1..2_000usize, 1..6);
    let of = |bytes, body| Exchange { bytes, body, calls: 1 };
    prop_oneof![
        3 => (0..1_000u32).prop_map(move |n| {
            let path = format!("/text/{n}");
            of(get(&path), path.into())
        }),
        1 => (0..60_000usize).prop_map(move |n| of(get(&format!("/bytes/{n}")), letters(n))),
        1 => (1..16_000usize).prop_map(move |n| of(get(&format!("/buf/{n}")), letters(n))),
        1 => (0..90_000usize, 1..16_000usize).prop_map(move |(n, part)| {
            let part = part.max(n / 500);
            of(get(&format!("/stream/{n}/{part}")), letters(n))
        }),
        1 => (0..90_000usize, 1..16_000usize).prop_map(move |(n, part)| {
            let part = part.max(n / 500);
            of(get(&format!("/chunks/{n}/{part}")), letters(n))
        }),
        2 => (body(), sizes(), 0..5usize, any::<bool>()).prop_map(move |(body, sizes, what, known)| {
            let path = ["/echo", "/read", "/turn", "/text", "/on_text"][what];
            let answer = match what {
                0 | 1 => body.clone(),
                2 => body.to_ascii_uppercase(),
                3 => b"/text".to_vec(),
                _ => b"at once".to_vec(),
            };
            let bytes = if known { post(path, &body) } else { post_chunks(path, &cut(&body, &sizes)) };
            of(bytes, answer)
        }),
    ]
}

/// `bytes` in pieces of these sizes, again and again.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_gets_the_answer_that_the_oracle_knows_in_order(
        scripts in prop::collection::vec(
            (prop::collection::vec(exchange(), 1..12), prop::collection::vec(1..2_048usize, 1..9)),
            1..5,
        ),
        starves in prop::collection::vec(prop::bool::weighted(0.3), 1..40),
    ) {
        let mut bed = Bed::new();
        let conns: Vec<_> = scripts.iter().map(|_| bed.open()).collect();
        let streams: Vec<Vec<u8>> = scripts.iter()
            .map(|(exchanges, _)| exchanges.iter().flat_map(|e| e.bytes.clone()).collect())
            .collect();
        let mut pieces: Vec<_> = streams.iter().zip(&scripts)
            .map(|(stream, (_, sizes))| cut(stream, sizes).into_iter())
            .collect();
        let mut starves = starves.iter().copied().cycle();
        let mut waiting = 0;
        loop {
            let mut came = false;
            for (pieces, &conn) in pieces.iter_mut().zip(&conns) {
                bed.starve(starves.next().unwrap());
                // What waits for slots holds those that it came in.
                if waiting > 64 || bed.paused(conn) {
                    waiting = 0;
                    bed.starve(false);
                    (0..8).for_each(|_| bed.run());
                }
                if let Some(piece) = pieces.next() {
                    came = true;
                    waiting += 1;
                    bed.receive(conn, piece);
                }
            }
            if !came {
                break;
            }
        }
        bed.starve(false);
        (0..8).for_each(|_| bed.run());
        let mut calls = 0;
        for ((exchanges, _), &conn) in scripts.iter().zip(&conns) {
            let got = bed.responses(conn);
            prop_assert_eq!(got.len(), exchanges.len());
            for (got, exchange) in got.iter().zip(exchanges) {
                let head = String::from_utf8_lossy(&exchange.bytes[..30.min(exchange.bytes.len())]);
                prop_assert!(got.status == 200 && got.whole, "{} for {}", got.status, head);
                prop_assert!(got.body == exchange.body, "{} bytes for {}", got.body.len(), head);
                calls += exchange.calls;
            }
            prop_assert!(bed.closed(conn).is_none() && !bed.paused(conn));
        }
        prop_assert_eq!(bed.record().calls.len(), calls);
        prop_assert_eq!((bed.waiting(), bed.values()), (0, 0));
        bed.finish();
    }
}

/// What happens next to one of the connections.
#[derive(Debug, Clone)]
enum Event {
    /// An exchange of [`kinds`], in pieces of so many bytes.
    Exchange(usize, usize),
    /// So many bytes of one, and then others.
    Part(usize, usize),
    Eof,
    Reset,
    Starve(bool),
    Go,
    Wake,
    Second(u64),
    Run,
}

/// Also streams that wait.
fn kinds() -> Vec<Vec<u8>> {
    [exchanges(), vec![get("/wait"), get("/sleep"), post("/turn/2", &[b'x'; 9_000])]].concat()
}

/// Lets everything go on that waits.
fn relieve(bed: &mut Bed, conns: &[ConnId]) {
    bed.starve(false);
    bed.record_mut().go = true;
    // Behind a stream that was woken there may be another that sleeps.
    for _ in 0..8 {
        conns.iter().for_each(|&conn| bed.wake(conn));
    }
}

fn event() -> impl Strategy<Value = Event> {
    let kinds = kinds().len();
    prop_oneof![
        8 => (0..kinds, 1..200usize).prop_map(|(kind, most)| Event::Exchange(kind, most)),
        2 => (0..kinds, 1..120usize).prop_map(|(kind, bytes)| Event::Part(kind, bytes)),
        1 => Just(Event::Eof),
        1 => Just(Event::Reset),
        2 => any::<bool>().prop_map(Event::Starve),
        2 => Just(Event::Go),
        1 => Just(Event::Wake),
        1 => (1..40u64).prop_map(Event::Second),
        2 => Just(Event::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_peers_do_each_gets_responses_in_their_form_and_nothing_is_left_behind(
        events in prop::collection::vec((0..4usize, event()), 1..60),
    ) {
        let exchanges = kinds();
        let mut bed = Bed::new();
        let mut conns: Vec<_> = (0..4).map(|_| bed.open()).collect();
        let (mut all, mut pieces) = (conns.clone(), 0);
        for (which, event) in events {
            if bed.closed(conns[which]).is_some() {
                conns[which] = bed.open();
                all.push(conns[which]);
            }
            // A transport stops receiving where nothing is taken, or no slot is left.
            if pieces > 100 || bed.paused(conns[which]) {
                pieces = 0;
                relieve(&mut bed, &all);
            }
            let conn = conns[which];
            match event {
                Event::Exchange(kind, most) => {
                    let bytes = &exchanges[kind];
                    let most = most.max(bytes.len() / 40);
                    pieces += bytes.len().div_ceil(most);
                    bed.receive_cut(conn, bytes, most);
                }
                Event::Part(kind, bytes) => {
                    let whole = &exchanges[kind];
                    pieces += 1;
                    bed.receive(conn, &whole[..bytes.min(whole.len())]);
                }
                Event::Wake => bed.wake(conn),
                Event::Eof => bed.eof(conn),
                Event::Reset => bed.reset(conn),
                Event::Starve(starves) => bed.starve(starves),
                Event::Go => {
                    let go = bed.record().go;
                    bed.record_mut().go = !go;
                }
                Event::Second(seconds) => bed.advance(Duration::from_secs(seconds)),
                Event::Run => bed.run(),
            }
        }
        relieve(&mut bed, &all);
        prop_assert_eq!(bed.waiting(), 0);
        let healthy = bed.ask(get("/text"));
        prop_assert_eq!(healthy[0].text(), (200, "/text"));
        for &conn in &all {
            let ended = bed.closed(conn).is_some();
            let got = bed.responses(conn);
            let broken = got.iter().rev().skip(1).find(|got| !got.whole);
            prop_assert!(broken.is_none(), "cut short in the middle: {:?}", broken);
            let closes = got.iter().position(Got::closes);
            prop_assert!(closes.is_none_or(|at| at + 1 == got.len()), "{:?} in {:?}", closes, got);
            bed.reset(conn);
            let told = bed.record().closed.iter().filter(|&&other| other == conn).count();
            prop_assert!(told <= 1, "told {} times of one end, {}", told, ended);
        }
        prop_assert_eq!((bed.values(), bed.cx.extensions.unnamed_messages()), (0, 0));
        bed.finish();
    }
}
