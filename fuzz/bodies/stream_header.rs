//! What must hold of packets' headers and of what control packets say, for any bytes. The fuzz target and
//! `tests/fuzz_corpus.rs` share it.

use ringway::limits::STREAM_PACKET_BYTES_MAX;
use ringway::proto::stream::{
    Close, Control, Error, Fault, Framing, HEADER_BYTES, Header, List, Probe, deframe, op,
};

/// The bytes are what a peer sent: a header and what is behind it.
pub fn check(bytes: &[u8]) {
    let whole = deframe(bytes);
    check_framing(bytes, whole);
    for end in 0..bytes.len().min(40) {
        match (deframe(&bytes[..end]), whole) {
            (Ok(Framing::Need(need)), _) => assert!(need > end && need <= STREAM_PACKET_BYTES_MAX),
            (early, _) => check_framing(&bytes[..end], early),
        }
    }
    let Some((head, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    let header = Header::decode(head);
    assert_eq!(header.is_ok(), is_header(head), "{head:?}");
    if let Ok(header) = header {
        assert_eq!(header.encode(), *head);
    }
    check_words(body);
    check_list(body);
}

/// The messages of a batch, read in another way.
fn check_list(body: &[u8]) {
    const MESSAGE_BYTES_MAX: usize = 300;
    let (mut at, mut lens) = (0, Vec::new());
    while let Some(&[low, high]) = body.get(at..at + 2) {
        let len = usize::from(low) + 256 * usize::from(high);
        lens.push(len);
        at += 2 + len;
    }
    let is_list = at == body.len() && (2..=16).contains(&lens.len());
    match List::decode(body, MESSAGE_BYTES_MAX as u32) {
        Ok(list) => {
            assert!(is_list && lens.iter().all(|&len| len <= MESSAGE_BYTES_MAX));
            assert_eq!(usize::from(list.messages), lens.len());
            assert_eq!(list.bytes as usize, lens.iter().sum::<usize>());
        }
        Err(Fault::MessageTooLarge) => assert!(lens.iter().any(|&len| len > MESSAGE_BYTES_MAX)),
        Err(fault) => assert!(fault == Fault::Batch && !is_list),
    }
}

fn check_framing(bytes: &[u8], framing: Result<Framing, Fault>) {
    match framing {
        Ok(Framing::Need(need)) => assert!(need > bytes.len() && need <= STREAM_PACKET_BYTES_MAX),
        Ok(Framing::Whole(len)) => {
            assert!(len <= bytes.len());
            let size = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            assert_eq!(len, HEADER_BYTES + size as usize);
            assert_eq!(deframe(&bytes[..len]), framing, "what follows does not matter");
        }
        Err(_) => {
            let head = bytes.first_chunk().expect("nothing is wrong before a header is there");
            assert!(!is_header(head));
        }
    }
}

/// The rules again, in words of their own.
fn is_header(head: &[u8; HEADER_BYTES]) -> bool {
    let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let (kind, channel, flags) = (head[4], [head[9], head[10]], head[11]);
    let fits = size as usize <= STREAM_PACKET_BYTES_MAX - HEADER_BYTES;
    let flags_of_all = [0, 2, 10];
    fits && match kind {
        1 => {
            let key = flags & 8 == 0 || flags & 2 == 2;
            let batch = flags & 16 == 0 || flags & 5 == 0;
            channel != [0, 0] && flags < 32 && key && batch
        }
        2..=5 => channel == [0, 0] && flags_of_all.contains(&flags),
        _ => false,
    }
}

fn check_words(body: &[u8]) {
    let control = Control::decode(body);
    if let Ok(control) = control {
        let len = match body[0] {
            op::OPEN => 13,
            op::SHUT | op::BLOCKED => 11,
            op::REFUSED => 9,
            op::GONE => 7,
            op::OPENED | op::CREDIT => 15,
            op => panic!("{op} is no word"),
        };
        assert_eq!(body.len(), len);
        assert_eq!(u16::from_le_bytes([body[1], body[2]]), control.ch);
        assert_ne!(control.ch, 0);
    }
    let is_probe = body.len() == 13 && body[0] < 2;
    assert_eq!(Probe::decode(body).is_ok(), is_probe);
    let is_text = |at: usize| {
        body.get(at..).is_some_and(|text| text.len() <= 256 && std::str::from_utf8(text).is_ok())
    };
    assert_eq!(Close::decode(body).is_ok(), is_text(2));
    assert_eq!(Error::decode(body).is_ok(), is_text(4));
}
