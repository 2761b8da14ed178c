//! `capture`: what the lcores copied, as packets of a pcapng file, in the order of their times as far as they come
//! together.

use std::io::Write;

use super::flows::{ABOUT, Flows, Made, Place};
use super::{Ended, Request, Session};
use crate::config::TransportKind;
use crate::ipc::{Error, Reply};
use crate::lcore::capture::{Boundaries, CaptureOptions, CaptureState, Capturer, Header};
use crate::lcore::watch::{Boundary, Watch};
use crate::mem::kind;
use crate::pipeline::Kinds;
use crate::proto::pcapng::packet::HEADERS_MAX;
use crate::proto::pcapng::{self, Interface, Packet, Statistics};
use crate::ring::spsc::Consumer;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::sys::cycles;

/// What comes from one lcore.
struct Source {
    ring: Consumer<u8>,
    state: Arc<CaptureState>,
    kinds: Kinds,
}

/// Captures until enough is there, or it is to end.
pub(super) fn run(
    session: &Session<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mut sources = begin(session, request)?;
    let mut file = File::begin(session, request, sources[0].kinds);
    let (listener, peer) = (session.listener, session.peer);
    ::tracing::info!(listener, pid = peer.pid, uid = peer.uid, "a capture begins");
    let ended = file.fill(session, request, &mut sources, reply);
    sources.iter().for_each(|source| source.state.unwanted.store(true, Ordering::Relaxed));
    ::tracing::info!(listener, pid = peer.pid, uid = peer.uid, "a capture has ended");
    ended?;
    file.end(&sources);
    file.write(reply)
}

fn begin(session: &Session<'_>, request: &Request<'_>) -> Result<Vec<Source>, Error> {
    let options = CaptureOptions {
        stages: request.stages,
        conn: request.conn,
        snaplen: request.snaplen,
        packets: request.count,
        until: session.until(request),
        decrypted: session.may_see_decrypted(),
    };
    let begin = |index: usize| {
        let (capturer, ring, state) = Capturer::new(options);
        let watch = Watch::capturing(capturer);
        let watched = session.begin(index, watch, state.clone(), |state| &state.unwanted)?;
        Ok(Source { ring, state, kinds: watched.kinds })
    };
    super::those_that_look(session.lcores(request.conn)?.into_iter().map(begin))
}

/// The file as it is made.
struct File {
    stages: Boundaries,
    kinds: Kinds,
    flows: Flows,
    unix_base_ns: u64,
    begun_unix_ns: u64,
    datagrams: bool,
    /// Bufs that may still be written.
    left: u64,
    /// What is not written yet.
    out: Vec<u8>,
    /// What was taken from the rings and is looked at.
    taken: Vec<u8>,
}

impl File {
    fn begin(session: &Session<'_>, request: &Request<'_>, kinds: Kinds) -> Self {
        let (looked, listener) = (&session.looked, session.listener);
        let address = looked.address.ip();
        let unix_base_ns = session.unix_base_ns();
        let datagrams = looked.transport == TransportKind::Udp;
        let mut file = Self {
            stages: request.stages,
            kinds,
            flows: Flows::new(Place::new(listener, address, datagrams)),
            unix_base_ns,
            begun_unix_ns: unix_base_ns + session.desk.clock.now().as_ns(),
            datagrams,
            left: request.count,
            out: Vec::new(),
            taken: Vec::new(),
        };
        let application = concat!("ringway ", env!("CARGO_PKG_VERSION"));
        pcapng::section(&mut file.out, application, ABOUT);
        for stage in request.stages.iter() {
            let (name, protocol) = (stage.name(), &looked.protocol);
            let description = format!(
                "{name} of listener {listener}: {}, {}, protocol {protocol}",
                looked.address,
                looked.transport.name()
            );
            let snaplen = request.snaplen + HEADERS_MAX as u32;
            let interface = Interface { name, description: &description, snaplen };
            pcapng::interface(&mut file.out, &interface);
        }
        file
    }

    fn write(&mut self, reply: &mut Reply<'_>) -> Result<(), Error> {
        let written = reply.write_all(&self.out);
        self.out.clear();
        Ok(written?)
    }

