//! Whether an instance is well, from what it counts: for those who restart it, and those who send it clients.

use std::time::Duration;

use crate::counters::snapshot::{LcoreSnapshot, Snapshot, State};

/// Whether its lcores run; or else why not.
pub fn alive(snapshot: &Snapshot) -> Result<(), String> {
    match snapshot.state {
        State::Starting => return Err("it is starting".to_owned()),
        State::Ended => return Err("it has ended".to_owned()),
        State::Died => return Err("its process is gone".to_owned()),
        State::Running | State::Draining => {}
    }
    // The watchdog tells of none that is silent for less than it may.
    let silent = |lcore: &&LcoreSnapshot| lcore.silent_ns > 0;
    match snapshot.lcores.iter().find(silent) {
        None => Ok(()),
        Some(lcore) => Err(hangs(lcore)),
    }
}

/// Whether it takes new clients; or else why not.
pub fn ready(snapshot: &Snapshot) -> Result<(), String> {
    alive(snapshot)?;
    if snapshot.state == State::Draining {
        return Err("it drains".to_owned());
    }
    Ok(())
}

fn hangs(lcore: &LcoreSnapshot) -> String {
    let doing = lcore.doing.as_ref().map_or_else(String::new, |doing| format!(", in {doing}"));
    if lcore.silent_ns == u64::MAX {
        return format!("lcore {} has ended", lcore.lcore_id);
    }
    let silent = Duration::from_nanos(lcore.silent_ns).as_secs_f64();
    format!("lcore {} has been silent for {silent:.1} s{doing}", lcore.lcore_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_alive_while_it_runs_or_drains_and_ready_only_while_it_runs() {
        let of = |state| {
            let snapshot = Snapshot { state, ..Snapshot::default() };
            (alive(&snapshot).is_ok(), ready(&snapshot).is_ok())
        };
        assert_eq!(of(State::Running), (true, true));
        assert_eq!(of(State::Draining), (true, false));
        for state in [State::Starting, State::Ended, State::Died] {
            assert_eq!(of(state), (false, false));
        }
    }

    #[test]
    fn an_lcore_that_is_silent_for_longer_than_it_may_is_named_with_what_it_does() {
        let with = |silent_ns, doing: Option<&str>| {
            let doing = doing.map(str::to_owned);
            let lcore = LcoreSnapshot { lcore_id: 5, silent_ns, doing, ..LcoreSnapshot::default() };
            let lcores = vec![LcoreSnapshot::default(), lcore];
            alive(&Snapshot { state: State::Running, lcores, ..Snapshot::default() })
        };
        with(0, None).unwrap();
        let why = with(3_210_000_000, Some("handler of listener 0")).unwrap_err();
        assert_eq!(why, "lcore 5 has been silent for 3.2 s, in handler of listener 0");
        assert!(with(1_000_000_000, None).unwrap_err().ends_with("1.0 s"));
        assert_eq!(with(u64::MAX, None).unwrap_err(), "lcore 5 has ended");
    }
}
