use super::*;
use crate::proto::stream::secure::cookie::Cookies;
use crate::proto::stream::secure::identity::Trust;
use crate::proto::stream::secure::messages::{self, AUTH, Hello, READY, REPLY, RETRY};
use crate::time::Instant;

const OFFER: Offer =
    Offer { version_min: 1, version_max: 3, offers: ENCRYPT | COMPRESS, requires: ENCRYPT };
const SESSION: [u8; 16] = [0x5e; 16];

/// Trusts one node, or everybody.
struct Only(Option<PublicKey>);

impl Trust for Only {
    fn accepts(&self, peer: &PublicKey) -> bool {
        self.0.is_none_or(|key| key == *peer)
    }
}

const EVERYBODY: &Only = &Only(None);

fn identity(of: u8) -> Identity {
    Identity::from_secret(&[of; 32])
}

fn secrets(of: u8) -> Secrets {
    Secrets { nonce: [of; 32], ephemeral: [of ^ 0xff; 32] }
}

fn initiator() -> Initiator {
    Initiator::new(&identity(1), OFFER, secrets(1))
}

fn responder() -> Responder {
    Responder::new(&identity(2), OFFER, secrets(2), SESSION)
}

/// The messages of a whole handshake, and what both ends have of it.
struct Whole {
    hello: Vec<u8>,
    reply: Vec<u8>,
    auth: Vec<u8>,
    ready: Vec<u8>,
    at_initiator: Agreed,
    at_responder: Agreed,
}

fn whole(mut initiator: Initiator, mut responder: Responder) -> Result<Whole, HandshakeFault> {
    let hello = initiator.hello().to_vec();
    let reply = responder.on_hello(&hello)?.to_vec();
    let auth = initiator.on_reply(&reply, EVERYBODY)?.to_vec();
    let (ready, at_responder) = responder.on_auth(&auth, EVERYBODY)?;
    let ready = ready.to_vec();
    let at_initiator = initiator.on_ready(&ready)?;
    Ok(Whole { hello, reply, auth, ready, at_initiator, at_responder })
}

/// A tag by which the keys of a session can be told from others.
fn print(agreed: &Agreed, direction: Direction) -> [u8; 16] {
    agreed.traffic.channel(direction, 1, 0).sealer().seal(0, &[], &mut [])
}

#[test]
fn both_ends_agree_on_version_features_session_keys_and_each_other() {
    let Whole { at_initiator, at_responder, .. } = whole(initiator(), responder()).unwrap();
    for agreed in [&at_initiator, &at_responder] {
        assert_eq!((agreed.version, agreed.features), (3, ENCRYPT | COMPRESS));
        assert_eq!(agreed.session_id, SESSION);
    }
    assert_eq!(at_initiator.peer, identity(2).public());
    assert_eq!(at_responder.peer, identity(1).public());
    let prints = |agreed| [Direction::Initiator, Direction::Responder].map(|d| print(agreed, d));
    assert_eq!(prints(&at_initiator), prints(&at_responder));
    assert_ne!(prints(&at_initiator)[0], prints(&at_initiator)[1]);
}

#[test]
fn the_messages_have_the_lengths_of_the_wire() {
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    let ops = [hello[0], reply[0], auth[0], ready[0]];
    assert_eq!([hello.len(), reply.len(), auth.len(), ready.len()], [256, 183, 113, 33]);
    assert_eq!(ops, [1, 2, 3, 4]);
}

#[test]
fn any_byte_of_a_hello_changed_ends_before_anybody_agrees() {
    for at in 0..256 {
        for bit in [0, 7] {
            let (mut initiator, mut responder) = (initiator(), responder());
            let mut hello = *initiator.hello();
            hello[at] ^= 1 << bit;
            // What is not authenticated yet a responder may answer; its REPLY tells.
            if let Ok(reply) = responder.on_hello(&hello) {
                let fault = initiator.on_reply(reply, EVERYBODY);
                assert_eq!(fault, Err(HandshakeFault::Forged), "byte {at}");
            }
        }
    }
}

