//! Ten thousand members on one lcore over a simulated network, one of which reads nothing.

use ringway::counters::Counter;
use ringway::limits::{ADOPTED_MAX, GROUP_STEP_MEMBERS};
use ringway::mem::{Burst, Mempool, kind};
use ringway::pipeline::write::{Group, Message};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};
use ringway::time::Clock;
use ringway::transport::sim::{Faults, Peer, Sim, SimNet};

use crate::rig::Rig;

const MEMBERS: usize = 10_000;

/// Has all who come join.
struct Joins(Group);

impl Handler for Joins {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(buf) = input.pop()
        {
            match buf.kind() {
                kind::OPEN => assert!(self.0.join(cx, buf.conn())),
                kind::DATA => assert!(output.push(buf).is_ok()),
                _ => {}
            }
        }
    }
}

struct Crowd {
    rig: Rig,
    net: SimNet,
    peers: Vec<Peer>,
    group: Group,
}

impl Crowd {
    fn new(pool_slots: u32) -> Self {
        let slots = MEMBERS as u32 + ADOPTED_MAX;
        let net = SimNet::new(1, Faults::default());
        let (clock, _hand) = Clock::by_hand();
        let pool = Mempool::small(pool_slots).unwrap();
        let mut rig = Rig::with_slots(pool, clock, None, slots);
        let group = Group::new();
        let handler = Box::new(Joins(group.clone()));
        let raw = Pipeline::Raw(chain::Raw::new(slots));
        rig.serve(Box::new(Sim::new(&net, 0, slots)), raw, handler);
        let peers = (0..MEMBERS).map(|_| net.connect()).collect();
        let mut crowd = Self { rig, net, peers, group };
        crowd.turn_until(|crowd| crowd.group.len() == MEMBERS);
        crowd
    }

    fn turn(&mut self) {
        self.net.step();
        self.rig.lcore.poll_once(usize::MAX);
    }

    fn turn_until(&mut self, so: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if so(self) {
                return;
            }
            self.turn();
        }
        panic!("it hangs");
    }

    fn publish(&mut self, bytes: &[u8]) {
        self.group.publish(Message::Raw(bytes), &[]).unwrap();
    }
}

#[test]
fn ten_thousand_members_with_a_slow_one_hear_all_and_memory_stays_flat_g_16() {
    const ROUNDS: u64 = 80;
    let mut crowd = Crowd::new(512);
    crowd.peers[17].set_window(0);
    let conn = |crowd: &Crowd| crowd.rig.pool.missing();
    let (mut room, mut most) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let message = [round as u8; 1000];
        crowd.publish(&message);
        crowd.turn_until(|crowd| {
            let counters = crowd.group.counters();
            counters.delivered + counters.dropped == (round + 1) * MEMBERS as u64
        });
        (0..3).for_each(|_| crowd.turn());
        for (n, peer) in crowd.peers.iter().enumerate() {
            room.clear();
            peer.read(usize::MAX, &mut room);
            assert!(n == 17 || *room == message, "member {n}, round {round}");
        }
        most = most.max(conn(&crowd));
    }
    // The slow one has what its transport takes ahead, and what may wait behind it: all that is held.
    assert!(most as u64 <= ROUNDS + 1, "{most} slots for {ROUNDS} messages");
    assert_eq!(crowd.group.counters().dropped, 0);
    assert!(crowd.rig.count(Counter::WritesBacklogged) > 0);
    crowd.peers[17].set_window(usize::MAX);
    crowd.turn_until(|crowd| crowd.rig.pool.missing() == 0);
    room.clear();
    crowd.peers[17].read(usize::MAX, &mut room);
    let rounds: Vec<u8> = room.chunks(1000).map(|one| one[0]).collect();
    assert!(rounds == (0..ROUNDS).map(|n| n as u8).collect::<Vec<_>>(), "in order");
}

#[test]
fn a_publish_to_ten_thousand_holds_nobody_up_for_longer_than_a_step_g_16() {
    let mut crowd = Crowd::new(512);
    let delivered = |crowd: &Crowd| crowd.group.counters().delivered as usize;
    crowd.publish(b"to all");
    let mut room = Vec::new();
    let mut passes = 0;
    while delivered(&crowd) < MEMBERS {
        let before = delivered(&crowd);
        crowd.peers[9999].send(b"echo");
        crowd.turn();
        assert!(delivered(&crowd) - before <= GROUP_STEP_MEMBERS);
        if before < MEMBERS - 2 * GROUP_STEP_MEMBERS {
            room.clear();
            crowd.peers[9999].read(usize::MAX, &mut room);
            assert!(passes < 2 || room.ends_with(b"echo"), "pass {passes}: {room:?}");
        }
        passes += 1;
    }
    assert!(passes >= MEMBERS / GROUP_STEP_MEMBERS);
}

#[test]
fn many_slow_members_hold_no_more_of_the_pool_than_their_policies_let_them_g_16() {
    let mut crowd = Crowd::new(2048);
    for peer in &crowd.peers {
        peer.set_window(0);
    }
    for round in 0..200_u64 {
        crowd.publish(&[round as u8; 100]);
        crowd.turn_until(|crowd| {
            let counters = crowd.group.counters();
            counters.delivered + counters.dropped == (round + 1) * MEMBERS as u64
        });
    }
    let counters = crowd.group.counters();
    assert!(counters.dropped > 0, "the store is bounded");
    assert!(crowd.rig.pool.missing() <= 200);
    // Those that read again get some, in order, whole; nobody waits for those that do not.
    crowd.peers[5].set_window(usize::MAX);
    let mut room = Vec::new();
    for _ in 0..200 {
        crowd.turn();
        crowd.peers[5].read(usize::MAX, &mut room);
    }
    let rounds: Vec<u8> = room.chunks(100).map(|one| one[0]).collect();
    assert!(rounds.is_sorted() && rounds.len() > 1, "{rounds:?}");
    for peer in &crowd.peers {
        peer.reset();
    }
    crowd.turn_until(|crowd| crowd.group.is_empty() && crowd.rig.pool.missing() == 0);
}
