//! Gateways that are composed of plugins by name, from JSON.

mod bad_config;
mod boxes;
mod reload;
mod schema;

use std::sync::{Arc, Mutex};

use openclaw_core::{
    Error, Gateway, Handle, Result,
    access::Principal,
    agent::Agent,
    async_trait,
    gateway::Binding,
    hook::{Hook, HookContext, ReplyVerdict},
    plugin::{Config, NoConfig, OwnerEntry, Parts, PluginContext, PluginEntry, Registry},
    provider::Usage,
    secret::SecretRef,
    store::InMemory,
    testing::{Loopback, Scripted, Step},
    tool::{ToolSpec, tool_fn},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// What the parts of a registry have in common, so that a test can look at them.
#[derive(Clone, Default)]
struct World {
    providers: Arc<Mutex<Vec<Scripted>>>,
    channels: Arc<Mutex<Vec<Loopback>>>,
}

impl World {
    fn provider(&self, index: usize) -> Scripted {
        self.providers.lock().unwrap()[index].clone()
    }

    fn channel(&self, index: usize) -> Loopback {
        self.channels.lock().unwrap()[index].clone()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelConfig {
    #[serde(default = "scripted")]
    id: String,
    #[serde(default)]
    key: Option<SecretRef>,
    /// Fails this often before it answers.
    #[serde(default)]
    failures: u32,
    replies: Vec<ReplyConfig>,
}

fn scripted() -> String {
    "scripted".into()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReplyConfig {
    #[serde(default)]
    say: String,
    #[serde(default)]
    call: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChannelConfig {
    account: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StampConfig {
    mark: String,
}

struct Stamp(String);

#[async_trait]
impl Hook for Stamp {
    async fn before_reply(&self, _: HookContext<'_>, text: &str) -> Result<ReplyVerdict> {
        Ok(ReplyVerdict::Replace(format!("{text} {}", self.0)))
    }
}

fn model(world: &World, config: &ModelConfig) -> Result<Parts> {
    if let Some(key) = &config.key {
        key.resolve()?;
    }
    let failures = (0..config.failures).map(|_| {
        Step::error(Error::new(openclaw_core::ErrorKind::Unavailable, "the model is down"))
    });
    let replies = config.replies.iter().map(|reply| match &reply.call {
        Some(tool) => Step::new().call(tool, json!({})),
        None => Step::text(&reply.say),
    });
    let provider = Scripted::steps(failures.chain(replies)).with_id(config.id.as_str());
    world.providers.lock().unwrap().push(provider.clone());
    Ok(Parts::new().provider(provider))
}

/// One plugin of each kind.
fn registry(world: &World) -> Registry {
    let (models, channels) = (world.clone(), world.clone());
    Registry::new()
        .plugin("model", move |config: ModelConfig, _: PluginContext| {
            let made = model(&models, &config);
            async move { made }
        })
        .plugin("dice", async |_: NoConfig, _: PluginContext| {
            let spec = ToolSpec::read_only("roll", "Rolls a die");
            Ok(Parts::new().tool(tool_fn(spec, async |_, _: NoConfig| Ok("a four"))))
        })
        .plugin("coin", async |_: NoConfig, _: PluginContext| {
            let spec = ToolSpec::read_only("flip", "Flips a coin");
            Ok(Parts::new().tool(tool_fn(spec, async |_, _: NoConfig| Ok("heads"))))
        })
        .plugin("room", move |config: ChannelConfig, _: PluginContext| {
            let made = Loopback::account(&config.account);
            if let Ok(channel) = &made {
                channels.channels.lock().unwrap().push(channel.clone());
            }
            async move { Ok(Parts::new().channel(made?)) }
        })
        .plugin(
            "ram",
            async |_: NoConfig, _: PluginContext| Ok(Parts::new().store(InMemory::new())),
        )
        .plugin("stamp", async |config: StampConfig, _: PluginContext| {
            Ok(Parts::new().hook(Stamp(config.mark)))
        })
}

async fn ask(handle: &Handle, text: &str) -> String {
    handle.ask("ada", text).principal(Principal::Owner).reply().await.unwrap().text
}

#[tokio::test]
async fn a_gateway_from_json_alone_answers() {
    let world = World::default();
    let text = r#"{
      "$schema": "docs/openclaw.schema.json",
      "store": {"plugin": "ram"},
      "ephemeral": true,
      "plugins": [
        {"plugin": "model", "config": {"failures": 2, "replies": [{"call": "roll"}, {"say": "You rolled a four."}]}},
        {"plugin": "dice"},
        {"plugin": "coin", "enabled": false},
        {"plugin": "no such plugin, but nobody wants it", "enabled": false},
        {"plugin": "stamp", "config": {"mark": "(checked)"}}
      ],
      "agents": [{"id": "host", "persona": "You host a game.", "tools": ["roll"]}],
      "default_agent": "host",
      "access": {"api:default": {"peer_audience": "private"}},
      "owners": [{"channel": "telegram", "user": "42"}],
      "on_unknown": "at_most_once",
      "provider_layers": [{"retry": {"times": 2, "base_ms": 1}}, {"timeout": {"whole_seconds": 60}}, "trace"],
      "tool_layers": [{"limit": {"concurrency": 1}}]
    }"#;
    let gateway = Gateway::builder().config_str(&registry(&world), text).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "Roll for me").await, "You rolled a four. (checked)");
    let requests = world.provider(0).requests();
    assert_eq!(requests.len(), 4, "two failures, a call, a reply");
    assert!(requests[0].system.contains("You host a game."));
    assert_eq!(requests[0].tools.len(), 1, "the coin is not enabled");
    assert!(serde_json::to_string(&requests[3].messages).unwrap().contains("a four"));
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_configuration_made_in_code_is_the_same_as_its_text() {
    let world = World::default();
    let mut config = Config::default();
    config.ephemeral = true;
    let replies = json!([{"say": "from code"}]);
    config.plugins.push(PluginEntry::new("model").with("replies", replies));
    config.agents.push(Agent::new("main"));
    config.agents.push(Agent::new("other").persona("You are the other one."));
    config.bindings.push(Binding::to("other").channel("api"));
    config.owners.push(OwnerEntry { channel: "telegram".into(), user: "42".into() });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(Config::parse(&text).unwrap(), config);

    let gateway = Gateway::builder().config(&registry(&world), config).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "Hello").await, "from code");
    assert!(world.provider(0).requests()[0].system.contains("the other one"));
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_chain_of_providers_is_the_default_and_a_budget_is_kept_in_the_store() {
    let world = World::default();
    let text = r#"{
      "ephemeral": true,
      "plugins": [
        {"plugin": "model", "config": {"id": "cloud", "failures": 1, "replies": []}},
        {"plugin": "model", "config": {"id": "local", "replies": [{"say": "I am small."}]}}
      ],
      "fallbacks": [{"id": "assistant", "first": "cloud", "then": [{"provider": "local", "model": "tiny"}]}],
      "provider_layers": [{"budget": {
        "caps": [{"micro_usd_per_day": 1}, {"of": {"agent": "main"}, "micro_usd_per_day": 5}],
        "prices": {"default": {"input": 0, "cached_input": 0, "output": 0}},
        "unknown_price": "allow"
      }}]
    }"#;
    let gateway = Gateway::builder().config_str(&registry(&world), text).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "Hello").await, "I am small.");
    assert_eq!(world.provider(1).requests()[0].model.as_str(), "tiny");
    gateway.shutdown().await.unwrap();

    let costly = text.replace(r#""input": 0"#, r#""input": 9000000"#);
    let gateway = Gateway::builder().config_str(&registry(&world), &costly).start().await.unwrap();
    let reply = gateway.handle().ask("ada", "Hello").reply().await.unwrap();
    assert!(world.provider(2).requests().is_empty(), "{reply:?}");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_model_has_a_name_of_ones_own_in_agents_and_in_chains() {
    let world = World::default();
    let text = r#"{
      "ephemeral": true,
      "plugins": [
        {"plugin": "model", "config": {"id": "cloud", "replies": [{"say": "I am fast."}]}},
        {"plugin": "model", "config": {"id": "local", "replies": []}}
      ],
      "models": {
        "fast": {"provider": "cloud", "model": "claude-haiku-4-5"},
        "small": {"provider": "local", "model": "tiny"}
      },
      "fallbacks": [{"id": "chain", "first": "cloud", "then": [{"model": "small"}]}],
      "agents": [
        {"id": "main", "model": "fast"},
        {"id": "careful", "provider": "chain", "model": "fast"}
      ],
      "bindings": [{"agent": "careful", "channel": "api", "peer": "bob"}]
    }"#;
    let gateway = Gateway::builder().config_str(&registry(&world), text).start().await.unwrap();
    let handle = gateway.handle();
    assert_eq!(ask(&handle, "Hello").await, "I am fast.");
    // The next time the cloud is down.
    world.provider(0).push(Step::error(Error::new(openclaw_core::ErrorKind::Unavailable, "down")));
    let mut usage = Usage::new(10, 1);
    usage.cost_micro_usd = Some(7);
    world.provider(1).push(Step::text("I am small.").usage(usage));
    let reply = handle.ask("bob", "Hello").principal(Principal::Owner).reply().await.unwrap();
    assert_eq!(reply.text, "I am small.");
    assert_eq!(reply.usage.cost_micro_usd, Some(7), "by the provider that answered");
    let asked: Vec<String> = [0, 1]
        .iter()
        .flat_map(|index| world.provider(*index).requests())
        .map(|request| request.model.to_string())
        .collect();
    assert_eq!(asked, ["claude-haiku-4-5", "claude-haiku-4-5", "tiny"]);
    gateway.shutdown().await.unwrap();
}
