//! A protocol of one's own, registered by name, bound from the configuration, with a setting of its
//! own: frames of a length (u16, big-endian) and so many bytes; each goes back reversed.
//!
//! `cargo run --release --example custom_protocol`, then
//! `printf '\0\5hello' | ncat localhost 7100 | xxd`

use ringway::config::{Config, CoreMap};
use ringway::dataplane::{Builder, Protocol, ProtocolContext};
use ringway::error::{Error, Result};
use ringway::mem::{Buf, Burst, kind};
use ringway::pipeline::chain::{Cut, Framed, Framing, Malformed, StashBounds};
use ringway::pipeline::{Cx, Handler, Pipeline};

const CONFIG: &str = "
[[listener]]
address = '0.0.0.0:7100'
transport = 'tcp'
protocol = 'frames'
config = { max_bytes = 1000 }
";

/// Where frames end. It sees bytes, and nothing else.
struct Lengths {
    max_bytes: usize,
}

impl Framing for Lengths {
    fn cut(&self, bytes: &[u8]) -> std::result::Result<Option<Cut>, Malformed> {
        let Some(&length) = bytes.first_chunk() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(length));
        if len > self.max_bytes {
            return Err(Malformed);
        }
        let whole = bytes.len() >= 2 + len;
        Ok(whole.then_some(Cut { skip: 2, len, tail: 0 }))
    }
}

/// What is done with them.
struct Reverse;

impl Reverse {
    /// The reply to `frame`; `None` when no slot is free for it.
    fn answer(cx: &mut Cx, frame: &Buf) -> Option<Buf> {
        let mut reply = cx.alloc(2 + frame.len(), frame.conn())?;
        reply.append(&(frame.len() as u16).to_be_bytes());
        reply.append(frame);
        reply.bytes_mut()?[2..].reverse();
        Some(reply)
    }
}

impl Handler for Reverse {
    fn process(&mut self, cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(message) = input.pop()
        {
            let reply = match message.kind() {
                Framed::<Lengths>::MESSAGE => match Self::answer(cx, &message) {
                    Some(reply) => reply,
                    // It comes again when there is a slot.
                    None => return input.unpop(message).expect("it was just popped"),
                },
                kind::EOF => Buf::marker(message.conn(), kind::CLOSE),
                kind::CLOSE => message, // the peer broke the framing
                _ => continue,
            };
            output.push(reply).expect("there is room");
        }
    }
}

/// Called for each listener on each lcore, and once before the start, to check the settings.
fn frames(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    let max_bytes = match context.settings.get("max_bytes").map(|value| value.as_integer()) {
        None => 1024,
        Some(Some(bytes @ 1..=16_000)) => bytes as usize,
        Some(_) => {
            let why = "max_bytes is no number that it takes";
            return Err(Error::new("configure protocol frames", why, "give one from 1 to 16000"));
        }
    };
    // A frame that has come in part holds a slot, which no reply can then have.
    let stashes = StashBounds { all: context.small_slots() / 4, large: context.large_slots() / 4 };
    let chain = Framed::new(context.slots, stashes, Lengths { max_bytes });
    Ok(Protocol { pipeline: Pipeline::Custom(Box::new(chain)), handler: Box::new(Reverse) })
}

fn main() -> Result<()> {
    let config = Config::from_toml(CONFIG, "the example")?;
    let report = Builder::new(config, CoreMap::single(0)).protocol("frames", frames).run()?;
    println!("{report}");
    Ok(())
}
