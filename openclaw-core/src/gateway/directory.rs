//! What the gateway knows of people and places: who is paired, who waits to be, which agent was chosen
//! where, which asks are open.
//!
//! The records are the truth. This is a copy in memory, read on every message and brought up to date
//! by each write that succeeded.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    id::{AccountId, AgentId, ApprovalId, Conversation, SessionKey, UserId},
    store::{Record, RecordKey, RecordStore, RecordWrite},
    time::{Entropy, Timestamp},
};

/// How long a pairing code can be used.
pub const PAIRING_TTL: Duration = Duration::from_secs(60 * 60);
/// How many people may wait to be paired on one account.
pub const MAX_PENDING_PAIRINGS: usize = 3;
/// How many characters a pairing code has; each is one of 32.
pub const PAIRING_CODE_CHARS: usize = 8;

const PEERS: &str = "peer";
const PAIRINGS: &str = "pairing";
const ROUTES: &str = "route";
const APPROVALS: &str = "approval";

/// Somebody who asked to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairingRequest {
    /// The account that they wrote to.
    pub account: AccountId,
    /// Their immutable id.
    pub user: UserId,
    /// The name that the platform shows.
    pub name: Option<String>,
    /// Where they wrote.
    pub conversation: Conversation,
    /// What the owner must repeat.
    pub code: String,
    /// Until when.
    pub expires: Timestamp,
}

#[derive(Default)]
struct State {
    peers: HashMap<String, ()>,
    pairings: HashMap<String, PairingRequest>,
    routes: HashMap<String, AgentId>,
    approvals: HashMap<String, SessionKey>,
}

#[derive(Default)]
pub(crate) struct Directory(RwLock<State>);

fn peer_name(account: &AccountId, user: &UserId) -> String {
    format!("{account}/{user}")
}

fn put(
    space: &str,
    name: String,
    expect: Option<u64>,
    value: &impl Serialize,
) -> Result<RecordWrite> {
    let value = serde_json::to_string(value).map_err(|e| Error::wrap(ErrorKind::Internal, e))?;
    Ok(RecordWrite { key: RecordKey::new(space, name), expect, value: Some(value) })
}

fn remove(space: &str, name: String) -> RecordWrite {
    RecordWrite { key: RecordKey::new(space, name), expect: None, value: None }
}

