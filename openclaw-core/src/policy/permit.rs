//! The leave to run one exact call.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, ErrorKind, Result},
    id::SessionKey,
    message::Call,
    time::Cancel,
    tool::{ToolContext, ToolEnvironment},
};

/// The hash of an exact call: session, id, tool and arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallHash(String);

impl CallHash {
    /// SHA-256 over the length-prefixed session key, call id, tool name and canonical arguments (keys
    /// sorted, no white space), in hexadecimal.
    pub fn of(session: &SessionKey, call: &Call) -> Self {
        let mut arguments = String::new();
        canonical(&call.arguments, &mut arguments);
        let mut hasher = Sha256::new();
        for field in [session.as_str(), &call.id.to_string(), &call.tool, &arguments] {
            hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        Self(crate::id::hex(&hasher.finalize(), 32))
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes `value` with sorted keys: any crate in a build can switch serde_json to keep insertion
/// order, and the hash must not change with it.
pub(crate) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                if let Some(member) = map.get(key) {
                    canonical(member, out);
                }
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The leave to run one exact call. Only the policy makes one; it cannot be cloned or stored.
///
/// Beside each program that does not compile stands the same one, with the one difference, that does.
///
/// A tool cannot be run without a context, which the gateway makes from a permit alone (and the test kit
/// for tests of tools):
///
/// ```
/// use openclaw_core::{Result, testing::TestCall, tool::{Tool, ToolContext, ToolOutput}};
///
/// async fn run(tool: &dyn Tool) -> Result<ToolOutput> {
///     let cx: ToolContext = TestCall::new("wipe", serde_json::json!({})).context();
///     tool.call(cx).await
/// }
/// ```
///
/// ```compile_fail
/// use openclaw_core::{Result, testing::TestCall, tool::{Tool, ToolContext, ToolOutput}};
///
/// async fn run(tool: &dyn Tool) -> Result<ToolOutput> {
///     let cx: ToolContext = ToolContext::default();
///     tool.call(cx).await
/// }
/// ```
///
/// No other code can make a permit:
///
/// ```
/// use openclaw_core::policy::{CallHash, Decision, Facts, Permit, decide};
///
/// fn leave(facts: &Facts<'_>) -> Option<Permit> {
///     match decide(facts) {
///         Decision::Allow(permit) => Some(permit),
///         _ => None,
///     }
/// }
/// ```
///
/// ```compile_fail
/// use openclaw_core::policy::{CallHash, Decision, Facts, Permit, decide};
///
/// fn leave(facts: &Facts<'_>) -> Option<Permit> {
///     match decide(facts) {
///         Decision::Allow(permit) => Some(permit),
///         _ => Some(Permit { hash: CallHash::of(facts.session, facts.call) }),
///     }
/// }
/// ```
///
/// It is used up by the one call that it is for:
///
/// ```
/// fn twice(permit: openclaw_core::policy::Permit) -> Vec<openclaw_core::policy::Permit> {
///     vec![permit]
/// }
/// ```
///
/// ```compile_fail
/// fn twice(permit: openclaw_core::policy::Permit) -> Vec<openclaw_core::policy::Permit> {
///     vec![permit.clone(), permit]
/// }
/// ```
///
/// It cannot be written down and read back; what was decided can, as data without authority:
///
/// ```
/// fn stored(decision: openclaw_core::policy::Verdict) -> String {
///     serde_json::to_string(&decision).unwrap()
/// }
/// ```
///
/// ```compile_fail
/// fn stored(decision: openclaw_core::policy::Permit) -> String {
///     serde_json::to_string(&decision).unwrap()
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct Permit {
    hash: CallHash,
}

impl Permit {
    /// For the policy alone.
    pub(super) fn new(hash: CallHash) -> Self {
        Self { hash }
    }

    /// Turns the leave into the context of the call that it is for.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if it is for another call.
    pub(crate) fn into_context(
        self,
        call: &Call,
        environment: ToolEnvironment,
        cancel: Cancel,
        timeout: Duration,
    ) -> Result<ToolContext> {
        if CallHash::of(&environment.session, call) != self.hash {
            return Err(Error::new(ErrorKind::Denied, "the permit is for another call"));
        }
        Ok(ToolContext::new(call.clone(), self.hash.0, environment, cancel, timeout))
    }
}
