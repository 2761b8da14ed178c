use std::net::TcpListener;
use std::thread;

use super::*;

/// A connection to what `serve` does on a thread of its own.
fn connected(
    patience: Duration,
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> (Connection, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = thread::spawn(move || serve(listener.accept().unwrap().0));
    (Connection::connect(address, patience).unwrap(), peer)
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn reads_give_what_was_asked_for_and_keep_the_rest_w_3() {
    let (mut connection, peer) = connected(LONG, |mut stream| {
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"ping");
        for byte in b"ab\r\n\r\ncdefgh" {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    connection.write_all("ping").unwrap();
    assert_eq!(connection.read_until(b"\r\n\r\n", 6).unwrap(), b"ab\r\n\r\n");
    assert_eq!(connection.read_exact(3).unwrap(), b"cde");
    assert_eq!(connection.read_to_end(3).unwrap(), b"fgh");
    assert_eq!(connection.read_some().unwrap(), b"");
    connection.close().unwrap();
    peer.join().unwrap();
}

#[test]
fn errors_say_what_of_whom_and_why_and_lose_no_byte_w_3() {
    let (mut connection, peer) = connected(LONG, |mut stream| stream.write_all(b"abc").unwrap());
    let address = connection.peer;
    let error = connection.read_exact(5).unwrap_err();
    let text = format!("read 5 bytes, 3 bytes there, from {address}: the peer closed");
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::UnexpectedEof, text));
    let error = connection.read_until(b"\n", 2).unwrap_err();
    let text = format!("read up to \"\\n\", 3 bytes there, from {address}: not within 2 bytes");
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidData, text));
    assert_eq!(connection.read_to_end(2).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(connection.read_some().unwrap(), b"abc");
    peer.join().unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let refused = Connection::connect(nobody, LONG).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(refused.to_string().starts_with("connect to 127.0.0.1:1: "), "{refused}");
}

#[test]
fn a_deadline_bounds_the_call_and_not_each_drop_that_drips_w_3() {
    let (mut connection, peer) = connected(SHORT, |mut stream| {
        // Each byte comes well within the patience; this ends when the other side has given up.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(SHORT / 10);
        }
    });
    let error = connection.read_exact(1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().ends_with("not done in 50ms"), "{error}");
    drop(connection);
    peer.join().unwrap();
}

#[test]
fn a_write_that_nobody_takes_ends_in_time_w_3() {
    let (give_up, given_up) = std::sync::mpsc::channel::<()>();
    let (mut connection, peer) = connected(SHORT, move |_stream| _ = given_up.recv());
    let error = connection.write_all(vec![0; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(give_up);
    peer.join().unwrap();
}
