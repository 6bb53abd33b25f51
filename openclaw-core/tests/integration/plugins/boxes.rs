//! Entries that say how their plugins are confined, and what tools may reach and know.

use openclaw_core::{
    Gateway,
    plugin::{NoConfig, Parts, PluginContext, PluginEntry, Registry},
    sandbox::Command,
    testing::{CommandScript, MemoryDouble, SandboxDouble, Scripted, Step},
    tool::{Capability, Confinement, Effect, ToolContext, ToolSpec, tool_fn},
};
use serde_json::json;

use super::ask;

/// A sandbox, a memory, a tool that runs in a box and says how it is, and one that has a secret.
fn registry(sandbox: &SandboxDouble) -> Registry {
    let sandbox = sandbox.clone();
    Registry::new()
        .plugin("box", move |_: NoConfig, _: PluginContext| {
            let parts = Parts::new().sandbox(sandbox.clone()).memory(MemoryDouble::new());
            async move { Ok(parts) }
        })
        .plugin("model", async |_: NoConfig, _: PluginContext| {
            let steps = [
                Step::new().call("measure", json!({})),
                Step::new().call("sign", json!({})),
                Step::text("done"),
            ];
            Ok(Parts::new().provider(Scripted::steps(steps)))
        })
        .plugin("measure", async |_: NoConfig, _: PluginContext| {
            let spec = ToolSpec::new("measure", "Measures its box")
                .capability(Capability::Execute)
                .effect(Effect::Idempotent)
                .confinement(Confinement::Sealed);
            Ok(Parts::new().tool(tool_fn(spec, async |cx: ToolContext, _: NoConfig| {
                Ok(cx.sandbox()?.output(Command::new("measure")).await?.text())
            })))
        })
        .plugin("sign", async |_: NoConfig, _: PluginContext| {
            let spec = ToolSpec::read_only("sign", "Signs").secret("key");
            Ok(Parts::new().tool(tool_fn(spec, async |cx: ToolContext, _: NoConfig| {
                cx.memory()?.remember("signed", "once").await?;
                Ok(format!("with {} bytes", cx.secret("key")?.expose().len()))
            })))
        })
}

fn measuring() -> SandboxDouble {
    SandboxDouble::new()
        .program("measure", |call| CommandScript::print(format!("{:?}", call.limits.memory)))
}

#[tokio::test]
async fn an_entry_says_in_what_box_its_tools_run() {
    let sandbox = measuring();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let text = format!(
        r#"{{
          "ephemeral": true,
          "plugins": [
            {{"plugin": "measure", "enabled": true, "sandbox": "docker", "limits": {{"memory": "512mb"}}}},
            {{"plugin": "sign"}}, {{"plugin": "model"}}, {{"plugin": "box"}}
          ],
          "egress": {{"hosts": ["*.example.org"], "private": ["10.0.0.0/8"], "schemes": ["https"]}},
          "secrets": {{"key": {{"file": "{manifest}"}}}}
        }}"#
    );
    let gateway = Gateway::builder().config_str(&registry(&sandbox), &text).start().await.unwrap();
    assert_eq!(ask(&gateway.handle(), "measure").await, "done");
    assert_eq!(sandbox.commands().len(), 1);
    let session = gateway.handle().sessions(None, 1).await.unwrap().remove(0).0;
    let log = gateway.handle().log(&session, openclaw_core::Seq::ZERO, 100).await.unwrap();
    let entries: Vec<String> = log.entries().map(|(_, entry)| format!("{entry:?}")).collect();
    let log = entries.join("\n");
    assert!(log.contains("Some(512000000)"), "{log}");
    assert!(log.contains("bytes\"") && !log.contains("[package]"), "{log}");
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_confined_as_asked_is_pointed_at() {
    let table = [
        (r#"{"plugin": "sign", "sandbox": "docker"}"#, "", "can only run in this process"),
        (r#"{"plugin": "measure", "sandbox": "docker"}"#, "", "this gateway has none"),
        (
            r#"{"plugin": "measure", "limits": {"memory": "a lot"}}"#,
            r#", {"plugin": "box"}"#,
            "expected one as in \"512mb\"",
        ),
        (
            r#"{"plugin": "measure", "limits": {"memory": "0"}}"#,
            r#", {"plugin": "box"}"#,
            "memory: expected more than nothing",
        ),
        (
            r#"{"plugin": "measure", "limits": {"privileged": true}}"#,
            r#", {"plugin": "box"}"#,
            "privileged",
        ),
    ];
    for (entry, more, expected) in table {
        let text = format!(
            "{{\"ephemeral\": true, \"plugins\": [{{\"plugin\": \"model\"}},\n{entry}{more}]}}"
        );
        let start = Gateway::builder().config_str(&registry(&measuring()), &text).start().await;
        let error = start.unwrap_err().to_string();
        assert!(error.contains(expected), "{entry}: {error}");
    }
    let entry: PluginEntry =
        serde_json::from_value(json!({"plugin": "sign", "sandbox": "docker"})).unwrap();
    let alone = registry(&measuring()).load(&entry, PluginContext::new("sign")).await;
    assert!(alone.unwrap_err().to_string().contains("can only run in this process"));
}

#[tokio::test]
async fn secrets_and_egress_are_said_once_and_by_reference() {
    let table = [
        (r#""secrets": {"key": "sk-123"}"#, "by reference"),
        (
            r#""secrets": {"key": {"env": "OPENCLAW_TEST_UNSET"}}"#,
            "secret \"key\": environment variable OPENCLAW_TEST_UNSET is not set",
        ),
        (r#""secrets": {"other": {"env": "CARGO_MANIFEST_DIR"}}"#, "needs the secret \"key\""),
        (r#""egress": {"hosts": ["http://a.b"]}"#, "is no host"),
        (r#""egress": {"host": ["a.b"]}"#, "did you mean \"hosts\"?"),
    ];
    for (key, expected) in table {
        let text = format!(
            r#"{{"ephemeral": true, "plugins": [{{"plugin": "model"}}, {{"plugin": "sign"}}, {{"plugin": "box"}}], {key}}}"#
        );
        let start = Gateway::builder().config_str(&registry(&measuring()), &text).start().await;
        let error = start.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("sk-123"), "{key}: {error}");
    }
    let twice = Gateway::builder()
        .egress(openclaw_core::egress::EgressPolicy::default())
        .secret("key", "s3cret")
        .config_str(
            &registry(&measuring()),
            r#"{"ephemeral": true, "egress": {}, "secrets": {"key": {"env": "CARGO_MANIFEST_DIR"}}}"#,
        );
    let error = twice.start().await.unwrap_err().to_string();
    assert!(error.contains("egress is said twice"), "{error}");
    assert!(
        error.contains("the secret \"key\" is given twice") && !error.contains("s3cret"),
        "{error}"
    );
}
