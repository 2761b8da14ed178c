//! Whole bodies in the gzip format (RFC 1952), by zlib-rs.

use zlib_rs::{Deflate, DeflateFlush, Status, crc32};

/// A header that says nothing: deflate, no name, no time, any system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How hard it tries, of 9: servers answer while somebody waits.
const LEVEL: i32 = 4;

/// 32 KiB: as much as RFC 1952's readers have to remember.
const WINDOW_BITS: u8 = 15;

/// `bytes` compressed; what does not shrink comes out a little longer.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    let mut deflate = Deflate::new(LEVEL, false, WINDOW_BITS);
    let mut read = 0;
    loop {
        let start = out.len();
        out.resize(start + (bytes.len() - read) / 2 + 64, 0);
        let (in_before, out_before) = (deflate.total_in(), deflate.total_out());
        let status = deflate.compress(&bytes[read..], &mut out[start..], DeflateFlush::Finish);
        read += (deflate.total_in() - in_before) as usize;
        out.truncate(start + (deflate.total_out() - out_before) as usize);
        match status {
            Ok(Status::StreamEnd) => break,
            Ok(_) => {}
            Err(error) => unreachable!("deflate of bytes in memory: {error:?}"),
        }
    }
    out.extend(crc32::crc32(0, bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}
