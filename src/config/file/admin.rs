//! The `[admin]` table: whether metrics and the dashboard are served over HTTP, where, and to whom.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::config::{AdminConfig, AdminToken, check_admin_token};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    address: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
}

pub(super) fn admin(source: &Source, raw: Spanned<RawAdmin>) -> Result<AdminConfig> {
    let span = raw.span();
    let raw = raw.into_inner();
    let Some(written) = raw.address else {
        let mend = "write address = \"127.0.0.1:9090\", or leave [admin] out";
        return Err(source.refuse(span, "[admin] has no address".to_owned(), mend));
    };
    let address: SocketAddr = written.get_ref().parse().map_err(|_| {
        source.refuse(
            written.span(),
            format!("`{}` is not an IP address and port", written.get_ref()),
            "write it as \"127.0.0.1:9090\" or \"[::1]:9090\"",
        )
    })?;
    let config = AdminConfig { address, token: token(source, raw.token, raw.token_file)? };
    let refused = |error: Error| source.refuse(written.span(), error.why().into(), error.remedy());
    config.check().map_err(refused)?;
    Ok(config)
}

fn token(
    source: &Source,
    text: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
) -> Result<Option<AdminToken>> {
    match (text, file) {
        (None, None) => Ok(None),
        (Some(text), None) => {
            let refused =
                |error: Error| source.refuse(text.span(), error.why().into(), error.remedy());
            check_admin_token(text.get_ref()).map_err(refused)?;
            Ok(Some(AdminToken::Text(text.into_inner())))
        }
        (None, Some(file)) if file.get_ref().is_empty() => Err(source.refuse(
            file.span(),
            "token_file is empty".to_owned(),
            "write the path of a file, or leave it out",
        )),
        (None, Some(file)) => Ok(Some(AdminToken::File(file.into_inner().into()))),
        (Some(_), Some(file)) => Err(source.refuse(
            file.span(),
            "token and token_file are both given".to_owned(),
            "leave one of them out",
        )),
    }
}
