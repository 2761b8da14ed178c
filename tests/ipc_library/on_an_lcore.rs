//! The client before a listener of protocol `ipc`, which ends its replies in another way.

use std::io::{ErrorKind, Read};

use ringway::handler::ipc::{Command, Pull, Reply, Service};
use ringway::ipc::{Client, Error};
use ringway::mem::ConnId;
use ringway::pipeline::Cx;

use crate::bed::PATIENCE;
use crate::common::{Server, Start, pattern};

/// Streams `part`, and then gives up or ends.
struct Part {
    cut: bool,
    parts: u32,
}

impl Service for Part {
    fn call(&mut self, _cx: &mut Cx, command: &Command<'_>, reply: &mut Reply) {
        match command.name {
            "bytes" => reply.bytes(&pattern(7, command.arguments.parse().unwrap())),
            "fail" => reply.fail(404, format_args!("as asked")),
            name => {
                (self.cut, self.parts) = (name == "cut", 0);
                reply.stream();
            }
        }
    }

    fn pull(&mut self, cx: &mut Cx, conn: ConnId) -> Pull {
        self.parts += 1;
        match self.parts {
            1 => {
                let mut buf = cx.alloc(4, conn).expect("a fresh pool");
                assert!(buf.append(b"part"));
                Pull::Part(buf)
            }
            _ if self.cut => Pull::Cut,
            _ => Pull::End,
        }
    }
}

#[test]
fn i5_a_reply_that_an_lcore_cut_off_is_an_error_and_one_that_it_ended_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lcore.sock");
    let builder = Start::new().listener("echo", "").builder();
    let server = Server::run(builder.ipc(&path, || Part { cut: false, parts: 0 }));
    let client = Client::new(&path).timeout(PATIENCE).expect_half_close();
    assert_eq!(client.send("stream").unwrap(), b"part");
    let bytes = 10 << 20;
    assert!(client.send(&format!("bytes {bytes}")).unwrap() == pattern(7, bytes));
    assert!(matches!(client.send("fail"), Err(Error::Handler { .. })));
    assert!(matches!(client.send("j/fail"), Err(Error::Handler { code: Some(404), .. })));
    match client.send("cut") {
        Err(Error::ReadWrite(why)) => assert_eq!(why.kind(), ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }
    let mut stream = client.stream("stream").unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 4);
    drop(stream);
    server.drain();
}
