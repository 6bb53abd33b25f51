//! Tools whose input is a Rust type.

use std::future::Future;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Tool, ToolContext, ToolOutput, ToolSpec};
use crate::error::Result;

/// A tool whose input schema is derived from a type.
///
/// ```
/// use openclaw_core::{Result, schemars, tool::{ToolContext, ToolOutput, ToolSpec, TypedTool}};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Order {
///     /// The order's number.
///     number: String,
/// }
///
/// struct OrderStatus;
///
/// impl TypedTool for OrderStatus {
///     type Input = Order;
///
///     fn spec(&self) -> ToolSpec {
///         ToolSpec::read_only("order_status", "Says where an order is")
///     }
///
///     async fn run(&self, _cx: ToolContext, order: Order) -> Result<ToolOutput> {
///         Ok(format!("order {} is on its way", order.number).into())
///     }
/// }
/// ```
pub trait TypedTool: Send + Sync + 'static {
    /// The input.
    type Input: DeserializeOwned + JsonSchema + Send;

    /// What the tool declares; the schema is filled in from [`Input`](Self::Input).
    fn spec(&self) -> ToolSpec;

    /// Does it. See [`Tool::call`].
    fn run(
        &self,
        cx: ToolContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<ToolOutput>> + Send;
}

#[async_trait]
impl<T: TypedTool> Tool for T {
    fn spec(&self) -> ToolSpec {
        with_schema_of::<T::Input>(TypedTool::spec(self))
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        let input = cx.parse()?;
        self.run(cx, input).await
    }
}

/// Fills in the schema of `I` unless the spec has one.
pub(super) fn with_schema_of<I: JsonSchema>(mut spec: ToolSpec) -> ToolSpec {
    if spec.input_schema.is_null() {
        let mut schema = schemars::schema_for!(I).to_value();
        if let Value::Object(object) = &mut schema {
            // What models and providers need no word about.
            object.remove("$schema");
            object.remove("title");
            // The unit type has a schema of its own; providers demand an object.
            if object.get("type") != Some(&json!("object")) && !object.contains_key("$ref") {
                schema = json!({ "type": "object", "properties": {} });
            }
        }
        spec.input_schema = schema;
    }
    spec
}
