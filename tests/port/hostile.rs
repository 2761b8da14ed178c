//! A process at an isolated port that keeps to nothing (P-6). It goes by what docs/MEMORY.md says of
//! the memory, not by the library.

mod early;
mod feed;
mod peer;
mod unread;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use ringway::attach::{Message, Queue};
use ringway::counters::Counter;
use ringway::mem::{ConnId, Descriptor, Trust, kind};
use ringway::pipeline::chain::http1::HEAD;
use ringway::port::kind::{BODY, CREDIT, RESPONSE, RETURN, SUPPLY};
use ringway::sync::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Client, Server, Start, pattern, wait_until};
use crate::program::{Program, echo};

use peer::*;

/// How long the storm goes on, unless `HOSTILE_SEED` names the one seed to repeat.
const STORM: Duration = Duration::from_secs(18);

/// Two ports for a hostile process, two for honest ones, and a listener without.
fn start(lcores: usize) -> Server {
    Start::new()
        .listener("http", "")
        .listener("http", "")
        .limited("handler = \"port:honest\"")
        .listener("raw", "")
        .limited("handler = \"port:calm\"\nisolated = true")
        .listener("raw", "")
        .limited("handler = \"port:raw\"\nisolated = true")
        .listener("http", "")
        .limited("handler = \"port:http\"\nisolated = true")
        .lcores(lcores)
        .start()
}

const RAW: usize = 3;
const HTTP: usize = 4;

