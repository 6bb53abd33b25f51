//! `--check` finds each mistake, says where it is and what to do.

use openclaw_core::serde_json::{Value, json};

use super::world::World;

/// A mistake: what it makes of the configuration, and what must be said of it.
type Mistake = (&'static str, fn(&mut Value), &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    (
        "a key that is none",
        |c| c["agnts"] = json!([]),
        &["openclaw.json:", "unknown field `agnts`", "did you mean \"agents\"?"],
    ),
    (
        "an agent's key that is none",
        |c| c["agents"][0]["persna"] = json!(""),
        &["openclaw.json:", "did you mean \"persona\"?"],
    ),
    (
        "a value of another type",
        |c| c["agents"][0]["context_tokens"] = json!("many"),
        &["openclaw.json:", "agents[0]", "expected u32"],
    ),
    (
        "a plugin that is none",
        |c| c["plugins"][0]["plugin"] = json!("opnai"),
        &["openclaw.json:", "no plugin \"opnai\"", "did you mean \"openai\"?"],
    ),
    (
        "a plugin's key that is none",
        |c| c["plugins"][0]["config"]["modle"] = json!("x"),
        &["openclaw.json:", "plugin \"openai\"", "did you mean \"model\"?"],
    ),
    (
        "a key written out",
        |c| c["plugins"][0]["config"]["api_key"] = json!("sk-canary-4711"),
        &["openclaw.json:", "by reference", "{\"env\": \"NAME\"}"],
    ),
    (
        "a variable that is not set",
        |c| c["plugins"][0]["config"]["api_key"] = json!({"env": "NO_SUCH_KEY"}),
        &["openclaw.json:", "NO_SUCH_KEY is not set"],
    ),
    (
        "a secret's file that is not there",
        |c| c["plugins"][0]["config"]["api_key"] = json!({"file": "/no/such/key"}),
        &["openclaw.json:", "/no/such/key"],
    ),
    (
        "an address that is none",
        |c| c["plugins"][0]["config"]["base_url"] = json!("htp:/x"),
        &["openclaw.json:", "base_url", "http"],
    ),
    (
        "an address where nobody is",
        |c| c["plugins"][0]["config"]["base_url"] = json!("http://127.0.0.1:9/v1"),
        &["provider openai", "check the address"],
    ),
    (
        "a key that the service refuses",
        |c| c["plugins"][0]["config"]["api_key"] = json!({"env": "BOT_TOKEN"}),
        &["provider openai", "check the key"],
    ),
    (
        "a timeout of nothing",
        |c| c["plugins"][0]["config"]["idle_timeout_s"] = json!(0),
        &["openclaw.json:", "idle_timeout_s is 0", "at least 1"],
    ),
    (
        "a model that there is not",
        |c| c["agents"][0]["model"] = json!("smal-1"),
        &["agent main", "no model \"smal-1\"", "did you mean \"small-1\"?"],
    ),
    (
        "a provider that there is not",
        |c| c["agents"][0]["provider"] = json!("openia"),
        &["openclaw.json:", "agent main wants provider openia", "known are: openai"],
    ),
    (
        "a tool that there is not",
        |c| c["agents"][0]["tools"] = json!(["nwo"]),
        &["openclaw.json:", "names tool \"nwo\"", "known are: now"],
    ),
    (
        "two agents of one name",
        |c| c["agents"] = json!([{"id": "main"}, {"id": "main"}]),
        &["openclaw.json:", "two agents are named main"],
    ),
    (
        "a default agent that there is not",
        |c| c["default_agent"] = json!("mian"),
        &["openclaw.json:", "no agent mian", "known are: main"],
    ),
    (
        "a binding to nobody",
        |c| c["bindings"] = json!([{"agent": "other", "account": "telegram:shop"}]),
        &["openclaw.json:", "no agent other"],
    ),
    (
        "a binding without an agent",
        |c| c["bindings"] = json!([{"account": "telegram:shop"}]),
        &["openclaw.json:", "names no agent", "add \"agent\""],
    ),
    (
        "a persona folder that is not there",
        |c| c["agents"] = json!([{"id": "main", "persona_folder": "/no/such/folder"}]),
        &["openclaw.json:", "agent main", "/no/such/folder"],
    ),
    (
        "access to an account that there is not",
        |c| c["access"] = json!({"telegram:shp": {"direct": "open"}}),
        &["openclaw.json:", "no such channel", "known are: telegram:shop"],
    ),
    (
        "a kind of access that is none",
        |c| c["access"]["telegram:shop"]["direct"] = json!("everyone"),
        &["openclaw.json:", "everyone", "`open`"],
    ),
    (
        "a preview where there is no channel",
        |c| c["previews"] = json!({"terminal:default": {}}),
        &["openclaw.json:", "no such channel can edit"],
    ),
    ("no store", |c| c["store"] = Value::Null, &["there is no store", "\"ephemeral\": true"]),
    (
        "a store's folder that is not there",
        |c| c["store"]["config"]["path"] = json!("/no/such/folder/x.db"),
        &["openclaw.json:", "plugin \"sqlite\"", "/no/such/folder"],
    ),
    (
        "a store that is no store",
        |c| c["store"] = json!({"plugin": "now"}),
        &["openclaw.json:", "plugin \"now\" has no store"],
    ),
    (
        "a token that is none",
        |c| c["plugins"][1]["config"]["token"] = json!({"env": "MODEL_KEY"}),
        &["openclaw.json:", "plugin \"telegram\"", "@BotFather"],
    ),
    (
        "a bot that Telegram does not know",
        |c| c["plugins"][1]["config"]["token"] = json!({"env": "OLD_TOKEN"}),
        &["channel telegram:shop", "@BotFather"],
    ),
    (
        "a webhook without a secret",
        |c| c["plugins"][1]["config"]["mode"] = json!({"webhook": {"url": "https://a.example/"}}),
        &["openclaw.json:", "missing field `secret`"],
    ),
    (
        "a webhook with a short secret",
        |c| {
            c["plugins"][1]["config"]["mode"] =
                json!({"webhook": {"url": "https://a.example/", "secret": {"env": "SHORT"}}})
        },
        &["openclaw.json:", "secret", "16"],
    ),
    (
        "two bots of one name",
        |c| {
            let bot = c["plugins"][1].clone();
            c["plugins"].as_array_mut().unwrap().push(bot);
        },
        &["two channels are named telegram:shop"],
    ),
    (
        "a sandbox that there is not",
        |c| c["plugins"][2]["sandbox"] = json!("docker"),
        &["openclaw.json:", "plugin \"now\"", "docker"],
    ),
    (
        "no provider",
        |c| {
            c["plugins"].as_array_mut().unwrap().remove(0);
        },
        &["there is no provider", "add one"],
    ),
    (
        "a chain with a provider that there is not",
        |c| {
            c["fallbacks"] =
                json!([{"id": "chain", "first": "openai", "then": [{"provider": "anthropic"}]}])
        },
        &["openclaw.json:", "chain names provider anthropic"],
    ),
    (
        "an owner on a channel that there is not",
        |c| c["owners"] = json!([{"channel": "telegarm", "user": "1"}]),
        &["warning", "did you mean \"telegram\"?"],
    ),
    (
        "an open door",
        |c| c["access"]["telegram:shop"]["direct"] = json!("open"),
        &["warning", "anybody may write to telegram:shop"],
    ),
];

