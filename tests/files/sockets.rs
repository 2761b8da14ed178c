//! Files over real sockets, with a pool of real threads.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringway::dataplane::Protocol;
use ringway::handler::http::{Files, Upload};

use crate::bed::Place;
use crate::common::{Server, Start, patience, pattern, uninterrupted, wait_until};
use crate::uploads::hex;

/// Takes and sends the files of a place, which go on where they broke off.
pub fn server(place: &Place) -> Server {
    let files = Files::new(place.root()).unwrap().listing();
    let upload = Upload::new(place.root()).unwrap().max_bytes(4 << 30).resumable();
    let upload = upload.overwriting().with_files(files);
    let builder = Start::new().listener("share", "").builder();
    Server::run(builder.protocol("share", move |context| Protocol::http(context, upload.clone())))
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Asks for a path over a plain socket, where nothing between counts.
fn ask(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address(0)).unwrap();
    stream.set_read_timeout(patience()).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    stream
}

/// Reads a response to its end, and hands on what comes of its body.
fn read_all(mut stream: TcpStream, body_bytes: u64, mut came: impl FnMut(&[u8])) {
    let (mut room, mut got, mut in_head) = (vec![0; 1 << 20], 0, Vec::new());
    while got < body_bytes {
        let more =
            uninterrupted(|| stream.read(&mut room)).unwrap_or_else(|why| panic!("{why} at {got}"));
        assert!(more > 0, "it ended at {got}");
        let mut bytes = &room[..more];
        if got == 0 {
            in_head.extend(bytes);
            let Some(at) = in_head.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            assert!(in_head.starts_with(b"HTTP/1.1 200 "));
            bytes = &in_head[at + 4..];
        }
        got += bytes.len() as u64;
        came(bytes);
    }
    assert_eq!(got, body_bytes);
}

#[test]
fn a_file_of_a_gigabyte_comes_whole_with_flat_memory_g_18() {
    const BYTES: u64 = 1 << 30;
    let place = Place::new();
    place.write("small", "x");
    File::create(place.path("sparse")).unwrap().set_len(BYTES).unwrap();
    let server = server(&place);
    let mut client = server.connect();
    assert_eq!(client.get("/small").body, b"x");
    let (zeroes, mut before, mut got) = (vec![0; 1 << 20], 0, 0);
    read_all(ask(&server, "/sparse"), BYTES, |bytes| {
        assert!(bytes == &zeroes[..bytes.len()]);
        got += bytes.len();
        if before == 0 && got > 64 << 20 {
            before = resident();
        }
    });
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than in the middle");
    assert_eq!(client.get("/small").body, b"x");
    drop(client);
    server.drain();
}

#[test]
fn many_slow_readers_do_not_hold_up_a_fast_one() {
    const READERS: usize = 200;
    let place = Place::new();
    let content = pattern(1, 3 << 20);
    place.write("large", &content);
    place.write("other", &content[..1 << 20]);
    let server = server(&place);
    let slow: Vec<TcpStream> = (0..READERS).map(|_| ask(&server, "/large")).collect();
    // They read nothing meanwhile; each fast one gets all of its file.
    for _ in 0..5 {
        let got = server.connect().get("/other");
        assert!(got.body == content[..1 << 20]);
    }
    for stream in slow {
        let mut at = 0;
        read_all(stream, content.len() as u64, |bytes| {
            assert!(bytes == &content[at..at + bytes.len()]);
            at += bytes.len();
        });
    }
    server.drain();
}

#[test]
fn a_client_that_is_killed_in_the_middle_of_an_upload_can_go_on() {
    let place = Place::new();
    let content = pattern(5, 3 << 20);
    let server = server(&place);
    let mut client = server.connect();
    client.send(format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len()));
    client.send(&content[..2 << 20]);
    // Something of it has come to the disk by the time that it dies.
    let offset = || {
        let got = server.connect().send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").head();
        got.field("upload-offset").map_or(0, |digits| digits.parse::<usize>().unwrap())
    };
    wait_until(|| offset() > 1 << 20);
    client.reset();
    server.connect().get("/none");
    // The lock goes with the connection; until then the answer is 409.
    let mut got = None;
    wait_until(|| {
        let offset = offset();
        let (total, last) = (content.len(), content.len() - 1);
        let head = format!(
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nContent-Range: bytes {offset}-{last}/{total}\r\n\r\n",
            total - offset,
        );
        let answer = server.connect().send(head).send(&content[offset..]).response();
        let done = answer.status() == 201;
        got = Some(answer);
        done
    });
    let got: serde_json::Value = serde_json::from_slice(&got.unwrap().body).unwrap();
    assert_eq!(got["sha256"], hex(&content));
    assert!(place.read("a") == content);
    server.drain();
}

#[test]
fn clients_that_are_killed_in_the_middle_leave_neither_files_nor_bufs() {
    let place = Place::new();
    place.write("large", pattern(1, 8 << 20));
    let server = server(&place);
    for turn in 0..20 {
        let mut client = server.connect();
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        client.receive(1000 * (turn + 1));
        client.reset();
        let mut client = server.connect();
        client.send("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n");
        client.send(vec![b'x'; 1000 * (turn + 1)]);
        client.reset();
    }
    server.wait_for_no_connections();
    wait_until(|| place.names() == ["large"]);
    server.drain();
}

#[test]
fn an_upload_that_waits_for_the_disk_lets_the_lcore_sleep_and_others_be_served() {
    let place = Place::new();
    place.write("small", "x");
    let server = server(&place);
    let content = pattern(9, 16 << 20);
    let uploads: Vec<_> = (0..4)
        .map(|n| {
            let mut client = server.connect();
            let content = content.clone();
            std::thread::spawn(move || {
                let head = format!(
                    "PUT /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                    content.len()
                );
                client.send(head).send(&content).response()
            })
        })
        .collect();
    let mut client = server.connect();
    while uploads.iter().any(|upload| !upload.is_finished()) {
        assert_eq!(client.get("/small").body, b"x");
        std::thread::sleep(Duration::from_millis(1));
    }
    for (n, upload) in uploads.into_iter().enumerate() {
        assert_eq!(upload.join().unwrap().status(), 201);
        assert!(place.read(&n.to_string()) == content);
    }
    drop(client);
    server.drain();
}
