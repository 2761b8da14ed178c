//! Where an instance is asked what it does, and who may.

use std::path::PathBuf;

use crate::limits::CONTROL_MODE;

/// The control socket of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Its file; `None`: the place that the instance's prefix gives it.
    pub socket: Option<PathBuf>,
    /// Permissions of its file.
    pub mode: u32,
    /// Users that may use it, beside the instance's own; empty: whom the permissions let in.
    pub uids: Vec<u32>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { enabled: true, socket: None, mode: CONTROL_MODE, uids: Vec::new() }
    }
}
