//! The chain of multiplexed streams in memory, with its echo: packets in, packets out, without a socket. Beside
//! it what a loop by hand takes that only reads the headers and copies, and what the cipher and the compressor
//! take alone on the same bytes. All sides take turns.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant as Wall;

use ringway::handler::stream::{Echo, Streams};
use ringway::mem::{Buf, Burst, ClassSize, ConnId, Mempool, Share, kind};
use ringway::pipeline::chain::stream::Settings;
use ringway::pipeline::{Chain, Cx, Handler, chain};
use ringway::proto::stream::compress::{Compressor, Tables, decompress, room_bytes};
use ringway::proto::stream::secure::aead::{Opener, Sealer};
use ringway::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Secrets};
use ringway::proto::stream::secure::identity::Identity;
use ringway::proto::stream::secure::trust::Anyone;
use ringway::proto::stream::{
    Batch, Config, Connection, Framing, HEADER_BYTES, HEADROOM_BYTES, LENGTH_BYTES, Mode, Received,
    Role, TAILROOM_BYTES, TRANSMIT_BYTES_MAX, channel_type, deframe,
};
use ringway::time::Clock;
use support::stats::cell;

/// The chain with an echo, and a peer of it.
struct Pair {
    chain: chain::Stream,
    handler: Streams<Echo>,
    cx: Cx,
    peer: Connection,
    channel: u16,
    conn: ConnId,
    rx: Burst,
    messages: Burst,
    replies: Burst,
    tx: Burst,
}

impl Pair {
    fn connect(pool: Mempool, features: u32) -> Self {
        let mut config = Config::new(Mode::Stream);
        (config.offer.offers, config.offer.requires) = (features, features & ENCRYPT);
        (config.window_packets, config.message_bytes_max) = (1 << 12, 1 << 20);
        let settings = Settings {
            config,
            identity: Identity::from_secret(&[1; 32]),
            trust: Arc::new(Anyone),
            entropy: Box::new(|| (Secrets { nonce: [3; 32], ephemeral: [4; 32] }, [5; 16])),
            clock: Clock::start(),
            cookie_secret: [9; 32],
            upgrade: false,
            handler_consumes: false,
            window_budget: u32::MAX,
            idle_ns: 0,
            stashes: chain::StashBounds { all: 16, large: 16 },
            share: Share::WHOLE,
        };
        let parts = support::parts(pool, None, Clock::start());
        let me = Identity::from_secret(&[2; 32]);
        let secrets = Secrets { nonce: [6; 32], ephemeral: [7; 32] };
        let now = parts.cx.now;
        let peer = Connection::new(now, Role::Initiator, config, &me, Arc::new(Anyone), secrets);
        let burst = Burst::new;
        let mut pair = Self {
            chain: chain::Stream::new(1, settings),
            handler: Streams::new(Echo::default()),
            cx: parts.cx,
            peer,
            channel: 0,
            conn: ConnId::new(0, 0, 1),
            rx: burst(),
            messages: burst(),
            replies: burst(),
            tx: burst(),
        };
        push(&mut pair.rx, Buf::marker(pair.conn, kind::OPEN));
        pair.settle();
        let compresses = features & COMPRESS != 0;
        let opened = pair.peer.open_channel(pair.cx.now, channel_type::SERVICE, compresses);
        pair.channel = opened.expect("it is connected");
        pair.settle();
        pair
    }

    /// Lets both sides talk until neither has more to say.
    fn settle(&mut self) {
        loop {
            let mut out = [0; TRANSMIT_BYTES_MAX];
            let mut said = false;
            while let Some(len) = self.peer.poll_transmit(self.cx.now, &mut out) {
                said = true;
                self.arrive(&out[..len]);
                self.turn();
                self.hear();
            }
            self.turn();
            if self.tx.is_empty() && !said {
                return;
            }
            self.hear();
        }
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let mut buf = self.cx.alloc(bytes.len(), self.conn).expect("a slot");
        assert!(buf.append(bytes));
        push(&mut self.rx, buf);
    }

    /// All the way through.
    fn turn(&mut self) {
        let Self { chain, handler, cx, rx, messages, replies, tx, .. } = self;
        while !rx.is_empty() || !messages.is_empty() || !replies.is_empty() {
            chain.ingress(cx, rx, messages);
            handler.process(cx, messages, replies);
            chain.egress(cx, replies, tx);
        }
    }

