//! How streams end, and which never begin.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringway::stream::{
    Address, Anyone, Cause, ChannelOptions, Client, Code, Error, Fault, Listener, Only, Options,
    Why,
};

use super::rig::{Pair, SCHEMES, TYPE, identity, listener, node, options};
use crate::common::{Watchdog, uninterrupted};

#[test]
fn an_unknown_peer_is_refused_and_both_sides_say_who_d_12() {
    for scheme in ["tcp", "udp", "unix"] {
        let _watchdog = Watchdog::start();
        let directory = tempfile::tempdir().unwrap();
        let at = super::rig::place(scheme, directory.path());
        let listener = Listener::with(&at, identity(2), Only(node(9)), options()).unwrap();
        let client = Client::new(identity(1), Anyone);
        let there = client.connect_to(listener.address(), None).unwrap_err();
        let here = listener.accept().unwrap_err();
        assert_eq!(there.end().unwrap().why, Why::Cause(Cause::Peer(Code::Unauthorised)));
        assert_eq!(here.end().unwrap().why, Why::Cause(Cause::Fault(Fault::NotTrusted)));
        for text in [there.to_string(), here.to_string()] {
            assert!(text.contains(&node(1).to_string()), "{scheme}: {text}");
        }
    }
}

#[test]
fn another_node_than_was_meant_is_refused_though_it_is_trusted_d_12() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let listener = listener("tcp", directory.path(), &options());
    let client = Client::new(identity(1), Anyone);
    let error = client.connect_to(listener.address(), Some(node(3))).unwrap_err();
    assert!(error.to_string().contains(&format!("node {} is not trusted", node(2))), "{error}");
}

#[test]
fn plain_and_encrypted_ends_do_not_meet_and_say_why() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let listener = listener("tcp", directory.path(), &options());
    let plain = Options { encrypt: false, ..options() };
    let client = Client::new(identity(1), Anyone).options(plain);
    let error = client.connect_to(listener.address(), None).unwrap_err();
    assert_eq!(error.end().unwrap().why, Why::Cause(Cause::Peer(Code::Features)));
    assert!(error.to_string().contains("encrypt"), "{error}");
    assert!(listener.accept().unwrap_err().to_string().contains("encrypt"));
}

#[test]
fn nobody_there_is_said_at_once() {
    let _watchdog = Watchdog::start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(identity(1), Anyone);
    for address in [format!("tcp:{free}"), format!("udp:{free}"), "unix:/nonexistent/s".to_owned()]
    {
        let error = client.connect(&address).unwrap_err();
        assert!(error.to_string().contains(&address), "{error}");
    }
}

#[test]
fn a_server_of_something_else_is_told_from_a_stream() {
    let _watchdog = Watchdog::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut peer = socket.accept().unwrap().0;
        peer.read_exact(&mut [0; 268]).unwrap();
        peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = Client::new(identity(1), Anyone).connect(&format!("tcp:{at}")).unwrap_err();
    assert!(error.to_string().contains("another protocol"), "{error}");
}

#[test]
fn a_peer_that_says_nothing_is_given_up_in_time() {
    let _watchdog = Watchdog::start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let options = Options { connect_timeout: Duration::from_millis(200), ..options() };
    let client = Client::new(identity(1), Anyone).options(options);
    let error = client.connect(&format!("tcp:{at}")).unwrap_err();
    let why = Why::Cause(Cause::Fault(Fault::HandshakeTimeout));
    assert_eq!(error.end().unwrap().why, why);
}

#[test]
fn a_peer_that_is_silent_in_its_handshake_holds_up_nobody_else() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let listener = listener("tcp", directory.path(), &options());
    let Address::Tcp(at) = listener.address() else { unreachable!() };
    let _silent: Vec<_> = (0..10).map(|_| TcpStream::connect(at).unwrap()).collect();
    let client = Client::new(identity(1), Anyone).options(options());
    let stream = client.connect_to(listener.address(), None).unwrap();
    assert_eq!(listener.accept().unwrap().session().id, stream.session().id);
}

#[test]
fn what_was_sent_before_a_close_arrives_and_then_the_end_d_11() {
    for scheme in SCHEMES {
        let pair = Pair::over(scheme, &options());
        let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
        let server = pair.server.accept().unwrap();
        for _ in 0..20 {
            channel.send(vec![5; 5000]).unwrap();
        }
        let closes = thread::spawn(move || pair.client.close());
        for _ in 0..20 {
            assert_eq!(server.recv().unwrap().unwrap(), vec![5; 5000]);
        }
        assert_eq!(server.recv().unwrap(), None, "{scheme}");
        assert_eq!(closes.join().unwrap(), Ok(()), "{scheme}");
        assert!(channel.send("more").unwrap_err().is_final());
    }
}

