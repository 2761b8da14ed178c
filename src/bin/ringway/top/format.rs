//! Numbers as people read them: three digits and a unit, in columns that do not jump.

/// A rate or an average: `0.5`, `123`, `1.23k`, `45.6M`.
pub fn count(n: f64) -> String {
    match n {
        n if n <= 0.0 || !n.is_finite() => "0".to_owned(),
        n if n < 0.095 => "<0.1".to_owned(),
        n if n < 9.95 => trimmed(n),
        n if n < 999.5 => format!("{n:.0}"),
        n => scaled(n, 1000.0, &["k", "M", "G", "T", "P", "E"]),
    }
}

/// A total: to the digit below a million, `12,345`.
pub fn total(n: u64) -> String {
    if n >= 1_000_000 {
        return count(n as f64);
    }
    match (n / 1000, n % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

/// Bytes, in powers of 1024: `2K`, `16K`, `4M`, `1.5G`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut n = bytes as f64;
    let mut unit = 0;
    while n >= 1024.0 && unit < 5 {
        n /= 1024.0;
        unit += 1;
    }
    let unit = ["", "K", "M", "G", "T", "P"][unit];
    if n.fract() == 0.0 || n >= 99.95 { format!("{n:.0}{unit}") } else { format!("{n:.1}{unit}") }
}

/// A duration in nanoseconds: `850ns`, `12.3us`, `1.20ms`, `2.50s`. `micro` is the sign of a millionth.
pub fn duration(ns: u64, micro: char) -> String {
    match ns {
        0..1000 => format!("{ns}ns"),
        1000..120_000_000_000 => {
            let micro = format!("{micro}s");
            scaled(ns as f64, 1000.0, &[&micro, "ms", "s"])
        }
        _ => age(ns / 1_000_000_000),
    }
}

/// How long something has been so, in the two largest units: `12 s`, `3 min 20 s`, `4 h 12 min`, `3 d 4 h`.
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A part of 1: `45.2`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p >= 99.95 => "100".to_owned(),
        p if p > 0.0 && p < 0.05 => "<0.1".to_owned(),
        p => format!("{p:.1}"),
    }
}

/// One digit behind the point, none where it is 0.
fn trimmed(n: f64) -> String {
    let text = format!("{n:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Three digits and the unit in which there are at most three before the point; `n` is at least `base` (nearly).
fn scaled(n: f64, base: f64, units: &[&str]) -> String {
    let (mut n, mut unit) = (n / base, 0);
    while n >= base - 0.5 && unit + 1 < units.len() {
        n /= base;
        unit += 1;
    }
    let digits = match n {
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    format!("{n:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits() {
        let cases = [
            (0.0, "0"),
            (-1.0, "0"),
            (f64::NAN, "0"),
            (0.01, "<0.1"),
            (0.5, "0.5"),
            (3.0, "3"),
            (9.96, "10"),
            (123.4, "123"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (1234.0, "1.23k"),
            (12_345.0, "12.3k"),
            (999_400.0, "999k"),
            (999_600.0, "1.00M"),
            (2.5e9, "2.50G"),
            (u64::MAX as f64, "18.4E"),
        ];
        for (n, text) in cases {
            assert_eq!(count(n), text, "{n}");
            assert!(text.len() <= 5);
        }
    }

    #[test]
    fn totals_are_exact_below_a_million() {
        for (n, text) in
            [(0, "0"), (999, "999"), (12_045, "12,045"), (999_999, "999,999"), (1_500_000, "1.50M")]
        {
            assert_eq!(total(n), text);
        }
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        for (n, text) in
            [(512, "512"), (2048, "2K"), (16_384, "16K"), (4 << 20, "4M"), (1536, "1.5K")]
        {
            assert_eq!(size(n), text);
        }
    }

    #[test]
    fn durations_and_ages_have_units() {
        for (ns, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1234, "1.23us"),
            (45_600, "45.6us"),
            (999_700, "1.00ms"),
            (2_500_000_000, "2.50s"),
            (119_000_000_000, "119s"),
            (150_000_000_000, "2 min 30 s"),
        ] {
            assert_eq!(duration(ns, 'u'), text);
        }
        for (seconds, text) in
            [(59, "59 s"), (200, "3 min 20 s"), (15_120, "4 h 12 min"), (273_600, "3 d 4 h")]
        {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn percents_say_when_there_is_a_little() {
        for (share, text) in
            [(0.0, "0.0"), (0.0001, "<0.1"), (0.4519, "45.2"), (0.9999, "100"), (1.0, "100")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
