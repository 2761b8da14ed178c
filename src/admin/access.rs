//! Who is answered: whoever shows the token, or, where there is none, whoever means a host of this machine.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::request::Request;
use crate::config::{AdminConfig, AdminToken, check_admin_token};
use crate::error::Result;
use crate::limits::ADMIN_TOKEN_CHARS_MAX;
use crate::sys::secret_file;

/// What the cookie's value is made from beside the token, so that it is not the token.
const COOKIE_LABEL: &[u8] = b"ringway admin cookie";

/// What is compared beside secrets, so that how long they are does not show in the time either.
const COMPARE_LABEL: &[u8] = b"ringway admin compare";

/// Names of this machine that nobody else's page can have.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Who is answered.
#[derive(Debug)]
pub struct Access {
    token: Option<Token>,
    /// The address that it listens on, as a host of a URL.
    own_host: String,
    /// The cookie's name: browsers give a host's cookies to all of its ports.
    cookie: String,
}

/// A secret, and the cookie that stands for it.
struct Token {
    text: Zeroizing<String>,
    cookie: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What came of a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Admitted,
    /// It has shown the token in its URL: it gets the cookie, and the URL without.
    LogIn,
    /// It has shown nothing, or something else.
    TokenWanted,
    /// It means a host that is not this one: a page of somebody else's may have made it.
    WrongHost,
}

impl Access {
    /// As the configuration says, for a listener that is at `address`.
    pub fn new(config: &AdminConfig, address: std::net::SocketAddr) -> Result<Self> {
        let text = match &config.token {
            None => None,
            Some(AdminToken::Text(text)) => Some(Zeroizing::new(text.clone())),
            Some(AdminToken::File(path)) => {
                let mut text = Zeroizing::new(String::with_capacity(ADMIN_TOKEN_CHARS_MAX + 3));
                let made =
                    format!("make one: (umask 077; openssl rand -hex 32 > {})", path.display());
                let most = ADMIN_TOKEN_CHARS_MAX + 3;
                secret_file::read(path, "the token", &made, most, &mut text)?;
                let kept = text.trim_ascii_end().len();
                text.truncate(kept);
                Some(text)
            }
        };
        if let Some(text) = &text {
            check_admin_token(text)?;
        }
        let token = text.map(|text| Token { cookie: hex(&mac(&text, COOKIE_LABEL)), text });
        let ip = address.ip().to_canonical();
        let own_host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        Ok(Self { token, own_host, cookie: format!("ringway_{}", address.port()) })
    }

    /// Whether there is a token to be shown.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request is answered.
    pub fn judge(&self, request: &Request<'_>) -> Verdict {
        let Some(token) = &self.token else {
            // HTTP/1.0 may do without a host; no browser does.
            let known = request.host().is_none_or(|host| self.knows(host));
            return if known { Verdict::Admitted } else { Verdict::WrongHost };
        };
        if request.query("token").is_some_and(|shown| token.is(shown)) {
            return Verdict::LogIn;
        }
        let bearer = request.bearer().is_some_and(|shown| token.is(shown));
        let admitted = bearer || request.cookies(&self.cookie).any(|shown| token.has_cookie(shown));
        if admitted { Verdict::Admitted } else { Verdict::TokenWanted }
    }

    /// The field that gives a browser the cookie. It goes along when somebody follows a link to the dashboard, which only
    /// reads, but with nothing that a page of another site asks for by itself.
    pub fn set_cookie(&self) -> String {
        let value = self.token.as_ref().map_or("", |token| &token.cookie);
        format!("Set-Cookie: {}={value}; Path=/; HttpOnly; SameSite=Lax\r\n", self.cookie)
    }

    /// A name that a page from elsewhere cannot have given itself (DNS rebinding).
    fn knows(&self, host: &str) -> bool {
        let own = [&*self.own_host];
        LOOPBACK_NAMES.iter().chain(&own).any(|name| host.eq_ignore_ascii_case(name))
    }
}

impl Token {
    fn is(&self, shown: &[u8]) -> bool {
        // Of secrets that differ in length too, only that they differ is told.
        let shown = mac_of(shown, COMPARE_LABEL);
        bool::from(mac(&self.text, COMPARE_LABEL).ct_eq(&shown))
    }

    fn has_cookie(&self, shown: &[u8]) -> bool {
        bool::from(self.cookie.as_bytes().ct_eq(shown))
    }
}

fn mac(key: &str, label: &[u8]) -> [u8; 32] {
    mac_of(key.as_bytes(), label)
}

