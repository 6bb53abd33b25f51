//! A gateway is killed, at each point at which that could matter, and started again: nothing is lost,
//! nothing is doubled where that can be known, and what cannot be repeated is not.
//!
//! The gateway runs in a process of its own, over an SQLite file. Platforms and what tools act on live
//! in this process, which is told of each point that the other one reaches, sends SIGKILL at the chosen
//! one, starts it again, waits until all is done, and compares what people saw with what they must see.
//!
//! - `CRASH_MATRIX_TIMES=10` kills at each point that often, each time at another occasion; 1 unless
//!   said otherwise.
//! - `CRASH_MATRIX_ONLY="before Claim"` tries the points whose names hold that text alone.
//! - `CRASH_MATRIX_LOG=debug` makes the gateway say more in the log that is shown when a case fails.

mod gateway;
mod story;
mod verdict;
mod wire;
mod world;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use openclaw_core::testing::{Act, FaultPoint};

use self::{
    story::Story,
    world::{End, Target, World},
};
use crate::common::{folder, role};

/// The test that a child process runs.
const NAME: &str = "crash_matrix::every_point";
/// Points on the side of what is acted on: it has happened, and no answer left yet.
const OUTSIDE: [&str; 8] = [
    "before acknowledging",
    "after acknowledging",
    "sent",
    "edited",
    "acted read",
    "acted wire",
    "acted book",
    "acted hang",
];

/// A story, and the points at which its lives end before the last one.
struct Case {
    story: Story,
    /// Where a life must end before the chosen point can be reached.
    first: Option<Target>,
    target: Target,
    /// Where the life after that ends, if it gets there.
    then: Option<Target>,
}

impl Case {
    fn new(point: &str, nth: usize) -> Self {
        let act = point.split(' ').nth(1).unwrap_or_default();
        let story = Story {
            poison: act == "DeadLetter",
            many: act == "Checkpoint",
            shutdown: act == "Suspend",
            at_most_once: act == "SettleUnknown",
            ..Story::default()
        };
        let first = match act {
            "Resume" => Some(("after ToolStart".to_owned(), 3)),
            "Reconcile" => Some(("acted book".to_owned(), 1)),
            _ => None,
        };
        Self { story, first, target: (point.to_owned(), nth), then: None }
    }

    /// Lives it; or why it failed.
    fn run(&self) -> Result<Lived, String> {
        let (_folder, path) = folder();
        let mut world = World::new(path.clone(), self.story.clone());
        let outcome = self.lives(&mut world);
        let why = match outcome {
            Err(error) => error,
            Ok((reached, counts)) => {
                let rt = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let faults = rt.unwrap().block_on(verdict::faults(&world));
                if faults.is_empty() {
                    let (kills, seen) = (world.kills, verdict::count(&world));
                    return Ok(Lived { kills, reached, counts, seen });
                }
                faults.join("\n")
            }
        };
        let log = std::fs::read_to_string(path.with_extension("log")).unwrap_or_default();
        let shown: Vec<String> = world
            .shown
            .iter()
            .flat_map(|((account, peer), all)| {
                all.iter().map(move |one| format!("{account} {peer} [{}]: {}", one.life, one.text))
            })
            .collect();
        Err(format!(
            "killed at {:?}, {:?}, {:?}:\n{why}\n--- shown\n{}\n--- log\n{log}",
            self.first,
            self.target,
            self.then,
            shown.join("\n")
        ))
    }

    fn lives(&self, world: &mut World) -> Result<(bool, BTreeMap<String, usize>), String> {
        if self.first.is_some() && world.live(self.first.as_ref())? != End::Killed {
            return Err(format!("{:?} is not reached", self.first));
        }
        let mut then = self.then.as_ref();
        let mut reached = BTreeMap::new();
        let mut target = Some(&self.target);
        let mut hit = false;
        loop {
            let end = world.live(target)?;
            if target.is_some() {
                reached.clone_from(&world.reached);
            }
            match end {
                End::Quiet => return Ok((hit, reached)),
                End::Down => {}
                End::Killed => {
                    let at = |t: &Target| world.reached.get(&t.0) == Some(&t.1);
                    if target.is_some_and(at) {
                        hit = true;
                        target = then.take();
                    }
                }
            }
        }
    }
}

