//! A decoder of heads that come one after the other. What a head is stands in `head`; here is only
//! what can be known of one from the last.

use super::framing::Framing;
use super::head::decode_with;
use super::{Fault, Head, Limits, field_lines};

/// Most bytes of field lines that are kept: those of most browsers.
const KEPT_BYTES: usize = 1024;

/// The length of what is not there: no lines are that long.
const NOTHING: usize = usize::MAX;

/// Decodes heads as [`decode_head`](super::decode_head) does, and faster those whose field lines
/// are the same as in the head before: a client mostly changes nothing but the request line.
///
/// ```
/// use ringway::proto::http1::{HeadDecoder, Limits};
///
/// let mut heads = HeadDecoder::new(Limits::default());
/// let (first, second) = (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert_eq!(heads.decode(first).unwrap().unwrap().target_len, 1);
/// assert_eq!(heads.decode(second).unwrap().unwrap().target_len, 2); // the lines are not read again
/// ```
#[derive(Debug, Clone)]
pub struct HeadDecoder {
    limits: Limits,
    /// Field lines that were legal, the blank line with them, in `lines[..bytes]`.
    lines: [u8; KEPT_BYTES],
    /// [`NOTHING`], or up to `KEPT_BYTES`.
    bytes: usize,
    /// What they say.
    framing: Framing,
}

impl HeadDecoder {
    /// One that has seen no head.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lines: [0; KEPT_BYTES], bytes: NOTHING, framing: Framing::default() }
    }

    /// The head at the start of `bytes`: see [`decode_head`](super::decode_head), which gives the
    /// same answer.
    #[inline(always)]
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let Self { limits, lines, bytes: kept, framing } = self;
        decode_with(bytes, limits, |read, fields_max| {
            // The blank line ends them: what comes behind it changes nothing.
            if read.get(..*kept).is_some_and(|read| Some(read) == lines.get(..*kept)) {
                return Ok((*kept, *framing));
            }
            let (len, found) = field_lines::decode(read, fields_max)?;
            if let Some(place) = lines.get_mut(..len) {
                place.copy_from_slice(&read[..len]);
                (*kept, *framing) = (len, found);
            }
            Ok((len, found))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::http1::decode_head;

    /// A head, legal or not, and perhaps the beginning of what follows it.
    fn head() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec!["GET / HTTP/1.1\r\n", "POST /a HTTP/1.0\r\n", "GET"]);
        let fields = prop::sample::select(vec![
            "Host: a\r\n\r\n",
            "Host: a\r\nConnection: close\r\n\r\n",
            "Host: a\r\nContent-Length: 3\r\n\r\n",
            "Content-Length: 3\r\n\r\n",
            "Host: a\r\n",
            "Host: a\r\nHost: a\r\n\r\n",
            "\r\n",
            "",
        ]);
        let rest = prop::sample::select(vec!["", "\r\n", "abc", "GET / HTTP/1.1\r\n"]);
        (line, fields, rest).prop_map(|(line, fields, rest)| [line, fields, rest].concat().into())
    }

    proptest! {
        #[test]
        fn heads_that_follow_each_other_are_what_each_is_alone(
            heads in prop::collection::vec(head(), 1..30),
            head_bytes in 20..60u32,
            headers in 1..3u32,
        ) {
            let limits = Limits { head_bytes, headers, ..Limits::default() };
            let mut decoder = HeadDecoder::new(limits);
            for bytes in heads {
                prop_assert_eq!(decoder.decode(&bytes), decode_head(&bytes, &limits));
            }
        }
    }

    #[test]
    fn lines_are_known_again_up_to_the_most_that_is_kept_and_past_it_read_again() {
        for filler in [KEPT_BYTES - 16, KEPT_BYTES - 15] {
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(filler));
            let mut decoder = HeadDecoder::new(Limits::default());
            for _ in 0..2 {
                let head = decoder.decode(bytes.as_bytes()).unwrap().unwrap();
                assert_eq!(head.head_len as usize, bytes.len());
            }
            let kept = filler <= KEPT_BYTES - 16;
            assert_eq!(decoder.bytes != NOTHING, kept, "{filler}");
        }
    }
}
