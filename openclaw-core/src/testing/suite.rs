//! Lists of cases that an implementation passes.

use std::{fmt, panic::AssertUnwindSafe};

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;

use crate::error::{Error, Result};

/// How a case ended, unless it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The contract held.
    Passed,
    /// The case does not apply to what the implementation declares; the reason.
    Skipped(String),
}

type Run = Box<dyn Fn() -> BoxFuture<'static, Result<Verdict>> + Send + Sync>;

/// Cases that one implementation is held to.
pub struct Suite {
    name: String,
    cases: Vec<(&'static str, Run)>,
}

impl Suite {
    /// A suite about the implementation `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), cases: Vec::new() }
    }

    /// Adds a case. It fails by an error or by a panic.
    #[must_use]
    pub fn case<F, Fut>(mut self, name: &'static str, run: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Verdict>> + Send + 'static,
    {
        self.cases.push((name, Box::new(move || run().boxed())));
        self
    }

    /// The names of the cases, in order.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.cases.iter().map(|(name, _)| *name)
    }

    /// Runs all cases, one after the other.
    pub async fn run(&self) -> Report {
        let mut results = Vec::with_capacity(self.cases.len());
        for (name, run) in &self.cases {
            let result = match AssertUnwindSafe(run()).catch_unwind().await {
                Ok(result) => result,
                Err(panic) => Err(Error::internal(panic_text(panic.as_ref()))),
            };
            results.push((*name, result));
        }
        Report { suite: self.name.clone(), results }
    }

    /// Runs all cases and panics with the list of those that failed.
    pub async fn assert(&self) {
        let report = self.run().await;
        let failed: Vec<&str> = report.failed().collect();
        assert!(failed.is_empty(), "{report}");
    }
}

/// The words of a panic.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "the case panicked".to_owned())
}

/// How the cases of a suite ended.
#[derive(Debug)]
pub struct Report {
    suite: String,
    results: Vec<(&'static str, Result<Verdict>)>,
}

impl Report {
    /// The names of the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.results.iter().filter(|(_, result)| result.is_err()).map(|(name, _)| *name)
    }

    /// The names of the cases that were skipped, and why.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &str)> + '_ {
        self.results.iter().filter_map(|(name, result)| match result {
            Ok(Verdict::Skipped(why)) => Some((*name, why.as_str())),
            _ => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "conformance of {}:", self.suite)?;
        for (name, result) in &self.results {
            match result {
                Ok(Verdict::Passed) => writeln!(f, "  passed  {name}")?,
                Ok(Verdict::Skipped(why)) => writeln!(f, "  skipped {name}: {why}")?,
                Err(error) => writeln!(f, "  FAILED  {name}: {error}")?,
            }
        }
        Ok(())
    }
}
