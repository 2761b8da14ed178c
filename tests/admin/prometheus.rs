//! A strict reader of Prometheus' text format 0.0.4: what a scraper would take in another way, or not at all, is refused.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: its name, its labels in order, its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// A metric with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: String,
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }
}

/// All metrics of a text.
///
/// Each has its HELP, then its TYPE, then its samples in one piece; no metric and no sample comes twice; counters end in
/// `_total` and are not negative; buckets of a histogram grow, and the last one is its count.
pub fn parse(text: &str) -> Result<Vec<Metric>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    let mut metrics: Vec<Metric> = Vec::new();
    let mut help: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            if help.is_some() {
                return Err(format!("two HELPs behind each other: {line}"));
            }
            let (name, words) = rest.split_once(' ').ok_or(format!("an empty HELP: {line}"))?;
            help = Some((name.to_owned(), words.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(format!("an empty TYPE: {line}"))?;
            let Some((helped, words)) = help.take() else {
                return Err(format!("a TYPE without HELP before it: {line}"));
            };
            if helped != name || metrics.iter().any(|metric| metric.name == name) {
                return Err(format!("a TYPE of another metric, or twice: {line}"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) || !is_name(name, true) {
                return Err(format!("an unknown type, or no name: {line}"));
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err(format!("counters, and they alone, end in _total: {line}"));
            }
            let (name, kind) = (name.to_owned(), kind.to_owned());
            metrics.push(Metric { name, kind, help: words, samples: Vec::new() });
        } else if line.starts_with('#') || line.is_empty() {
            return Err(format!("a line that says nothing: {line:?}"));
        } else {
            let sample = sample(line).ok_or(format!("no sample: {line}"))?;
            let metric = metrics.last_mut().filter(|_| help.is_none());
            let metric = metric.ok_or(format!("a sample without TYPE before it: {line}"))?;
            take(metric, sample).map_err(|why| format!("{why}: {line}"))?;
        }
    }
    metrics.iter().try_for_each(check)?;
    Ok(metrics)
}

fn take(metric: &mut Metric, sample: Sample) -> Result<(), &'static str> {
    let belongs = match &*metric.kind {
        "histogram" => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| sample.name.strip_suffix(end) == Some(&metric.name)),
        _ => sample.name == metric.name,
    };
    if !belongs {
        return Err("a sample of another metric");
    }
    let names: BTreeSet<&str> = sample.labels.iter().map(|(name, _)| &**name).collect();
    if names.len() != sample.labels.len() {
        return Err("a label twice");
    }
    if metric
        .samples
        .iter()
        .any(|there| (&there.name, &there.labels) == (&sample.name, &sample.labels))
    {
        return Err("a sample twice");
    }
    if metric.kind != "gauge" && (sample.value.is_nan() || sample.value < 0.0) {
        return Err("a count below zero");
    }
    metric.samples.push(sample);
    Ok(())
}

/// Each series of a histogram: buckets by their bounds, counts that grow, and `+Inf` as its count.
fn check(metric: &Metric) -> Result<(), String> {
    if metric.kind != "histogram" {
        return Ok(());
    }
    let mut series: BTreeMap<Vec<(String, String)>, Vec<&Sample>> = BTreeMap::new();
    for sample in &metric.samples {
        let labels = sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect();
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let fail = |why: &str| Err(format!("{} {labels:?}: {why}", metric.name));
        let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
        let of =
            |end: &'static str| samples.iter().filter(move |sample| sample.name.ends_with(end));
        for bucket in of("_bucket") {
            let Some(le) = bucket.label("le").and_then(number) else {
                return fail("a bucket without a bound");
            };
            if le <= bound || bucket.value < below {
                return fail("buckets that do not grow");
            }
            (bound, below) = (le, bucket.value);
        }
        let counts: Vec<f64> = of("_count").map(|sample| sample.value).collect();
        if bound != f64::INFINITY || counts != [below] || of("_sum").count() != 1 {
            return fail("no +Inf, no sum, or no count that is the last bucket's");
        }
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    !name.is_empty() && name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text if text.contains(|c: char| c.is_ascii_alphabetic() && c != 'e' && c != 'E') => None,
        text => text.parse().ok(),
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name, true).then(|| Sample { name: name.to_owned(), labels, value })
}

/// Labels up to their brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        if !is_name(name, false) {
            return None;
        }
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    _ => return None,
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        match rest.chars().next()? {
            ',' => rest = &rest[1..],
            '}' => return Some((labels, &rest[1..])),
            _ => return None,
        }
    }
}

#[test]
fn the_reader_of_metrics_takes_what_is_right_and_refuses_what_is_wrong() {
    let head = "# HELP a_total b\n# TYPE a_total counter\n";
    let with = |more: &str| parse(&format!("{head}{more}"));
    let metrics = with("a_total{x=\"1\\\"\\\\\\n\",y=\"\"} 2.5\na_total 1e3\n").unwrap();
    assert_eq!(metrics[0].samples[0].label("x"), Some("1\"\\\n"));
    assert_eq!((metrics[0].samples[1].value, metrics[0].samples.len()), (1000.0, 2));
    for wrong in [
        "a_total 1",
        "b_total 1\n",
        "a_total -1\n",
        "a_total 1\na_total 2\n",
        "a_total{x=\"1\",x=\"2\"} 1\n",
        "a_total{x=1} 1\n",
        "a_total{x=\"1\"} 1 2 3\n",
        "a_total one\n",
        "\na_total 1\n",
        "# HELP b_total b\na_total 1\n",
        "# TYPE b_total counter\n",
        "# HELP a_total b\n# TYPE a_total counter\n",
        "# HELP b b\n# TYPE b counter\n",
        "# HELP b_total b\n# TYPE b_total gauge\n",
    ] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
    let histogram = |buckets: &str| parse(&format!("# HELP h b\n# TYPE h histogram\n{buckets}"));
    let good = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    histogram(good).unwrap();
    for (part, other) in [
        ("le=\"1\"} 1", "le=\"1\"} 3"),
        ("h_count 2", "h_count 3"),
        ("h_sum 3\n", ""),
        ("h_bucket{le=\"+Inf\"} 2\n", ""),
        ("h_bucket{le=\"1\"} 1", "h_bucket 1"),
    ] {
        assert!(histogram(&good.replace(part, other)).is_err(), "{other}");
    }
}
