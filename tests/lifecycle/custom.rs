//! A protocol of the user's own, registered by name (G-12) with settings of its own, whose handler
//! hears of connections, data and their end (G-14).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringway::counters::Reason;
use ringway::dataplane::{Protocol, ProtocolContext};
use ringway::error::{Error, Result};
use ringway::mem::{Buf, Burst, kind};
use ringway::pipeline::{Chain, Cx, Handler, Pipeline, chain};
use ringway::sync::AtomicU64;

use crate::common::{Server, Start, wait_until};

/// What a handler heard.
#[derive(Default)]
struct Heard {
    opened: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicU64,
}

/// Greets, answers in capitals, and takes note.
struct Shout {
    greeting: String,
    heard: Arc<Heard>,
}

impl Shout {
    fn answer(&self, cx: &mut Cx, mut message: Buf, output: &mut Burst) {
        let conn = message.conn();
        let reply = match message.kind() {
            kind::OPEN => {
                self.heard.opened.fetch_add(1, Ordering::Relaxed);
                let mut greeting = cx.alloc(self.greeting.len(), conn).expect("a free slot");
                assert!(greeting.append(self.greeting.as_bytes()));
                greeting
            }
            kind::DATA => {
                self.heard.bytes.fetch_add(message.len() as u64, Ordering::Relaxed);
                message.bytes_mut().expect("nobody shares it").make_ascii_uppercase();
                message
            }
            kind::EOF => Buf::marker(conn, kind::CLOSE),
            kind::CLOSED => {
                self.heard.ended.fetch_add(1, Ordering::Relaxed);
                return;
            }
            _ => return cx.drop_buf(message, Reason::Protocol),
        };
        assert!(output.push(reply).is_ok(), "room was checked");
    }
}

impl Handler for Shout {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(message) = input.pop()
        {
            self.answer(cx, message, output);
        }
    }
}

/// A chain from outside the library; what it does beyond passing on is up to it.
struct Passing(chain::Raw);

impl Chain for Passing {
    fn ingress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.0.ingress(cx, input, output);
    }

    fn egress(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        self.0.egress(cx, input, output);
    }

    fn drain(&mut self, cx: &mut Cx, output: &mut Burst) {
        self.0.drain(cx, output);
    }
}

fn make(context: &ProtocolContext<'_>, heard: &Arc<Heard>) -> Result<Protocol> {
    let greeting = context.settings.get("greeting").and_then(toml::Value::as_str);
    let greeting = greeting.ok_or_else(|| {
        Error::new("configure protocol shout", "it has no greeting", "give it `greeting = \"…\"`")
    })?;
    let handler = Shout { greeting: greeting.to_owned(), heard: heard.clone() };
    Ok(Protocol {
        pipeline: Pipeline::Custom(Box::new(Passing(chain::Raw::new(context.slots)))),
        handler: Box::new(handler),
    })
}

#[test]
fn a_protocol_registered_by_name_serves_with_its_own_settings_g_12() {
    let heard = Arc::new(Heard::default());
    let noted = heard.clone();
    let start = Start::new()
        .listener("shout", "greeting = \"hello \"")
        .listener("shout", "greeting = \"good evening \"")
        .listener("echo", "");
    let server =
        Server::run(start.builder().protocol("shout", move |context| make(context, &noted)));
    for (index, expected) in [(0, "hello WORLD"), (1, "good evening WORLD"), (2, "world")] {
        let mut client = crate::common::Client::connect(server.address(index));
        let answer = client.send("world").finish().receive_all();
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }
    // G-14: each connection was announced, heard and seen off.
    wait_until(|| heard.ended.load(Ordering::Relaxed) == 2);
    assert_eq!(heard.opened.load(Ordering::Relaxed), 2);
    assert_eq!(heard.bytes.load(Ordering::Relaxed), 10);
    server.drain();
}

#[test]
fn a_protocol_that_refuses_its_settings_keeps_the_dataplane_from_starting_g_12() {
    let heard = Arc::new(Heard::default());
    let builder = Start::new().listener("shout", "").builder();
    let error = builder.protocol("shout", move |context| make(context, &heard)).start();
    let text = error.err().unwrap().to_string();
    assert!(text.contains("no greeting") && text.contains("give it"), "{text}");
}

#[test]
fn a_maker_that_panics_on_one_lcore_takes_the_others_down() {
    let _watchdog = crate::common::Watchdog::start();
    let made = AtomicU64::new(0);
    let builder = Start::new().listener("shout", "greeting = \"\"").lcores(2).builder();
    let heard = Arc::new(Heard::default());
    let outcome = builder.protocol("shout", move |context| {
        // The first is made to be checked, the second on an lcore.
        assert!(made.fetch_add(1, Ordering::Relaxed) != 1, "this maker panics on purpose");
        make(context, &heard)
    });
    let text = outcome.start().err().unwrap().to_string();
    assert!(text.contains("panicked"), "{text}");
}
