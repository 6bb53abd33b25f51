//! The devices that are let in, those that ask to be, and their tokens.
//!
//! The records are the truth; this is a copy in memory, changed after each write that succeeded. One
//! record holds all of a device, so each change is one atomic write.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::auth::Comparer;
use crate::{
    error::{Error, ErrorKind, Result},
    gateway::Hub,
    id::hex,
    protocol::{ClientInfo, DeviceId, ProvenDevice, Role, Scopes},
    secret::Secret,
    store::{RecordKey, RecordStore, RecordWrite},
    time::{Entropy, Timestamp},
};

const DEVICES: &str = "device";
const REQUESTS: &str = "device-request";

/// How long a device's request to be let in can be answered.
pub const DEVICE_REQUEST_TTL: Duration = Duration::from_secs(5 * 60);
/// How many devices may wait to be let in.
pub const MAX_DEVICE_REQUESTS: usize = 32;

/// What a device may be in one role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Approval {
    /// The most that it may be allowed.
    pub(super) scopes: Scopes,
    /// The keyed hash of its token, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// When that token was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<Timestamp>,
    /// What that token allows; less than `scopes` if it was made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_scopes: Option<Scopes>,
}

/// A device that is let in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    public_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    about: About,
    pub(super) roles: BTreeMap<Role, Approval>,
    created: Timestamp,
    approved: Timestamp,
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_family: Option<String>,
    client_id: String,
    client_mode: String,
}

impl About {
    pub(super) fn of(client: &ClientInfo) -> Self {
        Self {
            display_name: client.display_name.clone(),
            platform: client.platform.clone(),
            device_family: client.device_family.clone(),
            client_id: client.id.clone(),
            client_mode: client.mode.as_str().to_owned(),
        }
    }
}

/// A device that asks to be let in, or to be allowed more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PairRequest {
    pub(super) request_id: String,
    pub(super) device_id: DeviceId,
    public_key: String,
    #[serde(flatten)]
    about: About,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remote_ip: Option<String>,
    is_repair: bool,
    pub(super) ts: Timestamp,
}

impl PairRequest {
    fn is_open(&self, now: Timestamp) -> bool {
        now.since(self.ts) < DEVICE_REQUEST_TTL
    }

    /// As clients are shown it.
    pub(super) fn shown(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.insert("roles".to_owned(), json!([self.role]));
            map.insert("silent".to_owned(), false.into());
        }
        value
    }
}

/// Where a device stands that wants to come in.
pub(super) enum Standing {
    /// It is let in for this.
    Known,
    /// Nobody knows it.
    Unknown,
    /// It is let in, but not as this.
    OtherRole { approved: Vec<Role> },
    /// It is let in as this, but for less.
    FewerScopes { approved: Scopes },
}

#[derive(Default)]
struct State {
    devices: HashMap<DeviceId, Device>,
    requests: BTreeMap<String, PairRequest>,
}

pub(super) struct Devices {
    state: RwLock<State>,
    hub: Arc<Hub>,
    /// Held from reading what is to be changed until the change is written.
    changing: tokio::sync::Mutex<()>,
}

impl Devices {
    pub(super) async fn load(hub: &Arc<Hub>) -> Result<Self> {
        let devices: Vec<Device> = all(hub.store.as_ref(), DEVICES).await?;
        let requests: Vec<PairRequest> = all(hub.store.as_ref(), REQUESTS).await?;
        let state = State {
            devices: devices.into_iter().map(|device| (device.id.clone(), device)).collect(),
            requests: requests.into_iter().map(|one| (one.request_id.clone(), one)).collect(),
        };
        let changing = tokio::sync::Mutex::default();
        Ok(Self { state: RwLock::new(state), hub: Arc::clone(hub), changing })
    }

