//! Checks of the cores: which there are, and what keeps a spinning thread from having one to
//! itself.

use ringway::config::{format_cpus, name_cores};
use ringway::sys::host::Host;

use super::Check;

pub fn allowed(host: &Host, allowed: &[u32]) -> Check {
    let name = "cores";
    let online = host.online_cpus().unwrap_or_else(|| allowed.to_vec());
    let found = format!("{} of {} usable", format_cpus(allowed), format_cpus(&online));
    if allowed.len() > 1 {
        return Check::ok(name, found);
    }
    Check::warn(
        name,
        found,
        "a core for the rest of the system beside the lcore's",
        "give the process more cores (taskset, cpuset cgroup, container CPU set), or run with \
         --idle adaptive",
    )
}

pub fn isolated(host: &Host, allowed: &[u32]) -> Check {
    let name = "isolated";
    let usable = |cpus: Vec<u32>| -> Vec<u32> {
        cpus.into_iter().filter(|cpu| allowed.contains(cpu)).collect()
    };
    let (isolated, tickless) = (usable(host.isolated_cpus()), usable(host.nohz_full_cpus()));
    if isolated.is_empty() {
        return Check::warn(
            name,
            "no core",
            "other tasks and the timer tick interrupt the lcores: tail latency",
            isolate(allowed),
        );
    }
    let list = format_cpus(&isolated);
    if isolated.iter().all(|cpu| tickless.contains(cpu)) {
        return Check::ok(name, format!("{}, without timer tick", name_cores(&isolated)));
    }
    Check::warn(
        name,
        format!("{}, with timer tick", name_cores(&isolated)),
        "up to a thousand short interruptions a second",
        format!("add nohz_full={list} rcu_nocbs={list} to the kernel command line and reboot"),
    )
}

/// All but the first core, which stays the system's.
fn isolate(allowed: &[u32]) -> String {
    match allowed {
        [] | [_] => "use a machine or a CPU set of two cores and more".to_owned(),
        [_, rest @ ..] => {
            let list = format_cpus(rest);
            format!(
                "sudo scripts/isolate-cores.sh {list} (or boot with isolcpus={list} \
                 nohz_full={list} rcu_nocbs={list})"
            )
        }
    }
}

pub fn governor(host: &Host, allowed: &[u32]) -> Check {
    let name = "governor";
    let scaled: Vec<(u32, String)> =
        allowed.iter().filter_map(|&cpu| Some((cpu, host.governor(cpu)?))).collect();
    if scaled.is_empty() {
        return Check::ok(name, "frequency is not this kernel's to scale");
    }
    let Some((_, slow)) = scaled.iter().find(|(_, governor)| governor != "performance") else {
        return Check::ok(name, "performance");
    };
    let slowed = scaled.iter().filter(|(_, governor)| governor != "performance");
    let cpus: Vec<u32> = slowed.map(|(cpu, _)| *cpu).collect();
    Check::warn(
        name,
        format!("{slow} on {}", name_cores(&cpus)),
        "the first bursts after a pause run at a low clock",
        "sudo cpupower frequency-set -g performance",
    )
}

pub fn quota(host: &Host, allowed: &[u32]) -> Check {
    let name = "quota";
    match host.cpu_quota_cores() {
        Some(cores) if cores < allowed.len() as f64 => Check::warn(
            name,
            format!("{cores:.2} cores' worth of time for {} cores", allowed.len()),
            "spinning lcores are stopped for the rest of each period",
            "replace the quota by a CPU set: cpu.max = max and cpuset.cpus = LIST in the cgroup \
             (docker: --cpuset-cpus in place of --cpus)",
        ),
        Some(cores) => Check::ok(name, format!("{cores:.2} cores' worth of time")),
        None => Check::ok(name, "none"),
    }
}

pub fn machine(host: &Host) -> Check {
    let name = "machine";
    match host.hypervisor() {
        None => Check::ok(name, "bare metal"),
        Some(vendor) => Check::warn(
            name,
            format!("virtual ({vendor})"),
            "tens of microseconds to wake a halted core, and cores the host may take away",
            "pin the virtual cores on the host, and run with --idle busy where they are dedicated",
        ),
    }
}
