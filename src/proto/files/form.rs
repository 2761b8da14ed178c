//! Forms as they arrive (RFC 7578, RFC 2046 §5.1): where each part begins and ends, however its bytes are cut.

use std::fmt;

use crate::limits::{FORM_BOUNDARY_BYTES_MAX, FORM_HEAD_BYTES_MAX, FORM_PARTS_MAX};

/// How a form broke the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormFault {
    /// A boundary is followed by something else than the end of its line, or two hyphens.
    Delimiter,
    /// The fields of a part are longer than [`FORM_HEAD_BYTES_MAX`].
    HeadTooLong,
    /// More parts than [`FORM_PARTS_MAX`].
    TooManyParts,
    /// A part does not say which field of a form it is.
    Head,
    /// The name of a file is a path, or no name.
    FileName,
    /// It ended before its last boundary.
    Truncated,
}

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delimiter => "a boundary of the form is followed by something else than a line",
            Self::HeadTooLong => "the fields of a part of the form are too long",
            Self::TooManyParts => "the form has too many parts",
            Self::Head => "a part of the form has no Content-Disposition of form-data",
            Self::FileName => "the name of a file in the form is a path, or no name",
            Self::Truncated => "the form ended before its last boundary",
        })
    }
}

/// What was found in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormEvent {
    /// A part begins; [`FormDecoder::head`] has its fields.
    Begins,
    /// The bytes that were taken are content of the part.
    Data,
    /// So many bytes at the start of [`FormDecoder::delimiter`] are content of the part: they came at the end of what was
    /// given before, and might have been the delimiter.
    Held(usize),
    /// The part ends.
    Ends,
    /// The form ends. What follows says nothing.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Body,
    /// Behind a boundary, at the start of its line.
    Line,
    /// Behind a boundary and a hyphen.
    Hyphen,
    /// Behind a boundary and spaces.
    Padding,
    /// Behind a boundary and CR.
    LineEnd,
    Head,
    Ended,
}

/// CRLF, two hyphens and the boundary.
const DELIMITER_BYTES_MAX: usize = 4 + FORM_BOUNDARY_BYTES_MAX;

/// Finds the parts of a form: [`step`](Self::step) is called until all bytes are taken.
///
/// ```
/// use ringway::proto::files::{FormDecoder, FormEvent};
///
/// let mut form = FormDecoder::new(b"x");
/// let mut rest = &b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nhello\r\n--x--"[..];
/// let mut content: Vec<u8> = Vec::new();
/// while !rest.is_empty() {
///     let (taken, event) = form.step(rest).unwrap();
///     match event {
///         Some(FormEvent::Data) => content.extend(&rest[..taken]),
///         Some(FormEvent::Held(bytes)) => content.extend(&form.delimiter()[..bytes]),
///         _ => {}
///     }
///     rest = &rest[taken..];
/// }
/// assert!(form.is_over() && content == b"hello");
/// ```
pub struct FormDecoder {
    delimiter: [u8; DELIMITER_BYTES_MAX],
    delimiter_len: u8,
    state: State,
    /// Bytes of the delimiter that what came so far ends with. It has its CR first and no other, so that a beginning
    /// that is none leaves nothing to look at again but the byte that broke it.
    matched: u8,
    head: [u8; FORM_HEAD_BYTES_MAX],
    head_len: u16,
    parts: u32,
}

const _: () = assert!(FORM_HEAD_BYTES_MAX <= u16::MAX as usize);

impl FormDecoder {
    /// For a form with a boundary that [`form_boundary`](super::form_boundary) has found.
    ///
    /// # Panics
    /// When it is longer than [`FORM_BOUNDARY_BYTES_MAX`].
    pub fn new(boundary: &[u8]) -> Self {
        let mut delimiter = [0; DELIMITER_BYTES_MAX];
        delimiter[..4].copy_from_slice(b"\r\n--");
        delimiter[4..4 + boundary.len()].copy_from_slice(boundary);
        Self {
            delimiter,
            delimiter_len: 4 + boundary.len() as u8,
            state: State::Preamble,
            matched: 2, // the first boundary needs no line end before it
            head: [0; FORM_HEAD_BYTES_MAX],
            head_len: 0,
            parts: 0,
        }
    }

    /// What stands between parts.
    pub fn delimiter(&self) -> &[u8] {
        &self.delimiter[..usize::from(self.delimiter_len)]
    }

