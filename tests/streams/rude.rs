//! Peers that mean no good, and ends that come at any time.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::stream::{Cause, ChannelOptions, Code, End, Error, Why};

use crate::bed::{Bed, TYPE};
use crate::common::{pattern, uninterrupted};

#[test]
fn a_node_that_is_not_known_is_told_so_d_12() {
    let bed = Bed::start("streams-unknown", "");
    for address in bed.addresses() {
        match bed.client(3, true, true).connect(&address) {
            Err(Error::Ended(end)) => {
                let End { was_connected, why, .. } = &*end;
                assert!(!was_connected, "{address}");
                assert_eq!(*why, Why::Cause(Cause::Peer(Code::Unauthorised)), "{address}: {end:?}");
            }
            Err(other) => panic!("{address}: {other}"),
            Ok(_) => panic!("{address}: nobody knows node 3"),
        }
    }
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn garbage_costs_its_own_connection_and_nobody_elses() {
    let bed = Bed::start("streams-garbage", "");
    let [tcp, udp, ..] = bed.addresses();
    let (stream, channel) = bed.connect(&tcp, true, false);
    let (over_udp, channel_udp) = bed.connect(&udp, true, false);
    let to = udp.strip_prefix("udp:").unwrap();
    for n in 0..60u64 {
        let bytes = pattern(n, 1 + n as usize * 37 % 3000);
        let mut socket = TcpStream::connect(bed.tcp()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = socket.write_all(&bytes);
        let _ = uninterrupted(|| socket.read(&mut [0; 100]));
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = datagrams.send_to(&bytes, to);
        channel.send(bytes.clone()).unwrap();
        assert!(channel.recv().unwrap().as_deref() == Some(&bytes[..]));
        channel_udp.send(bytes.clone()).unwrap();
        assert!(channel_udp.recv().unwrap().as_deref() == Some(&bytes[..]));
    }
    stream.close().unwrap();
    over_udp.close().unwrap();
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn who_begins_a_packet_and_says_no_more_holds_up_nobody() {
    let bed = Bed::start("streams-slow", ", handshake_timeout_ms = 2000");
    // A header that promises the longest packet there may be.
    let begun = [0xf4, 0x3f, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
    let crowd: Vec<_> = (0..300)
        .map(|_| {
            let mut socket = TcpStream::connect(bed.tcp()).unwrap();
            socket.write_all(&begun).unwrap();
            socket
        })
        .collect();
    let [tcp, ..] = bed.addresses();
    let (stream, channel) = bed.connect(&tcp, true, true);
    channel.send("hello").unwrap();
    assert_eq!(channel.recv().unwrap().as_deref(), Some(&b"hello"[..]));
    for mut socket in crowd {
        // Each ends when its time is over, or at once where no more may wait.
        socket.set_read_timeout(crate::common::patience()).unwrap();
        while uninterrupted(|| socket.read(&mut [0; 400])).is_ok_and(|bytes| bytes > 0) {}
    }
    stream.close().unwrap();
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let bed = Bed::start("streams-vanish", "");
    for address in bed.addresses() {
        for n in 0..6 {
            let (stream, channel) = bed.connect(&address, true, n % 2 == 0);
            for m in 0..20 {
                let _ = channel.try_send(pattern(m, 900));
            }
            stream.abort();
        }
    }
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn a_dataplane_that_stops_says_so_a_16() {
    let bed = Bed::start("streams-stop", "");
    let streams: Vec<_> =
        bed.addresses()[..3].iter().map(|address| bed.connect(address, true, true)).collect();
    bed.instance.signal(Signal::SIGTERM);
    for (stream, _channel) in &streams {
        let _ = stream.wait_for_end();
        match stream.end() {
            Some(Error::Ended(end)) => assert!(end.is_orderly(), "{end:?}"),
            other => panic!("{other:?}"),
        }
    }
    drop(streams);
    bed.instance.ended_well();
}

#[test]
fn channels_past_the_bound_are_refused_and_the_others_go_on() {
    let bed = Bed::start("streams-bound", ", max_channels = 4");
    let [tcp, ..] = bed.addresses();
    let (stream, first) = bed.connect(&tcp, true, true);
    let more: Vec<_> =
        (0..3).map(|_| stream.open(TYPE, ChannelOptions::default()).unwrap()).collect();
    match stream.open(TYPE, ChannelOptions::default()) {
        Err(Error::Refused(code)) => assert_eq!(code, Code::Limit),
        other => panic!("{:?}", other.err()),
    }
    first.send("still here").unwrap();
    assert_eq!(first.recv().unwrap().as_deref(), Some(&b"still here"[..]));
    drop(more);
    stream.close().unwrap();
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}

#[test]
fn a_stream_that_begins_as_http_has_the_name_that_was_asked_for_d_19() {
    let bed = Bed::start("streams-http", "");
    let name = "00112233445566778899aabbccddeeff";
    let (stream, channel) =
        bed.connect(&format!("http://{}/?session={name}", bed.http()), true, true);
    assert_eq!(stream.session().id.to_string(), name);
    channel.send("over HTTP").unwrap();
    assert_eq!(channel.recv().unwrap().as_deref(), Some(&b"over HTTP"[..]));
    stream.close().unwrap();
    for (request, status) in
        [("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426"), ("nonsense\r\n\r\n", "400")]
    {
        let mut socket = TcpStream::connect(bed.http()).unwrap();
        socket.set_read_timeout(crate::common::patience()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let plain = bed.client(2, true, true).connect(&format!("tcp:{}", bed.http()));
    assert!(plain.is_err(), "no stream begins there without HTTP");
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}
