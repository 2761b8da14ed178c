//! Writes to one connection.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use ringway::counters::Reason;
use ringway::mem::ConnId;
use ringway::pipeline::write::{Message, Refused, Written};
use ringway::proto::websocket::{Header, Kind, Opcode};

use crate::bed::Bed;
use crate::common::websocket::{Heard, text};
use crate::common::{pattern, wait_until};

#[test]
fn texts_and_binaries_of_another_thread_arrive_framed_and_its_author_hears_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    for bytes in [0, 1, 125, 126, 2000, 16_000] {
        let message = pattern(bytes as u64, bytes);
        assert_eq!(handle.send(Message::Binary(&message)).unwrap().wait(), Written::Sent);
        assert!(peer.hear() == Heard::Message(Kind::Binary, message));
    }
    let (told, heard) = mpsc::channel();
    let done = Box::new(move |written| told.send(written).unwrap());
    handle.write_then(Message::Text("with a callback"), done).unwrap();
    assert_eq!((peer.hear(), heard.recv()), (text("with a callback"), Ok(Written::Sent)));
    handle.write(Message::Text("with none")).unwrap();
    assert_eq!(peer.hear(), text("with none"));
    wait_until(|| handle.backlog().messages == 0);
    assert_eq!(handle.write(Message::Binary(&[0; 1 << 20])), Err(Refused::TooLong));
    peer.part();
    bed.end();
}

#[test]
fn a_completion_is_a_future_of_no_executor_in_particular_a_9() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    let mut completion = pin!(handle.send(Message::Text("hello")).unwrap());
    let mut context = Context::from_waker(Waker::noop());
    wait_until(|| completion.as_mut().poll(&mut context) == Poll::Ready(Written::Sent));
    assert!(completion.is_done());
    assert_eq!(peer.hear(), text("hello"));
    peer.part();
    let lost = || handle.send(Message::Text("too late")).unwrap().wait() == Written::Lost;
    wait_until(lost);
    bed.end();
}

#[test]
fn what_a_connection_has_no_place_for_is_refused_and_reaches_nobody_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    let raw = handle.send(Message::Raw(b"between frames")).unwrap();
    assert_eq!(raw.wait(), Written::Refused);
    assert_eq!(bed.server.dropped(Reason::NotAdmitted), 1);
    peer.echoes(Kind::Text, b"echo");
    let nobody = bed.server.plane().handle(0).conn(ConnId::NONE);
    assert_eq!(nobody.send(Message::Text("")).unwrap().wait(), Written::Lost);
    peer.part();
    bed.end();
}

/// A frame of a client, masked with zeros.
fn piece(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let payload_bytes = payload.len() as u64;
    let header = Header { fin, rsv: 0, opcode, mask: Some([0; 4]), payload_bytes };
    [&*header.encode(), payload].concat()
}

#[test]
fn a_message_never_comes_between_the_fragments_of_another_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    // The room sends back the first half as it comes, and so is in the middle of a message.
    peer.stream.write_all(&piece(Opcode::Text, false, b"echo this ")).unwrap();
    let mut half = [0; 12];
    std::io::Read::read_exact(&mut peer.stream, &mut half).unwrap();
    assert_eq!(half, *b"\x01\x0aecho this ");
    let meanwhile: Vec<_> =
        (0..3).map(|n| handle.send(Message::Text(&format!("{n}"))).unwrap()).collect();
    bed.group.publish(Message::Text("to all"), &[]).unwrap();
    wait_until(|| handle.backlog().messages == 4);
    assert!(meanwhile.iter().all(|one| !one.is_done()));
    peer.stream.write_all(&piece(Opcode::Continuation, true, b"and that")).unwrap();
    let mut rest = [0; 10];
    std::io::Read::read_exact(&mut peer.stream, &mut rest).unwrap();
    assert_eq!(rest, *b"\x80\x08and that");
    for expected in ["0", "1", "2", "to all"] {
        assert_eq!(peer.hear(), text(expected));
    }
    assert!(meanwhile.into_iter().all(|one| one.wait() == Written::Sent));
    assert_eq!(handle.backlog().messages, 0);
    peer.part();
    bed.end();
}

#[test]
fn what_waits_for_the_end_of_a_message_that_never_ends_is_lost_with_its_connection_g_8() {
    let bed = Bed::new(1);
    let (mut peer, handle) = bed.come();
    peer.stream.write_all(&piece(Opcode::Text, false, b"echo")).unwrap();
    std::io::Read::read_exact(&mut peer.stream, &mut [0; 6]).unwrap();
    let waits = handle.send(Message::Text("never")).unwrap();
    wait_until(|| handle.backlog().messages == 1);
    drop(peer);
    assert_eq!(waits.wait(), Written::Lost);
    bed.wait_for(0);
    assert_eq!(handle.backlog().messages, 0);
    bed.end();
}

#[test]
fn each_author_hears_though_the_dataplane_stops_g_8() {
    for _ in 0..10 {
        let bed = Bed::new(2);
        let all = bed.come_all(4);
        let heard: Vec<_> = (0..200)
            .filter_map(|n| all[n % 4].1.send(Message::Binary(&pattern(1, 1000))).ok())
            .collect();
        bed.end();
        for one in heard {
            assert!(matches!(one.wait(), Written::Sent | Written::Lost));
        }
        assert_eq!(all[0].1.write(Message::Text("too late")), Err(Refused::Ended));
        assert!(all[0].1.is_ended());
    }
}
