//! The `[log]` table.

use serde::Deserialize;

use super::super::LogConfig;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    level: Option<String>,
}

pub(super) fn log(raw: RawLog) -> LogConfig {
    LogConfig { level: raw.level.unwrap_or(LogConfig::default().level) }
}
