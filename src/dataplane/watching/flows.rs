//! Packets for what a capture brought: a stream of TCP for each connection, or datagrams of UDP, with addresses that stay
//! the same. What an lcore knows is bytes of a connection at a stage, and when that began and ended.
//!
//! The listener's address is its own, where it has one. That of a peer is made up of its connection's id, since only the
//! kernel knows it: 100.64.0.0/10 (RFC 6598), or fd72:696e:6777:6179::/64 (RFC 4193). So is that of a listener without
//! one. A stage inside of the chain has other bytes than the wire, so its streams have peers of their own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::lcore::capture::Header;
use crate::lcore::watch::Boundary;
use crate::limits::{CAPTURE_FLOWS_MAX, CAPTURE_SEGMENT_BYTES};
use crate::mem::{ConnId, kind};
use crate::proto::pcapng::packet::{
    Addresses, Ends, HEADERS_MAX, Payload, Segment, flag, tcp, udp,
};

/// What is said of the addresses, in the file.
pub(super) const ABOUT: &str = "headers are made up: the peer's address (100.64.0.0/10 or fd72:696e:6777:6179::/64) stands \
     for its connection, which the comments name";

/// Boundaries with the same bytes, whose packets belong to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Level {
    /// rx and tx.
    Wire,
    /// ingress and handler.
    Inside,
    /// egress, which has the bytes of tx a little before it.
    Egress,
}

impl Level {
    fn of(stage: Boundary) -> Self {
        match stage {
            Boundary::Rx | Boundary::Tx => Self::Wire,
            Boundary::Ingress | Boundary::Handler => Self::Inside,
            Boundary::Egress => Self::Egress,
        }
    }
}

/// Where the packets' other end is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its address, or one that is made up.
    address: SocketAddr,
    /// Packets are of UDP; else of TCP.
    datagrams: bool,
}

impl Place {
    /// Of the listener with this index.
    pub fn new(index: u8, address: Option<SocketAddr>, datagrams: bool) -> Self {
        let made_up = IpAddr::from([100, 127, 0, index + 1]);
        let address = match address {
            Some(address) if !address.ip().is_unspecified() => address,
            // Any of the machine's.
            Some(address) => SocketAddr::new(made_up, address.port()),
            None => SocketAddr::new(made_up, 1 + u16::from(index)),
        };
        Self { address, datagrams }
    }

    /// From the peer to the listener.
    fn ends(&self, level: Level, conn: ConnId) -> Ends {
        let ports = (peer_port(conn), self.address.port());
        let addresses = match self.address.ip() {
            IpAddr::V4(own) => Addresses::V4(peer_v4(level, conn), own.octets()),
            IpAddr::V6(own) => Addresses::V6(peer_v6(level, conn), own.octets()),
        };
        Ends { addresses, ports }
    }
}

/// No two of the same slot in a row have the same.
fn peer_port(conn: ConnId) -> u16 {
    1024 + (conn.generation() % 64_512) as u16
}

/// A sixteenth of 100.64.0.0/10 for each level, and then the lcore and the slot, as far as they fit.
fn peer_v4(level: Level, conn: ConnId) -> [u8; 4] {
    let place = (conn.slot() ^ u32::from(conn.lcore()) << 14) & 0xf_ffff;
    (100 << 24 | 64 << 16 | (level as u32) << 20 | place).to_be_bytes()
}

fn peer_v6(level: Level, conn: ConnId) -> [u8; 16] {
    let prefix = u128::from_be_bytes(*b"\xfdringway\0\0\0\0\0\0\0\0");
    let id =
        u128::from(level as u8) << 56 | u128::from(conn.lcore()) << 48 | u128::from(conn.slot());
    (prefix | id).to_be_bytes()
}

/// How far both ways of a stream are.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// Number of the next byte from the peer, and to it.
    next: [u32; 2],
    /// The peer, and we, have said that no more comes.
    ended: [bool; 2],
}

const PEER: usize = 0;
const OURS: usize = 1;

/// A packet that was made.
pub(super) struct Made<'a> {
    /// Its bytes, with the headers.
    pub bytes: &'a [u8],
    /// How many it had.
    pub full_bytes: u32,
    /// It is from the peer.
    pub inbound: bool,
    /// It is the first for its record.
    pub first: bool,
    /// Nothing is known of what was before it.
    pub begins: bool,
}

/// The streams of a capture.
pub(super) struct Flows {
    place: Place,
    flows: HashMap<(Level, ConnId), Flow>,
    packet: Vec<u8>,
}