    /// The peer takes what was sent; how many messages that were.
    fn hear(&mut self) -> usize {
        let mut messages = 0;
        while let Some(buf) = self.tx.pop() {
            let (mut bytes, mut at) = (buf.to_vec(), 0);
            while let Ok(Framing::Whole(len)) = deframe(&bytes[at..]) {
                let packet = &mut bytes[at..at + len];
                if let Ok(Received::Data(data)) = self.peer.handle_packet(self.cx.now, packet) {
                    messages += usize::from(data.last) * usize::from(data.count);
                    self.peer.consume(self.cx.now, data.channel, 1);
                }
                at += len;
            }
        }
        while self.peer.poll_event().is_some() {}
        messages
    }

    /// Packets of `message`, `count` of them one behind the other.
    fn packets(&mut self, message: &[u8], count: usize, compressed: bool) -> Vec<u8> {
        let mut packets = Vec::new();
        for _ in 0..count {
            let piece = self.peer.pieces(message.len() as u32).next().expect("one");
            let mut packet = vec![0; HEADROOM_BYTES + message.len() + TAILROOM_BYTES];
            let payload = HEADROOM_BYTES..HEADROOM_BYTES + message.len();
            packet[payload.clone()].copy_from_slice(message);
            let (now, channel) = (self.cx.now, self.channel);
            let sealed = self.peer.seal(now, channel, piece, compressed, &mut packet, payload);
            packets.extend(&packet[sealed.expect("credit")]);
        }
        packets
    }

    /// The same, so many of them in each packet.
    fn batches(&mut self, message: &[u8], count: usize, messages: usize) -> Vec<u8> {
        let mut packets = Vec::new();
        for _ in 0..count / messages {
            let list = messages * (LENGTH_BYTES + message.len());
            let (mut batch, mut room) =
                (Batch::new(), vec![0; HEADER_BYTES + list + TAILROOM_BYTES]);
            (0..messages).for_each(|_| batch.put(&mut room, message));
            let sealed = self.peer.seal_batch(self.cx.now, self.channel, &batch, &mut room);
            packets.extend(&room[sealed.expect("credit")]);
        }
        packets
    }

    /// Nanoseconds of a message in and out again.
    fn round(&mut self, packets: &[u8], count: usize) -> f64 {
        let mut bufs: Vec<Buf> = packets
            .chunks(16 * 1024)
            .map(|part| {
                let mut buf = self.cx.alloc(part.len(), self.conn).expect("a slot");
                assert!(buf.append(part));
                buf
            })
            .collect();
        let began = Wall::now();
        bufs.drain(..).for_each(|buf| push(&mut self.rx, buf));
        self.turn();
        let took = began.elapsed().as_nanos() as f64 / count as f64;
        let heard = self.hear();
        assert!(heard == count, "{heard} of {count}");
        self.settle();
        took
    }
}

fn push(burst: &mut Burst, buf: Buf) {
    assert!(burst.push(buf).is_ok());
}

fn pool() -> Mempool {
    support::pool_with(&[ClassSize { slot_bytes: 32768, slots: 64 }])
}

/// A loop by hand over the same packets: the header is read, the payload copied behind a fresh one.
fn by_hand(packets: &[u8], out: &mut [u8], count: usize) -> f64 {
    let began = Wall::now();
    let (mut at, mut to) = (0, 0);
    while let Ok(Framing::Whole(len)) = deframe(black_box(&packets[at..])) {
        out[to..to + len].copy_from_slice(&packets[at..at + len]);
        (at, to) = (at + len, to + len);
    }
    black_box(&mut *out);
    began.elapsed().as_nanos() as f64 / count as f64
}

/// Opening and sealing alone, in place.
fn cipher(bytes: &mut [u8]) -> f64 {
    let (sealer, opener) = (Sealer::new(&[1; 32], [0; 4]), Opener::new(&[1; 32], [0; 4]));
    let tag = sealer.seal(1, &[0; 12], bytes);
    const TURNS: u32 = 16;
    let began = Wall::now();
    let mut tag = tag;
    for n in 1..=TURNS {
        opener.open(n.into(), &[0; 12], black_box(bytes), &tag).expect("it is ours");
        tag = sealer.seal(u64::from(n) + 1, &[0; 12], black_box(bytes));
    }
    began.elapsed().as_nanos() as f64 / f64::from(TURNS)
}

