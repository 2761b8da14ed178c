//! Groups over real sockets, on two lcores.

use std::sync::atomic::Ordering;
use std::thread;

use ringway::pipeline::write::{Group, Message, Refused};
use ringway::proto::websocket::Kind;
use ringway::sync::AtomicBool;

use crate::bed::Bed;
use crate::common::wait_until;
use crate::common::websocket::{Heard, Peer, text};

#[test]
fn what_one_says_all_others_hear_on_every_lcore_and_it_does_not_g_16() {
    let bed = Bed::new(2);
    let mut all = bed.come_all(16);
    let of_lcore = |lcore| all.iter().filter(|(_, handle)| handle.conn().lcore() == lcore).count();
    assert!(of_lcore(0) > 0 && of_lcore(1) > 0, "the kernel spreads them");
    assert_eq!(bed.group.len(), 16);
    for speaker in 0..16 {
        all[speaker].0.say(Kind::Text, format!("I am {speaker}").as_bytes());
        for (n, (peer, _)) in all.iter_mut().enumerate() {
            if n != speaker {
                assert_eq!(peer.hear(), text(&format!("I am {speaker}")), "peer {n}");
            }
        }
    }
    wait_until(|| bed.group.counters().delivered == 16 * 15);
    let counters = bed.group.counters();
    assert_eq!((counters.published, counters.dropped, counters.disconnected), (16, 0, 0));
    all.into_iter().for_each(|(peer, _)| peer.part());
    bed.wait_for(0);
    bed.end();
}

#[test]
fn a_list_of_members_is_left_out_and_who_left_or_closed_is_none_g_16() {
    let bed = Bed::new(2);
    let mut all = bed.come_all(6);
    let conns: Vec<_> = all.iter().map(|(_, handle)| handle.conn()).collect();
    all[4].0.say(Kind::Text, b"leave");
    bed.wait_for(5);
    all[5].1.leave(&bed.group).unwrap();
    bed.wait_for(4);
    bed.group.publish(Message::Text("some"), &conns[..2]).unwrap();
    all[4].0.say(Kind::Text, b"join");
    all[5].1.join(&bed.group).unwrap();
    bed.wait_for(6);
    bed.group.publish(Message::Binary(b"all"), &[]).unwrap();
    for (n, (peer, _)) in all.iter_mut().enumerate() {
        if (2..4).contains(&n) {
            assert_eq!(peer.hear(), text("some"));
        }
        assert_eq!(peer.hear(), Heard::Message(Kind::Binary, b"all".to_vec()));
    }
    let (gone, _) = all.remove(0);
    gone.part();
    bed.wait_for(5);
    drop(all);
    bed.wait_for(0);
    bed.end();
}

#[test]
fn all_members_share_one_slot_g_16() {
    let bed = Bed::new(1);
    let mut all = bed.come_all(50);
    let missing = bed.server.plane().pools().missing();
    // They read nothing yet; what their sockets do not take is none of the pool's.
    bed.group.publish(Message::Binary(&[7; 10_000]), &[]).unwrap();
    all.iter_mut().for_each(|(peer, _)| assert!(matches!(peer.hear(), Heard::Message(..))));
    wait_until(|| bed.server.plane().pools().missing() == missing);
    assert_eq!(bed.server.count(ringway::counters::Counter::CopiedBytes), 0);
    bed.end();
}

#[test]
fn a_group_without_members_is_published_to_in_vain_g_16() {
    let group = Group::new();
    assert_eq!(group.publish(Message::Text("hello?"), &[]), Ok(()));
    assert!(group.is_empty());
    let counters = group.counters();
    assert_eq!((counters.published, counters.delivered), (1, 0));
}

#[test]
fn publishes_of_several_threads_arrive_in_order_while_members_come_and_go_and_are_killed_g_16() {
    const PUBLISHERS: u8 = 3;
    const EACH: u32 = 300;
    let bed = Bed::new(2);
    let mut stay = bed.come_all(4);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let group = &bed.group;
            scope.spawn(move || {
                for n in 0..EACH {
                    let message = [&[publisher], &n.to_le_bytes()[..]].concat();
                    while let Err(why) = group.publish(Message::Binary(&message), &[]) {
                        assert!(matches!(why, Refused::Full | Refused::NoSlot), "{why}");
                        thread::yield_now();
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                let (peer, handle) = bed.come();
                match n % 3 {
                    0 => drop(peer), // with what came unread: a reset
                    1 => {
                        handle.leave(&bed.group).unwrap();
                        drop(peer);
                    }
                    _ => {
                        let mut peer = peer;
                        peer.close(1000);
                        while peer.hear() != Heard::End {}
                    }
                }
                n += 1;
            }
        });
        let expected = u32::from(PUBLISHERS) * EACH;
        for (peer, _) in &mut stay {
            let mut next = [0; PUBLISHERS as usize];
            for _ in 0..expected {
                let Heard::Message(_, message) = peer.hear() else { panic!("a message") };
                let n = &mut next[usize::from(message[0])];
                assert_eq!(message[1..], u32::to_le_bytes(*n));
                *n += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    bed.wait_for(4);
    stay.into_iter().for_each(|(peer, _): (Peer, _)| peer.part());
    bed.wait_for(0);
    bed.end();
}
