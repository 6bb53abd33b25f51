//! How the gateway is, and who is connected.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Request, Rest, agents::Empty, answer};
use crate::server::{health, state::Server};

/// How many connections are shown.
const MAX_SHOWN: usize = 200;

#[derive(Deserialize)]
struct Loose {
    #[serde(flatten)]
    rest: Rest,
}

pub(super) fn health(request: Request<'_>) -> Answer {
    // Most often there is nothing to read.
    if request.params.is_some_and(|params| params.get() != "{}") {
        let params: Loose = request.parse()?;
        params.rest.only(request.method, &["probe"])?;
    }
    answer(&health::snapshot(request.server))
}

pub(super) fn status(request: Request<'_>) -> Answer {
    let params: Loose = request.parse()?;
    params.rest.only(request.method, &["includeChannelSummary"])?;
    let server = request.server;
    let uptime = server.now().since(server.started).as_millis();
    answer(&json!({
        "runtimeVersion": env!("CARGO_PKG_VERSION"),
        "uptimeMs": u64::try_from(uptime).unwrap_or(u64::MAX),
        "accepting": server.handle.is_ready(),
        "connections": server.count(),
        "channelSummary": [],
        "health": health::snapshot(server),
    }))
}

pub(super) fn presence(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    answer(&everybody(request.server))
}

/// The gateway itself, and who is connected to it.
pub(in crate::server) fn everybody(server: &Server) -> Vec<Value> {
    let now = server.now();
    let mut all = vec![json!({
        "mode": "gateway", "reason": "self", "version": env!("CARGO_PKG_VERSION"),
        "platform": std::env::consts::OS, "instanceId": server.boot_id, "ts": now,
        "text": format!("Gateway {}", env!("CARGO_PKG_VERSION")),
    })];
    // Those that came last, of very many.
    let skipped = server.count().saturating_sub(MAX_SHOWN);
    let mut seen = 0;
    server.each_arc(|one| {
        seen += 1;
        if seen <= skipped {
            return;
        }
        let client = &one.params.client;
        let mut entry = json!({
            "mode": client.mode, "version": client.version, "platform": client.platform,
            "reason": "connect", "roles": [one.caller.role], "scopes": one.caller.scopes,
            "onlineSince": one.since, "ts": now, "text": client.id,
        });
        if let Some(map) = entry.as_object_mut() {
            let more = [
                ("host", &client.display_name),
                ("deviceFamily", &client.device_family),
                ("modelIdentifier", &client.model_identifier),
                ("timeZone", &client.time_zone),
                ("instanceId", &client.instance_id),
            ];
            for (name, value) in more {
                map.extend(value.clone().map(|value| (name.to_owned(), value.into())));
            }
            map.extend(one.caller.address.map(|ip| ("ip".to_owned(), ip.to_string().into())));
            map.extend(one.device.as_ref().map(|id| ("deviceId".to_owned(), json!(id))));
        }
        all.push(entry);
    });
    all
}