    async fn commit(&self, records: Vec<RecordWrite>) -> Result<()> {
        self.hub.write(records, Vec::new()).await
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the token allows this device in this role; `None` if it is not its token for it.
    pub(super) fn allowed_by(
        &self,
        comparer: &Comparer,
        device: &DeviceId,
        role: Role,
        token: &str,
    ) -> Option<Scopes> {
        self.read(|state| {
            let approval = state.devices.get(device)?.roles.get(&role)?;
            let right = comparer.is_digest(&bound(device, role, token), approval.token.as_ref()?);
            right.then(|| approval.token_scopes.unwrap_or(approval.scopes).and(approval.scopes))
        })
    }

    /// The most that the device may be allowed in this role; `None` if it is not let in so.
    pub(super) fn approved(&self, device: &DeviceId, role: Role) -> Option<Scopes> {
        self.read(|state| Some(state.devices.get(device)?.roles.get(&role)?.scopes))
    }

    pub(super) fn standing(&self, device: &DeviceId, role: Role, asked: Scopes) -> Standing {
        self.read(|state| match state.devices.get(device) {
            None => Standing::Unknown,
            Some(known) => match known.roles.get(&role) {
                None => Standing::OtherRole { approved: known.roles.keys().copied().collect() },
                Some(approval) if approval.scopes.covers(asked) => Standing::Known,
                Some(approval) => Standing::FewerScopes { approved: approval.scopes },
            },
        })
    }

    /// True if the device has no token in this role.
    pub(super) fn lacks_token(&self, device: &DeviceId, role: Role) -> bool {
        self.read(|state| {
            let approval = state.devices.get(device).and_then(|device| device.roles.get(&role));
            approval.is_some_and(|approval| approval.token.is_none())
        })
    }

    /// Lets the device in, in addition to what it may already.
    pub(super) async fn approve(
        &self,
        proven: &ProvenDevice,
        about: About,
        role: Role,
        scopes: Scopes,
        now: Timestamp,
    ) -> Result<()> {
        let key = crate::protocol::encode(&proven.key);
        let _changing = self.changing.lock().await;
        self.let_in(&proven.id, key, about, role, scopes, now, None).await
    }

    #[expect(clippy::too_many_arguments, reason = "they are the record's fields")]
    async fn let_in(
        &self,
        id: &DeviceId,
        public_key: String,
        about: About,
        role: Role,
        scopes: Scopes,
        now: Timestamp,
        request: Option<&str>,
    ) -> Result<()> {
        let known = self.read(|state| state.devices.get(id).cloned());
        let mut device = known.unwrap_or_else(|| Device {
            id: id.clone(),
            public_key,
            label: None,
            about: about.clone(),
            roles: BTreeMap::new(),
            created: now,
            approved: now,
        });
        device.about = about;
        device.approved = now;
        let new = Approval { scopes: Scopes::NONE, token: None, issued: None, token_scopes: None };
        let approval = device.roles.entry(role).or_insert(new);
        approval.scopes = Scopes::of(approval.scopes.iter().chain(scopes.iter()));
        let mut writes = vec![write(&device)?];
        writes.extend(request.map(|id| RecordWrite {
            key: RecordKey::new(REQUESTS, id),
            expect: None,
            value: None,
        }));
        self.commit(writes).await?;
        self.change(|state| {
            if let Some(request) = request {
                state.requests.remove(request);
            }
            state.devices.insert(device.id.clone(), device);
        });
        Ok(())
    }

    /// Makes the device a token for this role, in place of the one that it had. The text is nowhere
    /// kept.
    pub(super) async fn issue(
        &self,
        comparer: &Comparer,
        entropy: &dyn Entropy,
        device: &DeviceId,
        role: Role,
        scopes: Option<Scopes>,
        now: Timestamp,
    ) -> Result<Secret> {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes)?;
        let token = crate::protocol::encode(&bytes);
        let _changing = self.changing.lock().await;
        let known = self.read(|state| state.devices.get(device).cloned());
        let mut known = known.ok_or_else(|| no_such(device))?;
        let approval = known.roles.get_mut(&role).ok_or_else(|| no_such(device))?;
        approval.token = Some(hex(&comparer.digest(&bound(device, role, &token)), 32));
        approval.issued = Some(now);
        approval.token_scopes = scopes;
        self.keep(known).await?;
        Ok(Secret::from(token))
    }

