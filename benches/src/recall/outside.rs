//! Collections of others, read from files: LoCoMo's JSON and BEIR's folders.

use std::{collections::HashMap, path::Path};

use openclaw_core::{
    label::Label,
    memory::{Fact, FactKind},
    time::Timestamp,
};
use serde_json::Value;

use super::{Collection, Question, World};
use crate::Result;

/// LoCoMo's categories; the fifth asks for what was never said.
const CATEGORIES: [&str; 4] = ["multi-hop", "temporal", "open-domain", "single-hop"];

/// Reads every collection in `folder`: each `*.json` as LoCoMo's, each folder with a `corpus.jsonl`
/// as BEIR's, of which the questions of `qrels/test.tsv` are asked.
///
/// # Errors
/// A file cannot be read, or is not of that form; it is named.
pub fn outside(folder: &Path) -> Result<Vec<Collection>> {
    let mut collections = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    for path in paths {
        let read = if path.join("corpus.jsonl").is_file() {
            beir(&path)
        } else if path.extension().is_some_and(|extension| extension == "json") {
            locomo(&path)
        } else {
            continue;
        };
        collections.push(read.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(collections)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| format!("no text {key:?}").into())
}

/// One world a dialogue, one memory a turn, `speaker: text [what the picture shows]`.
fn locomo(path: &Path) -> Result<Collection> {
    let dialogues: Vec<Value> = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut worlds = Vec::new();
    for (number, dialogue) in dialogues.iter().enumerate() {
        let conversation = dialogue.get("conversation").ok_or("no \"conversation\"")?;
        let mut memories = Vec::new();
        for session in 1_i64.. {
            let key = format!("session_{session}");
            // A date without turns, and after the last session nothing.
            let Some(turns) = conversation.get(&key) else {
                if conversation.get(format!("{key}_date_time")).is_some() {
                    continue;
                }
                break;
            };
            for (place, turn) in turns.as_array().into_iter().flatten().enumerate() {
                let said = format!("{}: {}", text(turn, "speaker")?, text(turn, "text")?);
                let shown = turn.get("blip_caption").and_then(Value::as_str);
                let said = shown.map_or(said.clone(), |shown| format!("{said} [{shown}]"));
                let at = Timestamp(session * 86_400_000 + i64::try_from(place)? * 60_000);
                let fact = Fact::new(text(turn, "dia_id")?, said, Label::default(), at);
                memories.push(fact.kind(FactKind::Turn).in_session(key.as_str(), place as u64));
            }
        }
        let known: HashMap<&str, ()> = memories.iter().map(|fact| (fact.id.as_str(), ())).collect();
        let mut questions = Vec::new();
        for asked in dialogue.get("qa").and_then(Value::as_array).ok_or("no \"qa\"")? {
            let category = asked.get("category").and_then(Value::as_u64).unwrap_or_default();
            let category = usize::try_from(category)?.checked_sub(1);
            let Some(slice) = category.and_then(|category| CATEGORIES.get(category)) else {
                continue;
            };
            let evidence = asked.get("evidence").and_then(Value::as_array).into_iter().flatten();
            // Some entries name several turns, some name none that exists.
            let mut wanted: Vec<String> = evidence
                .filter_map(Value::as_str)
                .flat_map(|turns| turns.split([';', ',', ' ']))
                .filter(|turn| known.contains_key(turn))
                .map(str::to_owned)
                .collect();
            wanted.sort();
            wanted.dedup();
            if !wanted.is_empty() {
                let text = text(asked, "question")?.to_owned();
                questions.push(Question { slice: (*slice).to_owned(), text, wanted });
            }
        }
        worlds.push(World { name: format!("{}-{number}", name(path)), memories, questions });
    }
    Ok(Collection { name: name(path), worlds })
}

/// One world, one memory a document, its title first.
fn beir(folder: &Path) -> Result<Collection> {
    let lines = |file: &str| -> Result<Vec<Value>> {
        let text =
            std::fs::read_to_string(folder.join(file)).map_err(|e| format!("{file}: {e}"))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    let mut memories = Vec::new();
    for document in lines("corpus.jsonl")? {
        let title = document.get("title").and_then(Value::as_str).unwrap_or_default();
        let said = format!("{title} {}", text(&document, "text")?);
        let id = text(&document, "_id")?;
        let fact = Fact::new(id, said.trim(), Label::default(), Timestamp(0));
        memories.push(fact.kind(FactKind::Chunk));
    }
    let mut wanted = HashMap::<String, Vec<String>>::new();
    let judged = std::fs::read_to_string(folder.join("qrels/test.tsv"))
        .map_err(|error| format!("qrels/test.tsv: {error}"))?;
    for line in judged.lines().skip(1) {
        if let [query, document, score] = line.split('\t').collect::<Vec<_>>().as_slice()
            && score.trim().parse::<i64>()? > 0
        {
            wanted.entry((*query).to_owned()).or_default().push((*document).to_owned());
        }
    }
    let mut questions = Vec::new();
    for query in lines("queries.jsonl")? {
        if let Some(wanted) = wanted.remove(text(&query, "_id")?) {
            let text = text(&query, "text")?.to_owned();
            questions.push(Question { slice: "documents".to_owned(), text, wanted });
        }
    }
    let world = World { name: name(folder), memories, questions };
    Ok(Collection { name: name(folder), worlds: vec![world] })
}
