//! The protocol cores and the timer wheel by themselves: what a message costs before any buffer or
//! socket is involved.

use std::hint::black_box;
use std::mem::MaybeUninit;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway::limits::HTTP_HEADERS_MAX;
use ringway::proto::http1::{
    BodyFrame, ChunkDecoder, Connection, Encoder, Limits, ResponseHead, decode_head, header,
    http_date,
};
use ringway::proto::ipc::{Command, decode_command};
use ringway::proto::stream::{HEADER_BYTES, HEADROOM_BYTES, TAILROOM_BYTES};
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

criterion_group!(benches, heads, responses, chunks, commands, streams, timers);
criterion_main!(benches);
