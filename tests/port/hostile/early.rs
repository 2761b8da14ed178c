//! Answers that the process was to keep back until their turn.

use super::*;
use crate::hoards::others_are_served;

/// Sends a part of the response to a request in an empty slot of its own.
fn part(hostile: &mut Hostile, supply: Descriptor, head: &Descriptor) {
    let (conn, message) = (head.conn, head.message);
    hostile.send(0, Descriptor { conn, message, len: 2000, tag: BODY.into(), ..supply });
}

#[test]
fn parts_before_their_turn_leave_slots_to_others_and_cost_their_connection() {
    const CONNS: usize = 40;
    let server = Start::new()
        .listener("http", "")
        .listener("http", "")
        .limited("handler = \"port:app\"\nisolated = true")
        .tables("[mempool]\nsmall_slots = 512\nlarge_slots = 16\n")
        .start();
    let mut hostile = Hostile::attach(&server, "app");
    let crowd: Vec<_> = (0..CONNS).map(|_| reckless(server.address(1), &GET.repeat(2))).collect();
    let (mut seconds, mut seen) = (Vec::new(), Vec::new());
    let mut ended = 0;
    wait_until(|| {
        hostile.pump(0);
        for down in std::mem::take(&mut hostile.sides[0].known) {
            match down.tag as u8 {
                HEAD if seen.contains(&down.conn) => {
                    let (message, tag) = (down.message, 200 << 8 | u32::from(RESPONSE));
                    hostile.send(0, Descriptor { message, tag, ..marker(down.conn, 0) });
                    seconds.push(down);
                }
                HEAD => seen.push(down.conn),
                SUPPLY if !seconds.is_empty() => {
                    let head = seconds[ended % seconds.len()];
                    part(&mut hostile, down, &head);
                    ended += 1;
                }
                SUPPLY => hostile.send(0, Descriptor { len: 0, tag: RETURN.into(), ..down }),
                _ => {}
            }
        }
        ended > 2000
    });
    others_are_served(&server);
    assert!(!hostile.is_cut());
    drop((crowd, hostile));
    server.stop();
}
