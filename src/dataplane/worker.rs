//! One lcore's thread: pins itself, builds its io_uring and its listeners, says that it is ready,
//! and runs.

use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;

use super::Running;
use super::protocols::{Protocol, ProtocolContext, Protocols, peer_of, port_of};
use super::sockets::Socket;
use crate::config::{Config, IdleMode, LcoreSpec, ListenerConfig, TransportKind};
use crate::counters::{LcoreCounters, Totals};
use crate::error::{Error, Result};
use crate::lcore::{Handle, Lcore, Listener, Mail, Parts};
use crate::limits::{
    ADOPTED_MAX, CQ_ENTRIES, LISTENERS_MAX, PENDING_WRITES_MAX, PORT_WAITING_SHARE, RX_LARGE_SLOTS,
    RX_SLOTS, SQ_ENTRIES,
};
use crate::mailbox::Mailbox;
use crate::mem::{CacheClaim, Mempool, RxOptions, Share, SlotCounts, UringIo};
use crate::pipeline::{Cx, Extensions};
use crate::port::PortTable;
use crate::sys::affinity;
use crate::sys::peer_credentials::AllowedPeers;
use crate::sys::socket::StreamListener;
use crate::sys::udp_socket::UdpSocket;
use crate::sys::uring::{Mode, Options};
use crate::time::{Clock, TimerWheel};
use crate::transport::{Io, Shm, Tcp, TcpLimits, Transport, Udp, UdpLimits};

/// How the lcores use io_uring. The default is what measured best.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How completions arrive.
    pub mode: Mode,
    /// How bytes are received.
    pub rx: RxOptions,
    /// Submission entries, a power of two.
    pub sq_entries: u32,
    /// Completion entries, a power of two and no fewer than those for submission. More completions
    /// at a time overflow into a list of the kernel's, which is slower and loses nothing.
    pub cq_entries: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            mode: Mode::Defer,
            rx: RxOptions {
                slots: RX_SLOTS,
                large_slots: RX_LARGE_SLOTS,
                incremental: false,
                bundle: false,
            },
            sq_entries: SQ_ENTRIES,
            cq_entries: CQ_ENTRIES,
        }
    }
}

/// What all workers share.
pub(super) struct Job {
    pub config: Config,
    pub protocols: Protocols,
    pub status: Totals,
    pub clock: Clock,
    pub idle: IdleMode,
    pub tuning: Tuning,
    pub connections_max: u32,
    /// Connections that attached processes may have, of those of one lcore.
    pub peers_max: u32,
    /// Peers that send datagrams, of those of one lcore.
    pub datagram_peers_max: u32,
}

/// One lcore before it runs.
pub(super) struct Worker {
    pub index: u8,
    pub spec: LcoreSpec,
    pub pool: Mempool,
    pub counters: Arc<LcoreCounters>,
    /// Its share of the pool's slots, by size class: small, large, and then blocks where there are any.
    pub slots_share: SlotCounts,
    /// One socket for each listener of the configuration, in order; none where its peer attaches.
    pub sockets: Vec<Socket>,
    pub job: Arc<Job>,
}

impl Worker {
    /// Starts the thread, which reports to `ready` once.
    pub fn spawn(self, ready: mpsc::Sender<Result<String>>) -> Result<Running> {
        let mailbox = Mailbox::new()?;
        let handle = Handle::new(mailbox.sender());
        let lcore_id = self.spec.lcore_id;
        let alive = Arc::new(());
        let life = Arc::downgrade(&alive);
        let thread = thread::Builder::new()
            .name(format!("lcore-{}", self.spec.lcore_id))
            .spawn(move || {
                let _alive = alive;
                self.run(mailbox, ready);
            })
            .map_err(|e| Error::new("start an lcore's thread", e, "raise the limit `ulimit -u`"))?;
        Ok(Running { lcore_id, handle, life, thread: Some(thread) })
    }

    fn run(self, mailbox: Mailbox<Mail>, ready: mpsc::Sender<Result<String>>) {
        let claim = CacheClaim::register();
        let (mut lcore, report) = match self.build(mailbox) {
            Ok((lcore, flags)) => (Some(lcore), Ok(flags)),
            Err(error) => (None, Err(error)),
        };
        // The starter waits for it, unless it has given up because another lcore failed.
        let _ = ready.send(report);
        // Or the starter would wait for ever for another lcore that panicked.
        drop(ready);
        if let Some(lcore) = &mut lcore {
            lcore.run();
        }
        drop((lcore, claim));
    }

