//! Pings and pongs.

use super::*;

// Category 2: pings.
#[test]
fn pings_of_every_length_are_heard_and_longer_ones_refused() {
    for len in [0, 1, 124, 125] {
        let payload = vec![0xfe; len];
        let bytes = frame(true, 0, Opcode::Ping, &payload);
        assert_eq!(heard(&bytes), [Heard::Ping(payload)]);
    }
    let bytes = [&[0x89, 0xfe, 0, 126][..], &KEY, &[0; 126]].concat();
    assert_eq!(heard(&bytes), [Heard::Fault(Fault::ControlTooLong)]);
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        let bytes = frame(false, 0, opcode, b"");
        assert_eq!(heard(&bytes), [Heard::Fault(Fault::ControlFragmented)]);
    }
}

#[test]
fn a_ping_that_came_whole_is_the_owners_to_answer_from_where_it_lies() {
    let mut end = server();
    let mut bytes = frame(true, 0, Opcode::Ping, b"are you there");
    let step = end.receive(&config(), now(), &mut bytes).unwrap();
    let Some(Event::Ping(Some(range))) = step.event else { panic!("{step:?}") };
    assert_eq!(&bytes[range.clone()], b"are you there");
    assert_eq!(words(&mut end), [[0; 0]; 0]);
    let header = end.pong_header(range.len(), None).unwrap();
    assert_eq!([&*header, &bytes[range]].concat(), b"\x8a\x0dare you there");
}

#[test]
fn a_ping_that_was_cut_is_answered_by_the_connection_once() {
    let ping = frame(true, 0, Opcode::Ping, b"are you there");
    for cut in 7..ping.len() {
        let mut end = server();
        let got = hear(&mut end, &config(), &ping, cut);
        assert_eq!(got, [Heard::Ping(b"are you there".to_vec())]);
        assert_eq!(words(&mut end), [b"\x8a\x0dare you there"], "cut to {cut}");
        assert_eq!(words(&mut end).len(), 0);
    }
}

#[test]
fn a_client_masks_its_pong() {
    let mut end = Connection::new(Role::Client, false, now());
    let got = hear(&mut end, &config(), b"\x89\x05Hello", 4);
    assert_eq!(got, [Heard::Ping(b"Hello".to_vec())]);
    let golden: &[u8] = &[0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(words(&mut end), [golden]);
}

#[test]
fn of_pings_that_wait_for_an_answer_the_last_is_answered() {
    let pings = [&b"one"[..], b"two"].map(|payload| frame(true, 0, Opcode::Ping, payload));
    let mut end = server();
    hear(&mut end, &config(), &pings.concat(), 8);
    assert_eq!(words(&mut end), [b"\x8a\x03two"]);
}

#[test]
fn a_pong_that_nobody_asked_for_is_heard_and_not_answered() {
    let bytes = frame(true, 0, Opcode::Pong, b"unasked");
    let mut end = server();
    assert_eq!(hear(&mut end, &config(), &bytes, 5), [Heard::Pong(b"unasked".to_vec())]);
    assert_eq!(words(&mut end).len(), 0);
}