#[test]
fn any_byte_of_a_reply_changed_is_refused() {
    let reply = whole(initiator(), responder()).unwrap().reply;
    let mut initiator = initiator();
    for at in 0..reply.len() {
        for bit in [0, 7] {
            let mut changed = reply.clone();
            changed[at] ^= 1 << bit;
            assert!(initiator.on_reply(&changed, EVERYBODY).is_err(), "byte {at}");
        }
    }
    assert!(initiator.on_reply(&reply, EVERYBODY).is_ok(), "no fault has changed it");
}

#[test]
fn any_byte_of_an_auth_changed_is_refused() {
    let Whole { hello, auth, .. } = whole(initiator(), responder()).unwrap();
    let mut responder = responder();
    responder.on_hello(&hello).unwrap();
    for at in 0..auth.len() {
        let mut changed = auth.clone();
        changed[at] ^= 1;
        let fault = responder.on_auth(&changed, EVERYBODY).map(|_| ());
        let wanted = if at == 0 { HandshakeFault::Malformed } else { HandshakeFault::Forged };
        assert_eq!(fault, Err(wanted), "byte {at}");
    }
    assert!(responder.on_auth(&auth, EVERYBODY).is_ok(), "no fault has changed it");
}

#[test]
fn any_byte_of_a_ready_changed_is_refused() {
    let Whole { reply, ready, .. } = whole(initiator(), responder()).unwrap();
    let mut initiator = initiator();
    initiator.on_reply(&reply, EVERYBODY).unwrap();
    for at in 0..ready.len() {
        let mut changed = ready.clone();
        changed[at] ^= 1;
        let fault = initiator.on_ready(&changed).map(|_| ());
        let wanted = if at == 0 { HandshakeFault::Malformed } else { HandshakeFault::Forged };
        assert_eq!(fault, Err(wanted), "byte {at}");
    }
    assert!(initiator.on_ready(&ready).is_ok(), "no fault has changed it");
}

#[test]
fn a_message_of_any_other_length_is_malformed() {
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    let lengths = |message: &[u8]| {
        let longer = [message, &[0]].concat();
        (0..message.len()).map(|end| message[..end].to_vec()).chain([longer]).collect::<Vec<_>>()
    };
    let malformed = Err(HandshakeFault::Malformed);
    let (mut initiator, mut responder) = (initiator(), responder());
    for other in lengths(&hello) {
        assert_eq!(responder.on_hello(&other).map(|_| ()), malformed);
    }
    for other in lengths(&[RETRY; 33]) {
        assert_eq!(initiator.on_retry(&other), malformed);
    }
    for other in lengths(&reply) {
        assert_eq!(initiator.on_reply(&other, EVERYBODY).map(|_| ()), malformed);
    }
    responder.on_hello(&hello).unwrap();
    for other in lengths(&auth) {
        assert_eq!(responder.on_auth(&other, EVERYBODY).map(|_| ()), malformed);
    }
    initiator.on_reply(&reply, EVERYBODY).unwrap();
    for other in lengths(&ready) {
        assert_eq!(initiator.on_ready(&other).map(|_| ()), malformed);
    }
}

#[test]
fn no_version_in_common_is_named_with_both_ranges() {
    let newer = Offer { version_min: 4, version_max: 9, ..OFFER };
    let fault = whole(initiator(), Responder::new(&identity(2), newer, secrets(2), SESSION));
    let fault = fault.err().unwrap();
    assert_eq!(fault, HandshakeFault::Version { ours: (4, 9), theirs: (1, 3) });
    assert_eq!(fault.to_string(), "no version in common: 4 to 9 here, 1 to 3 there");
}

#[test]
fn the_highest_version_of_both_is_chosen() {
    let of = |version_min, version_max| Offer { version_min, version_max, ..OFFER };
    let version = |ours: Offer, theirs: &Offer| ours.agree(theirs).map(|(version, _)| version);
    assert_eq!(version(of(1, 3), &of(2, 7)), Ok(3));
    assert_eq!(version(of(2, 7), &of(1, 2)), Ok(2));
    assert!(version(of(2, 7), &of(1, 1)).is_err());
}

#[test]
fn a_range_of_versions_that_ends_before_it_begins_is_malformed() {
    let reversed = Offer { version_min: 3, version_max: 2, ..OFFER };
    let initiator = Initiator::new(&identity(1), reversed, secrets(1));
    assert_eq!(responder().on_hello(initiator.hello()), Err(HandshakeFault::Malformed));
}

