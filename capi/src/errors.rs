//! Numbers of errors, their texts, and the sentence of a failed attachment.

use std::ffi::{c_char, c_int};
use std::fmt;

/// What was passed is not right: a null pointer, a queue that there is not, a message that the program
/// does not have.
pub const RINGWAY_EINVAL: c_int = -1;
/// The dataplane has lent no empty slot right now.
pub const RINGWAY_EAGAIN: c_int = -2;
/// The dataplane has ended, or has closed the port.
pub const RINGWAY_EGONE: c_int = -3;
/// Attaching failed; the error says why.
pub const RINGWAY_EATTACH: c_int = -4;
/// More bytes than one call takes.
pub const RINGWAY_EMSGSIZE: c_int = -5;
/// A bug of ringway.
pub const RINGWAY_EBUG: c_int = -6;
/// Enough of a response waits for those to the requests before it: answer these first.
pub const RINGWAY_ETURN: c_int = -7;

/// Bytes of an error's text, with the zero that ends it.
pub const RINGWAY_ERROR_TEXT_BYTES: usize = 512;

/// What failed.
#[repr(C)]
pub struct Error {
    /// One of the `RINGWAY_E…` numbers.
    pub code: c_int,
    /// A sentence: what failed, why, and what mends it. Cut where it is too long.
    pub text: [c_char; RINGWAY_ERROR_TEXT_BYTES],
}

impl Error {
    /// Writes the usual text of `code`; gives the code back.
    pub(crate) fn report(error: Option<&mut Self>, code: c_int) -> c_int {
        Self::tell(error, code, &sentence(code).to_string_lossy())
    }

    /// Writes `failure`; gives the code back.
    pub(crate) fn tell(error: Option<&mut Self>, code: c_int, failure: &dyn fmt::Display) -> c_int {
        if let Some(error) = error {
            error.code = code;
            error.text = [0; RINGWAY_ERROR_TEXT_BYTES];
            let text = failure.to_string();
            // The last byte stays zero.
            let room = &mut error.text[..RINGWAY_ERROR_TEXT_BYTES - 1];
            for (to, from) in room.iter_mut().zip(text.bytes()) {
                *to = from as c_char;
            }
        }
        code
    }
}

fn sentence(code: c_int) -> &'static std::ffi::CStr {
    match code {
        0.. => c"nothing failed",
        RINGWAY_EINVAL => {
            c"cannot take this argument: it is null, no queue of the port, or a message that was released or sent before; look at the call"
        }
        RINGWAY_ETURN => {
            c"enough of this response waits for its turn: requests before it on its connection are not answered; answer those first"
        }
        RINGWAY_EAGAIN => {
            c"cannot get a slot: the dataplane has lent none right now; flush, receive, and try again"
        }
        RINGWAY_EGONE => {
            c"cannot use the port: the dataplane has ended, or has closed it; detach, and attach again"
        }
        RINGWAY_EATTACH => c"cannot attach to the port: see the text of the error",
        RINGWAY_EMSGSIZE => c"cannot send this at once: it is too long; send it in parts",
        RINGWAY_EBUG => c"cannot go on: a bug of ringway; stderr has more, please report it",
        _ => c"no error of ringway has this number",
    }
}

/// The sentence of an error number: what failed, why, and what mends it. It stays for ever.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_strerror(code: c_int) -> *const c_char {
    sentence(code).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_room_less_one_is_whole_and_one_past_it_is_cut() {
        for bytes in [RINGWAY_ERROR_TEXT_BYTES - 1, RINGWAY_ERROR_TEXT_BYTES] {
            let mut error = Error { code: 0, text: [1; RINGWAY_ERROR_TEXT_BYTES] };
            assert_eq!(Error::tell(Some(&mut error), RINGWAY_EATTACH, &"x".repeat(bytes)), -4);
            let text: Vec<u8> = error.text.iter().map(|&c| c as u8).collect();
            assert_eq!((text[510], text[511]), (b'x', 0));
        }
    }
}
