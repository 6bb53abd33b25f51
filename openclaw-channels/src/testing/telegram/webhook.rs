//! Updates on their way to a webhook.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use openclaw_core::{
    bytes::Bytes,
    http::{Request, header},
    http_client::HttpClient as _,
    secret::Secret,
    serde_json::{self, Value},
    testing::fake_service::{Feed, LoopbackClient},
};
use tokio::{task::JoinSet, time::Instant};

use super::{args::Args, methods, updates::Update, world::Shared};

/// How long a webhook may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause that a webhook may ask for with `Retry-After`.
const MAX_RETRY_AFTER: u64 = 3600;

/// A line of updates that are delivered one after the other.
type Line = (&'static str, i64);

/// Delivers a bot's updates until it is aborted.
pub(super) struct Courier {
    pub(super) shared: Weak<Shared>,
    pub(super) bot: i64,
    pub(super) feed: Feed<Arc<Update>>,
    pub(super) url: String,
    pub(super) secret: Option<Secret>,
    pub(super) connections: usize,
    pub(super) pause: Duration,
}

/// When an update is tried again, and how often it failed.
struct Retry {
    at: Instant,
    fails: u32,
}

struct Failure {
    why: String,
    retry_after: Option<Duration>,
}

impl Courier {
    pub(super) async fn run(self) {
        let client = LoopbackClient::new();
        let mut changes = self.feed.changes();
        let mut retries: HashMap<u64, Retry> = HashMap::new();
        let mut busy: HashSet<Line> = HashSet::new();
        let mut tasks = JoinSet::new();
        loop {
            if let Some(shared) = self.shared.upgrade() {
                shared.read(|world| world.expire(self.bot));
            }
            let mut wake: Option<Instant> = None;
            let mut seen = busy.clone();
            // Like the server, it looks no further than twice the connections ahead.
            for (id, update) in self.feed.read(0, self.connections * 2) {
                let line = update.queue;
                if tasks.len() >= self.connections || !seen.insert(line) {
                    continue;
                }
                if let Some(retry) = retries.get(&id)
                    && retry.at > Instant::now()
                {
                    wake = Some(wake.map_or(retry.at, |wake| wake.min(retry.at)));
                    continue;
                }
                busy.insert(line);
                let request = self.request(id, &update);
                let client = client.clone();
                tasks.spawn(async move { (id, line, deliver(&client, request).await) });
            }
            let idle = wake.unwrap_or_else(|| Instant::now() + MAX_PAUSE);
            tokio::select! {
                Some(Ok((id, line, outcome))) = tasks.join_next() => {
                    busy.remove(&line);
                    match outcome {
                        Ok(answer) => {
                            retries.remove(&id);
                            self.feed.acknowledge(id);
                            self.call(answer).await;
                        }
                        Err(failure) => {
                            let fails = retries.get(&id).map_or(0, |retry| retry.fails);
                            let pause = failure.retry_after.unwrap_or_else(|| self.pause_after(fails));
                            retries.insert(id, Retry { at: Instant::now() + pause, fails: fails + 1 });
                            self.note(failure.why);
                        }
                    }
                }
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(idle) => {}
            }
        }
    }

    /// The first failure is tried again at once, the next ones ever later.
    fn pause_after(&self, fails: u32) -> Duration {
        match fails {
            0 => Duration::ZERO,
            fails => self.pause.saturating_mul(1 << fails.min(16)).min(MAX_PAUSE),
        }
    }

    fn request(&self, id: u64, update: &Update) -> Request<Bytes> {
        let mut request = Request::post(&self.url).header(header::CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            request = request.header("X-Telegram-Bot-Api-Secret-Token", secret.expose());
        }
        request.body(update.json(id).to_string().into()).unwrap_or_default()
    }

    fn note(&self, why: String) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.update(|world| {
            let now = world.clock.now();
            if let Some(bot) = world.bots.get_mut(&self.bot) {
                bot.webhook_error = Some((now, why));
            }
        });
    }

    /// Calls the method that a webhook's answer may name. Its result goes nowhere.
    async fn call(&self, answer: Bytes) {
        let Ok(Value::Object(answer)) = serde_json::from_slice(&answer) else { return };
        let method = answer.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        let method = method.to_lowercase();
        let refused = ["", "setwebhook", "deletewebhook", "close", "logout"];
        if refused.contains(&method.as_str()) || method.starts_with("get") {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            let _ = methods::call(&shared, self.bot, &method, &Args::of_json(answer)).await;
        }
    }
}

async fn deliver(client: &LoopbackClient, request: Request<Bytes>) -> Result<Bytes, Failure> {
    let failed = |why: &str| Failure { why: why.to_owned(), retry_after: None };
    let exchange = async {
        let response = client.send(request).await.map_err(|error| {
            let refused = error.to_string().contains("refused");
            failed(if refused { "Connection refused" } else { "Webhook connection closed" })
        })?;
        let (head, body) = response.into_parts();
        let body: Result<Vec<Bytes>, _> = body.try_collect().await;
        let body = body.map_err(|_| failed("Webhook connection closed"))?;
        if head.status.is_success() {
            return Ok(body.concat().into());
        }
        let reason = head.status.canonical_reason().unwrap_or_default();
        let retry_after = head.headers.get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Failure {
            why: format!("Wrong response from the webhook: {} {reason}", head.status.as_u16()),
            retry_after: retry_after
                .filter(|seconds| *seconds > 0)
                .map(|seconds: u64| Duration::from_secs(seconds.min(MAX_RETRY_AFTER))),
        })
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
    answer.unwrap_or_else(|_| Err(failed("Read timeout expired")))
}
