//! A TCP echo server: every byte goes back from the slot that it was received into.
//!
//! `cargo run --release --example echo`, then `ncat localhost 7007`

use ringway::dataplane::Builder;
use ringway::mem::{Buf, Burst, kind};
use ringway::pipeline::{Cx, Handler};

struct Echo;

impl Handler for Echo {
    fn process(&mut self, _cx: &mut Cx, input: &mut Burst, output: &mut Burst) {
        while !output.is_full()
            && let Some(message) = input.pop()
        {
            let reply = match message.kind() {
                kind::DATA => message,
                kind::EOF => Buf::marker(message.conn(), kind::CLOSE),
                _ => continue, // connections come and go: nothing to do
            };
            output.push(reply).expect("there is room");
        }
    }
}

fn main() -> ringway::error::Result<()> {
    let report = Builder::on_one_core()?.listen(([0, 0, 0, 0], 7007), || Echo).run()?;
    println!("{report}");
    Ok(())
}
