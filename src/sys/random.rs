//! Randomness from the kernel (getrandom(2)): for keys and nonces.

use std::io;

/// Fills `out` with bytes that nobody can foretell. Waits while a machine that has just started has not
/// gathered any.
pub fn fill(out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        // SAFETY: the pointer and the length are those of one slice that may be written to.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => done += count,
            Err(_) => {
                let why = io::Error::last_os_error();
                if why.kind() != io::ErrorKind::Interrupted {
                    return Err(why);
                }
            }
        }
    }
    Ok(())
}

/// So many such bytes.
pub fn bytes<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut out = [0; BYTES];
    fill(&mut out).map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_leave_no_byte_out() {
        let (one, other) = (bytes::<32>().unwrap(), bytes::<32>().unwrap());
        assert_ne!(one, other);
        // A kernel gives at most 256 bytes without being interrupted; more come in turns.
        let mut seen = vec![false; 1000];
        for _ in 0..64 {
            let mut out = vec![0; 1000];
            fill(&mut out).unwrap();
            seen.iter_mut().zip(&out).for_each(|(seen, &byte)| *seen |= byte != 0);
        }
        assert!(seen.iter().all(|&seen| seen));
    }
}
