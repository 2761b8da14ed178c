//! A handler that keeps every slot: the kernel keeps what it can, loses the rest, and all goes on.

use std::sync::{Arc, Mutex};

use ringway::config::IdleMode;
use ringway::counters::Counter;
use ringway::dataplane::Protocol;
use ringway::mem::{Buf, Burst, kind};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};

use crate::common::{Server, Start, wait_until};
use crate::peer::Peer;

type Kept = Arc<Mutex<Vec<Buf>>>;

/// Keeps what it gets, without an answer, but for what begins with an `!`, which it sends back.
struct Keeper(Kept);

impl Handler for Keeper {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(buf) = input.pop()
        {
            match buf.kind() {
                kind::DATA if buf.starts_with(b"!") => assert!(output.push(buf).is_ok()),
                kind::DATA => self.0.lock().unwrap().push(buf),
                _ => {}
            }
        }
    }
}

fn keeper(idle: IdleMode) -> (Server, Kept) {
    let kept = Kept::default();
    let shared = kept.clone();
    let builder = Start::new().datagrams("keeper", "127.0.0.1:0").idle(idle).builder();
    let server = Server::run(builder.protocol("keeper", move |context| {
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Keeper(shared.clone())) })
    }));
    (server, kept)
}

/// Ends it; only then is nothing more kept.
fn finish(server: Server, kept: &Kept) {
    server.plane().stop();
    wait_until(|| server.plane().is_joinable());
    kept.lock().unwrap().clear();
    server.account();
}

#[test]
fn while_every_slot_is_kept_the_kernel_waits_and_loses_and_then_all_goes_on_in_every_idle_mode() {
    for idle in [IdleMode::Busy, IdleMode::Adaptive, IdleMode::Sleep] {
        let (server, kept) = keeper(idle);
        let peer = Peer::new(server.address(0));
        // More than there are slots, and than the kernel keeps.
        while server.count(Counter::RxStarved) == 0 {
            for _ in 0..64 {
                peer.send([7; 1400]);
            }
        }
        for _ in 0..12_000 {
            peer.send([8; 1400]);
        }
        for _ in 0..3 {
            // What the kernel kept comes by itself once there are slots, and takes them all again.
            let had = server.count(Counter::RxBufs);
            kept.lock().unwrap().clear();
            wait_until(|| server.count(Counter::RxBufs) > had);
        }
        // What comes meanwhile is kept as well, until none is left.
        peer.asks_while("!anybody there?", || kept.lock().unwrap().clear());
        assert!(server.count(Counter::RxLost) > 0, "the kernel tells what it has lost");
        finish(server, &kept);
    }
}

#[test]
fn slots_that_come_back_one_by_one_are_each_received_into() {
    let (server, kept) = keeper(IdleMode::Adaptive);
    let peer = Peer::new(server.address(0));
    while server.count(Counter::RxStarved) == 0 {
        for _ in 0..16 {
            peer.send([7; 1400]);
        }
    }
    // A slot comes back, and one of the datagrams that wait takes it.
    for _ in 0..100 {
        let had = server.count(Counter::RxBufs);
        let one = kept.lock().unwrap().pop();
        drop(one);
        peer.send([9; 1400]);
        wait_until(|| server.count(Counter::RxBufs) > had);
    }
    finish(server, &kept);
}
