//! Several lcores on one port.

use ringway::counters::Counter;

use crate::common::{Start, wait_until};

#[test]
fn connections_spread_over_the_lcores_of_a_listener() {
    let server = Start::new().listener("http", "").lcores(2).start();
    let mut clients: Vec<_> = (0..400).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    let accepted = |index| server.plane().status().lcore(index).unwrap().get(Counter::Accepted);
    let (one, other) = (accepted(0), accepted(1));
    println!("accepted: {one} and {other}");
    assert_eq!(one + other, 400);
    assert!((100..=300).contains(&one), "{one} and {other}");
    drop(clients);
    wait_until(|| server.count(Counter::Closed) == 400);
    server.drain();
}
