//! XOR with a key of four bytes, over and over: the masking of WebSocket (RFC 6455 §5.3), as fast as the
//! first cache is read and written. What the machine can is asked of it at run time.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512i, __mmask64, _mm512_loadu_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8,
    _mm512_set1_epi32, _mm512_storeu_epi8, _mm512_xor_si512,
};

/// From how many bytes on it pays to bring the stores to boundaries of cache lines first.
#[cfg(target_arch = "x86_64")]
const ALIGN_FROM_BYTES: usize = 2048;

#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// XORs `bytes` with `key`, of which the byte numbered `phase` (modulo 4) comes first. The same again undoes
/// it.
#[inline]
pub fn mask(bytes: &mut [u8], key: [u8; 4], phase: usize) {
    let key = turned(key, phase);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has AVX-512BW.
        return unsafe { mask_avx512(bytes, key) };
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { mask_avx2(bytes, key) };
    }
    mask_portably(bytes, key);
}

/// The key whose first byte is the one numbered `by`.
#[inline(always)]
fn turned(key: [u8; 4], by: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (by % 4) as u32).to_le_bytes()
}

/// Eight bytes at a time, of which the compiler makes what its target has.
#[inline(always)]
fn mask_words(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let key = [a, b, c, d, a, b, c, d];
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(key)).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

/// Out of line, so that nobody pays for it who does not need it.
#[inline(never)]
fn mask_portably(bytes: &mut [u8], key: [u8; 4]) {
    mask_words(bytes, key);
}

/// The same code for a target that has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mask_avx2(bytes: &mut [u8], key: [u8; 4]) {
    mask_words(bytes, key);
}

/// 64 bytes at a time, and what is left under a bit mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw")]
fn mask_avx512(mut bytes: &mut [u8], mut key: [u8; 4]) {
    if bytes.len() >= ALIGN_FROM_BYTES {
        let (front, rest) = bytes.split_at_mut(bytes.as_ptr().align_offset(LINE_BYTES));
        mask_part(front, _mm512_set1_epi32(i32::from_ne_bytes(key)));
        key = turned(key, front.len());
        bytes = rest;
    }
    let key = _mm512_set1_epi32(i32::from_ne_bytes(key));
    let (lines, rest) = bytes.as_chunks_mut::<LINE_BYTES>();
    for line in lines {
        mask_line(line, key);
    }
    // A store of no lanes takes longer than one of some.
    if !rest.is_empty() {
        mask_part(rest, key);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512bw")]
fn mask_line(line: &mut [u8; LINE_BYTES], key: __m512i) {
    // SAFETY: 64 bytes are read of an array of as many; the load needs no alignment.
    let bytes = unsafe { _mm512_loadu_epi8(line.as_ptr().cast()) };
    let masked = _mm512_xor_si512(bytes, key);
    // SAFETY: 64 bytes are written to the array, which is borrowed exclusively.
    unsafe { _mm512_storeu_epi8(line.as_mut_ptr().cast(), masked) };
}

/// Fewer than 64 bytes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512bw")]
fn mask_part(part: &mut [u8], key: __m512i) {
    assert!(part.len() < LINE_BYTES);
    let lanes: __mmask64 = (1 << part.len()) - 1;
    // SAFETY: the lanes of the slice alone are read; the others do not touch memory.
    let bytes = unsafe { _mm512_maskz_loadu_epi8(lanes, part.as_ptr().cast()) };
    let masked = _mm512_xor_si512(bytes, key);
    // SAFETY: the lanes of the slice alone are written, and it is borrowed exclusively.
    unsafe { _mm512_mask_storeu_epi8(part.as_mut_ptr().cast(), lanes, masked) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Implementation = (&'static str, fn(&mut [u8], [u8; 4]));

    fn byte_by_byte(bytes: &mut [u8], key: [u8; 4]) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[at % 4];
        }
    }

    /// Those that this machine can run.
    fn implementations() -> Vec<Implementation> {
        let mut found: Vec<Implementation> = vec![("portable", mask_portably)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                found.push(("avx2", |bytes, key| unsafe { mask_avx2(bytes, key) }));
            }
            if is_x86_feature_detected!("avx512bw") {
                // SAFETY: the processor has AVX-512BW.
                found.push(("avx512", |bytes, key| unsafe { mask_avx512(bytes, key) }));
            }
        }
        found
    }

    fn filled(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
    }

    /// Masks a part of a buffer, and compares all of it.
    fn check(buffer: &[u8], start: usize, len: usize, key: [u8; 4], phase: usize) {
        let (mut got, mut expected) = (buffer.to_vec(), buffer.to_vec());
        let mut turned = key;
        turned.rotate_left(phase % 4);
        byte_by_byte(&mut expected[start..start + len], turned);
        mask(&mut got[start..start + len], key, phase);
        assert_eq!(got, expected, "{start} {len} {phase}");
        for (name, implementation) in implementations() {
            got.copy_from_slice(buffer);
            implementation(&mut got[start..start + len], turned);
            assert_eq!(got, expected, "{name} {start} {len} {phase}");
        }
    }

    // W-7
    #[test]
    fn every_length_at_every_alignment_in_every_phase_is_as_byte_by_byte() {
        let buffer = filled(64 + 300);
        for start in 0..64 {
            for len in 0..300 {
                check(&buffer, start, len, [0x37, 0xfa, 0x21, 0x3d], start + len);
            }
        }
    }

    #[test]
    fn long_buffers_at_every_alignment_are_as_byte_by_byte() {
        let buffer = filled(64 + ALIGN_FROM_BYTES + 129);
        for start in 0..64 {
            for len in [ALIGN_FROM_BYTES - 1, ALIGN_FROM_BYTES, ALIGN_FROM_BYTES + 129 - start] {
                check(&buffer, start, len, [1, 2, 4, 8], start);
            }
        }
    }

    proptest! {
        // W-7
        #[test]
        fn pieces_that_follow_each_other_are_masked_as_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5000),
            key: [u8; 4],
            cut in 0usize..5000,
            phase in 0usize..9,
        ) {
            let cut = cut.min(bytes.len());
            check(&bytes, 0, bytes.len(), key, phase);
            let (mut whole, mut parts) = (bytes.clone(), bytes.clone());
            mask(&mut whole, key, phase);
            mask(&mut parts[..cut], key, phase);
            mask(&mut parts[cut..], key, phase + cut);
            prop_assert_eq!(&parts, &whole);
            mask(&mut whole, key, phase);
            prop_assert_eq!(whole, bytes);
        }
    }
}
