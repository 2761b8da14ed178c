//! One run: an lcore with an HTTP and an echo listener over simulated networks, model clients, and
//! somebody who takes bufs out of the pool.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringway::counters::{Counter, Totals};
use ringway::handler::{Builtin, Http};
use ringway::lcore::Mail;
use ringway::limits::{ADOPTED_MAX, LARGE_SLOT_BYTES, SMALL_SLOT_BYTES};
use ringway::mem::{Buf, CacheClaim, ClassSize, Mempool};
use ringway::pipeline::chain::http1::{Settings, StashBounds};
use ringway::pipeline::{Pipeline, chain};
use ringway::sys::mapping::Request;
use ringway::time::{Clock, ClockHand};
use ringway::transport::Transport;
use ringway::transport::sim::{Faults, Peer, Rng, Sim, SimNet, Split};

use crate::client::{Client, Manner};
use crate::http::Kinds;
use crate::rig::breathing::Breathing;
use crate::rig::witness::Witness;
use crate::rig::{Rig, SLOTS};
use crate::service::{Asleep, Served};
use crate::watching::Watching;

/// Steps after which a run has hung.
const STEPS_MAX: usize = 60_000;
/// So short that nobody who only reads slowly takes longer than HTTP allows.
const STEP_NS: u64 = 200_000;

/// What kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub clients: usize,
    /// What is received and not handled holds up to two bursts of slots per listener; with fewer
    /// than that and one for each half request, nobody can ever go on.
    pub pool_slots: u32,
    /// The same for heads that a small slot cannot hold.
    pub large_slots: u32,
    /// Bufs are taken out of the pool and given back at random.
    pub hoard: bool,
    /// Every client reads slowly.
    pub slow: bool,
    pub resets: bool,
    pub tx_bufs: usize,
    /// Bufs that arrive in one step, over all connections of a listener.
    pub step_bufs: usize,
    /// So many connections that each says little, that the faults change all the time, and that
    /// the lcore turns often for each step of theirs.
    pub crowd: bool,
    /// Somebody looks at what passes.
    pub watched: bool,
}

/// A plain run: enough of everything, nobody is reset.
pub const PLAIN: Variant = Variant {
    clients: 6,
    pool_slots: 2048,
    large_slots: 8,
    hoard: false,
    slow: false,
    resets: false,
    tx_bufs: 4096,
    step_bufs: usize::MAX,
    crowd: false,
    watched: false,
};

/// Ten thousand connections that are all open at once.
pub const CROWD: Variant = Variant {
    clients: 10_000,
    pool_slots: 16_384,
    large_slots: 512,
    step_bufs: 8192,
    crowd: true,
    ..PLAIN
};

pub struct World {
    pub rig: Rig,
    pub clients: Vec<Client>,
    /// Clients that still have something to do.
    active: Vec<usize>,
    /// Most connections that were open at once.
    pub open_most: usize,
    variant: Variant,
    /// Bodies that the service has open.
    bodies: Rc<Cell<usize>>,
    /// Connections whose streams wait to be woken.
    asleep: Asleep,
    nets: [SimNet; 2],
    planes: [Witness; 2],
    hand: ClockHand,
    rng: Rng,
    hoard: Vec<Buf>,
    steps: usize,
    watching: Option<Watching>,
    _claim: Option<CacheClaim>,
    seed: u64,
}