#[test]
fn a_close_or_a_cancel_wakes_whoever_waits_a_9() {
    let pair = Pair::over("tcp", &options());
    let open = || Arc::new(pair.client.open(TYPE, ChannelOptions::default()).unwrap());
    let (cancelled, aborted) = (open(), open());
    let waits = |channel: &Arc<ringway::stream::Channel>| {
        let channel = channel.clone();
        thread::spawn(move || channel.recv())
    };
    let (first, second) = (waits(&cancelled), waits(&aborted));
    let listener = Arc::new(pair.reach.listener);
    let third = {
        let listener = listener.clone();
        thread::spawn(move || listener.accept().map(drop))
    };
    cancelled.cancel();
    assert_eq!(first.join().unwrap(), Err(Error::Closed));
    pair.client.abort();
    let error = second.join().unwrap().unwrap_err();
    assert_eq!(error.end().unwrap().why, Why::Aborted);
    listener.stop();
    assert_eq!(third.join().unwrap(), Err(Error::Stopped));
}

#[test]
fn stopping_twice_and_from_many_threads_is_stopping_once_d_1() {
    let pair = Pair::over("tcp", &options());
    let pair = Arc::new(pair);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let pair = pair.clone();
            thread::spawn(move || {
                pair.reach.listener.stop();
                let _ = pair.client.close();
                pair.server.close().unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    pair.client.abort();
    pair.client.close().unwrap();
    assert_eq!(pair.reach.listener.accept().unwrap_err(), Error::Stopped);
}

#[test]
fn a_session_without_messages_expires_d_3() {
    let idle_timeout = Some(Duration::from_millis(100));
    let pair = Pair::over("tcp", &Options { idle_timeout, ..options() });
    pair.client.wait_for_end().unwrap();
    pair.server.wait_for_end().unwrap();
    assert!(!pair.server.session().is_active);
}

#[test]
fn a_peer_that_vanishes_is_noticed_by_its_silence_d_10() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let options = Options { keepalive: Duration::from_millis(50), ..options() };
    let listener = listener("udp", directory.path(), &options);
    // The client has no keepalive of its own, and is cut off below.
    let proxy = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = proxy.local_addr().unwrap();
    let Address::Udp(to) = listener.address().clone() else { unreachable!() };
    let relay = thread::spawn(move || relay_until_quiet(&proxy, &to));
    let client = Client::new(identity(1), Anyone);
    let client = client.options(Options { keepalive: Duration::ZERO, ..options.clone() });
    let _stream = client.connect(&format!("udp:{at}")).unwrap();
    let server = listener.accept().unwrap();
    relay.join().unwrap();
    server.wait_for_end().unwrap();
    let end = server.end().unwrap();
    assert_eq!(end.end().unwrap().why, Why::Cause(Cause::Fault(Fault::Silent)));
}

/// Relays a handshake and some questions, and then nothing more.
fn relay_until_quiet(proxy: &std::net::UdpSocket, to: &str) {
    let (mut room, mut client) = ([0; 2000], None);
    let to: std::net::SocketAddr = to.parse().unwrap();
    for _ in 0..8 {
        let (count, from) = uninterrupted(|| proxy.recv_from(&mut room)).unwrap();
        if from != to {
            client = Some(from);
        }
        let target = if from == to { client.unwrap() } else { to };
        proxy.send_to(&room[..count], target).unwrap();
    }
}

#[test]
fn flipped_bytes_are_noticed_and_end_the_stream_d_13() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let listener = listener("tcp", directory.path(), &options());
    let Address::Tcp(to) = listener.address().clone() else { unreachable!() };
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = proxy.local_addr().unwrap();
    thread::spawn(move || {
        let client = proxy.accept().unwrap().0;
        let server = TcpStream::connect(to).unwrap();
        let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || copy_flipping(back, forth, usize::MAX));
        copy_flipping(client, server, 5_000);
    });
    let client = Client::new(identity(1), Anyone).options(options());
    let stream = client.connect(&format!("tcp:{at}")).unwrap();
    let server = listener.accept().unwrap();
    let channel = stream.open(TYPE, ChannelOptions::default()).unwrap();
    let received = server.accept().unwrap();
    let message = crate::common::pattern(1, 3000);
    channel.send(&*message).unwrap();
    assert!(received.recv().unwrap().unwrap() == message);
    let _ = channel.send(crate::common::pattern(2, 3000));
    let error = received.recv().map(|_| "it came").unwrap_err();
    assert_eq!(error.end().unwrap().why, Why::Cause(Cause::Fault(Fault::Forged)), "{error}");
    stream.wait_for_end().unwrap();
    let told = stream.end().unwrap();
    assert_eq!(told.end().unwrap().why, Why::Cause(Cause::Peer(Code::Decrypt)), "{told}");
}

