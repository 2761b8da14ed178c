//! Messages there and back.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use ringway::stream::{Cause, Channel, ChannelOptions, Code, Options, Rate, Why};

use crate::bed::{Bed, TYPE};
use crate::common::pattern;

/// The four protections: encrypted or not, compressed or not.
const PROTECTIONS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// Sizes around what fits a slot, a datagram and a packet.
const SIZES: [usize; 9] = [0, 1, 63, 257, 1355, 1400, 2048, 9000, 16_000];

fn text(bytes: usize) -> Vec<u8> {
    b"a ring is full of bursts, ".iter().copied().cycle().take(bytes).collect()
}

#[test]
fn messages_come_back_over_every_transport_with_every_protection_d_22() {
    let bed = Bed::start("streams-all", "");
    for address in bed.addresses() {
        for (encrypt, compress) in PROTECTIONS {
            let (stream, channel) = bed.connect(&address, encrypt, compress);
            for size in SIZES {
                for message in [text(size), pattern(size as u64, size)] {
                    channel.send(message.clone()).unwrap();
                    let echo = channel.recv().unwrap().expect("the channel goes on");
                    assert!(echo == message, "{address} {encrypt} {compress}: {size} bytes");
                }
            }
            let statistics = stream.statistics();
            assert_eq!((statistics.lost, statistics.forged), (0, 0), "{address}");
            channel.close();
            stream.close().unwrap_or_else(|error| panic!("{address}: {error}"));
        }
    }
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn many_streams_and_channels_go_side_by_side_d_4() {
    const STREAMS: usize = 12;
    const CHANNELS: usize = 8;
    const MESSAGES: usize = 60;
    let bed = Bed::start("streams-many", "");
    thread::scope(|scope| {
        for n in 0..STREAMS {
            // A port is one process's. Datagrams may be lost where many senders share a socket's room.
            let place = if n == 0 { 3 } else { [0, 2][n % 2] };
            let (bed, address) = (&bed, bed.addresses()[place].clone());
            scope.spawn(move || {
                let (stream, first) = bed.connect(&address, n % 2 == 0, n % 4 < 2);
                let more = (1..CHANNELS).map(|_| stream.open(TYPE, ChannelOptions::default()));
                let channels: Vec<_> =
                    std::iter::once(first).chain(more.map(Result::unwrap)).collect();
                for m in 0..MESSAGES {
                    for (c, channel) in channels.iter().enumerate() {
                        channel.send(format!("{n} {c} {m} ").repeat(m + 1)).unwrap();
                    }
                }
                let mut heard = HashMap::new();
                for (c, channel) in channels.iter().enumerate() {
                    for m in 0..MESSAGES {
                        let echo = channel.recv().unwrap().expect("it goes on");
                        assert_eq!(echo, format!("{n} {c} {m} ").repeat(m + 1).into_bytes());
                        *heard.entry(c).or_insert(0) += 1;
                    }
                }
                assert_eq!(heard.values().sum::<usize>(), CHANNELS * MESSAGES);
                stream.close().unwrap();
            });
        }
    });
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn a_flood_of_messages_is_held_up_by_credit_and_loses_none_d_21() {
    let bed = Bed::start("streams-flood", "");
    let [tcp, ..] = bed.addresses();
    let (stream, channel) = bed.connect(&tcp, true, false);
    let message = pattern(1, 10_000);
    const COUNT: usize = 2000;
    thread::scope(|scope| {
        scope.spawn(|| (0..COUNT).for_each(|_| channel.send(message.clone()).unwrap()));
        for _ in 0..COUNT {
            assert!(channel.recv().unwrap().expect("it goes on") == message);
        }
    });
    stream.close().unwrap();
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

/// Whole windows of large messages of many clients wait for credit at once, and there are few slots for such.
#[test]
fn clients_that_all_read_late_are_no_hoarders_d_21() {
    let bed = Bed::start("streams-all-late", "");
    let [tcp, ..] = bed.addresses();
    const COUNT: usize = 100;
    let message = pattern(1, 10_000);
    thread::scope(|scope| {
        for _ in 0..6 {
            let (bed, tcp, message) = (&bed, &tcp, &message);
            scope.spawn(move || {
                let (stream, first) = bed.connect(tcp, true, false);
                let more = (0..3).map(|_| stream.open(TYPE, ChannelOptions::default()).unwrap());
                let channels: Vec<Channel> = std::iter::once(first).chain(more).collect();
                thread::scope(|scope| {
                    for channel in &channels {
                        scope.spawn(|| {
                            (0..COUNT).for_each(|_| channel.send(message.clone()).unwrap());
                        });
                    }
                    // As much as may be is under way, or waits.
                    thread::sleep(Duration::from_millis(500));
                    for channel in &channels {
                        for _ in 0..COUNT {
                            assert!(channel.recv().unwrap().expect("it goes on") == *message);
                        }
                    }
                });
                stream.close().unwrap();
            });
        }
    });
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

/// Each datagram of a few bytes comes in a slot of 128 KiB, of which there are few.
#[test]
fn a_client_that_reads_late_is_no_hoarder_over_any_transport_d_21() {
    let bed = Bed::start("streams-late", "");
    const COUNT: u32 = 3000;
    for address in bed.addresses() {
        let (stream, channel) = bed.connect(&address, true, true);
        thread::scope(|scope| {
            scope.spawn(|| (0..COUNT).for_each(|n| channel.send(n.to_le_bytes()).unwrap()));
            for n in 0..COUNT {
                if n % 1000 == 0 {
                    // Meanwhile as much waits as may.
                    thread::sleep(Duration::from_millis(200));
                }
                let echo = channel.recv_timeout(Duration::from_secs(30));
                let echo = echo.unwrap_or_else(|error| panic!("{address}: {n}: {error}"));
                assert_eq!(echo.as_deref(), Some(&n.to_le_bytes()[..]), "{address}");
            }
        });
        stream.close().unwrap();
    }
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

/// Sends `count` messages that share no packet on each of `channels`, hears their echoes, and says how long that took.
fn exchanged(channels: &[Channel], count: usize) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for channel in channels {
            scope.spawn(move || (0..count).for_each(|_| channel.send([7; 400]).unwrap()));
            scope.spawn(move || {
                (0..count).for_each(|_| assert_eq!(channel.recv().unwrap().unwrap(), [7; 400]));
            });
        }
    });
    began.elapsed()
}

#[test]
fn who_sends_more_than_its_rate_waits_and_loses_nothing_d_21() {
    // Of 300 packets a second's worth may come at once, and a window more.
    let least = Duration::from_millis(1500);
    for setting in ["channel_packets_per_second", "packets_per_second"] {
        let bed = Bed::start("streams-rate", &format!(", {setting} = 100, window_packets = 16"));
        for address in &bed.addresses()[..2] {
            let (stream, channel) = bed.connect(address, true, false);
            let took = exchanged(&[channel], 300);
            assert!(took >= least, "{setting} {address}: {took:?}");
            stream.close().unwrap();
        }
        let (stream, one) = bed.connect(&bed.addresses()[0], true, false);
        let other = stream.open(TYPE, ChannelOptions::default()).unwrap();
        let took = exchanged(&[one, other], 150);
        assert!(took >= if setting == "packets_per_second" { least } else { Duration::ZERO });
        stream.close().unwrap();
        bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
        bed.instance.ended_well();
    }
    // The other way round: what comes to the client.
    let bed = Bed::start("streams-rate", "");
    let rate = Rate { packets: 100, bytes: 0 };
    let options = Options { channel_rate: rate, window_packets: 16, ..Options::default() };
    let client = bed.client(2, true, false).options(options);
    let stream = client.connect(&bed.addresses()[0]).unwrap();
    let channel = stream.open(TYPE, ChannelOptions::default()).unwrap();
    let took = exchanged(&[channel], 300);
    assert!(took >= least, "{took:?}");
    stream.close().unwrap();
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn keys_change_in_the_middle_of_traffic() {
    let bed = Bed::start("streams-rekey", "");
    for address in bed.addresses() {
        let (stream, channel) = bed.connect(&address, true, true);
        for n in 0..200u32 {
            if n % 20 == 0 {
                stream.rekey();
            }
            channel.send(n.to_le_bytes()).unwrap();
            assert_eq!(channel.recv().unwrap().as_deref(), Some(&n.to_le_bytes()[..]), "{address}");
        }
        let dump = channel.dump().unwrap().expect("it is open");
        assert!(dump.send_epoch > 0, "{address}: {dump:?}");
        stream.close().unwrap();
    }
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn a_message_at_the_limit_comes_back_and_one_past_it_ends_the_stream() {
    // The largest slot, which is there for datagrams, less what is put around a message.
    const MOST: usize = 131_072 - 40;
    let bed = Bed::start("streams-limit", "");
    let [tcp, ..] = bed.addresses();
    for compress in [false, true] {
        let (stream, channel) = bed.connect(&tcp, true, compress);
        for message in [pattern(4, MOST), text(MOST)] {
            channel.send(message.clone()).unwrap();
            assert!(channel.recv().unwrap().expect("it goes on") == message);
        }
        channel.send(pattern(5, MOST + 1)).unwrap();
        let ended = channel.recv().expect_err("it is too large");
        let why = ended.end().map(|end| end.why.clone());
        assert_eq!(why, Some(Why::Cause(Cause::Peer(Code::TooLarge))), "{ended}");
        drop(stream);
    }
    bed.instance.signal(nix::sys::signal::Signal::SIGTERM);
    bed.instance.ended_well();
}
