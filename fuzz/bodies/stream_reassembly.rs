//! What must hold of messages in pieces, whichever come. The fuzz target and `tests/fuzz_corpus.rs`
//! share it.

use ringway::proto::stream::{FRAGMENT_BYTES, Fragment, List, Part, Reassembly, Step};

/// Each operation is four bytes: what comes before the piece, its size, its offset and the message's size.
pub fn check(bytes: &[u8]) {
    let mut reassembly = Reassembly::default();
    // What is there of a message: its size, whether it is compressed, and how much has come.
    let mut begun: Option<(u32, bool, u32)> = None;
    for operation in bytes.chunks_exact(4) {
        let [how, size, offset, full] = [0, 1, 2, 3].map(|at| u32::from(operation[at]));
        let (missing, compressed) = (how & 1 == 1, how & 2 == 2);
        // In order, as an honest peer would, or anything.
        let offset = if how & 8 == 0 { begun.map_or(0, |(.., end)| end) } else { offset };
        let full = if how & 16 == 0 { begun.map_or(full, |(full, ..)| full) } else { full };
        if how & 4 == 4 {
            // Whole ones are whole, however many.
            let part = match how & 32 {
                0 => Part::Whole(size),
                _ => Part::Batch(List { messages: 2, bytes: size }),
            };
            let step = reassembly.take(part, compressed, missing);
            assert_eq!(step.torn, begun.take().is_some());
            assert!(step.place.is_some_and(|place| place.first && place.last));
            assert!(!reassembly.is_open());
            continue;
        }
        let Some(fragment) = fragment(size, offset, full) else { continue };
        let step = reassembly.take(Part::Piece(fragment), compressed, missing);
        begun = expect(step, fragment, compressed, missing, begun);
        assert_eq!(reassembly.is_open(), begun.is_some());
    }
}

/// A fragment as it comes over the wire, if it may.
fn fragment(frag_size: u32, offset: u32, full_size: u32) -> Option<Fragment> {
    let words = [frag_size, offset, full_size].map(u32::to_le_bytes);
    let head: [u8; FRAGMENT_BYTES] = words.concat().try_into().expect("three words");
    let fragment = Fragment::decode(&head, frag_size as usize);
    assert_eq!(fragment.is_ok(), frag_size > 0 && offset + frag_size <= full_size);
    assert!(Fragment::decode(&head, frag_size as usize + 1).is_err());
    fragment.ok().inspect(|fragment| assert_eq!(fragment.encode(), head))
}

/// What is there of a message behind a piece.
fn expect(
    step: Step,
    fragment: Fragment,
    compressed: bool,
    missing: bool,
    begun: Option<(u32, bool, u32)>,
) -> Option<(u32, bool, u32)> {
    let Fragment { frag_size, offset, full_size } = fragment;
    let goes_on = begun == Some((full_size, compressed, offset)) && !missing;
    let is_taken = offset == 0 || goes_on;
    assert_eq!(step.place.is_some(), is_taken);
    assert_eq!(step.torn, begun.is_some() && !(goes_on && offset > 0));
    let place = step.place?;
    assert_eq!((place.first, place.message_bytes), (offset == 0, full_size));
    assert_eq!(place.last, offset + frag_size == full_size);
    (!place.last).then_some((full_size, compressed, offset + frag_size))
}
