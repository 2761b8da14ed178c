//! Messages and packets of streams.

use ringway::proto::stream::compress::{Compressor, Tables, decompress, room_bytes};
use ringway::proto::stream::secure::aead::{Opener, Sealer};
use ringway::proto::stream::{HEADROOM_BYTES, TAILROOM_BYTES};
use ringway::stream::{Anyone, ChannelOptions, Client as StreamClient, Identity, Options};
use ringway::time::Instant;

use crate::common::{Start, pattern};
use crate::{ALLOCATIONS, allocations, cost_of_asking};

#[path = "../../benches/support/stream.rs"]
mod stream;

/// What AWS-LC allocates for itself is not counted; it does so for a key alone.
#[test]
fn packets_are_sealed_and_opened_without_an_allocation() {
    let (sealer, opener) = (Sealer::new(&[7; 32], [1; 4]), Opener::new(&[7; 32], [1; 4]));
    let mut packet = pattern(1, 16_356);
    let before = ALLOCATIONS.get();
    for (counter, bytes) in (0..1000).zip([0, 64, 1400, 16_356].into_iter().cycle()) {
        let tag = sealer.seal(counter, &[3; 12], &mut packet[..bytes]);
        assert_eq!(opener.open(counter, &[3; 12], &mut packet[..bytes], &tag), Ok(()));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(packet == pattern(1, 16_356));
}

#[test]
fn messages_are_compressed_and_decompressed_without_an_allocation() {
    let (mut tables, mut compressor) = (Tables::new(), Compressor::new(u64::MAX));
    let message = b"words that come again, ".repeat(4000);
    let (mut out, mut back) = (vec![0; room_bytes(message.len())], vec![0; message.len()]);
    let before = ALLOCATIONS.get();
    for bytes in [128, 1400, 65_000, 70_000, 1400, message.len()] {
        let clock = || Instant::from_ns(0);
        let small = compressor.compress(&mut tables, &message[..bytes], &mut out, clock);
        let size = decompress(&out[..small.expect("it has repetitions")], bytes, &mut back);
        assert_eq!(size, Ok(bytes));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(back == message);
}

#[test]
fn messages_of_streams_allocate_nothing_on_an_lcore() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    std::fs::write(&path, &*Identity::from_secret(&[1; 32]).to_text()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let settings =
        format!("identity = \"{}\", trust = \"anyone\", encrypt = \"offered\"", path.display());
    for (encrypt, compress) in [(false, false), (true, false), (true, true)] {
        let server = Start::new().listener("stream", &settings).start();
        let options = Options { encrypt, compress, ..Options::default() };
        let client = StreamClient::new(Identity::from_secret(&[2; 32]), Anyone).options(options);
        let stream = client.connect(&format!("tcp:{}", server.address(0))).unwrap();
        let channel = stream.open(2, ChannelOptions::default()).unwrap();
        let messages = [pattern(1, 64), vec![b'x'; 1400], pattern(2, 9000), vec![b'y'; 9000]];
        let exchange = || {
            for message in &messages {
                channel.send(message.clone()).unwrap();
                assert!(channel.recv().unwrap().as_ref() == Some(message));
            }
            // Some of them share packets.
            for _ in 0..20 {
                channel.send(messages[0].clone()).unwrap();
            }
            for _ in 0..20 {
                assert!(channel.recv().unwrap().as_ref() == Some(&messages[0]));
            }
        };
        (0..300).for_each(|_| exchange());
        let (asking, before) = (cost_of_asking(&server), allocations(&server));
        (0..2000).for_each(|_| exchange());
        let allocated = allocations(&server) - before - asking;
        assert_eq!(allocated, 0, "encrypted {encrypt}, compressed {compress}");
        drop((channel, stream));
        server.stop();
    }
}

#[test]
fn packets_of_a_stream_go_out_and_in_without_an_allocation() {
    for encrypted in [false, true] {
        let mut ends = stream::Ends::connected(encrypted);
        let payload = pattern(1, 1000);
        let mut room = vec![0; HEADROOM_BYTES + payload.len() + TAILROOM_BYTES];
        let before = ALLOCATIONS.get();
        for _ in 0..100 {
            (0..16).for_each(|_| assert_eq!(ends.pass_batch(&mut room, &payload[..50], 16), 800));
            (0..32).for_each(|_| assert_eq!(ends.pass(&mut room, &payload), payload.len()));
            ends.exchange();
        }
        assert_eq!(ALLOCATIONS.get(), before);
        let arrived = &room[HEADROOM_BYTES..][..payload.len()];
        assert!(arrived == payload, "decrypted where it was sealed");
    }
}
