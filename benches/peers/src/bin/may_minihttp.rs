//! may_minihttp with one worker. Answers every request with 12 bytes of text.
//!
//! usage: may_minihttp; prints the port that it listens on.

use std::io;
use std::net::TcpListener;

use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};

struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _request: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: text/plain").body("Hello World!");
        Ok(())
    }
}

struct Hellos;

impl HttpServiceFactory for Hellos {
    type Service = Hello;

    fn new_service(&self, _id: usize) -> Hello {
        Hello
    }
}

fn main() {
    may::config().set_workers(1).set_pool_capacity(1000).set_stack_size(0x1000);
    // It takes an address and does not tell which port it got: find a free one first.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let server = Hellos.start(address).expect("listening");
    println!("{}", address.port());
    server.join().expect("it runs until it is killed");
}
