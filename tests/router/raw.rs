//! Connections of bytes as functions (G-14).

use std::cell::RefCell;
use std::rc::Rc;

use ringway::counters::Counter;
use ringway::handler::raw::on_data;
use ringway::testing::{End, Harness};

#[test]
fn functions_hear_of_a_connection_from_its_beginning_to_its_end_g_14() {
    let log = Rc::<RefCell<Vec<String>>>::default();
    let [one, two] = [log.clone(), log.clone()];
    let handler = on_data(move |link, bytes| {
        one.borrow_mut().push(String::from_utf8_lossy(&bytes).into_owned());
        link.send(bytes).unwrap();
    });
    let handler = handler
        .on_connect(|link| assert!(link.send_copy(b"welcome ")))
        .on_disconnect(move |_, conn| two.borrow_mut().push(format!("{} gone", conn.slot())));
    let mut harness = Harness::new(handler);
    let conn = harness.open();
    harness.receive(conn, "hello");
    assert_eq!(harness.sent(conn), b"welcome hello");
    harness.eof(conn);
    assert_eq!(harness.closed(conn), Some(End::Close));
    assert_eq!(*log.borrow(), ["hello", "0 gone"]);
    harness.finish();
}

#[test]
fn who_says_otherwise_goes_on_when_the_peer_sends_no_more_and_ends_when_it_wants() {
    let mut harness = Harness::new(
        on_data(|link, bytes| if *bytes == *b"abort" { link.abort() } else { link.close() })
            .on_end(|link| assert!(link.send_copy(b"go on"))),
    );
    let [one, two] = [harness.open(), harness.open()];
    harness.eof(one);
    assert_eq!((harness.sent(one), harness.closed(one)), (&b"go on"[..], None));
    harness.receive(two, "abort");
    assert_eq!(harness.closed(two), Some(End::Abort));
    harness.finish();
}

#[test]
fn what_finds_no_room_or_slot_is_given_back_and_a_panic_costs_its_connection() {
    let mut harness = Harness::new(on_data(|link, bytes| {
        let mut sent = 0;
        while link.send(bytes.slice(0, 1)).is_ok() {
            sent += 1;
        }
        assert!(sent >= 8 && !link.send_copy(b"more"));
        panic!("of the test");
    }));
    let conn = harness.open();
    harness.receive(conn, "x");
    assert_eq!(harness.closed(conn), Some(End::Abort));
    assert_eq!(harness.cx.counters.get(Counter::HandlerPanics), 1);
    harness.finish();
}
