//! Agents: who answers, with which model, tools and permissions.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    id::{AgentId, ModelId, ProviderId},
    label::Confidentiality,
    policy::Permission,
    provider::DEFAULT_MODEL,
    turn::Limits,
};

/// The name of the agent that answers where nothing else is said.
pub const DEFAULT_AGENT: &str = "main";
/// How many tokens of prompt an agent uses at most unless it says otherwise.
pub const DEFAULT_CONTEXT_TOKENS: u32 = 32_000;

/// How many tokens of what it remembers an agent is shown in a turn unless it says otherwise.
pub const DEFAULT_RECALL_TOKENS: u32 = 600;

/// The files of an agent's folder that make its persona, in the order in which they are read. Other
/// runtimes' users have them already.
pub const PERSONA_FILES: [&str; 4] = ["SOUL.md", "IDENTITY.md", "USER.md", "AGENTS.md"];
/// The longest persona file that is read, in bytes.
pub const MAX_PERSONA_FILE_BYTES: u64 = 64 * 1024;

/// Who answers: a persona, a model, tools, permissions.
///
/// The same type is built in code and read from the configuration.
///
/// ```
/// use openclaw_core::agent::Agent;
///
/// let agent = Agent::new("support").persona("You help customers of a book shop.").tool("order_*");
/// assert!(agent.may_use("order_status"));
/// assert!(!agent.may_use("refund"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Agent {
    /// Its name.
    pub id: AgentId,
    /// Who it is and how it behaves; goes into the system prompt as it stands.
    #[serde(default)]
    pub persona: String,
    /// In place of `persona`: the folder whose [`PERSONA_FILES`] make it, read when the gateway
    /// starts or reloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona_folder: Option<PathBuf>,
    /// The provider that it thinks with; the first one if `None`.
    #[serde(default)]
    pub provider: Option<ProviderId>,
    /// The model that it thinks with; the provider's own choice by default.
    #[serde(default = "default_model")]
    pub model: ModelId,
    /// The tools that it may use, by name or by a name that ends in `*`. All if `None`.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// What it may do with a tool beyond what the rules say; keys as in `tools`.
    #[serde(default)]
    pub permissions: BTreeMap<String, Permission>,
    /// How much one turn may take.
    #[serde(default)]
    pub limits: Limits,
    /// What happens to messages that arrive while a turn is open.
    #[serde(default)]
    pub queue: QueueMode,
    /// How many tokens of prompt it uses at most, in and out together; older messages are summed up
    /// beyond it.
    #[serde(default = "default_context_tokens")]
    pub context_tokens: u32,
    /// How many tokens the model may write in one reply.
    #[serde(default)]
    pub max_output_tokens: Option<u32>,
    /// 0 is the most predictable.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Whether pictures are shown to the model. Without it the model is told that there is one: for models
    /// that see nothing and refuse requests with pictures.
    #[serde(default = "yes")]
    pub images: bool,
    /// How confidential the owner's own messages are. `private` makes every read of a public address
    /// ask.
    #[serde(default = "public")]
    pub owner_confidentiality: Confidentiality,
    /// Whether what is said in its conversations goes into the gateway's memory, word for word; of no
    /// account without one.
    #[serde(default = "yes")]
    pub remembers: bool,
    /// How many tokens of what it remembers are shown to it in a turn; 0: only what its tools look for.
    #[serde(default = "default_recall_tokens")]
    pub recall_tokens: u32,
}

fn default_recall_tokens() -> u32 {
    DEFAULT_RECALL_TOKENS
}

fn default_model() -> ModelId {
    ModelId::new(DEFAULT_MODEL)
}

fn default_context_tokens() -> u32 {
    DEFAULT_CONTEXT_TOKENS
}

fn yes() -> bool {
    true
}

fn public() -> Confidentiality {
    Confidentiality::Public
}

/// What happens to messages that arrive while a turn is open. Messages join a turn only if they are
/// from the same principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueMode {
    /// They join at the next model call.
    #[default]
    Steer,
    /// Each has a turn of its own, one after the other.
    Followup,
    /// All that arrived have one turn together, after the open one.
    Collect,
    /// They stop the open turn and take its place.
    Interrupt,
}

impl Agent {
    /// An agent that may use all tools and asks the provider for its own choice of a model.
    pub fn new(id: impl Into<AgentId>) -> Self {
        Self {
            id: id.into(),
            persona: String::new(),
            persona_folder: None,
            provider: None,
            model: default_model(),
            tools: None,
            permissions: BTreeMap::new(),
            limits: Limits::default(),
            queue: QueueMode::default(),
            context_tokens: DEFAULT_CONTEXT_TOKENS,
            max_output_tokens: None,
            temperature: None,
            images: true,
            owner_confidentiality: Confidentiality::Public,
            remembers: true,
            recall_tokens: DEFAULT_RECALL_TOKENS,
        }
    }

