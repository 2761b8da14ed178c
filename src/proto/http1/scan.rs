//! Where a run of legal bytes ends, found eight bytes at a time.
//!
//! A word's hits are the high bits of the bytes that may not belong. The lowest hit can be trusted
//! to be the first; those above it cannot, for the carries of a subtraction run upwards.

use super::fields::is_token_byte;

/// A word of eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Length of the longest prefix of `bytes` that is a token, which may be none of it.
#[inline(always)]
pub(super) fn token_end(bytes: &[u8]) -> usize {
    let end = run(bytes, not_letter_or_hyphen);
    let more = bytes[end..].iter().position(|&byte| !is_token_byte(byte));
    more.map_or(bytes.len(), |more| end + more)
}

/// Length of the longest prefix of `bytes` that is visible ASCII and spaces.
#[inline(always)]
pub(super) fn text_end(bytes: &[u8]) -> usize {
    run(bytes, not_text)
}

/// Whether both words are visible ASCII and spaces.
#[inline(always)]
pub(super) fn is_text(first: &[u8; 8], last: &[u8; 8]) -> bool {
    not_text(u64::from_le_bytes(*first)) | not_text(u64::from_le_bytes(*last)) == 0
}

/// Length of the longest prefix of `bytes` that may stand in a request target: visible ASCII, but
/// for the `#` that would begin a fragment (RFC 9112 §3.2). What else RFC 3986 forbids, such as `|`,
/// browsers do send.
#[inline(always)]
pub(super) fn target_end(bytes: &[u8]) -> usize {
    run(bytes, not_in_target)
}

/// Length of the longest prefix of `bytes` without hits. Often that is within the first word, which
/// is looked at before a loop is set up.
#[inline(always)]
fn run(bytes: &[u8], hits: fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    if let Some(found) = words.first().map(|word| hits(u64::from_le_bytes(*word)))
        && found != 0
    {
        return first(found);
    }
    let mut end = 8.min(words.len() * 8);
    for word in words.iter().skip(1) {
        let found = hits(u64::from_le_bytes(*word));
        if found != 0 {
            return end + first(found);
        }
        end += 8;
    }
    end + first(hits(last_word(bytes, rest.len()))).min(rest.len())
}

/// The last `len` bytes, fewer than a word has, with zeros after them.
#[inline(never)]
fn last_word(bytes: &[u8], len: usize) -> u64 {
    match bytes.last_chunk::<8>() {
        Some(last) if len > 0 => u64::from_le_bytes(*last) >> (64 - 8 * len),
        _ => bytes.iter().rev().take(len).fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// Which byte of a word the lowest hit is in.
#[inline(always)]
fn first(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
}

/// Hits all but what most field names are made of.
#[inline(always)]
fn not_letter_or_hyphen(word: u64) -> u64 {
    let low = each(0x7f);
    let lower = (word | each(0x20)) & low;
    let from_a = lower + each(0x80 - b'a');
    let past_z = lower + each(0x7f - b'z');
    let not_hyphen = ((word ^ each(b'-')) & low) + low;
    ((!(from_a ^ past_z) & not_hyphen) | word) & each(0x80)
}

#[inline(always)]
fn not_text(word: u64) -> u64 {
    let below_space = word.wrapping_sub(each(0x20));
    let past_tilde = word.wrapping_add(each(1));
    (below_space | past_tilde) & each(0x80)
}

#[inline(always)]
fn not_in_target(word: u64) -> u64 {
    let up_to_space = word.wrapping_sub(each(0x21));
    let past_tilde = word.wrapping_add(each(1));
    let fragment = (word ^ each(b'#')).wrapping_sub(each(1));
    (up_to_space | past_tilde | fragment | word) & each(0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes around the edges of both alphabets, and any others.
    fn byte() -> impl Strategy<Value = u8> {
        let edges = b"\t\r\n\x1f !\"#$-~\x7f\x80\xff/a@Z[`z{";
        prop_oneof![prop::sample::select(edges.to_vec()), any::<u8>()]
    }

    proptest! {
        #[test]
        fn a_target_ends_where_it_ends_byte_by_byte(
            bytes in proptest::collection::vec(byte(), 0..40),
        ) {
            let legal = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
            let end = bytes.iter().position(|byte| !legal(byte)).unwrap_or(bytes.len());
            prop_assert_eq!(target_end(&bytes), end);
        }

        #[test]
        fn a_token_ends_where_it_ends_byte_by_byte(
            bytes in proptest::collection::vec(byte(), 0..40),
        ) {
            let end = bytes.iter().position(|&byte| !is_token_byte(byte));
            prop_assert_eq!(token_end(&bytes), end.unwrap_or(bytes.len()));
        }

        #[test]
        fn text_ends_where_it_ends_byte_by_byte(
            bytes in proptest::collection::vec(byte(), 0..40),
        ) {
            let end = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~'));
            prop_assert_eq!(text_end(&bytes), end.unwrap_or(bytes.len()));
        }
    }

    #[test]
    fn every_length_and_place_is_read_to_its_end() {
        for len in 0..40 {
            let mut bytes = vec![b'a'; len];
            assert_eq!((text_end(&bytes), target_end(&bytes)), (len, len));
            for at in 0..len {
                bytes[at] = b'\r';
                assert_eq!((text_end(&bytes), target_end(&bytes)), (at, at));
                bytes[at] = b'a';
            }
        }
    }
}
