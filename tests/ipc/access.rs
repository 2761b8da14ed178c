//! Who may connect (I-10).

use nix::unistd::{getegid, geteuid};
use ringway::counters::Counter;

use crate::bed::{Bed, Peer, Wish};
use crate::common::{Server, Start, wait_until};

/// One that this process has nothing to do with.
const OTHER: u32 = 4_000_000_000;

fn with(keys: String) -> Bed {
    Bed::with(&Wish { keys, lcores: 2, ..Wish::default() })
}

#[test]
fn i10_who_is_on_a_list_is_served() {
    let (uid, gid) = (geteuid(), getegid());
    for keys in [
        format!("allow_uids = [{uid}]"),
        format!("allow_gids = [{OTHER}, {gid}]"),
        format!("allow_uids = [{OTHER}]\nallow_gids = [{gid}]"),
    ] {
        let bed = with(keys);
        for number in 0..300 {
            assert_eq!(bed.ask(format!("echo {number}\n")), format!("{number}\n"));
        }
        assert_eq!((bed.count(Counter::Accepted), bed.count(Counter::PeersRefused)), (300, 0));
        bed.stop();
    }
}

#[test]
fn i10_who_is_on_no_list_is_closed_without_a_word_and_counted() {
    let bed = with(format!("allow_uids = [{OTHER}]\nallow_gids = [{OTHER}]"));
    for _ in 0..3 {
        assert_eq!(bed.connect().reply(), b"");
    }
    wait_until(|| bed.count(Counter::PeersRefused) == 3);
    assert_eq!((bed.count(Counter::Accepted), bed.count(Counter::Messages)), (0, 0));
    bed.stop();
}

#[test]
fn i10_more_than_fit_at_a_time_wait_until_others_go() {
    let wish = Wish { keys: format!("allow_uids = [{}]", geteuid()), ..Wish::default() };
    let bed = Bed::with(&wish);
    let most = ringway::limits::ADOPTED_MAX as usize;
    let mut peers: Vec<Peer> = (0..most + 10).map(|_| bed.connect()).collect();
    wait_until(|| bed.count(Counter::Accepted) == most as u64);
    for peer in &mut peers {
        assert_eq!(peer.send("ping\n").reply(), b"pong\n");
    }
    bed.stop();
}

#[test]
fn an_abstract_name_is_served_to_who_may() {
    let name = format!("@ringway-ipc-{}", std::process::id());
    let table = format!(
        "[[listener]]\naddress = \"{name}\"\ntransport = \"unix\"\nprotocol = \"ipc\"\n\
         allow_uids = [{}]\n",
        geteuid()
    );
    let server = Server::run(Start::new().tables(&table).builder());
    let mut peer = Peer::connect_abstract(&name);
    assert_eq!(peer.send("ping\n").reply(), b"pong\n");
    server.plane().renew_sockets();
    server.stop();
}
