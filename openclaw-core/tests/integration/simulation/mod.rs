//! The whole gateway in a simulated world: everything outside of it fails, time is simulated, and all
//! of it follows from one number.
//!
//! `OPENCLAW_SIM_SEEDS=5000` lives through more worlds, `OPENCLAW_SIM_SEED=42` through one, with its
//! trace.

mod channel;
mod model;
mod oracle;
mod scenario;
mod store;
mod tools;
mod world;

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use scenario::{End, live};
use world::Bug;

/// How many seeds are lived through unless the environment says otherwise.
const SEEDS: u64 = 500;

fn from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

/// The first seeds in the range whose worlds broke a promise, with what was broken.
fn broken(seeds: Range<u64>, bug: Option<Bug>, most: usize) -> Vec<(u64, Vec<String>)> {
    let (next, enough) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let found = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end || enough.load(Ordering::SeqCst) {
                        return;
                    }
                    let End { violations, .. } = live(seed, bug);
                    if !violations.is_empty() {
                        let mut found = found.lock().unwrap();
                        found.push((seed, violations));
                        enough.store(found.len() >= most, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn simulation_seeds() {
    if let Some(seed) = from_env("OPENCLAW_SIM_SEED") {
        let end = live(seed, None);
        println!("{}", end.trace.join("\n"));
        assert!(end.violations.is_empty(), "seed {seed}: {:#?}", end.violations);
        return;
    }
    let seeds = from_env("OPENCLAW_SIM_SEEDS").unwrap_or(SEEDS);
    let broken = broken(0..seeds, None, 20);
    for (seed, violations) in &broken {
        println!("OPENCLAW_SIM_SEED={seed}: {violations:#?}");
    }
    assert!(broken.is_empty(), "broken promises; the seeds above show each again");
}

#[test]
fn simulation_same_seed_same_trace() {
    for seed in 0..20 {
        let (one, other) = (live(seed, None).trace, live(seed, None).trace);
        assert!(one.len() > 10, "seed {seed} has hardly a trace");
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        assert_eq!(
            differs.map(|at| (&one[at], &other[at])),
            None,
            "seed {seed} goes another way the second time"
        );
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

/// The worlds of the first seeds with this bug are broken, and in the way that it breaks them.
fn is_found(bug: Bug, by: &str) {
    let broken = broken(0..SEEDS, Some(bug), 1);
    let found = broken.iter().flat_map(|(_, violations)| violations).any(|text| text.contains(by));
    assert!(found, "{bug:?} was not found by {by:?} in {SEEDS} seeds: {broken:#?}");
}

#[test]
fn simulation_finds_a_lost_acknowledgement() {
    is_found(Bug::LostAck, "was said and never accepted");
}

#[test]
fn simulation_finds_a_double_send() {
    is_found(Bug::DoubleSend, "doubled");
}

#[test]
fn simulation_finds_an_orphan_call() {
    is_found(Bug::OrphanCall, "calls without results");
}

#[test]
fn simulation_finds_a_lost_input() {
    is_found(Bug::LostInput, "is in no log");
}

#[test]
fn simulation_finds_a_lost_label() {
    is_found(Bug::LabelLoss, "label lost");
}