#[test]
fn a_required_feature_that_one_end_lacks_is_named() {
    let plain = Offer { offers: COMPRESS, requires: 0, ..OFFER };
    for (ours, theirs) in [(OFFER, plain), (plain, OFFER)] {
        let initiator = Initiator::new(&identity(1), ours, secrets(1));
        let responder = Responder::new(&identity(2), theirs, secrets(2), SESSION);
        let fault = whole(initiator, responder).err().unwrap();
        assert_eq!(fault, HandshakeFault::Features { common: COMPRESS, required: ENCRYPT });
        assert_eq!(fault.to_string(), "both have compress, but encrypt is required");
    }
    let fault = HandshakeFault::Features { common: 0, required: ENCRYPT | 0x30 };
    assert_eq!(fault.to_string(), "both have nothing, but encrypt+0x30 is required");
}

#[test]
fn a_responder_cannot_choose_what_was_not_offered() {
    assert_eq!(OFFER.check(3, ENCRYPT | COMPRESS), Ok(()));
    assert_eq!(OFFER.check(2, ENCRYPT), Ok(()));
    let theirs = (4, 4);
    assert_eq!(OFFER.check(4, ENCRYPT), Err(HandshakeFault::Version { ours: (1, 3), theirs }));
    assert_eq!(OFFER.check(3, ENCRYPT | 4), Err(HandshakeFault::Malformed));
    assert!(matches!(OFFER.check(3, COMPRESS), Err(HandshakeFault::Features { .. })));
}

#[test]
fn a_peer_that_is_not_trusted_is_refused_by_either_end() {
    let (mut initiator, mut responder) = (initiator(), responder());
    let stranger = &Only(Some(identity(3).public()));
    let reply = responder.on_hello(initiator.hello()).unwrap();
    assert_eq!(initiator.on_reply(reply, stranger), Err(HandshakeFault::Unauthorised));
    let auth = initiator.on_reply(reply, &Only(Some(identity(2).public()))).unwrap();
    let fault = responder.on_auth(auth, stranger).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Unauthorised));
    assert!(responder.on_auth(auth, &Only(Some(identity(1).public()))).is_ok());
}

#[test]
fn messages_of_another_handshake_are_refused() {
    let old = whole(initiator(), responder()).unwrap();
    let fresh = |of| Initiator::new(&identity(1), OFFER, secrets(of));
    assert_eq!(fresh(7).on_reply(&old.reply, EVERYBODY), Err(HandshakeFault::Forged));

    let mut responder = Responder::new(&identity(2), OFFER, secrets(8), SESSION);
    let mut initiator = fresh(9);
    let reply = responder.on_hello(initiator.hello()).unwrap();
    initiator.on_reply(reply, EVERYBODY).unwrap();
    let fault = responder.on_auth(&old.auth, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Forged));
    assert_eq!(initiator.on_ready(&old.ready).map(|_| ()), Err(HandshakeFault::Forged));

    // The old HELLO and AUTH together: the responder's fresh half makes them worthless.
    let mut responder = Responder::new(&identity(2), OFFER, secrets(10), SESSION);
    responder.on_hello(&old.hello).unwrap();
    let fault = responder.on_auth(&old.auth, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Forged));
}

#[test]
fn what_an_end_said_itself_is_refused_when_it_comes_back() {
    let Whole { hello, reply, auth, .. } = whole(initiator(), responder()).unwrap();
    let (mut initiator, mut responder) = (initiator(), responder());
    assert_eq!(initiator.on_reply(&hello, EVERYBODY), Err(HandshakeFault::Malformed));
    responder.on_hello(&hello).unwrap();
    for back in [&reply, &hello] {
        let fault = responder.on_auth(back, EVERYBODY).map(|_| ());
        assert_eq!(fault, Err(HandshakeFault::Malformed));
    }
    initiator.on_reply(&reply, EVERYBODY).unwrap();
    assert_eq!(initiator.on_ready(&auth).map(|_| ()), Err(HandshakeFault::Malformed));
    // Its proof, in the place of the other's.
    let mut dressed = reply.clone();
    dressed[REPLY_HEAD_BYTES..].copy_from_slice(&auth[1..]);
    let fault = self::initiator().on_reply(&dressed, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Forged));
    let mut dressed = auth.clone();
    dressed[1..].copy_from_slice(&reply[REPLY_HEAD_BYTES..]);
    let fault = responder.on_auth(&dressed, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Forged));
}

