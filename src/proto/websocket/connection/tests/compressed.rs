//! Compressed messages, from one end to the other: the categories 12 and 13.

use super::*;
use crate::proto::websocket::{Deflater, Inflater};

/// A message of a client's, compressed, in frames of so many bytes.
fn compressed(
    end: &mut Connection,
    deflater: &mut Deflater,
    kind: Kind,
    message: &[u8],
    frame_bytes: usize,
) -> Vec<u8> {
    let mut room = vec![0; message.len() + message.len() / 8 + 1024];
    let progress = deflater.deflate(message, true, &mut room);
    assert!(progress.done);
    let pieces: Vec<_> = room[..progress.written].chunks(frame_bytes).collect();
    let say_piece = |(number, bytes): (usize, &&[u8])| {
        let (first, last) = (number == 0, number + 1 == pieces.len());
        say(end, Piece { kind, first, last, compressed: true, bytes: bytes.len() }, bytes)
    };
    pieces.iter().enumerate().flat_map(say_piece).collect()
}

/// What a server makes of bytes: whole messages, decompressed as they come with a little room at a time.
fn inflated(
    end: &mut Connection,
    inflater: &mut Inflater,
    bytes: &[u8],
    cut: usize,
) -> Result<Vec<Vec<u8>>, Fault> {
    let (config, mut out) = (config(), [0; 100]);
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(cut) {
        let (mut piece, mut at) = (piece.to_vec(), 0);
        while at < piece.len() {
            let step = end.receive(&config, now(), &mut piece[at..])?;
            if let Some(Event::Data(data)) = step.event {
                assert!(data.compressed);
                let mut input = &piece[at..][data.range];
                loop {
                    let most = config.limits.message_bytes;
                    let progress = inflater.inflate(most, input, data.last, &mut out)?;
                    let (plain, last) = (&out[..progress.written], data.last && progress.done);
                    end.take_inflated(inflater, data.kind, plain, last)?;
                    message.extend_from_slice(plain);
                    input = &input[progress.consumed..];
                    if progress.done {
                        break;
                    }
                }
                if data.last {
                    messages.push(std::mem::take(&mut message));
                }
            }
            at += step.consumed;
        }
    }
    Ok(messages)
}

fn new(role: Role) -> Connection {
    Connection::new(role, true, now())
}

// W-7: RFC 7692 §7.2.3.1, in a frame and in two.
#[test]
fn the_golden_frames_are_heard_and_said() {
    let one: &[u8] = &[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let two: &[u8] = &[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00];
    for wire in [one, two] {
        for cut in 1..12 {
            let (mut end, mut inflater) = (new(Role::Client), Inflater::new(false));
            let got = inflated(&mut end, &mut inflater, wire, cut);
            assert_eq!(got, Ok(vec![b"Hello".to_vec()]));
        }
    }
    for (frame_bytes, wire) in [(99, one), (4, two)] {
        let (mut end, mut deflater) = (new(Role::Server), Deflater::new(15, false, 6));
        let said = compressed(&mut end, &mut deflater, Kind::Text, b"Hello", frame_bytes);
        if frame_bytes == 99 {
            assert_eq!(said, wire);
        } else {
            assert_eq!((said[0], said[6]), (0x41, 0x80), "{said:x?}");
        }
    }
}

#[test]
fn a_compressed_text_that_is_none_is_found_before_its_end() {
    let (mut client, mut deflater) = (new(Role::Client), Deflater::new(15, false, 1));
    let bytes = compressed(&mut client, &mut deflater, Kind::Text, b"abc\xff\xff", 3);
    let mut end = new(Role::Server);
    let got = inflated(&mut end, &mut Inflater::new(false), &bytes, 1000);
    assert_eq!((got, end.fault()), (Err(Fault::Text), Some(Fault::Text)));
    assert_eq!(words(&mut end), [close_frame(1007, "text is not UTF-8")]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // W-7
    #[test]
    fn compressed_messages_come_through_in_any_frames_and_cuts(
        messages in prop::collection::vec("[a-dé€😀]{0,400}", 1..5),
        no_context_takeover: bool,
        bits in 8u8..16,
        (frame_bytes, cut) in (1usize..300, 1usize..300),
    ) {
        let (mut client, mut server) = (new(Role::Client), new(Role::Server));
        let mut deflater = Deflater::new(bits, no_context_takeover, 1);
        let mut inflater = Inflater::new(no_context_takeover);
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for message in &messages {
            let message = message.as_bytes();
            wire.extend(compressed(&mut client, &mut deflater, Kind::Text, message, frame_bytes));
            expected.push(message.to_vec());
        }
        prop_assert_eq!(inflated(&mut server, &mut inflater, &wire, cut), Ok(expected));
    }
}
