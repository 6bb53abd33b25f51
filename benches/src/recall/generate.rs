//! Conversations made of templates, with questions of which the answer is known.

use openclaw_core::{
    label::Label,
    memory::{Fact, FactKind},
    time::Timestamp,
};

use super::{
    Collection, Part, Question, World,
    english::{ATTRIBUTES, Attribute},
    languages::{Language, languages},
    people::{EVENTS, NAMES, TALK, TIES},
    random::Random,
};

/// What the committed figures were made with.
pub const SEED: u64 = 7;

const WORLDS: usize = 10;
/// Questions of each kind in a world.
const ASKED: usize = 22;
const PEOPLE: usize = 12;
/// Statements of each other language in a world, and talk that answers nothing.
const STATEMENTS: usize = 60;
const TALKED: usize = 150;
/// Turns in a conversation.
const TURNS: usize = 20;
/// 2025-01-06T08:00:00Z, and the time between two turns.
const BEGIN_MS: i64 = 1_736_150_400_000;
const STEP_MS: i64 = 4 * 60 * 60 * 1000;

const PARAPHRASES: &str = include_str!("paraphrases.txt");

/// The generated collection's part; the same for the same seed. The parts share no wording of
/// statements, questions, events or paraphrases.
#[must_use]
pub fn generated(seed: u64, part: Part) -> Collection {
    let worlds = (0..WORLDS)
        .map(|number| {
            let which = number * 2 + usize::from(part == Part::Testing);
            Maker::new(seed.wrapping_mul(1000).wrapping_add(which as u64), part).world(number)
        })
        .collect();
    Collection { name: format!("generated, {part:?}").to_lowercase(), worlds }
}

/// What is said, and where: what must come later has the higher `stage`.
struct Said {
    stage: usize,
    text: String,
}

struct Asked {
    slice: &'static str,
    text: String,
    /// Places in what was said.
    wanted: Vec<usize>,
}

struct Maker {
    random: Random,
    part: Part,
    people: Vec<&'static str>,
    said: Vec<Said>,
    asked: Vec<Asked>,
}

