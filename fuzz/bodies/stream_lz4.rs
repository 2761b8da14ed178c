//! What must hold of compressed messages for any bytes. The fuzz target and `tests/fuzz_corpus.rs`
//! share it.

use ringway::proto::stream::compress::{
    Compressor, Tables, decompress, original_bytes, room_bytes,
};
use ringway::time::Instant;

/// What a message may have at most.
const CAP: usize = 8192;

/// The bytes are what a peer sent as a compressed message, and then a message of ours.
pub fn check(bytes: &[u8]) {
    let mut out = vec![0xee; CAP + 1];
    let said = original_bytes(bytes, CAP);
    match decompress(bytes, CAP, &mut out) {
        Ok(size) => {
            assert_eq!(said, Ok(size));
            assert!(size <= CAP && size <= 255 * bytes.len());
            assert!(out[size..].iter().all(|&byte| byte == 0xee), "written past the size");
            // All that it says stands in it, and nothing that lay in the room before.
            let mut other = vec![0x11; CAP];
            assert_eq!(decompress(bytes, CAP, &mut other), Ok(size));
            assert!(other[..size] == out[..size]);
            assert!(size == 0 || decompress(bytes, size - 1, &mut other).is_err());
            assert!(size == 0 || decompress(bytes, CAP, &mut other[..size - 1]).is_err());
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    if let Err(fault) = said {
        assert_eq!(decompress(bytes, CAP, &mut out), Err(fault));
    }
    round_trip(bytes);
}

fn round_trip(message: &[u8]) {
    let mut out = vec![0; room_bytes(message.len())];
    let clock = || Instant::from_ns(0);
    let compressed = Compressor::default().compress(&mut Tables::new(), message, &mut out, clock);
    let Some(bytes) = compressed else { return };
    assert!(bytes + message.len() / 16 <= message.len());
    let mut back = vec![0; message.len()];
    assert_eq!(decompress(&out[..bytes], message.len(), &mut back), Ok(message.len()));
    assert!(back == message);
}