    fn build(self, mailbox: Mailbox<Mail>) -> Result<(Lcore, String)> {
        affinity::pin(&self.spec.cpus)?;
        let job = &self.job;
        let reserved = ADOPTED_MAX + job.peers_max;
        let files = job.connections_max + reserved;
        let options = Options {
            sq_entries: job.tuning.sq_entries,
            cq_entries: job.tuning.cq_entries,
            files,
            files_reserved: reserved,
            mode: job.tuning.mode,
        };
        let mut uring = UringIo::create(&options, self.rx_options(), &self.pool)?;
        if job.datagram_peers_max > 0 {
            uring.lend_for_datagrams(&self.pool)?;
        }
        let flags = uring.ring_ref().flags();
        let now = job.clock.now();
        let slots = files + job.datagram_peers_max;
        let mut io = Io {
            lcore: self.index,
            uring: Some(uring),
            pool: self.pool.clone(),
            now,
            timers: TimerWheel::new(files as usize + 2 * LISTENERS_MAX),
            counters: self.counters.clone(),
            notices: Vec::with_capacity(PENDING_WRITES_MAX),
            adoptable: (0..ADOPTED_MAX).rev().collect(),
            ports: PortTable::default(),
            peer_slots: (ADOPTED_MAX..reserved).rev().collect(),
            datagram_slots: (files..slots).rev().collect(),
            generation: 0,
            connections: 0,
            connections_max: job.connections_max,
        };
        let mut cx = Cx {
            pool: self.pool.clone(),
            now,
            unix_seconds: 0,
            draining: false,
            backlogged: false,
            extensions: Extensions::new(slots),
            ports: PortTable::default(),
            counters: self.counters.clone(),
        };
        let (clock, idle) = (job.clock, job.idle);
        let listeners = self.listeners(files..slots, &mut cx, &mut io.ports)?;
        let parts = Parts { io, cx, mailbox, clock, idle };
        let mut lcore = Lcore::new(parts);
        for (index, listener) in listeners.into_iter().enumerate() {
            lcore.register(index as u8, listener)?;
        }
        Ok((lcore, flags))
    }

    /// As tuned, but never so much that a small pool has nothing left to reply with.
    fn rx_options(&self) -> RxOptions {
        let tuned = self.job.tuning.rx;
        let quarter = |slots: u32| 1 << (slots / 4).clamp(1, 1 << 14).ilog2();
        let [small, large, ..] = self.slots_share.map(quarter);
        let (slots, large_slots) = (tuned.slots.min(small), tuned.large_slots.min(large));
        RxOptions { slots, large_slots, ..tuned }
    }

    /// A listener for each of the configuration, with the protocol that it names.
    /// `datagrams` are the slots of peers that send such; those below are the file table's.
    fn listeners(
        self,
        datagrams: Range<u32>,
        cx: &mut Cx,
        peers: &mut PortTable,
    ) -> Result<Vec<Box<Listener>>> {
        let job = &self.job;
        let share = port_share(&job.config.listeners, self.slots_share);
        let numbered = job.config.listeners.iter().zip(self.sockets).enumerate();
        let make = |(index, (config, socket)): (usize, (&ListenerConfig, Socket))| {
            let slots = match &socket {
                Socket::Stream(_) => datagrams.start,
                Socket::Datagram(_) => datagrams.end,
                Socket::None => ADOPTED_MAX + job.peers_max,
            };
            let mut context = ProtocolContext {
                settings: &config.config,
                slots,
                slots_by_size: self.slots_share,
                slot_bytes_max: self.pool.slot_bytes_max() as u32,
                datagrams: config.transport == TransportKind::Udp,
                share,
                status: &job.status,
                extensions: &mut cx.extensions,
                port: port_of(config, &mut cx.ports, index)?,
            };
            let Protocol { pipeline, handler } = job.protocols.make(config, &mut context)?;
            let transport = match (socket, peer_of(config, peers, index)?) {
                (Socket::Stream(socket), _) => stream_transport(config, socket, index as u8, slots),
                (Socket::Datagram(socket), _) => {
                    datagram_transport(config, socket, index as u8, datagrams.clone())
                }
                (Socket::None, Some(port)) => {
                    let shm = Shm::new(port, index as u8, slots);
                    Box::new(shm.with_write_timeout(config.write_timeout).with_share(share))
                }
                (Socket::None, None) => unreachable!("what is no peer's has a socket"),
            };
            Ok(Box::new(Listener::new(transport, pipeline, handler).with_share(share)))
        };
        numbered.map(make).collect()
    }
}

/// What may wait in one place for one of the ports of `listeners`, on an lcore with so many slots, while
/// the pool is short of them.
fn port_share(listeners: &[ListenerConfig], slots: SlotCounts) -> Share {
    let ports = |config: &ListenerConfig| {
        u32::from(config.port.is_some()) + u32::from(config.peer().is_some())
    };
    let ports = listeners.iter().map(ports).sum::<u32>();
    Share::one_in(PORT_WAITING_SHARE * ports, slots)
}

/// What serves a listener's socket, with the limits that it has.
fn stream_transport(
    config: &ListenerConfig,
    socket: StreamListener,
    index: u8,
    slots: u32,
) -> Box<dyn Transport> {
    let limits = TcpLimits {
        write_timeout: config.write_timeout,
        connections_per_address: config.connections_per_address,
    };
    let access = &config.access;
    let allowed = AllowedPeers { uids: access.uids.clone(), gids: access.gids.clone() };
    let transport = Tcp::new(socket, index, slots).with_limits(limits);
    Box::new(transport.with_allowed_peers(allowed))
}

/// The same for datagrams, whose peers are in `slots`.
fn datagram_transport(
    config: &ListenerConfig,
    socket: UdpSocket,
    index: u8,
    slots: Range<u32>,
) -> Box<dyn Transport> {
    let limits = UdpLimits {
        idle_timeout: config.idle_timeout,
        connections_per_address: config.connections_per_address,
    };
    Box::new(Udp::new(socket, index, slots).with_limits(limits))
}