impl Maker {
    fn new(seed: u64, part: Part) -> Self {
        let mut random = Random::new(seed);
        let mut people = NAMES;
        random.shuffle(&mut people);
        Self {
            random,
            part,
            people: people.into_iter().take(PEOPLE).collect(),
            said: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn world(mut self, number: usize) -> World {
        self.attributes();
        self.events();
        self.paraphrases();
        for language in languages() {
            self.language(&language);
        }
        for _ in 0..TALKED {
            let (talk, person) = (*self.random.one(&TALK), *self.random.one(&self.people));
            self.say(0, talk.replace("{n}", person));
        }
        self.told(format!("world-{number}"))
    }

    /// One half of `all` for each part.
    fn ours<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let (tuning, testing) = all.split_at(all.len() / 2);
        if self.part == Part::Tuning { tuning } else { testing }
    }

    fn say(&mut self, stage: usize, text: String) -> usize {
        self.said.push(Said { stage, text });
        self.said.len() - 1
    }

    fn ask(&mut self, slice: &'static str, text: String, wanted: Vec<usize>) {
        self.asked.push(Asked { slice, text, wanted });
    }

    fn statement(&mut self, attribute: &Attribute, person: &str, value: &str) -> String {
        let template = *self.random.one(self.ours(&attribute.statements));
        template.replace("{n}", person).replace("{v}", value)
    }

    fn question(&mut self, attribute: &Attribute, person: &str) -> String {
        let template = *self.random.one(self.ours(&attribute.questions));
        template.replace("{n}", person)
    }

    /// Facts, updates, ties of two hops, and two attributes of everybody.
    fn attributes(&mut self) {
        let mut numbers: Vec<usize> = (0..ATTRIBUTES.len()).collect();
        self.random.shuffle(&mut numbers);
        let attributes = numbers.iter().filter_map(|number| ATTRIBUTES.get(*number));
        let (crowd, others): (Vec<_>, Vec<_>) = attributes.enumerate().partition(|(n, _)| *n < 2);
        let people = self.people.clone();
        let pairs =
            |all: &[(usize, &'static Attribute)]| -> Vec<(&'static Attribute, &'static str)> {
                let each = |person: &&'static str| {
                    all.iter().map(|(_, a)| (*a, *person)).collect::<Vec<_>>()
                };
                people.iter().flat_map(each).collect()
            };
        let mut crowded = pairs(&crowd);
        self.random.shuffle(&mut crowded);
        for (place, (attribute, person)) in crowded.into_iter().enumerate() {
            let value = *self.random.one(attribute.values);
            let text = self.statement(attribute, person, value);
            let said = self.say(0, text);
            if place < ASKED {
                let question = self.question(attribute, person);
                self.ask("distractors", question, vec![said]);
            }
        }
        let mut rest = pairs(&others);
        self.random.shuffle(&mut rest);
        let mut rest = rest.into_iter();
        for (attribute, person) in rest.by_ref().take(ASKED) {
            let value = *self.random.one(attribute.values);
            let text = self.statement(attribute, person, value);
            let (said, question) = (self.say(0, text), self.question(attribute, person));
            self.ask("facts", question, vec![said]);
        }
        for (attribute, person) in rest.by_ref().take(ASKED) {
            let (old, new) = self.two(attribute.values);
            let text = self.statement(attribute, person, old);
            self.say(0, text);
            let change = *self.random.one(self.ours(&attribute.changes));
            let change = change.replace("{n}", person).replace("{o}", old).replace("{v}", new);
            let (said, question) = (self.say(1, change), self.question(attribute, person));
            self.ask("updates", question, vec![said]);
        }
        for (attribute, person) in rest.take(ASKED) {
            let value = *self.random.one(attribute.values);
            let text = self.statement(attribute, person, value);
            let fact = self.say(0, text);
            let friend = loop {
                let friend = *self.random.one(&self.people);
                if friend != person {
                    break friend;
                }
            };
            let (tie, role) = *self.random.one(self.ours(&TIES));
            let tie = self.say(0, tie.replace("{a}", person).replace("{b}", friend));
            let question = self.question(attribute, &format!("the {role} of {friend}"));
            self.ask("multi-hop", question, vec![tie, fact]);
        }
    }

    fn two(&mut self, values: &'static [&'static str]) -> (&'static str, &'static str) {
        let old = *self.random.one(values);
        loop {
            let new = *self.random.one(values);
            if new != old {
                return (old, new);
            }
        }
    }

