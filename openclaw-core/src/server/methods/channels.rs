//! Channels, and the people who write on them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Answer, Later, Request, Rest, answer};
use crate::{
    gateway::{MAX_PENDING_PAIRINGS, PAIRING_TTL, PairingRequest},
    id::{AccountId, Conversation, MessageId, OutboundKey, hex},
    message::{Action, Content},
    protocol::{MAX_IDEMPOTENCY_KEY_BYTES, WireError},
    server::state::Server,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    channel: Option<String>,
    #[serde(flatten)]
    rest: Rest,
}

/// `channels.status`: which accounts there are, and whether they listen.
pub(super) fn status(request: Request<'_>) -> Answer {
    let params: Status = request.parse()?;
    params.rest.only(request.method, &["probe", "timeoutMs"])?;
    let hub = &request.server.handle.hub;
    let plan = hub.plan();
    let listening = hub.listening_accounts();
    let mut accounts: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for account in plan.channels.keys() {
        let channel = account.channel();
        if params.channel.as_ref().is_some_and(|wanted| wanted != channel) {
            continue;
        }
        let running = listening.contains(account);
        accounts.entry(channel).or_default().push(json!({
            "accountId": account.name(), "enabled": true, "configured": true, "running": running,
        }));
    }
    let mut payload = json!({
        "ts": request.server.now(), "channelOrder": [], "channelLabels": {}, "channels": {},
        "channelAccounts": {}, "channelDefaultAccountId": {},
    });
    for (channel, list) in accounts {
        let first = list.first().and_then(|one| one.get("accountId")).cloned().unwrap_or_default();
        let running = list.iter().any(|one| one.get("running") == Some(&true.into()));
        let mut put = |name: &str, value: Value| {
            if let Some(Value::Object(map)) = payload.get_mut(name) {
                map.insert(channel.to_owned(), value);
            }
        };
        put("channelLabels", channel.into());
        put("channels", json!({ "configured": true, "running": running }));
        put("channelDefaultAccountId", first);
        put("channelAccounts", Value::Array(list));
        if let Some(Value::Array(order)) = payload.get_mut("channelOrder") {
            order.push(channel.into());
        }
    }
    answer(&payload)
}

