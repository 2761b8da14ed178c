//! IP packets around bytes that came, or go, without some: headers of TCP (RFC 9293) and UDP (RFC 768) over IPv4
//! (RFC 791) and IPv6 (RFC 8200), with their checksums.

/// Bytes of headers at most: IPv6 and TCP.
pub const HEADERS_MAX: usize = 60;

/// Addresses of both ends, in the direction of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// From and to.
    V4([u8; 4], [u8; 4]),
    /// From and to.
    V6([u8; 16], [u8; 16]),
}

/// Who says something to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// From and to.
    pub addresses: Addresses,
    /// From and to.
    pub ports: (u16, u16),
}

impl Ends {
    /// The other way.
    pub fn reversed(self) -> Self {
        let addresses = match self.addresses {
            Addresses::V4(from, to) => Addresses::V4(to, from),
            Addresses::V6(from, to) => Addresses::V6(to, from),
        };
        Self { addresses, ports: (self.ports.1, self.ports.0) }
    }
}

/// Flags of TCP.
pub mod flag {
    /// No more from this side.
    pub const FIN: u8 = 1;
    /// The first of this side.
    pub const SYN: u8 = 2;
    /// It is over.
    pub const RST: u8 = 4;
    /// Hand it to the application.
    pub const PSH: u8 = 8;
    /// The acknowledgement means something.
    pub const ACK: u8 = 16;
}

/// Where a segment of TCP stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of its first byte.
    pub seq: u32,
    /// Number of the byte that is expected from the other side.
    pub ack: u32,
    /// See [`flag`].
    pub flags: u8,
}

/// Bytes of a packet, of which `payload` may be the beginning only.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// What is there.
    pub bytes: &'a [u8],
    /// How many there were.
    pub full_bytes: usize,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Appends a packet of TCP; returns how many bytes it has with those of the payload that are not there. A payload
