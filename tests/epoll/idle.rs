//! An lcore that sleeps in epoll is woken by all that can wake it.

use std::sync::mpsc;

use ringway::config::{IdleMode, IoBackend};
use ringway::counters::Counter;
use ringway::lcore::Mail;

use crate::common::{Server, Start, wait_until};

fn asleep() -> Server {
    let start = Start::new().io(IoBackend::Epoll).idle(IdleMode::Sleep).listener("echo", "");
    let server = start.start();
    wait_until(|| server.count(Counter::Sleeps) > 0);
    server
}

/// Longer than a nap lasts, all together: were none of them ended by mail, the watchdog would end the test.
#[test]
fn mail_wakes_an_lcore_that_sleeps_w_1() {
    let server = asleep();
    for _ in 0..500 {
        let (done, made) = mpsc::channel();
        let call = Box::new(move |_: &mut _| done.send(()).unwrap());
        assert!(server.plane().handle(0).post(Mail::Call(call)).is_ok());
        made.recv().unwrap();
    }
    server.drain();
}

#[test]
fn connections_and_bytes_wake_an_lcore_that_sleeps_w_1() {
    let server = asleep();
    for _ in 0..100 {
        let mut client = server.connect();
        for _ in 0..5 {
            assert_eq!(client.send("x").receive(1), b"x");
        }
    }
    server.wait_for_no_connections();
    server.drain();
}

#[test]
fn an_lcore_with_nothing_to_do_asks_the_kernel_no_more_often_than_it_sleeps_w_1() {
    let server = asleep();
    let _idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
    wait_until(|| server.count(Counter::Accepted) == 20);
    let before = [Counter::Enters, Counter::Sleeps].map(|counter| server.count(counter));
    wait_until(|| server.count(Counter::Sleeps) >= before[1] + 3);
    let enters = server.count(Counter::Enters) - before[0];
    let sleeps = server.count(Counter::Sleeps) - before[1];
    // One for the sleep, one or two for the looks around it; and what is in between.
    assert!(enters <= 4 * (sleeps + 3), "{enters} calls in {sleeps} sleeps");
    server.drain();
}
