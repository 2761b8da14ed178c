//! The CPU quota of the control group this process is in, of either cgroup version.

use super::Host;

impl Host {
    /// How many cores' worth of time the process may use, as its tightest control group says;
    /// `None` without a quota. A thread that spins past it is stopped until the next period.
    pub fn cpu_quota_cores(&self) -> Option<f64> {
        let groups = self.read("proc/self/cgroup")?;
        let quotas = groups.lines().flat_map(|line| {
            // Each line is `hierarchy:controllers:path`; the unified hierarchy names none.
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or("/"));
            let unified = controllers.is_empty();
            let v1_cpu = controllers.split(',').any(|name| name == "cpu");
            let ancestors = if unified || v1_cpu { ancestors(path) } else { Vec::new() };
            ancestors.into_iter().filter_map(move |group| match unified {
                true => self.quota_v2(&group),
                false => self.quota_v1(&group),
            })
        });
        quotas.min_by(f64::total_cmp)
    }

    fn quota_v2(&self, group: &str) -> Option<f64> {
        let text = self.read(&format!("sys/fs/cgroup{group}/cpu.max"))?;
        let mut words = text.split_whitespace();
        let quota: f64 = words.next()?.parse().ok()?;
        let period: f64 = words.next()?.parse().ok()?;
        Some(quota / period)
    }

    fn quota_v1(&self, group: &str) -> Option<f64> {
        let number = |file| self.line(&format!("sys/fs/cgroup/cpu{group}/{file}"))?.parse().ok();
        let quota: f64 = number("cpu.cfs_quota_us")?;
        let period: f64 = number("cpu.cfs_period_us")?;
        // -1 is no quota.
        (quota > 0.0).then(|| quota / period)
    }
}

/// The group and all above it, the root as the empty string. In a container the path may be the
/// host's, of which only the upper part is mounted.
fn ancestors(path: &str) -> Vec<String> {
    let mut group = path.trim_end_matches('/');
    let mut all = vec![group.to_owned()];
    while let Some((above, _)) = group.rsplit_once('/') {
        group = above;
        all.push(group.to_owned());
    }
    all
}
