//! The sandbox as a plugin.

use std::{collections::BTreeMap, time::Duration};

use openclaw_core::{Error, Result, sandbox::Limits, schemars};

use super::{DEFAULT_SOCKET, DockerBuilder, DockerSandbox, Gvisor, doctor::Examination};

/// How [`DockerSandbox`] is configured.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DockerConfig {
    /// The images that boxes may have: a name of one's own for each, and its id (sha256:…) or digest
    /// (name@sha256:…).
    pub images: BTreeMap<String, String>,
    /// Which of them a box has that names none. Not needed where there is one.
    #[serde(default)]
    pub default_image: Option<String>,
    /// The path of the engine's socket, /var/run/docker.sock if left out.
    #[serde(default)]
    pub socket: Option<String>,
    /// Whether boxes run under gVisor.
    #[serde(default)]
    pub gvisor: Gvisor,
    /// What a box may take where the plugin that uses it does not say.
    #[serde(default)]
    pub limits: Limits,
    /// How many boxes of each kind are made in advance; 1 if left out.
    #[serde(default)]
    pub warm: Option<usize>,
    /// After how many seconds a box ends that nobody uses; an hour if left out.
    #[serde(default)]
    pub idle_seconds: Option<u64>,
    /// After how many seconds a box ends in any case; a day if left out.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    /// How much is tried in a box before the first one is used.
    #[serde(default)]
    pub examine: Examination,
    /// Whose boxes these are, where several applications share an engine.
    #[serde(default)]
    pub namespace: Option<String>,
}

impl DockerConfig {
    /// What makes the sandbox.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if it is not said which image
    /// a box has that names none.
    pub fn builder(self) -> Result<DockerBuilder> {
        let known: Vec<&str> = self.images.keys().map(String::as_str).collect();
        let first = match (&self.default_image, known.as_slice()) {
            (Some(name), _) if self.images.contains_key(name) => name.clone(),
            (None, [only]) => (*only).to_owned(),
            _ => {
                let known = known.join(", ");
                return Err(Error::config(format!(
                    "default_image: expected one of the images: {known}"
                )));
            }
        };
        let mut builder = DockerSandbox::builder()
            .socket(self.socket.unwrap_or_else(|| DEFAULT_SOCKET.to_owned()))
            .gvisor(self.gvisor)
            .limits(self.limits)
            .examine(self.examine);
        if let Some(name) = self.namespace {
            builder = builder.namespace(name);
        }
        if let Some(boxes) = self.warm {
            builder = builder.warm(boxes);
        }
        if let Some(seconds) = self.idle_seconds {
            builder = builder.idle(Duration::from_secs(seconds));
        }
        if let Some(seconds) = self.age_seconds {
            builder = builder.age(Duration::from_secs(seconds));
        }
        let (default, others): (Vec<_>, Vec<_>) =
            self.images.into_iter().partition(|(name, _)| *name == first);
        for (name, reference) in default.into_iter().chain(others) {
            builder = builder.image(name, reference);
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use openclaw_core::{ErrorKind, sandbox::Sandbox as _};
    use serde_json::{Value, json};

    use super::*;

    async fn start(config: Value) -> Result<DockerSandbox> {
        serde_json::from_value::<DockerConfig>(config).unwrap().builder()?.start().await
    }

    fn id(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    /// The configuration is examined although no engine answers; calls then fail, and nothing else runs.
    #[tokio::test]
    async fn what_is_wrong_is_said_without_an_engine_too() {
        let nowhere = "/nonexistent/docker.sock";
        let table = [
            (json!({ "images": {} }), "default_image: expected one"),
            (json!({ "images": { "a": id("1"), "b": id("2") } }), "one of the images: a, b"),
            (json!({ "images": { "a": "debian:12" } }), "may be another image tomorrow"),
            (json!({ "images": { "a": id("1") }, "warm": 1000 }), "warm: at most 64"),
            (json!({ "images": { "a": id("1") }, "limits": { "memory": "1mb" } }), "at least"),
            (
                json!({ "images": { "a": id("1") }, "gvisor": "require", "limits": { "pids": 64 } }),
                "cannot enforce a limit on pids",
            ),
            (
                json!({ "images": { "a": id("1") }, "limits": { "memory": "64mb", "disk": "1gb" } }),
                "keeps files in memory",
            ),
        ];
        for (mut config, expected) in table {
            config["socket"] = nowhere.into();
            let error = start(config.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{config}");
            assert!(error.to_string().contains(expected), "{config}: {error}");
        }
        let good = json!({
            "images": { "a": id("1"), "b": id("2") }, "default_image": "b", "socket": nowhere,
            "limits": { "memory": "1gb" }, "gvisor": "prefer", "idle_seconds": 60, "age_seconds": 600
        });
        let sandbox = start(good).await.unwrap();
        assert_eq!(sandbox.capabilities().limits.memory, Some(1_000_000_000));
        let lease = openclaw_core::sandbox::Lease::new("ada", Default::default());
        let error =
            sandbox.run(&lease, &openclaw_core::sandbox::Command::new("id")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.public_text().contains("nothing is run without it"), "{error}");
    }
}
