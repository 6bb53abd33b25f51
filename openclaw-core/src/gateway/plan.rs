//! What a gateway is made of: replaced as one by a reload, kept by a turn that has begun.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    bindings::{Binding, route},
    load::Life,
};
use crate::delivery::Preview;
use crate::{
    access::{Access, Principal},
    agent::Agent,
    channel::{Capabilities, Channel},
    delivery::OnUnknown,
    egress::ToolHttp,
    error::{Error, Result},
    hook::Hook,
    http_client::HttpClient,
    id::{AccountId, AgentId, Conversation, ConversationKind, SessionKey, UserId},
    label::Confidentiality,
    memory::Memory,
    policy::Permission,
    provider::{Provider, ToolDefinition},
    sandbox::Sandbox,
    secret::Secret,
    tool::{State, Tool, ToolSpec},
};

pub(crate) struct Plan {
    pub(crate) agents: BTreeMap<AgentId, Arc<AgentPlan>>,
    pub(crate) default_agent: AgentId,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) channels: BTreeMap<AccountId, Arc<dyn Channel>>,
    pub(crate) access: HashMap<AccountId, Access>,
    pub(crate) previews: HashMap<AccountId, Preview>,
    /// Channel's name and the owner's immutable id there.
    pub(crate) owners: Vec<(String, UserId)>,
    pub(crate) hooks: Vec<Arc<dyn Hook>>,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    /// The same for tools, behind the egress policy.
    pub(crate) tool_http: ToolHttp,
    pub(crate) sandbox: Option<Arc<dyn Sandbox>>,
    pub(crate) memory: Option<Arc<dyn Memory>>,
    pub(crate) state: State,
    /// Keeps what plugins run alive for as long as a turn may need it.
    pub(crate) _plugins: Vec<Arc<Life>>,
}

/// An agent with the parts that it uses.
pub(crate) struct AgentPlan {
    pub(crate) agent: Agent,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) tools: BTreeMap<String, Arc<ToolPlan>>,
    /// As the provider is told of them: those that the agent may use, in order of their names.
    pub(crate) definitions: Arc<[ToolDefinition]>,
}

pub(crate) struct ToolPlan {
    pub(crate) tool: Arc<dyn Tool>,
    pub(crate) spec: ToolSpec,
    /// Those that the spec names.
    pub(crate) secrets: Arc<BTreeMap<String, Secret>>,
}

impl AgentPlan {
    pub(crate) fn permission(&self, tool: &str) -> Permission {
        self.agent.permission_for(tool)
    }
}

impl Plan {
    /// The agent of a session; the default one if the session's own is no more.
    pub(crate) fn agent_of(&self, key: &SessionKey) -> Result<Arc<AgentPlan>> {
        let found = self.agents.get(key.agent()).or_else(|| self.agents.get(&self.default_agent));
        found.map(Arc::clone).ok_or_else(|| Error::internal("the plan has no default agent"))
    }

    /// The agent that answers at `place`: chosen there by the owner, or bound, or the default one.
    pub(crate) fn agent_at(
        &self,
        place: &Conversation,
        attributes: &BTreeMap<String, String>,
        chosen: Option<AgentId>,
    ) -> AgentId {
        chosen
            .filter(|agent| self.agents.contains_key(agent))
            .or_else(|| {
                let bound = route(&self.bindings, place, attributes)?;
                self.agents.contains_key(bound).then(|| bound.clone())
            })
            .unwrap_or_else(|| self.default_agent.clone())
    }

    pub(crate) fn is_owner(&self, place: &Conversation, user: &UserId) -> bool {
        let channel = place.account.channel();
        self.owners.iter().any(|(c, u)| c == channel && u == user)
            || self.capabilities(&place.account).is_some_and(|capabilities| capabilities.local)
    }

    pub(crate) fn access(&self, account: &AccountId) -> Access {
        self.access.get(account).cloned().unwrap_or_default()
    }

    pub(crate) fn capabilities(&self, account: &AccountId) -> Option<&Capabilities> {
        self.channels.get(account).map(|channel| channel.capabilities())
    }

    /// Where the owner is told what concerns no conversation of theirs.
    pub(crate) fn owner_conversation(&self) -> Option<Conversation> {
        self.owners.iter().find_map(|(channel, user)| {
            let mut accounts: Vec<&AccountId> =
                self.channels.keys().filter(|account| account.channel() == channel).collect();
            accounts.sort();
            let account = accounts.first()?;
            Some(Conversation::direct(AccountId::clone(account), user.as_str()))
        })
    }

    /// The most confidential that those who read at `place`, in a turn of `principal`, may see. A group
    /// is anybody.
    pub(crate) fn audience(&self, place: &Conversation, principal: &Principal) -> Confidentiality {
        match place.kind {
            ConversationKind::Direct if principal.is_owner() => Confidentiality::Secret,
            ConversationKind::Direct => self.access(&place.account).peer_audience,
            ConversationKind::Group => Confidentiality::Public,
        }
    }
}
