//! The same in Vietnamese, Chinese, Japanese and Korean.

const FILE: &str = include_str!("languages.txt");

/// What is said and asked in a language: `{n}` is the person, `{v}` the value.
pub(super) struct Language {
    pub(super) slice: &'static str,
    pub(super) names: Vec<&'static str>,
    pub(super) topics: Vec<Topic>,
}

/// A statement, a question for it, and what can stand in both.
pub(super) struct Topic {
    pub(super) statement: &'static str,
    pub(super) question: &'static str,
    pub(super) values: Vec<&'static str>,
}

/// All of the file.
pub(super) fn languages() -> Vec<Language> {
    let blocks = FILE.split("\n\n").skip(1);
    blocks.filter_map(|block| language(&mut block.lines())).collect()
}

fn language(lines: &mut dyn Iterator<Item = &'static str>) -> Option<Language> {
    let (slice, names) = lines.next()?.split_once(" | ")?;
    let topics = lines.filter_map(|line| {
        let (statement, rest) = line.split_once(" | ")?;
        let (question, values) = rest.split_once(" | ")?;
        Some(Topic { statement, question, values: values.split(", ").collect() })
    });
    Some(Language { slice, names: names.split(", ").collect(), topics: topics.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_whole() {
        let all = languages();
        assert_eq!(all.len(), 4);
        for language in all {
            assert_eq!(
                (language.names.len(), language.topics.len()),
                (16, 8),
                "{}",
                language.slice
            );
            assert!(language.topics.iter().all(|topic| topic.values.len() == 8));
        }
    }
}