    /// Says how many tokens of what it remembers it is shown in a turn.
    #[must_use]
    pub fn recall_tokens(mut self, tokens: u32) -> Self {
        self.recall_tokens = tokens;
        self
    }

    /// Keeps what is said in its conversations out of the gateway's memory.
    #[must_use]
    pub fn without_memory(mut self) -> Self {
        self.remembers = false;
        self.recall_tokens = 0;
        self
    }

    /// Sets the persona.
    #[must_use]
    pub fn persona(mut self, text: impl Into<String>) -> Self {
        self.persona = text.into();
        self
    }

    /// Reads the persona from the [`PERSONA_FILES`] of a folder; those that are not there are passed
    /// over.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if none of them is there, [`ErrorKind::InvalidConfig`] if one is too
    /// long or not UTF-8.
    pub fn persona_from(mut self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let mut sections = Vec::new();
        for name in PERSONA_FILES {
            let path = folder.join(name);
            let unreadable = |e: std::io::Error| {
                Error::wrap(ErrorKind::InvalidConfig, e).with("file", path.display())
            };
            match std::fs::metadata(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(unreadable(e)),
                Ok(data) if data.len() > MAX_PERSONA_FILE_BYTES => {
                    return Err(Error::config(format!(
                        "{} has {} bytes; a persona file has at most {MAX_PERSONA_FILE_BYTES}",
                        path.display(),
                        data.len()
                    )));
                }
                Ok(_) => {}
            }
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            if !text.trim().is_empty() {
                sections.push(format!("# {name}\n\n{}", text.trim()));
            }
        }
        if sections.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{} holds none of {}", folder.display(), PERSONA_FILES.join(", ")),
            ));
        }
        self.persona = sections.join("\n\n");
        Ok(self)
    }

    /// Sets the provider.
    #[must_use]
    pub fn provider(mut self, id: impl Into<ProviderId>) -> Self {
        self.provider = Some(id.into());
        self
    }

    /// Sets the model.
    #[must_use]
    pub fn model(mut self, model: impl Into<ModelId>) -> Self {
        self.model = model.into();
        self
    }

    /// Lets it use a tool, by name or by a name that ends in `*`; from the first one on, only those
    /// named.
    #[must_use]
    pub fn tool(mut self, pattern: impl Into<String>) -> Self {
        self.tools.get_or_insert_default().push(pattern.into());
        self
    }

    /// Lets it use no tool at all.
    #[must_use]
    pub fn without_tools(mut self) -> Self {
        self.tools = Some(Vec::new());
        self
    }

    /// Tightens what it may do with a tool.
    #[must_use]
    pub fn permission(mut self, pattern: impl Into<String>, permission: Permission) -> Self {
        self.permissions.insert(pattern.into(), permission);
        self
    }

    /// Sets how much a turn may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what happens to messages that arrive while a turn is open.
    #[must_use]
    pub fn queue(mut self, mode: QueueMode) -> Self {
        self.queue = mode;
        self
    }

    /// Sets how many tokens of prompt it uses at most.
    #[must_use]
    pub fn context_tokens(mut self, tokens: u32) -> Self {
        self.context_tokens = tokens;
        self
    }

    /// Tells the model of pictures instead of showing them.
    #[must_use]
    pub fn without_images(mut self) -> Self {
        self.images = false;
        self
    }

    /// True if it may use the tool.
    pub fn may_use(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|patterns| patterns.iter().any(|p| matches(p, tool)))
    }

    /// The strictest of its permissions that name the tool.
    pub fn permission_for(&self, tool: &str) -> Permission {
        if !self.may_use(tool) {
            return Permission::Deny;
        }
        let named = self.permissions.iter().filter(|(pattern, _)| matches(pattern, tool));
        named.map(|(_, permission)| *permission).max().unwrap_or_default()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_permission_counts() {
        let agent = Agent::new("a")
            .permission("mail_*", Permission::Ask)
            .permission("mail_send", Permission::Deny)
            .permission("*", Permission::Rules);
        assert_eq!(agent.permission_for("mail_send"), Permission::Deny);
        assert_eq!(agent.permission_for("mail_read"), Permission::Ask);
        assert_eq!(agent.permission_for("other"), Permission::Rules);
        assert_eq!(Agent::new("b").without_tools().permission_for("x"), Permission::Deny);
    }
}
