//! The table and the JSON at the end.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::drive::Round;

/// Milliseconds at a quantile of microseconds.
fn at(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1000.0
}

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

/// Both sides of a run.
pub(crate) struct Report {
    pub(crate) parameters: Value,
    pub(crate) capacity: (Round, Round),
    pub(crate) rate: f64,
    pub(crate) open_loop: (Round, Round),
    /// From the check-in's due time to the arrival at the gateway, in microseconds.
    pub(crate) arrivals: Histogram<u64>,
    /// Entries that should have made a push.
    pub(crate) entered: u64,
}

impl Report {
    /// One line a figure: Beckon, the idle handler, the ratio.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{:<34}{:>12}{:>12}{:>9}", "", "Beckon", "idle", "ratio")];
        let mut row = |name: &str, beckon: f64, idle: f64| {
            lines.push(format!("{name:<34}{beckon:>12.2}{idle:>12.2}{:>9.2}", beckon / idle));
        };
        row(
            "check-ins/s, connections busy",
            self.capacity.0.per_second(),
            self.capacity.1.per_second(),
        );
        row(
            &format!("at {:.0}/s: answered/s", self.rate),
            self.open_loop.0.per_second(),
            self.open_loop.1.per_second(),
        );
        for (name, quantile) in QUANTILES {
            let (beckon, idle) = (
                at(&self.open_loop.0.latencies, quantile),
                at(&self.open_loop.1.latencies, quantile),
            );
            row(&format!("  answer {name}, ms"), beckon, idle);
        }
        for (name, quantile) in QUANTILES {
            lines.push(format!(
                "{:<34}{:>12.2}",
                format!("  at the gateway {name}, ms"),
                at(&self.arrivals, quantile)
            ));
        }
        lines.push(format!(
            "pushes arrived: {} of {} entries",
            self.arrivals.len(),
            self.entered
        ));
        for (name, round) in [("Beckon", &self.open_loop.0), ("idle", &self.open_loop.1)] {
            if round.unsent > 0 || !round.errors.is_empty() {
                lines.push(format!(
                    "{name}: {} requests not sent in time, errors {:?}",
                    round.unsent, round.errors
                ));
            }
        }
        lines.push("Server, gateway and generator share this machine's cores.".to_owned());
        lines.join("\n")
    }

    /// Everything, for machines.
    pub(crate) fn json(&self) -> Value {
        let quantiles = |latencies: &Histogram<u64>| -> Value {
            QUANTILES
                .iter()
                .map(|(name, quantile)| ((*name).to_owned(), json!(at(latencies, *quantile))))
                .collect()
        };
        let round = |round: &Round| {
            json!({
                "answers": round.latencies.len(), "perSecond": round.per_second(), "unsent": round.unsent,
                "errors": round.errors, "milliseconds": quantiles(&round.latencies),
            })
        };
        json!({
            "parameters": self.parameters,
            "capacity": {"beckon": round(&self.capacity.0), "idle": round(&self.capacity.1)},
            "openLoop": {"rate": self.rate, "beckon": round(&self.open_loop.0), "idle": round(&self.open_loop.1)},
            "gateway": {
                "entered": self.entered, "arrived": self.arrivals.len(), "milliseconds": quantiles(&self.arrivals),
            },
        })
    }
}
