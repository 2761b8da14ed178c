//! How many at a time.

use std::io::{Read, Write};
use std::thread;

use ringway::ipc::{Client, Options};

use crate::bed::{Bed, PATIENCE};

#[test]
fn i3_a_thousand_clients_at_once_are_all_answered() {
    let bed = Bed::new();
    let mut streams: Vec<_> = (0..1000).map(|_| bed.connect()).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        writeln!(stream, "echo {index}").unwrap();
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, format!("{index}\n"));
    }
}

#[test]
fn i3_as_many_are_worked_on_as_may_and_one_more_waits_for_its_turn() {
    let bed = Bed::with(Options { connections_max: 3, ..Options::default() });
    let mut streams: Vec<_> = (0..4).map(|_| bed.connect()).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(b"wait\n").unwrap());
    bed.door.wait_for(3);
    thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(bed.door.came(), 3);
    bed.door.open();
    for mut stream in streams {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "through");
    }
}

#[test]
fn i11_a_client_opens_no_more_connections_than_it_may() {
    let bed = Bed::new();
    let client = Client::new(&bed.path).timeout(PATIENCE).connections_max(2);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..5).map(|_| scope.spawn(|| client.send("wait"))).collect();
        bed.door.wait_for(2);
        thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(bed.door.came(), 2);
        bed.door.open();
        for sender in senders {
            assert_eq!(sender.join().unwrap().unwrap(), b"through");
        }
    });
    assert_eq!(bed.door.came(), 5);
}