/// that is not whole has no checksum: 0.
///
/// # Panics
/// When the payload with its headers is more than an IP packet holds.
pub fn tcp(out: &mut Vec<u8>, ends: &Ends, segment: &Segment, payload: &Payload<'_>) -> u32 {
    let full = ip(out, ends, TCP, 20 + payload.full_bytes);
    let start = out.len();
    out.extend_from_slice(&ends.ports.0.to_be_bytes());
    out.extend_from_slice(&ends.ports.1.to_be_bytes());
    out.extend_from_slice(&segment.seq.to_be_bytes());
    let acknowledges = segment.flags & flag::ACK != 0;
    out.extend_from_slice(&(if acknowledges { segment.ack } else { 0 }).to_be_bytes());
    // Five words of header, the flags, the widest window.
    out.extend_from_slice(&[5 << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend_from_slice(payload.bytes);
    if payload.bytes.len() == payload.full_bytes {
        let sum = checksum(ends, TCP, &out[start..]);
        out[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
    }
    full
}

/// The same of UDP.
///
/// # Panics
/// As [`tcp`].
pub fn udp(out: &mut Vec<u8>, ends: &Ends, payload: &Payload<'_>) -> u32 {
    let full = ip(out, ends, UDP, 8 + payload.full_bytes);
    let start = out.len();
    out.extend_from_slice(&ends.ports.0.to_be_bytes());
    out.extend_from_slice(&ends.ports.1.to_be_bytes());
    let length = u16::try_from(8 + payload.full_bytes).expect("it fits a packet");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(payload.bytes);
    if payload.bytes.len() == payload.full_bytes {
        // 0 says that there is none.
        let sum = match checksum(ends, UDP, &out[start..]) {
            0 => 0xffff,
            sum => sum,
        };
        out[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    }
    full
}

/// The header of IP; returns the bytes of the whole packet.
fn ip(out: &mut Vec<u8>, ends: &Ends, protocol: u8, bytes: usize) -> u32 {
    match &ends.addresses {
        Addresses::V4(from, to) => {
            let full = u16::try_from(20 + bytes).expect("it fits a packet");
            let start = out.len();
            let [high, low] = full.to_be_bytes();
            // Not to be cut, and 64 routers far.
            out.extend_from_slice(&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
            out.extend_from_slice(from);
            out.extend_from_slice(to);
            let sum = finish(sum(0, &out[start..]));
            out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
            u32::from(full)
        }
        Addresses::V6(from, to) => {
            let [high, low] = u16::try_from(bytes).expect("it fits a packet").to_be_bytes();
            out.extend_from_slice(&[0x60, 0, 0, 0, high, low, protocol, 64]);
            out.extend_from_slice(from);
            out.extend_from_slice(to);
            40 + bytes as u32
        }
    }
}

/// That of a packet of TCP or UDP, whose place for it is 0, with the words of IP before it.
fn checksum(ends: &Ends, protocol: u8, packet: &[u8]) -> u16 {
    let addresses = match &ends.addresses {
        Addresses::V4(from, to) => sum(sum(0, from), to),
        Addresses::V6(from, to) => sum(sum(0, from), to),
    };
    let length = packet.len() as u64;
    finish(sum(addresses + u64::from(protocol) + (length >> 16) + (length & 0xffff), packet))
}

/// Adds words of 16 bits (RFC 1071).
fn sum(before: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    before + last + words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>()
}

fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Ends =
        Ends { addresses: Addresses::V4([192, 168, 0, 1], [192, 168, 0, 199]), ports: (7, 9) };

    fn whole(bytes: &[u8]) -> Payload<'_> {
        Payload { bytes, full_bytes: bytes.len() }
    }

    /// Summed up with its checksum, a packet comes to nothing.
    fn check(ends: &Ends, packet: &[u8]) {
        let (header, protocol) = match ends.addresses {
            Addresses::V4(..) => (20, packet[9]),
            Addresses::V6(..) => (40, packet[6]),
        };
        assert_eq!(checksum(ends, protocol, &packet[header..]), 0);
        if header == 20 {
            assert_eq!(finish(sum(0, &packet[..20])), 0);
        }
    }

    #[test]
    fn a_header_of_ip_has_the_checksum_that_everybody_knows() {
        // The example that the encyclopedias have: 17 bytes of UDP payload make a packet of 115 bytes there.
        let mut out = Vec::new();
        let full = ip(&mut out, &V4, UDP, 95);
        assert_eq!(full, 115);
        assert_eq!(out[..10], [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11]);
        assert_eq!(out[10..12], [0xb8, 0x61]);
    }

    #[test]
    fn packets_of_both_protocols_and_families_sum_up() {
        let v6 = Ends { addresses: Addresses::V6([0xfd; 16], [7; 16]), ports: (65535, 1) };
        let segment = Segment { seq: u32::MAX, ack: 5, flags: flag::ACK | flag::PSH };
        for ends in [V4, v6, V4.reversed()] {
            for bytes in [&b""[..], b"a", b"ab", &[0xff; 65_000]] {
                let mut out = Vec::new();
                assert_eq!(tcp(&mut out, &ends, &segment, &whole(bytes)) as usize, out.len());
                check(&ends, &out);
                out.clear();
                assert_eq!(udp(&mut out, &ends, &whole(bytes)) as usize, out.len());
                check(&ends, &out);
            }
        }
    }

    #[test]
    fn what_was_not_kept_counts_for_the_length_and_there_is_no_checksum() {
        let mut out = Vec::new();
        let payload = Payload { bytes: b"ab", full_bytes: 1000 };
        let segment = Segment { seq: 1, ack: 9, flags: flag::SYN };
        assert_eq!(tcp(&mut out, &V4, &segment, &payload), 1040);
        assert_eq!((out.len(), &out[36..38], &out[28..32]), (42, &[0, 0][..], &[0; 4][..]));
        assert_eq!(out[2..4], 1040_u16.to_be_bytes());
    }

    #[test]
    #[should_panic(expected = "it fits a packet")]
    fn a_payload_past_what_ip_holds_is_a_bug() {
        udp(&mut Vec::new(), &V4, &whole(&[0; 65_508]));
    }

    #[test]
    fn the_largest_payload_of_ip_fits() {
        let mut out = Vec::new();
        assert_eq!(udp(&mut out, &V4, &whole(&[0; 65_507])), 65_535);
    }
}
