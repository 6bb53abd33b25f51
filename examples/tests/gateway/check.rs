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
        "a webhook that Telegram does not send to",
        |c| {
            c["plugins"][1]["config"]["base_url"] = json!("https://api.telegram.org");
            hook(c, "http://a.example/hook")
        },
        &["openclaw.json:", "plugin \"telegram\"", "is not https"],
    ),
    (
        "a webhook on a port that Telegram does not send to",
        |c| {
            c["plugins"][1]["config"]["base_url"] = json!("https://api.telegram.org");
            hook(c, "https://a.example:9000/hook")
        },
        &["openclaw.json:", "port 9000", "8443"],
    ),
    (
        "a webhook without a door",
        |c| hook(c, "https://a.example/hook"),
        &["channel telegram:shop", "no door", "\"server\"", "--listen"],
    ),
    (
        "two accounts with one token",
        |c| second(c, |bot| bot["account"] = json!("other")),
        &["telegram:other and telegram:shop", "the same bot token", "its own"],
    ),
    (
        "two accounts with one secret",
        |c| {
            hook(c, "https://a.example/hook");
            second(c, |bot| {
                bot["account"] = json!("other");
                bot["token"] = json!({"env": "OLD_TOKEN"});
            })
        },
        &["telegram:other and telegram:shop", "the same webhook secret"],
    ),
    (
        "a gateway's token that is not set",
        |c| c["server"] = json!({"auth": {"mode": "token", "token": {"env": "NO_SUCH_TOKEN"}}}),
        &["openclaw.json:", "NO_SUCH_TOKEN is not set"],
    ),
    (
        "a gateway's token that is blank",
        |c| door(c, json!({"auth": {"mode": "token", "token": {"env": "BLANK"}}})),
        &["openclaw.json:", "token is empty", "give it one"],
    ),
    (
        "a door at no address",
        |c| door(c, json!({"listen": "here"})),
        &["openclaw.json:", "server.listen", "127.0.0.1:18789"],
    ),
    (
        "a door that is open to the world",
        |c| door(c, json!({"listen": "0.0.0.0:18789"})),
        &["openclaw.json:", "0.0.0.0:18789", "TLS", "127.0.0.1"],
    ),
    (
        "a key that others can read",
        |c| {
            let file = beside_store(c, "open.key");
            std::fs::write(&file, "x").unwrap();
            door(c, json!({"key_file": file}))
        },
        &["openclaw.json:", "open.key", "make it 600"],
    ),
    (
        "a file that holds no key",
        |c| {
            use std::os::unix::fs::PermissionsExt as _;
            let file = beside_store(c, "bad.key");
            std::fs::write(&file, "x").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            door(c, json!({"key_file": file}))
        },
        &["openclaw.json:", "bad.key", "32 bytes"],
    ),
    (
        "a key's folder that is not there",
        |c| door(c, json!({"key_file": "/no/such/folder/gateway.key"})),
        &["openclaw.json:", "/no/such/folder", "make it"],
    ),
    (
        "certificates that are not there",
        |c| {
            let tls = json!({"certificates": "/no/such/chain.pem", "key": {"env": "DOOR_TOKEN"}});
            door(c, json!({"tls": tls}))
        },
        &["openclaw.json:", "/no/such/chain.pem"],
    ),
    (
        "certificates that are none",
        |c| {
            let file = beside_store(c, "chain.pem");
            std::fs::write(&file, "no PEM").unwrap();
            door(c, json!({"tls": {"certificates": file, "key": {"env": "DOOR_TOKEN"}}}))
        },
        &["openclaw.json:", "TLS key is no private key"],
    ),
    (
        "an origin that is none",
        |c| door(c, json!({"origins": ["shop.example"]})),
        &["openclaw.json:", "shop.example", "https://"],
    ),
    (
        "a key of a provider that nobody thinks with",
        |c| spare(c, json!({"env": "BOT_TOKEN"})),
        &["provider spare", "check the key"],
    ),
    (
        "a link with a provider that refuses its key",
        |c| {
            spare(c, json!({"env": "BOT_TOKEN"}));
            chain(c, json!([{"provider": "spare"}]))
        },
        &["provider spare", "check the key"],
    ),
    (
        "a link with a model that there is not",
        |c| chain(c, json!([{"provider": "openai", "model": "larg-1"}])),
        &["chain backup", "no model \"larg-1\"", "did you mean \"large-1\"?"],
    ),
    (
        "a name for a model that there is not",
        |c| c["models"] = json!({"fast": {"provider": "openai", "model": "smal-1"}}),
        &["model fast", "no model \"smal-1\""],
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

/// Lets updates come by webhook.
fn hook(config: &mut Value, url: &str) {
    let hook = json!({"url": url, "secret": {"env": "HOOK_SECRET"}});
    config["plugins"][1]["config"]["mode"] = json!({"webhook": hook});
}

/// Adds the bot again, changed.
fn second(config: &mut Value, change: fn(&mut Value)) {
    let mut bot = config["plugins"][1].clone();
    change(&mut bot["config"]);
    config["plugins"].as_array_mut().unwrap().push(bot);
}

/// Adds a door that is in order but for what `more` says.
fn door(config: &mut Value, more: Value) {
    let mut door = json!({"auth": {"mode": "token", "token": {"env": "DOOR_TOKEN"}}});
    door.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config["server"] = door;
}

fn beside_store(config: &Value, name: &str) -> std::path::PathBuf {
    let store = std::path::Path::new(config["store"]["config"]["path"].as_str().unwrap());
    store.with_file_name(name)
}

/// Adds a second provider of the same service, with this key.
fn spare(config: &mut Value, key: Value) {
    let mut spare = config["plugins"][0].clone();
    (spare["config"]["id"], spare["config"]["api_key"]) = ("spare".into(), key);
    config["plugins"].as_array_mut().unwrap().push(spare);
}

fn chain(config: &mut Value, then: Value) {
    config["fallbacks"] = json!([{"id": "backup", "first": "openai", "then": then}]);
}

fn checked(world: &World) -> (bool, String) {
    let mut command = world.gateway(&["--check"]);
    command.env("OLD_TOKEN", "99:AAold").env("SHORT", "short").env("BLANK", " ");
    command.env("HOOK_SECRET", "0123456789abcdef").env("DOOR_TOKEN", "a-token-of-these-doors");
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
    let mut config = world.config();
    let key = beside_store(&config, "gateway.key");
    door(&mut config, json!({"key_file": key, "hosts": ["claw.example"]}));
    hook(&mut config, "https://bot.example/hook");
    spare(&mut config, json!({"env": "MODEL_KEY"}));
    chain(&mut config, json!([{"provider": "spare", "model": "large-1"}]));
    world.write(&config);
    let (sound, said) = checked(&world);
    assert!(sound, "{said}");
    assert!(!key.exists(), "a check makes nothing");
    assert!(said.lines().all(|line| line.is_empty() || line.starts_with("ok ")), "{said}");
    assert!(said.contains("channel telegram:shop: @shop_bot"), "{said}");
    assert!(said.contains("agent main: openai answers"), "{said}");
    // Nothing was heard or sent.
    assert!(world.chat.bot_messages().is_empty());
    assert!(world.asked.lock().unwrap().is_empty());
}
