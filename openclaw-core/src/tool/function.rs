//! Tools from functions.

use std::{future::Future, marker::PhantomData};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Tool, ToolContext, ToolOutput, ToolSpec, typed::with_schema_of};
use crate::error::Result;

/// A tool from a function of the context and the typed input.
///
/// ```
/// use openclaw_core::{schemars, tool::{ToolSpec, tool_fn}};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Sum { a: i64, b: i64 }
///
/// let tool = tool_fn(ToolSpec::read_only("add", "Adds two numbers"), async |_, sum: Sum| {
///     Ok((sum.a + sum.b).to_string())
/// });
/// # let _ = tool;
/// ```
///
/// An async closure that captures does not compile here: it lends from itself. Pass what it needs as
/// state, with [`tool_fn_with`].
pub fn tool_fn<I, O, F, Fut>(
    spec: ToolSpec,
    f: F,
) -> FnTool<(), I, impl Fn((), ToolContext, I) -> Fut + Send + Sync + 'static>
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Into<ToolOutput>,
    F: Fn(ToolContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send,
{
    tool_fn_with(spec, (), move |(), cx, input| f(cx, input))
}

/// A tool from a function of the application's state, the context and the typed input. The state is
/// cloned for each call, so make it cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use openclaw_core::{Result, schemars, tool::{ToolContext, ToolSpec, tool_fn_with}};
///
/// struct Shop { name: String }
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Refund { order: String }
///
/// async fn refund(shop: Arc<Shop>, _cx: ToolContext, input: Refund) -> Result<String> {
///     Ok(format!("{} refunded order {}", shop.name, input.order))
/// }
///
/// let shop = Arc::new(Shop { name: "Corner shop".into() });
/// let tool = tool_fn_with(ToolSpec::new("refund", "Refunds an order"), shop, refund);
/// # let _ = tool;
/// ```
pub fn tool_fn_with<S, I, O, F, Fut>(spec: ToolSpec, state: S, f: F) -> FnTool<S, I, F>
where
    S: Clone + Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Into<ToolOutput>,
    F: Fn(S, ToolContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send,
{
    FnTool { spec: with_schema_of::<I>(spec), state, f, input: PhantomData }
}

/// What [`tool_fn`] and [`tool_fn_with`] make.
pub struct FnTool<S, I, F> {
    spec: ToolSpec,
    state: S,
    f: F,
    input: PhantomData<fn(I)>,
}

#[async_trait]
impl<S, I, O, F, Fut> Tool for FnTool<S, I, F>
where
    S: Clone + Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Into<ToolOutput>,
    F: Fn(S, ToolContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send,
{
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        let input = cx.parse()?;
        (self.f)(self.state.clone(), cx, input).await.map(Into::into)
    }
}
