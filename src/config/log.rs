//! What is logged.

/// What `ringway run` logs. A program that logs by it adds a setting `log.level`
/// ([`Control::setting`](crate::control::Control::setting)), which hears of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or levels of modules: `info,ringway::dataplane=debug`. What it means is its reader's to say.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}
