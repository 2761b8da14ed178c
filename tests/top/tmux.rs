//! A terminal that a test can see and type on: a session of tmux of its own.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::wait_until;

/// A terminal of 80 columns and 24 rows.
pub struct Terminal {
    /// Its socket lies in here: tmux leaves it behind.
    directory: TempDir,
}

impl Terminal {
    /// In which a shell runs this script. `None`: there is no tmux here.
    pub fn start(script: &str) -> Option<Self> {
        let found = Command::new("tmux").arg("-V").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no tmux");
            return None;
        }
        let terminal = Self { directory: tempfile::tempdir().unwrap() };
        let size = ["-x", "80", "-y", "24"];
        let new =
            [&["-f", "/dev/null", "-u", "new-session", "-d"], &size[..], &["sh", "-c", script]];
        let output = terminal.tmux(&new.concat());
        assert!(output.status.success(), "{output:?}");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("s")).args(arguments);
        command.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env_remove("TMUX");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What a successful command of tmux says.
    fn asked(&self, arguments: &[&str]) -> String {
        let output = self.tmux(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is on it.
    pub fn screen(&self) -> String {
        self.asked(&["capture-pane", "-p"])
    }

    /// The same, with what makes colours.
    pub fn coloured_screen(&self) -> String {
        self.asked(&["capture-pane", "-p", "-e"])
    }

    /// Types keys, by tmux's names of them.
    pub fn press(&self, keys: &[&str]) {
        self.asked(&[&["send-keys"], keys].concat());
    }

    pub fn resize(&self, columns: &str, rows: &str) {
        self.asked(&["resize-window", "-x", columns, "-y", rows]);
    }

    /// One of tmux's variables.
    pub fn variable(&self, name: &str) -> String {
        self.asked(&["display-message", "-p", &format!("#{{{name}}}")]).trim().to_owned()
    }

    /// Waits until all of this is on it; what is on it then.
    pub fn wait_for(&self, parts: &[&str]) -> String {
        let mut screen = String::new();
        let mut asked = 0;
        wait_until(|| {
            screen = self.screen();
            asked += 1;
            if asked % 500 == 0 {
                eprintln!("waiting for {parts:?} in:\n{screen}");
            }
            parts.iter().all(|part| screen.contains(part))
        });
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
