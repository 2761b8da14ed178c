//! Messages both ways over each kind of connection.

use std::thread;
use std::time::Duration;

use ringway::stream::{Callbacks, Channel, ChannelOptions, Error};

use super::rig::{Pair, SCHEMES, TYPE, features, is_datagram, node, options};
use crate::common::pattern;

/// Sends back what comes until the end.
fn echo(channel: &Channel) {
    while let Some(message) = channel.recv().unwrap() {
        channel.send(message).unwrap();
    }
    channel.close();
}

/// Sizes at which something could go wrong: nothing, one packet more or less, the largest.
fn sizes(scheme: &str) -> Vec<usize> {
    let packet = if is_datagram(scheme) { 1400 } else { 16 * 1024 };
    let largest = if is_datagram(scheme) { 40_000 } else { 1024 * 1024 };
    vec![0, 1, packet - 29, packet - 28, packet - 27, packet - 12, packet, 3 * packet, largest]
}

#[test]
fn messages_of_all_sizes_come_back_over_each_connection_plain_compressed_and_encrypted_d_22() {
    for scheme in SCHEMES {
        for (name, options) in features() {
            let pair = Pair::over(scheme, &options);
            assert_eq!(pair.client.session().is_encrypted, options.encrypt, "{scheme} {name}");
            assert_eq!(pair.client.session().may_compress, options.compress, "{scheme} {name}");
            let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
            let server = pair.server.accept().unwrap();
            assert_eq!((server.channel_type(), server.number()), (TYPE, channel.number()));
            let echo = thread::spawn(move || echo(&server));
            for (index, bytes) in sizes(scheme).into_iter().enumerate() {
                for message in [pattern(index as u64, bytes), vec![b'a'; bytes]] {
                    channel.send(&*message).unwrap();
                    assert!(channel.recv().unwrap().unwrap() == message, "{scheme} {name} {bytes}");
                }
            }
            channel.close();
            assert_eq!(channel.recv().unwrap(), None);
            echo.join().unwrap();
            pair.end();
        }
    }
}

#[test]
fn short_messages_share_packets_and_keep_their_place_between_long_ones() {
    let sizes = [3, 60, 0, 127, 256, 257, 9, 9, 2000];
    for scheme in SCHEMES.into_iter().filter(|scheme| !is_datagram(scheme)) {
        for (name, options) in features() {
            let pair = Pair::over(scheme, &options);
            let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
            let server = pair.server.accept().unwrap();
            // More than there is credit for, so that some wait whoever is faster.
            let messages: Vec<_> =
                (0..600).map(|n| pattern(n as u64, sizes[n % sizes.len()])).collect();
            for (from, to) in [(&channel, &server), (&server, &channel)] {
                for message in &messages {
                    from.send(&**message).unwrap();
                }
                for (n, message) in messages.iter().enumerate() {
                    assert!(to.recv().unwrap().unwrap() == *message, "{scheme} {name} {n}");
                }
            }
            let packets = pair.client.statistics().sent.packets;
            assert!(packets < messages.len() as u64, "{scheme} {name}: {packets}");
            channel.close();
            server.close();
            pair.end();
        }
    }
}

#[test]
fn both_ends_know_each_other_and_name_the_session_alike_d_2_d_3() {
    let pair = Pair::over("tcp", &options());
    let (client, server) = (pair.client.session(), pair.server.session());
    assert_eq!((client.node(), server.node()), (node(2), node(1)));
    assert_eq!(client.id, server.id);
    assert!(client.is_active && server.is_active && pair.client.is_active());
    assert_eq!(pair.client.peer(), node(2));
    pair.client.close().unwrap();
    assert!(!pair.client.session().is_active && !pair.client.is_active());
}

#[test]
fn many_messages_on_many_channels_each_stay_in_order() {
    let pair = Pair::over("unix", &options());
    let receive = |stream: &ringway::stream::Stream| {
        let channel = stream.accept().unwrap();
        thread::spawn(move || {
            let mut next = 0u32;
            while let Some(message) = channel.recv().unwrap() {
                assert_eq!(message[..4], next.to_le_bytes());
                next += 1;
            }
            next
        })
    };
    let mut threads = Vec::new();
    for _ in 0..8 {
        let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
        threads.push(receive(&pair.server));
        thread::spawn(move || {
            for number in 0..3000u32 {
                let mut message = number.to_le_bytes().to_vec();
                message.resize(4 + (number as usize * 37) % 2000, 0);
                channel.send(message).unwrap();
            }
        });
    }
    let counts: Vec<u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(counts, [3000; 8]);
}

#[test]
fn either_end_opens_channels() {
    let pair = Pair::over("tcp", &options());
    let ours = pair.server.open(TYPE, ChannelOptions::default()).unwrap();
    let theirs = pair.client.accept().unwrap();
    ours.send("from the responder").unwrap();
    assert_eq!(theirs.recv().unwrap().unwrap(), b"from the responder");
    assert_eq!(ours.number() % 2, 0);
}

