//! How a bot is set up.

use openclaw_core::{
    Error, Result,
    channel::{Rate, Rates},
    schemars,
    secret::SecretRef,
};
use serde::{Deserialize, Serialize};

/// Telegram's own address of the Bot API.
pub const DEFAULT_BASE_URL: &str = "https://api.telegram.org";
/// The largest file that Telegram's own server takes from a bot, in bytes.
pub const MAX_UPLOAD_BYTES: u64 = 50 << 20;
/// The largest file that Telegram's own server gives to a bot, in bytes.
pub const MAX_DOWNLOAD_BYTES: u64 = 20 << 20;
/// The shortest secret of a webhook, in characters. Telegram's own limit is 256.
pub const MIN_SECRET_CHARS: usize = 16;

/// The settings of a [`Telegram`](super::Telegram), as a configuration file holds them.
///
/// ```
/// use openclaw_channels::telegram::{Config, Mode};
/// use openclaw_core::serde_json::{from_value, json};
///
/// let config: Config = from_value(json!({
///     "account": "support",
///     "token": { "env": "TELEGRAM_BOT_TOKEN" },
///     "mode": { "webhook": {
///         "url": "https://bot.example/telegram",
///         "secret": { "file": "/run/secrets/webhook" },
///     } },
/// })).unwrap();
/// assert!(matches!(config.mode, Mode::Webhook(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The account's name: `support` makes it `telegram:support`.
    #[serde(default = "default_account")]
    pub account: String,
    /// The bot's token, from @BotFather.
    pub token: SecretRef,
    /// How updates come.
    #[serde(default)]
    pub mode: Mode,
    /// Where the Bot API is, if it is a server of one's own.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// Lets the token go over plain HTTP to another machine.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Lets Telegram fetch addresses in what the bot says, to show a preview of the first.
    #[serde(default)]
    pub link_previews: bool,
    /// The sizes of files and the pace of messages.
    #[serde(default)]
    pub limits: Limits,
}

/// How updates come to the bot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// The bot asks for them; needs no address of its own.
    #[default]
    Polling,
    /// Telegram sends them.
    Webhook(WebhookConfig),
}

/// Where Telegram sends updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The address under which the bot's server is reached from outside: `https`, on port 443, 80, 88
    /// or 8443. Other ports, and `http` on this machine, only with a `base_url` on this machine.
    pub url: String,
    /// What proves that an update is from Telegram: at least [`MIN_SECRET_CHARS`] of
    /// `A-Z a-z 0-9 _ -`, for this account alone.
    pub secret: SecretRef,
}

/// What Telegram allows. Its own server's limits unless said otherwise; servers of one's own allow more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// The largest file to send, in bytes.
    pub upload_bytes: u64,
    /// The largest file to fetch, in bytes.
    pub download_bytes: u64,
    /// How fast it may send. Given, it replaces all three rates.
    pub rates: Rates,
}

/// What Telegram publishes: thirty messages a second in all, one a second in one chat, twenty a minute in
/// one group. A bucket and what fills it in the meantime count together, so these are 10 and 20 a second;
/// an album fits the bucket.
///
/// Only an album amid a busy group can exceed that; Telegram then says how long to wait, and delivery does.
/// Telegram lets short bursts in one chat pass without saying how many: who needs them sets `limits.rates`.
pub const RATES: Rates = Rates {
    account: Some(Rate { per_minute: 1_200, burst: 10 }),
    direct: Some(Rate { per_minute: 60, burst: 1 }),
    group: Some(Rate { per_minute: 18, burst: 1 }),
};

impl Default for Limits {
    fn default() -> Self {
        Self { upload_bytes: MAX_UPLOAD_BYTES, download_bytes: MAX_DOWNLOAD_BYTES, rates: RATES }
    }
}

fn default_account() -> String {
    "default".to_owned()
}

fn default_base_url() -> String {
    DEFAULT_BASE_URL.to_owned()
}

/// The token's first half: the bot's number. The second half is the secret.
pub(super) fn bot_id(token: &str) -> Result<i64> {
    let bad = || {
        Error::config(
            "the Telegram token is not one: expected digits, a colon and a key, as @BotFather gives it",
        )
    };
    let (id, key) = token.split_once(':').ok_or_else(bad)?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !key.chars().all(is_key) || id.starts_with(['+', '-']) {
        return Err(bad());
    }
    id.parse().map_err(|_| bad())
}

/// Checks a webhook's secret.
pub(super) fn check_secret(secret: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(MIN_SECRET_CHARS..=256).contains(&secret.len()) || !secret.chars().all(allowed) {
        return Err(Error::config(format!(
            "the secret of the Telegram webhook has {} bytes or characters that are not allowed: expected \
             {MIN_SECRET_CHARS} to 256 of A-Z a-z 0-9 _ -",
            secret.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use openclaw_core::serde_json::{self, json};

    use super::*;

    #[test]
    fn tokens_and_secrets_are_checked_and_not_repeated() {
        assert_eq!(bot_id("123:AAF-x_9").unwrap(), 123);
        for bad in ["", "123", "123:", ":AAF", "x:AAF", "-1:AAF", "123:A F", "123:AAF/x", "12.3:A"]
        {
            let error = bot_id(bad).unwrap_err().to_string();
            assert!(bad.len() < 3 || !error.contains(bad), "{error}");
        }
        check_secret("0123456789abcdef").unwrap();
        for bad in ["", "short", "0123456789abcde!", &"a".repeat(257)] {
            let error = check_secret(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_webhook_needs_a_secret() {
        let webhook = json!({ "token": { "env": "T" }, "mode": { "webhook": { "url": "https://a.example" } } });
        let error = serde_json::from_value::<Config>(webhook).unwrap_err().to_string();
        assert!(error.contains("secret"), "{error}");
        let polling: Config = serde_json::from_value(json!({ "token": { "env": "T" } })).unwrap();
        assert_eq!((polling.mode, polling.account.as_str()), (Mode::Polling, "default"));
    }
}
