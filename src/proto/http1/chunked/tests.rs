use proptest::prelude::*;

use super::*;
use crate::proto::http1::field_lines;

/// Everything a caller does: the body, and how many bytes were not part of it.
fn decode_in(pieces: &[&[u8]], limits: &Limits) -> Result<(Vec<u8>, usize, bool), Fault> {
    let mut decoder = ChunkDecoder::new(limits);
    let mut body = Vec::new();
    let mut left = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let step = decoder.decode(rest)?;
            assert!(step.consumed > 0 && step.done == decoder.is_done());
            if let Some(trailers) = &step.trailers {
                assert!(!trailers.is_empty() && trailers.end <= step.consumed);
            }
            if let Some(data) = step.data {
                assert!(!data.is_empty() && data.end == step.consumed);
                body.extend_from_slice(&rest[data]);
            }
            rest = &rest[step.consumed..];
        }
        left += rest.len();
    }
    Ok((body, left, decoder.is_done()))
}

fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), Fault> {
    decode_in(&[bytes], &Limits::default())
}

#[test]
fn a_chunked_body_comes_out_as_ranges_and_leaves_the_next_request() {
    let bytes = b"5\r\nhello\r\n7;ext=\"a;b\"\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    let mut decoder = ChunkDecoder::new(&Limits::default());
    let first = decoder.decode(bytes).expect("legal");
    assert_eq!(first, Step { consumed: 8, data: Some(3..8), trailers: None, done: false });
    assert_eq!(decode(bytes), Ok((b"hello, world".to_vec(), 3, true)));
}

#[test]
fn a_decoder_that_is_done_takes_nothing_more() {
    let mut decoder = ChunkDecoder::new(&Limits::default());
    assert_eq!(
        decoder.decode(b""),
        Ok(Step { consumed: 0, data: None, trailers: None, done: false })
    );
    assert_eq!(
        decoder.decode(b"0\r\n\r\n"),
        Ok(Step { consumed: 5, data: None, trailers: None, done: true })
    );
    assert_eq!(
        decoder.decode(b"GET"),
        Ok(Step { consumed: 0, data: None, trailers: None, done: true })
    );
}

/// Bodies that must be refused, one per line: the bytes, the status, the rule.
#[rustfmt::skip]
const REFUSED: &[(&[u8], u16, Fault)] = &[
    (b"\r\n", 400, Fault::ChunkSize),
    (b";x\r\n", 400, Fault::ChunkSize),
    (b" 5\r\nhello\r\n", 400, Fault::ChunkSize),
    (b"5 \r\nhello\r\n", 400, Fault::ChunkSize),
    (b"5 ;x\r\nhello\r\n", 400, Fault::ChunkSize),
    (b"+5\r\nhello\r\n", 400, Fault::ChunkSize),
    (b"-1\r\n", 400, Fault::ChunkSize),
    (b"0x5\r\nhello\r\n", 400, Fault::ChunkSize),
    (b"5_0\r\n", 400, Fault::ChunkSize),
    (b"g\r\n", 400, Fault::ChunkSize),
    (b"5\nhello\r\n", 400, Fault::ChunkSize),
    (b"00000000000000000\r\n\r\n", 400, Fault::ChunkSize),
    (b"10000000000000005\r\nhello\r\n", 400, Fault::ChunkSize),
    (b"ffffffffffffffff\r\n", 413, Fault::BodyTooLarge),
    (b"5\rhello\r\n", 400, Fault::ChunkLineEnd),
    (b"5\r\nhello0\r\n\r\n", 400, Fault::ChunkLineEnd),
    (b"5\r\nhello\n0\r\n\r\n", 400, Fault::ChunkLineEnd),
    (b"5\r\nhello\r0\r\n\r\n", 400, Fault::ChunkLineEnd),
    (b"5;a\nhello\r\n", 400, Fault::ChunkExtension),
    (b"5;a\x00\r\nhello\r\n", 400, Fault::ChunkExtension),
    (b"5;a\rb\r\nhello\r\n", 400, Fault::ChunkLineEnd),
    (b"0\r\n\rX", 400, Fault::ChunkLineEnd),
    (b"0\r\n\n", 400, Fault::Trailer),
    (b"0\r\n X: 1\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX : 1\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\n: 1\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX: 1\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX: 1\r\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX: \x00\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nX: 1\r\n folded\r\n\r\n", 400, Fault::Trailer),
    (b"0\r\nContent-Length: 1\r\n\r\n", 400, Fault::TrailerForbidden),
    (b"0\r\nX: 1\r\ntransfer-ENCODING: chunked\r\n\r\n", 400, Fault::TrailerForbidden),
    (b"0\r\nHost:", 400, Fault::TrailerForbidden),
    (b"0\r\nTrailer: X\r\n\r\n", 400, Fault::TrailerForbidden),
    (b"0\r\nAuthorization: x\r\n\r\n", 400, Fault::TrailerForbidden),
    (b"1e+3\r\n", 400, Fault::ChunkSize),
    (b"1\x0b\r\na\r\n", 400, Fault::ChunkSize),
    (b"1\t\r\na\r\n", 400, Fault::ChunkSize),
    (b"\xb2\r\n", 400, Fault::ChunkSize),
    (b"1,1\r\na\r\n", 400, Fault::ChunkSize),
    (b"1\r\n\r\n0\r\n\r\n", 400, Fault::ChunkLineEnd),
    (b"0\r\nGET / HTTP/1.1\r\n\r\n", 400, Fault::Trailer),
];