impl Flows {
    pub fn new(place: Place) -> Self {
        let room = CAPTURE_SEGMENT_BYTES + HEADERS_MAX;
        Self { place, flows: HashMap::new(), packet: Vec::with_capacity(room) }
    }

    /// The packets for one record, in order. A beginning or an end is told at any level it is of.
    pub fn packets(
        &mut self,
        header: &Header,
        stage: Boundary,
        kept: &[u8],
        mut emit: impl FnMut(Made<'_>),
    ) {
        let (level, conn) = (Level::of(stage), header.conn);
        let ends = self.place.ends(level, conn);
        if self.place.datagrams {
            return self.datagrams(header, stage, &ends, kept, &mut emit);
        }
        if header.kind == kind::OPEN || self.flows.len() >= CAPTURE_FLOWS_MAX {
            self.make_room(level, conn);
        }
        let known = self.flows.get(&(level, conn)).copied();
        let begins = known.is_none();
        let mut flow = known.unwrap_or(Flow {
            // That of what was before the capture is not known.
            next: [1, 1],
            ended: [false; 2],
        });
        let mut out = Out { packet: &mut self.packet, ends, begins, first: true, emit: &mut emit };
        let way = if stage.is_outbound() { OURS } else { PEER };
        match header.kind {
            kind::OPEN => out.opening(&mut flow),
            kind::EOF => out.end(&mut flow, PEER),
            kind::CLOSE => out.end(&mut flow, OURS),
            kind::ABORT => out.reset(&mut flow),
            kind::CLOSED => {
                out.end(&mut flow, PEER);
                out.end(&mut flow, OURS);
            }
            _ => {
                flow.next[way] = flow.next[way].wrapping_add(header.gap);
                out.data(&mut flow, way, header.bytes as usize, kept);
            }
        }
        if header.kind == kind::CLOSED {
            self.flows.remove(&(level, conn));
        } else {
            self.flows.insert((level, conn), flow);
        }
    }

    /// Rather begins to count anew for some connections than to grow without a bound.
    fn make_room(&mut self, level: Level, conn: ConnId) {
        self.flows.remove(&(level, conn));
        if self.flows.len() >= CAPTURE_FLOWS_MAX {
            self.flows.clear();
        }
    }

    fn datagrams(
        &mut self,
        header: &Header,
        stage: Boundary,
        ends: &Ends,
        kept: &[u8],
        emit: &mut dyn FnMut(Made<'_>),
    ) {
        if header.bytes == 0 {
            return;
        }
        let inbound = !stage.is_outbound();
        let ends = if inbound { *ends } else { ends.reversed() };
        let mut first = true;
        for payload in segments(header.bytes as usize, kept) {
            self.packet.clear();
            let full_bytes = udp(&mut self.packet, &ends, &payload);
            emit(Made { bytes: &self.packet, full_bytes, inbound, first, begins: false });
            first = false;
        }
    }
}

/// What of a buf goes into one packet after the other.
fn segments(full_bytes: usize, kept: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    (0..full_bytes).step_by(CAPTURE_SEGMENT_BYTES).map(move |from| {
        let to = full_bytes.min(from + CAPTURE_SEGMENT_BYTES);
        let bytes = &kept[from.min(kept.len())..to.min(kept.len())];
        Payload { bytes, full_bytes: to - from }
    })
}

/// Packets of one connection on their way to the file.
struct Out<'a> {
    packet: &'a mut Vec<u8>,
    /// From the peer.
    ends: Ends,
    begins: bool,
    first: bool,
    emit: &'a mut dyn FnMut(Made<'_>),
}

