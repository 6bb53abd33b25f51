//! How a bot gets its updates.

use std::{sync::Arc, time::Duration};

use openclaw_core::{
    secret::Secret,
    serde_json::{Value, json},
};
use tokio::time::Instant;

use super::Done;
use crate::testing::telegram::{
    args::Args,
    error::{ApiError, Result, bad},
    json::put,
    updates::Kinds,
    webhook,
    world::{Bot, Shared, Webhook, World},
};

/// How long a poll may wait.
const MAX_TIMEOUT: i64 = 50;

/// How long a further conflict within as long is answered late.
const CONFLICT_PAUSE: Duration = Duration::from_secs(3);

/// Polls that ask for the same again this soon wait at least [`SHORT_WAIT`] ...
const SHORT_WAIT: Duration = Duration::from_secs(3);

/// ... and get one update at most if they come sooner than this.
const TOO_SOON: Duration = Duration::from_millis(500);

/// How many numbers beyond the newest update an offset may be; one further off counts for none.
const FUTURE: u64 = 10;

const WEBHOOK_IS_ACTIVE: &str = "Conflict: can't use getUpdates method while webhook is active; \
     use deleteWebhook to delete the webhook first";
const BY_WEBHOOK: &str = "Conflict: terminated by setWebhook request";
const BY_OTHER: &str = "Conflict: terminated by other getUpdates request; make sure that only one \
     bot instance is running";

/// A poll that was let in.
struct Poll {
    turn: u64,
    tokens: u32,
    /// The first update that it is to have.
    from: u64,
    limit: usize,
    until: Option<Instant>,
}

enum Polled {
    Updates(Value),
    Wait,
    /// How long the answer is held back, and what it says.
    Conflict(Duration, &'static str),
    Refused(ApiError),
}

pub(super) async fn get_updates(shared: &Arc<Shared>, bot: i64, args: &Args) -> Result<Value> {
    let mut changes = shared.changed.subscribe();
    // A poll that waits hears that this one takes its place.
    let begun = shared.update(|world| begin(world, bot, args));
    let poll = match begun {
        Ok(poll) => poll,
        Err((pause, error)) => {
            tokio::time::sleep(pause).await;
            return Err(error);
        }
    };
    loop {
        match shared.read(|world| look(world, bot, &poll)) {
            Polled::Updates(updates) => return Ok(updates),
            Polled::Refused(error) => return Err(error),
            Polled::Conflict(pause, why) => {
                tokio::time::sleep(pause).await;
                return Err(ApiError::new(409, why));
            }
            Polled::Wait => {}
        }
        let end = poll.until.unwrap_or_else(Instant::now);
        tokio::select! {
            // The sender lives as long as `shared`.
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(end) => return Ok(json!([])),
        }
    }
}

/// Reads the parameters, forgets what is confirmed, and ends the poll that waits if this one is to.
fn begin(world: &mut World, bot: i64, args: &Args) -> Result<Poll, (Duration, ApiError)> {
    world.expire(bot);
    let bot = world.bots.get_mut(&bot).ok_or_else(|| (Duration::ZERO, unauthorized()))?;
    if bot.webhook.is_some() {
        return Err((conflict(bot), ApiError::new(409, WEBHOOK_IS_ACTIVE)));
    }
    let bounded = |name: &str, default: i64, least: i64, most: i64| match args.text(name) {
        "" => default,
        _ => args.int(name).clamp(least, most),
    };
    let offset = args.int("offset");
    let mut limit = bounded("limit", 100, 1, 100);
    let mut timeout = Duration::from_secs(bounded("timeout", 0, 0, MAX_TIMEOUT).unsigned_abs());
    if let Some(kinds) = Kinds::asked(args.text("allowed_updates")) {
        bot.kinds = kinds;
    }
    let now = Instant::now();
    if let Some((last, at)) = bot.poll.last
        && last == offset
    {
        let ago = now.duration_since(at);
        if timeout < SHORT_WAIT && ago < SHORT_WAIT {
            timeout = SHORT_WAIT;
        }
        if ago < TOO_SOON {
            limit = 1;
        }
    }
    bot.poll.last = Some((offset, now));
    let from = match u64::try_from(offset) {
        Err(_) => {
            bot.feed.keep_last(usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX));
            0
        }
        Ok(offset) if offset > bot.feed.next_number() + FUTURE => 0,
        Ok(offset) => {
            bot.feed.acknowledge_before(offset);
            offset
        }
    };
    let limit = usize::try_from(limit).unwrap_or(1);
    let waits = !timeout.is_zero() && bot.feed.read(from, 1).is_empty();
    if waits {
        bot.poll.turn += 1;
    }
    let (turn, tokens) = (bot.poll.turn, bot.poll.tokens);
    Ok(Poll { turn, tokens, from, limit, until: waits.then_some(now + timeout) })
}

