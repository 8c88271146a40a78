//! Commands with gaps: words in which `{name}` stands for a value, and one word that stands for many.

use std::collections::BTreeMap;

/// Values by their names.
pub type GapValues = BTreeMap<&'static str, String>;

/// A command with gaps. It is run without a shell: each word is an argument, whatever is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTemplate(Vec<TemplateWord>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplateWord {
    /// Becomes many.
    Many,
    Parts(Vec<TemplatePart>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Gap(String),
}

impl CommandTemplate {
    /// Reads the words of a command. `known` are the names of values, `many` is that of the word which becomes many.
    ///
    /// # Errors
    /// A sentence about the first word that is wrong.
    pub fn parse(words: &[String], known: &[&str], many: Option<&str>) -> Result<Self, String> {
        let whole = many.map(|many| format!("{{{many}}}"));
        let word = |text: &String| match &whole {
            Some(whole) if text == whole => Ok(TemplateWord::Many),
            _ => parts(text, known, many).map(TemplateWord::Parts),
        };
        Ok(Self(words.iter().map(word).collect::<Result<_, _>>()?))
    }

    /// Whether a word of it becomes many.
    pub fn takes_many(&self) -> bool {
        self.0.contains(&TemplateWord::Many)
    }

    /// Whether a value stands in it.
    pub fn says(&self, name: &str) -> bool {
        let is_gap = |part: &TemplatePart| matches!(part, TemplatePart::Gap(gap) if gap == name);
        self.0.iter().any(|word| matches!(word, TemplateWord::Parts(parts) if parts.iter().any(is_gap)))
    }

    pub fn fill(&self, values: &GapValues, many: &[String]) -> Vec<String> {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.clone(),
            TemplatePart::Gap(name) => values.get(&**name).cloned().unwrap_or_default(),
        };
        let word = |word: &TemplateWord| match word {
            TemplateWord::Many => many.to_vec(),
            TemplateWord::Parts(parts) => vec![parts.iter().map(part).collect()],
        };
        self.0.iter().flat_map(word).collect()
    }
}

fn parts(text: &str, known: &[&str], many: Option<&str>) -> Result<Vec<TemplatePart>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        if Some(name) == many {
            return Err(format!("{{{name}}} becomes many words: it must stand alone, found {text:?}"));
        }
        if !known.contains(&name) {
            let all: Vec<String> =
                known.iter().copied().chain(many).map(|name| format!("{{{name}}}")).collect();
            return Err(format!("{{{name}}} stands for nothing here; known are {}", all.join(", ")));
        }
        parts.extend((!before.is_empty()).then(|| TemplatePart::Text(before.to_owned())));
        parts.push(TemplatePart::Gap(name.to_owned()));
        rest = behind;
    }
    parts.extend((!rest.is_empty() || parts.is_empty()).then(|| TemplatePart::Text(rest.to_owned())));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<CommandTemplate, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        CommandTemplate::parse(&words, &["name", "cpus"], Some("ids"))
    }

    #[test]
    fn gaps_are_filled_and_one_word_becomes_many() {
        let template = parse(&["x", "-n={name}/{cpus}", "{ids}", ""]).unwrap();
        let filled = GapValues::from([("name", "a b".to_owned()), ("cpus", "2".to_owned())]);
        assert_eq!(template.fill(&filled, &["1".into(), "2".into()]), ["x", "-n=a b/2", "1", "2", ""]);
        assert!(template.takes_many() && template.says("cpus") && !template.says("ids"));
    }

    #[test]
    fn what_stands_for_nothing_is_named() {
        let known = parse(&["{nmae}"]).unwrap_err();
        assert_eq!(known, "{nmae} stands for nothing here; known are {name}, {cpus}, {ids}");
        assert!(parse(&["-j{ids}"]).unwrap_err().contains("must stand alone"));
        assert_eq!(parse(&["a{b"]).unwrap().fill(&GapValues::new(), &[]), ["a{b"]);
    }
}
