//! A reader of pcapng that believes nothing: every length, number and checksum is looked at.

use std::collections::HashMap;

/// A capture.
#[derive(Debug, Default)]
pub struct File {
    /// Names of the interfaces, in the order of their numbers.
    pub interfaces: Vec<String>,
    pub packets: Vec<Packet>,
    /// Received and dropped, by interface, once it is whole.
    pub statistics: Vec<(u64, u64)>,
}

/// A packet.
#[derive(Debug, Clone)]
pub struct Packet {
    pub interface: usize,
    pub unix_ns: u64,
    pub inbound: bool,
    pub comment: String,
    /// Packets that were lost before it.
    pub lost: u64,
    pub ends: ((Vec<u8>, u16), (Vec<u8>, u16)),
    pub seq: u32,
    pub ack: u32,
    /// Of TCP; 0 for UDP.
    pub flags: u8,
    pub payload: Vec<u8>,
    /// Bytes that the payload had.
    pub payload_full: usize,
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;

impl File {
    /// All bytes that passed at an interface, one packet behind the other.
    pub fn bytes_at(&self, name: &str) -> Vec<u8> {
        let index = self.interfaces.iter().position(|found| found == name).expect("an interface");
        let of_it = self.packets.iter().filter(|packet| packet.interface == index);
        of_it.flat_map(|packet| packet.payload.clone()).collect()
    }

    /// Whether these bytes passed there.
    pub fn has_at(&self, name: &str, bytes: &[u8]) -> bool {
        self.bytes_at(name).windows(bytes.len()).any(|window| window == bytes)
    }