fn look(world: &mut World, bot: i64, poll: &Poll) -> Polled {
    let Some(bot) = world.bots.get_mut(&bot) else { return Polled::Refused(unauthorized()) };
    if poll.until.is_some() {
        if bot.webhook.is_some() {
            return Polled::Conflict(conflict(bot), BY_WEBHOOK);
        }
        if bot.poll.tokens != poll.tokens {
            return Polled::Refused(unauthorized());
        }
        if bot.poll.turn != poll.turn {
            return Polled::Conflict(conflict(bot), BY_OTHER);
        }
    }
    let events = bot.feed.read(poll.from, poll.limit);
    if events.is_empty() && poll.until.is_some() {
        return Polled::Wait;
    }
    Polled::Updates(events.iter().map(|(id, update)| update.json(*id)).collect())
}

/// How long the answer to a conflict is held back, so that two pollers do not spin.
fn conflict(bot: &mut Bot) -> Duration {
    let now = Instant::now();
    if bot.poll.conflict_until.is_some_and(|until| now < until) {
        return CONFLICT_PAUSE;
    }
    bot.poll.conflict_until = Some(now + CONFLICT_PAUSE);
    Duration::ZERO
}

fn unauthorized() -> ApiError {
    ApiError::new(401, "Unauthorized")
}

/// How long a secret token may be.
const MAX_SECRET: usize = 256;

pub(super) fn set_webhook(shared: &Arc<Shared>, bot: i64, args: &Args) -> Result<Done> {
    let url = args.text("url");
    if url.is_empty() {
        return delete_webhook(shared, bot, args);
    }
    let secret = args.text("secret_token");
    if secret.len() > MAX_SECRET {
        return Err(bad("secret token is too long"));
    }
    if !secret.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(bad("secret token contains unallowed characters"));
    }
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let parsed = url::Url::parse(&with_scheme).map_err(|_| bad("invalid webhook URL specified"))?;
    let host = parsed.host_str().unwrap_or_default();
    if parsed.scheme() != "http" || !matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
        return Err(bad("bad webhook: the emulator calls http:// on the loopback network alone"));
    }
    let connections = match args.int("max_connections") {
        0 => 40,
        asked => usize::try_from(asked.clamp(1, 100)).unwrap_or(1),
    };
    let secret = (!secret.is_empty()).then(|| Secret::from(secret));
    shared.update(|world| {
        let limits = world.limits;
        let pause = world.webhook_pause;
        let Some(state) = world.bots.get_mut(&bot) else { return Err(unauthorized()) };
        state.sent.count_webhook(&limits).map_err(ApiError::too_many)?;
        if let Some(kinds) = Kinds::asked(args.text("allowed_updates")) {
            state.kinds = kinds;
        }
        let drop_pending = args.flag("drop_pending_updates");
        let same_secret = |old: &Option<Secret>| {
            old.as_ref().map(Secret::expose) == secret.as_ref().map(Secret::expose)
        };
        if state.webhook.as_ref().is_some_and(|old| {
            old.url == url && old.max_connections == connections && same_secret(&old.secret)
        }) && !drop_pending
        {
            return Ok(Done::noted(true, "Webhook is already set"));
        }
        if drop_pending {
            state.feed.clear();
        }
        state.webhook_error = None;
        let courier = webhook::Courier {
            shared: Arc::downgrade(shared),
            bot,
            feed: state.feed.clone(),
            url: with_scheme,
            secret: secret.clone(),
            connections,
            pause,
        };
        // Replaced, the old one ends.
        state.webhook = Some(Webhook {
            url: url.to_owned(),
            secret,
            max_connections: connections,
            task: tokio::spawn(courier.run()).abort_handle(),
        });
        Ok(Done::noted(true, "Webhook was set"))
    })
}

pub(super) fn delete_webhook(shared: &Arc<Shared>, bot: i64, args: &Args) -> Result<Done> {
    shared.update(|world| {
        let Some(bot) = world.bots.get_mut(&bot) else { return Err(unauthorized()) };
        if args.flag("drop_pending_updates") {
            bot.feed.clear();
        }
        bot.webhook_error = None;
        Ok(match bot.webhook.take() {
            Some(_) => Done::noted(true, "Webhook was deleted"),
            None => Done::noted(true, "Webhook is already deleted"),
        })
    })
}

pub(super) fn get_webhook_info(world: &mut World, bot: i64, _: &Args) -> Result<Value> {
    world.expire(bot);
    let Some(bot) = world.bots.get(&bot) else { return Err(unauthorized()) };
    let mut info = json!({
        "url": bot.webhook.as_ref().map_or("", |webhook| &webhook.url),
        "has_custom_certificate": false,
        "pending_update_count": bot.feed.len(),
    });
    if let Some((when, why)) = &bot.webhook_error {
        put(&mut info, "last_error_date", when.as_millis().div_euclid(1000));
        put(&mut info, "last_error_message", why.as_str());
    }
    if let Some(webhook) = &bot.webhook {
        put(&mut info, "max_connections", webhook.max_connections);
        put(&mut info, "ip_address", "127.0.0.1");
    }
    if bot.kinds != Kinds::default() {
        put(&mut info, "allowed_updates", bot.kinds.json());
    }
    Ok(info)
}
