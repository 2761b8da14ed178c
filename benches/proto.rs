//! The protocol cores and the timer wheel by themselves: what a message costs before any buffer or
//! socket is involved.

use std::hint::black_box;
use std::mem::MaybeUninit;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway::limits::HTTP_HEADERS_MAX;
use ringway::mem::mask;
use ringway::proto::http1::{
    BodyFrame, ChunkDecoder, Connection, Encoder, Limits, ResponseHead, decode_head, header,
    http_date,
};
use ringway::proto::ipc::{Command, decode_command};
use ringway::proto::stream::{HEADER_BYTES, HEADROOM_BYTES, TAILROOM_BYTES};
use ringway::proto::websocket::{
    self, Deflater, Event, Header, Inflater, Kind, Opcode, Piece, Role, handshake,
};
use ringway::time::{Clock, Instant, TICK_NS, TimerWheel};

#[path = "support/stream.rs"]
mod stream;

use stream::Ends;

const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

const USUAL: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: localhost:8080\r\n\
    User-Agent: client/1.0 (linux)\r\n\
    Accept: */*\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\n\r\n";

const BROWSER: &[u8] = b"GET /index.html?x=1 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Site: none\r\n\r\n";

/// Each head followed by more of its kind, as in a receive buffer of pipelined requests; beside it
/// httparse, which knows the grammar alone.
fn heads(c: &mut Criterion) {
    let limits = Limits::default();
    for (name, one) in [("small", SMALL), ("usual", USUAL), ("browser", BROWSER)] {
        let many = one.repeat(4);
        let mut group = c.benchmark_group(format!("http1_head/{name}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("httparse", |b| {
            b.iter(|| {
                let mut slots = [const { MaybeUninit::uninit() }; HTTP_HEADERS_MAX];
                let mut request = httparse::Request::new(&mut []);
                request.parse_with_uninit_headers(black_box(&many), &mut slots).is_ok()
            });
        });
        group.bench_function("decode_head", |b| b.iter(|| decode_head(black_box(&many), &limits)));
        group.bench_function("header", |b| b.iter(|| header(black_box(one), "x-absent")));
        group.finish();
    }
}

fn responses(c: &mut Criterion) {
    let mut out = [0; 512];
    let mut encoder = Encoder::new();
    encoder.set_second(784_111_777);
    let head = ResponseHead {
        status: 200,
        content_type: Some("text/plain"),
        body: BodyFrame::Length(12),
        connection: Connection::Implicit,
        fields: &[],
    };
    c.bench_function("http1_response/plain", |b| {
        b.iter(|| encoder.encode(black_box(&mut out), black_box(&head)));
    });
    c.bench_function("http1_date", |b| b.iter(|| http_date(black_box(784_111_777))));
}

fn chunks(c: &mut Criterion) {
    let bytes = [b"400\r\n", &[b'x'; 1024][..], b"\r\n0\r\n\r\n"].concat();
    c.bench_function("http1_chunked/1KiB", |b| {
        b.iter(|| {
            let mut decoder = ChunkDecoder::new(&Limits::default());
            let first = decoder.decode(black_box(&bytes)).map_or(0, |step| step.consumed);
            decoder.decode(&bytes[first..])
        });
    });
}

fn commands(c: &mut Criterion) {
    let bytes = b"j/echo some words that come back\nand what follows\n";
    c.bench_function("ipc_line/decode_and_parse", |b| {
        b.iter(|| {
            let line = decode_command(black_box(bytes)).ok().flatten()?;
            let text = std::str::from_utf8(&bytes[line.text]).ok()?;
            Some(Command::parse(text).arguments.len())
        });
    });
}

/// A packet out of one end and into the other, credit included; beside it a loop that only writes and
/// reads headers and copies.
fn streams(c: &mut Criterion) {
    for bytes in [64, 1024, 16_000] {
        let payload = vec![b'x'; bytes];
        let mut room = vec![0; HEADROOM_BYTES + bytes + TAILROOM_BYTES];
        let mut group = c.benchmark_group(format!("stream_packet/{bytes}"));
        group.throughput(Throughput::Elements(1));
        let mut copy = vec![0; bytes];
        let mut number = 0u32;
        group.bench_function("header_and_copy", |b| {
            b.iter(|| {
                number = number.wrapping_add(1);
                room[HEADER_BYTES..HEADER_BYTES + bytes].copy_from_slice(black_box(&payload));
                room[..4].copy_from_slice(&(bytes as u32).to_le_bytes());
                room[4] = 1;
                room[5..9].copy_from_slice(&number.to_le_bytes());
                let head: &[u8; HEADER_BYTES] = black_box(&room).first_chunk().expect("room");
                let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
                copy[..size].copy_from_slice(&room[HEADER_BYTES..HEADER_BYTES + size]);
                black_box(&copy)[size - 1]
            });
        });
        for (name, encrypted) in [("plain", false), ("sealed", true)] {
            let mut ends = Ends::connected(encrypted);
            let mut passed = 0u32;
            group.bench_function(name, |b| {
                b.iter(|| {
                    passed += 1;
                    if passed.is_multiple_of(32) {
                        ends.exchange();
                    }
                    ends.pass(black_box(&mut room), black_box(&payload))
                });
            });
        }
        group.finish();
    }
    batch_of_16(c);
}

/// A packet of 16 short messages.
fn batch_of_16(c: &mut Criterion) {
    let (mut ends, mut room, mut passed) = (Ends::connected(true), vec![0; 2048], 0u32);
    c.bench_function("stream_batch/16_of_64_sealed", |b| {
        b.iter(|| {
            passed += 1;
            if passed.is_multiple_of(32) {
                ends.exchange();
            }
            ends.pass_batch(black_box(&mut room), black_box(&[7; 64]), 16)
        });
    });
}

/// Frames of a client's, one behind the other, as they lie in a receive buffer. Their key is zero: masking
/// costs the same, and they stay what they are.
fn frames(opcode: Opcode, payload_bytes: usize, count: usize) -> Vec<u8> {
    let payload_bytes = payload_bytes as u64;
    let header = Header { fin: true, rsv: 0, opcode, mask: Some([0; 4]), payload_bytes }.encode();
    [&*header, &vec![b'x'; payload_bytes as usize]].concat().repeat(count)
}

/// What a frame costs, in a buffer of 16 KiB or as many as fit 2 KiB; beside it a loop that reads a header and
/// unmasks, and knows no rules.
fn websocket_frames(c: &mut Criterion) {
    let config = websocket::Config::new(mask);
    let now = Instant::from_ns(1);
    for (bytes, count) in [(64, 29), (1024, 2), (16 * 1024, 1)] {
        let mut group = c.benchmark_group(format!("websocket_frame/{bytes}"));
        group.throughput(Throughput::Elements(count as u64));
        let mut binary = frames(Opcode::Binary, bytes, count);
        group.bench_function("header_and_mask", |b| {
            b.iter(|| {
                let (mut at, mut sum) = (0, 0);
                while let Some(head) = binary.get(at..at + 4) {
                    let (len, head_bytes) = match head[1] & 0x7f {
                        126 => (usize::from(u16::from_be_bytes([head[2], head[3]])), 8),
                        len => (usize::from(len), 6),
                    };
                    let key = *binary[at + head_bytes - 4..].first_chunk().expect("a key");
                    let payload = &mut binary[at + head_bytes..][..len];
                    mask(black_box(payload), key, 0);
                    sum += len;
                    at += head_bytes + len;
                }
                sum
            });
        });
        for (name, opcode) in [("binary", Opcode::Binary), ("text", Opcode::Text)] {
            let mut wire = frames(opcode, bytes, count);
            let mut end = websocket::Connection::new(Role::Server, false, now);
            group.bench_function(name, |b| {
                b.iter(|| {
                    let (mut at, mut sum) = (0, 0);
                    while at < wire.len() {
                        let step = end.receive(&config, now, black_box(&mut wire[at..]));
                        let step = step.expect("what a client says");
                        let Some(Event::Data(data)) = step.event else { unreachable!() };
                        sum += data.range.len();
                        at += step.consumed;
                    }
                    sum
                });
            });
        }
        let mut end = websocket::Connection::new(Role::Server, false, now);
        group.bench_function("say", |b| {
            b.iter(|| {
                let piece = Piece::whole(Kind::Binary, black_box(bytes));
                (0..count)
                    .map(|_| end.message_header(piece, None).map_or(0, |h| h.len()))
                    .sum::<usize>()
            });
        });
        group.finish();
    }
}

/// Messages as programs write them, in JSON, with the window of those before; and the handshake's hash.
fn websocket_others(c: &mut Criterion) {
    let one =
        br#"{"id":17,"type":"position","x":12.25,"y":-3.5,"name":"somebody","tags":["a","b"]}"#;
    for times in [1, 12, 200] {
        let message = one.repeat(times);
        let mut group = c.benchmark_group(format!("websocket_deflate/{}", message.len()));
        group.throughput(Throughput::BytesDecimal(message.len() as u64));
        let (mut wire, mut plain) = (vec![0; 2 * message.len() + 64], vec![0; message.len() + 64]);
        for level in [1, 6] {
            let mut deflater = Deflater::new(15, true, level);
            group.bench_function(format!("deflate_{level}"), |b| {
                b.iter(|| deflater.deflate(black_box(&message), true, &mut wire));
            });
        }
        let written = Deflater::new(15, true, 1).deflate(&message, true, &mut wire).written;
        let mut inflater = Inflater::new(true);
        group.bench_function("inflate", |b| {
            b.iter(|| inflater.inflate(1 << 20, black_box(&wire[..written]), true, &mut plain));
        });
        group.finish();
    }
    c.bench_function("websocket_accept_value", |b| {
        b.iter(|| handshake::accept_value(black_box(b"dGhlIHNhbXBsZSBub25jZQ==")));
    });
}

fn timers(c: &mut Criterion) {
    let mut wheel = TimerWheel::new(1024);
    let mut now_ns = 0;
    c.bench_function("timer/idle_expire", |b| {
        b.iter(|| {
            wheel.expire(Instant::from_ns(black_box(5)), 64, |item: u32| _ = black_box(item))
        });
    });
    c.bench_function("timer/schedule_cancel", |b| {
        b.iter(|| {
            now_ns += 1000;
            let id = wheel.schedule(Instant::from_ns(now_ns), 5000 * TICK_NS, 1);
            id.and_then(|id| wheel.cancel(id))
        });
    });
    c.bench_function("timer/schedule_fire", |b| {
        b.iter(|| {
            now_ns += TICK_NS;
            wheel.schedule(Instant::from_ns(now_ns), 10 * TICK_NS, 1);
            wheel.expire(Instant::from_ns(now_ns), 64, |item| _ = black_box(item))
        });
    });
    let clock = Clock::start();
    c.bench_function("clock/now", |b| b.iter(|| clock.now()));
}

criterion_group!(
    benches,
    heads,
    responses,
    chunks,
    commands,
    streams,
    websocket_frames,
    websocket_others,
    timers
);
criterion_main!(benches);