/// Copies, and flips a bit of the byte at `at`.
fn copy_flipping(mut from: TcpStream, mut to: TcpStream, at: usize) {
    let (mut room, mut passed) = ([0; 1000], 0);
    while let Ok(count) = uninterrupted(|| from.read(&mut room)) {
        if count == 0 || passed == usize::MAX {
            break;
        }
        if (passed..passed + count).contains(&at) {
            room[at - passed] ^= 4;
        }
        passed += count;
        if to.write_all(&room[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn datagrams_that_were_changed_are_dropped_and_counted_and_the_stream_goes_on_d_13() {
    let _watchdog = Watchdog::start();
    let directory = tempfile::tempdir().unwrap();
    let listener = listener("udp", directory.path(), &options());
    let Address::Udp(to) = listener.address().clone() else { unreachable!() };
    let proxy = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = proxy.local_addr().unwrap();
    thread::spawn(move || relay_flipping(&proxy, &to));
    let client = Client::new(identity(1), Anyone).options(options());
    let stream = client.connect(&format!("udp:{at}")).unwrap();
    let server = listener.accept().unwrap();
    let channel = stream.open(TYPE, ChannelOptions::default()).unwrap();
    let received = server.accept().unwrap();
    channel.send(crate::common::pattern(9, 700)).unwrap();
    for number in 0..10u8 {
        channel.send([number]).unwrap();
        assert_eq!(received.recv().unwrap().unwrap(), [number], "what was changed never comes");
    }
    assert_eq!(received.dump().unwrap().unwrap().statistics.forged, 1);
    assert_eq!(server.statistics().lost, 1);
}

/// Relays, and flips a bit in long ones, which no part of a handshake is.
fn relay_flipping(proxy: &std::net::UdpSocket, to: &str) {
    let (mut room, mut client) = ([0; 2000], None);
    let to: std::net::SocketAddr = to.parse().unwrap();
    while let Ok((count, from)) = uninterrupted(|| proxy.recv_from(&mut room)) {
        if from != to {
            client = Some(from);
        }
        if from != to && count > 700 {
            room[count - 20] ^= 1;
        }
        let target = if from == to { client.unwrap() } else { to };
        let _ = proxy.send_to(&room[..count], target);
    }
}

#[test]
fn a_callback_that_panics_ends_its_stream_and_nobody_waits_for_it() {
    for scheme in ["tcp", "port tcp"] {
        let pair = Pair::over(scheme, &options());
        let channel = pair.client.open(TYPE, ChannelOptions::default()).unwrap();
        let server = pair.server.accept().unwrap();
        let panics = |_: &[u8]| -> usize { panic!("as it was told to") };
        server.set_callbacks(ringway::stream::Callbacks::new().on_packet_in(panics));
        server.dump().unwrap();
        let other = pair.reach.connect();
        let others = pair.reach.listener.accept().unwrap();
        channel.send("x").unwrap();
        let error = server.recv().unwrap_err();
        assert!(error.to_string().contains("callback"), "{error}");
        pair.server.wait_for_end().unwrap();
        pair.client.wait_for_end().unwrap();
        let ours = other.open(TYPE, ChannelOptions::default()).unwrap();
        ours.send("goes on").unwrap();
        assert_eq!(others.accept().unwrap().recv().unwrap().unwrap(), b"goes on");
    }
}

#[test]
fn channels_that_nobody_accepts_hold_up_no_others() {
    let pair = Pair::over("tcp", &options());
    let ignored: Vec<_> =
        (0..5).map(|_| pair.client.open(TYPE, ChannelOptions::default()).unwrap()).collect();
    ignored.iter().for_each(|channel| channel.send("hello?").unwrap());
    let ours = pair.server.open(TYPE, ChannelOptions::default()).unwrap();
    let theirs = pair.client.accept().unwrap();
    ours.send("goes on").unwrap();
    assert_eq!(theirs.recv().unwrap().unwrap(), b"goes on");
}