#[test]
fn a_channel_type_that_nobody_registered_is_refused_d_5() {
    let pair = Pair::over("tcp", &options());
    let error = pair.client.open(0x77, ChannelOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[test]
fn a_buffer_too_small_is_an_error_and_the_message_stays_d_7() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let server = pair.server.accept().unwrap();
    channel.send("0123456789").unwrap();
    let mut room = [0; 10];
    assert_eq!(server.read(&mut room[..9]), Err(Error::TooSmall { needed: 10 }));
    assert_eq!(server.waiting(), 1);
    assert_eq!(server.read(&mut room), Ok(Some(10)));
    assert_eq!(&room, b"0123456789");
    let nothing = server.read_timeout(&mut room, Duration::ZERO);
    assert_eq!(nothing, Err(Error::TimedOut(Duration::ZERO)));
}

#[test]
fn a_peer_that_never_reads_fills_bounded_queues_and_try_send_says_so_d_6_d_21() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let server = pair.server.accept().unwrap();
    let mut sent = 0u32;
    while channel.send_timeout(vec![7; 10_000], Duration::from_millis(300)).is_ok() {
        sent += 1;
        assert!(sent < 1000, "10 MB are on their way to nobody");
    }
    assert_eq!(channel.try_send(vec![7; 10_000]), Err(Error::Full));
    for _ in 0..sent {
        assert_eq!(server.recv().unwrap().unwrap().len(), 10_000);
    }
    channel.send("more").unwrap();
    assert_eq!(server.recv().unwrap().unwrap(), b"more");
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_is_sent() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let error = channel.send(vec![0; 1024 * 1024 + 1]).unwrap_err();
    assert_eq!(error, Error::TooLarge { bytes: 1024 * 1024 + 1, bytes_max: 1024 * 1024 });
    assert!(!error.is_final());
}

#[test]
fn callbacks_are_shown_what_came_before_they_were_set_d_8() {
    for scheme in ["tcp", "port tcp"] {
        let pair = Pair::over(scheme, &options());
        let client = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
        let server = pair.server.accept().unwrap();
        for n in 0..10u8 {
            client.send([n]).unwrap();
        }
        // All have come when the last has.
        while server.waiting() < 10 && scheme == "tcp" {
            thread::yield_now();
        }
        let (shown, sees) = std::sync::mpsc::channel();
        server.set_callbacks(Callbacks::new().on_packet_in(move |bytes| {
            shown.send(bytes[0]).unwrap();
            bytes.len()
        }));
        assert_eq!(sees.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        pair.end();
    }
}

#[test]
fn callbacks_take_what_comes_and_give_what_goes_d_8() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let server = pair.server.accept().unwrap();
    let (told, tells) = std::sync::mpsc::channel();
    let readable = told.clone();
    server.set_callbacks(
        Callbacks::new()
            .on_packet_in(move |bytes| {
                told.send(bytes.to_vec()).unwrap();
                if bytes == b"half here" { 5 } else { bytes.len() }
            })
            .on_readable(move || readable.send(b"readable".to_vec()).unwrap()),
    );
    // The callbacks are there once the driver answers.
    server.dump().unwrap();
    channel.send("all").unwrap();
    assert_eq!(tells.recv().unwrap(), b"all");
    channel.send("half here").unwrap();
    assert_eq!(tells.recv().unwrap(), b"half here");
    assert_eq!(tells.recv().unwrap(), b"readable");
    assert_eq!(server.recv().unwrap().unwrap(), b"here");
    let mut numbers = 0..100u8;
    channel.set_callbacks(Callbacks::new().on_packet_out(move |room| match numbers.next() {
        Some(number) => {
            room[0] = number;
            1
        }
        None => 0,
    }));
    for number in 0..100 {
        assert_eq!(tells.recv().unwrap(), [number]);
    }
}

#[test]
fn statistics_count_both_ways_and_dumps_show_each_channel_d_16_d_17() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let server = pair.server.accept().unwrap();
    channel.send(vec![1; 100]).unwrap();
    server.recv().unwrap();
    let dump = server.dump().unwrap().unwrap();
    assert_eq!((dump.statistics.received.packets, dump.statistics.received.bytes), (1, 100));
    assert_eq!(pair.client.channels().unwrap().len(), 1);
    assert_eq!(pair.client.statistics().channels, 1);
    assert!(pair.server.statistics().received.bytes >= 100);
}

#[test]
fn messages_go_on_while_keys_change() {
    let pair = Pair::over("tcp", &options());
    let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
    let server = pair.server.accept().unwrap();
    for number in 0..200u8 {
        channel.send([number]).unwrap();
        if number % 20 == 0 {
            pair.client.rekey();
        }
        assert_eq!(server.recv().unwrap().unwrap(), [number]);
    }
    assert!(channel.dump().unwrap().unwrap().send_epoch > 1);
}
