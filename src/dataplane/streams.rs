//! `protocol = "stream"`: what a listener's settings say of multiplexed streams.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::protocols::{Protocol, ProtocolContext, bounded, no_other_settings, no_port};
use crate::error::{Error, Result};
use crate::handler::Manner;
use crate::handler::stream::{Echo, Service, Streams};
use crate::limits::{
    BLOCK_BYTES, HTTP_TIMEOUT_MS_MAX, STREAM_BACKLOG_PART, STREAM_CHANNELS_MAX,
    STREAM_IDENTITY_FILE_BYTES_MAX, STREAM_LIST_BYTES_MAX, STREAM_PACKET_BYTES_MAX,
    STREAM_WAITING_SHARE, STREAM_WINDOW_PACKETS_MAX,
};
use crate::mem::Share;
use crate::pipeline::chain::StashBounds;
use crate::pipeline::chain::stream::{Entropy, Settings};
use crate::pipeline::{Pipeline, chain};
use crate::proto::stream::secure::handshake::{BATCH, COMPRESS, ENCRYPT, Secrets};
use crate::proto::stream::secure::identity::{Identity, NodeAddress, PublicKey};
use crate::proto::stream::secure::trust::{Anyone, KnownNodes};
use crate::proto::stream::{
    ChannelTypes, Config, HEADROOM_BYTES, Mode, Rate, SharedTrust, TAILROOM_BYTES,
};
use crate::sys::{random, secret_file};
use crate::time::Clock;

const MADE: &str = "make one: ringway keygen --out FILE";

/// The first is about a port; a listener without one has a service in place of it.
const KNOWN: [&str; 19] = [
    "stall_timeout_ms",
    "upgrade",
    "identity",
    "trust",
    "known_nodes",
    "encrypt",
    "compress",
    "max_channels",
    "max_message_bytes",
    "max_datagram_bytes",
    "window_packets",
    "keepalive_ms",
    "handshake_timeout_ms",
    "expire_after_ms",
    "packets_per_second",
    "bytes_per_second",
    "channel_packets_per_second",
    "channel_bytes_per_second",
    "service",
];

impl Protocol {
    /// Multiplexed streams before `service`, with the settings of the listener.
    pub fn stream(context: &ProtocolContext<'_>, service: impl Service + 'static) -> Result<Self> {
        no_port("stream", context)?;
        let chain = chain::Stream::new(context.slots, context.stream_settings()?);
        Ok(Self {
            pipeline: Pipeline::Stream(Box::new(chain)),
            handler: Box::new(Streams::new(service)),
        })
    }
}

pub(super) fn make(context: &mut ProtocolContext<'_>) -> Result<Protocol> {
    if let Some(handler) = context.remote("stream", Manner::Streams)? {
        let chain = chain::Stream::new(context.slots, context.stream_settings()?);
        let pipeline = Pipeline::Stream(Box::new(chain));
        return Ok(Protocol { pipeline, handler: Box::new(handler) });
    }
    match context.settings.get("service").map(|service| (service, service.as_str())) {
        None | Some((_, Some("echo"))) => Protocol::stream(context, Echo::default()),
        Some((service, _)) => Err(refuse(
            &format!("service = {service}"),
            "ringway brings no such service along",
            "say \"echo\", or register a protocol of your own (Builder::protocol)",
        )),
    }
}

fn refuse(what: &str, why: impl std::fmt::Display, remedy: impl Into<String>) -> Error {
    Error::new(format!("configure protocol stream with {what}"), why, remedy)
}

