//! One run: an lcore with an HTTP and an echo listener over simulated networks, model clients, and
//! somebody who takes bufs out of the pool.

use ringway::counters::Counter;
use ringway::counters::Totals;
use ringway::handler::{Builtin, Http};
use ringway::lcore::Mail;
use ringway::mem::{Buf, CacheClaim, Mempool};
use ringway::pipeline::chain::http1::{Settings, StashBounds};
use ringway::pipeline::{Pipeline, chain};
use ringway::time::{Clock, ClockHand};
use ringway::transport::Transport;
use ringway::transport::sim::{Faults, Peer, Rng, Sim, SimNet, Split};

use crate::client::{Client, Manner};
use crate::rig::breathing::Breathing;
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};

/// Steps after which a run has hung.
const STEPS_MAX: usize = 60_000;
const STEP_NS: u64 = 1_000_000;

/// What kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub clients: usize,
    /// What is received and not handled holds up to two bursts of slots per listener; with fewer
    /// than that and one for each half request, nobody can ever go on.
    pub pool_slots: u32,
    /// Bufs are taken out of the pool and given back at random.
    pub hoard: bool,
    /// Every client reads slowly.
    pub slow: bool,
    pub resets: bool,
    pub tx_bufs: usize,
}

/// A plain run: enough of everything, nobody is reset.
pub const PLAIN: Variant = Variant {
    clients: 6,
    pool_slots: 2048,
    hoard: false,
    slow: false,
    resets: false,
    tx_bufs: 4096,
};

pub struct World {
    pub rig: Rig,
    pub clients: Vec<Client>,
    nets: [SimNet; 2],
    planes: [Witness; 2],
    hand: ClockHand,
    rng: Rng,
    hoard: Vec<Buf>,
    hoards: bool,
    steps: usize,
    _claim: Option<CacheClaim>,
    seed: u64,
}

impl World {
    pub fn new(seed: u64, variant: Variant) -> Self {
        let mut rng = Rng::new(seed);
        let claim = if rng.below(2) == 0 { CacheClaim::register() } else { None };
        let (faults, body_max) = faults(&mut rng, variant);
        let nets = [seed, !seed].map(|seed| SimNet::new(seed, faults));
        let (clock, hand) = Clock::by_hand();
        let pool = Mempool::small(variant.pool_slots).unwrap();
        let mut rig = Rig::new(pool, clock, None);
        let planes = serve(&mut rig, &nets);
        let clients = clients(&mut rng, &nets, variant, body_max);
        Self {
            rig,
            clients,
            nets,
            planes,
            hand,
            rng,
            hoard: Vec::new(),
            hoards: variant.hoard,
            steps: 0,
            _claim: claim,
            seed,
        }
    }

    pub fn connections(&self) -> usize {
        self.planes.iter().map(|plane| plane.connections()).sum()
    }

    /// Lets one unit of time pass.
    pub fn step(&mut self) {
        self.steps += 1;
        self.nets.iter().for_each(SimNet::step);
        self.hand.advance_ns(STEP_NS);
        self.clients.iter_mut().for_each(|client| client.step(&mut self.rng));
        if self.hoards {
            self.hoard_or_not();
        }
        self.rig.lcore.poll_once(usize::MAX);
    }

    fn hoard_or_not(&mut self) {
        match self.rng.below(8) {
            0 => self.hoard.extend(std::iter::from_fn(|| self.rig.pool.alloc(1))),
            1 => self.hoard.extend(std::iter::from_fn(|| self.rig.pool.alloc(5000))),
            2..4 => self.hoard.clear(),
            _ => {}
        }
    }

