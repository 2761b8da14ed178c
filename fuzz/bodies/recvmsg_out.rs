//! What must hold of a receive of datagrams for any bytes that the kernel may leave in a slot. The fuzz target
//! and `tests/fuzz_corpus.rs` share it.

use ringway::limits::DATAGRAM_HEAD_BYTES;
use ringway::sys::datagram::{CONTROL_BYTES_MAX, NAME_BYTES_MAX, parse, write_control, write_name};

/// The bytes are a slot as it was filled.
pub fn check(bytes: &[u8]) {
    let Some(received) = parse(bytes) else {
        assert!(bytes.len() < DATAGRAM_HEAD_BYTES || !is_of_an_ip_peer(bytes));
        return;
    };
    let payload = received.payload.clone();
    assert!(payload.start == DATAGRAM_HEAD_BYTES && payload.end >= payload.start);
    assert!(payload.end <= bytes.len());
    assert!(received.is_cut || said_bytes(bytes) == payload.len());
    assert!(received.ecn < 4 && received.segment_bytes != Some(0));
    // Who sent it can be answered, from where it was sent to.
    let mut name = [0; NAME_BYTES_MAX];
    let len = write_name(&received.source, &mut name);
    assert!(len == if received.source.is_ipv4() { 16 } else { 28 });
    let mut control = [0; CONTROL_BYTES_MAX];
    let len = write_control(received.local, received.segment_bytes, &mut control);
    assert!(len <= CONTROL_BYTES_MAX && len.is_multiple_of(8));
    // What lies behind the payload, and in it, changes nothing of what is said of it.
    let mut other = bytes.to_vec();
    other[DATAGRAM_HEAD_BYTES..].fill(0xff);
    assert_eq!(parse(&other).as_ref(), Some(&received));
}

fn word(bytes: &[u8], index: usize) -> usize {
    let word: [u8; 4] = bytes[4 * index..4 * index + 4].try_into().expect("four bytes");
    u32::from_ne_bytes(word) as usize
}

/// Of how many bytes the datagram was, as the kernel says.
fn said_bytes(bytes: &[u8]) -> usize {
    word(bytes, 2)
}

/// Whether the address is a whole one of IPv4 or IPv6.
fn is_of_an_ip_peer(bytes: &[u8]) -> bool {
    let family = u16::from_ne_bytes([bytes[16], bytes[17]]);
    let name_bytes = word(bytes, 0);
    family == 2 && name_bytes >= 8 || family == 10 && name_bytes >= 28
}
