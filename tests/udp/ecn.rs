//! What a datagram met on its way reaches the handler (RFC 3168).

use nix::libc;
use ringway::dataplane::Protocol;
use ringway::mem::{Burst, kind};
use ringway::pipeline::{Cx, Handler, Pipeline, chain};

use crate::common::{Server, Start};
use crate::peer::Peer;

/// Answers each datagram with the meta that it had.
struct Teller;

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
}

#[test]
fn the_ecn_field_of_a_datagram_is_its_meta_over_both_families() {
    for (address, level, name) in [
        ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_TOS),
        ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    ] {
        let builder = Start::new().datagrams("teller", address).builder();
        let server = Server::run(builder.protocol("teller", |context| {
            let pipeline = Pipeline::Raw(chain::Raw::new(context.slots));
            Ok(Protocol { pipeline, handler: Box::new(Teller) })
        }));
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
