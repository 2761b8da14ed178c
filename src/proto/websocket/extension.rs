//! `permessage-deflate` in the opening handshake (RFC 7692 §7.1): the field's grammar (RFC 6455 §9.1), what a
//! client offers, what a server agrees to. Messages themselves are compressed in `deflate`.

use crate::proto::http1::is_token;

/// The extension's name.
const NAME: &[u8] = b"permessage-deflate";

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// Sizes of a window as powers of two: the smallest that there is, and the largest, which holds where nothing
/// is said.
pub const WINDOW_BITS_MIN: u8 = 8;
/// See [`WINDOW_BITS_MIN`].
pub const WINDOW_BITS_MAX: u8 = 15;

/// Longest value of the field that is written here.
pub const EXTENSION_BYTES_MAX: usize = 160;

/// The field is not a list of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// How messages are compressed in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server begins each message with an empty window.
    pub server_no_context_takeover: bool,
    /// So does the client.
    pub client_no_context_takeover: bool,
    /// The server's window, 8 to 15.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15.
    pub client_max_window_bits: u8,
}

impl Default for Deflate {
    /// The largest windows, which go on from message to message.
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
        }
    }
}

/// One element of the field that names the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner one: a client that has no wish says that it would heed the server's.
    client_max_window_bits: Option<Option<u8>>,
}

impl Deflate {
    /// What a server answers to an offer: as little as both want.
    fn agree(&self, offer: &Parameters) -> Self {
        let server_bits = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        // A client that has not said so does not know the parameter.
        let client_bits = offer.client_max_window_bits.map_or(WINDOW_BITS_MAX, |hint| {
            hint.unwrap_or(WINDOW_BITS_MAX).min(self.client_max_window_bits)
        });
        Self {
            server_no_context_takeover: self.server_no_context_takeover
                || offer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || offer.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.min(server_bits),
            client_max_window_bits: client_bits,
        }
    }

    /// What a server that would compress like `self` agrees to, of what the elements of a field offer: the
    /// first that it can.
    pub fn choose(&self, field: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut chosen = None;
        for element in elements(field) {
            if let Element::Deflate(Some(offer)) = element?
                && chosen.is_none()
            {
                chosen = Some(self.agree(&offer));
            }
        }
        Ok(chosen)
    }

    /// Writes the field's value as a server answers: what is not as if nothing were said.
    pub fn write_answer<'a>(&self, out: &'a mut [u8; EXTENSION_BYTES_MAX]) -> &'a str {
        let mut text = Text::begin(out);
        text.flag(SERVER_NO_CONTEXT_TAKEOVER, self.server_no_context_takeover);
        text.flag(CLIENT_NO_CONTEXT_TAKEOVER, self.client_no_context_takeover);
        text.bits(SERVER_MAX_WINDOW_BITS, self.server_max_window_bits);
        text.bits(CLIENT_MAX_WINDOW_BITS, self.client_max_window_bits);
        text.end()
    }

    /// Writes the field's value as a client offers it; of its own window a smaller one may always be asked.
    pub fn write_offer<'a>(&self, out: &'a mut [u8; EXTENSION_BYTES_MAX]) -> &'a str {
        let mut text = Text::begin(out);
        text.flag(SERVER_NO_CONTEXT_TAKEOVER, self.server_no_context_takeover);
        text.flag(CLIENT_NO_CONTEXT_TAKEOVER, self.client_no_context_takeover);
        text.bits(SERVER_MAX_WINDOW_BITS, self.server_max_window_bits);
        match self.client_max_window_bits {
            WINDOW_BITS_MAX => text.flag(CLIENT_MAX_WINDOW_BITS, true),
            bits => text.bits(CLIENT_MAX_WINDOW_BITS, bits),
        }
        text.end()
    }

    /// Reads what a server has answered to this offer; `None`: it wants no extension. What was not offered is
    /// no answer to it.
    pub fn read_answer(&self, field: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut agreed = None;
        for element in elements(field) {
            let Element::Deflate(Some(answer)) = element? else { return Err(Malformed) };
            if agreed.replace(self.check_answer(&answer)?).is_some() {
                return Err(Malformed);
            }
        }
        Ok(agreed)
    }

    fn check_answer(&self, answer: &Parameters) -> Result<Self, Malformed> {
        let server_bits = answer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX);
        let client_bits = match answer.client_max_window_bits {
            Some(None) => return Err(Malformed),
            Some(Some(bits)) => bits,
            None => WINDOW_BITS_MAX,
        };
        let loses = self.server_no_context_takeover && !answer.server_no_context_takeover;
        if loses || server_bits > self.server_max_window_bits {
            return Err(Malformed);
        }
        Ok(Self {
            server_no_context_takeover: answer.server_no_context_takeover,
            // An offer to do without is kept to, whether or not it was heard (§7.1.1.2).
            client_no_context_takeover: self.client_no_context_takeover
                || answer.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits.min(self.client_max_window_bits),
        })
    }
}

