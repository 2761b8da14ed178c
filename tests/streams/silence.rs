//! Peers that say nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringway::proto::stream::secure::handshake::Secrets;
use ringway::proto::stream::{
    Config, Connection, Framing, HEADER_BYTES, Header, Mode, PacketType, Role, TRANSMIT_BYTES_MAX,
    deframe,
};
use ringway::stream::{Anyone, Cause, Code, Why};
use ringway::sync::{AtomicBool, Ordering};
use ringway::time::Clock;

use crate::bed::{Bed, identity};
use crate::common::{Watchdog, patience, uninterrupted};

/// A stream whose peer answers nothing once it is connected; nothing of what it hears is lost here.
fn silent(bed: &Bed) -> TcpStream {
    let mut socket = TcpStream::connect(bed.tcp()).unwrap();
    socket.set_read_timeout(patience()).unwrap();
    let (clock, me) = (Clock::start(), identity(2));
    let secrets = Secrets { nonce: [1; 32], ephemeral: [2; 32] };
    let (config, trust) = (Config::new(Mode::Stream), Arc::new(Anyone));
    let mut connection = Connection::new(clock.now(), Role::Initiator, config, &me, trust, secrets);
    while !connection.is_open() {
        let mut room = [0; TRANSMIT_BYTES_MAX];
        while let Some(len) = connection.poll_transmit(clock.now(), &mut room) {
            socket.write_all(&room[..len]).unwrap();
        }
        let mut packet = packet(&mut socket);
        connection.handle_packet(clock.now(), &mut packet).unwrap();
    }
    socket
}

/// The next packet and no more.
fn packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES];
    socket.read_exact(&mut packet).unwrap();
    if let Framing::Need(bytes) = deframe(&packet).unwrap() {
        packet.resize(bytes, 0);
        socket.read_exact(&mut packet[HEADER_BYTES..]).unwrap();
    }
    packet
}

#[test]
fn a_silent_peer_is_asked_and_given_up_before_another_with_a_longer_period_is_asked_once() {
    let _watchdog = Watchdog::start();
    let quick = Bed::start("streams-quick", ", keepalive_ms = 100");
    let slow = Bed::start("streams-patient", ", keepalive_ms = 2000");
    let (mut hasty, patient) = (silent(&quick), silent(&slow));
    let kinds: Vec<PacketType> = (0..4)
        .map(|_| Header::decode(packet(&mut hasty).first_chunk().unwrap()).unwrap().packet_type)
        .collect();
    use PacketType::{Error, Keepalive};
    assert_eq!(kinds, [Keepalive, Keepalive, Keepalive, Error]);
    assert_eq!(uninterrupted(|| hasty.read(&mut [0; 64])).unwrap(), 0, "and closed");
    // Had each been looked at once a second, this one would have been asked before.
    patient.set_nonblocking(true).unwrap();
    let nothing = uninterrupted(|| patient.peek(&mut [0; 64])).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    drop(patient);
    for bed in [quick, slow] {
        bed.instance.signal(Signal::SIGTERM);
        bed.instance.ended_well();
    }
}

#[test]
fn a_session_without_messages_expires_and_one_with_some_goes_on_over_any_transport_d_3() {
    let bed = Bed::start("streams-expire", ", expire_after_ms = 1000, keepalive_ms = 100");
    for address in &bed.addresses()[..3] {
        let (_stream, idle) = bed.connect(address, true, false);
        let (_other, busy) = bed.connect(address, true, false);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    busy.send("still here").unwrap();
                    assert_eq!(busy.recv().unwrap().unwrap(), b"still here", "{address}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let ended = idle.recv();
            over.store(true, Ordering::Relaxed);
            let why = ended.as_ref().err().and_then(|error| error.end()).map(|end| &end.why);
            assert_eq!(
                why,
                Some(&Why::Cause(Cause::Closed(Code::Timeout))),
                "{address}: {ended:?}"
            );
        });
    }
    bed.instance.signal(Signal::SIGTERM);
    bed.instance.ended_well();
}