/// A client of the hostile process, that expects nothing of it.
fn reckless(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let short = Some(Duration::from_millis(20));
    stream.set_read_timeout(short).unwrap();
    stream.set_write_timeout(short).unwrap();
    let _ = stream.write_all(bytes);
    stream
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One port with one connection on it, and what the process then does.
fn act(is_http: bool, does: impl FnOnce(&mut Hostile, Descriptor)) -> (Server, Hostile, TcpStream) {
    let server = start(1);
    let mut hostile = Hostile::attach(&server, if is_http { "http" } else { "raw" });
    let (listener, bytes) = if is_http { (HTTP, GET) } else { (RAW, &b"hello"[..]) };
    let client = reckless(server.address(listener), bytes);
    hostile.await_kind(0, SUPPLY);
    let message = hostile.await_kind(0, if is_http { HEAD } else { kind::DATA });
    does(&mut hostile, message);
    (server, hostile, client)
}

/// Does something that a process is cut off for.
fn is_a_fault(what: &str, is_http: bool, does: impl FnOnce(&mut Hostile, Descriptor)) {
    let (server, hostile, client) = act(is_http, does);
    println!("{what}");
    wait_until(|| hostile.is_cut());
    assert_eq!(server.count(Counter::PortFaults), 1, "{what}");
    drop((hostile, client));
    Hostile::attach(&server, "raw").is_served();
    server.drain();
}

/// Does something that is its own affair.
fn is_no_fault(what: &str, is_http: bool, does: impl FnOnce(&mut Hostile, Descriptor)) {
    let (server, mut hostile, client) = act(is_http, does);
    println!("{what}");
    hostile.is_served();
    assert!(!hostile.is_cut(), "{what}");
    assert_eq!(server.count(Counter::PortFaults), 0, "{what}");
    drop((hostile, client));
    server.drain();
}

#[test]
fn who_names_slots_that_are_not_lent_to_it_is_cut_off() {
    type Change = fn(&mut Descriptor);
    let changes: [(&str, Change); 10] = [
        ("a slot that there is not", |d| d.slot = 448),
        ("a slot far away", |d| d.slot = u32::MAX - 1),
        ("a class that there is not", |d| d.loan = d.loan & !0xff | 2),
        ("another class", |d| d.loan = d.loan & !0xff | 1),
        ("the highest class that can be named", |d| d.loan |= 0xff),
        ("the loan after", |d| d.loan += 1 << 8),
        ("the loan before", |d| d.loan -= 1 << 8),
        ("one byte too many", |d| d.len = 2049),
        ("bytes behind the slot", |d| d.start = 2049),
        ("bytes round the end of numbers", |d| (d.start, d.len) = (u32::MAX, 2)),
    ];
    for (what, change) in changes {
        for tag in [RETURN, kind::DATA, kind::CLOSE] {
            is_a_fault(what, false, |hostile, message| {
                let mut lie = Descriptor { tag: tag.into(), ..message };
                change(&mut lie);
                hostile.send(0, lie);
            });
        }
    }
}

#[test]
fn who_gives_a_slot_back_twice_is_cut_off() {
    for (first, second) in [(RETURN, RETURN), (kind::DATA, RETURN), (kind::DATA, kind::DATA)] {
        is_a_fault("twice", false, |hostile, message| {
            hostile.send(0, Descriptor { tag: first.into(), ..message });
            hostile.send(0, Descriptor { tag: second.into(), ..message });
        });
    }
}

#[test]
fn who_says_what_is_not_its_to_say_is_cut_off() {
    let not_words = [1, 2, 3, 6, 7, 8, 11, 16, 18, 63, SUPPLY, CREDIT, 68, 255];
    for tag in not_words.into_iter().chain([BODY, RESPONSE]) {
        is_a_fault(&format!("kind {tag} of a connection"), false, |hostile, message| {
            hostile.send(0, marker(message.conn, tag));
        });
    }
    for tag in not_words.into_iter().chain([kind::DATA, kind::PAUSE, kind::RESUME]) {
        is_a_fault(&format!("kind {tag} of a request"), true, |hostile, head| {
            let word = Descriptor { message: head.message, ..marker(head.conn, tag) };
            hostile.send(0, word);
        });
    }
}

#[test]
fn who_moves_an_index_as_none_can_move_is_cut_off() {
    for step in [1025, 1 << 31, u32::MAX] {
        is_a_fault(&format!("a tail moved by {step}"), false, |hostile, _| {
            let tail = hostile.sides[0].tail.wrapping_add(step);
            hostile.at(0, UP_RING + TAIL).store(tail, Ordering::Release);
            hostile.wake(0);
        });
    }
}

#[test]
fn what_a_process_makes_of_its_own_memory_is_its_affair() {
    is_no_fault("the header, the state, the flags, what rings say of themselves", false, |h, _| {
        let mut random = Random(1);
        for offset in (0..4096).step_by(4) {
            h.word(offset).store(random.crafted(), Ordering::Relaxed);
        }
        for offset in [DOWN_FLAG, UP_FLAG].into_iter().chain((0..12).step_by(4)) {
            h.at(0, offset).store(random.crafted(), Ordering::Relaxed);
            h.at(0, DOWN_RING + offset % 12).store(random.crafted(), Ordering::Relaxed);
            h.at(0, UP_RING + offset % 12).store(random.crafted(), Ordering::Relaxed);
        }
    });
    is_no_fault("every payload slot", false, |h, _| {
        let slots = h.header.classes[0].slots as usize..h.header.queue_bytes as usize;
        slots.step_by(4).for_each(|offset| h.at(0, offset).store(!0, Ordering::Relaxed));
    });
    is_no_fault("what the dataplane wrote to it", false, |h, _| {
        let ring = DOWN_RING + SLOTS..UP_RING;
        ring.step_by(4).for_each(|offset| h.at(0, offset).store(!0, Ordering::Relaxed));
        h.at(0, UP_RING + HEAD_INDEX).store(!0, Ordering::Relaxed);
    });
}

#[test]
fn words_for_nobody_are_dropped() {
    for is_http in [false, true] {
        is_no_fault("connections and requests that there are not", is_http, |h, message| {
            let mut random = Random(2);
            for _ in 0..5000 {
                let words = [random.crafted(), random.crafted()];
                let conn: ConnId = bytemuck::cast(words);
                let tag = [0, 4, 5, 9, 10, BODY, RESPONSE, RETURN][random.below(8)];
                let number = message.message.wrapping_add(1 + random.word() % 9);
                let conn = if conn == message.conn { ConnId::NONE } else { conn };
                wait_until(|| h.has_room(0));
                h.send(0, Descriptor { message: number, ..marker(conn, tag) });
            }
        });
    }
    is_no_fault("words with slots that need none", false, |h, message| {
        for tag in [kind::PAUSE, kind::RESUME, kind::CLOSE, kind::ABORT] {
            let supply = h.await_kind(0, SUPPLY);
            h.sides[0].known.clear();
            h.send(0, Descriptor { conn: message.conn, tag: !0xff | u32::from(tag), ..supply });
        }
    });
}

#[test]
fn more_than_the_window_costs_the_connection_alone() {
    let (server, mut hostile, client) = act(false, |hostile, message| {
        // Nobody reads: what the sockets do not hold stays in the window.
        wait_until(|| {
            hostile.pump(0);
            for down in std::mem::take(&mut hostile.sides[0].known) {
                match down.tag as u8 {
                    SUPPLY => hostile.send(0, Descriptor { conn: message.conn, tag: 0, ..down }),
                    kind::CLOSED => return true,
                    _ => {}
                }
            }
            false
        });
    });
    hostile.is_served();
    assert_eq!(server.count(Counter::PortFaults), 0);
    drop((hostile, client));
    server.drain();
    is_no_fault("parts of a body that are not asked for", true, |h, head| {
        h.send(
            0,
            Descriptor {
                message: head.message,
                tag: 200 << 8 | u32::from(RESPONSE),
                ..marker(head.conn, 0)
            },
        );
        for _ in 0..1000 {
            wait_until(|| h.has_room(0));
            h.send(0, Descriptor { message: head.message, ..marker(head.conn, BODY) });
        }
    });
}

/// Makes everything that it shares with the lcores blocking, and fills or empties it.
fn block(hostile: &Hostile) {
    for fd in hostile.offer.bells.iter().chain([&hostile.offer.event]) {
        let _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let _ = nix::unistd::write(fd, &(u64::MAX - 1).to_ne_bytes());
        let _ = nix::unistd::read(fd, &mut [0; 8]);
        let _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::empty()));
    }
}

