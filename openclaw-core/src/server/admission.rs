//! Who may come in by a socket, as what, and with which scopes.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Value, json};

use super::{
    auth::Refusal,
    caller::Who,
    connection::Event,
    devices::{About, Standing},
    guard::Origin,
    state::Server,
};
use crate::{
    protocol::{
        Code, ConnectParams, DeviceId, DeviceRefusal, ProvenDevice, Role, Scope, Scopes,
        Transcript, WireError, close, verify_device, verify_mutual,
    },
    secret::Secret,
    time::Timestamp,
};

/// The proof of its key that the gateway gave on this connection.
pub(super) struct Proof {
    pub(super) transcript: Transcript,
    /// The frame in which it was sent.
    pub(super) frame: String,
}

/// Somebody who is let in.
pub(super) struct Admitted {
    pub(super) who: Who,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    pub(super) device: Option<DeviceId>,
    /// The device's new token, and since when it is valid.
    pub(super) token: Option<(Secret, Timestamp)>,
}

/// Somebody who is not: the code that the socket is closed with, and what is said.
pub(super) struct Turned {
    pub(super) code: u16,
    pub(super) reason: Option<String>,
    pub(super) error: WireError,
}

impl From<WireError> for Turned {
    fn from(error: WireError) -> Self {
        Self { code: close::POLICY, reason: None, error }
    }
}

/// Decides about a `connect`.
pub(super) async fn admit(
    server: &Arc<Server>,
    params: &ConnectParams,
    role: Role,
    nonce: &str,
    proof: Option<&Proof>,
    headers: &HeaderMap,
    origin: &Origin,
) -> Result<Admitted, Turned> {
    let proven = match (&params.device, proof) {
        (None, None) => None,
        (None, Some(_)) => return Err(unproven(server, origin, DeviceRefusal::SignatureInvalid)),
        (Some(device), proof) => {
            let now = server.now();
            // Whoever asked for a proof is held to it: nobody can take it out on the way.
            let verified = match proof {
                None => verify_device(params, device, nonce, now),
                Some(Proof { transcript, frame }) => {
                    verify_mutual(params, device, transcript, frame, nonce, now)
                }
            };
            Some(verified.map_err(|refusal| unproven(server, origin, refusal))?)
        }
    };
    let device = proven.as_ref().map(|proven| &proven.id);
    let (who, grant) = server
        .authenticate_socket(headers, origin, params.auth.as_ref(), device, role)
        .map_err(|refusal| unauthorized(server, refusal, params))?;
    let asked = Scopes::named(params.asked().iter().map(String::as_str));
    match proven {
        Some(proven) => with_device(server, params, role, asked, who, grant, proven, origin).await,
        None => {
            let scopes = without_device(params, role, asked, &who, grant, origin)?;
            Ok(Admitted { who, role, scopes, device: None, token: None })
        }
    }
}

/// Nodes are devices. Operators need none where the secret never left the machine; from elsewhere a
/// secret that got about would otherwise be enough for everything.
fn without_device(
    params: &ConnectParams,
    role: Role,
    asked: Scopes,
    who: &Who,
    grant: Scopes,
    origin: &Origin,
) -> Result<Scopes, Turned> {
    let needs = |code: &str| {
        let details = json!({ "code": code, "recommendedNextStep": "update_auth_configuration" });
        Err(WireError::new(Code::NotPaired, "device identity required")
            .with_details(details)
            .into())
    };
    if role == Role::Node {
        return needs("DEVICE_IDENTITY_REQUIRED");
    }
    let given = Scopes::of(asked.iter().filter(|scope| grant.allows(*scope)));
    match who {
        Who::Shared if origin.direct && !origin.browser => Ok(given),
        Who::Shared if params.client.id == "openclaw-control-ui" => {
            needs("CONTROL_UI_DEVICE_IDENTITY_REQUIRED")
        }
        Who::User(_) | Who::Anyone => Ok(given),
        _ => Ok(Scopes::NONE),
    }
}

#[expect(clippy::too_many_arguments, reason = "they are what the decision depends on")]
async fn with_device(
    server: &Arc<Server>,
    params: &ConnectParams,
    role: Role,
    asked: Scopes,
    who: Who,
    grant: Scopes,
    proven: ProvenDevice,
    origin: &Origin,
) -> Result<Admitted, Turned> {
    let about = About::of(&params.client);
    let by_token = matches!(who, Who::Device(_));
    // With its token a device may have what it was approved for, and has to ask for more.
    let wanted = match role {
        Role::Operator if by_token => asked,
        Role::Operator => Scopes::of(asked.iter().filter(|scope| grant.allows(*scope))),
        _ => Scopes::NONE,
    };
    match server.devices.standing(&proven.id, role, wanted) {
        Standing::Known => {}
        _ if !by_token && silently(&who, origin) => {
            let now = server.now();
            server
                .devices
                .approve(&proven, about, role, wanted, now)
                .await
                .map_err(WireError::from)?;
        }
        standing => return Err(ask(server, role, wanted, &proven, about, standing, origin).await),
    }
    let approved = server.devices.approved(&proven.id, role).unwrap_or(Scopes::NONE);
    let both = |scope: &Scope| approved.allows(*scope) && grant.allows(*scope);
    let scopes = Scopes::of(wanted.iter().filter(both));
    let mut token = None;
    if !by_token && server.devices.lacks_token(&proven.id, role) {
        let now = server.now();
        let entropy = server.handle.hub.sources.entropy.as_ref();
        let issued =
            server.devices.issue(&server.comparer, entropy, &proven.id, role, None, now).await;
        token = Some((issued.map_err(WireError::from)?, now));
    }
    Ok(Admitted { who, role, scopes, device: Some(proven.id), token })
}

