//! Tests of what belongs to a whole process, as its limits do: each in a process of its own.

use std::process::Command;

use super::Watchdog;

/// Runs `body` in a child that runs this test alone; `test` is its name with its module's.
pub fn alone(test: &str, body: impl FnOnce()) {
    const MARK: &str = "RINGWAY_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let _watchdog = Watchdog::start();
    let this = std::env::current_exe().unwrap();
    let run = Command::new(this).args(["--exact", test, "--nocapture"]).env(MARK, "1").output();
    let run = run.unwrap();
    let text = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
}