impl Out<'_> {
    fn say(&mut self, flow: &mut Flow, way: usize, flags: u8, payload: Payload<'_>) {
        let ends = if way == PEER { self.ends } else { self.ends.reversed() };
        let segment = Segment { seq: flow.next[way], ack: flow.next[1 - way], flags };
        self.packet.clear();
        let full_bytes = tcp(self.packet, &ends, &segment, &payload);
        let takes_a_number = flags & (flag::SYN | flag::FIN) != 0;
        let moved = payload.full_bytes as u32 + u32::from(takes_a_number);
        flow.next[way] = flow.next[way].wrapping_add(moved);
        let first = std::mem::replace(&mut self.first, false);
        let (inbound, begins) = (way == PEER, self.begins);
        (self.emit)(Made { bytes: self.packet, full_bytes, inbound, first, begins });
    }

    fn opening(&mut self, flow: &mut Flow) {
        *flow = Flow { next: [0, 0], ended: [false; 2] };
        self.say(flow, PEER, flag::SYN, NOTHING);
        self.say(flow, OURS, flag::SYN | flag::ACK, NOTHING);
        self.say(flow, PEER, flag::ACK, NOTHING);
    }

    fn data(&mut self, flow: &mut Flow, way: usize, full_bytes: usize, kept: &[u8]) {
        for payload in segments(full_bytes, kept) {
            self.say(flow, way, flag::PSH | flag::ACK, payload);
        }
    }

    /// Once each way.
    fn end(&mut self, flow: &mut Flow, way: usize) {
        if !std::mem::replace(&mut flow.ended[way], true) {
            self.say(flow, way, flag::FIN | flag::ACK, NOTHING);
            self.say(flow, 1 - way, flag::ACK, NOTHING);
        }
    }

    fn reset(&mut self, flow: &mut Flow) {
        if !flow.ended[OURS] {
            flow.ended = [true; 2];
            self.say(flow, OURS, flag::RST | flag::ACK, NOTHING);
        }
    }
}