#[test]
fn each_broken_body_is_refused_with_its_status_however_it_is_cut() {
    for (bytes, status, fault) in REFUSED {
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(decode(bytes), Err(*fault), "{text:?}");
        assert_eq!(decode_in(&pieces, &Limits::default()), Err(*fault), "{text:?}");
        assert_eq!(fault.status(), *status, "{text:?}");
    }
}

#[test]
fn trailer_fields_are_told_however_they_are_cut() {
    let bytes = b"2\r\nab\r\n0\r\nX-Sum: 12\r\ny:\r\n\r\nGET";
    let section = b"X-Sum: 12\r\ny:\r\n";
    for cut in 1..=bytes.len() {
        let mut decoder = ChunkDecoder::new(&Limits::default());
        let mut told = Vec::new();
        for mut piece in bytes.chunks(cut) {
            while !piece.is_empty() && !decoder.is_done() {
                let step = decoder.decode(piece).expect("legal");
                told.extend_from_slice(&piece[step.trailers.unwrap_or(0..0)]);
                piece = &piece[step.consumed..];
            }
        }
        assert_eq!(told, section, "cut at {cut}");
    }
    let fields: [(&[u8], &[u8]); 2] = [(b"X-Sum", b"12"), (b"y", b"")];
    assert!(field_lines(section).eq(fields));
}

#[test]
fn a_chunk_size_is_written_as_the_standard_formatter_writes_it() {
    let sizes = (0..usize::BITS).flat_map(|bit| [1 << bit, (1 << bit) - 1, usize::MAX >> bit]);
    for bytes in sizes {
        let mut out = [0; CHUNK_SIZE_BYTES_MAX];
        let len = encode_chunk_size(&mut out, bytes);
        assert_eq!(out[..len], *format!("{bytes:x}\r\n").as_bytes());
    }
}

#[test]
fn a_body_is_taken_at_its_limit_and_refused_one_past_it() {
    let limits = Limits { body_bytes: 5, ..Limits::default() };
    let take = |bytes: &[u8]| decode_in(&[bytes], &limits).map(|(body, ..)| body.len());
    assert_eq!(take(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), Ok(5));
    assert_eq!(take(b"2\r\nab\r\n4\r\n"), Err(Fault::BodyTooLarge));
    assert_eq!(take(b"6\r\n"), Err(Fault::BodyTooLarge));
}

#[test]
fn sixteen_digits_of_size_are_the_most() {
    let limits = Limits { body_bytes: u64::MAX, ..Limits::default() };
    let take = |bytes: &[u8]| decode_in(&[bytes], &limits).map(|(body, ..)| body.len());
    assert_eq!(take(b"0000000000000001\r\na\r\n0\r\n\r\n"), Ok(1));
    assert_eq!(take(b"FFFFFFFFFFFFFFFF\r\nab"), Ok(2));
    assert_eq!(take(b"00000000000000001\r\n"), Err(Fault::ChunkSize));
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let line = |bytes: u32| format!("1;{}\r\na\r\n", "x".repeat(bytes as usize - 1));
    let half = line(HTTP_CHUNK_EXTENSION_BYTES_MAX / 2);
    let at_limit = format!("{half}{half}0\r\n\r\n");
    assert_eq!(decode(at_limit.as_bytes()), Ok((b"aa".to_vec(), 0, true)));
    let past = format!("{half}{half}0;");
    assert_eq!(decode(past.as_bytes()), Err(Fault::ChunkExtensionsTooLong));
}

#[test]
fn trailer_fields_are_bounded() {
    let field = |bytes: u32| format!("0\r\nX:{}\r\n", "y".repeat(bytes as usize - 4));
    let at_limit = field(HTTP_TRAILER_BYTES_MAX) + "\r\n";
    assert_eq!(decode(at_limit.as_bytes()), Ok((Vec::new(), 0, true)));
    let past = field(HTTP_TRAILER_BYTES_MAX + 1);
    assert_eq!(decode(past.as_bytes()), Err(Fault::TrailersTooLong));
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back_however_it_is_cut(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
        cut in 1..20usize,
        rest in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire.extend_from_slice(&rest);
        let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
        let expected = (chunks.concat(), rest.len(), true);
        prop_assert_eq!(decode_in(&pieces, &Limits::default()), Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_mean_the_same_however_they_are_cut(
        bytes in "([0-3a]|\r\n|\r|;|X: y|0\r\n|[ -~]|1\r\na\r\n){0,20}",
        cut in 1..9usize,
    ) {
        let pieces: Vec<&[u8]> = bytes.as_bytes().chunks(cut).collect();
        let cut_up = decode_in(&pieces, &Limits::default());
        prop_assert_eq!(cut_up, decode(bytes.as_bytes()));
    }
}
