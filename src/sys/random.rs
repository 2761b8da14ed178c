//! Randomness for keys, from the kernel.

use std::io;

/// Fills `out` with bytes that nobody can guess (getrandom(2)). Waits where the machine has just booted
/// and the kernel has none yet.
pub fn fill(mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        // SAFETY: the kernel writes at most the bytes of the slice.
        let got = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => out = &mut out[got..],
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_asked_for_is_filled_and_never_the_same() {
        let mut rooms = [[0; 1000]; 2];
        rooms.iter_mut().for_each(|room| fill(room).unwrap());
        assert_ne!(rooms[0], rooms[1]);
        for room in rooms {
            assert!(room.chunks(100).all(|part| part.iter().any(|&byte| byte != 0)));
        }
    }

    #[test]
    fn nothing_asked_for_is_nothing_done() {
        fill(&mut []).unwrap();
    }
}
