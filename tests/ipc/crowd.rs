//! Many clients at once (I-3).

use std::sync::Barrier;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ringway::counters::Counter;

use crate::bed::{Bed, Peer, Wish};

#[test]
fn i3_a_thousand_clients_at_once_get_each_its_own_answer() {
    // Both ends of each connection are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let bed = Bed::with(&Wish { lcores: 2, ..Wish::default() });
    let together = Barrier::new(10);
    let hundred = |thread: usize| {
        let mut peers: Vec<Peer> = (0..100).map(|_| bed.connect()).collect();
        together.wait();
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(format!("echo {thread} {number}\n"));
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(peer.reply(), format!("{thread} {number}\n").into_bytes());
        }
    };
    thread::scope(|scope| {
        (0..10).for_each(|thread| drop(scope.spawn(move || hundred(thread))));
    });
    assert_eq!(bed.count(Counter::Accepted), 1000);
    bed.stop();
}

#[test]
fn clients_that_come_and_go_again_and_again_are_all_answered() {
    let bed = Bed::with(&Wish { lcores: 2, ..Wish::default() });
    let hundreds = |thread: usize| {
        for number in 0..500 {
            assert_eq!(
                bed.ask(format!("echo {thread} {number}\n")),
                format!("{thread} {number}\n")
            );
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|thread| drop(scope.spawn(move || hundreds(thread))));
    });
    assert_eq!(bed.count(Counter::Messages), 2000);
    bed.stop();
}
