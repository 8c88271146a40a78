//! A table in Markdown.

use std::time::Duration;

/// What a number counts.
#[derive(Clone, Copy)]
pub enum Unit {
    Seconds,
    Micros,
    Megabytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.1 => format!("{:.2} ms", value * 1e3),
            Self::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
            Self::Micros => format!("{:.0} µs", value * 1e6),
            Self::Megabytes => format!("{:.1} MB", value / 1e6),
        }
    }
}

pub struct Row {
    pub case: String,
    pub unit: Unit,
    /// One for each column.
    pub cells: Vec<Option<f64>>,
    /// The column that the ratios are against.
    pub yardstick: usize,
}

/// Prints the header and then, as they come, rows; ratios are given for the columns `ours`.
pub struct Table {
    columns: Vec<&'static str>,
    ours: Vec<usize>,
}

impl Table {
    pub fn begin(columns: Vec<&'static str>, ours: Vec<usize>) -> Self {
        let mut header = format!("\n| case | {} |", columns.join(" | "));
        for column in &ours {
            header.push_str(&format!(" {}: ratio |", columns[*column]));
        }
        println!("{header}\n|---|{}", "---:|".repeat(columns.len() + ours.len()));
        Self { columns, ours }
    }

    pub fn row(&self, row: &Row) {
        let dash = || "-".to_owned();
        let mut line = format!("| {} |", row.case);
        for cell in &row.cells {
            line.push_str(&format!(" {} |", cell.map_or_else(dash, |value| row.unit.show(value))));
        }
        for column in &self.ours {
            let ratio = row.cells[*column].zip(row.cells[row.yardstick]).map(|(own, peer)| own / peer);
            let ratio =
                ratio.map_or_else(dash, |ratio| format!("{ratio:.2} × {}", self.columns[row.yardstick]));
            line.push_str(&format!(" {ratio} |"));
        }
        println!("{line}");
    }
}

pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