/// True if a device need not be let in by hand: somebody who knows the secret uses it on this machine,
/// or the owner's proxy vouches for its user.
fn silently(who: &Who, origin: &Origin) -> bool {
    match who {
        Who::Shared | Who::Anyone => origin.direct && !origin.browser,
        Who::User(_) => true,
        Who::Device(_) | Who::Unknown => false,
    }
}

/// Takes down that the device wants to be let in, and tells those who can let it.
async fn ask(
    server: &Arc<Server>,
    role: Role,
    wanted: Scopes,
    proven: &ProvenDevice,
    about: About,
    standing: Standing,
    origin: &Origin,
) -> Turned {
    let (reason, message, approved) = match standing {
        Standing::Unknown | Standing::Known => {
            ("not-paired", "pairing required: device is not approved yet", Value::Null)
        }
        Standing::OtherRole { approved } => (
            "role-upgrade",
            "pairing required: device is asking for a higher role than currently approved",
            json!({ "approvedRoles": approved }),
        ),
        Standing::FewerScopes { approved } => (
            "scope-upgrade",
            "pairing required: device is asking for more scopes than currently approved",
            json!({ "approvedScopes": approved }),
        ),
    };
    let ip = origin.address.map(|ip| ip.to_string());
    let id = match server.fresh() {
        Ok(id) => id,
        Err(error) => return WireError::from(error).into(),
    };
    let asked = server.devices.ask(proven, about, role, wanted, ip, id, server.now()).await;
    let request = match asked {
        Ok(Some((request, new))) => {
            if new {
                let event = Event::new("device.pair.requested", &request.shown());
                server.tell_some(&event, |one| one.caller.may(Scope::Pairing));
            }
            request
        }
        Ok(None) => {
            return WireError::busy("too many devices wait to be let in; try later", 60_000).into();
        }
        Err(error) => return WireError::from(error).into(),
    };
    let mut details = json!({
        "code": "PAIRING_REQUIRED",
        "reason": reason,
        "requestId": request.request_id,
        "deviceId": proven.id,
        "requestedRole": role,
        "requestedScopes": wanted,
        "remediationHint": "Let the device in on the gateway, then connect again.",
    });
    if let (Some(map), Value::Object(more)) = (details.as_object_mut(), approved) {
        map.extend(more);
    }
    Turned {
        code: close::POLICY,
        reason: Some(format!("{message} (requestId: {})", request.request_id)),
        error: WireError::new(Code::NotPaired, message).with_details(details),
    }
}

/// A wrong signature counts as a wrong credential.
fn unproven(server: &Arc<Server>, origin: &Origin, refusal: DeviceRefusal) -> Turned {
    if refusal == DeviceRefusal::SignatureInvalid {
        server.lockouts.failed(origin, server.now());
        server.keep_lockouts();
    }
    let details = json!({ "code": refusal.code(), "reason": refusal.message() });
    WireError::invalid(refusal.message()).with_details(details).into()
}

/// What somebody is told whose credential is none.
fn unauthorized(server: &Arc<Server>, refusal: Refusal, params: &ConnectParams) -> Turned {
    let mode = server.config.auth.mode();
    let by_device = params.auth.as_ref().is_some_and(|auth| auth.device_token.is_some());
    let (code, what, next) = match refusal {
        Refusal::Locked { retry_after_ms } => {
            let why = "unauthorized: too many failed authentication attempts (retry later)";
            let mut error = WireError::invalid(why);
            error.retryable = Some(true);
            error.retry_after_ms = Some(retry_after_ms);
            let details =
                json!({ "code": "AUTH_RATE_LIMITED", "recommendedNextStep": "wait_then_retry" });
            return error.with_details(details).into();
        }
        Refusal::NotFromHere => (
            "AUTH_UNAUTHORIZED",
            "nobody is let in from where this comes from",
            "review_auth_configuration",
        ),
        Refusal::Missing if mode == "trusted-proxy" => (
            "AUTH_IDENTITY_HEADER_REQUIRED",
            "the proxy names no user",
            "review_auth_configuration",
        ),
        Refusal::Missing if mode == "password" => (
            "AUTH_PASSWORD_MISSING",
            "gateway password missing (provide gateway auth password)",
            "update_auth_configuration",
        ),
        Refusal::Missing => (
            "AUTH_TOKEN_MISSING",
            "gateway token missing (provide gateway auth token)",
            "update_auth_configuration",
        ),
        Refusal::Mismatch if by_device => (
            "AUTH_DEVICE_TOKEN_MISMATCH",
            "device token mismatch (rotate or issue a device token)",
            "update_auth_credentials",
        ),
        Refusal::Mismatch if mode == "trusted-proxy" => {
            ("AUTH_VERIFIED_USER_REQUIRED", "this user is not let in", "review_auth_configuration")
        }
        Refusal::Mismatch if mode == "password" => (
            "AUTH_PASSWORD_MISMATCH",
            "gateway password mismatch (provide gateway auth password)",
            "update_auth_credentials",
        ),
        Refusal::Mismatch => (
            "AUTH_TOKEN_MISMATCH",
            "gateway token mismatch (provide gateway auth token)",
            "update_auth_credentials",
        ),
    };
    if refusal == Refusal::Mismatch {
        server.keep_lockouts();
    }
    let details = json!({ "code": code, "recommendedNextStep": next });
    WireError::invalid(format!("unauthorized: {what}")).with_details(details).into()
}
