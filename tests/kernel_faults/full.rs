//! A file table that is full: ENFILE and EMFILE.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway::counters::Counter;

use crate::common::{Client, Start, patience, uninterrupted, wait_until};

fn full_at(connections: u32) -> Start {
    let tables = format!("[dataplane]\nmax_connections = {connections}\n");
    Start::new().listener("http", "").listener("echo", "").tables(&tables)
}

/// Tries until a connection is served: some may be cut while the table is full.
fn served_in_the_end(address: SocketAddr) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        stream.set_read_timeout(patience()).unwrap();
        let mut answer = [0; 1];
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        if stream.write_all(request).is_ok()
            && matches!(uninterrupted(|| stream.read(&mut answer)), Ok(1))
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn connections_past_the_limit_wait_or_are_cut_and_are_served_once_there_is_room() {
    let server = full_at(8).start();
    for _ in 0..5 {
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
        let address = server.address(0);
        let late: Vec<_> =
            (0..20).map(|_| std::thread::spawn(move || served_in_the_end(address))).collect();
        // Those that are served go on being served while others wait.
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
        drop(clients);
        late.into_iter().for_each(|peer| peer.join().unwrap());
        server.wait_for_no_connections();
    }
    println!("accepts that failed: {}", server.count(Counter::AcceptFailures));
    server.drain();
}

#[test]
fn a_listener_whose_neighbour_took_every_slot_accepts_again_when_they_are_free() {
    let server = full_at(4).start();
    for _ in 0..3 {
        let mut echoes: Vec<_> = (0..4).map(|_| Client::connect(server.address(1))).collect();
        echoes.iter_mut().for_each(|client| assert_eq!(client.send("x").receive(1), b"x"));
        // The other listener meets the full table, and no connection of its own will ever close.
        let address = server.address(0);
        let late = std::thread::spawn(move || served_in_the_end(address));
        let failures = || server.count(Counter::AcceptFailures);
        wait_until(|| failures() > 0);
        // Longer than accepting pauses after a failure.
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(echoes);
        late.join().unwrap();
        server.wait_for_no_connections();
    }
    server.drain();
}