/// One extension of a list.
#[derive(Debug, PartialEq, Eq)]
enum Element {
    /// `permessage-deflate`; `None`: with parameters that it has not, or twice, or with wrong values.
    Deflate(Option<Parameters>),
    /// Another.
    Other,
}

/// The elements of the field's value. Empty ones are passed over (RFC 9110 §5.6.1).
fn elements(field: &[u8]) -> impl Iterator<Item = Result<Element, Malformed>> {
    let mut scanner = Scanner { rest: field };
    std::iter::from_fn(move || {
        while scanner.eat(b',') {}
        if scanner.is_at_end() {
            return None;
        }
        let element = scanner.element();
        if element.is_err() {
            scanner.rest = &[];
        }
        Some(element)
    })
}

/// What of a field's value is still to be read.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn is_at_end(&mut self) -> bool {
        self.rest = self.rest.trim_ascii_start();
        self.rest.is_empty()
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let found = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.rest = self.rest.trim_ascii_start();
        let is_end = |byte: &u8| b",;=\" \t".contains(byte);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if is_token(token) { Ok(token) } else { Err(Malformed) }
    }

    /// A token, or one in quotes, where nothing needs to be escaped.
    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.eat(b'"') {
            return self.token();
        }
        let end = self.rest.iter().position(|&byte| byte == b'"').ok_or(Malformed)?;
        let (value, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        if is_token(value) { Ok(value) } else { Err(Malformed) }
    }

    fn element(&mut self) -> Result<Element, Malformed> {
        let is_deflate = self.token()? == NAME;
        let mut parameters = Some(Parameters::default());
        while self.eat(b';') {
            let name = self.token()?;
            let value = if self.eat(b'=') { Some(self.value()?) } else { None };
            parameters = parameters.and_then(|parameters| parameters.with(name, value));
        }
        if !self.is_at_end() && !self.eat(b',') {
            return Err(Malformed);
        }
        Ok(if is_deflate { Element::Deflate(parameters) } else { Element::Other })
    }
}

impl Parameters {
    /// These and another; `None`: there is no such parameter, or it was there.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let was_there = match (std::str::from_utf8(name).ok()?, value) {
            (SERVER_NO_CONTEXT_TAKEOVER, None) => {
                std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            (CLIENT_NO_CONTEXT_TAKEOVER, None) => {
                std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            (SERVER_MAX_WINDOW_BITS, Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_some()
            }
            (CLIENT_MAX_WINDOW_BITS, None) => self.client_max_window_bits.replace(None).is_some(),
            (CLIENT_MAX_WINDOW_BITS, Some(value)) => {
                self.client_max_window_bits.replace(Some(window_bits(value)?)).is_some()
            }
            _ => return None,
        };
        (!was_there).then_some(self)
    }
}

/// 8 to 15, without a zero in front (§7.1.2.1).
fn window_bits(value: &[u8]) -> Option<u8> {
    match *value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The value of a field that is being written.
struct Text<'a> {
    out: &'a mut [u8; EXTENSION_BYTES_MAX],
    len: usize,
}

impl<'a> Text<'a> {
    fn begin(out: &'a mut [u8; EXTENSION_BYTES_MAX]) -> Self {
        let mut text = Self { out, len: 0 };
        text.put(NAME);
        text
    }

    fn put(&mut self, piece: &[u8]) {
        let end = self.len + piece.len();
        self.out[self.len..end].copy_from_slice(piece);
        self.len = end;
    }

    fn flag(&mut self, name: &str, wanted: bool) {
        if wanted {
            self.put(b"; ");
            self.put(name.as_bytes());
        }
    }

    fn bits(&mut self, name: &str, bits: u8) {
        if bits == WINDOW_BITS_MAX {
            return;
        }
        self.flag(name, true);
        match bits {
            0..10 => self.put(&[b'=', b'0' + bits]),
            _ => self.put(&[b'=', b'1', b'0' + bits % 10]),
        }
    }

    fn end(self) -> &'a str {
        std::str::from_utf8(&self.out[..self.len]).expect("nothing but ASCII was put")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server that has no wishes of its own answers.
    fn answer(offer: &str) -> Result<Option<String>, Malformed> {
        answer_of(&Deflate::default(), offer)
    }

    fn answer_of(server: &Deflate, offer: &str) -> Result<Option<String>, Malformed> {
        let chosen = server.choose(offer.as_bytes())?;
        let write = |agreed: Deflate| agreed.write_answer(&mut [0; EXTENSION_BYTES_MAX]).to_owned();
        Ok(chosen.map(write))
    }