    /// The fields of the part that began last: lines, and a blank one.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// Whether the form has come to its end.
    pub fn is_over(&self) -> bool {
        self.state == State::Ended
    }

    /// Looks at `bytes`, of which there are some: how many of them are taken, and what was found by that. There is one of
    /// both at least.
    pub fn step(&mut self, bytes: &[u8]) -> Result<(usize, Option<FormEvent>), FormFault> {
        match self.state {
            State::Preamble | State::Body => Ok(self.search(bytes)),
            State::Head => self.read_head(bytes),
            State::Ended => Ok((bytes.len(), None)),
            State::Line | State::Hyphen | State::Padding | State::LineEnd => self.read_line(bytes),
        }
    }

    /// Looks for the delimiter, whose first `matched` bytes were found.
    fn search(&mut self, bytes: &[u8]) -> (usize, Option<FormEvent>) {
        let (matched, in_body) = (usize::from(self.matched), self.state == State::Body);
        let rest = &self.delimiter()[matched..];
        let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        if same == rest.len() {
            (self.matched, self.state) = (0, State::Line);
            return (same, in_body.then_some(FormEvent::Ends));
        }
        if same == bytes.len() {
            self.matched += same as u8;
            return (same, None);
        }
        if matched > 0 {
            self.matched = 0;
            return match in_body {
                true => (0, Some(FormEvent::Held(matched))),
                false => self.search(bytes),
            };
        }
        // What begins like the delimiter and is not one has no second CR in it.
        let from = same.max(1);
        let next = bytes[from..].iter().position(|&byte| byte == b'\r');
        (next.map_or(bytes.len(), |at| from + at), in_body.then_some(FormEvent::Data))
    }

    /// The rest of the line that a boundary is on (RFC 2046 §5.1.1).
    fn read_line(&mut self, bytes: &[u8]) -> Result<(usize, Option<FormEvent>), FormFault> {
        let next = match (self.state, bytes[0]) {
            (State::Line, b'-') => State::Hyphen,
            (State::Hyphen, b'-') => State::Ended,
            (State::Line | State::Padding, b' ' | b'\t') => State::Padding,
            (State::Line | State::Padding, b'\r') => State::LineEnd,
            (State::LineEnd, b'\n') => State::Head,
            _ => return Err(FormFault::Delimiter),
        };
        self.state = next;
        self.head_len = 0;
        Ok((1, (next == State::Ended).then_some(FormEvent::Ended)))
    }

