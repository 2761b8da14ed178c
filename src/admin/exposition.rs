//! The text in which metrics are told to Prometheus: its own format 0.0.4, or OpenMetrics 1.0 for those who ask for it.
//! Which metrics there are stands in `metrics`.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// Nanoseconds of a second.
const SECOND_NS: u128 = 1_000_000_000;

/// One of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size; see [`Exposition::histogram`].
    Histogram,
}

/// Labels of a sample: each with its value, escaped.
#[derive(Debug, Clone, Default)]
pub struct Labels(String);

impl Labels {
    /// These, in this order.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Self::default(), |labels, (name, value)| labels.and(name, value))
    }

    /// With one more.
    pub fn and(&self, name: &str, value: &str) -> Self {
        let mut text = self.0.clone();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
        Self(text)
    }
}

/// Nanoseconds as seconds, to the last digit.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub u128);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / SECOND_NS, self.0 % SECOND_NS)
    }
}

/// A text that is being written: a metric, then its samples, then the next.
pub struct Exposition {
    format: Format,
    text: String,
    /// Of the metric whose samples come.
    name: String,
    /// The end of its samples' names.
    suffix: &'static str,
    /// Labels that it has samples of: the same ones twice would make the whole text void.
    seen: BTreeSet<String>,
}

impl Exposition {
    /// An empty one.
    pub fn new(format: Format) -> Self {
        let (text, name, seen) = (String::new(), String::new(), BTreeSet::new());
        Self { format, text, name, suffix: "", seen }
    }

    /// Begins a metric; `name` is without `_total`.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        name.clone_into(&mut self.name);
        self.seen.clear();
        self.suffix = if kind == Kind::Counter { "_total" } else { "" };
        // OpenMetrics names the metric, and Prometheus the samples.
        let suffix = if self.format == Format::OpenMetrics { "" } else { self.suffix };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
    }

    /// A sample of the metric that was begun last. One with the same labels as another is left out.
    pub fn sample(&mut self, labels: &Labels, value: impl Display) {
        if self.seen.insert(labels.0.clone()) {
            self.line(self.suffix, labels, value);
        }
    }

    /// Samples of a histogram: each bucket's bound, written as it is to be, with how many lie at it or below; then how many
    /// there are, and their sum.
    pub fn histogram<B: Display>(
        &mut self,
        labels: &Labels,
        buckets: impl IntoIterator<Item = (B, u64)>,
        count: u64,
        sum: impl Display,
    ) {
        if !self.seen.insert(labels.0.clone()) {
            return;
        }
        for (bound, below) in buckets {
            self.line("_bucket", &labels.and("le", &bound.to_string()), below);
        }
        self.line("_bucket", &labels.and("le", "+Inf"), count);
        self.line("_sum", labels, sum);
        self.line("_count", labels, count);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &Labels, value: impl Display) {
        let name = &self.name;
        let _ = if labels.0.is_empty() {
            writeln!(self.text, "{name}{suffix} {value}")
        } else {
            writeln!(self.text, "{name}{suffix}{{{}}} {value}", labels.0)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format) -> String {
        let mut out = Exposition::new(format);
        out.metric("a_seconds", Kind::Counter, "with a \\ and\na newline");
        out.sample(&Labels::of(&[("x", "say \"hi\"\\\n"), ("y", "ü")]), Seconds(1_000_000_001));
        out.sample(&Labels::default(), 3);
        out.sample(&Labels::default(), 4);
        out.metric("b", Kind::Histogram, "sizes");
        out.histogram(&Labels::of(&[("x", "1")]), [("1.0", 2), ("2.0", 3)], 5, 9);
        out.finish()
    }

    #[test]
    fn samples_stand_behind_their_metric_and_labels_are_escaped() {
        let expected = "\
# HELP a_seconds_total with a \\\\ and\\na newline
# TYPE a_seconds_total counter
a_seconds_total{x=\"say \\\"hi\\\"\\\\\\n\",y=\"ü\"} 1.000000001
a_seconds_total 3
# HELP b sizes
# TYPE b histogram
b_bucket{x=\"1\",le=\"1.0\"} 2
b_bucket{x=\"1\",le=\"2.0\"} 3
b_bucket{x=\"1\",le=\"+Inf\"} 5
b_sum{x=\"1\"} 9
b_count{x=\"1\"} 5
";
        assert_eq!(text(Format::Prometheus), expected);
    }

    #[test]
    fn openmetrics_names_counters_without_their_ending_and_says_where_it_ends() {
        let text = text(Format::OpenMetrics);
        assert!(text.contains("# TYPE a_seconds counter\na_seconds_total{"), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
    }
}