fn lz4(message: &[u8], packed: &[u8], tables: &mut Tables) -> f64 {
    let mut compressor = Compressor::new(u64::MAX);
    let (mut plain, mut out) = (vec![0; message.len()], vec![0; room_bytes(message.len())]);
    let clock = Clock::start();
    let began = Wall::now();
    black_box(decompress(black_box(packed), message.len(), &mut plain).expect("ours"));
    black_box(compressor.compress(tables, black_box(message), &mut out, || clock.now()));
    began.elapsed().as_nanos() as f64
}

fn print(what: &str, ours: &mut [f64], other: &str, theirs: &mut [f64]) {
    let mut ratios: Vec<f64> = ours.iter().zip(theirs.iter()).map(|(a, b)| a / b).collect();
    println!(
        "| {what} | {} | {other} {} | {} |",
        cell(ours, 1),
        cell(theirs, 1),
        cell(&mut ratios, 2)
    );
}

/// Messages that share packets on their way out, and then on both.
fn short_ones(rounds: usize) {
    const COUNT: usize = 160;
    for (what, messages) in
        [("64 B sealed, 16 to a packet out", 1), ("64 B sealed, batched 16", 16)]
    {
        let mut pair = Pair::connect(pool(), ENCRYPT | BATCH);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut alone = vec![b'x'; 16 * (LENGTH_BYTES + 64)];
        for _ in 0..rounds {
            let packets = pair.batches(&[b'x'; 64], COUNT, messages);
            ours.push(pair.round(&packets, COUNT));
            theirs.push(cipher(&mut alone) / 16.0);
        }
        print(what, &mut ours, "open and seal a 16th", &mut theirs);
    }
}

fn main() {
    let rounds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(400);
    println!(
        "| message, in and out | ns, min / p10 / median / p90 | beside it | ratio |\n|---|---|---|---|"
    );

    let mut pair = Pair::connect(pool(), 0);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut out = vec![0; 64 * 1024];
    for _ in 0..rounds {
        let count = 160;
        let packets = pair.packets(&[b'x'; 64], count, false);
        ours.push(pair.round(&packets, count));
        let template: Vec<u8> =
            [&[64u8, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0][..], &[b'x'; 64]].concat();
        theirs.push(by_hand(&template.repeat(count), &mut out, count));
    }
    print("64 B plain", &mut ours, "header and copy", &mut theirs);

    for (what, len, count) in
        [("64 B sealed", 64, 160), ("1400 B sealed", 1400, 20), ("16 KiB sealed", 16_000, 4)]
    {
        let mut pair = Pair::connect(pool(), ENCRYPT);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (message, mut alone) = (vec![b'x'; len], vec![b'x'; len]);
        for _ in 0..rounds {
            let packets = pair.packets(&message, count, false);
            ours.push(pair.round(&packets, count));
            theirs.push(cipher(&mut alone));
        }
        print(what, &mut ours, "open and seal", &mut theirs);
    }

    short_ones(rounds);

    let mut pair = Pair::connect(pool(), ENCRYPT | COMPRESS);
    let words = [
        "the ", "ring ", "is ", "full ", "of ", "bursts ", "and ", "slots ", "that ", "come ",
        "home ",
    ];
    let mut n = 7usize;
    let text: String = std::iter::repeat_with(|| {
        n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        words[(n >> 33) % words.len()]
    })
    .take(3200)
    .collect();
    let text = &text.as_bytes()[..15_000];
    let (mut tables, mut packed) = (Tables::new(), vec![0; room_bytes(text.len())]);
    let clock = Clock::start();
    let len = Compressor::new(u64::MAX)
        .compress(&mut tables, text, &mut packed, || clock.now())
        .expect("it pays");
    packed.truncate(len);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut alone = packed.clone();
    for _ in 0..rounds {
        let packets = pair.packets(&packed, 4, true);
        ours.push(pair.round(&packets, 4));
        theirs.push(lz4(text, &packed, &mut tables) + cipher(&mut alone));
    }
    print(
        &format!("{} B of text, {len} packed and sealed", text.len()),
        &mut ours,
        "all four alone",
        &mut theirs,
    );
}
