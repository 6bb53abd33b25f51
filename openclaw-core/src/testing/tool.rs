//! The contract of [`Tool`] as cases, and calls of a tool without a gateway.
//!
//! ```
//! use openclaw_core::{schemars, testing::tool::{ToolFixture, suite}, tool::{ToolSpec, tool_fn}};
//! use serde_json::json;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Sum { a: i64, b: i64 }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let fixture = ToolFixture::new(|| {
//!     tool_fn(ToolSpec::read_only("add", "Adds two numbers"), async |_, sum: Sum| {
//!         Ok((sum.a + sum.b).to_string())
//!     })
//! })
//! .good(json!({ "a": 2, "b": 3 }))
//! .bad(json!({ "a": "two" }));
//! suite("add", fixture).assert().await;
//! # }
//! ```

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Suite, Verdict};
pub use super::{
    tool_call::{TestCall, tool_context},
    tool_faulty::{FaultyTool, ToolFault},
};
use crate::{
    error::{Error, ErrorKind, Result},
    tool::{IntoTool, Tool, ToolOutput},
};

/// How long a cancelled call may take to end, by `tokio::time`.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the suite is told about a tool. What is not said skips the cases that need it.
#[derive(Clone)]
pub struct ToolFixture {
    make: Arc<dyn Fn() -> Arc<dyn Tool> + Send + Sync>,
    prepare: Arc<dyn Fn(TestCall) -> TestCall + Send + Sync>,
    good: Value,
    bad: Vec<Value>,
    slow: Option<Value>,
    effects: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    secrets: Vec<String>,
}

impl ToolFixture {
    /// About the tool that `make` makes; each case has its own. Good arguments are `{}` unless said.
    pub fn new<T: IntoTool>(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(move || make().into_tool()),
            prepare: Arc::new(|call| call),
            good: json!({}),
            bad: Vec::new(),
            slow: None,
            effects: None,
            secrets: Vec::new(),
        }
    }

    /// Gives calls what the tool needs: state, an HTTP client.
    #[must_use]
    pub fn prepare(
        mut self,
        prepare: impl Fn(TestCall) -> TestCall + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    /// Arguments with which a call succeeds.
    #[must_use]
    pub fn good(mut self, arguments: Value) -> Self {
        self.good = arguments;
        self
    }

    /// Adds arguments that do not fit. Arguments that are no object are tried in any case.
    #[must_use]
    pub fn bad(mut self, arguments: Value) -> Self {
        self.bad.push(arguments);
        self
    }

    /// Arguments with which a call goes on until it is cancelled.
    #[must_use]
    pub fn slow(mut self, arguments: Value) -> Self {
        self.slow = Some(arguments);
        self
    }

    /// How often the tool changed the world so far, seen from outside of the tool.
    #[must_use]
    pub fn effects(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.effects = Some(Arc::new(count));
        self
    }

    /// Adds a text that the tool knows and must not tell, such as its token.
    #[must_use]
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self
    }

    fn call(&self, tool: &dyn Tool, arguments: &Value) -> TestCall {
        (self.prepare)(TestCall::new(&tool.spec().name, arguments.clone()))
    }

    async fn run(&self, tool: &dyn Tool, arguments: &Value) -> Result<ToolOutput> {
        tool.call(self.call(tool, arguments).context()).await
    }

    /// All arguments that must be refused.
    fn refused(&self) -> impl Iterator<Item = Value> + '_ {
        // What a model wrote, if it was not JSON, reaches a tool as a string.
        std::iter::once(json!("not an object")).chain(self.bad.iter().cloned())
    }
}