/// What a case came to.
struct Lived {
    kills: usize,
    /// Whether the chosen point was reached.
    reached: bool,
    /// How often each point was reached in the life that ended at the chosen one.
    counts: BTreeMap<String, usize>,
    seen: BTreeMap<String, verdict::Count>,
}

/// What all cases came to.
#[derive(Default)]
struct Tally {
    kills: usize,
    /// How often there were fewer occasions in a life than in the one without a kill, so that the first
    /// was taken.
    elsewhere: usize,
    seen: BTreeMap<String, verdict::Count>,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, lived: Result<Lived, String>, case: &Case) {
        match lived {
            Ok(lived) if lived.reached => {
                self.kills += lived.kills;
                for (kind, count) in lived.seen {
                    let sum = self.seen.entry(kind).or_default();
                    sum.seen += count.seen;
                    sum.lost += count.lost;
                    sum.doubled += count.doubled;
                }
            }
            Ok(Lived { counts, .. }) => self
                .failures
                .push(format!("{:?} is never reached; reached are {counts:?}", case.target)),
            Err(why) => self.failures.push(why),
        }
    }
}

fn times() -> usize {
    std::env::var("CRASH_MATRIX_TIMES").ok().map_or(1, |times| times.parse().unwrap())
}

fn points() -> Vec<String> {
    let only = std::env::var("CRASH_MATRIX_ONLY").unwrap_or_default();
    let core = FaultPoint::all().map(|point| point.to_string());
    core.chain(OUTSIDE.map(str::to_owned)).filter(|point| point.contains(&only)).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn every_point() {
    if let Some(role) = role() {
        return gateway::live(serde_json::from_str(&role).unwrap()).await;
    }
    let began = Instant::now();
    // Without a kill: how often each point is reached.
    let nowhere = Case::new("nowhere", 1);
    let calm = tokio::task::spawn_blocking(move || nowhere.run()).await.unwrap();
    let counts = calm.unwrap_or_else(|why| panic!("{why}")).counts;
    eprintln!("a life without a kill: {:?}, {} points", began.elapsed(), counts.len());
    let mut cases = Vec::new();
    for (index, point) in points().iter().enumerate() {
        let count = counts.get(point).copied().unwrap_or(1);
        for time in 0..times() {
            // Spread over all occasions; with one kill, at another part of the story for each point.
            let nth = 1 + (time * count / times() + index * 7) % count;
            cases.push(Case::new(point, nth));
        }
        // A second crash while what the first one left is taken up. Where a message crashes the process
        // three times by itself, one more could be laid at the door of any turn.
        let mut case = Case::new(point, 1 + index % count);
        if index % 4 == 0 && case.first.is_none() && !case.story.poison {
            let next = ["before CallModel", "after End", "sent", "after ToolEnd", "before Resume"];
            case.then = Some((next[index / 4 % next.len()].to_owned(), 2));
            cases.push(case);
        }
    }
    let tally = tokio::task::spawn_blocking(move || run_all(&cases)).await.unwrap();
    let Tally { kills, elsewhere, seen, failures } = tally;
    let each = began.elapsed() / u32::try_from(kills.max(1)).unwrap();
    eprintln!("{} points, {kills} kills in {:?}: {each:?} each", points().len(), began.elapsed());
    eprintln!("{elsewhere} at the point's first occasion, as the chosen one did not come");
    for (kind, verdict::Count { seen, lost, doubled }) in seen {
        eprintln!("{kind}: {seen} messages seen, {lost} lost, {doubled} doubled");
    }
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n\n======\n"));
    assert!(kills >= 100 || std::env::var("CRASH_MATRIX_ONLY").is_ok(), "{kills} kills only");
}

/// Runs the cases, several at once.
fn run_all(cases: &[Case]) -> Tally {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let mut lived = case.run();
            if matches!(lived, Ok(Lived { reached: false, .. })) {
                // What runs at once differs from life to life: there were fewer occasions than before.
                tally.lock().unwrap().elsewhere += 1;
                lived = Case::new(&case.target.0, 1).run();
            }
            tally.lock().unwrap().add(lived, case);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    tally.into_inner().unwrap()
}

#[test]
fn there_are_points_enough() {
    assert!(Act::ALL.len() * 2 >= 40);
}