    /// Follows the numbers of each direction of each stream of TCP: without losses none has a gap.
    pub fn check_streams(&self) {
        let mut next: HashMap<_, u32> = HashMap::new();
        for packet in &self.packets {
            let taken = packet.payload_full as u32 + u32::from(packet.flags & (SYN | FIN) != 0);
            let (from, to) = packet.ends.clone();
            let way = (from.clone(), to.clone());
            if packet.flags & SYN != 0 {
                next.insert(way.clone(), packet.seq);
            }
            let expected = next.entry(way).or_insert(packet.seq);
            assert_eq!(*expected, packet.seq, "{packet:?}");
            *expected = expected.wrapping_add(taken);
            if let Some(other) = next.get(&(to, from)).filter(|_| packet.flags & 16 != 0) {
                assert_eq!(*other, packet.ack, "{packet:?}");
            }
        }
    }
}

/// A whole file.
pub fn read(bytes: &[u8]) -> File {
    let (file, rest) = blocks(bytes);
    assert!(rest.is_empty(), "{} bytes are no block", rest.len());
    assert_eq!(file.statistics.len(), file.interfaces.len(), "it is whole");
    file
}

/// What there is of a file that is still written.
pub fn read_so_far(bytes: &[u8]) -> File {
    blocks(bytes).0
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn blocks(bytes: &[u8]) -> (File, &[u8]) {
    let (mut file, mut rest) = (File::default(), bytes);
    while rest.len() >= 12 {
        let (kind, length) = (word(rest, 0), word(rest, 4));
        assert!(length >= 12 && length.is_multiple_of(4), "a block of {length} bytes");
        if rest.len() < length {
            break;
        }
        assert_eq!(word(rest, length - 4), length, "its length is at both ends");
        let body = &rest[8..length - 4];
        match kind {
            0x0a0d_0d0a => section(body),
            1 => file.interfaces.push(interface(body)),
            6 => {
                let packet = packet(body, file.interfaces.len());
                file.packets.push(packet);
            }
            5 => statistics(body, &mut file),
            other => panic!("a block of kind {other}"),
        }
        rest = &rest[length..];
    }
    (file, rest)
}

fn section(body: &[u8]) {
    assert_eq!(word(body, 0), 0x1a2b_3c4d);
    assert_eq!(body[4..16], [1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    assert!(option(&body[16..], 4).unwrap().starts_with(b"ringway "));
}

fn interface(body: &[u8]) -> String {
    assert_eq!(body[..4], [101, 0, 0, 0], "raw IP");
    assert_eq!(option(&body[8..], 9), Some(vec![9]), "nanoseconds");
    String::from_utf8(option(&body[8..], 2).unwrap()).unwrap()
}

fn statistics(body: &[u8], file: &mut File) {
    assert_eq!(word(body, 0), file.statistics.len(), "in order");
    let number = |code| u64::from_le_bytes(option(&body[12..], code).unwrap().try_into().unwrap());
    file.statistics.push((number(4), number(5)));
}

/// The value of an option; all of them are looked at.
fn option(mut options: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let mut found = None;
    while !options.is_empty() {
        let code = u16::from_le_bytes([options[0], options[1]]);
        let length = usize::from(u16::from_le_bytes([options[2], options[3]]));
        let value = &options[4..4 + length];
        if code == wanted {
            found = Some(value.to_vec());
        }
        options = &options[4 + length.next_multiple_of(4)..];
        assert_eq!(code == 0, options.is_empty(), "the last one, and no other, is the end");
    }
    found
}

fn packet(body: &[u8], interfaces: usize) -> Packet {
    let (interface, kept, full) = (word(body, 0), word(body, 12), word(body, 16));
    assert!(interface < interfaces && kept <= full);
    let bytes = &body[20..20 + kept];
    let options = &body[20 + kept.next_multiple_of(4)..];
    let flags = u32::from_le_bytes(option(options, 2).unwrap().try_into().unwrap());
    let lost = option(options, 4).map_or(0, |lost| u64::from_le_bytes(lost.try_into().unwrap()));
    let comment = option(options, 1).map(|text| String::from_utf8(text).unwrap());
    let unix_ns = (word(body, 4) as u64) << 32 | word(body, 8) as u64;
    assert!(matches!(flags, 1 | 2));
    let (inbound, comment) = (flags == 1, comment.unwrap_or_default());
    let mut packet = ip(bytes, full);
    (packet.interface, packet.unix_ns, packet.inbound) = (interface, unix_ns, inbound);
    (packet.comment, packet.lost) = (comment, lost);
    packet
}

fn ip(bytes: &[u8], full: usize) -> Packet {
    let (header, protocol, from, to) = match bytes[0] >> 4 {
        4 => {
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), full);
            assert_eq!(checksum(&[&bytes[..20]]), 0);
            (20, bytes[9], bytes[12..16].to_vec(), bytes[16..20].to_vec())
        }
        6 => {
            assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])), full - 40);
            (40, bytes[6], bytes[8..24].to_vec(), bytes[24..40].to_vec())
        }
        other => panic!("version {other} of IP"),
    };
    let above = &bytes[header..];
    if bytes.len() == full {
        let length = (above.len() as u32).to_be_bytes();
        assert_eq!(checksum(&[&from, &to, &[0, protocol], &length, above]), 0, "{bytes:?}");
    }
    let port = |at: usize| u16::from_be_bytes([above[at], above[at + 1]]);
    let number = |at: usize| u32::from_be_bytes(above[at..at + 4].try_into().unwrap());
    let (own, seq, ack, flags) = match protocol {
        6 => (20, number(4), number(8), above[13]),
        17 => {
            assert_eq!(usize::from(port(4)), full - header);
            (8, 0, 0, 0)
        }
        other => panic!("protocol {other}"),
    };
    Packet {
        interface: 0,
        unix_ns: 0,
        inbound: false,
        comment: String::new(),
        lost: 0,
        ends: ((from, port(0)), (to, port(2))),
        seq,
        ack,
        flags,
        payload: above[own..].to_vec(),
        payload_full: full - header - own,
    }
}

/// Of parts of an even length, but for the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words = bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
