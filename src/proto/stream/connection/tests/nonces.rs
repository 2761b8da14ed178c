//! No number is sealed twice with one key, whatever the peer says about channels.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// What the peer says, and what we do meanwhile.
#[derive(Debug, Clone, Copy)]
enum Op {
    Hear { ch: u16, incarnation: u32, word: Word },
    Open,
    Say { ch: u16 },
    Rekey { ch: u16 },
    Shut { ch: u16 },
}

/// A session of which one end is ours (1) and the other says whatever a test has it say, sealed as it
/// has to be.
struct Watch {
    pair: Pair,
    /// What tells a key from any other, and the number that was sealed with it.
    sealed: HashSet<([u8; 16], u32)>,
}

impl Watch {
    fn new(mode: Mode) -> Self {
        Self { pair: Pair::connected(config(mode)), sealed: HashSet::new() }
    }

    fn ours(&mut self) -> &mut Connection {
        &mut self.pair.ends[1].connection
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Hear { ch, incarnation, word } => self.hear(ch, incarnation, word),
            Op::Open => {
                let now = self.pair.now;
                _ = self.ours().open_channel(now, 0x10, false);
            }
            Op::Say { ch } => self.say(ch),
            Op::Rekey { ch } => _ = self.ours().rekey(ch),
            Op::Shut { ch } => _ = self.ours().close_channel(ch),
        }
        self.drain();
    }

    fn hear(&mut self, ch: u16, incarnation: u32, word: Word) {
        let (now, mut out) = (self.pair.now, [0; TRANSMIT_BYTES_MAX]);
        let peer = &mut self.pair.ends[0].connection;
        peer.answers.push_back(Answer::Word { ch, incarnation, word });
        let len = peer.poll_transmit(now, &mut out).expect("it says that");
        _ = self.ours().handle_packet(now, &mut out[..len]);
    }

    fn say(&mut self, ch: u16) {
        let now = self.pair.now;
        let piece = self.ours().pieces(5).next().unwrap();
        let mut room = [7; HEADROOM_BYTES + 5 + TAILROOM_BYTES];
        let payload = HEADROOM_BYTES..HEADROOM_BYTES + 5;
        if let Ok(packet) = self.ours().seal(now, ch, piece, false, &mut room, payload) {
            let header = Header::decode(room[packet].first_chunk().unwrap()).unwrap();
            let print = print(self.ours().table.get(ch).unwrap().keys.as_ref());
            self.note(header, print);
        }
    }

    fn drain(&mut self) {
        let (now, mut out) = (self.pair.now, [0; TRANSMIT_BYTES_MAX]);
        loop {
            let print = print(self.ours().keys.as_ref());
            let Some(_) = self.ours().poll_transmit(now, &mut out) else { break };
            self.note(Header::decode(out.first_chunk().unwrap()).unwrap(), print);
        }
    }

    fn note(&mut self, header: Header, print: [u8; 16]) {
        assert!(header.flags.has(Flags::ENCRYPTED), "{header:?}");
        assert!(self.sealed.insert((print, header.seq_id)), "a number twice: {header:?}");
    }
}

/// What a key makes of nothing at all, under a number that no packet has.
fn print(keys: Option<&Keys>) -> [u8; 16] {
    keys.expect("the stream is sealed").send.seal(u64::MAX, &[0; HEADER_BYTES], &mut [])
}

fn word() -> impl Strategy<Value = Word> {
    let open = Word::Open { channel_type: 0x10, may_compress: false, credit: 3 };
    prop_oneof![
        4 => Just(open),
        3 => (1u32..4).prop_map(|own| Word::Opened { own, credit: 3 }),
        3 => Just(Word::Shut { last: 0 }),
        1 => Just(Word::Gone),
        1 => Just(Word::Refused { code: 13 }),
        1 => (0u32..3).prop_map(|epoch| Word::Credit { limit: 5, epoch }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let hear = (1u16..5, 1u32..4, word());
    prop_oneof![
        6 => hear.prop_map(|(ch, incarnation, word)| Op::Hear { ch, incarnation, word }),
        1 => Just(Op::Open),
        5 => (1u16..5).prop_map(|ch| Op::Say { ch }),
        1 => (0u16..5).prop_map(|ch| Op::Rekey { ch }),
        3 => (1u16..5).prop_map(|ch| Op::Shut { ch }),
    ]
}

const OPEN: Word = Word::Open { channel_type: 0x10, may_compress: false, credit: 3 };

#[test]
fn a_channel_that_the_peer_opens_again_under_the_same_name_has_another_key_of_ours() {
    for mode in MODES {
        let mut watch = Watch::new(mode);
        for round in 0..3 {
            let hear = |word| Op::Hear { ch: 1, incarnation: 1, word };
            let ops = [hear(OPEN), Op::Say { ch: 1 }, Op::Shut { ch: 1 }];
            ops.into_iter().for_each(|op| watch.run(op));
            assert_eq!(watch.ours().channel(1).unwrap().statistics.sent.packets, 1, "{round}");
            watch.run(hear(Word::Shut { last: 0 }));
            assert!(watch.ours().channel(1).is_none(), "it has ended");
        }
    }
}

#[test]
fn an_acceptance_that_comes_again_otherwise_is_a_fault_or_says_nothing() {
    for mode in MODES {
        let mut watch = Watch::new(mode);
        watch.run(Op::Open);
        let hear =
            |own, credit| Op::Hear { ch: 2, incarnation: 1, word: Word::Opened { own, credit } };
        watch.run(hear(7, 3));
        watch.run(Op::Say { ch: 2 });
        watch.run(hear(8, 20));
        assert_eq!(watch.ours().is_over(), mode == Mode::Stream);
        if mode == Mode::Datagram {
            let credit = |watch: &mut Watch| watch.ours().channel(2).unwrap().send_credit;
            assert_eq!(credit(&mut watch), 2, "that one is not it");
            watch.run(hear(7, 20));
            assert_eq!(credit(&mut watch), 19);
        }
    }
}

#[test]
fn incarnations_that_are_used_up_refuse_a_channel() {
    let mut watch = Watch::new(Mode::Stream);
    watch.ours().incarnation = u32::MAX - 1;
    watch.hear(1, 1, OPEN);
    assert!(watch.ours().channel(1).is_some());
    watch.hear(3, 2, OPEN);
    assert!(watch.ours().channel(3).is_none());
    let now = watch.pair.now;
    assert_eq!(watch.ours().open_channel(now, 0x10, false), Err(Refused::TooMany));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_number_is_sealed_twice_with_one_key_whatever_the_peer_says(
        is_datagram in any::<bool>(), ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut watch = Watch::new(MODES[usize::from(is_datagram)]);
        ops.into_iter().for_each(|op| watch.run(op));
    }
}
