//! Letting devices in, and out.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Later, Request, agents::Empty, answer, missing};
use crate::{
    protocol::{Code, DeviceId, Role, Scope, Scopes, WireError},
    server::{
        connection::{Connection, Event},
        devices::PairRequest,
        state::Server,
    },
};

pub(super) fn list(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    answer(&request.server.devices.list(request.server.now()))
}

/// The same of nodes alone.
pub(super) fn node_list(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    let all = request.server.devices.list(request.server.now());
    let of_nodes = |name: &str| -> Vec<Value> {
        let list = all.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        list.into_iter().filter(is_node).collect()
    };
    answer(&json!({ "pending": of_nodes("pending"), "paired": of_nodes("paired") }))
}

fn is_node(one: &Value) -> bool {
    one.get("roles").and_then(Value::as_array).is_some_and(|roles| roles.contains(&"node".into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfRequest {
    request_id: String,
}

impl OfRequest {
    fn find(&self, server: &Server) -> Result<PairRequest, WireError> {
        let found = server.devices.request(&self.request_id, server.now());
        found.ok_or_else(|| WireError::invalid("unknown requestId"))
    }
}

/// Lets a device in. Nobody gives what they do not have.
pub(super) fn approve(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfRequest = request.parse()?;
    let asked = params.find(request.server)?;
    covers(request.connection, asked.scopes)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.devices.accept(&asked, server.now()).await.map_err(WireError::from)?;
        resolved(&server, &asked, "approved");
        let device = server.devices.shown(&asked.device_id);
        answer(&json!({ "requestId": asked.request_id, "device": device }))
    }))
}

pub(super) fn reject(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfRequest = request.parse()?;
    let asked = params.find(request.server)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.devices.reject(&asked).await.map_err(WireError::from)?;
        resolved(&server, &asked, "rejected");
        answer(&json!({ "requestId": asked.request_id, "deviceId": asked.device_id }))
    }))
}

fn resolved(server: &Server, asked: &PairRequest, decision: &str) {
    let payload = json!({
        "requestId": asked.request_id, "deviceId": asked.device_id, "decision": decision,
        "ts": server.now(),
    });
    let event = Event::new("device.pair.resolved", &payload);
    server.tell_some(&event, |one| one.caller.may(Scope::Pairing));
}

