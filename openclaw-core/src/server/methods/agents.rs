//! Agents, their models, tools and commands.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Later, Request, Rest, answer};
use crate::{
    agent::Agent,
    gateway::{AgentPlan, COMMANDS, Plan},
    id::AgentId,
    protocol::WireError,
    server::keys,
};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfAgent {
    agent_id: Option<String>,
    session_key: Option<String>,
    #[serde(default)]
    include_plugins: bool,
}

impl OfAgent {
    /// The agent that is meant: by name, by its session, or the default one.
    fn find(&self, plan: &Plan) -> Result<(AgentId, Arc<AgentPlan>), WireError> {
        let _ = self.include_plugins;
        let id = match (&self.session_key, &self.agent_id) {
            (Some(key), agent) => keys::read(plan, key, agent.as_deref())?.agent().clone(),
            (None, Some(agent)) => keys::known(plan, agent)?,
            (None, None) => plan.default_agent.clone(),
        };
        let found = plan.agents.get(&id).cloned();
        found.map(|agent| (id, agent)).ok_or_else(|| WireError::invalid("unknown agent id"))
    }
}

pub(super) fn list(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    answer(&all(&request.server.handle.hub.plan()))
}

/// The agents that there are, and which one answers whoever names none.
pub(super) fn all(plan: &Plan) -> Value {
    let agents: Vec<Value> = plan
        .agents
        .iter()
        .map(|(id, agent)| {
            let mut one = json!({ "id": id, "name": id });
            let model = model_of(&agent.agent);
            if let (Some(map), Some(model)) = (one.as_object_mut(), model) {
                map.insert("model".to_owned(), json!({ "primary": model }));
            }
            one
        })
        .collect();
    json!({
        "defaultId": plan.default_agent,
        "mainKey": keys::MAIN,
        "scope": "per-sender",
        "agents": agents,
    })
}

fn model_of(agent: &Agent) -> Option<&str> {
    Some(agent.model.as_str()).filter(|model| !model.is_empty())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

pub(super) fn identity(request: Request<'_>) -> Answer {
    let params: OfAgent = request.parse()?;
    let plan = request.server.handle.hub.plan();
    let (id, _) = params.find(&plan)?;
    answer(&json!({ "agentId": id, "name": id, "nameSource": "config" }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelsList {
    agent_id: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

/// The models that the agents' providers have.
pub(super) fn models(request: Request<'_>) -> Result<Later, WireError> {
    let params: ModelsList = request.parse()?;
    params.rest.only(
        request.method,
        &["view", "refresh", "preparedOnly", "includeProviderCapabilities"],
    )?;
    let plan = request.server.handle.hub.plan();
    let mut providers = BTreeMap::new();
    let wanted = params.agent_id.map(|agent| keys::known(&plan, &agent)).transpose()?;
    for (id, agent) in &plan.agents {
        if wanted.as_ref().is_none_or(|wanted| wanted == id) {
            providers.insert(agent.provider.id().as_str().to_owned(), Arc::clone(&agent.provider));
        }
    }
    Ok(Box::pin(async move {
        let mut models = Vec::new();
        let mut outcomes = Vec::new();
        for (name, provider) in providers {
            let found = provider.models().await;
            outcomes.push(json!({
                "provider": name,
                "status": if found.is_ok() { "ready" } else { "unavailable" },
            }));
            for model in found.unwrap_or_default() {
                if model.id.as_str().is_empty() {
                    continue;
                }
                let mut one = json!({ "id": model.id, "name": model.id, "provider": name });
                if let Some(map) = one.as_object_mut() {
                    let window = model.context_tokens.filter(|tokens| *tokens > 0);
                    map.extend(window.map(|tokens| ("contextWindow".to_owned(), tokens.into())));
                    map.extend(model.tools.map(|tools| ("supportsTools".to_owned(), tools.into())));
                    map.extend(model.images.map(|images| {
                        let input = if images { json!(["text", "image"]) } else { json!(["text"]) };
                        ("input".to_owned(), input)
                    }));
                }
                models.push(one);
            }
        }
        answer(&json!({ "models": models, "providerOutcomes": outcomes }))
    }))
}

/// The tools that an agent may use.
pub(super) fn catalog(request: Request<'_>) -> Answer {
    let params: OfAgent = request.parse()?;
    let plan = request.server.handle.hub.plan();
    let (id, agent) = params.find(&plan)?;
    let tools: Vec<Value> = agent
        .definitions
        .iter()
        .map(|tool| {
            json!({
                "id": tool.name, "label": tool.name, "description": tool.description,
                "source": "core", "defaultProfiles": [],
            })
        })
        .collect();
    answer(&json!({
        "agentId": id,
        "profiles": [],
        "groups": [{ "id": "tools", "label": "Tools", "source": "core", "tools": tools }],
    }))
}

/// The tools that an agent may use in a session.
pub(super) fn effective(request: Request<'_>) -> Answer {
    let params: OfAgent = request.parse()?;
    if params.session_key.is_none() {
        let why = "invalid tools.effective params: must have required property 'sessionKey'";
        return Err(WireError::invalid(why));
    }
    let plan = request.server.handle.hub.plan();
    let (id, agent) = params.find(&plan)?;
    let tools: Vec<Value> = agent
        .definitions
        .iter()
        .map(|tool| {
            json!({
                "id": tool.name, "label": tool.name, "description": tool.description,
                "rawDescription": tool.description, "source": "core",
            })
        })
        .collect();
    answer(&json!({
        "agentId": id,
        "profile": "full",
        "groups": [{ "id": "core", "label": "Tools", "source": "core", "tools": tools }],
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommandsList {
    #[serde(flatten)]
    rest: Rest,
}

/// What people can say to the gateway itself.
pub(super) fn commands(request: Request<'_>) -> Answer {
    let params: CommandsList = request.parse()?;
    let known = ["sessionKey", "agentId", "provider", "scope", "includeArgs"];
    params.rest.only(request.method, &known)?;
    let commands: Vec<Value> = COMMANDS
        .iter()
        .map(|(name, description)| {
            json!({
                "name": name, "nativeName": name, "textAliases": [format!("/{name}")],
                "description": description, "source": "native", "scope": "both",
                "acceptsArgs": matches!(*name, "agent" | "approve" | "pair"),
            })
        })
        .collect();
    answer(&json!({ "commands": commands }))
}
