//! Makes a listener for an lcore: its protocol, its transport, its ports. At the start, and when the configuration
//! changes while it runs.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::backend::{self, Engines};
use super::protocols::{Protocol, ProtocolContext, Protocols, peer_of, port_of};
use super::sockets::Socket;
use super::transports::{self, Seat};
use crate::config::{IoBackend, ListenerConfig, TransportKind};
use crate::counters::Totals;
use crate::error::{Error, Result};
use crate::lcore::{Farewell, Listener};
use crate::limits::{ADOPTED_MAX, PORT_WAITING_SHARE};
use crate::mem::{Share, SlotCounts};
use crate::pipeline::Cx;
use crate::sync;
use crate::transport::Io;

/// What listeners are made of, the same on every lcore.
pub(super) struct Maker {
    pub protocols: Protocols,
    pub status: Totals,
    /// An lcore's share of the pool's slots, by size class: small, large, and then blocks where there are any.
    pub slots_share: SlotCounts,
    /// Connections that attached processes may have, of those of one lcore.
    pub peers_max: u32,
    /// What carries the sockets of a listener that does not say; not `Auto`.
    pub io: IoBackend,
    pub engines: Engines,
    /// The slots of peers that send datagrams; those below are for connections over the engines.
    pub datagrams: Range<u32>,
}

/// One listener that is to be made.
pub(super) struct Order {
    pub config: ListenerConfig,
    pub index: u8,
    /// What may wait in one place for one of the ports.
    pub share: Share,
    /// Where it has a port.
    pub farewell: Option<sync::Arc<Farewell>>,
    /// It accepts nobody before it is told to: its sockets are another instance's as well.
    pub waits: bool,
    /// Goes with the last of the listeners that are made of this.
    life: Mutex<Option<Arc<()>>>,
}

impl Order {
    fn life(&self) -> MutexGuard<'_, Option<Arc<()>>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more are made of this: what is gone once the last of those is that were.
    pub fn close(&self) -> Weak<()> {
        self.life().take().as_ref().map_or_else(Weak::new, Arc::downgrade)
    }
}

impl Maker {
    /// Orders for `listeners` of a configuration, each at an index, on so many lcores.
    pub fn orders<'a>(
        &self,
        all: &[ListenerConfig],
        listeners: impl Iterator<Item = (&'a ListenerConfig, u8)>,
        lcores: usize,
        waits: bool,
    ) -> Arc<[Order]> {
        let share = port_share(all, self.slots_share);
        let order = |(config, index): (&ListenerConfig, u8)| {
            let has_port = config.port.is_some() || config.peer().is_some();
            let farewell = has_port.then(|| Farewell::new(lcores));
            let life = Mutex::new(Some(Arc::default()));
            Order { config: config.clone(), index, share, farewell, waits, life }
        };
        listeners.map(order).collect()
    }

    /// Makes what `order` says, over `socket`, on the lcore that lends `cx` and `io`.
    pub fn make(
        &self,
        order: &Order,
        socket: Socket,
        cx: &mut Cx,
        io: &mut Io,
    ) -> Result<Box<Listener>> {
        let (config, index, share) = (&order.config, usize::from(order.index), order.share);
        check_ports(config, cx, io)?;
        let slots = match &socket {
            Socket::Stream(..) => 0..self.datagrams.start,
            Socket::Datagram(..) => self.datagrams.clone(),
            Socket::None => 0..ADOPTED_MAX + self.peers_max,
        };
        let mut context = ProtocolContext {
            settings: &config.config,
            slots: slots.end,
            slots_by_size: self.slots_share,
            slot_bytes_max: cx.pool.slot_bytes_max() as u32,
            datagrams: config.transport == TransportKind::Udp,
            share,
            status: &self.status,
            extensions: &mut cx.extensions,
            port: port_of(config, &mut cx.ports, index)?,
        };
        let protocol = self.protocols.make(config, &mut context)?;
        let port = peer_of(config, &mut io.ports, index)?;
        let io = backend::of_listener(config, self.io);
        let seat = Seat { index: order.index, slots, port, share, waits: order.waits };
        let transport = transports::make(config, io, socket, seat, &protocol);
        let Protocol { pipeline, handler } = protocol;
        let listener = Listener::new(transport, pipeline, handler).with_share(share);
        let life = order.life().clone().unwrap_or_default();
        Ok(Box::new(listener.with_life(life).with_farewell(order.farewell.clone())))
    }
}

/// Refuses a port that a listener still has whose connections have not ended yet. Peers and handlers have one space of
/// names.
fn check_ports(config: &ListenerConfig, cx: &Cx, io: &Io) -> Result<()> {
    let handler = config.port.as_ref().map(|port| port.name.as_str());
    let taken = |name: &&str| cx.ports.named(name).is_some() || io.ports.named(name).is_some();
    let Some(name) = [handler, config.peer()].into_iter().flatten().find(taken) else {
        return Ok(());
    };
    Err(Error::new(
        format!("give port `{name}` to the listener at {} ({})", config.address, config.origin),
        "a listener has it whose connections have not all ended",
        "do this again once `ringway ctl listeners` shows that one no more, or use another port",
    ))
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
