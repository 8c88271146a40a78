//! What a run was asked for, in lines.

use crate::view::model::request::RequestView;
use crate::view::text::inert;
use crate::view::text::style::{Cell, FAINT, Ink, PLAIN, columns};
use crate::view::text::value::by_place;

/// Maximum number of inputs that are shown.
const MAX_INPUTS: usize = 12;
/// Maximum columns of a value.
const VALUE_WIDTH: usize = 60;

impl RequestView {
    /// The request as rows of a name and a value, long values cut, many inputs counted.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![("workflow".to_owned(), inert(&self.workflow).into_owned())];
        for (i, (name, value)) in self.inputs.iter().take(MAX_INPUTS).enumerate() {
            let head = if i == 0 { "inputs" } else { "" };
            rows.push((head.to_owned(), format!("{} = {}", inert(name), by_place(value, VALUE_WIDTH))));
        }
        let more = self.inputs.len().saturating_sub(MAX_INPUTS);
        if more > 0 {
            rows.push((String::new(), format!("{more} more; --json has them")));
        }
        if !self.flags.is_empty() {
            rows.push(("flags".into(), inert(&self.flags.join(" ")).into_owned()));
        }
        rows
    }

    pub(in crate::view) fn render(&self, ink: Ink) -> String {
        let row = |(name, value)| vec![Cell::new(FAINT, name), Cell::new(PLAIN, value)];
        columns(&self.rows().into_iter().map(row).collect::<Vec<_>>(), ink)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_cut_and_many_are_counted() {
        let mut request = RequestView { workflow: "/w.toml".into(), ..RequestView::default() };
        request.inputs.insert("a".into(), json!("x".repeat(500)));
        let raw = json!({"digest": "1f", "size": 2048, "name": "raw.csv", "origin": "/d/raw.csv"});
        request.inputs.insert("b".into(), raw);
        request.flags = vec!["--cache".into(), "ro".into()];
        let text = request.render(Ink(false));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[2]), ("workflow  /w.toml", "          b = /d/raw.csv (2.0 KiB)"));
        assert!(lines[1].starts_with("inputs    a = \"xxx") && lines[1].ends_with('…'), "{text}");
        assert_eq!(lines[3], "flags     --cache ro");
        request.inputs = (0..20).map(|i| (format!("i{i:02}"), json!(i))).collect();
        assert!(request.render(Ink(false)).contains("\n          8 more; --json has them\n"));
    }
}
