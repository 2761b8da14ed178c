//! Messages from beside the handler, framed elsewhere (G-8, G-16).

use super::compressed::deflate;
use super::*;
use crate::counters::Reason;
use crate::pipeline::Admission;
use crate::pipeline::write::{FRAME, Group, Message, Written};

/// All who come are members. Nobody answers.
struct Room(Group);

impl Service for Room {
    fn opened(&mut self, cx: &mut Cx, conn: ConnId, _out: &mut Out<'_>) {
        assert!(self.0.join(cx, conn));
    }

    fn message(&mut self, _cx: &mut Cx, message: Buf, _: MessageMeta, _out: &mut Out<'_>) {
        assert!(self.0.publish(Message::Binary(&message), &[message.conn()]).is_ok());
    }
}

fn admits<S: Service>(bed: &mut Bed<S>, conn: ConnId) -> Admission {
    chain(bed).admits(conn, FRAME)
}

#[test]
fn members_hear_each_other_until_they_close_whether_they_compress_or_not_g_16() {
    let group = Group::new();
    let mut bed = bed_of(settings(), Room(group.clone()));
    let mut plain = [(); 2].map(|()| Peer::connect(&mut bed));
    let mut compressing = Peer::compressing(&mut bed);
    let long = vec![7; 1000];
    assert_eq!(plain[0].say(&mut bed, binary(&long)), []);
    for peer in [&mut plain[1], &mut compressing] {
        assert_eq!(peer.hear(&mut bed), [Heard::Message(Kind::Binary, long.clone())]);
        assert_eq!(peer.listener.compressed, 0);
    }
    // What is said in the middle of a window that both ends keep does it no harm.
    let packed = deflate(&mut Deflater::new(15, false, 1), b"again and again", true);
    compressing.say(&mut bed, frame(true, RSV1, Opcode::Text, &packed));
    assert_eq!(plain[0].hear(&mut bed), [Heard::Message(Kind::Binary, b"again and again".into())]);
    assert_eq!(group.len(), 3);
    plain[1].say(&mut bed, close(1000, ""));
    assert_eq!(group.len(), 2);
    plain[0].say(&mut bed, binary(b"bye"));
    assert_eq!(compressing.hear(&mut bed).len(), 1);
    bed.finish();
    assert_eq!((group.len(), group.counters().delivered), (0, 5));
}

#[test]
fn a_message_may_begin_where_no_other_is_in_the_middle_and_the_session_is_open_g_8() {
    let mut bed = bed();
    let conn = bed.open();
    assert_eq!(admits(&mut bed, conn), Admission::Never, "it speaks HTTP");
    bed.receive(conn, REQUEST);
    let mut peer = Peer::answered(&mut bed, conn, false);
    assert_eq!(admits(&mut bed, conn), Admission::Now);
    assert_eq!(chain(&mut bed).admits(conn, kind::DATA), Admission::Never);
    peer.say(&mut bed, frame(false, 0, Opcode::Text, b"be"));
    assert_eq!(chain(&mut bed).next_admitted(), None, "nobody waits");
    assert_eq!(admits(&mut bed, conn), Admission::Later);
    peer.say(&mut bed, frame(false, 0, Opcode::Continuation, b"tw"));
    assert_eq!(chain(&mut bed).next_admitted(), None);
    assert_eq!(peer.say(&mut bed, ping(b"?")), [Heard::Pong(b"?".into())]);
    peer.say(&mut bed, frame(true, 0, Opcode::Continuation, b"een"));
    assert_eq!(chain(&mut bed).next_admitted(), Some(conn));
    assert_eq!((chain(&mut bed).next_admitted(), admits(&mut bed, conn)), (None, Admission::Now));
    peer.say(&mut bed, close(1000, ""));
    assert_eq!(admits(&mut bed, conn), Admission::Never);
    bed.finish();
}

#[test]
fn a_frame_out_of_turn_is_dropped_and_counted_g_8() {
    let mut bed = bed();
    let mut peer = Peer::connect(&mut bed);
    peer.say(&mut bed, frame(false, 0, Opcode::Text, b"be"));
    let mut stray = Message::Text("stray").encode(&bed.cx.pool).unwrap();
    stray.set_conn(peer.conn);
    bed.reply(stray);
    assert_eq!(bed.cx.counters.dropped(Reason::AfterClose), 1);
    let whole = peer.say(&mut bed, frame(true, 0, Opcode::Continuation, b"tween"));
    assert_eq!(whole, [echo_of("between")]);
    bed.finish();
}

#[test]
fn a_handle_of_a_harness_is_heard_and_its_author_told_g_8() {
    let mut bed = bed();
    let mut peer = Peer::connect(&mut bed);
    let handle = bed.cx.conn_handle(peer.conn);
    let sent = handle.send(Message::Text("from beside")).unwrap();
    assert_eq!((handle.backlog().messages, handle.backlog().bytes), (1, 13));
    bed.run();
    assert_eq!(peer.hear(&mut bed), [echo_of("from beside")]);
    assert_eq!((sent.wait(), handle.backlog().messages), (Written::Sent, 0));
    let refused = handle.send(Message::Raw(b"bytes")).unwrap();
    bed.reset(peer.conn);
    let lost = handle.send(Message::Text("too late")).unwrap();
    bed.run();
    assert_eq!((refused.outcome(), lost.outcome()), (Some(Written::Lost), Some(Written::Lost)));
    bed.finish();
}