    fn fill(
        &mut self,
        session: &Session<'_>,
        request: &Request<'_>,
        sources: &mut [Source],
        reply: &mut Reply<'_>,
    ) -> Result<Ended, Error> {
        let mut term = session.term(request);
        loop {
            // Looked at first: what was copied before the end is there.
            let over = sources.iter().all(|source| source.state.over.load(Ordering::Relaxed));
            let ended = if over { Some(session.why_over(&term)) } else { None };
            let ended = ended.or_else(|| session.ended(&mut term, reply));
            self.take(sources);
            self.write(reply)?;
            if self.left == 0 {
                return Ok(Ended::Count);
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
            session.rest();
        }
    }

    /// Makes packets of what is in the rings.
    fn take(&mut self, sources: &mut [Source]) {
        let mut taken = std::mem::take(&mut self.taken);
        taken.clear();
        for source in sources {
            let all = source.ring.capacity();
            let chunk = source.ring.peek(all);
            let (first, second) = chunk.as_slices();
            taken.extend_from_slice(first);
            taken.extend_from_slice(second);
            let count = chunk.len();
            chunk.release(count);
        }
        let mut records = Vec::new();
        let mut rest = &taken[..];
        // The lcores hand over whole records.
        while let Some((header, kept, more)) = Header::split(rest) {
            records.push((header, kept));
            rest = more;
        }
        debug_assert!(rest.is_empty(), "no record is cut");
        records.sort_by_key(|(header, _)| header.at_ns);
        for (header, kept) in &records {
            self.add(header, kept);
        }
        self.taken = taken;
    }

    fn add(&mut self, header: &Header, kept: &[u8]) {
        let Some(stage) = Boundary::at(header.stage) else { return };
        match header.kind {
            kind::OPEN | kind::CLOSED => self.add_marker(header, stage),
            _ if header.bytes == 0 => self.add_at(header, stage, kept),
            _ if self.left > 0 => {
                self.left -= 1;
                self.add_at(header, stage, kept);
            }
            _ => {}
        }
    }

    /// Beginnings and ends are told once, and are of all streams of their connection that are captured.
    fn add_marker(&mut self, header: &Header, stage: Boundary) {
        let levels: &[&[Boundary]] = match stage {
            Boundary::Rx => &[&[Boundary::Rx, Boundary::Tx], &[Boundary::Egress]],
            _ => &[&[Boundary::Ingress, Boundary::Handler]],
        };
        for level in levels {
            let captured = level.iter().find(|stage| self.stages.has(**stage));
            if let Some(stage) = captured {
                self.add_at(header, *stage, &[]);
            }
        }
    }

    fn add_at(&mut self, header: &Header, stage: Boundary, kept: &[u8]) {
        let interface = self.stages.iter().take_while(|other| *other != stage).count() as u32;
        let unix_ns = self.unix_base_ns + header.at_ns;
        let (kinds, datagrams, out) = (self.kinds, self.datagrams, &mut self.out);
        self.flows.packets(header, stage, kept, |made: Made<'_>| {
            let tells = made.first && (stage.is_inside() || datagrams || made.begins);
            let comment = if tells { comment(kinds, header) } else { String::new() };
            let packet = Packet {
                interface,
                unix_ns,
                inbound: made.inbound,
                lost: if made.first { header.lost.into() } else { 0 },
                comment: &comment,
                bytes: made.bytes,
                full_bytes: made.full_bytes,
            };
            pcapng::packet(out, &packet);
        });
    }

    /// What each interface saw.
    fn end(&mut self, sources: &[Source]) {
        let now = self.unix_base_ns.max(self.begun_unix_ns);
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ended = unix.map_or(now, |unix| unix.as_nanos() as u64);
        let took = sources.iter().map(|source| source.state.cycles.load(Ordering::Relaxed)).sum();
        let took_us = cycles::to_ns(took) / 1000;
        for (interface, stage) in self.stages.iter().enumerate() {
            let sum = |of: fn(&CaptureState) -> &[AtomicU64; Boundary::ALL.len()]| -> u64 {
                let count =
                    |source: &Source| of(&source.state)[stage as usize].load(Ordering::Relaxed);
                sources.iter().map(count).sum()
            };
            let (no_room, no_time) = (sum(|state| &state.no_room), sum(|state| &state.no_time));
            let comment = format!(
                "{no_room} dropped for want of room, {no_time} to leave the lcores their time, of which all \
                 stages took {took_us} us"
            );
            let seen = Statistics {
                interface: interface as u32,
                unix_ns: (self.begun_unix_ns, ended),
                received: sum(|state| &state.wanted),
                dropped: no_room + no_time,
                comment: &comment,
            };
            pcapng::statistics(&mut self.out, &seen);
        }
    }
}

/// What the bytes of a packet do not say.
fn comment(kinds: Kinds, header: &Header) -> String {
    let name =
        kinds.name(header.kind).map_or_else(|| format!("kind {}", header.kind), str::to_owned);
    let detail = kinds.detail(header.kind, header.meta);
    let detail = if detail.is_empty() { detail } else { format!(", {detail}") };
    format!("connection {}, {name}{detail}", header.conn)
}
