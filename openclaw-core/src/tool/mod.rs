//! What an agent can do: tools, what they declare, and how they are called.

mod context;
mod function;
mod memory;
mod output;
mod spec;
mod typed;

use std::sync::Arc;

use async_trait::async_trait;

pub use context::ToolContext;
pub(crate) use context::{Means, State, ToolEnvironment};
pub use function::{FnTool, tool_fn, tool_fn_with};
pub use memory::ToolMemory;
pub use output::{Outgoing, ToolOutput};
pub use spec::{Capability, Confinement, Critical, CriticalArg, Effect, ToolSpec, ValueKind};
pub use typed::TypedTool;

use crate::error::Result;

/// An action that a model may ask for.
///
/// Implement [`TypedTool`] and get this for free; implement `Tool` itself when the schema is known
/// only at run time, as with a tool that a server lists.
///
/// # Contract
///
/// - [`spec`](Self::spec) is read once, when the tool is added.
/// - A [`ToolContext`] is made only from a [`Permit`](crate::policy::Permit), so `call` cannot be
///   reached without the policy's leave for these very arguments.
/// - An error is an answer: its public text becomes the call's result, and the model may try another
///   way. Arguments that do not fit are an error of kind `InvalidInput` that says what was expected.
/// - **Idempotence.** A tool that declares at most [`Effect::Idempotent`] may be called again with the
///   same [`key`](ToolContext::key) after a crash; any other is called once at most.
/// - **Cancel safety.** A running call is not dropped when it is cancelled: `cx.cancel()` says so, and
///   the call has a grace time to end. After that it is aborted and its outcome counts as unknown.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// What the tool declares.
    fn spec(&self) -> ToolSpec;

    /// Does it. The input is [`ToolContext::input`].
    ///
    /// # Errors
    /// It was not done; the public text goes to the model.
    async fn call(&self, cx: ToolContext) -> Result<ToolOutput>;

    /// Finds out, after a crash, what became of a call that had begun and must not be repeated.
    /// `None`: that cannot be known, and the model and the owner are told so.
    ///
    /// # Errors
    /// It could not be found out now.
    async fn reconcile(&self, cx: ToolContext) -> Result<Option<ToolOutput>> {
        let _ = cx;
        Ok(None)
    }
}

/// What [`GatewayBuilder::tool`](crate::gateway::GatewayBuilder::tool) takes: a tool, or a shared one.
pub trait IntoTool {
    /// The shared tool.
    fn into_tool(self) -> Arc<dyn Tool>;
}

impl<T: Tool> IntoTool for T {
    fn into_tool(self) -> Arc<dyn Tool> {
        Arc::new(self)
    }
}

impl<T: Tool> IntoTool for Arc<T> {
    fn into_tool(self) -> Arc<dyn Tool> {
        self
    }
}

impl IntoTool for Arc<dyn Tool> {
    fn into_tool(self) -> Arc<dyn Tool> {
        self
    }
}
