//! Reads the text format of Prometheus, and refuses whatever is not to the letter.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// What is told of one metric.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// The samples by their own names, which of a histogram are longer.
    pub samples: Vec<(String, Labels, f64)>,
}

/// Every metric by its name.
#[derive(Debug)]
pub struct Exposition(pub BTreeMap<String, Family>);

impl Exposition {
    /// Reads a whole answer.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line does not end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut last = String::new();
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let (word, rest) = comment.split_once(' ').unwrap();
                let (name, text) = rest.split_once(' ').unwrap();
                if name != last {
                    assert!(!families.contains_key(name), "{name} is told of in two places");
                    name.clone_into(&mut last);
                }
                let family = families.entry(name.to_owned()).or_default();
                assert!(family.samples.is_empty(), "behind the samples: {line}");
                let told = match word {
                    "HELP" => &mut family.help,
                    "TYPE" => &mut family.kind,
                    other => panic!("{other} means nothing: {line}"),
                };
                assert!(told.is_empty() && !text.is_empty(), "{line}");
                text.clone_into(told);
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                None => (series, Labels::new()),
                Some((name, labels)) => (name, read_labels(labels.strip_suffix('}').unwrap())),
            };
            assert!(is_name(name), "{line}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let family = families
                .get_mut(&last)
                .unwrap_or_else(|| panic!("of no metric: {line}"));
            let ends: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(
                ends.iter().any(|end| name == format!("{last}{end}")),
                "among those of {last}: {line}"
            );
            assert!(seen.insert(series.to_owned()), "told twice: {line}");
            family.samples.push((name.to_owned(), labels, value));
        }
        for (name, family) in &families {
            family.check(name);
        }
        Self(families)
    }

    /// The value of a series that has these labels, whatever else it has; 0 if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let values = self.0.values().flat_map(|family| &family.samples);
        values
            .filter(|(found, has, _)| {
                found == name
                    && labels
                        .iter()
                        .all(|(key, value)| has.get(*key).is_some_and(|has| has == value))
            })
            .map(|(_, _, value)| value)
            .sum()
    }

    /// The values that a label has anywhere in a metric.
    pub fn values_of(&self, metric: &str, label: &str) -> BTreeSet<&str> {
        let samples = self.0.get(metric).into_iter().flat_map(|family| &family.samples);
        samples
            .filter_map(|(_, labels, _)| labels.get(label).map(String::as_str))
            .collect()
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(!self.help.is_empty(), "{name} is not explained");
        assert!(!self.samples.is_empty(), "{name} has no samples");
        match self.kind.as_str() {
            "gauge" => {}
            "counter" => {
                assert!(name.ends_with("_total"), "{name}");
                assert!(
                    self.samples.iter().all(|(_, _, value)| *value >= 0.0),
                    "{name} is below 0"
                );
            }
            "histogram" => self.check_histogram(name),
            other => panic!("{name} is of no kind: {other}"),
        }
    }

    /// Of each series: bounds that rise to infinity, counts that never fall, and the last of them the count of all.
    fn check_histogram(&self, name: &str) {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        let mut told: BTreeMap<Labels, BTreeMap<&str, f64>> = BTreeMap::new();
        for (sample, labels, value) in &self.samples {
            let mut labels = labels.clone();
            let end = sample.strip_prefix(name).unwrap();
            if end == "_bucket" {
                let bound = labels.remove("le").unwrap().parse().unwrap();
                buckets.entry(labels).or_default().push((bound, *value));
            } else {
                told.entry(labels).or_default().insert(end, *value);
            }
        }
        assert!(
            buckets.keys().eq(told.keys()),
            "{name} has buckets without counts, or counts without buckets"
        );
        for (labels, buckets) in buckets {
            let rising = buckets
                .windows(2)
                .all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
            assert!(rising, "{name} {labels:?}: {buckets:?}");
            let (bound, count) = *buckets.last().unwrap();
            assert!(bound.is_infinite(), "{name} {labels:?} is bounded");
            assert_eq!(told[&labels].get("_count"), Some(&count), "{name} {labels:?}");
            assert!(told[&labels]["_sum"] >= 0.0, "{name} {labels:?}");
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Reads `name="value",…`.
fn read_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "{text}");
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().unwrap_or_else(|| panic!("no end: {text}")) {
                (place, '"') => break place,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    other => panic!("\\{other} means nothing: {text}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "twice: {text}");
        rest = &after[end + 1..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').unwrap();
        }
    }
    labels
}