    /// The fields of a part, through the blank line.
    fn read_head(&mut self, bytes: &[u8]) -> Result<(usize, Option<FormEvent>), FormFault> {
        for (index, &byte) in bytes.iter().enumerate() {
            let place = self.head.get_mut(usize::from(self.head_len));
            *place.ok_or(FormFault::HeadTooLong)? = byte;
            self.head_len += 1;
            if byte == b'\n' && (self.head().ends_with(b"\r\n\r\n") || self.head() == b"\r\n") {
                self.parts += 1;
                if self.parts > FORM_PARTS_MAX {
                    return Err(FormFault::TooManyParts);
                }
                self.state = State::Body;
                return Ok((index + 1, Some(FormEvent::Begins)));
            }
        }
        Ok((bytes.len(), None))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each part's head and content.
    type Parts = Vec<(Vec<u8>, Vec<u8>)>;

    /// What a form has in it when it comes in pieces of `most` bytes.
    fn parts(boundary: &str, form: &[u8], most: usize) -> Result<Parts, FormFault> {
        let mut decoder = FormDecoder::new(boundary.as_bytes());
        let (mut parts, mut open) = (Parts::new(), false);
        for mut rest in form.chunks(most) {
            while !rest.is_empty() {
                let (taken, event) = decoder.step(rest)?;
                assert!(taken > 0 || event.is_some(), "it gets on");
                match event {
                    Some(FormEvent::Begins) => {
                        assert!(!std::mem::replace(&mut open, true));
                        parts.push((decoder.head().to_vec(), Vec::new()));
                    }
                    Some(FormEvent::Data) => parts.last_mut().unwrap().1.extend(&rest[..taken]),
                    Some(FormEvent::Held(bytes)) => {
                        parts.last_mut().unwrap().1.extend(&decoder.delimiter()[..bytes]);
                    }
                    Some(FormEvent::Ends) => assert!(std::mem::take(&mut open)),
                    Some(FormEvent::Ended) => assert!(!open && decoder.is_over()),
                    None => {}
                }
                rest = &rest[taken..];
            }
        }
        if decoder.is_over() { Ok(parts) } else { Err(FormFault::Truncated) }
    }

    fn form(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut form = Vec::new();
        for (name, content) in parts {
            form.extend(
                format!("--{boundary}\r\nContent-Disposition: form-data; name={name}\r\n\r\n")
                    .bytes(),
            );
            form.extend(*content);
            form.extend(b"\r\n");
        }
        form.extend(format!("--{boundary}--\r\n").bytes());
        form
    }

    #[test]
    fn a_form_is_the_same_however_it_is_cut() {
        let contents: [&[u8]; 4] = [b"", b"hello", b"\r\n--x", b"a\r\n--AaB03\r\r\n--AaB03\r\n-"];
        let named: Vec<(&str, &[u8])> = contents.iter().map(|content| ("a", *content)).collect();
        let form = form("AaB03x", &named);
        for most in 1..=form.len() {
            let found: Vec<Vec<u8>> = parts("AaB03x", &form, most)
                .unwrap()
                .into_iter()
                .map(|(_, content)| content)
                .collect();
            assert_eq!(found, contents, "{most}");
        }
    }

    #[test]
    fn what_stands_before_and_behind_the_parts_says_nothing() {
        let form =
            b"preamble\r\n--x \t\r\n\r\none\r\n--x\r\nA: b\r\n\r\n\r\n--x--\r\nepilogue\r\n--x\r\n";
        for most in 1..=form.len() {
            let found = parts("x", form, most).unwrap();
            assert_eq!(
                found,
                [(b"\r\n".to_vec(), b"one".to_vec()), (b"A: b\r\n\r\n".to_vec(), Vec::new())]
            );
        }
        assert_eq!(parts("x", b"--x--", 1), Ok(Vec::new()));
        let bare = b"--x\r\n\r\n\r\n--x--";
        assert_eq!(parts("x", bare, 3), Ok(vec![(b"\r\n".to_vec(), Vec::new())]));
    }

    #[test]
    fn broken_forms_are_refused() {
        use FormFault::*;
        for (form, fault) in [
            (&b""[..], Truncated),
            (b"--x", Truncated),
            (b"--x\r\n\r\na", Truncated),
            (b"--x\r\n\r\na\r\n--x-", Truncated),
            (b"a--x--", Truncated), // no boundary, since no line begins with it
            (b"--xy\r\n", Delimiter),
            (b"--x\n", Delimiter),
            (b"--x\r\r\n", Delimiter),
            (b"--x-\r\n", Delimiter),
            (b"--x -", Delimiter),
        ] {
            for most in 1..=form.len().max(1) {
                assert_eq!(parts("x", form, most), Err(fault), "{}", form.escape_ascii());
            }
        }
    }

    #[test]
    fn the_bounds_hold_at_them_and_one_past_them() {
        let with_head = |bytes: usize| {
            let line = "a".repeat(bytes - 4);
            parts("x", format!("--x\r\n{line}\r\n\r\n\r\n--x--").as_bytes(), 100)
        };
        assert!(with_head(FORM_HEAD_BYTES_MAX).is_ok());
        assert_eq!(with_head(FORM_HEAD_BYTES_MAX + 1), Err(FormFault::HeadTooLong));
        let with_parts = |count: u32| {
            let parts_of = vec![("a", &b""[..]); count as usize];
            parts("x", &form("x", &parts_of), 1000).map(|parts| parts.len())
        };
        assert_eq!(with_parts(FORM_PARTS_MAX), Ok(FORM_PARTS_MAX as usize));
        assert_eq!(with_parts(FORM_PARTS_MAX + 1), Err(FormFault::TooManyParts));
    }

    proptest! {
        #[test]
        fn any_contents_without_the_boundary_come_out_as_they_went_in(
            contents in prop::collection::vec(
                prop::collection::vec(prop::sample::select(b"\r\n-xab".to_vec()), 0..40),
                0..5,
            ),
            boundary in "[xab]{1,6}Z",
            most in 1usize..50,
        ) {
            let named: Vec<(&str, &[u8])> = contents.iter().map(|content| ("a", &content[..])).collect();
            let found = parts(&boundary, &form(&boundary, &named), most).unwrap();
            let found: Vec<Vec<u8>> = found.into_iter().map(|(_, content)| content).collect();
            prop_assert_eq!(found, contents);
        }
    }
}
