use proptest::prelude::*;

use super::*;

const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];
const SALT: [u8; SALT_BYTES] = [1, 2, 3, 4];

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(pair).collect()
}

/// A vector as its source writes it. The last eight bytes of its nonce are our counter, read as little
/// end first.
struct Vector {
    key: &'static str,
    nonce: &'static str,
    plain: &'static str,
    aad: &'static str,
    sealed: &'static str,
    tag: &'static str,
}

/// Test cases 13 to 16 of the GCM specification that was submitted to NIST (McGrew and Viega).
const VECTORS: [Vector; 4] = [
    Vector {
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        plain: "",
        aad: "",
        sealed: "",
        tag: "530f8afbc74536b9a963b4f1c4cb738b",
    },
    Vector {
        key: "0000000000000000000000000000000000000000000000000000000000000000",
        nonce: "000000000000000000000000",
        plain: "00000000000000000000000000000000",
        aad: "",
        sealed: "cea7403d4d606b6e074ec5d3baf39d18",
        tag: "d0d1c8a799996bf0265b98b5d48ab919",
    },
    Vector {
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        aad: "",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
        tag: "b094dac5d93471bdec1a502270e3cc6c",
    },
    Vector {
        key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce: "cafebabefacedbaddecaf888",
        plain: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        tag: "76fc6ece0f4e1768cddf8853bb2d551b",
    },
];

#[test]
fn the_vectors_of_the_specification_hold_both_ways() {
    for vector in &VECTORS {
        let key: [u8; KEY_BYTES] = unhex(vector.key).try_into().unwrap();
        let nonce = unhex(vector.nonce);
        let salt = nonce[..SALT_BYTES].try_into().unwrap();
        let counter = u64::from_le_bytes(nonce[SALT_BYTES..].try_into().unwrap());
        let (plain, aad) = (unhex(vector.plain), unhex(vector.aad));
        let mut bytes = plain.clone();
        let tag = Sealer::new(&key, salt).seal(counter, &aad, &mut bytes);
        assert_eq!(bytes, unhex(vector.sealed));
        assert_eq!(tag[..], unhex(vector.tag));
        Opener::new(&key, salt).open(counter, &aad, &mut bytes, &tag).unwrap();
        assert_eq!(bytes, plain);
        let nonce = nonce.try_into().unwrap();
        let tag = portable::Schedule::new(&key).seal(&nonce, &aad, &mut bytes);
        assert_eq!((bytes, tag.to_vec()), (unhex(vector.sealed), unhex(vector.tag)));
    }
}

#[test]
fn any_change_of_what_was_sealed_is_found() {
    let (sealer, opener) = (Sealer::new(&KEY, SALT), Opener::new(&KEY, SALT));
    let (plain, aad) = ([0x5a; 40], [1, 2, 3]);
    let mut sealed = plain;
    let tag = sealer.seal(9, &aad, &mut sealed);
    for at in 0..sealed.len() {
        let mut changed = sealed;
        changed[at] ^= 1;
        assert_eq!(opener.open(9, &aad, &mut changed, &tag), Err(Forged));
    }
    for at in 0..tag.len() {
        let mut changed = tag;
        changed[at] ^= 0x80;
        assert_eq!(opener.open(9, &aad, &mut sealed.clone(), &changed), Err(Forged));
    }
    assert_eq!(opener.open(9, &[1, 2, 4], &mut sealed.clone(), &tag), Err(Forged));
    assert_eq!(opener.open(9, &aad, &mut sealed[..39].to_vec(), &tag), Err(Forged));
    assert_eq!(opener.open(9, &aad, &mut sealed, &tag), Ok(()));
    assert_eq!(sealed, plain);
}

#[test]
fn counter_salt_and_key_each_make_a_packet_of_their_own() {
    let seal = |key: &[u8; KEY_BYTES], salt, counter| {
        let mut bytes = [0; 32];
        let tag = Sealer::new(key, salt).seal(counter, &[], &mut bytes);
        (bytes, tag)
    };
    let first = seal(&KEY, SALT, 1);
    for other in [seal(&KEY, SALT, 1 << 32), seal(&KEY, [0; 4], 1), seal(&[8; 32], SALT, 1)] {
        assert!(first.0 != other.0 && first.1 != other.1);
    }
}

#[test]
fn nothing_of_a_key_is_printed() {
    assert_eq!(format!("{:?}", Sealer::new(&KEY, SALT)), "Sealer");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_and_the_portable_one_give_the_same_bytes(
        key: [u8; KEY_BYTES],
        nonce: [u8; NONCE_BYTES],
        aad in prop::collection::vec(any::<u8>(), 0..64),
        bytes in prop_oneof![0usize..600, 0usize..20_000],
        seed: u8,
    ) {
        let plain: Vec<u8> = (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
        let (ours, portable) = (Schedule::new(&key), portable::Schedule::new(&key));
        let (mut one, mut other) = (plain.clone(), plain.clone());
        let tag = ours.seal(&nonce, &aad, &mut one);
        prop_assert_eq!(tag, portable.seal(&nonce, &aad, &mut other));
        prop_assert!(one == other);
        // On its way elsewhere it comes to the same.
        let head = usize::from(seed).min(plain.len());
        let begun = [&plain[..head], &vec![0; plain.len() - head + TAG_BYTES]].concat();
        let (mut copied, mut by_portable) = (begun.clone(), begun);
        ours.seal_copy(&nonce, &aad, &mut copied, head, &plain[head..]);
        portable.seal_copy(&nonce, &aad, &mut by_portable, head, &plain[head..]);
        prop_assert!(copied == [&one[..], &tag].concat() && by_portable == copied);
        // Each opens what the other sealed, and finds the same mistakes.
        let mut wrong = tag;
        wrong[usize::from(seed % 16)] ^= 1;
        prop_assert_eq!(ours.open(&nonce, &aad, &mut one.clone(), &wrong), Err(Forged));
        prop_assert_eq!(portable.open(&nonce, &aad, &mut one.clone(), &wrong), Err(Forged));
        prop_assert_eq!(ours.open(&nonce, &aad, &mut other, &tag), Ok(()));
        prop_assert_eq!(portable.open(&nonce, &aad, &mut one, &tag), Ok(()));
        prop_assert!(one == plain && other == plain);
    }
}
