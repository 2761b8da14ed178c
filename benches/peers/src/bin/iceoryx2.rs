//! Two processes that exchange messages of 64 bytes through iceoryx2, both spinning: requests and
//! responses, or one publisher and one subscriber. Each says `0` when it is ready, reads orders, and
//! the first says how many nanoseconds its part of one took.
//!
//! usage: iceoryx2 other|first SERVICE      (the other first)

use std::io::BufRead;
use std::time::Instant;

use iceoryx2::port::client::Client;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::server::Server;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;

type Message = [u8; 64];
type Service = ipc::Service;

const MESSAGE: Message = [7; 64];

/// Messages that may be under way: as many as a port lends.
const BUFFERED: usize = 384;

enum Role {
    First(Client<Service, Message, (), Message, ()>, Publisher<Service, Message, ()>),
    Other(Server<Service, Message, (), Message, ()>, Subscriber<Service, Message, ()>),
}

impl Role {
    fn named(role: &str, service: &str) -> Self {
        let node = NodeBuilder::new().create::<Service>().expect("a node");
        let name = |what: &str| ServiceName::new(&format!("{service}/{what}")).expect("a name");
        let calls = node
            .service_builder(&name("calls"))
            .request_response::<Message, Message>()
            .open_or_create()
            .expect("a service");
        let stream = node
            .service_builder(&name("stream"))
            .publish_subscribe::<Message>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(BUFFERED)
            .open_or_create()
            .expect("a service");
        match role {
            "first" => {
                let publisher = stream
                    .publisher_builder()
                    .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
                let client = calls.client_builder().create().expect("a client");
                Self::First(client, publisher.create().expect("a publisher"))
            }
            _ => {
                let server = calls.server_builder().create().expect("a server");
                Self::Other(server, stream.subscriber_builder().create().expect("a subscriber"))
            }
        }
    }

    fn serve(&self, what: &str, count: u64) {
        match (self, what) {
            (Self::First(client, _), "trips") => (0..count).for_each(|_| trip(client)),
            (Self::Other(server, _), "trips") => (0..count).for_each(|_| answer(server)),
            (Self::First(_, publisher), _) => (0..count).for_each(|_| publish(publisher)),
            (Self::Other(_, subscriber), _) => (0..count).for_each(|_| take(subscriber)),
        }
    }
}

fn trip(client: &Client<Service, Message, (), Message, ()>) {
    let request = client.loan_uninit().expect("a slot").write_payload(MESSAGE);
    let pending = request.send().expect("sent");
    loop {
        if let Some(response) = pending.receive().expect("a response") {
            return assert!(*response == MESSAGE, "it is not what was sent");
        }
        std::hint::spin_loop();
    }
}

fn answer(server: &Server<Service, Message, (), Message, ()>) {
    loop {
        if let Some(request) = server.receive().expect("a request") {
            let response = request.loan_uninit().expect("a slot").write_payload(*request);
            return response.send().expect("sent");
        }
        std::hint::spin_loop();
    }
}

fn publish(publisher: &Publisher<Service, Message, ()>) {
    let sample = publisher.loan_uninit().expect("a slot").write_payload(MESSAGE);
    sample.send().expect("sent");
}

fn take(subscriber: &Subscriber<Service, Message, ()>) {
    loop {
        if let Some(sample) = subscriber.receive().expect("a sample") {
            return assert!(*sample == MESSAGE, "it is not what was sent");
        }
        std::hint::spin_loop();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, service] = &arguments[..] else { panic!("usage: iceoryx2 other|first SERVICE") };
    set_log_level(LogLevel::Error);
    let role = Role::named(role, service);
    println!("0");
    for order in std::io::stdin().lock().lines() {
        let order = order.expect("a line");
        let words: Vec<&str> = order.split(' ').collect();
        let count = |index: usize| words[index].parse().expect("a number");
        role.serve(words[0], count(1));
        let start = Instant::now();
        role.serve(words[0], count(2));
        if let Role::First(..) = role {
            println!("{}", start.elapsed().as_nanos());
        }
    }
}
