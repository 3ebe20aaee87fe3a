//! Writes metrics as text: OpenMetrics 1.0, or the older format of Prometheus (0.0.4).

use std::fmt::Write as _;

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// The format for a client with this `Accept`.
    pub(super) fn of(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The value of `Content-Type`.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A text with metrics.
pub(super) struct Text {
    format: Format,
    text: String,
}

/// The labels of a sample.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The times of one kind of request.
pub(super) struct Times<'a> {
    pub(super) labels: (&'a str, &'a str),
    /// The number of requests in each class.
    pub(super) counts: &'a [u64],
    /// The sum of the times, in microseconds.
    pub(super) total_us: u64,
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(TEXT_BYTES) }
    }

    /// Adds a counter. `name` does not have the suffix `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(&[][..], value)]);
    }

    /// Adds a counter with samples.
    pub(super) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let total = format!("{name}_total");
        self.head(if self.format == Format::OpenMetrics { name } else { &total }, "counter", help);
        for (labels, value) in samples {
            self.sample(&total, labels, &value.to_string());
        }
    }

    /// Adds a counter whose value has fractions, such as seconds.
    pub(super) fn counter_of_fractions(&mut self, name: &str, help: &str, value: f64) {
        let total = format!("{name}_total");
        self.head(if self.format == Format::OpenMetrics { name } else { &total }, "counter", help);
        self.sample(&total, &[], &value.to_string());
    }

    /// Adds a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl ToString) {
        self.gauges(name, help, [(&[][..], value.to_string())]);
    }

    /// Adds a gauge with samples.
    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, String)>,
    ) {
        self.head(name, "gauge", help);
        for (labels, value) in samples {
            self.sample(name, labels, &value);
        }
    }

    /// Adds a histogram of times. `bounds` are the upper ends of the classes in microseconds; the last class has none.
    pub(super) fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[u64],
        samples: impl IntoIterator<Item = Times<'a>>,
    ) {
        self.head(name, "histogram", help);
        let ends: Vec<_> = bounds.iter().map(|bound| seconds(*bound)).chain([String::from("+Inf")]).collect();
        for Times { labels, counts, total_us } in samples {
            let mut reached = 0_u64;
            for (end, count) in ends.iter().zip(counts) {
                reached = reached.saturating_add(*count);
                self.sample(&format!("{name}_bucket"), &[labels, ("le", end)], &reached.to_string());
            }
            self.sample(&format!("{name}_sum"), &[labels], &seconds(total_us));
            self.sample(&format!("{name}_count"), &[labels], &reached.to_string());
        }
    }

    /// The finished text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: &str) {
        self.text.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if number == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Microseconds as seconds, without a loss of digits.
fn seconds(microseconds: u64) -> String {
    let (whole, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let text = format!("{whole}.{rest:06}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// The usual size of the text, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format) -> String {
        let mut text = Text::new(format);
        text.counter("a_things", "Things.", 7);
        text.gauges("b", "Per share.", [(&[("share", "a\"b\\c\nd"), ("x", "y")][..], String::from("1"))]);
        text.finish()
    }

    #[test]
    fn formats_differ_in_the_names_of_counters_and_in_the_end() {
        let gauge = "# HELP b Per share.\n# TYPE b gauge\nb{share=\"a\\\"b\\\\c\\nd\",x=\"y\"} 1\n";
        assert_eq!(
            text(Format::Prometheus),
            format!(
                "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total 7\n{gauge}"
            )
        );
        assert_eq!(
            text(Format::OpenMetrics),
            format!("# HELP a_things Things.\n# TYPE a_things counter\na_things_total 7\n{gauge}# EOF\n")
        );
    }

    #[test]
    fn histogram_counts_are_cumulative() {
        let mut text = Text::new(Format::Prometheus);
        let times = Times { labels: ("command", "read"), counts: &[1, 0, 2], total_us: 1_500_001 };
        text.histogram("t_seconds", "Times.", &[50, 5_000_000], [times]);
        let expected = "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n\
                        t_seconds_bucket{command=\"read\",le=\"0.00005\"} 1\n\
                        t_seconds_bucket{command=\"read\",le=\"5.0\"} 1\n\
                        t_seconds_bucket{command=\"read\",le=\"+Inf\"} 3\n\
                        t_seconds_sum{command=\"read\"} 1.500001\n\
                        t_seconds_count{command=\"read\"} 3\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn format_is_what_the_client_accepts() {
        assert_eq!(
            Format::of("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Format::OpenMetrics
        );
        assert_eq!(Format::of("*/*"), Format::Prometheus);
        assert_eq!(Format::of(""), Format::Prometheus);
    }
}