impl ProtocolContext<'_> {
    /// What the listener's settings say of streams, and the usual where they say nothing. Settings that
    /// it does not know are refused.
    pub fn stream_settings(&self) -> Result<Settings> {
        let last = KNOWN.len() - 1;
        let known = if self.port.is_some() { &KNOWN[..last] } else { &KNOWN[1..] };
        no_other_settings("stream", self.settings, known)?;
        let share = Share::one_in(STREAM_WAITING_SHARE, self.slots_by_size);
        // What is under way and what has come to wait before is within the share. What comes in datagrams waits in small
        // slots.
        let waits_in = if self.datagrams { 0 } else { 1 };
        Ok(Settings {
            config: self.stream_config()?,
            identity: self.identity()?,
            trust: self.trust()?,
            entropy: entropy(),
            clock: Clock::start(),
            cookie_secret: secret(),
            upgrade: self.upgrades()?,
            handler_consumes: self.port.is_some(),
            idle_ns: bounded("stream", self.settings, "expire_after_ms", 1, HTTP_TIMEOUT_MS_MAX)?
                .map_or(0, |ms| ms * 1_000_000),
            stashes: StashBounds { all: self.small_slots() / 4, large: self.large_slots() / 8 },
            window_budget: share.most(waits_in) / (STREAM_BACKLOG_PART + 1) * STREAM_BACKLOG_PART,
            share,
        })
    }

    fn stream_config(&self) -> Result<Config> {
        let mode = if self.datagrams { Mode::Datagram } else { Mode::Stream };
        let mut config = Config::new(mode);
        let number = |name, least, most: u64| bounded("stream", self.settings, name, least, most);
        // A compressed message has to be in one piece. Before the start there is no pool yet: it may have blocks.
        let largest = if self.slot_bytes_max == 0 { BLOCK_BYTES } else { self.slot_bytes_max };
        // What is put around one, or it could not be sent back from the slot that it came in.
        let around = (HEADROOM_BYTES + TAILROOM_BYTES) as u32;
        let message_max = largest.max(STREAM_PACKET_BYTES_MAX as u32) - around;
        config.message_bytes_max = number("max_message_bytes", 1, message_max.into())?
            .map_or(message_max, |bytes| bytes as u32);
        config.types = (0..=255).fold(ChannelTypes::NONE, ChannelTypes::with);
        if let Some(channels) = number("max_channels", 1, STREAM_CHANNELS_MAX as u64)? {
            config.channels_max = channels as usize;
        }
        if let Some(bytes) = number("max_datagram_bytes", 512, STREAM_PACKET_BYTES_MAX as u64)?
            && self.datagrams
        {
            config.packet_bytes = bytes as usize;
        }
        if let Some(n) = number("window_packets", 1, STREAM_WINDOW_PACKETS_MAX.into())? {
            config.window_packets = n as u32;
        }
        for (place, name) in [
            (&mut config.keepalive_ns, "keepalive_ms"),
            (&mut config.handshake_timeout_ns, "handshake_timeout_ms"),
        ] {
            if let Some(ms) = number(name, 1, HTTP_TIMEOUT_MS_MAX)? {
                *place = ms * 1_000_000;
            }
        }
        let rate = |name| number(name, 1, u32::MAX.into()).map(|n| n.unwrap_or(0) as u32);
        config.session_rate =
            Rate { packets: rate("packets_per_second")?, bytes: rate("bytes_per_second")? };
        config.channel_rate = Rate {
            packets: rate("channel_packets_per_second")?,
            bytes: rate("channel_bytes_per_second")?,
        };
        self.features(&mut config)?;
        Ok(config)
    }

    fn features(&self, config: &mut Config) -> Result<()> {
        let (offers, requires) = match self.word("encrypt")? {
            None | Some("required") => (ENCRYPT, ENCRYPT),
            Some("offered") => (ENCRYPT, 0),
            Some("off") => (0, 0),
            Some(other) => {
                let why = "it says how packets are protected";
                let remedy = "say \"required\", \"offered\" or \"off\"";
                return Err(refuse(&format!("encrypt = \"{other}\""), why, remedy));
            }
        };
        let compress = match self.settings.get("compress") {
            None => true,
            Some(value) => value.as_bool().ok_or_else(|| {
                refuse(&format!("compress = {value}"), "it is a switch", "say true or false")
            })?,
        };
        config.offer.offers = offers | BATCH | if compress { COMPRESS } else { 0 };
        config.offer.requires = requires;
        Ok(())
    }

    /// Whether streams begin as HTTP.
    fn upgrades(&self) -> Result<bool> {
        let Some(value) = self.settings.get("upgrade") else { return Ok(false) };
        match value.as_bool() {
            Some(true) if self.datagrams => {
                let why = "datagrams carry no HTTP/1.1";
                Err(refuse("upgrade = true", why, "leave it out, or use transport = \"tcp\""))
            }
            Some(wanted) => Ok(wanted),
            None => {
                Err(refuse(&format!("upgrade = {value}"), "it is a switch", "say true or false"))
            }
        }
    }

    fn word(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.settings.get(name) else { return Ok(None) };
        let word = value.as_str();
        word.map(Some).ok_or_else(|| {
            refuse(&format!("{name} = {value}"), "it is a word", "write it in quotes")
        })
    }

    /// Who we are.
    fn identity(&self) -> Result<Identity> {
        let Some(path) = self.word("identity")? else {
            let why = "it has none, and a node without one is nobody";
            return Err(refuse("an identity", why, format!("say identity = \"FILE\"; {MADE}")));
        };
        let mut text = Zeroizing::new(String::with_capacity(STREAM_IDENTITY_FILE_BYTES_MAX));
        let path = Path::new(path);
        secret_file::read(path, "the identity", MADE, STREAM_IDENTITY_FILE_BYTES_MAX, &mut text)?;
        Identity::from_text(&text).map_err(|fault| {
            Error::new(format!("read the identity {}", path.display()), fault, MADE)
        })
    }

    /// Who may connect.
    fn trust(&self) -> Result<SharedTrust> {
        let known = self.settings.get("known_nodes");
        match self.word("trust")? {
            None | Some("known") => {}
            Some("anyone") if known.is_none() => return Ok(Arc::new(Anyone)),
            Some(other) => {
                let why =
                    "with a list of nodes it is \"known\", and without one it may be \"anyone\"";
                return Err(refuse(
                    &format!("trust = \"{other}\""),
                    why,
                    "say the one or the other",
                ));
            }
        }
        let nodes = match known {
            Some(toml::Value::Array(nodes)) => listed(nodes)?,
            Some(toml::Value::String(path)) => read_list(Path::new(path))?,
            _ => {
                let why = "it has none, so that nobody could connect";
                let remedy =
                    "say known_nodes = [\"ADDRESS\", …] or \"FILE\", or trust = \"anyone\"";
                return Err(refuse("a list of nodes", why, remedy));
            }
        };
        Ok(Arc::new(nodes))
    }
}

