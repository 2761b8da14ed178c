//! The `[stats]` table.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::StatsConfig;
use super::{Source, unix};
use crate::error::Result;
use crate::limits::{STATS_SAMPLING_MAX, WATCHDOG_NS_MIN};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStats {
    sampling: Option<Spanned<u32>>,
    mode: Option<Spanned<String>>,
    watchdog_ms: Option<Spanned<u64>>,
    backtrace: Option<bool>,
}

pub(super) fn stats(source: &Source, raw: RawStats) -> Result<StatsConfig> {
    let default = StatsConfig::default();
    let least_ms = WATCHDOG_NS_MIN / 1_000_000;
    let sampling = match raw.sampling {
        Some(n) if *n.get_ref() > STATS_SAMPLING_MAX => {
            return Err(source.refuse(
                n.span(),
                format!("sampling is {}", n.get_ref()),
                format!("have one in 1 to {STATS_SAMPLING_MAX} passes measured, or none with 0"),
            ));
        }
        other => other.map_or(default.sampling, Spanned::into_inner),
    };
    let watchdog = match raw.watchdog_ms {
        Some(ms) if *ms.get_ref() < least_ms => {
            return Err(source.refuse(
                ms.span(),
                format!("watchdog_ms is {}", ms.get_ref()),
                format!("give lcores at least {least_ms} ms to come round"),
            ));
        }
        other => other.map_or(default.watchdog, |ms| Duration::from_millis(ms.into_inner())),
    };
    let mode = raw.mode.map(|mode| unix::file_mode(source, &mode)).transpose()?;
    Ok(StatsConfig {
        sampling,
        mode: mode.unwrap_or(default.mode),
        watchdog,
        backtrace: raw.backtrace.unwrap_or(default.backtrace),
    })
}
