//! Where an instance is looked at over HTTP, and what whoever looks has to know.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::limits::{ADMIN_TOKEN_CHARS_MAX, ADMIN_TOKEN_CHARS_MIN};

/// The admin listener of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// What has to be known to be answered; `None`: who reaches a loopback address is.
    pub token: Option<AdminToken>,
}

/// A secret that clients of the admin listener show.
#[derive(Clone, PartialEq, Eq)]
pub enum AdminToken {
    /// The secret itself.
    Text(String),
    /// A file of its owner alone, with the secret in it.
    File(PathBuf),
}

/// Without the secret.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl AdminConfig {
    /// On an address, without a token.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: None }
    }

    /// Refuses an address that other machines reach without a token.
    pub fn check(&self) -> Result<()> {
        if self.token.is_some() || self.address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(Error::new(
            format!("serve the admin pages on {}", self.address),
            "other machines reach that address, and there is no token",
            "give `token_file` in [admin] (or --admin-token-file), made with `(umask 077; openssl rand \
             -hex 32 > FILE)`, or listen on 127.0.0.1",
        ))
    }
}

/// Refuses a secret that is short, long, or has characters that do not pass through a header.
pub fn check_admin_token(token: &str) -> Result<()> {
    let refuse = |why: String| {
        let mend = "make one with `openssl rand -hex 32`";
        Err(Error::new("use the token of the admin listener", why, mend))
    };
    let allowed = ADMIN_TOKEN_CHARS_MIN..=ADMIN_TOKEN_CHARS_MAX;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("it has characters that are not visible ASCII".to_owned());
    }
    if !allowed.contains(&token.len()) {
        return refuse(format!(
            "it has {} characters, and {} to {} are allowed",
            token.len(),
            allowed.start(),
            allowed.end()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_does_without_a_token_and_others_need_one() {
        for address in ["127.0.0.1:0", "127.8.9.1:9090", "[::1]:9090", "[::ffff:127.0.0.1]:9090"] {
            AdminConfig::new(address.parse().unwrap()).check().unwrap();
        }
        for address in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090", "[::ffff:192.0.2.1]:1"] {
            let mut config = AdminConfig::new(address.parse().unwrap());
            let refused = config.check().unwrap_err();
            assert!(refused.to_string().contains(address.split(':').next().unwrap()));
            assert!(refused.remedy().contains("token_file"), "{refused}");
            config.token = Some(AdminToken::File("token".into()));
            config.check().unwrap();
        }
    }

    #[test]
    fn a_token_has_16_to_256_visible_characters() {
        for good in ["a".repeat(16), "~!".repeat(128)] {
            check_admin_token(&good).unwrap();
        }
        for bad in ["a".repeat(15), "a".repeat(257), "with a blank in it".into(), "ü".repeat(16)] {
            check_admin_token(&bad).unwrap_err();
        }
    }

    #[test]
    fn the_secret_is_not_in_what_is_printed_for_debugging() {
        let token = AdminToken::Text("a secret of somebody".into());
        assert_eq!(format!("{token:?}"), "Text(…)");
    }
}