/// What a request to be let in is called: its code is for the owner alone.
fn request_id(one: &PairingRequest) -> String {
    hex(&Sha256::digest(format!("pairing\0{}\0{}", one.account, one.user)), 16)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PairingList {
    channel: Option<String>,
    account_id: Option<String>,
}

/// `channels.pairing.list`: the people who ask to be let in.
pub(super) fn pairing_list(request: Request<'_>) -> Answer {
    let params: PairingList = request.parse()?;
    let wanted = |account: &AccountId| {
        params.channel.as_ref().is_none_or(|channel| channel == account.channel())
            && params.account_id.as_ref().is_none_or(|name| name == account.name())
    };
    let plan = request.server.handle.hub.plan();
    let accounts: Vec<Value> = plan
        .channels
        .keys()
        .filter(|account| wanted(account))
        .map(|account| {
            json!({
                "channel": account.channel(), "channelLabel": account.channel(),
                "accountId": account.name(), "notifySupported": true,
            })
        })
        .collect();
    let requests: Vec<Value> = request
        .server
        .handle
        .pairings()
        .iter()
        .filter(|one| wanted(&one.account))
        .map(|one| {
            let began = crate::time::Timestamp(
                one.expires.as_millis()
                    - i64::try_from(PAIRING_TTL.as_millis()).unwrap_or(i64::MAX),
            );
            json!({
                "requestId": request_id(one),
                "channel": one.account.channel(), "channelLabel": one.account.channel(),
                "accountId": one.account.name(), "senderId": one.user,
                "senderLabel": one.name.as_deref().unwrap_or(one.user.as_str()),
                "createdAt": began.to_string(), "lastSeenAt": began.to_string(),
                "expiresAt": one.expires.to_string(), "notifySupported": true,
            })
        })
        .collect();
    answer(&json!({
        "accounts": accounts, "requests": requests,
        "commandOwnerConfigured": plan.owner_conversation().is_some(),
        "limits": {
            "pendingPerAccount": MAX_PENDING_PAIRINGS,
            "ttlMs": u64::try_from(PAIRING_TTL.as_millis()).unwrap_or(u64::MAX),
        },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PairingApprove {
    channel: String,
    account_id: String,
    request_id: String,
    notify: Option<bool>,
    bootstrap_command_owner: Option<bool>,
}

/// `channels.pairing.approve`: lets somebody in. They are told.
pub(super) fn pairing_approve(request: Request<'_>) -> Result<Later, WireError> {
    let params: PairingApprove = request.parse()?;
    if params.bootstrap_command_owner == Some(true) {
        return Err(WireError::invalid("who the owner is, is said where the gateway is set up"));
    }
    if params.notify == Some(false) {
        return Err(WireError::invalid("who is let in is always told"));
    }
    let found = request.server.handle.pairings().into_iter().find(|one| {
        request_id(one) == params.request_id
            && one.account.channel() == params.channel
            && one.account.name() == params.account_id
    });
    let one = found.ok_or_else(|| WireError::invalid("unknown requestId"))?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.handle.approve_pairing(&one.code).await.map_err(WireError::from)?;
        answer(&json!({
            "requestId": params.request_id, "senderId": one.user, "notification": "sent",
            "commandOwnerBootstrap": "not-requested",
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    to: String,
    message: Option<String>,
    channel: Option<String>,
    account_id: Option<String>,
    reply_to_id: Option<String>,
    thread_id: Option<String>,
    idempotency_key: String,
    #[serde(flatten)]
    rest: Rest,
}

/// `send`: a message to somebody. It is durable when this is answered; the same key sends once.
pub(super) fn send(request: Request<'_>) -> Result<Later, WireError> {
    let params: Send = request.parse()?;
    params.rest.only(request.method, &["silent"])?;
    let text = params.message.filter(|text| !text.trim().is_empty());
    let text =
        text.ok_or_else(|| WireError::invalid("invalid send params: at /message: is empty"))?;
    let key = params.idempotency_key;
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(WireError::invalid(
            "invalid send params: at /idempotencyKey: is empty or too long",
        ));
    }
    let account = account(request.server, params.channel.as_deref(), params.account_id.as_deref())?;
    let mut to = Conversation::direct(account.clone(), params.to.as_str());
    if let Some(group) = params.to.strip_prefix("group:") {
        to = Conversation::group(account.clone(), group);
    }
    if let Some(thread) = params.thread_id {
        to = to.in_thread(thread.as_str());
    }
    let server = Arc::clone(request.server);
    let reply_to = params.reply_to_id.map(MessageId::new);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let outbound = OutboundKey::digest(&format!("client\0{account}\0{key}"));
        let mut row = hub.outbound(&to, outbound, None, Content::text(text));
        if let Action::Send { reply_to: to, .. } = &mut row.action {
            *to = reply_to;
        }
        hub.write(Vec::new(), vec![row]).await.map_err(WireError::from)?;
        answer(&json!({
            "runId": key, "channel": account.channel(), "accountId": account.name(),
            "conversationId": to.peer, "status": "queued",
        }))
    }))
}

/// The account that is meant; it need not be named if there is one only.
pub(in crate::server) fn account(
    server: &Server,
    channel: Option<&str>,
    name: Option<&str>,
) -> Result<AccountId, WireError> {
    let plan = server.handle.hub.plan();
    let mut fitting = plan.channels.keys().filter(|account| {
        channel.is_none_or(|channel| channel == account.channel())
            && name.is_none_or(|name| name == account.name())
    });
    match (fitting.next(), fitting.next()) {
        (Some(account), None) => Ok(account.clone()),
        (None, _) => Err(WireError::invalid("there is no such channel")),
        _ => Err(WireError::invalid("several accounts fit; name channel and accountId")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Switch {
    channel: String,
    account_id: Option<String>,
}

/// `channels.start`: listens on an account that does not.
pub(super) fn start(request: Request<'_>) -> Answer {
    let params: Switch = request.parse()?;
    let account = account(request.server, Some(&params.channel), params.account_id.as_deref())?;
    let hub = &request.server.handle.hub;
    if hub.draining.is_cancelled() {
        return Err(WireError::busy("the gateway is shutting down", 1_000));
    }
    let channel = hub.plan().channels.get(&account).cloned();
    let channel = channel.ok_or_else(|| WireError::invalid("there is no such channel"))?;
    if !hub.listening_accounts().contains(&account) {
        hub.listen(channel);
    }
    answer(&json!({
        "channel": account.channel(), "accountId": account.name(), "started": true,
    }))
}

/// `channels.stop`: listens on an account no more, until it is started or the gateway is. What is to be
/// sent there is sent.
pub(super) fn stop(request: Request<'_>) -> Result<Later, WireError> {
    let params: Switch = request.parse()?;
    let account = account(request.server, Some(&params.channel), params.account_id.as_deref())?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let hub = &server.handle.hub;
        let stopped = hub.listening_accounts().contains(&account);
        hub.dismiss(&account).await;
        answer(&json!({
            "channel": account.channel(), "accountId": account.name(), "stopped": stopped,
        }))
    }))
}
