//! Pings of our own, and peers that say nothing.

use super::*;

fn at(ns: u64) -> Instant {
    Instant::from_ns(ns)
}

fn timed() -> Config {
    Config { ping_interval_ns: 100, pong_timeout_ns: 30, close_timeout_ns: 7, ..config() }
}

fn new(role: Role) -> Connection {
    Connection::new(role, false, at(0))
}

fn said(end: &mut Connection, now: Instant) -> Option<Vec<u8>> {
    let key = (end.role() == Role::Client).then_some(KEY);
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    end.poll_transmit(now, key, &mut out).map(|len| out[..len].to_vec())
}

#[test]
fn a_silent_peer_is_pinged_and_given_up_when_it_stays_silent() {
    let (config, mut end) = (timed(), new(Role::Server));
    assert_eq!(end.poll_timeout(&config), Some(at(100)));
    assert_eq!(end.handle_timeout(&config, at(99)), Ok(()));
    assert_eq!(said(&mut end, at(99)), None);
    assert_eq!(end.handle_timeout(&config, at(100)), Ok(()));
    assert_eq!(end.poll_timeout(&config), None, "until the ping is sent");
    assert_eq!(said(&mut end, at(105)), Some(b"\x89\x00".to_vec()));
    assert_eq!(said(&mut end, at(105)), None);
    assert_eq!(end.poll_timeout(&config), Some(at(135)));
    assert_eq!(end.handle_timeout(&config, at(134)), Ok(()));
    assert_eq!(end.handle_timeout(&config, at(135)), Err(Fault::PongTimeout));
    assert_eq!(said(&mut end, at(135)), Some(close_frame(1011, "no answer to a ping")));
    assert!(end.is_over());
}

#[test]
fn whatever_comes_is_an_answer_a_part_of_a_frame_too() {
    for bytes in [&frame(true, 0, Opcode::Pong, b"")[..], &text(b"a"), &text(b"abc")[..7], b"\x81"]
    {
        let (config, mut end) = (timed(), new(Role::Server));
        end.handle_timeout(&config, at(100)).unwrap();
        assert!(said(&mut end, at(100)).is_some());
        end.receive(&config, at(129), &mut bytes.to_vec()).unwrap();
        assert_eq!(end.poll_timeout(&config), Some(at(229)));
        assert_eq!(end.handle_timeout(&config, at(228)), Ok(()));
        end.handle_timeout(&config, at(229)).unwrap();
        assert!(said(&mut end, at(229)).is_some());
    }
}

#[test]
fn without_an_interval_nobody_is_pinged() {
    let config = Config { ping_interval_ns: 0, ..timed() };
    let mut end = new(Role::Server);
    assert_eq!(end.poll_timeout(&config), None);
    assert_eq!(end.handle_timeout(&config, at(u64::MAX)), Ok(()));
    assert_eq!(said(&mut end, at(u64::MAX)), None);
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_given_up_without_a_word() {
    let (config, mut end) = (timed(), new(Role::Server));
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    end.close(at(50), None, "", None, &mut out).unwrap();
    assert_eq!(end.poll_timeout(&config), Some(at(57)));
    // What comes meanwhile does not put it off.
    end.receive(&config, at(56), &mut text(b"a")).unwrap();
    assert_eq!(end.handle_timeout(&config, at(56)), Ok(()));
    assert_eq!(end.handle_timeout(&config, at(57)), Err(Fault::CloseTimeout));
    assert!(end.is_over());
    assert_eq!(said(&mut end, at(57)), None);
}

#[test]
fn a_server_is_done_with_both_closes_and_a_client_waits_for_it_to_end_the_connection() {
    let config = timed();
    for (role, waits) in [(Role::Server, false), (Role::Client, true)] {
        let mut end = new(role);
        let mut bytes = if waits { b"\x88\x00".to_vec() } else { close(b"") };
        end.receive(&config, at(10), &mut bytes).unwrap();
        assert!(said(&mut end, at(11)).is_some() && end.is_over());
        assert_eq!(end.poll_timeout(&config), waits.then_some(at(18)));
        let ended = end.handle_timeout(&config, at(18));
        assert_eq!(ended, if waits { Err(Fault::CloseTimeout) } else { Ok(()) });
        assert_eq!(end.poll_timeout(&config), None);
    }
}