/// The cases that the tool of `fixture` is held to.
pub fn suite(name: impl Into<String>, fixture: ToolFixture) -> Suite {
    let case = |run: fn(ToolFixture) -> BoxedCase| {
        let fixture = fixture.clone();
        move || run(fixture.clone())
    };
    Suite::new(name)
        .case("the_spec_is_valid", case(|f| Box::pin(the_spec_is_valid(f))))
        .case("the_spec_is_stable", case(|f| Box::pin(the_spec_is_stable(f))))
        .case("good_arguments_succeed", case(|f| Box::pin(good_arguments_succeed(f))))
        .case("bad_arguments_are_explained", case(|f| Box::pin(bad_arguments_are_explained(f))))
        .case("a_cancelled_call_ends_soon", case(|f| Box::pin(a_cancelled_call_ends_soon(f))))
        .case("one_key_acts_once", case(|f| Box::pin(one_key_acts_once(f))))
        .case("reading_changes_nothing", case(|f| Box::pin(reading_changes_nothing(f))))
        .case("reads_run_side_by_side", case(|f| Box::pin(reads_run_side_by_side(f))))
        .case("errors_can_be_shown", case(|f| Box::pin(errors_can_be_shown(f))))
        .case("errors_keep_secrets", case(|f| Box::pin(errors_keep_secrets(f))))
}

type BoxedCase = std::pin::Pin<Box<dyn Future<Output = Result<Verdict>> + Send>>;

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, message.into())
}

fn skipped(why: &str) -> Result<Verdict> {
    Ok(Verdict::Skipped(why.to_owned()))
}

/// 1 to 64 letters, digits, `_` and `-`; a description; a schema of an object.
async fn the_spec_is_valid(fixture: ToolFixture) -> Result<Verdict> {
    let spec = (fixture.make)().spec();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&spec.name.len()) || !spec.name.chars().all(plain) {
        return Err(broken(format!(
            "the name {:?} is not 1 to 64 letters, digits, `_` and `-`",
            spec.name
        )));
    }
    if spec.description.trim().is_empty() {
        return Err(broken("the description is empty: a model is told nothing"));
    }
    if spec.input_schema.get("type") != Some(&json!("object")) {
        return Err(broken(format!("the input schema is not of an object: {}", spec.input_schema)));
    }
    Ok(Verdict::Passed)
}

/// The spec is read once, so it must not change.
async fn the_spec_is_stable(fixture: ToolFixture) -> Result<Verdict> {
    let tool = (fixture.make)();
    let before = tool.spec();
    let _ = fixture.run(tool.as_ref(), &fixture.good).await;
    if tool.spec() != before || (fixture.make)().spec() != before {
        return Err(broken("the spec changed from one reading to the next"));
    }
    Ok(Verdict::Passed)
}

async fn good_arguments_succeed(fixture: ToolFixture) -> Result<Verdict> {
    fixture.run((fixture.make)().as_ref(), &fixture.good).await.map(|_| Verdict::Passed)
}

