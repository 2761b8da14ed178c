//! What must hold of `ChunkDecoder` for any bytes. The fuzz target and `tests/fuzz_corpus.rs` share it.

use ringway::proto::http1::{ChunkDecoder, Fault, Limits, is_field_line_block};

const LIMITS: Limits = Limits { target_bytes: 0, head_bytes: 0, headers: 0, body_bytes: 64 };

/// The first byte says how finely to cut; the rest is what a peer sent.
pub fn check(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(first % 16) + 1), whole);
    if let Ok((body, trailers, Some(end))) = whole {
        assert!(body.len() as u64 <= LIMITS.body_bytes);
        assert!(is_field_line_block(&trailers));
        assert_eq!(read_by_lines(&bytes[..end]), Some((body, trailers)));
    }
}

/// The body, its trailer lines, and where it ended if it did.
type Found = Result<(Vec<u8>, Vec<u8>, Option<usize>), Fault>;

fn decode(bytes: &[u8], cut: usize) -> Found {
    let mut decoder = ChunkDecoder::new(&LIMITS);
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    let mut end = 0;
    for mut piece in bytes.chunks(cut) {
        while !piece.is_empty() && !decoder.is_done() {
            let step = decoder.decode(piece)?;
            assert!(step.consumed > 0 && step.done == decoder.is_done());
            trailers.extend_from_slice(&piece[step.trailers.unwrap_or(0..0)]);
            match step.data {
                Some(data) => {
                    assert!(data.end == step.consumed && !data.is_empty());
                    body.extend_from_slice(&piece[data]);
                }
                None => assert!(step.done || step.consumed == piece.len()),
            }
            end += step.consumed;
            piece = &piece[step.consumed..];
        }
    }
    Ok((body, trailers, decoder.is_done().then_some(end)))
}

/// Body and trailers of a whole message, by a reader of lines that shares no code with the decoder.
fn read_by_lines(mut rest: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut body = Vec::new();
    loop {
        let line = take_line(&mut rest)?;
        let size = line.split(|&byte| byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    let trailers = rest.strip_suffix(b"\r\n")?.to_vec();
    while let line @ [_, ..] = take_line(&mut rest)? {
        line.iter().position(|&byte| byte == b':').filter(|&colon| colon > 0)?;
    }
    rest.is_empty().then_some((body, trailers))
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = rest[..end].strip_suffix(b"\r")?;
    *rest = &rest[end + 1..];
    (!line.contains(&b'\r')).then_some(line)
}
