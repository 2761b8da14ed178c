//! AES-256-GCM: each implementation by itself, and the door in front of the one that is built. Packets
//! are sealed and opened in place with a header's 12 bytes beside them. And the handshake that yields
//! their keys.

use std::hint::black_box;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway::proto::stream::secure::aead::{Opener, Sealer};
use ringway::proto::stream::secure::handshake::{
    ENCRYPT, HandshakeFault, Initiator, Offer, Responder, Secrets,
};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;

const KEY: [u8; 32] = [7; 32];
const HEADER: [u8; 12] = [1; 12];

/// Some small ones, an Ethernet frame's, and the largest of a stream: 16384 with header and tag.
const LENGTHS: [usize; 7] = [0, 16, 64, 256, 1400, 4096, 16_356];

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("aead_seal");
    for length in LENGTHS {
        group.throughput(Throughput::BytesDecimal(length.max(1) as u64));
        let (mut bytes, mut counter) = (vec![0x5a; length], 0u64);
        let door = Sealer::new(&KEY, [0; 4]);
        group.bench_function(BenchmarkId::new("door", length), |b| {
            b.iter(|| {
                counter += 1;
                door.seal(black_box(counter), &HEADER, &mut bytes)
            });
        });
        let portable = Aes256Gcm::new(&KEY.into());
        group.bench_function(BenchmarkId::new("aes-gcm", length), |b| {
            b.iter(|| {
                counter += 1;
                let nonce = nonce(black_box(counter)).into();
                portable.encrypt_inout_detached(&nonce, &HEADER, (&mut bytes[..]).into())
            });
        });
        #[cfg(feature = "fast-aead")]
        {
            use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
            let fast = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).expect("a key"));
            group.bench_function(BenchmarkId::new("aws-lc-rs", length), |b| {
                b.iter(|| {
                    counter += 1;
                    let nonce = Nonce::assume_unique_for_key(nonce(black_box(counter)));
                    fast.seal_in_place_separate_tag(nonce, Aad::from(&HEADER[..]), &mut bytes)
                });
            });
        }
    }
    group.finish();
}

/// The sealed bytes are copied in first each time, which is part of the figure.
fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("aead_open");
    for length in LENGTHS {
        group.throughput(Throughput::BytesDecimal(length.max(1) as u64));
        let mut sealed = vec![0x5a; length];
        let tag = Sealer::new(&KEY, [0; 4]).seal(1, &HEADER, &mut sealed);
        let (door, mut bytes) = (Opener::new(&KEY, [0; 4]), sealed.clone());
        group.bench_function(BenchmarkId::new("door", length), |b| {
            b.iter(|| {
                bytes.copy_from_slice(&sealed);
                door.open(black_box(1), &HEADER, &mut bytes, &tag)
            });
        });
        let portable = Aes256Gcm::new(&KEY.into());
        group.bench_function(BenchmarkId::new("aes-gcm", length), |b| {
            b.iter(|| {
                bytes.copy_from_slice(&sealed);
                let (nonce, bytes) = (nonce(black_box(1)).into(), (&mut bytes[..]).into());
                portable.decrypt_inout_detached(&nonce, &HEADER, bytes, &tag.into())
            });
        });
    }
    group.finish();
}

/// What a channel's opening and each of its epochs cost.
fn schedule(c: &mut Criterion) {
    c.bench_function("aead_schedule", |b| b.iter(|| Sealer::new(black_box(&KEY), [0; 4])));
}

/// What a responder does for a HELLO of anybody, and what both ends do for a whole handshake.
fn handshake(c: &mut Criterion) {
    let (one, other) = (Identity::from_secret(&[1; 32]), Identity::from_secret(&[2; 32]));
    let offer = Offer { version_min: 1, version_max: 1, offers: ENCRYPT, requires: ENCRYPT };
    let secrets = |of| Secrets { nonce: [of; 32], ephemeral: [of; 32] };
    let responder = || Responder::new(&other, offer, secrets(2), [3; 16]);
    let hello = *Initiator::new(&one, offer, secrets(1)).hello();
    c.bench_function("handshake/on_hello", |b| {
        b.iter(|| responder().on_hello(black_box(&hello)).map(|reply| reply[0]));
    });
    c.bench_function("handshake/whole", |b| {
        b.iter(|| -> Result<_, HandshakeFault> {
            let (mut initiator, mut responder) =
                (Initiator::new(&one, offer, secrets(1)), responder());
            let reply = responder.on_hello(initiator.hello())?;
            let auth = initiator.on_reply(reply, &Anyone)?;
            let (ready, at_responder) = responder.on_auth(auth, &Anyone)?;
            Ok((initiator.on_ready(ready)?, at_responder))
        });
    });
}

criterion_group!(benches, seal, open, schedule, handshake);
criterion_main!(benches);
