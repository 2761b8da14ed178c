//! What a datagram met on its way reaches the handler (RFC 3168).

use nix::libc;
use ringway::dataplane::Protocol;
use ringway::mem::{Burst, kind};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};

use crate::common::{Server, Start};
use crate::peer::Peer;

/// Answers each datagram with the meta that it had.
struct Teller {
    reads_ecn: bool,
}

impl Handler for Teller {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(buf) = input.pop()
        {
            if buf.kind() == kind::DATA {
                let mut answer = cx.alloc(1, buf.conn()).expect("a free slot");
                assert!(answer.append(&[buf.meta() as u8]));
                assert!(output.push(answer).is_ok());
            }
        }
    }

    fn reads_ecn(&self) -> bool {
        self.reads_ecn
    }
}

fn serve(address: &str, reads_ecn: bool) -> Server {
    let builder = Start::new().datagrams("teller", address).builder();
    Server::run(builder.protocol("teller", move |context| {
        let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
        Ok(Protocol { pipeline, handler: Box::new(Teller { reads_ecn }) })
    }))
}

#[test]
fn the_ecn_field_of_a_datagram_is_its_meta_over_both_families() {
    for (address, level, name) in [
        ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_TOS),
        ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    ] {
        let server = serve(address, true);
        let peer = Peer::new(server.address(0));
        for class in [0, 1, 2, 3, 0xb8 | 2] {
            peer.set(level, name, class);
            assert_eq!(peer.send("x").receive(), [(class & 3) as u8], "{address} class {class}");
        }
        // In a train each has it.
        peer.set(level, name, 1);
        peer.send_train([0; 64], 16);
        assert_eq!(peer.receive_bytes(4), [[1]; 4]);
        server.stop();
    }
}

#[test]
fn the_kernel_is_not_asked_for_what_a_handler_does_not_read() {
    let server = serve("127.0.0.1:0", false);
    let peer = Peer::new(server.address(0));
    peer.set(libc::IPPROTO_IP, libc::IP_TOS, 2);
    assert_eq!(peer.send("x").receive(), [0]);
    server.stop();
}
