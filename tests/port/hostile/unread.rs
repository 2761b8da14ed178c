//! What a process is told and does not read.

use super::*;

#[test]
fn words_that_a_process_does_not_read_do_not_pile_up() {
    const PARTS: u32 = 60_000;
    is_no_fault("parts for nobody, and nothing read", true, |hostile, head| {
        for _ in 0..PARTS {
            wait_until(|| hostile.has_room(0));
            hostile.send(0, marker(head.conn, BODY));
        }
        let (mut words, mut told) = (0, 0);
        wait_until(|| {
            hostile.pump(0);
            for word in hostile.sides[0].known.iter().filter(|word| word.tag as u8 == CREDIT) {
                words += 1;
                told += word.tag >> 8;
            }
            hostile.sides[0].known.retain(|word| word.tag as u8 != CREDIT);
            hostile.wake(0);
            told + 32 > PARTS
        });
        assert!(told <= PARTS && words <= 1024 + 32, "{words} words of {told} parts");
    });
}
