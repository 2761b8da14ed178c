//! Under load: no request is lost, whatever the numbers of lcores are.

use crate::bed::{ANY, Load, http, toml};
use crate::common::Running;

/// Has instances with these numbers of lcores follow each other under load.
fn follow_each_other(name: &str, lcores: &[usize]) {
    let first = Running::start(name, lcores[0], &toml(&[http(ANY)]));
    let address = first.address;
    let toml = toml(&[http(&address.to_string())]);
    let running = Load::during(address, |load| {
        let mut running = first;
        for &lcores in &lcores[1..] {
            load.more(100);
            let next = Running::take_over(name, lcores, &toml);
            assert_eq!(next.address, address);
            running.leave_files();
            let text = running.ended_well();
            assert!(text.contains(&format!("process {} has taken over", next.pid())), "{text}");
            running = next;
            load.more(100);
        }
        running
    });
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.ended_well();
}

#[test]
fn no_request_is_lost_as_instances_follow_each_other() {
    follow_each_other("follow", &[1, 1, 1, 1]);
}

#[test]
fn no_request_is_lost_with_more_lcores_and_with_fewer() {
    follow_each_other("numbers", &[1, 3, 2, 4, 1]);
}