#[test]
fn no_descriptor_that_it_holds_stops_an_lcore() {
    let server = start(1);
    let mut hostile = Hostile::attach(&server, "raw");
    let mut client = server.connect();
    for round in 0..200 {
        block(&hostile);
        let client_of_it = reckless(server.address(RAW), b"hello");
        hostile.at(0, DOWN_FLAG).store(1, Ordering::Relaxed);
        if round % 20 == 0 {
            // Long enough for the lcore to sleep.
            thread::sleep(Duration::from_millis(20));
        }
        let _ = (&hostile.lifeline).write(&[0; 4096]);
        assert_eq!(client.get("/").status(), 200);
        drop(client_of_it);
    }
    hostile.is_served();
    drop((hostile, client));
    server.drain();
}

#[test]
fn a_flood_of_words_for_nobody_holds_nobody_up() {
    let server = start(1);
    let mut hostile = Hostile::attach(&server, "raw");
    let nothing: [u32; 8] = bytemuck::cast(marker(ConnId::NONE, kind::DATA));
    for slot in 0..1024 {
        for (n, word) in nothing.into_iter().enumerate() {
            hostile.at(0, UP_RING + SLOTS + 32 * slot + 4 * n).store(word, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Faster than they can be looked at: the index alone is moved.
                let head = hostile.at(0, UP_RING + HEAD_INDEX).load(Ordering::Acquire);
                let tail = head.wrapping_add(1000);
                let behind = tail.wrapping_sub(hostile.sides[0].tail) as i32 > 0;
                if behind {
                    hostile.sides[0].tail = tail;
                    hostile.at(0, UP_RING + TAIL).store(tail, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        });
        let mut client = server.connect();
        for _ in 0..300 {
            assert_eq!(client.get("/").status(), 200);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(!hostile.is_cut());
    drop(hostile);
    server.drain();
}

/// What a hostile process does with one seed.
fn rage(hostile: &mut Hostile, random: &mut Random) {
    let queues = hostile.sides.len();
    let keeps_rules = random.below(4) == 0;
    for _ in 0..random.below(400) {
        let queue = random.below(queues);
        match random.below(if keeps_rules { 6 } else { 12 }) {
            0..=2 => hostile.pump(queue),
            3 => hostile.wake(queue),
            4 => block(hostile),
            5 => {
                let _ = (&hostile.lifeline).write(&[7; 100]);
            }
            6 => scribble(hostile, random, queue),
            7 => {
                let words = hostile.words().len();
                let at = random.below(words);
                hostile.words()[at].store(random.crafted(), Ordering::Relaxed);
            }
            _ if hostile.sides[queue].known.is_empty() => hostile.pump(queue),
            _ => {
                let mut word = lie(hostile, random, queue);
                (0..1 + random.below(3)).for_each(|_| {
                    hostile.send(queue, word);
                    word.loan = word.loan.wrapping_add(random.below(2) as u32);
                });
            }
        }
    }
}

/// Writes over what the rings of a queue go by.
fn scribble(hostile: &mut Hostile, random: &mut Random, queue: usize) {
    let offset = match random.below(6) {
        0 => DOWN_FLAG,
        1 => UP_FLAG,
        2 => DOWN_RING + HEAD_INDEX,
        3 => DOWN_RING + 4 * random.below(200),
        4 => UP_RING + TAIL,
        _ => UP_RING + 4 * random.below(200),
    };
    let word = hostile.at(queue, offset);
    let near = word.load(Ordering::Relaxed).wrapping_add(random.word() % 5).wrapping_sub(2);
    let value = if random.below(2) == 0 { near } else { random.crafted() };
    word.store(value, Ordering::Relaxed);
}

/// Something that came down, sent up again with some of its words changed.
fn lie(hostile: &Hostile, random: &mut Random, queue: usize) -> Descriptor {
    const KINDS: [u8; 9] = [
        kind::DATA,
        kind::CLOSE,
        kind::ABORT,
        kind::PAUSE,
        kind::RESUME,
        BODY,
        RETURN,
        RESPONSE,
        99,
    ];
    let known = &hostile.sides[queue].known;
    let mut word = known[known.len() - 1 - random.below(known.len().min(100))];
    let other = known[random.below(known.len())];
    (word.conn, word.message) = (other.conn, other.message);
    let kinds = if random.below(20) == 0 { KINDS.len() } else { KINDS.len() - 1 };
    word.tag = random.crafted() << 8 | u32::from(KINDS[random.below(kinds)]);
    let change = random.crafted();
    match random.below(24) {
        0 => word.slot = change,
        1 => word.loan = change,
        2 => word.start = change,
        3 => word.len = change,
        4 => word.conn = bytemuck::cast([change, random.crafted()]),
        5 => word.message = change,
        6 => word.len = random.word() % 2049,
        7..12 => word.slot = Descriptor::NO_SLOT,
        _ => {}
    }
    word
}

/// Answers whatever comes to an honest program.
fn honest(queue: &mut Queue, message: Message) {
    match message.kind {
        HEAD => queue.respond(&message, 200, "X: y\r\n", b"honest"),
        _ => echo(queue, message),
    }
}

/// Asks again and again, and counts the answers, which have to be right.
fn ask(over: &AtomicBool, answered: &AtomicU64, mut ask: impl FnMut(u64)) {
    while !over.load(Ordering::Relaxed) {
        let round = answered.load(Ordering::Relaxed);
        ask(round);
        answered.store(round + 1, Ordering::Relaxed);
    }
}

/// Lets hostile processes rage, one after the other, while `answered` goes on.
fn storm(server: &Server, answered: &[AtomicU64]) {
    let only = std::env::var("HOSTILE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (started, mut seed) = (Instant::now(), only.unwrap_or(1));
    let mut cut = 0;
    while started.elapsed() < STORM {
        println!("HOSTILE_SEED={seed}");
        let before: Vec<u64> = answered.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let mut random = Random(seed);
        let is_http = random.below(2) == 1;
        let mut hostile = Hostile::attach(server, if is_http { "http" } else { "raw" });
        let bytes = if is_http { GET.repeat(3) } else { pattern(seed, 5000) };
        let address = server.address(if is_http { HTTP } else { RAW });
        let clients: Vec<_> = (0..4).map(|_| reckless(address, &bytes)).collect();
        (0..hostile.sides.len()).for_each(|queue| hostile.pump(queue));
        rage(&mut hostile, &mut random);
        for (count, before) in answered.iter().zip(before) {
            wait_until(|| count.load(Ordering::Relaxed) > before);
        }
        cut += u32::from(hostile.is_cut());
        drop((hostile, clients));
        seed += 1;
        if only.is_some() {
            break;
        }
    }
    println!("{} seeds, {cut} cut off", seed - 1);
}

#[test]
fn a_storm_of_hostile_processes_hurts_nobody_else_p_6() {
    let server = start(2);
    let [over, done] = [false, false].map(AtomicBool::new);
    let answered: [AtomicU64; 3] = Default::default();
    thread::scope(|scope| {
        let (server, over, done, answered) = (&server, &over, &done, &answered);
        let _endings = [Ending(over), Ending(done)];
        let (ready, attached) = mpsc::channel();
        scope.spawn(move || {
            let mut programs = [
                Program::attach(server, "calm", Trust::Isolated),
                Program::attach(server, "honest", Trust::Shared),
            ];
            ready.send(()).unwrap();
            while !done.load(Ordering::Relaxed) {
                for program in &mut programs {
                    let mut served = false;
                    program.serve(honest, || std::mem::replace(&mut served, true));
                }
            }
            assert!(programs.iter().all(|program| program.port.is_alive()));
        });
        attached.recv().unwrap();
        let clients = [
            scope.spawn(|| {
                let mut client = server.connect();
                ask(over, &answered[0], |_| assert_eq!(client.get("/health").status(), 200));
            }),
            scope.spawn(|| {
                let mut client = Client::connect(server.address(1));
                ask(over, &answered[1], |_| assert_eq!(client.get("/").body, b"honest"));
            }),
            scope.spawn(|| {
                let mut client = Client::connect(server.address(2));
                ask(over, &answered[2], |round| {
                    let bytes = pattern(round, 3000);
                    assert!(client.send(&bytes).receive(3000) == bytes);
                });
            }),
        ];
        storm(server, answered);
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    server.drain();
}

/// Ends the others when the storm ends, also by a failure.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
