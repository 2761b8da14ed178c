//! The closing handshake.

use super::*;

fn closed(code: u16, reason: &str) -> Heard {
    Heard::Close(Some(code), reason.to_owned())
}

// Category 7: close handling.
#[test]
fn a_close_is_answered_with_its_code_and_ends_the_connection() {
    let long = "x".repeat(123);
    for (payload, heard, answer) in [
        (b"".to_vec(), Heard::Close(None, String::new()), b"\x88\x00".to_vec()),
        (b"\x03\xe8".to_vec(), closed(1000, ""), close_frame(1000, "")),
        (b"\x0b\xb8bye".to_vec(), closed(3000, "bye"), close_frame(3000, "")),
        ([b"\x13\x87", long.as_bytes()].concat(), closed(4999, &long), close_frame(4999, "")),
    ] {
        for cut in 1..20 {
            let mut end = server();
            let got = hear(&mut end, &config(), &close(&payload), cut);
            assert_eq!(got, std::slice::from_ref(&heard));
            assert!(!end.is_listening() && end.is_writable() && !end.is_over());
            assert_eq!(words(&mut end), [&answer[..]]);
            assert!(end.is_over() && end.fault().is_none());
        }
    }
}

#[test]
fn every_code_is_taken_or_refused_as_it_may_be_sent() {
    for number in 0..=u16::MAX {
        let got = hear(&mut server(), &config(), &close(&number.to_be_bytes()), 99);
        let legal = CloseCode::new(number).is_some();
        let expected = if legal { closed(number, "") } else { Heard::Fault(Fault::CloseCode) };
        assert_eq!(got, [expected]);
    }
}

#[test]
fn a_close_that_says_nothing_legal_is_a_fault_with_its_code() {
    let cases: [(&[u8], Fault, u16); 3] = [
        (b"\x03", Fault::CloseLength, 1002),
        (b"\x03\xed", Fault::CloseCode, 1002),
        (b"\x03\xe8\xce\xba\xe1\xbd\xb9\xed\xa0\x80", Fault::CloseReason, 1007),
    ];
    for (payload, fault, code) in cases {
        let mut end = server();
        assert_eq!(hear(&mut end, &config(), &close(payload), 99), [Heard::Fault(fault)]);
        assert_eq!(words(&mut end), [close_frame(code, fault.name())]);
        assert_eq!((end.is_over(), end.fault()), (true, Some(fault)));
    }
}

#[test]
fn nothing_is_heard_behind_a_close() {
    let behind = [
        text(b"late"),
        frame(true, 0, Opcode::Ping, b""),
        close(b"\x03\xe9"),
        frame(true, 0x70, Opcode::Text, b""),
    ];
    let bytes = [close(b"\x03\xe8"), behind.concat()].concat();
    assert_eq!(heard(&bytes), [closed(1000, "")]);
}

#[test]
fn what_was_to_be_said_goes_before_the_answer_to_a_close_and_nothing_behind_it() {
    let mut end = server();
    hear(&mut end, &config(), &[text(b"a"), close(b"")].concat(), 99);
    say(&mut end, Piece::whole(Kind::Text, 1), b"a");
    assert_eq!(words(&mut end).len(), 1);
    let piece = Piece::whole(Kind::Text, 1);
    assert_eq!(end.message_header(piece, None).unwrap_err(), Refused::Closed);
    assert_eq!(end.pong_header(0, None).unwrap_err(), Refused::Closed);
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    assert_eq!(end.close(now(), None, "", None, &mut out), Err(Refused::Closed));
}

#[test]
fn who_closes_first_hears_on_until_the_peer_closes() {
    let mut end = server();
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    let len = end.close(now(), Some(CloseCode::AWAY), "going", None, &mut out).unwrap();
    assert_eq!(&out[..len], close_frame(1001, "going"));
    assert!(end.is_listening() && !end.is_over());
    let bytes = [text(b"on its way"), frame(true, 0, Opcode::Ping, b""), close(b"")].concat();
    let got = hear(&mut end, &config(), &bytes, 3);
    let expected = [
        message(Kind::Text, 1, b"on its way"),
        Heard::Ping(Vec::new()),
        Heard::Close(None, String::new()),
    ];
    assert_eq!(got, expected);
    assert!(end.is_over());
    assert_eq!(words(&mut end).len(), 0);
}

#[test]
fn a_reason_is_cut_between_characters_and_left_out_without_a_code() {
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    let reason = "é".repeat(70);
    let len = server().close(now(), Some(CloseCode::NORMAL), &reason, None, &mut out).unwrap();
    assert_eq!(&out[..len], close_frame(1000, &"é".repeat(61)));
    let len = server().close(now(), None, "why", None, &mut out).unwrap();
    assert_eq!(&out[..len], b"\x88\x00");
}

#[test]
fn a_fault_is_told_once_and_ends_all() {
    for fault in Fault::ALL {
        let mut end = server();
        // Known here first, though it came behind what the owner finds in a message before it.
        end.fail(Fault::ReservedBits);
        end.fail(fault);
        assert_eq!(end.fault(), Some(fault));
        assert!(!end.is_listening());
        assert_eq!(hear(&mut end, &config(), &text(b"late"), 3), []);
        // The answers to what came before go first, where anything does.
        assert_eq!(end.is_writable(), fault.code().is_some());
        let said = words(&mut end);
        let told = fault.code().map(|code| close_frame(code.number(), fault.name()));
        assert_eq!(said, told.into_iter().collect::<Vec<_>>());
        assert!(end.is_over() && !end.is_writable());
        end.fail(Fault::Text);
        assert_eq!((end.fault(), words(&mut end).len()), (Some(fault), 0));
    }
}

#[test]
fn a_fault_behind_our_own_close_is_not_told() {
    let mut end = server();
    let mut out = [0; CONTROL_FRAME_BYTES_MAX];
    end.close(now(), None, "", None, &mut out).unwrap();
    assert_eq!(hear(&mut end, &config(), b"\xff\xff", 9), [Heard::Fault(Fault::ReservedOpcode)]);
    assert!(end.is_over());
    assert_eq!(words(&mut end).len(), 0);
}

#[test]
fn messages_are_said_in_turn() {
    let mut end = server();
    let whole = Piece::whole(Kind::Text, 1);
    let more = Piece { first: false, ..whole };
    assert_eq!(end.message_header(more, None).unwrap_err(), Refused::OutOfTurn);
    assert!(end.message_header(Piece { last: false, ..whole }, None).is_ok());
    assert_eq!(end.message_header(whole, None).unwrap_err(), Refused::OutOfTurn);
    assert!(end.ping_header(3, None).is_ok(), "between the pieces");
    assert!(end.message_header(more, None).is_ok());
    assert!(end.message_header(whole, None).is_ok());
}