#[test]
fn a_node_does_not_talk_to_itself() {
    let mirror = |of| Responder::new(&identity(1), OFFER, secrets(of), SESSION);
    let fault = whole(initiator(), mirror(2)).err();
    assert_eq!(fault, Some(HandshakeFault::Reflected));

    // A responder meets its own identity: an AUTH as that node itself would make it.
    let (mut responder, initiator) = (mirror(2), initiator());
    let reply = responder.on_hello(initiator.hello()).unwrap();
    let head = messages::ReplyHead::decode(reply).unwrap();
    let secret = agree(&StaticSecret::from(secrets(1).ephemeral), &head.ephemeral).unwrap();
    let th1 = th1(initiator.hello(), reply);
    let th2 = hash(&[initiator.hello(), reply]);
    let auth = auth_of(&identity(1), Direction::Initiator, &secret, &th1, &th2);
    let fault = responder.on_auth(&auth, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::Reflected));
}

/// An AUTH with any claim in it, sealed as it should be.
fn auth_of(
    claimed: &Identity,
    as_if: Direction,
    secret: &HandshakeSecret,
    th1: &TranscriptHash,
    th2: &TranscriptHash,
) -> [u8; 113] {
    let mut auth = [AUTH; 113];
    let signature = sign(claimed, as_if, th2);
    let proof = messages::Proof { identity: claimed.public(), signature };
    proof.seal(&secret.sealer(Direction::Initiator, th1), 0, th2, &mut auth[1..]);
    auth
}

#[test]
fn a_signature_of_another_or_for_another_end_does_not_hold() {
    let (mut responder, initiator) = (responder(), initiator());
    let reply = responder.on_hello(initiator.hello()).unwrap();
    let head = messages::ReplyHead::decode(reply).unwrap();
    let secret = agree(&StaticSecret::from(secrets(1).ephemeral), &head.ephemeral).unwrap();
    let (th1, th2) = (th1(initiator.hello(), reply), hash(&[initiator.hello(), reply]));

    let as_responder = auth_of(&identity(1), Direction::Responder, &secret, &th1, &th2);
    let mut claimed = [AUTH; 113];
    let signature = sign(&identity(3), Direction::Initiator, &th2);
    let proof = messages::Proof { identity: identity(1).public(), signature };
    proof.seal(&secret.sealer(Direction::Initiator, &th1), 0, &th2, &mut claimed[1..]);
    for auth in [as_responder, claimed] {
        let fault = responder.on_auth(&auth, EVERYBODY).map(|_| ());
        assert_eq!(fault, Err(HandshakeFault::Signature));
    }
}

#[test]
fn a_half_of_the_key_agreement_with_no_secret_in_it_is_refused() {
    // Points of small order (RFC 7748 §6.1): 0, 1, and one of order 8.
    let order_8 = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut one = [0; 32];
    one[0] = 1;
    let reply = whole(initiator(), responder()).unwrap().reply;
    for weak in [[0; 32], one, order_8] {
        let hello = Hello { offer: OFFER, nonce: [1; 32], ephemeral: weak, cookie: [0; 32] };
        assert_eq!(responder().on_hello(&hello.encode()), Err(HandshakeFault::WeakKey));
        let mut changed = reply.clone();
        changed[REPLY_HEAD_BYTES - 32..REPLY_HEAD_BYTES].copy_from_slice(&weak);
        assert_eq!(initiator().on_reply(&changed, EVERYBODY), Err(HandshakeFault::WeakKey));
    }
}

