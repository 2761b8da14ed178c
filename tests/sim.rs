//! The whole loop on a simulated network: model clients check every byte of every reply, under
//! faults that follow a seed. `RINGWAY_SIM_SEED=n cargo test --test sim` replays one.

#[path = "sim/client.rs"]
mod client;
#[path = "sim/http.rs"]
mod http;
#[path = "sim/reply.rs"]
mod reply;
mod rig;
#[path = "sim/service.rs"]
mod service;
#[path = "sim/watching.rs"]
mod watching;
#[path = "sim/world.rs"]
mod world;

use std::time::Duration;

use client::Client;
use ringway::counters::{Counter, Totals};
use ringway::lcore::Mail;
use world::{CROWD, PLAIN, Variant, World};

/// The seed that is asked for.
fn replayed() -> Option<u64> {
    std::env::var("RINGWAY_SIM_SEED").ok()?.parse().ok()
}

/// The seeds of a test: `count` of them, or the one that is asked for.
fn seeds(count: u64) -> std::ops::Range<u64> {
    replayed().map_or(0..count, |seed| seed..seed + 1)
}

/// Runs a world to its end, where everyone who was not reset got everything.
fn all_are_served(seed: u64, variant: Variant) -> u64 {
    let mut world = World::new(seed, variant);
    world.run();
    world.clients.iter().for_each(Client::check_served);
    world.finish()
}

// A-1, G-1, G-2, G-3
#[test]
fn replies_are_complete_and_in_order_however_the_bytes_arrive() {
    for seed in seeds(120) {
        all_are_served(seed, PLAIN);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in seeds(20) {
        let variant = Variant { resets: true, hoard: true, ..PLAIN };
        assert_eq!(all_are_served(seed, variant), all_are_served(seed, variant), "seed {seed}");
    }
}

/// A listener that is traced and captured goes a way of its own through the code: it has to come to the same.
#[test]
fn who_looks_at_what_passes_changes_nothing_of_it() {
    let plain = Variant { resets: true, hoard: true, ..PLAIN };
    for variant in [plain, Variant { slow: true, tx_bufs: 64, ..PLAIN }] {
        for seed in seeds(12) {
            let watched = Variant { watched: true, ..variant };
            assert_eq!(all_are_served(seed, variant), all_are_served(seed, watched), "seed {seed}");
        }
    }
}

#[test]
fn an_empty_pool_holds_everyone_up_and_loses_nothing() {
    let mut starved = 0;
    for seed in seeds(80) {
        let variant = Variant { pool_slots: 300, hoard: true, ..PLAIN };
        let mut world = World::new(seed, variant);
        world.run();
        world.clients.iter().for_each(Client::check_served);
        starved += world.rig.count(Counter::RxStarved) + world.rig.count(Counter::PoolEmpty);
        world.finish();
    }
    assert!(starved > 0 || replayed().is_some(), "the pool was never empty");
}

#[test]
fn peers_that_read_slowly_get_everything_in_the_end() {
    for seed in seeds(80) {
        all_are_served(seed, Variant { slow: true, tx_bufs: 64, ..PLAIN });
    }
}

#[test]
fn a_reset_connection_takes_no_other_with_it() {
    for seed in seeds(120) {
        all_are_served(seed, Variant { resets: true, clients: 10, ..PLAIN });
    }
}

#[test]
fn a_peer_that_reads_nothing_does_not_take_the_slots_of_the_others() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Variant { pool_slots: 1024, ..PLAIN });
        let hog = world.hog(5000);
        world.run_until(|world| world.clients.iter().all(Client::is_done));
        world.clients.iter().for_each(Client::check_served);
        hog.reset();
        world.finish();
    }
}

