//! What people say to the gateway, each in answer to what they see; and what they must see in the end.

use std::collections::BTreeSet;

use super::world::World;

/// How the common story varies from case to case.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// A message kills the process whenever the model is asked about it.
    pub(super) poison: bool,
    /// A turn is so long that a checkpoint follows it.
    pub(super) many: bool,
    /// The process is told to shut down while a turn is at work.
    pub(super) shutdown: bool,
    /// What may have been sent on a blind platform is not sent again.
    pub(super) at_most_once: bool,
    pub(super) told: BTreeSet<&'static str>,
    /// What the application said was erased.
    pub(super) erased: bool,
}

/// In a conversation, what each message must say, in order; `|` stands between what is as good.
pub(super) type Expected = (&'static str, &'static str, Vec<&'static str>);

/// Somebody says `text` there, as soon as `when`, once.
type Line = (&'static str, &'static str, &'static str, String, fn(&World) -> bool);

fn always(_: &World) -> bool {
    true
}

fn sees(world: &World, account: &str, peer: &str, text: &str) -> bool {
    world.seen(account, peer).iter().any(|shown| shown.text.contains(text))
}

fn acted(world: &World, argument: &str) -> bool {
    world.deeds.iter().any(|deed| deed.argument == argument)
}

/// The word that follows `before` in a message there that has `about` in it.
fn word(world: &World, place: (&str, &str), about: &str, before: &str) -> Option<String> {
    let shown = world.seen(place.0, place.1).iter().find(|shown| shown.text.contains(about))?;
    // One message asks about several calls.
    let from = shown.text.find(about)?;
    let rest = shown.text[from..].split_once(before)?.1;
    rest.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned)
}

/// What the owner says to the ask about `order`, seen at `place`.
fn leave(world: &World, place: (&str, &str), order: &str) -> String {
    let id = word(world, place, &format!("\"{order}\""), "/approve ").unwrap_or_default();
    format!("/approve {id} yes")
}

fn lines(world: &World) -> Vec<Line> {
    const BOSS: (&str, &str) = ("keyed:main", "boss");
    let filler = "and so on ".repeat(120);
    let code = word(world, ("keyed:side", "guest"), "code", "code: ").unwrap_or_default();
    let mut lines: Vec<Line> = vec![
        // Plain turns, in order.
        ("k1", "keyed:main", "ann", "[[say one]]".into(), always),
        ("k2", "keyed:main", "ann", "[[say two]]".into(), |w| {
            sees(w, "keyed:main", "ann", "said one")
        }),
        ("s1", "search:main", "ann", "[[say one]]".into(), always),
        ("s2", "search:main", "ann", "[[say two]]".into(), |w| {
            sees(w, "search:main", "ann", "said one")
        }),
        ("b1", "blind:main", "ann", "[[say one]]".into(), always),
        ("b2", "blind:main", "ann", "[[say two]]".into(), |w| {
            sees(w, "blind:main", "ann", "said one")
        }),
        // Two reads at once and an act for good that needs leave.
        ("r1", "search:main", "boss", "[[reads order-owner]]".into(), always),
        ("r2", "search:main", "boss", leave(world, ("search:main", "boss"), "order-owner"), |w| {
            sees(w, "search:main", "boss", "order-owner")
        }),
        ("w1", "blind:main", "buyer", "[[wire order-blind]]".into(), always),
        ("w2", BOSS.0, BOSS.1, leave(world, BOSS, "order-blind"), |w| {
            sees(w, "keyed:main", "boss", "\"order-blind\"")
        }),
        // The conversation goes on before leave is given.
        ("d1", "keyed:main", "late", "[[wire order-late]]".into(), always),
        ("d2", "keyed:main", "late", "[[say meanwhile]]".into(), |w| {
            sees(w, "keyed:main", "boss", "\"order-late\"")
        }),
        ("d3", BOSS.0, BOSS.1, leave(world, BOSS, "order-late"), |w| {
            sees(w, "keyed:main", "late", "said meanwhile")
        }),
        // An act for good whose outcome can be found out.
        ("o1", "keyed:side", "boss", "[[book order-booked]]".into(), always),
        // A turn is stopped; a message joins a turn; a turn takes too long; the model fails.
        ("c1", "search:main", "stop", "[[hang closed]]".into(), always),
        ("c2", "search:main", "stop", "/stop".into(), |w| acted(w, "closed")),
        ("j1", "blind:main", "join", "[[hang joined]]".into(), always),
        ("j2", "blind:main", "join", "[[say both]]".into(), |w| acted(w, "joined")),
        ("t1", "search:main", "hasty", "[[hang never]]".into(), always),
        ("f1", "search:main", "fail", "[[fail it]]".into(), always),
        // A history that must be compacted.
        ("m1", "search:main", "compact", format!("{filler} [[say first]]"), always),
        ("m2", "search:main", "compact", format!("{filler} [[say second]]"), |w| {
            sees(w, "search:main", "compact", "said first")
        }),
        ("m3", "search:main", "compact", format!("{filler} [[say third]]"), |w| {
            sees(w, "search:main", "compact", "said second")
        }),
        // A reply in pieces; one that grows; sends that fail, are cut off and are refused.
        ("l1", "blind:main", "long", "[[long story]]".into(), always),
        ("g1", "keyed:main", "grow", "[[grow up]]".into(), always),
        ("y1", "search:main", "flaky", "[[say flaky]]".into(), always),
        ("y2", "keyed:main", "flaky", "[[say flaky]]".into(), always),
        ("x1", "search:main", "cut", "[[say cut off]]".into(), always),
        ("x2", "keyed:main", "cut", "[[say cut off]]".into(), always),
        // Not where replies grow: a beginning that is refused is one more failure to tell of.
        ("p1", "search:main", "refuse", "[[say refused]]".into(), always),
        ("p2", "search:main", "refuse", "[[say after]]".into(), |w| {
            sees(w, "keyed:main", "boss", "could not be delivered")
        }),
        // A picture, which must be fetched and kept.
        ("i1", "search:main", "eye", "[[look here]]".into(), always),
        // A stranger is let in.
        ("q1", "keyed:side", "guest", "hello".into(), always),
        ("q2", BOSS.0, BOSS.1, format!("/pair {code}"), |w| sees(w, "keyed:side", "guest", "code")),
        ("q3", "keyed:side", "guest", "[[say welcome]]".into(), |w| {
            sees(w, "keyed:side", "guest", "let in")
        }),
    ];
    if world.story.poison {
        lines.push(("z1", "search:main", "poison", "[[poison it]]".into(), always));
    }
    if world.story.many {
        lines.push(("n1", "search:main", "many", "[[many 130]]".into(), always));
    }
    if world.story.at_most_once {
        // What is not sent again may be missing, and others must not wait for it.
        lines.retain(|(_, account, ..)| *account != "blind:main");
        lines.retain(|(id, ..)| *id != "w2");
        lines.push(("u1", "blind:main", "cut", "[[say cut off]]".into(), always));
    }
    if world.story.shutdown {
        lines.push(("e1", "search:main", "down", "[[hang down]]".into(), always));
    }
    lines
}

impl Story {
    /// What must be seen in the end, where the order is certain.
    pub(super) fn expected(&self) -> Vec<Expected> {
        let mut all: Vec<Expected> = vec![
            ("keyed:main", "ann", vec!["said one", "said two"]),
            ("search:main", "ann", vec!["said one", "said two"]),
            ("blind:main", "ann", vec!["said one", "said two"]),
            (
                "search:main",
                "boss",
                vec!["order-owner", "Allow", "is given", "did order-owner|unknown order-owner"],
            ),
            ("blind:main", "buyer", vec!["did order-blind|unknown order-blind"]),
            ("keyed:main", "late", vec!["said meanwhile", "late did|late unknown"]),
            ("keyed:side", "boss", vec!["did order-booked|unknown order-booked"]),
            ("search:main", "stop", vec!["Stopped."]),
            ("blind:main", "join", vec!["said both"]),
            ("search:main", "hasty", vec!["took longer"]),
            ("search:main", "fail", vec!["could not ask the model"]),
            ("search:main", "compact", vec!["said first", "said second", "said third"]),
            ("blind:main", "long", vec!["piece 1", "piece 2", "piece 3"]),
            ("keyed:main", "grow", vec!["a reply that grows and grows to its end"]),
            ("search:main", "flaky", vec!["said flaky"]),
            ("keyed:main", "flaky", vec!["said flaky"]),
            ("search:main", "cut", vec!["said cut off"]),
            ("keyed:main", "cut", vec!["said cut off"]),
            ("search:main", "refuse", vec!["said after"]),
            ("search:main", "eye", vec!["saw 1 of here"]),
            ("keyed:side", "guest", vec!["code: ", "let in", "said welcome"]),
        ];
        if self.poison {
            all.push(("search:main", "poison", vec!["failed three times"]));
        }
        if self.many {
            all.push(("search:main", "many", vec!["did 130"]));
        }
        if self.at_most_once {
            all.retain(|(account, ..)| *account != "blind:main");
            all.push(("blind:main", "cut", vec!["said cut off"]));
        }
        if self.shutdown {
            all.push(("search:main", "down", vec!["did down"]));
        }
        all
    }

    /// What the owner must be told, each once, in any order.
    pub(super) fn told_the_owner(&self) -> Vec<&'static str> {
        let mut all = vec![
            "\"order-blind\"",
            "\"order-late\"",
            "wants to write to me",
            "is let in",
            "direct:refuse could not be delivered",
        ];
        if self.poison {
            all.push("set aside as a dead letter");
        }
        if self.at_most_once {
            all.retain(|text| !text.contains("order-blind"));
            all.push("direct:cut was sent");
        }
        all
    }

    /// People say what it is time to say.
    pub(super) fn go_on(world: &mut World) {
        let due: Vec<Line> = lines(world)
            .into_iter()
            .filter(|(id, .., when)| !world.story.told.contains(id) && when(world))
            .collect();
        for (id, account, peer, text, _) in due {
            world.story.told.insert(id);
            world.say(account, peer, &text);
        }
    }

    /// What has to be opened is decided by what was seen, so that it is the same in every life.
    pub(super) fn is_open(world: &World, gate: &str) -> bool {
        match gate {
            "joined" => world.story.told.contains("j2") && world.heard("blind:main"),
            "shown" => sees(world, "keyed:main", "grow", "grow"),
            "grown" => sees(world, "keyed:main", "grow", "and grow"),
            "down" => world.lives > 1,
            _ => false,
        }
    }

    /// True while the process is to shut down.
    pub(super) fn is_to_shut_down(world: &World) -> bool {
        world.story.shutdown && world.lives == 1 && acted(world, "down")
    }

    /// What somebody still waits for.
    pub(super) fn missing(world: &World) -> Vec<String> {
        let unsaid = lines(world).into_iter().filter(|(id, ..)| !world.story.told.contains(id));
        let unheard = world.said.keys().filter(|account| !world.heard(account));
        let unseen = world.story.expected().into_iter().filter(|(account, peer, texts)| {
            !texts.iter().all(|texts| texts.split('|').any(|text| sees(world, account, peer, text)))
        });
        let untold = world.story.told_the_owner().into_iter();
        let untold = untold.filter(|text| !sees(world, "keyed:main", "boss", text));
        unsaid
            .map(|(id, ..)| format!("{id} is not said"))
            .chain(unheard.map(|account| format!("{account} is not heard")))
            .chain(unseen.map(|(account, peer, texts)| format!("{account} {peer}: {texts:?}")))
            .chain(untold.map(|text| format!("the owner is not told {text:?}")))
            .chain((!world.story.erased).then(|| "nothing is erased".to_owned()))
            .collect()
    }
}