impl Directory {
    /// Reads all records.
    pub(crate) async fn load(store: &dyn RecordStore) -> Result<Self> {
        let directory = Self::default();
        for space in [PEERS, PAIRINGS, ROUTES, APPROVALS] {
            let mut after: Option<String> = None;
            loop {
                let page = store.records(space, "", after.as_deref(), 512).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.name.clone());
                for Record { key, value, .. } in page {
                    directory.set(&key, Some(&value))?;
                }
            }
        }
        Ok(directory)
    }

    /// Takes over what was written.
    pub(crate) fn absorb(&self, writes: &[RecordWrite]) -> Result<()> {
        writes.iter().try_for_each(|write| self.set(&write.key, write.value.as_deref()))
    }

    fn set(&self, key: &RecordKey, value: Option<&str>) -> Result<()> {
        fn change<T: serde::de::DeserializeOwned>(
            map: &mut HashMap<String, T>,
            key: &RecordKey,
            value: Option<&str>,
        ) -> Result<()> {
            match value {
                Some(text) => {
                    let value = serde_json::from_str(text).map_err(|e| {
                        Error::wrap(ErrorKind::InvalidData, e)
                            .with("record", format!("{}/{}", key.space, key.name))
                    })?;
                    map.insert(key.name.clone(), value);
                }
                None => {
                    map.remove(&key.name);
                }
            }
            Ok(())
        }
        let mut state = self.write();
        match key.space.as_str() {
            PEERS => change(&mut state.peers, key, value),
            PAIRINGS => change(&mut state.pairings, key, value),
            ROUTES => change(&mut state.routes, key, value),
            APPROVALS => change(&mut state.approvals, key, value),
            _ => Ok(()),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_paired(&self, account: &AccountId, user: &UserId) -> bool {
        self.read().peers.contains_key(&peer_name(account, user))
    }

    pub(crate) fn route(&self, place: &Conversation) -> Option<AgentId> {
        let state = self.read();
        if state.routes.is_empty() {
            return None;
        }
        state.routes.get(&place.to_string()).cloned()
    }

    /// The session that asks for this approval. Where it is not known here the store is asked: the
    /// owner may see the ask, and answer, before its commit is absorbed.
    pub(crate) async fn session_of(
        &self,
        store: &dyn RecordStore,
        approval: &ApprovalId,
    ) -> Result<Option<SessionKey>> {
        let known = self.read().approvals.get(approval.as_str()).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let record = store.record(&RecordKey::new(APPROVALS, approval.as_str())).await?;
        record
            .map(|record| serde_json::from_str(&record.value))
            .transpose()
            .map_err(|e| Error::wrap(ErrorKind::InvalidData, e))
    }

    /// The sessions that ask for approvals, each once, in order.
    pub(crate) fn asking(&self) -> BTreeSet<SessionKey> {
        self.read().approvals.values().cloned().collect()
    }

    pub(crate) fn pairings(&self, now: Timestamp) -> Vec<PairingRequest> {
        let mut open: Vec<PairingRequest> =
            self.read().pairings.values().filter(|p| p.expires > now).cloned().collect();
        open.sort_by(|a, b| a.expires.cmp(&b.expires).then_with(|| a.code.cmp(&b.code)));
        open
    }

    /// A new request, unless they wait already or too many do.
    pub(crate) fn request_pairing(
        &self,
        conversation: &Conversation,
        user: &UserId,
        name: Option<&str>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Option<(PairingRequest, Vec<RecordWrite>)>> {
        let account = &conversation.account;
        let key = peer_name(account, user);
        let mut writes = Vec::new();
        {
            let state = self.read();
            let of_account = state.pairings.iter().filter(|(_, p)| p.account == *account);
            let mut open = 0;
            for (name, pairing) in of_account {
                if pairing.expires <= now {
                    writes.push(remove(PAIRINGS, name.clone()));
                } else if *name == key {
                    return Ok(None);
                } else {
                    open += 1;
                }
            }
            if open >= MAX_PENDING_PAIRINGS {
                return Ok(None);
            }
        }
        let request = PairingRequest {
            account: account.clone(),
            user: user.clone(),
            name: name.map(str::to_owned),
            conversation: conversation.clone(),
            code: pairing_code(entropy)?,
            expires: now.after(PAIRING_TTL),
        };
        writes.retain(|write| write.key.name != key);
        writes.push(put(PAIRINGS, key, None, &request)?);
        Ok(Some((request, writes)))
    }

    /// The request with this code, and the writes that let its sender in.
    pub(crate) fn approve_pairing(
        &self,
        code: &str,
        now: Timestamp,
    ) -> Result<Option<(PairingRequest, Vec<RecordWrite>)>> {
        let Some(request) = self.pairings(now).into_iter().find(|p| p.code == code) else {
            return Ok(None);
        };
        let name = peer_name(&request.account, &request.user);
        let writes = vec![put(PEERS, name.clone(), None, &())?, remove(PAIRINGS, name)];
        Ok(Some((request, writes)))
    }

    pub(crate) fn set_route(place: &Conversation, agent: &AgentId) -> Result<RecordWrite> {
        put(ROUTES, place.to_string(), None, agent)
    }

    pub(crate) fn open_approval(
        approval: &ApprovalId,
        session: &SessionKey,
    ) -> Result<RecordWrite> {
        put(APPROVALS, approval.to_string(), None, session)
    }

    pub(crate) fn close_approval(approval: &ApprovalId) -> RecordWrite {
        remove(APPROVALS, approval.to_string())
    }

    /// Takes somebody's leave to write back.
    pub(crate) fn unpair(account: &AccountId, user: &UserId) -> RecordWrite {
        remove(PEERS, peer_name(account, user))
    }
}

fn pairing_code(entropy: &dyn Entropy) -> Result<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = [0; PAIRING_CODE_CHARS];
    entropy.fill(&mut bytes)?;
    // 256 is a multiple of 32, so each character is as likely as any other.
    let pick = |byte: u8| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'A');
    Ok(bytes.iter().map(|byte| char::from(pick(*byte))).collect())
}