    // W-7: RFC 7692 §7.1.
    #[test]
    fn offers_are_agreed_to_as_far_as_they_go() {
        let cases = [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=10",
            ),
            (
                "permessage-deflate;server_max_window_bits=\"8\" ; client_max_window_bits = 9",
                "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
            ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
            ("other; a=b; c=\"d\",, permessage-deflate", "permessage-deflate"),
        ];
        for (offer, expected) in cases {
            assert_eq!(answer(offer), Ok(Some(expected.to_owned())), "{offer}");
        }
    }

    #[test]
    fn a_server_has_wishes_where_the_client_heeds_them() {
        let server = Deflate {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 12,
            client_max_window_bits: 10,
        };
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                    server_max_window_bits=12";
        assert_eq!(answer_of(&server, "permessage-deflate"), Ok(Some(both.to_owned())));
        let heeded = answer_of(&server, "permessage-deflate; client_max_window_bits");
        assert_eq!(heeded, Ok(Some(format!("{both}; client_max_window_bits=10"))));
        let less = answer_of(&server, "permessage-deflate; client_max_window_bits=9");
        assert_eq!(less, Ok(Some(format!("{both}; client_max_window_bits=9"))));
    }

    #[test]
    fn offers_with_parameters_that_there_are_not_are_declined_for_the_next() {
        let bad = [
            "unknown",
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"true\"",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "client_max_window_bits=0",
            "client_max_window_bits=100",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=9",
            "server_max_window_bits=9; server_max_window_bits=9",
        ];
        for parameters in bad {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&offer), Ok(None), "{offer}");
            let with_another = format!("{offer}, permessage-deflate; client_max_window_bits");
            assert_eq!(answer(&with_another), Ok(Some("permessage-deflate".to_owned())), "{offer}");
        }
        assert_eq!(answer(""), Ok(None));
        assert_eq!(answer("permessage-bzip2"), Ok(None));
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused_wherever_it_breaks() {
        let bad = [
            ";",
            "permessage-deflate;",
            "permessage-deflate; =9",
            "permessage-deflate; a=",
            "permessage-deflate; a=\"9",
            "permessage-deflate; a=\"\"",
            "permessage-deflate; a=\"b,c\"",
            "permessage-deflate a",
            "permessage-deflate; a=b c",
            "a/b",
            "permessage-deflate, \"x\"",
        ];
        for offer in bad {
            assert_eq!(answer(offer), Err(Malformed), "{offer}");
        }
    }

    #[test]
    fn a_client_takes_the_answers_that_its_offer_allows() {
        let offer = Deflate { server_max_window_bits: 12, ..Deflate::default() };
        let read = |field: &str| offer.read_answer(field.as_bytes());
        assert_eq!(read(""), Ok(None));
        let agreed =
            read("permessage-deflate; server_max_window_bits=12; client_max_window_bits=9");
        assert_eq!(agreed, Ok(Some(Deflate { client_max_window_bits: 9, ..offer })));
        let agreed = read(
            "permessage-deflate; server_max_window_bits=8; \
                           server_no_context_takeover; client_no_context_takeover",
        );
        let expected = Deflate {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 8,
            client_max_window_bits: 15,
        };
        assert_eq!(agreed, Ok(Some(expected)));
        let bad = [
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=13",
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=9; unknown",
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            "permessage-deflate; server_max_window_bits=9, other",
            "other",
        ];
        for field in bad {
            assert_eq!(read(field), Err(Malformed), "{field}");
        }
        let strict = Deflate { server_no_context_takeover: true, ..Deflate::default() };
        assert_eq!(strict.read_answer(b"permessage-deflate"), Err(Malformed));
    }

    fn any_deflate() -> impl Strategy<Value = Deflate> {
        (any::<(bool, bool)>(), 8u8..16, 8u8..16).prop_map(|((server, client), one, other)| {
            Deflate {
                server_no_context_takeover: server,
                client_no_context_takeover: client,
                server_max_window_bits: one,
                client_max_window_bits: other,
            }
        })
    }

    proptest! {
        // W-7
        #[test]
        fn both_ends_come_to_the_same(offer in any_deflate(), server in any_deflate()) {
            let (mut asked, mut answered) = ([0; EXTENSION_BYTES_MAX], [0; EXTENSION_BYTES_MAX]);
            let asked = offer.write_offer(&mut asked);
            let at_server = server.choose(asked.as_bytes()).unwrap().unwrap();
            let answered = at_server.write_answer(&mut answered);
            let at_client = offer.read_answer(answered.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(at_client, at_server, "{} {}", asked, answered);
            prop_assert!(at_server.server_max_window_bits <= server.server_max_window_bits);
            prop_assert!(at_server.client_max_window_bits <= offer.client_max_window_bits);
        }

        #[test]
        fn any_bytes_are_read_or_refused(field in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Deflate::default().choose(&field);
        }
    }
}
