//! Webhook: Telegram says what happened.

use std::time::Duration;

use openclaw_core::{
    Result, async_trait,
    bytes::Bytes,
    channel::{ChannelContext, Webhook},
    http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode},
    serde_json::{self, Value, json},
};

use super::{
    Hook, Telegram,
    types::{ALLOWED_UPDATES, RawUpdate, WebhookInfo},
};
use crate::webhook::header_holds;

/// The longest request that is read, in bytes. Telegram's updates are far shorter.
pub const MAX_WEBHOOK_BYTES: usize = 1 << 20;
/// How often it is looked whether Telegram still has our address, unless it is told otherwise.
pub const KEEP_INTERVAL: Duration = Duration::from_secs(300);
/// The header with the secret.
pub const SECRET_HEADER: HeaderName = HeaderName::from_static("x-telegram-bot-api-secret-token");

impl Telegram {
    /// Sees that Telegram sends updates to where it was told, until something fails.
    pub(super) async fn keep_webhook(&self, cx: &ChannelContext, hook: &Hook) -> Result<()> {
        let mut told = None;
        loop {
            tokio::time::sleep(self.keep_interval).await;
            let info: WebhookInfo = self.client.call(cx, "getWebhookInfo", &json!({})).await?;
            let (account, waiting) = (&self.account, info.pending_update_count);
            if info.url != hook.url {
                tracing::warn!(%account, "somebody else changed the bot's webhook; it is set again");
                self.set_webhook(cx, hook).await?;
            }
            if info.last_error_date > told {
                told = info.last_error_date;
                let error = info.last_error_message.unwrap_or_default();
                self.shared.counts.undelivered.add();
                tracing::warn!(%account, error, waiting, "Telegram could not deliver updates");
            }
        }
    }

    /// Tells Telegram where to send updates.
    pub(super) async fn set_webhook(&self, cx: &ChannelContext, hook: &Hook) -> Result<()> {
        let arguments = json!({
            "url": hook.url,
            "secret_token": hook.secret.expose(),
            "allowed_updates": ALLOWED_UPDATES,
        });
        let _: bool = self.client.call(cx, "setWebhook", &arguments).await?;
        Ok(())
    }
}

#[async_trait]
impl Webhook for Telegram {
    /// | request | answer |
    /// |---|---|
    /// | not `POST` | 405 |
    /// | the secret is not there, not alone, or another | 401 |
    /// | longer than [`MAX_WEBHOOK_BYTES`] | 413 |
    /// | cannot be read | 200: it would be the same again |
    /// | not accepted | 503: Telegram delivers it again |
    /// | accepted, or refused by access control | 200 |
    async fn handle(&self, cx: &ChannelContext, request: Request<Bytes>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.answer_of(cx, &request).await;
        response
    }

    /// Method and secret.
    fn refuse(&self, method: &Method, headers: &HeaderMap) -> Option<StatusCode> {
        let account = &self.account;
        // Without a secret there is no webhook: it is closed, not open.
        let Some(hook) = &self.hook else { return Some(StatusCode::NOT_FOUND) };
        if method != Method::POST {
            let count = self.shared.counts.not_posted.add();
            if count.is_power_of_two() {
                tracing::warn!(%account, count, %method, "a webhook request of another method was refused");
            }
            return Some(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !header_holds(headers, &SECRET_HEADER, &hook.secret) {
            let count = self.shared.counts.refused.add();
            if count.is_power_of_two() {
                tracing::warn!(%account, count, "a webhook request without the secret was refused");
            }
            return Some(StatusCode::UNAUTHORIZED);
        }
        None
    }
}

impl Telegram {
    async fn answer_of(&self, cx: &ChannelContext, request: &Request<Bytes>) -> StatusCode {
        let account = &self.account;
        if let Some(refusal) = self.refuse(request.method(), request.headers()) {
            return refusal;
        }
        if request.body().len() > MAX_WEBHOOK_BYTES {
            self.shared.counts.too_long.add();
            tracing::warn!(%account, bytes = request.body().len(), "a webhook request is too long");
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        let update = serde_json::from_slice::<Value>(request.body()).ok().and_then(RawUpdate::new);
        let Some(update) = update else {
            let count = self.shared.counts.malformed.add();
            let bytes = request.body().len();
            tracing::warn!(%account, bytes, count, "a webhook request is no update; it is left out");
            return StatusCode::OK;
        };
        let id = update.id;
        match self.take(cx, vec![update]).await {
            Ok(()) => StatusCode::OK,
            Err(error) => {
                tracing::warn!(%account, update = id, ?error, "an update was not accepted; Telegram delivers it again");
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}
