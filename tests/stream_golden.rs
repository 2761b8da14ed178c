//! The bytes of a stream's handshake and of sealed packets, as they are and stay: fixed secrets give
//! the files in `tests/golden/stream`, and a second implementation there comes to the same.
//!
//! `RINGWAY_WRITE_GOLDEN=1 cargo test --test stream_golden` writes the files anew: a change of them is
//! a change of the wire.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use ringway::proto::stream::secure::cookie::Cookies;
use ringway::proto::stream::secure::handshake::{
    Agreed, COMPRESS, ENCRYPT, Initiator, Offer, Responder, Secrets,
};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::keys::Direction;
use ringway::proto::stream::secure::messages::Hello;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::time::Instant;

const ADDRESS: &[u8] = b"192.0.2.1:7000";

/// 32 bytes that count up from `first`.
fn bytes(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + at as u8)
}

fn secrets(first: u8) -> Secrets {
    Secrets { nonce: bytes(first), ephemeral: bytes(first + 32) }
}

fn initiator() -> Initiator {
    let offer = Offer { version_min: 1, version_max: 2, offers: 3, requires: ENCRYPT };
    Initiator::new(&Identity::from_secret(&bytes(0x00)), offer, secrets(0x40))
}

fn responder() -> Responder {
    let offer = Offer { version_min: 1, version_max: 1, offers: 3, requires: COMPRESS };
    let session_id = std::array::from_fn(|at| 0xc0 + at as u8);
    Responder::new(&Identity::from_secret(&bytes(0x20)), offer, secrets(0x80), session_id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes a line.
fn lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| hex(line) + "\n").collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream").join(name)
}

fn compare(name: &str, found: &str) {
    let path = path(name);
    if env::var_os("RINGWAY_WRITE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == found, "{} holds\n{kept}and now it is\n{found}", path.display());
}

/// Sealed packets of each direction, some channels and epochs: direction, channel, incarnation, epoch,
/// counter, the header that is authenticated with it, what is in it, and both sealed with the tag.
fn packets(agreed: &Agreed) -> String {
    let mut text = String::new();
    let cases = [
        (Direction::Initiator, 0, 0, 0, 2),
        (Direction::Responder, 0, 0, 0, 2),
        (Direction::Initiator, 1, 0, 0, 0),
        (Direction::Initiator, 1, 0, 1, 16_777_216),
        (Direction::Initiator, 1, 1, 2, 4_294_967_296),
        (Direction::Responder, 513, 70_000, 0, u64::MAX),
    ];
    for (index, (direction, ch, incarnation, epoch, counter)) in cases.into_iter().enumerate() {
        let first = agreed.traffic.channel(direction, ch, incarnation);
        let secret = (0..epoch).fold(first, |secret, _| secret.next());
        let mut packet = vec![0xa5; 7 * index];
        let header: [u8; 12] = std::array::from_fn(|at| (16 * index + at) as u8);
        let plain = hex(&packet);
        let tag = secret.sealer().seal(counter, &header, &mut packet);
        packet.extend(tag);
        let from = if direction == Direction::Initiator { "i" } else { "r" };
        let (header, sealed) = (hex(&header), hex(&packet));
        let plain = if plain.is_empty() { "-" } else { &plain };
        writeln!(text, "{from} {ch} {incarnation} {epoch} {counter} {header} {plain} {sealed}")
            .unwrap();
    }
    text
}

#[test]
fn fixed_secrets_give_the_bytes_that_are_kept() {
    let (mut initiator, mut responder) = (initiator(), responder());
    let first = Hello::decode(initiator.hello()).unwrap();
    let retry = Cookies::new(bytes(0xd0)).retry(ADDRESS, &first, Instant::from_ns(12_000_000_000));
    compare("retry.hex", &lines(&retry));
    compare("hello_first.hex", &lines(initiator.hello()));
    initiator.on_retry(&retry).unwrap();
    compare("hello.hex", &lines(initiator.hello()));
    let reply = responder.on_hello(initiator.hello()).unwrap();
    compare("reply.hex", &lines(reply));
    let auth = initiator.on_reply(reply, &Anyone).unwrap();
    compare("auth.hex", &lines(auth));
    let (ready, at_responder) = responder.on_auth(auth, &Anyone).unwrap();
    compare("ready.hex", &lines(ready));
    let at_initiator = initiator.on_ready(ready).unwrap();
    compare("packets.txt", &packets(&at_initiator));
    compare("packets.txt", &packets(&at_responder));
    let nodes = format!("{} {}\n", at_responder.peer.address(), at_initiator.peer.address());
    compare("nodes.txt", &nodes);
}

#[test]
fn a_second_implementation_comes_to_the_same_bytes() {
    match Command::new("python3").arg(path("check.py")).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => println!("skipped: no python3"),
        Err(error) => panic!("python3: {error}"),
    }
}