/// Nodes by address or public key.
fn listed(nodes: &[toml::Value]) -> Result<KnownNodes> {
    let node = |value: &toml::Value| {
        let text = value.as_str().unwrap_or_default();
        let key = text.parse::<PublicKey>().map(|key| key.address());
        key.or_else(|_| text.parse::<NodeAddress>()).map_err(|why| {
            let remedy = "write a node's address as `ringway keygen --show FILE` does";
            refuse(&format!("the node {value}"), why, remedy)
        })
    };
    nodes.iter().map(node).collect()
}

fn read_list(path: &Path) -> Result<KnownNodes> {
    let what = || format!("read the list of nodes {}", path.display());
    let remedy = "write an address on each line, as `ringway keygen --show FILE` does";
    let bytes = std::fs::metadata(path).map_err(|e| Error::new(what(), e, remedy))?.len();
    if bytes > STREAM_LIST_BYTES_MAX {
        let why = format!("it has {bytes} bytes, and {STREAM_LIST_BYTES_MAX} is the most");
        return Err(Error::new(what(), why, "shorten it"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::new(what(), e, remedy))?;
    KnownNodes::parse(&text).map_err(|fault| Error::new(what(), fault, remedy))
}

/// Randomness that lasts as long as a listener.
fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    random::fill(&mut secret).expect("getrandom(2) fails for no buffer of ours");
    secret
}

/// Secrets from the kernel, each time.
fn entropy() -> Entropy {
    Box::new(|| {
        let mut bytes = Zeroizing::new([0; 80]);
        // The kernel has some since before the first session, or the process would not have started.
        random::fill(&mut bytes[..]).expect("getrandom(2) fails for no buffer of ours");
        let part = |from: usize| std::array::from_fn(|n| bytes[from + n]);
        let session_id = std::array::from_fn(|n| bytes[64 + n]);
        (Secrets { nonce: part(0), ephemeral: part(32) }, session_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Totals;
    use crate::mem::{Share, SlotCounts};
    use crate::pipeline::Extensions;

    fn message_bytes_max(settings: &str, slot_bytes_max: u32) -> Option<u32> {
        let (status, mut extensions) = (Totals::new(Vec::new()), Extensions::new(0));
        let context = ProtocolContext {
            settings: &settings.parse().unwrap(),
            slots: 0,
            slots_by_size: SlotCounts::default(),
            slot_bytes_max,
            datagrams: false,
            share: Share::WHOLE,
            status: &status,
            extensions: &mut extensions,
            port: None,
        };
        context.stream_config().ok().map(|config| config.message_bytes_max)
    }

    #[test]
    fn a_message_is_as_large_as_the_largest_slot_which_is_not_known_before_the_start() {
        let large = "max_message_bytes = 100000";
        assert_eq!(message_bytes_max("", 16_384), Some(16_344));
        assert_eq!(message_bytes_max(large, 16_384), None);
        assert_eq!(message_bytes_max(large, BLOCK_BYTES), Some(100_000));
        assert_eq!(message_bytes_max(large, 0), Some(100_000));
        assert_eq!(message_bytes_max("max_message_bytes = 4194265", 0), None);
    }
}