    /// A number that chance decides.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound)
    }

    /// Steps until `done`.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.step();
            assert!(self.steps < STEPS_MAX, "it hangs: {}", self.describe());
        }
    }

    /// Until every client has said and heard its last.
    pub fn run(&mut self) {
        self.run_until(|world| world.clients.iter().all(Client::is_done));
        self.run_until(|world| world.connections() == 0);
    }

    /// Somebody on the echo listener who sends so many bytes, each by itself, and reads nothing.
    pub fn hog(&self, bytes: usize) -> Peer {
        let alone = Faults { split: Split::EveryByte, ..Faults::default() };
        let before = self.nets[1].set_faults(alone);
        let hog = self.nets[1].connect();
        hog.set_window(0);
        hog.send(&vec![b'.'; bytes]);
        self.nets[1].set_faults(before);
        hog
    }

    /// Leaves one slot in the pool: a request can come in, and finds none for its reply.
    pub fn take_all_slots_but_one(&mut self) {
        self.hoard.extend(std::iter::from_fn(|| self.rig.pool.alloc(1)));
        self.hoard.pop();
    }

    /// No listener has anything left to do.
    pub fn rests(&self) -> bool {
        self.planes.iter().all(|plane| !plane.has_work() && plane.record().alive() == 0)
    }

    pub fn post(&self, mail: Mail) {
        assert!(self.rig.handle.post(mail).is_ok(), "the mailbox has room");
    }

    /// Whether a newcomer is let in on either listener.
    pub fn lets_in(&mut self) -> bool {
        let peers = self.nets.each_ref().map(SimNet::connect);
        self.step();
        peers.iter().any(|peer| peer.is_accepted())
    }

    /// Stops the lcore and accounts for everything; returns the hash of all that was reported.
    pub fn finish(mut self) -> u64 {
        // One that has run to its end takes no mail any more.
        let _ = self.rig.handle.post(Mail::Stop);
        self.run_until(|world| world.connections() == 0);
        // A session ends with its CLOSED, which comes a pass later at most.
        (0..3).for_each(|_| self.step());
        let mut hash = self.steps as u64;
        for plane in &self.planes {
            let record = plane.record();
            assert_eq!(record.alive(), 0, "every OPEN has its CLOSED: {record:?}");
            assert!(!plane.has_work(), "a listener without connections rests");
            hash = hash.rotate_left(7) ^ record.hash;
        }
        for client in &self.clients {
            assert!(client.is_gone(), "the transport forgot {}", client.describe());
            hash = hash.rotate_left(7) ^ client.bytes_got as u64;
        }
        let rig = &self.rig;
        assert_eq!(rig.count(Counter::Accepted), rig.count(Counter::Closed));
        let pool = self.rig.pool.clone();
        self.hoard.clear();
        drop(self);
        assert_eq!(pool.missing(), 0, "every buf came back");
        hash
    }

    fn describe(&self) -> String {
        let clients: Vec<String> = self.clients.iter().map(Client::describe).collect();
        let of = |plane: &Witness| {
            let record = plane.record();
            format!("alive {} bufs {} work {}", record.alive(), record.bufs, plane.has_work())
        };
        format!(
            "pool: {} out, {} hoarded; http {}; echo {};\n{}",
            self.rig.pool.missing(),
            self.hoard.len(),
            of(&self.planes[0]),
            of(&self.planes[1]),
            clients.join("\n")
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay it: RINGWAY_SIM_SEED={} cargo test --test sim", self.seed);
        }
    }
}

/// An HTTP and an echo listener.
fn serve(rig: &mut Rig, nets: &[SimNet; 2]) -> [Witness; 2] {
    let planes = [0, 1].map(|n| Witness::new(Sim::new(&nets[n], n as u8, SLOTS)));
    let status = Totals::new(vec![rig.counters.clone()]);
    let stashes = StashBounds { all: SLOTS, large: SLOTS };
    let settings = Settings { stashes, ..Settings::for_slots(SLOTS, SLOTS) };
    let http = Pipeline::Http1(Box::new(chain::Http1::new(SLOTS, settings)));
    let builtin = Box::new(Http::new(SLOTS, Builtin::new(status)));
    rig.serve(Box::new(planes[0].clone()), http, builtin);
    let raw = Pipeline::Raw(chain::Raw::new(SLOTS));
    rig.serve(Box::new(planes[1].clone()), raw, Box::new(Breathing { every: 3, bufs: 0 }));
    planes
}

fn clients(rng: &mut Rng, nets: &[SimNet; 2], variant: Variant, body_max: usize) -> Vec<Client> {
    let client = |_| {
        let slow = variant.slow || rng.below(5) == 0;
        let manner = match rng.below(4) {
            // More messages in a slot than there is room for in a burst.
            0 => Manner { requests_max: 120, body_max: 20, slow },
            _ => Manner { requests_max: 8, body_max, slow },
        };
        match rng.below(3) {
            0 => Client::echo(&nets[1], rng, manner),
            _ => Client::http(&nets[0], rng, manner),
        }
    };
    (0..variant.clients).map(client).collect()
}

/// What goes wrong in this run, and how large bodies are: where every byte comes by itself, small.
fn faults(rng: &mut Rng, variant: Variant) -> (Faults, usize) {
    let (split, body_max) = match rng.below(4) {
        0 => (Split::Never, 10_000),
        1 => (Split::EveryByte, 200),
        2 => (Split::UpTo(40), 1_500),
        _ => (Split::UpTo(3000), 10_000),
    };
    let faults = Faults {
        split,
        delay_steps: [0, 1, 5, 20][rng.below(4)],
        reset_per_million: if variant.resets { 3_000 } else { 0 },
        short: rng.below(2) == 0,
        window_bytes: [1_000, 64 * 1024][rng.below(2)],
        tx_bufs: variant.tx_bufs,
    };
    (faults, body_max)
}
