//! Streams between nodes, for programs that wait: many channels of messages over one connection, each
//! end of which has proved who it is.
//!
//! A [`Client`] connects, a [`Listener`] is connected to, and what either gets is a [`Stream`]. Its
//! [`Channel`]s carry messages both ways, each in order. Nothing of a dataplane is needed: a thread for
//! each stream moves bytes, and every call may be made from any thread.
//!
//! ```
//! use ringway::stream::{Anyone, ChannelOptions, Client, Identity, Listener, channel_type};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A node is a key pair: `ringway keygen` makes one that stays. Here 32 bytes stand for it.
//! let (here, there) = (Identity::from_secret(&[1; 32]), Identity::from_secret(&[2; 32]));
//! let listener = Listener::bind("tcp:127.0.0.1:0", there, Anyone)?;
//! let address = listener.address().to_string();
//!
//! let server = std::thread::spawn(move || -> Result<(), ringway::stream::Error> {
//!     let stream = listener.accept()?;
//!     let channel = stream.accept()?;
//!     while let Some(message) = channel.recv()? {
//!         channel.send(message)?; // back to where it came from
//!     }
//!     channel.close();
//!     stream.wait_for_end()
//! });
//!
//! let stream = Client::new(here, Anyone).connect(&address)?;
//! let channel = stream.open(channel_type::SERVICE, ChannelOptions::default())?;
//! channel.send("hello")?;
//! assert_eq!(channel.recv()?.as_deref(), Some(&b"hello"[..]));
//! channel.close();
//! assert_eq!(channel.recv()?, None); // the other end has closed it too
//! stream.close()?;
//! server.join().expect("it does not panic")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who may talk to whom
//!
//! Both ends prove with a signature that they are the node that they say, encrypted or not, and each asks
//! its policy whether it goes on with that node: [`KnownNodes`] has a list, [`FirstUse`] whoever was
//! first at an address, [`Only`] one node; [`Anyone`] leaves it to the program, which sees
//! [`Stream::peer`]. A refusal says to both ends who was refused.
//!
//! ```no_run
//! use ringway::stream::{Client, Identity, KnownNodes, NodeAddress, Options, Stream};
//!
//! # fn connect() -> Result<Stream, Box<dyn std::error::Error>> {
//! let identity = Identity::from_text(&std::fs::read_to_string("ringway.identity")?)?;
//! let known = KnownNodes::parse(&std::fs::read_to_string("known-nodes")?)?;
//! let client = Client::new(identity, known).options(Options { compress: false, ..Options::default() });
//! let meant: NodeAddress = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".parse()?;
//! Ok(client.connect_to(&"udp:example.org:7000".parse()?, Some(meant))?)
//! # }
//! ```
//!
//! # What waits, and for how long
//!
//! | call | waits |
//! |---|---|
//! | [`Channel::send`] | while [`STREAM_SEND_BYTES`](crate::limits::STREAM_SEND_BYTES) of the channel have no credit; [`Channel::try_send`] never does |
//! | [`Channel::recv`], [`Channel::read`] | for a message, or the end of the channel |
//! | [`Stream::open`] | for the peer's consent |
//! | [`Stream::accept`], [`Listener::accept`] | for a channel, a stream |
//! | [`Stream::close`] | until what was sent has gone and the peer has closed too |
//!
//! Each has a form with a time. A stream that ends, by whomever, ends all waiting on it;
//! [`Channel::cancel`] and [`Listener::stop`] do for what they are about. What else there is to do
//! meanwhile, [`Callbacks`] are for.
//!
//! A peer gets credit as the program receives: of one that is not received from no more waits in memory
//! than a window and one message a channel.
//!
//! # What may be lost
//!
//! Over TCP, Unix sockets and ports nothing is, or the stream ends with an error. Over UDP a message may
//! be lost, whole, and none comes twice or late; [`Stream::statistics`] counts them. [`mod@file`] sends again
//! what was lost.
//!
//! Many streams to many nodes are a [`Pool`]'s.
//!
//! # Behind a dataplane
//!
//! A [`Listener`] at `port:NAME` has the streams of a dataplane's listener with `protocol = "stream"` and
//! `handler = "port:NAME"`. The dataplane is the node that peers see, greets them by its own settings, deciphers and
//! decompresses; the listener's policy is asked as well. One thread has the port; it attaches again when the
//! dataplane is started again. A message that is sent has to fit a slot
//! ([`Channel::message_bytes_max`]); new keys and what is compressed are the dataplane's business.

mod address;
mod bell;
mod callbacks;
mod channel;
mod client;
mod desk;
mod driver;
mod error;
pub mod file;
mod handle;
mod lane;
mod link;
mod listener;
mod news;
mod options;
mod outbox;
mod policy;
mod pool;
mod reader;
mod served;
mod session;
mod state;
mod trust;

pub use address::Address;
pub use callbacks::{Callbacks, Notice, PacketIn, PacketOut};
pub use channel::Channel;
pub use client::Client;
pub use error::{End, Error, Why};
pub use handle::{ChannelOptions, Stream};
pub use listener::Listener;
pub use options::Options;
pub use policy::Policy;
pub use pool::Pool;
pub use session::{Session, SessionId};
pub use trust::Only;

pub use crate::proto::stream::secure::identity::{Identity, NodeAddress, PublicKey, Trust};
pub use crate::proto::stream::secure::trust::{Anyone, FirstUse, KnownNodes, Pin};
pub use crate::proto::stream::{
    Cause, ChannelDump, ChannelStatistics, ChannelTypes, Code, Count, Fault, Rate, Rtt,
    SharedTrust, Statistics, channel_type,
};