fn mac_of(key: &[u8], label: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    let mut out = [0; 32];
    out.copy_from_slice(&mac.chain_update(label).finalize().into_bytes());
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Drop for Token {
    fn drop(&mut self) {
        self.cookie.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(address: &str, token: Option<AdminToken>) -> Access {
        let address = address.parse().unwrap();
        Access::new(&AdminConfig { address, token }, address).unwrap()
    }

    fn judge(access: &Access, target: &str, fields: &str) -> Verdict {
        let text = format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
        access.judge(&Request::decode(text.as_bytes()).unwrap().unwrap())
    }

    #[test]
    fn without_a_token_the_host_has_to_be_one_that_no_other_page_can_have() {
        let access = access("127.0.0.2:9090", None);
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:9090", "[::1]:9090", "127.0.0.2:1"] {
            assert_eq!(judge(&access, "/", &format!("Host: {host}\r\n")), Verdict::Admitted);
        }
        for host in ["evil.example", "localhost.evil.example:9090", "127.0.0.3", "localhos"] {
            assert_eq!(judge(&access, "/", &format!("Host: {host}\r\n")), Verdict::WrongHost);
        }
        let absolute = judge(&access, "http://evil.example/", "Host: localhost\r\n");
        assert_eq!(absolute, Verdict::WrongHost);
    }

    #[test]
    fn the_token_is_shown_in_the_field_or_once_in_the_url_and_the_cookie_afterwards() {
        let access = access("0.0.0.0:9090", Some(AdminToken::Text(TOKEN.into())));
        let host = "Host: anything.example\r\n";
        let with = |more: &str| judge(&access, "/", &format!("{host}{more}"));
        assert_eq!(with(&format!("Authorization: Bearer {TOKEN}\r\n")), Verdict::Admitted);
        assert_eq!(judge(&access, &format!("/?token={TOKEN}"), host), Verdict::LogIn);
        let field = access.set_cookie();
        let cookie = field.strip_prefix("Set-Cookie: ").unwrap().split(';').next().unwrap();
        assert!(cookie.starts_with("ringway_9090=") && !cookie.contains(TOKEN));
        assert_eq!(with(&format!("Cookie: a=b; {cookie}\r\n")), Verdict::Admitted);
        for wrong in [
            String::new(),
            "Authorization: Bearer 0123456789abcdeg\r\n".into(),
            format!("Authorization: Bearer {TOKEN}0\r\n"),
            format!("Authorization: Basic {TOKEN}\r\n"),
            "Authorization: Bearer \r\n".into(),
            format!("Cookie: ringway_9090={TOKEN}\r\n"),
            format!("Cookie: {}\r\n", &cookie[..cookie.len() - 1]),
            "Cookie: ringway_9090=\r\n".into(),
        ] {
            assert_eq!(with(&wrong), Verdict::TokenWanted, "{wrong}");
        }
        assert_eq!(judge(&access, "/?token=", host), Verdict::TokenWanted);
        assert_eq!(judge(&access, &format!("/?token={TOKEN}x"), host), Verdict::TokenWanted);
    }

    #[test]
    fn a_token_comes_from_a_file_of_its_owner_alone_without_the_newline_at_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let address = "0.0.0.0:9090".parse().unwrap();
        let config = AdminConfig { address, token: Some(AdminToken::File(path.clone())) };
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Access::new(&config, address)
        };
        let missing = Access::new(&config, address).unwrap_err();
        assert!(missing.remedy().contains("openssl rand"), "{missing}");
        let access = write(&format!("{TOKEN}\n"), 0o600).unwrap();
        let fields = format!("Host: a\r\nAuthorization: Bearer {TOKEN}\r\n");
        assert_eq!(judge(&access, "/", &fields), Verdict::Admitted);
        assert!(write(TOKEN, 0o644).unwrap_err().to_string().contains("chmod 600"));
        for bad in ["\n", "short\n", &"x".repeat(300), "two lines of\ntokens\n"] {
            assert!(write(bad, 0o600).is_err(), "{bad:?}");
        }
        write(&"x".repeat(ADMIN_TOKEN_CHARS_MAX), 0o600).unwrap();
    }

    #[test]
    fn the_secret_is_not_in_what_is_printed_for_debugging() {
        let text = format!("{:?}", access("[::1]:1", Some(AdminToken::Text(TOKEN.into()))));
        assert!(!text.contains(TOKEN), "{text}");
    }
}