    /// Takes the device's token for this role.
    pub(super) async fn revoke(&self, device: &DeviceId, role: Role) -> Result<()> {
        let _changing = self.changing.lock().await;
        let known = self.read(|state| state.devices.get(device).cloned());
        let mut known = known.ok_or_else(|| no_such(device))?;
        if known.roles.remove(&role).is_none() {
            return Err(no_such(device));
        }
        self.keep(known).await
    }

    /// Forgets the device.
    pub(super) async fn remove(&self, device: &DeviceId) -> Result<()> {
        let _changing = self.changing.lock().await;
        if !self.read(|state| state.devices.contains_key(device)) {
            return Err(no_such(device));
        }
        let key = RecordKey::new(DEVICES, device.as_str());
        self.commit(vec![RecordWrite { key, expect: None, value: None }]).await?;
        self.change(|state| drop(state.devices.remove(device)));
        Ok(())
    }

    pub(super) async fn rename(&self, device: &DeviceId, label: String) -> Result<()> {
        let _changing = self.changing.lock().await;
        let known = self.read(|state| state.devices.get(device).cloned());
        let mut known = known.ok_or_else(|| no_such(device))?;
        known.label = Some(label);
        self.keep(known).await
    }

    async fn keep(&self, device: Device) -> Result<()> {
        self.commit(vec![write(&device)?]).await?;
        self.change(|state| drop(state.devices.insert(device.id.clone(), device)));
        Ok(())
    }

    /// Takes down that the device asks to be let in. The same device asking the same again has the
    /// same request. `None` if too many wait.
    #[expect(clippy::too_many_arguments, reason = "they are the record's fields")]
    pub(super) async fn ask(
        &self,
        proven: &ProvenDevice,
        about: About,
        role: Role,
        scopes: Scopes,
        remote_ip: Option<String>,
        request_id: String,
        now: Timestamp,
    ) -> Result<Option<(PairRequest, bool)>> {
        let _changing = self.changing.lock().await;
        let (same, old, open, is_repair) = self.read(|state| {
            let is_same = |one: &&PairRequest| {
                one.device_id == proven.id && one.role == role && one.is_open(now)
            };
            let same = state.requests.values().find(is_same).cloned();
            let old = state.requests.values().filter(|one| !one.is_open(now));
            let old: Vec<String> = old.map(|one| one.request_id.clone()).collect();
            let open = state.requests.len() - old.len();
            (same, old, open, state.devices.contains_key(&proven.id))
        });
        if let Some(same) = same.as_ref().filter(|same| same.scopes == scopes) {
            return Ok(Some((same.clone(), false)));
        }
        if same.is_none() && open >= MAX_DEVICE_REQUESTS {
            return Ok(None);
        }
        let request = PairRequest {
            request_id: same.map_or(request_id, |same| same.request_id),
            device_id: proven.id.clone(),
            public_key: crate::protocol::encode(&proven.key),
            about,
            role,
            scopes,
            remote_ip,
            is_repair,
            ts: now,
        };
        let mut writes: Vec<RecordWrite> = old.iter().map(|id| unask(id)).collect();
        writes.push(RecordWrite {
            key: RecordKey::new(REQUESTS, request.request_id.clone()),
            expect: None,
            value: Some(encode(&request)?),
        });
        self.commit(writes).await?;
        self.change(|state| {
            old.iter().for_each(|id| drop(state.requests.remove(id)));
            state.requests.insert(request.request_id.clone(), request.clone());
        });
        Ok(Some((request, true)))
    }

    pub(super) fn request(&self, id: &str, now: Timestamp) -> Option<PairRequest> {
        self.read(|state| state.requests.get(id).filter(|one| one.is_open(now)).cloned())
    }