//
#[test]
fn a_drained_lcore_lets_nobody_in_and_cuts_no_reply_off() {
    for seed in seeds(120) {
        let mut world = World::new(seed, Variant { pool_slots: 300, hoard: true, ..PLAIN });
        for _ in 0..world.below(60) {
            world.step();
        }
        world.drain();
        assert!(!world.lets_in(), "seed {seed}: a newcomer while draining");
        world.run();
        world.check_drained();
        world.finish();
    }
}

#[test]
fn an_lcore_that_is_stopped_closes_everyone_at_once() {
    for seed in seeds(120) {
        let mut world = World::new(seed, Variant { slow: true, hoard: true, ..PLAIN });
        for _ in 0..world.below(60) {
            world.step();
        }
        world.post(Mail::Stop);
        world.step();
        assert_eq!(world.connections(), 0, "seed {seed}");
        world.finish();
    }
}

/// What waits for a slot must not hold up the end of those who have the slots.
//
#[test]
fn an_lcore_that_is_stopped_with_an_empty_pool_ends_all_the_same() {
    for seed in seeds(60) {
        let mut world = World::new(seed, Variant { pool_slots: 300, ..PLAIN });
        for _ in 0..world.below(30) {
            world.step();
        }
        for _ in 0..10 {
            world.take_all_slots_but_one();
            world.step();
        }
        world.post(Mail::Stop);
        (0..5).for_each(|_| world.step());
        assert!(world.rests(), "seed {seed}: a session did not hear of its end");
        let guard = rig::watchdog(Duration::from_secs(240));
        world.rig.lcore.run();
        drop(guard);
        world.finish();
    }
}

/// Serves a crowd to its end; all of it was there at once.
fn crowd_is_served(seed: u64, variant: Variant) -> Totals {
    let mut world = World::new(seed, variant);
    world.run();
    world.clients.iter().for_each(Client::check_served);
    let all = variant.clients;
    assert!(world.open_most == all || variant.resets, "{} were open at once", world.open_most);
    let totals = Totals::new(vec![world.rig.counters.clone()]);
    world.finish();
    totals
}

// G-4
#[test]
fn ten_thousand_connections_on_one_lcore_are_all_served() {
    for seed in seeds(3) {
        let totals = crowd_is_served(seed, CROWD);
        assert!(totals.sum(Counter::ShortSends) > 0, "all was sent at once");
    }
}

// G-4
#[test]
fn ten_thousand_connections_are_served_out_of_a_pool_that_runs_dry() {
    for seed in seeds(3) {
        let totals = crowd_is_served(seed, Variant { hoard: true, tx_bufs: 512, ..CROWD });
        assert!(totals.sum(Counter::RxStarved) > 0 && totals.sum(Counter::PoolEmpty) > 0);
    }
}

// G-4
#[test]
fn ten_thousand_connections_whose_peers_read_slowly_get_everything_in_the_end() {
    seeds(2).for_each(|seed| drop(crowd_is_served(seed, Variant { slow: true, ..CROWD })));
}

// G-4
#[test]
fn ten_thousand_connections_end_at_once_on_an_lcore_that_is_stopped() {
    for seed in seeds(2) {
        let mut world = World::new(seed, Variant { hoard: true, ..CROWD });
        for _ in 0..1 + world.below(10) {
            world.step();
        }
        world.post(Mail::Stop);
        world.step();
        assert_eq!(world.connections(), 0, "seed {seed}");
        world.finish();
    }
}

// G-4
#[test]
fn resets_among_ten_thousand_connections_take_no_other_with_them() {
    for seed in seeds(3) {
        crowd_is_served(seed, Variant { resets: true, step_bufs: 500, ..CROWD });
    }
}

// A-16, G-4
#[test]
fn a_drained_lcore_cuts_no_reply_off_of_ten_thousand_connections() {
    for seed in seeds(2) {
        let mut world = World::new(seed, CROWD);
        for _ in 0..1 + world.below(10) {
            world.step();
        }
        world.drain();
        world.run();
        world.check_drained();
        world.finish();
    }
}
