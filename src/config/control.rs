//! Where an instance is asked what it does, and who may; and who may see what passes.

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
    /// What of the traffic they may see.
    pub capture: CaptureAccess,
}

/// What `ringway capture` and `ringway trace` show of the traffic, and to whom.
///
/// What peers encrypted was not meant for whoever may ask an instance for its counters, nor for the file that a
/// capture leaves: so it takes a permission of its own, which nobody has by being root or by running the instance. Those
/// could read its memory, but would have to want to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureAccess {
    /// Bytes, of what is not encrypted or as the wire has them.
    pub bytes: bool,
    /// What was decrypted, for everybody who may use the control socket.
    pub decrypted: bool,
    /// What was decrypted, for these users.
    pub decrypted_uids: Vec<u32>,
}

impl Default for CaptureAccess {
    fn default() -> Self {
        Self { bytes: true, decrypted: false, decrypted_uids: Vec::new() }
    }
}

impl CaptureAccess {
    /// The word for it in the configuration.
    pub fn name(&self) -> &'static str {
        match (self.bytes, self.decrypted) {
            (false, _) => "none",
            (true, false) => "encrypted",
            (true, true) => "all",
        }
    }

    /// Whether anything may be captured.
    pub fn admits(&self) -> bool {
        self.bytes
    }

    /// Whether this user may see what was decrypted.
    pub fn admits_decrypted(&self, uid: u32) -> bool {
        self.bytes && (self.decrypted || self.decrypted_uids.contains(&uid))
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            socket: None,
            mode: CONTROL_MODE,
            uids: Vec::new(),
            capture: CaptureAccess::default(),
        }
    }
}