    /// Lets in the device that asked.
    pub(super) async fn accept(&self, request: &PairRequest, now: Timestamp) -> Result<()> {
        let _changing = self.changing.lock().await;
        if self.request(&request.request_id, now).as_ref() != Some(request) {
            return Err(Error::new(ErrorKind::Conflict, "the request was changed or answered"));
        }
        let PairRequest { device_id, public_key, about, role, scopes, request_id, .. } = request;
        let (key, about) = (public_key.clone(), about.clone());
        self.let_in(device_id, key, about, *role, *scopes, now, Some(request_id)).await
    }

    pub(super) async fn reject(&self, request: &PairRequest) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.commit(vec![unask(&request.request_id)]).await?;
        self.change(|state| drop(state.requests.remove(&request.request_id)));
        Ok(())
    }

    /// All of them, as clients are shown them.
    pub(super) fn list(&self, now: Timestamp) -> Value {
        self.read(|state| {
            let open = state.requests.values().filter(|one| one.is_open(now));
            let mut paired: Vec<&Device> = state.devices.values().collect();
            paired.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
            json!({
                "pending": open.map(PairRequest::shown).collect::<Vec<_>>(),
                "paired": paired.into_iter().map(shown).collect::<Vec<_>>(),
            })
        })
    }

    /// A device that is let in, as clients are shown it.
    pub(super) fn shown(&self, device: &DeviceId) -> Value {
        self.read(|state| state.devices.get(device).map(shown).unwrap_or_default())
    }

    /// The devices that are let in as nodes.
    pub(super) fn nodes(&self) -> Vec<Value> {
        self.read(|state| {
            let nodes = state.devices.values().filter(|one| one.roles.contains_key(&Role::Node));
            nodes.map(shown).collect()
        })
    }
}

fn shown(device: &Device) -> Value {
    let tokens = device.roles.iter().filter(|(_, approval)| approval.token.is_some());
    let tokens: Vec<Value> = tokens
        .map(|(role, approval)| {
            json!({
                "role": role,
                "scopes": approval.token_scopes.unwrap_or(approval.scopes),
                "createdAtMs": approval.issued,
            })
        })
        .collect();
    let scopes = device.roles.get(&Role::Operator).map_or(Scopes::NONE, |one| one.scopes);
    let mut value = json!({
        "deviceId": device.id,
        "publicKey": device.public_key,
        "roles": device.roles.keys().collect::<Vec<_>>(),
        "scopes": scopes,
        "tokens": tokens,
        "createdAtMs": device.created,
        "approvedAtMs": device.approved,
    });
    if let (Some(map), Ok(Value::Object(about))) =
        (value.as_object_mut(), serde_json::to_value(&device.about))
    {
        map.extend(about);
        map.extend(device.label.clone().map(|label| ("displayName".to_owned(), label.into())));
        map.extend(device.roles.keys().next().map(|role| ("role".to_owned(), json!(role))));
    }
    value
}

/// What of a token is hashed: it is worth nothing for another device or role.
fn bound(device: &DeviceId, role: Role, token: &str) -> String {
    format!("device\0{device}\0{role}\0{token}")
}

fn no_such(device: &DeviceId) -> Error {
    let text = format!("there is no device {device} that is let in so");
    Error::new(ErrorKind::NotFound, text.clone()).with_public(text)
}

fn unask(id: &str) -> RecordWrite {
    RecordWrite { key: RecordKey::new(REQUESTS, id), expect: None, value: None }
}

fn write(device: &Device) -> Result<RecordWrite> {
    let key = RecordKey::new(DEVICES, device.id.as_str());
    Ok(RecordWrite { key, expect: None, value: Some(encode(device)?) })
}

fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::wrap(ErrorKind::Internal, error))
}

async fn all<T: DeserializeOwned>(store: &dyn RecordStore, space: &str) -> Result<Vec<T>> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = store.records(space, "", after.as_deref(), 512).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.key.name.clone());
        for record in page {
            let value = serde_json::from_str(&record.value).map_err(|error| {
                Error::wrap(ErrorKind::InvalidData, error)
                    .with("record", format!("{space}/{}", record.key.name))
            })?;
            found.push(value);
        }
    }
}