impl World {
    pub fn new(seed: u64, variant: Variant) -> Self {
        let mut rng = Rng::new(seed);
        let claim = if rng.below(2) == 0 { CacheClaim::register() } else { None };
        let (faults, body_max) = faults(&mut rng, variant);
        let slots = SLOTS.max(variant.clients as u32 + ADOPTED_MAX);
        let nets = [seed, !seed].map(|seed| SimNet::new(seed, faults));
        let (clock, hand) = Clock::by_hand();
        let pool = pool(variant);
        let mut rig = Rig::with_slots(pool, clock, None, slots);
        let (planes, bodies, asleep) = serve(&mut rig, &nets, slots, seed);
        let clients = clients(&mut rng, &nets, variant, body_max);
        let watching = variant.watched.then(|| Watching::begin(&mut rig.lcore));
        Self {
            rig,
            active: (0..clients.len()).collect(),
            clients,
            open_most: 0,
            variant,
            bodies,
            asleep,
            nets,
            planes,
            hand,
            rng,
            hoard: Vec::new(),
            steps: 0,
            watching,
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
        if let Some(watching) = &mut self.watching {
            watching.drain(self.steps % 512 > 256);
        }
        self.hand.advance_ns(STEP_NS);
        if self.variant.crowd {
            self.change_the_weather();
        }
        let (clients, rng) = (&mut self.clients, &mut self.rng);
        self.active.retain(|&index| {
            clients[index].step(rng);
            !clients[index].is_done()
        });
        if self.variant.hoard {
            self.hoard_or_not();
        }
        self.wake();
        let passes = if self.variant.crowd { 1 + self.rng.below(200) } else { 1 };
        for _ in 0..passes {
            if self.rig.lcore.poll_once(usize::MAX) == 0 {
                break;
            }
            self.open_most = self.open_most.max(self.connections());
        }
    }

    /// Wakes the streams that gave nothing, as many as the mailbox takes.
    fn wake(&mut self) {
        let handle = &self.rig.handle;
        self.asleep.borrow_mut().retain(|&conn| handle.wake(conn).is_err());
    }

    /// Faults as they are for what happens in this step.
    fn change_the_weather(&mut self) {
        let split = match self.rng.below(16) {
            0..4 => Split::Never,
            4..6 => Split::EveryByte,
            6..8 => Split::UpTo(7),
            _ => Split::UpTo(100),
        };
        let (delay_steps, short) = ([0, 3, 30][self.rng.below(3)], self.rng.below(2) == 0);
        let window_bytes = [1_000, 64 * 1024][self.rng.below(2)];
        for net in &self.nets {
            let before = net.set_faults(Faults::default());
            net.set_faults(Faults { split, delay_steps, short, window_bytes, ..before });
        }
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
        self.run_until(|world| world.active.is_empty());
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

    /// Begins to drain, with all the time there is.
    pub fn drain(&mut self) {
        self.post(Mail::Drain(Duration::from_secs(3600)));
        self.clients.iter_mut().for_each(Client::expect_drain);
        self.step();
    }

    /// Nothing that was begun before the drain was cut off.
    pub fn check_drained(&self) {
        self.clients.iter().for_each(Client::check_drained);
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
        if let Some(watching) = &mut self.watching {
            watching.drain(true);
            assert!(watching.seen.0 > 0 && watching.seen.1 > 0, "it is looked at");
        }
        assert_eq!(self.bodies.get(), 0, "a service did not hear of the end of a connection");
        let pool = self.rig.pool.clone();
        self.hoard.clear();
        assert_eq!(pool.missing(), 0, "the lists of chain and handler are empty");
        drop(self);
        assert_eq!(pool.missing(), 0, "every buf came back");
        hash
    }

    fn describe(&self) -> String {
        let stuck = self.active.iter().take(20);
        let clients: Vec<String> = stuck.map(|&index| self.clients[index].describe()).collect();
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

fn pool(variant: Variant) -> Mempool {
    let request = Request { no_huge: true, ..Request::new("ringway-sim", 0) };
    let [small, large] = [
        ClassSize { slot_bytes: SMALL_SLOT_BYTES, slots: variant.pool_slots },
        ClassSize { slot_bytes: LARGE_SLOT_BYTES, slots: variant.large_slots },
    ];
    Mempool::create(&request, &[small, large], None).unwrap()
}

/// An HTTP and an echo listener.
fn serve(
    rig: &mut Rig,
    nets: &[SimNet; 2],
    slots: u32,
    seed: u64,
) -> ([Witness; 2], Rc<Cell<usize>>, Asleep) {
    let planes = [0, 1].map(|n| Witness::new(Sim::new(&nets[n], n as u8, slots)));
    let status = Totals::new(vec![rig.counters.clone()]);
    let stashes = StashBounds { all: slots, large: slots };
    let settings = Settings { stashes, ..Settings::for_slots(slots, slots) };
    let http = Pipeline::Http1(Box::new(chain::Http1::new(slots, settings)));
    let (served, bodies, asleep) = Served::new(seed, Builtin::new(status));
    rig.serve(Box::new(planes[0].clone()), http, Box::new(Http::new(slots, served)));
    let raw = Pipeline::Raw(chain::Raw::new(slots));
    rig.serve(Box::new(planes[1].clone()), raw, Box::new(Breathing { every: 3, bufs: 0 }));
    (planes, bodies, asleep)
}

fn clients(rng: &mut Rng, nets: &[SimNet; 2], variant: Variant, body_max: usize) -> Vec<Client> {
    let client = |_| {
        let slow = variant.slow || rng.below(5) == 0;
        let large_are_short = variant.hoard || variant.pool_slots < PLAIN.pool_slots;
        let padding = |most: usize| if large_are_short { most.min(1500) } else { most };
        let kinds = |body_max| {
            let padding_max = padding(body_max);
            Kinds { body_max, padding_max, streams_one_in: 8 }
        };
        let manner = match rng.below(4) {
            _ if variant.crowd => {
                let body_max = if rng.below(20) == 0 { 4000 } else { 100 };
                let padding_max = body_max.min(1500);
                let kinds = Kinds { body_max, padding_max, streams_one_in: 60 };
                Manner { requests_max: 6, kinds, slow }
            }
            // More messages in a slot than there is room for in a burst.
            0 => Manner { requests_max: 120, kinds: kinds(20), slow },
            _ => Manner { requests_max: 8, kinds: kinds(body_max), slow },
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
        step_bufs: variant.step_bufs,
        shuffle: rng.below(2) == 0,
    };
    (faults, body_max)
}