fn checked(world: &World) -> (bool, String) {
    let mut command = world.gateway(&["--check"]);
    command.env("OLD_TOKEN", "99:AAold").env("SHORT", "short");
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap() + &errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_found() {
    assert!(MISTAKES.len() >= 25);
    let world = World::new().await;
    let mut unfound = Vec::new();
    for (what, mistake, words) in MISTAKES {
        let mut config = world.config();
        mistake(&mut config);
        world.write(&config);
        let (sound, said) = checked(&world);
        let warning = words.first() == Some(&"warning");
        let found = words.iter().all(|word| said.contains(word)) && sound == warning;
        if !found || said.contains("sk-canary-4711") {
            unfound.push(format!("{what}: expected {words:?}, sound {sound}\n{said}"));
        }
    }
    assert!(unfound.is_empty(), "{}", unfound.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_order_is_said_to_be() {
    let world = World::new().await;
    world.write(&world.config());
    let (sound, said) = checked(&world);
    assert!(sound, "{said}");
    assert!(said.lines().all(|line| line.is_empty() || line.starts_with("ok ")), "{said}");
    assert!(said.contains("channel telegram:shop: @shop_bot"), "{said}");
    assert!(said.contains("agent main: openai answers"), "{said}");
    // Nothing was heard or sent.
    assert!(world.chat.bot_messages().is_empty());
    assert!(world.asked.lock().unwrap().is_empty());
}
