//! Those who guess are locked out, also over a restart.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::guard::Origin;
use crate::{
    error::{Error, ErrorKind, Result},
    gateway::Hub,
    store::{RecordKey, RecordWrite},
    time::Timestamp,
};

/// The space of the records that say who is locked out.
const SPACE: &str = "lockout";
/// How many addresses are kept in mind.
const MAX_ADDRESSES: usize = 10_000;

/// When an address is locked out that keeps giving wrong credentials.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Lockout {
    /// After how many failures.
    pub attempts: u32,
    /// Within how long.
    pub window: Duration,
    /// For how long.
    pub duration: Duration,
}

impl Default for Lockout {
    /// Ten failures within a minute lock out for five.
    fn default() -> Self {
        Self {
            attempts: 10,
            window: Duration::from_secs(60),
            duration: Duration::from_secs(5 * 60),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Tries {
    since: Timestamp,
    failures: u32,
    until: Option<Timestamp>,
}

pub(super) struct Lockouts {
    rule: Lockout,
    tries: Mutex<HashMap<IpAddr, Tries>>,
    /// Locked out, and not yet written down.
    unwritten: Mutex<Vec<(IpAddr, Timestamp)>>,
}

impl Lockouts {
    /// Reads who is locked out.
    pub(super) async fn load(rule: Lockout, hub: &Hub, now: Timestamp) -> Result<Self> {
        let mut tries = HashMap::new();
        let mut old = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = hub.store.records(SPACE, "", after.as_deref(), 512).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.name.clone());
            for record in page {
                let until = record.value.parse::<i64>().map(Timestamp).ok();
                match (record.key.name.parse::<IpAddr>(), until) {
                    (Ok(ip), Some(until)) if until > now => {
                        let one = Tries { since: now, failures: rule.attempts, until: Some(until) };
                        tries.insert(ip, one);
                    }
                    _ => old.push(RecordWrite { key: record.key, expect: None, value: None }),
                }
            }
        }
        if !old.is_empty() {
            hub.write(old, Vec::new()).await?;
        }
        Ok(Self { rule, tries: Mutex::new(tries), unwritten: Mutex::default() })
    }

    /// For how many milliseconds the address is still locked out, if it is.
    pub(super) fn locked(&self, origin: &Origin, now: Timestamp) -> Option<u64> {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let until = tries.get(&place(origin))?.until?;
        (until > now).then(|| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX))
    }

    /// Counts a wrong credential. A right one clears nothing: those who share an address could
    /// otherwise guess on each other's account.
    pub(super) fn failed(&self, origin: &Origin, now: Timestamp) {
        let place = place(origin);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MAX_ADDRESSES && !tries.contains_key(&place) {
            tries.retain(|_, one| {
                one.until.map_or(now.since(one.since) < self.rule.window, |until| until > now)
            });
            if tries.len() >= MAX_ADDRESSES {
                return;
            }
        }
        let one = tries.entry(place).or_default();
        let over = one.until.is_some_and(|until| until <= now);
        if over || now.since(one.since) >= self.rule.window {
            *one = Tries { since: now, ..Tries::default() };
        }
        one.failures = one.failures.saturating_add(1);
        if one.failures >= self.rule.attempts && one.until.is_none() {
            let until = now.after(self.rule.duration);
            one.until = Some(until);
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).push((place, until));
        }
    }

    /// Writes down who was locked out since the last time.
    pub(super) async fn keep(&self, hub: &Hub) -> Result<()> {
        let new =
            std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner));
        if new.is_empty() {
            return Ok(());
        }
        let writes = new.iter().map(|(ip, until)| RecordWrite {
            key: RecordKey::new(SPACE, ip.to_string()),
            expect: None,
            value: Some(until.as_millis().to_string()),
        });
        let written = hub.write(writes.collect(), Vec::new()).await;
        if written.is_err() {
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
        }
        written.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "a lockout could not be written").with("why", error)
        })
    }
}

/// What is locked out together: an IPv4 address, the network that one subscriber has of IPv6, or all
/// those of whom nobody knows where they are.
fn place(origin: &Origin) -> IpAddr {
    match origin.address {
        Some(IpAddr::V6(ip)) => {
            let network = u128::from(ip) & !(u128::MAX >> 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        Some(ip) => ip,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