/// `InvalidInput`, with a public text that says more than its kind does.
async fn bad_arguments_are_explained(fixture: ToolFixture) -> Result<Verdict> {
    let tool = (fixture.make)();
    for arguments in fixture.refused() {
        let error = match fixture.run(tool.as_ref(), &arguments).await {
            Ok(_) => return Err(broken(format!("{arguments} was taken"))),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::InvalidInput {
            return Err(broken(format!("{arguments} is {:?}, not InvalidInput", error.kind())));
        }
        if error.public_text() == ErrorKind::InvalidInput.public_text() {
            return Err(broken(format!(
                "{arguments} is refused, but a model is not told what was expected"
            )));
        }
    }
    Ok(Verdict::Passed)
}

async fn a_cancelled_call_ends_soon(fixture: ToolFixture) -> Result<Verdict> {
    let Some(slow) = &fixture.slow else {
        return skipped("the fixture has no arguments for a call that goes on");
    };
    let tool = (fixture.make)();
    let cancel = crate::time::Cancel::new();
    let context = fixture.call(tool.as_ref(), slow).cancel(cancel.clone()).context();
    let mut call = tool.call(context);
    // Long enough to be under way; a call that ends by itself shows nothing.
    if tokio::time::timeout(Duration::from_millis(100), &mut call).await.is_ok() {
        return Err(broken("the slow call ended before it was cancelled"));
    }
    cancel.cancel();
    match tokio::time::timeout(CANCEL_GRACE, call).await {
        Ok(_) => Ok(Verdict::Passed),
        Err(_) => Err(broken(format!("the call goes on {CANCEL_GRACE:?} after it was cancelled"))),
    }
}

/// With the same key twice the same as once; with another key it acts again.
async fn one_key_acts_once(fixture: ToolFixture) -> Result<Verdict> {
    let tool = (fixture.make)();
    let Some(effects) = &fixture.effects else {
        return skipped("the fixture does not count effects");
    };
    if tool.spec().effect != crate::tool::Effect::Idempotent {
        return skipped("the tool does not declare that it is idempotent");
    }
    let before = effects();
    // A call that no other case makes.
    let call = fixture.call(tool.as_ref(), &fixture.good).number(1);
    tool.call(call.context()).await?;
    let once = effects();
    if once == before {
        return Err(broken("a call had no effect: nothing can be seen"));
    }
    // After a crash another instance repeats the call.
    for tool in [tool, (fixture.make)()] {
        tool.call(call.context()).await?;
        if effects() != once {
            return Err(broken("the same key acted again"));
        }
    }
    Ok(Verdict::Passed)
}

async fn reading_changes_nothing(fixture: ToolFixture) -> Result<Verdict> {
    let tool = (fixture.make)();
    let Some(effects) = &fixture.effects else {
        return skipped("the fixture does not count effects");
    };
    if !tool.spec().effect.is_read() {
        return skipped("the tool does not declare that it only reads");
    }
    let before = effects();
    // A call that no other case makes.
    tool.call(fixture.call(tool.as_ref(), &fixture.good).number(2).context()).await?;
    if effects() != before {
        return Err(broken("the tool declares that it only reads, and changed something"));
    }
    Ok(Verdict::Passed)
}

async fn reads_run_side_by_side(fixture: ToolFixture) -> Result<Verdict> {
    let tool = (fixture.make)();
    if !tool.spec().effect.is_read() {
        return skipped("the tool does not declare that it only reads");
    }
    let calls = (0..8).map(|number| {
        let call = fixture.call(tool.as_ref(), &fixture.good).number(number);
        tool.call(call.context())
    });
    let all = futures_util::future::join_all(calls);
    let results = tokio::time::timeout(PATIENCE, all)
        .await
        .map_err(|_| broken("calls that run side by side wait for one another"))?;
    results.into_iter().collect::<Result<Vec<_>>>().map(|_| Verdict::Passed)
}

/// A public text that is there and short enough to be shown.
async fn errors_can_be_shown(fixture: ToolFixture) -> Result<Verdict> {
    for error in errors(&fixture).await {
        let text = error.public_text();
        if text.trim().is_empty() || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(broken(format!("the public text {text:?} cannot be shown")));
        }
    }
    Ok(Verdict::Passed)
}

async fn errors_keep_secrets(fixture: ToolFixture) -> Result<Verdict> {
    if fixture.secrets.is_empty() {
        return skipped("the fixture names no secret");
    }
    for error in errors(&fixture).await {
        let mut texts =
            vec![error.public_text().to_owned(), error.to_string(), format!("{error:?}")];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            texts.push(cause.to_string());
            source = cause.source();
        }
        // Neither the texts nor the secret are told in turn.
        if texts.iter().any(|text| fixture.secrets.iter().any(|secret| text.contains(secret))) {
            return Err(broken(format!("an error of kind {:?} tells a secret", error.kind())));
        }
    }
    Ok(Verdict::Passed)
}

/// The errors that the tool can be brought to: of arguments that do not fit, and of being cancelled.
async fn errors(fixture: &ToolFixture) -> Vec<Error> {
    let tool = (fixture.make)();
    let mut errors = Vec::new();
    for arguments in fixture.refused() {
        errors.extend(fixture.run(tool.as_ref(), &arguments).await.err());
    }
    let cancel = crate::time::Cancel::new();
    cancel.cancel();
    for arguments in [Some(&fixture.good), fixture.slow.as_ref()].into_iter().flatten() {
        let context = fixture.call(tool.as_ref(), arguments).cancel(cancel.clone()).context();
        if let Ok(ended) = tokio::time::timeout(CANCEL_GRACE, tool.call(context)).await {
            errors.extend(ended.err());
        }
    }
    errors
}