#[test]
fn what_is_not_due_is_out_of_order() {
    let out_of_order = Err(HandshakeFault::OutOfOrder);
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    let (mut initiator, mut responder) = (initiator(), responder());
    assert_eq!(initiator.on_ready(&ready).map(|_| ()), out_of_order);
    assert_eq!(responder.on_auth(&auth, EVERYBODY).map(|_| ()), out_of_order);
    initiator.on_reply(&reply, EVERYBODY).unwrap();
    assert_eq!(initiator.on_retry(&[RETRY; 33]), out_of_order);
    let mut other = reply.clone();
    other[0] = REPLY ^ 1;
    assert_eq!(initiator.on_reply(&other, EVERYBODY).map(|_| ()), out_of_order);
    responder.on_hello(&hello).unwrap();
    let mut other = hello.clone();
    other[20] ^= 1;
    assert_eq!(responder.on_hello(&other).map(|_| ()), out_of_order);
}

#[test]
fn what_was_agreed_on_is_given_once() {
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    let (mut initiator, mut responder) = (initiator(), responder());
    responder.on_hello(&hello).unwrap();
    responder.on_auth(&auth, EVERYBODY).unwrap();
    let fault = responder.on_auth(&auth, EVERYBODY).map(|_| ());
    assert_eq!(fault, Err(HandshakeFault::OutOfOrder));
    initiator.on_reply(&reply, EVERYBODY).unwrap();
    initiator.on_ready(&ready).unwrap();
    assert_eq!(initiator.on_ready(&ready).map(|_| ()), Err(HandshakeFault::OutOfOrder));
}

#[test]
fn a_repeated_message_is_answered_with_the_same_bytes() {
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    let (mut initiator, mut responder) = (initiator(), responder());
    assert_eq!((responder.again(&hello), initiator.auth()), (None, None));
    for _ in 0..2 {
        assert_eq!(responder.on_hello(&hello), Ok(&reply[..]));
        assert_eq!(initiator.on_reply(&reply, EVERYBODY), Ok(&auth[..]));
    }
    assert_eq!(initiator.auth().map(|auth| &auth[..]), Some(&auth[..]));
    assert_eq!(responder.again(&auth), None);
    responder.on_auth(&auth, EVERYBODY).unwrap();
    assert_eq!(responder.again(&auth), Some(&ready[..]));
    assert_eq!(responder.again(&hello), Some(&reply[..]));
    assert_eq!(responder.again(&ready), None);
}

#[test]
fn a_retry_is_answered_with_its_cookie() {
    let (cookies, now) = (Cookies::new([4; 32]), Instant::from_ns(1));
    let (mut initiator, mut responder) = (initiator(), responder());
    let first = Hello::decode(initiator.hello()).unwrap();
    assert!(!cookies.holds(b"address", &first, now));
    initiator.on_retry(&cookies.retry(b"address", &first, now)).unwrap();
    let second = Hello::decode(initiator.hello()).unwrap();
    assert!(cookies.holds(b"address", &second, now));
    let reply = responder.on_hello(initiator.hello()).unwrap();
    let auth = initiator.on_reply(reply, EVERYBODY).unwrap();
    let (ready, _) = responder.on_auth(auth, EVERYBODY).unwrap();
    assert!(initiator.on_ready(ready).is_ok());
}

#[test]
fn a_retry_of_anybody_while_the_reply_is_under_way_does_no_harm() {
    let (mut initiator, mut responder) = (initiator(), responder());
    let reply = responder.on_hello(initiator.hello()).unwrap().to_vec();
    for _ in 0..2 {
        initiator.on_retry(&[RETRY; 33]).unwrap();
    }
    assert_eq!(initiator.on_retry(&[RETRY; 33]), Err(HandshakeFault::OutOfOrder));
    assert_eq!(responder.again(initiator.hello()), Some(&reply[..]));
    let auth = initiator.on_reply(&reply, EVERYBODY).unwrap();
    let (ready, _) = responder.on_auth(auth, EVERYBODY).unwrap();
    assert!(initiator.on_ready(ready).is_ok());
}

#[test]
fn no_message_shows_an_identity() {
    let Whole { hello, reply, auth, ready, .. } = whole(initiator(), responder()).unwrap();
    for node in [1, 2] {
        let public = identity(node).public();
        for message in [&hello, &reply, &auth, &ready] {
            let shown = message.windows(8).any(|window| window == &public.as_bytes()[..8]);
            assert!(!shown, "node {node}, message {}", message[0]);
        }
    }
    assert_eq!(ready[0], READY);
}
