//! The same on the other side of a listener: a hostile process that is its peer.

use std::sync::atomic::Ordering;

use ringway::counters::Counter;
use ringway::mem::{ConnId, Descriptor, kind};
use ringway::port::kind::{BODY, CREDIT, CUT, RESPONSE, RETURN, SUPPLY};

use super::peer::*;
use crate::common::{Server, Start, wait_until};

/// A listener without a port, one that echoes to its peer, and one whose peer nobody hears.
fn start() -> Server {
    Start::new()
        .listener("http", "")
        .peer("feed", "echo")
        .limited("isolated = true")
        .peer("unheard", "raw")
        .limited("isolated = true\nhandler = \"port:nobody\"\nunattended = \"park\"")
        .start()
}

fn open(hostile: &mut Hostile, number: u32) -> ConnId {
    hostile.send(0, Descriptor { message: number, ..marker(ConnId::NONE, kind::OPEN) });
    let mut opened = None;
    wait_until(|| {
        hostile.pump(0);
        let answer = |known: &&Descriptor| known.tag as u8 == kind::OPEN && known.message == number;
        opened = hostile.sides[0].known.iter().find(answer).map(|answer| answer.conn);
        opened.is_some()
    });
    opened.expect("it was waited for")
}

fn is_cut_off(what: &str, does: impl FnOnce(&mut Hostile, ConnId)) {
    let server = start();
    let mut hostile = Hostile::attach(&server, "feed");
    let conn = open(&mut hostile, 7);
    does(&mut hostile, conn);
    println!("{what}");
    wait_until(|| hostile.is_cut());
    assert_eq!(server.count(Counter::PortFaults), 1, "{what}");
    server.wait_for_no_connections();
    drop(hostile);
    Hostile::attach(&server, "feed").is_served();
    server.drain();
}

#[test]
fn a_peer_that_says_what_is_not_its_to_say_is_cut_off() {
    for tag in [3, 6, 7, 8, 11, 16, BODY, 18, 63, SUPPLY, CREDIT, RESPONSE, 68, 255] {
        is_cut_off(&format!("kind {tag}"), |hostile, conn| hostile.send(0, marker(conn, tag)));
    }
    is_cut_off("a slot twice", |hostile, conn| {
        let supply = Descriptor { conn, len: 5, ..hostile.await_kind(0, SUPPLY) };
        for tag in [kind::DATA, RETURN] {
            hostile.send(0, Descriptor { tag: tag.into(), ..supply });
        }
    });
    is_cut_off("a tail that moved too far", |hostile, _| {
        let tail = hostile.sides[0].tail.wrapping_add(1025);
        hostile.at(0, UP_RING + TAIL).store(tail, Ordering::Release);
        hostile.wake(0);
    });
}

#[test]
fn a_peer_that_sends_more_than_its_window_loses_the_connection_alone() {
    let server = start();
    let mut hostile = Hostile::attach(&server, "unheard");
    let (conn, other) = (open(&mut hostile, 1), open(&mut hostile, 2));
    for _ in 0..128 {
        hostile.send(0, marker(conn, kind::DATA));
    }
    hostile.is_served();
    assert_eq!(server.plane().status().connections(), 2, "as much as it may");
    hostile.send(0, marker(conn, kind::DATA));
    let closed = hostile.await_kind(0, kind::CLOSED);
    assert_eq!((closed.conn, closed.tag >> 8), (conn, CUT));
    assert_eq!(server.plane().status().connections(), 1);
    hostile.sides[0].known.clear();
    hostile.send(0, marker(other, kind::EOF));
    hostile.send(0, marker(other, kind::DATA));
    let closed = hostile.await_kind(0, kind::CLOSED);
    assert_eq!((closed.conn, closed.tag >> 8), (other, CUT), "bytes after its last");
    assert_eq!(server.count(Counter::PortFaults), 0);
    drop(hostile);
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn a_peer_that_asks_for_connections_and_hears_no_answer_holds_nobody_up() {
    let server = start();
    let mut hostile = Hostile::attach(&server, "feed");
    let mut client = server.connect();
    for number in 0..20_000 {
        // It takes nothing: in the end nobody takes anything of it.
        if hostile.has_room(0) {
            hostile.send(0, Descriptor { message: number, ..marker(ConnId::NONE, kind::OPEN) });
        }
        if number % 100 == 0 {
            assert_eq!(client.get("/").status(), 200);
        }
    }
    assert!(!hostile.is_cut());
    drop((hostile, client));
    server.wait_for_no_connections();
    server.drain();
}

/// Something that came down or nothing, sent up as one kind or another, with some of it changed.
fn lie(hostile: &Hostile, random: &mut Random) -> Descriptor {
    const KINDS: [u8; 12] = [
        kind::DATA,
        kind::DATA,
        kind::DATA,
        kind::OPEN,
        kind::EOF,
        kind::CLOSE,
        kind::ABORT,
        kind::PAUSE,
        kind::RESUME,
        RETURN,
        RETURN,
        99,
    ];
    let known = &hostile.sides[0].known;
    let mut word = match known.len() {
        0 => marker(ConnId::NONE, 0),
        count => known[count - 1 - random.below(count.min(50))],
    };
    if !known.is_empty() {
        word.conn = known[random.below(known.len())].conn;
    }
    let kinds = if random.below(30) == 0 { KINDS.len() } else { KINDS.len() - 1 };
    let tag = KINDS[random.below(kinds)];
    word.tag = random.crafted() << 8 | u32::from(tag);
    let has_no_slot = tag == kind::OPEN || random.below(2) == 0;
    match random.below(16) {
        0 => word.slot = random.crafted(),
        1 => word.loan = random.crafted(),
        2 => word.len = random.crafted(),
        3 => word.conn = bytemuck::cast([random.crafted(), random.crafted()]),
        4 => word.len = random.word() % 2049,
        _ if has_no_slot => word.slot = Descriptor::NO_SLOT,
        _ => {}
    }
    word
}

#[test]
fn whatever_a_peer_says_is_its_own_affair() {
    let server = start();
    let mut client = server.connect();
    for seed in 0..150 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let name = if seed % 3 == 0 { "unheard" } else { "feed" };
        let mut hostile = Hostile::attach(&server, name);
        for number in 0..random.below(20) as u32 {
            hostile.send(0, Descriptor { message: number, ..marker(ConnId::NONE, kind::OPEN) });
        }
        for _ in 0..random.below(600) {
            if random.below(3) == 0 {
                hostile.pump(0);
            }
            let word = lie(&hostile, &mut random);
            if hostile.has_room(0) {
                hostile.send(0, word);
            }
        }
        assert_eq!(client.get("/").status(), 200);
        drop(hostile);
    }
    drop(client);
    server.wait_for_no_connections();
    server.drain();
}