const NOTHING: Payload<'static> = Payload { bytes: &[], full_bytes: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::new(0, 7, 2);

    struct Seen {
        seq: u32,
        ack: u32,
        flags: u8,
        payload: Vec<u8>,
        full: u32,
        inbound: bool,
    }

    fn header(kind: u8, bytes: usize) -> Header {
        Header {
            at_ns: 0,
            conn: CONN,
            meta: 0,
            bytes: bytes as u32,
            kept: bytes as u32,
            lost: 0,
            gap: 0,
            stage: 0,
            kind,
            unused: [0; 2],
        }
    }

    fn flows() -> Flows {
        Flows::new(Place::new(0, Some("127.0.0.1:80".parse().unwrap()), false))
    }

    fn see(flows: &mut Flows, header: &Header, stage: Boundary, kept: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        flows.packets(header, stage, kept, |made| {
            let word = |at: usize| u32::from_be_bytes(made.bytes[at..at + 4].try_into().unwrap());
            seen.push(Seen {
                seq: word(24),
                ack: word(28),
                flags: made.bytes[33],
                payload: made.bytes[40..].to_vec(),
                full: made.full_bytes,
                inbound: made.inbound,
            });
        });
        seen
    }

    #[test]
    fn a_connection_is_a_stream_with_a_beginning_bytes_both_ways_and_an_end() {
        let mut flows = flows();
        let open = see(&mut flows, &header(kind::OPEN, 0), Boundary::Rx, b"");
        let flags: Vec<u8> = open.iter().map(|packet| packet.flags).collect();
        assert_eq!(flags, [flag::SYN, flag::SYN | flag::ACK, flag::ACK]);
        let [asked] = &see(&mut flows, &header(kind::DATA, 4), Boundary::Rx, b"ping")[..] else {
            panic!("one packet")
        };
        assert_eq!((asked.seq, asked.ack, &*asked.payload), (1, 1, &b"ping"[..]));
        let [said] = &see(&mut flows, &header(kind::DATA, 6), Boundary::Tx, b"answer")[..] else {
            panic!("one packet")
        };
        assert_eq!((said.seq, said.ack, said.inbound), (1, 5, false));
        let closed = see(&mut flows, &header(kind::CLOSED, 0), Boundary::Rx, b"");
        assert_eq!(closed.len(), 4, "an end each way, each acknowledged");
        assert_eq!((closed[0].seq, closed[0].flags), (5, flag::FIN | flag::ACK));
        assert_eq!((closed[2].seq, closed[2].ack), (7, 6));
        assert!(flows.flows.is_empty(), "nothing is remembered of it");
    }

    #[test]
    fn an_end_that_was_told_is_not_told_again() {
        let mut flows = flows();
        see(&mut flows, &header(kind::OPEN, 0), Boundary::Rx, b"");
        assert_eq!(see(&mut flows, &header(kind::EOF, 0), Boundary::Rx, b"").len(), 2);
        assert_eq!(see(&mut flows, &header(kind::CLOSE, 0), Boundary::Tx, b"").len(), 2);
        assert_eq!(see(&mut flows, &header(kind::CLOSED, 0), Boundary::Rx, b"").len(), 0);
    }

    #[test]
    fn what_an_ip_packet_does_not_hold_becomes_several() {
        let mut flows = flows();
        for (bytes, packets) in [(65_000, 1), (65_001, 2), (130_000, 2), (130_001, 3)] {
            let seen =
                see(&mut flows, &header(kind::DATA, bytes), Boundary::Rx, &vec![b'x'; bytes]);
            assert_eq!(seen.len(), packets, "{bytes}");
            assert_eq!(seen.iter().map(|packet| packet.payload.len()).sum::<usize>(), bytes);
        }
    }

    #[test]
    fn bytes_that_were_not_kept_and_packets_that_were_lost_count_all_the_same() {
        let mut flows = flows();
        let cut = Header { kept: 2, ..header(kind::DATA, 1000) };
        let seen = see(&mut flows, &cut, Boundary::Rx, b"ab");
        assert_eq!((seen[0].payload.len(), seen[0].full), (2, 1040));
        let after = Header { gap: 500, ..header(kind::DATA, 1) };
        assert_eq!(see(&mut flows, &after, Boundary::Rx, b"c")[0].seq, 1 + 1000 + 500);
    }

    #[test]
    fn the_wire_and_what_is_inside_are_streams_of_their_own() {
        let place = Place::new(0, Some("127.0.0.1:80".parse().unwrap()), false);
        let ends = |stage| place.ends(Level::of(stage), CONN);
        assert_eq!(ends(Boundary::Rx), ends(Boundary::Tx));
        assert_eq!(ends(Boundary::Ingress), ends(Boundary::Handler));
        assert_ne!(ends(Boundary::Rx), ends(Boundary::Ingress));
        assert_ne!(ends(Boundary::Tx), ends(Boundary::Egress));
        let Addresses::V4(peer, own) = ends(Boundary::Rx).addresses else { panic!("IPv4") };
        assert_eq!((peer, own), ([100, 64, 0, 7], [127, 0, 0, 1]));
        assert_eq!(ends(Boundary::Rx).ports, (1026, 80));
    }

    #[test]
    fn every_listener_has_an_address_whatever_it_listens_on() {
        let nowhere = Place::new(2, None, false).address;
        assert_eq!(nowhere, "100.127.0.3:3".parse().unwrap());
        let any = Place::new(2, Some("[::]:80".parse().unwrap()), false).address;
        assert_eq!(any, "100.127.0.3:80".parse().unwrap());
        let place = Place::new(2, Some("[::1]:80".parse().unwrap()), true);
        let Addresses::V6(peer, _) = place.ends(Level::Inside, CONN).addresses else {
            panic!("IPv6")
        };
        let text = std::net::Ipv6Addr::from(peer).to_string();
        assert_eq!(text, "fd72:696e:6777:6179:100::7");
    }

    #[test]
    fn datagrams_have_no_beginning_and_no_end() {
        let mut flows = Flows::new(Place::new(0, None, true));
        let mut count = |kind, bytes: &[u8]| {
            let mut packets = 0;
            flows.packets(&header(kind, bytes.len()), Boundary::Rx, bytes, |_| packets += 1);
            packets
        };
        let counts = [count(kind::OPEN, b""), count(kind::DATA, b"abc"), count(kind::CLOSED, b"")];
        assert_eq!(counts, [0, 1, 0]);
    }

    proptest::proptest! {
        /// Whatever lcores say, packets are what IP has room for, and each is as long as it says.
        #[test]
        fn any_records_become_packets(
            records in proptest::collection::vec((0u8..5, 0u8..24, 0u32..200_000, 0usize..300, proptest::num::u32::ANY), 0..40),
            datagrams in proptest::bool::ANY,
        ) {
            let mut flows = Flows::new(Place::new(0, None, datagrams));
            for (stage, kind, bytes, kept, gap) in records {
                let (bytes, kept) = if kind < 16 && kind > 0 { (0, 0) } else { (bytes, kept) };
                let kept = vec![b'x'; kept.min(bytes as usize)];
                let header = Header { gap, ..header(kind, bytes as usize) };
                let mut payload = 0;
                flows.packets(&header, Boundary::at(stage).unwrap(), &kept, |made| {
                    let own = if datagrams { 28 } else { 40 };
                    assert!(made.bytes.len() <= made.full_bytes as usize);
                    let length = u16::from_be_bytes([made.bytes[2], made.bytes[3]]);
                    assert_eq!(u32::from(length), made.full_bytes);
                    payload += made.full_bytes - own;
                });
                assert_eq!(payload, bytes);
            }
        }
    }
}
