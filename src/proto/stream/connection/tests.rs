use super::*;
use crate::proto::stream::pair::*;
use crate::proto::stream::secure::handshake::BATCH;
use crate::proto::stream::*;

mod batch;
mod bytes;
mod credit;
mod ending;
mod handshake;
mod keepalive;
mod network;
mod nonces;
mod rekey;
mod rules;

const MODES: [Mode; 2] = [Mode::Stream, Mode::Datagram];

/// Every mode, sealed and in the clear.
fn configs() -> [Config; 4] {
    [config(MODES[0]), config(MODES[1]), plain(MODES[0]), plain(MODES[1])]
}

/// The same without batches: each message is a packet.
fn apart(mut config: Config) -> Config {
    config.offer.offers &= !BATCH;
    config
}

#[test]
fn a_message_goes_there_and_back() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        pair.say(0, channel, b"there");
        pair.run_ms(20);
        assert_eq!(pair.ends[1].messages(channel), [b"there"]);
        pair.say(1, channel, b"and back");
        pair.run_ms(20);
        assert_eq!(pair.ends[0].messages(channel), [b"and back"]);
        let peers = pair.ends.each_ref().map(|end| *end.connection.peer().unwrap());
        assert_eq!(peers, [identity(1).public(), identity(0).public()]);
        assert_eq!(pair.ends[0].connection.session_id(), Some(&[7; 16]));
        assert_eq!(pair.ends[0].connection.is_encrypted(), config.offer.requires != 0);
    }
}

#[test]
fn a_large_message_goes_in_pieces() {
    for config in configs() {
        let (mut pair, channel) = Pair::with_channel(config);
        let message: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        pair.say(0, channel, &message);
        pair.run_ms(500);
        assert!(pair.ends[1].messages(channel) == [message]);
        let [sent, received] =
            [0, 1].map(|end| pair.ends[end].connection.channel(channel).unwrap().statistics);
        assert_eq!(sent.sent.bytes, 200_000);
        assert_eq!(sent.sent, received.received, "headers of pieces are not counted");
    }
}
