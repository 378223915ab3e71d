//! The table: what was measured, beside what, whether the target is met; as text and as JSON.

use std::{fs, path::Path, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    Failure,
    load::{Contender, Round, histogram},
};

/// Before anything counts: connections are made, caches filled, statements prepared.
const WARM_UP: Duration = Duration::from_millis(700);

/// What must come out.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing in particular: the figure is for the reader.
    None,
}

impl Target {
    fn met(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(figure >= least),
            Self::AtMost(most) => Some(figure <= most),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {least}"),
            Self::AtMost(most) => format!("at most {most}"),
            Self::None => String::new(),
        }
    }
}

/// All rounds of one contender.
struct Tally {
    name: String,
    rates: Vec<f64>,
    cpu_micros: f64,
    latencies: Histogram<u64>,
    refused: u64,
}

impl Tally {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rates: Vec::new(),
            cpu_micros: 0.0,
            latencies: histogram(),
            refused: 0,
        }
    }

    fn add(&mut self, round: &Round) -> Result<(), Failure> {
        self.rates.push(round.answered as f64 / round.seconds);
        self.cpu_micros += round.cpu_micros;
        self.latencies.add(&round.latencies)?;
        self.refused += round.refused;
        Ok(())
    }

    /// Lowest, median and highest rate.
    fn spread(&self) -> (f64, f64, f64) {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        let (first, last) = (rates.first().copied(), rates.last().copied());
        (
            first.unwrap_or_default(),
            median(&self.rates),
            last.unwrap_or_default(),
        )
    }

    fn cpu_each(&self) -> f64 {
        self.cpu_micros / (self.latencies.len().max(1)) as f64
    }

    fn json(&self) -> Value {
        let (min, median, max) = self.spread();
        json!({
            "name": self.name,
            "rate": { "min": min, "median": median, "max": max, "rounds": self.rates },
            "latency_micros": {
                "p50": self.latencies.value_at_quantile(0.5),
                "p99": self.latencies.value_at_quantile(0.99),
                "p99.9": self.latencies.value_at_quantile(0.999),
            },
            "server_cpu_micros_per_request": self.cpu_each(),
            "requests": self.latencies.len(),
            "refused": self.refused,
        })
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A line of the table.
struct Line {
    row: String,
    title: String,
    against: String,
    figure: String,
    target: String,
    verdict: &'static str,
    json: Value,
}

/// The table so far.
pub struct Report {
    head: Value,
    lines: Vec<Line>,
}

impl Report {
    /// An empty table; says when and where.
    pub fn new(options: &Value) -> Self {
        let machine = machine();
        let date = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
        println!(
            "gatehouse-bench {}, {date}, {machine}",
            env!("GATEHOUSE_REVISION")
        );
        let head = json!({
            "date": date,
            "machine": machine,
            "revision": env!("GATEHOUSE_REVISION"),
            "options": options,
        });
        Self {
            head,
            lines: Vec::new(),
        }
    }

    /// Lets contenders take turns; the figure is the ratio of the first one's median rate to the second one's.
    pub async fn compare(
        &mut self,
        row: &str,
        title: &str,
        target: Target,
        (rounds, length): (u32, Duration),
        contenders: &mut [Box<dyn Contender>],
    ) -> Result<(), Failure> {
        println!("\n{row}: {title}");
        let mut tallies: Vec<Tally> = contenders.iter().map(|who| Tally::new(who.name())).collect();
        for who in contenders.iter_mut() {
            who.round(WARM_UP).await?;
        }
        for round in 0..rounds as usize {
            for turn in 0..contenders.len() {
                // Each is first as often as the others.
                let place = (round + turn) % contenders.len();
                let seen = contenders[place].round(length).await?;
                tallies[place].add(&seen)?;
            }
        }
        println!(
            "  {:<34}{:>9}{:>9}{:>9}{:>10}{:>10}{:>10}{:>9}",
            "a second", "min", "median", "max", "p50 µs", "p99", "p99.9", "CPU µs"
        );
        for tally in &tallies {
            let (min, median, max) = tally.spread();
            println!(
                "  {:<34}{min:>9.0}{median:>9.0}{max:>9.0}{:>10}{:>10}{:>10}{:>9.1}",
                tally.name,
                tally.latencies.value_at_quantile(0.5),
                tally.latencies.value_at_quantile(0.99),
                tally.latencies.value_at_quantile(0.999),
                tally.cpu_each(),
            );
            if tally.refused > 0 {
                println!(
                    "    refused: {} beside {} answered",
                    tally.refused,
                    tally.latencies.len()
                );
            }
        }
        let rate = |place: usize| tallies.get(place).map_or(f64::NAN, |tally| tally.spread().1);
        let ratio = rate(0) / rate(1);
        let against = tallies.get(1).map_or("", |tally| tally.name.as_str()).to_owned();
        let contenders: Vec<Value> = tallies.iter().map(Tally::json).collect();
        self.line(
            row,
            title,
            &against,
            ratio,
            "",
            target,
            json!({ "contenders": contenders }),
        );
        Ok(())
    }

    /// A figure that is no ratio of rates.
    pub fn figure(&mut self, row: &str, title: &str, unit: &str, figure: f64, target: Target, more: &Value) {
        println!("\n{row}: {title}");
        self.line(row, title, "", figure, unit, target, json!({ "more": more }));
    }

    /// Whether there is such a row already.
    pub fn has(&self, row: &str) -> bool {
        self.lines.iter().any(|line| line.row == row)
    }

    /// A row that could not be had, and why.
    pub fn skip(&mut self, row: &str, title: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        println!("\n{row}: {title}\n  skipped: {why}");
        self.lines.push(Line {
            row: row.to_owned(),
            title: title.to_owned(),
            against: String::new(),
            figure: "skipped".to_owned(),
            target: String::new(),
            verdict: "-",
            json: json!({ "skipped": why }),
        });
    }

    #[expect(clippy::too_many_arguments, reason = "the columns")]
    fn line(
        &mut self,
        row: &str,
        title: &str,
        against: &str,
        figure: f64,
        unit: &str,
        target: Target,
        more: Value,
    ) {
        let met = target.met(figure);
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "-",
        };
        let shown = match unit {
            "" => format!("{figure:.3}"),
            unit => format!("{figure:.2} {unit}"),
        };
        let target_text = target.text();
        let compared = if target_text.is_empty() {
            String::new()
        } else {
            format!(", {target_text}: {verdict}")
        };
        let of = if against.is_empty() {
            String::new()
        } else {
            format!(" of {against}")
        };
        println!("  {shown}{of}{compared}");
        let mut json = json!({ "figure": figure, "unit": unit, "target": target_text, "met": met });
        if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
            json.extend(more);
        }
        self.lines.push(Line {
            row: row.to_owned(),
            title: title.to_owned(),
            against: against.to_owned(),
            figure: shown,
            target: target_text,
            verdict,
            json,
        });
    }

    /// Prints the whole table, and writes it to a file if one is named.
    pub fn finish(self, file: Option<&Path>) -> Result<(), Failure> {
        println!("\n| row | what | against | figure | target | |");
        println!("|---|---|---|---:|---|---|");
        for line in &self.lines {
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                line.row, line.title, line.against, line.figure, line.target, line.verdict
            );
        }
        let Some(file) = file else { return Ok(()) };
        let mut whole = self.head;
        whole["rows"] = self
            .lines
            .into_iter()
            .map(|line| {
                let mut json = json!({ "row": line.row, "title": line.title, "against": line.against });
                if let (Value::Object(json), Value::Object(more)) = (&mut json, line.json) {
                    json.extend(more);
                }
                json
            })
            .collect();
        fs::write(file, serde_json::to_string_pretty(&whole)?)?;
        Ok(())
    }
}

/// The machine, in a few words.
fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let information = read("/proc/cpuinfo");
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches(['\t', ' ', ':'])
        });
    let memory = read("/proc/meminfo");
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores ({model}), {:.0} GiB, Linux {}",
        kib / 1024.0 / 1024.0,
        system.trim()
    )
}
