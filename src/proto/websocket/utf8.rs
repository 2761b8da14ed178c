//! Whether a text that comes in pieces is UTF-8 (RFC 6455 §8.1, RFC 3629). A piece may end within a
//! character; of that, at most three bytes are kept. What cannot become UTF-8 whatever follows is found in
//! the piece with its first wrong byte.

use simdutf8::compat;

/// Texts up to so many bytes are short.
const SHORT_BYTES: usize = 128;

/// The text is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

/// The validator of one text after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8 {
    /// The first `len` are the beginning of a character that has not ended, and could.
    begun: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Before a text.
    pub const fn new() -> Self {
        Self { begun: [0; 3], len: 0 }
    }

    /// Whether a whole text is UTF-8. Short ones are asked first whether they are ASCII, as most are, which is
    /// quicker.
    #[inline]
    pub fn check(text: &[u8]) -> Result<(), NotUtf8> {
        if text.len() <= SHORT_BYTES && text.is_ascii() {
            return Ok(());
        }
        simdutf8::basic::from_utf8(text).map(|_| ()).map_err(|_| NotUtf8)
    }

    /// Takes the next piece.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let rest = if self.len == 0 { piece } else { self.complete(piece)? };
        match compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                self.keep(&rest[error.valid_up_to()..]);
                Ok(())
            }
        }
    }

    /// The text is whole; the next one starts afresh.
    #[inline]
    pub fn end(&mut self) -> Result<(), NotUtf8> {
        if std::mem::take(&mut self.len) == 0 { Ok(()) } else { Err(NotUtf8) }
    }

    /// Takes what the character that has begun lacks off the front of `piece`, or all of it.
    #[inline(never)]
    fn complete<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], NotUtf8> {
        let begun = usize::from(self.len);
        let lacks = character_bytes(self.begun[0]) - begun;
        let (front, rest) = piece.split_at(lacks.min(piece.len()));
        let mut character = [0; 4];
        character[..begun].copy_from_slice(&self.begun[..begun]);
        character[begun..begun + front.len()].copy_from_slice(front);
        let so_far = &character[..begun + front.len()];
        match std::str::from_utf8(so_far) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(_) => self.keep(so_far),
        }
        Ok(rest)
    }

    fn keep(&mut self, begun: &[u8]) {
        self.begun[..begun.len()].copy_from_slice(begun);
        self.len = begun.len() as u8;
    }
}

/// Bytes of the character that begins with `first`, which may begin one of more than one byte.
const fn character_bytes(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The piece in which the validator says that the text is none; as many as there are: at its end.
    fn found_at(pieces: &[&[u8]]) -> Option<usize> {
        let mut utf8 = Utf8::new();
        let fails = pieces.iter().position(|piece| utf8.push(piece).is_err());
        fails.or_else(|| utf8.end().is_err().then_some(pieces.len()))
    }

    /// Whether some text begins with these bytes.
    fn could_become_a_text(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
    }

    fn byte_by_byte(text: &[u8]) -> Option<usize> {
        found_at(&text.chunks(1).collect::<Vec<_>>())
    }

    // W-7
    #[test]
    fn characters_may_be_cut_anywhere() {
        let text = "κόσμε, \u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff} é".repeat(9);
        let text = text.as_bytes();
        for size in 1..80 {
            assert_eq!(found_at(&text.chunks(size).collect::<Vec<_>>()), None, "{size}");
        }
    }

    #[test]
    fn the_first_byte_that_cannot_be_is_found_at_once() {
        let cases: [(&[u8], usize); 9] = [
            (b"\x80", 0),
            (b"ab\xc0", 2),
            (b"\xc1", 0),
            (b"\xe0\x9f\x80", 1),     // overlong
            (b"\xed\xa0\x80", 1),     // a surrogate
            (b"\xf4\x90\x80\x80", 1), // past U+10FFFF
            (b"\xf0\x8f\xbf\xbf", 1), // overlong
            (b"\xf5", 0),
            (b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80\x65", 6),
        ];
        for (text, at) in cases {
            assert_eq!(byte_by_byte(text), Some(at), "{text:x?}");
            assert_eq!(found_at(&[text]), Some(0), "{text:x?}");
        }
    }

    #[test]
    fn a_text_that_ends_within_a_character_is_none_and_the_next_one_starts_afresh() {
        let mut utf8 = Utf8::new();
        for text in [&b"\xc3"[..], b"a\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!((utf8.push(text), utf8.end()), (Ok(()), Err(NotUtf8)));
            assert_eq!((utf8.push(b"\xc3\xa9"), utf8.end()), (Ok(()), Ok(())));
        }
    }

    fn almost_text() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            "[a-z]{0,70}".prop_map(String::into_bytes),
            prop::sample::select(vec![0x80, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff, 0xa0])
                .prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        // W-7
        #[test]
        fn any_cut_finds_the_fault_in_the_piece_that_has_it(
            text in almost_text(),
            cuts in prop::collection::vec(0usize..100, 0..8),
        ) {
            let (mut pieces, mut rest) = (Vec::new(), &text[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let mut end = 0;
            let fails = pieces.iter().position(|piece| {
                end += piece.len();
                !could_become_a_text(&text[..end])
            });
            let whole = std::str::from_utf8(&text).is_ok();
            let expected = fails.or_else(|| (!whole).then_some(pieces.len()));
            prop_assert_eq!(found_at(&pieces), expected);
        }
    }
}