fn covers(connection: &Connection, scopes: Scopes) -> Result<(), WireError> {
    match scopes.iter().find(|scope| !connection.caller.may(*scope)) {
        Some(lacking) => Err(missing(lacking)),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfDevice {
    device_id: DeviceId,
}

/// Only an administrator changes what is allowed more than they are.
fn may_change(
    connection: &Connection,
    server: &Server,
    device: &DeviceId,
) -> Result<(), WireError> {
    match server.devices.approved(device, Role::Operator) {
        Some(scopes) => covers(connection, scopes),
        None => Ok(()),
    }
}

/// Forgets a device: its connections end, and what it began.
pub(super) fn remove(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfDevice = request.parse()?;
    may_change(request.connection, request.server, &params.device_id)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.devices.remove(&params.device_id).await.map_err(WireError::from)?;
        expel(&server, &params.device_id, None).await;
        answer(&json!({ "deviceId": params.device_id }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rename {
    device_id: DeviceId,
    label: String,
}

pub(super) fn rename(request: Request<'_>) -> Result<Later, WireError> {
    let params: Rename = request.parse()?;
    if params.label.trim().is_empty() || params.label.chars().count() > 64 {
        let why = "invalid device.pair.rename params: at /label: must have 1 to 64 characters";
        return Err(WireError::invalid(why));
    }
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let Rename { device_id, label } = params;
        server.devices.rename(&device_id, label.clone()).await.map_err(WireError::from)?;
        answer(&json!({ "deviceId": device_id, "label": label }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfToken {
    device_id: DeviceId,
    role: Role,
    scopes: Option<Vec<String>>,
}

/// Makes another token; the old one is worth nothing from then on, and what it let in is parted from.
/// The new one is shown to the device itself alone.
pub(super) fn rotate(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfToken = request.parse()?;
    may_change(request.connection, request.server, &params.device_id)?;
    let scopes =
        params.scopes.as_ref().map(|names| Scopes::named(names.iter().map(String::as_str)));
    if let Some(scopes) = scopes {
        covers(request.connection, scopes)?;
        let approved = request.server.devices.approved(&params.device_id, params.role);
        if !approved.is_some_and(|approved| approved.covers(scopes)) {
            let why = "the device is not approved for these scopes";
            return Err(WireError::new(Code::Forbidden, why));
        }
    }
    let (server, connection) = (Arc::clone(request.server), Arc::clone(request.connection));
    Ok(Box::pin(async move {
        let OfToken { device_id, role, .. } = params;
        let now = server.now();
        let entropy = server.handle.hub.sources.entropy.as_ref();
        let token = server.devices.issue(&server.comparer, entropy, &device_id, role, scopes, now);
        let token = token.await.map_err(WireError::from)?;
        let own = connection.device.as_ref() == Some(&device_id);
        server.part_from(|one| one.number != connection.number && one.by_token(&device_id, role));
        let mut payload = json!({
            "deviceId": device_id, "role": role, "rotatedAtMs": now,
            "tokenDelivery": if own { "in-band" } else { "withheld-cross-device" },
        });
        if let (true, Some(map)) = (own, payload.as_object_mut()) {
            map.insert("token".to_owned(), token.expose().into());
        }
        answer(&payload)
    }))
}

/// Takes a device's leave to come in as this.
pub(super) fn revoke(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfToken = request.parse()?;
    may_change(request.connection, request.server, &params.device_id)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let OfToken { device_id, role, .. } = params;
        server.devices.revoke(&device_id, role).await.map_err(WireError::from)?;
        expel(&server, &device_id, Some(role)).await;
        answer(&json!({ "deviceId": device_id, "role": role, "revokedAtMs": server.now() }))
    }))
}

/// Ends the connections of a device, and what it began.
async fn expel(server: &Arc<Server>, device: &DeviceId, role: Option<Role>) {
    server.part_from(|one| {
        one.device.as_ref() == Some(device) && role.is_none_or(|role| role == one.caller.role)
    });
    for run in server.runs.open(|run| run.device.as_ref() == Some(device)) {
        if let Err(error) = super::runs::stop(server, &run.session).await {
            tracing::warn!(session = %run.session, error = %error.message, "a run was not stopped");
        }
    }
}

/// `node.list`: the nodes that are let in, and whether they are here.
pub(super) fn nodes(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    let nodes: Vec<Value> =
        request.server.devices.nodes().iter().map(|one| node(request.server, one)).collect();
    answer(&json!({ "ts": request.server.now(), "nodes": nodes }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfNode {
    node_id: String,
}

/// `node.describe`: one of them.
pub(super) fn describe(request: Request<'_>) -> Answer {
    let params: OfNode = request.parse()?;
    let nodes = request.server.devices.nodes();
    let found =
        nodes.iter().find(|one| one.get("deviceId").is_some_and(|id| *id == params.node_id));
    match found {
        Some(one) => answer(&node(request.server, one)),
        None => Err(WireError::invalid("unknown nodeId")),
    }
}

fn node(server: &Server, device: &Value) -> Value {
    let id = device.get("deviceId").and_then(Value::as_str).unwrap_or_default();
    let mut found = None;
    server.each_arc(|one| {
        if one.caller.role == Role::Node && one.device.as_ref().is_some_and(|d| d.as_str() == id) {
            found = Some(Arc::clone(one));
        }
    });
    let mut value = json!({
        "nodeId": id, "paired": true, "connected": found.is_some(),
        "displayName": device.get("displayName"), "platform": device.get("platform"),
        "deviceFamily": device.get("deviceFamily"), "approvedAtMs": device.get("approvedAtMs"),
    });
    if let (Some(map), Some(one)) = (value.as_object_mut(), found) {
        map.insert("caps".to_owned(), json!(one.params.caps));
        map.insert("commands".to_owned(), json!(one.params.commands));
        map.insert("version".to_owned(), json!(one.params.client.version));
        map.insert("connectedAtMs".to_owned(), one.since.into());
    }
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    value
}

/// `node.pair.remove`: a device is a node no more.
pub(super) fn remove_node(request: Request<'_>) -> Result<Later, WireError> {
    let params: OfNode = request.parse()?;
    let unknown = || WireError::invalid("unknown nodeId");
    let id: DeviceId = params.node_id.parse().map_err(|_| unknown())?;
    request.server.devices.approved(&id, Role::Node).ok_or_else(unknown)?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        server.devices.revoke(&id, Role::Node).await.map_err(WireError::from)?;
        expel(&server, &id, Some(Role::Node)).await;
        answer(&json!({ "nodeId": id, "removed": true }))
    }))
}

/// `gateway.identity.get`: the key by which devices know the gateway again.
pub(super) fn gateway(request: Request<'_>) -> Answer {
    let _: Empty = request.parse()?;
    let key = &request.server.key;
    answer(&json!({ "deviceId": key.id(), "publicKey": crate::protocol::encode(&key.public()) }))
}
