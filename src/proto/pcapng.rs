//! Captures as pcapng files (draft-ietf-opsawg-pcapng): blocks for one section, whose interfaces see raw IP packets, and
//! in `packet` the headers of such packets around bytes that never had some.

pub mod packet;

/// LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Where packets were seen.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'a> {
    /// A short name.
    pub name: &'a str,
    /// A sentence.
    pub description: &'a str,
    /// Most bytes of a packet, with its headers; 0: all.
    pub snaplen: u32,
}

/// A packet, or the beginning of one.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Number of its interface, in the order of their description.
    pub interface: u32,
    /// When, in nanoseconds of Unix time.
    pub unix_ns: u64,
    /// It came from the peer; else it goes there.
    pub inbound: bool,
    /// Packets of the interface that were lost since the last one.
    pub lost: u64,
    /// What is said about it; may be nothing.
    pub comment: &'a str,
    /// Its bytes as far as they were kept.
    pub bytes: &'a [u8],
    /// How many it had.
    pub full_bytes: u32,
}

/// What an interface saw in the end.
#[derive(Debug, Clone, Copy)]
pub struct Statistics<'a> {
    /// Number of the interface.
    pub interface: u32,
    /// When the capture began and ended, in nanoseconds of Unix time.
    pub unix_ns: (u64, u64),
    /// Packets that were wanted.
    pub received: u64,
    /// Those that are not there all the same.
    pub dropped: u64,
    /// What is said about that; may be nothing.
    pub comment: &'a str,
}

/// Begins a section, and the file: what wrote it, and what is to be said about it.
pub fn section(out: &mut Vec<u8>, application: &str, comment: &str) {
    block(out, SECTION_HEADER, |out| {
        put32(out, 0x1a2b_3c4d);
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        // Its length is not known before its end.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        text(out, SHB_USERAPPL, application);
        text(out, OPT_COMMENT, comment);
        end_of_options(out);
    });
}

/// Describes an interface. The first one is number 0.
pub fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        put32(out, interface.snaplen);
        text(out, IF_NAME, interface.name);
        text(out, IF_DESCRIPTION, interface.description);
        option(out, IF_TSRESOL, &[9]);
        end_of_options(out);
    });
}

/// Adds a packet.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    block(out, ENHANCED_PACKET, |out| {
        put32(out, packet.interface);
        put_time(out, packet.unix_ns);
        put32(out, packet.bytes.len() as u32);
        put32(out, packet.full_bytes);
        padded(out, packet.bytes);
        text(out, OPT_COMMENT, packet.comment);
        option(out, EPB_FLAGS, &(if packet.inbound { 1_u32 } else { 2 }).to_le_bytes());
        if packet.lost > 0 {
            option(out, EPB_DROPCOUNT, &packet.lost.to_le_bytes());
        }
        end_of_options(out);
    });
}

/// Says what an interface has seen.
pub fn statistics(out: &mut Vec<u8>, seen: &Statistics<'_>) {
    block(out, INTERFACE_STATISTICS, |out| {
        let (begin, end) = seen.unix_ns;
        put32(out, seen.interface);
        put_time(out, end);
        for (code, at) in [(ISB_STARTTIME, begin), (ISB_ENDTIME, end)] {
            let words = [(at >> 32) as u32, at as u32].map(u32::to_le_bytes);
            option(out, code, words.as_flattened());
        }
        option(out, ISB_IFRECV, &seen.received.to_le_bytes());
        option(out, ISB_IFDROP, &seen.dropped.to_le_bytes());
        text(out, OPT_COMMENT, seen.comment);
        end_of_options(out);
    });
}

/// A block: its length stands before and behind it.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put32(out, kind);
    put32(out, 0);
    body(out);
    let bytes = (out.len() + 4 - start) as u32;
    put32(out, bytes);
    out[start + 4..start + 8].copy_from_slice(&bytes.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// The high word of a time comes first.
fn put_time(out: &mut Vec<u8>, unix_ns: u64) {
    put32(out, (unix_ns >> 32) as u32);
    put32(out, unix_ns as u32);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    let pad = bytes.len().next_multiple_of(4) - bytes.len();
    out.extend_from_slice(&[0; 3][..pad]);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(u16::MAX.into())];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    padded(out, value);
}

fn text(out: &mut Vec<u8>, code: u16, text: &str) {
    if !text.is_empty() {
        option(out, code, text.as_bytes());
    }
}

fn end_of_options(out: &mut Vec<u8>) {
    option(out, OPT_END, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_begins_with_its_magic_and_no_length() {
        let mut out = Vec::new();
        section(&mut out, "ringway", "");
        let golden = [
            &[0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0][..],
            &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
            &[0xff; 8],
            &[4, 0, 7, 0],
            b"ringway\0",
            &[0, 0, 0, 0],
            &[44, 0, 0, 0],
        ];
        assert_eq!(out, golden.concat());
    }

    #[test]
    fn a_packet_has_its_time_its_bytes_and_its_options() {
        let mut out = Vec::new();
        let bytes = b"abcde";
        let packet_ = Packet {
            interface: 1,
            unix_ns: 0x0102_0304_0506_0708,
            inbound: true,
            lost: 3,
            comment: "hm",
            bytes,
            full_bytes: 9,
        };
        packet(&mut out, &packet_);
        let golden = [
            &[6, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0][..],
            &[4, 3, 2, 1, 8, 7, 6, 5, 5, 0, 0, 0, 9, 0, 0, 0],
            b"abcde\0\0\0",
            &[1, 0, 2, 0],
            b"hm\0\0",
            &[2, 0, 4, 0, 1, 0, 0, 0],
            &[4, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[72, 0, 0, 0],
        ];
        assert_eq!(out, golden.concat());
    }

    #[test]
    fn every_block_is_as_long_as_it_says_at_both_ends() {
        let mut out = Vec::new();
        section(&mut out, "a", "b");
        interface(&mut out, &Interface { name: "rx", description: "what came", snaplen: 99 });
        let seen =
            Statistics { interface: 0, unix_ns: (1, 2), received: 7, dropped: 3, comment: "full" };
        statistics(&mut out, &seen);
        let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().unwrap()) as usize;
        let (mut at, mut kinds) = (0, Vec::new());
        while at < out.len() {
            let bytes = word(at + 4);
            assert!(bytes.is_multiple_of(4) && word(at + bytes - 4) == bytes);
            kinds.push(word(at));
            at += bytes;
        }
        assert_eq!(kinds, [SECTION_HEADER as usize, 1, 5]);
    }
}