    /// Events of one person, which happened to another, too.
    fn events(&mut self) {
        let events = self.ours(&EVENTS);
        let mut places: Vec<(usize, &'static str)> = Vec::new();
        for event in 0..events.len() {
            let mut people = self.people.clone();
            self.random.shuffle(&mut people);
            places.extend(people.into_iter().take(2).map(|person| (event, person)));
        }
        self.random.shuffle(&mut places);
        for (place, (event, person)) in places.into_iter().enumerate() {
            let Some((text, question)) = self.ours(&EVENTS).get(event).copied() else { continue };
            let said = self.say(0, text.replace("{n}", person));
            if place < ASKED {
                self.ask("temporal", question.replace("{n}", person), vec![said]);
            }
        }
    }

    /// All paraphrases' memories, and questions for some.
    fn paraphrases(&mut self) {
        let lines: Vec<&str> = PARAPHRASES.lines().filter(|line| !line.starts_with('#')).collect();
        let mut lines = self.ours(&lines).to_vec();
        self.random.shuffle(&mut lines);
        for (place, line) in lines.into_iter().enumerate() {
            let mut parts = line.split('|').map(str::trim);
            let memory = parts.next().unwrap_or_default();
            let questions: Vec<&str> = parts.collect();
            let person = *self.random.one(&self.people);
            let said = self.say(0, memory.replace("{n}", person));
            if place < ASKED {
                let question = self.random.one(&questions).replace("{n}", person);
                self.ask("paraphrase", question, vec![said]);
            }
        }
    }

    fn language(&mut self, language: &Language) {
        let names = language.names.iter().flat_map(|n| language.topics.iter().map(move |t| (n, t)));
        let mut pairs: Vec<_> = names.collect();
        self.random.shuffle(&mut pairs);
        for (place, (name, topic)) in pairs.into_iter().take(STATEMENTS).enumerate() {
            let value = *self.random.one(&topic.values);
            let said = self.say(0, topic.statement.replace("{n}", name).replace("{v}", value));
            let question = topic.question.replace("{n}", name);
            if place < ASKED {
                self.ask(language.slice, question, vec![said]);
            } else if place < 2 * ASKED && language.slice == "vietnamese" {
                self.ask("vietnamese without marks", without_marks(&question), vec![said]);
            }
        }
    }

    /// Puts what was said into an order, and into conversations.
    fn told(mut self, name: String) -> World {
        let mut order: Vec<usize> = (0..self.said.len()).collect();
        self.random.shuffle(&mut order);
        order.sort_by_key(|place| self.said.get(*place).map(|said| said.stage));
        let id = |place: usize| format!("{name}/{place}");
        let memories = order.iter().enumerate().filter_map(|(time, place)| {
            let text = self.said.get(*place)?.text.clone();
            let session = format!("{name}/{}", time / TURNS);
            let at = Timestamp(BEGIN_MS + STEP_MS * i64::try_from(time).ok()?);
            let fact = Fact::new(id(*place), text, Label::default(), at).kind(FactKind::Turn);
            Some(fact.in_session(session, (time % TURNS) as u64))
        });
        let memories = memories.collect();
        let questions = self.asked.iter().map(|asked| Question {
            slice: asked.slice.to_owned(),
            text: asked.text.clone(),
            wanted: asked.wanted.iter().map(|place| id(*place)).collect(),
        });
        let questions = questions.collect();
        World { name, memories, questions }
    }
}

/// As people type Vietnamese in a hurry.
fn without_marks(text: &str) -> String {
    use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
    let plain = text.nfd().filter(|c| !is_combining_mark(*c));
    plain
        .map(|c| {
            if c == 'đ' {
                'd'
            } else if c == 'Đ' {
                'D'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    #[test]
    fn each_kind_has_enough_questions_with_answers_among_the_memories() {
        let mut all = 0;
        for part in [Part::Tuning, Part::Testing] {
            let mut slices = BTreeMap::<String, usize>::new();
            for world in generated(SEED, part).worlds {
                let ids: HashSet<_> = world.memories.iter().map(|fact| fact.id.clone()).collect();
                assert_eq!(ids.len(), world.memories.len(), "an id twice");
                for question in &world.questions {
                    assert!(!question.text.contains('{'), "{}", question.text);
                    assert!(question.wanted.iter().all(|id| ids.contains(id)), "{}", question.text);
                    *slices.entry(question.slice.clone()).or_default() += 1;
                }
                assert!(world.memories.iter().all(|fact| !fact.text.contains('{')));
            }
            assert_eq!(slices.len(), 11, "{slices:?}");
            assert!(slices.values().all(|count| *count >= 200), "{slices:?}");
            all += slices.values().sum::<usize>();
        }
        assert!(all >= 4_000, "{all}");
    }

    #[test]
    fn the_same_seed_makes_the_same() {
        let texts = |seed| -> Vec<String> {
            let worlds = generated(seed, Part::Testing).worlds;
            worlds.into_iter().flat_map(|w| w.questions).map(|q| q.text).collect()
        };
        assert_eq!(texts(SEED), texts(SEED));
        assert_ne!(texts(SEED), texts(SEED + 1));
    }

    #[test]
    fn marks_are_taken_off() {
        assert_eq!(without_marks("Đức thích uống trà đá"), "Duc thich uong tra da");
    }
}
