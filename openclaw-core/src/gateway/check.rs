//! Finding out before a start whether it will go well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{join, join_all};

use super::{
    GatewayBuilder,
    compose::{Composed, compose},
    door::Door,
    ingress::Ingress,
    plan::{AgentPlan, Plan},
};
use crate::{
    access::DirectPolicy,
    channel::{Channel, ChannelContext, ChannelState},
    error::{Error, ErrorKind, Result},
    event::Events,
    fault::Faults,
    plugin::did_you_mean,
    provider::{DEFAULT_MODEL, ModelInfo},
    store::{RecordStore, Store},
    time::{Cancel, Sources},
};

/// How long one service is given to answer a check.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// What a check found. Shown, it is a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What must be mended: a start fails, or a part of the gateway would not work. Each says where it
    /// is and what to do.
    pub faults: Vec<String>,
    /// What works and may not be meant.
    pub warnings: Vec<String>,
    /// What is in order.
    pub fine: Vec<String>,
}

impl CheckReport {
    /// True if nothing must be mended.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [("fault", &self.faults), ("warning", &self.warnings), ("ok", &self.fine)];
        for (what, texts) in lines {
            for text in texts {
                writeln!(f, "{what:<8} {text}")?;
            }
        }
        Ok(())
    }
}

impl GatewayBuilder {
    /// Checks what a start would use, without hearing or sending anything: parts and configuration,
    /// the store, the providers' and the channels' credentials, the agents' models.
    ///
    /// Plugins are loaded and dropped again; a store is opened, so no other process may have it. Takes
    /// at most about [`CHECK_TIMEOUT`].
    pub async fn check(mut self) -> CheckReport {
        let sources = Sources::default();
        let stopping = Cancel::new();
        self.cancel = None;
        let composed = match compose(self, &sources, &stopping, None).await {
            Ok(composed) => composed,
            Err(faults) => return CheckReport { faults, ..CheckReport::default() },
        };
        let Composed { plan, store, .. } = &composed;
        let mut report = CheckReport::default();
        warn(plan, &mut report);
        let (agents, channels) =
            join(agents(plan), channels(plan, store, &sources, &stopping)).await;
        agents.into_iter().chain(channels).for_each(|found| match found {
            Ok(fine) => report.fine.push(fine),
            Err(fault) => report.faults.push(fault),
        });
        stopping.cancel();
        report
    }
}

/// What only a person can say whether it is meant.
fn warn(plan: &Plan, report: &mut CheckReport) {
    let owned = |account: &Arc<dyn Channel>| {
        let local = account.capabilities().local;
        local || plan.owners.iter().any(|(channel, _)| channel == account.id().channel())
    };
    let accounts = || plan.channels.values();
    if accounts().len() == 0 {
        report.warnings.push(
            "there is no channel: only the program itself can ask. Add one to \"plugins\"".into(),
        );
    } else if !accounts().any(owned) {
        report.warnings.push(
            "nobody is the owner on any channel: nobody can give leave or let strangers in. Add \
             yourself to \"owners\", as in {\"channel\": \"telegram\", \"user\": \"YOUR ID\"}"
                .into(),
        );
    }
    for (channel, user) in &plan.owners {
        if !accounts().any(|account| account.id().channel() == channel) {
            let known: BTreeSet<&str> = accounts().map(|account| account.id().channel()).collect();
            report.warnings.push(format!(
                "\"owners\" names {user} on channel {channel:?}, but there is no such channel{}",
                did_you_mean(channel, known)
            ));
        }
    }
    for account in accounts().map(|channel| channel.id()) {
        if plan.access(account).direct == DirectPolicy::Open {
            report.warnings.push(format!(
                "anybody may write to {account}, and each message costs money: set \"access\" to \
                 pairing or allowlist unless that is meant"
            ));
        }
    }
}

type Found = std::result::Result<String, String>;

/// Asks each provider for its models, once, and looks for those that agents think with.
async fn agents(plan: &Plan) -> Vec<Found> {
    let mut by_provider: BTreeMap<_, Vec<&AgentPlan>> = BTreeMap::new();
    for agent in plan.agents.values() {
        by_provider.entry(agent.provider.id().clone()).or_default().push(agent);
    }
    let asked = by_provider.into_iter().map(async |(id, agents)| {
        let Some(first) = agents.first() else { return Vec::new() };
        match in_time(first.provider.models()).await {
            Ok(models) => agents.iter().map(|agent| model(agent, id.as_str(), &models)).collect(),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                vec![Ok(format!("provider {id}: it lists no models, so nothing more is known"))]
            }
            Err(error) => vec![Err(format!("provider {id}: {}", advice(&error)))],
        }
    });
    join_all(asked).await.concat()
}

fn model(agent: &AgentPlan, provider: &str, models: &[ModelInfo]) -> Found {
    let (id, wanted) = (&agent.agent.id, agent.agent.model.as_str());
    let known = || models.iter().map(|model| model.id.as_str());
    if wanted == DEFAULT_MODEL || models.is_empty() || known().any(|known| known == wanted) {
        return Ok(format!("agent {id}: {provider} answers, model {wanted}"));
    }
    let hint = did_you_mean(wanted, known());
    let some: Vec<&str> = known().take(8).collect();
    let more = if models.len() > some.len() { ", …" } else { "" };
    Err(format!(
        "agent {id}: provider {provider} has no model {wanted:?}{hint}; it has {}{more}",
        some.join(", ")
    ))
}

/// Asks each channel who it is.
async fn channels(
    plan: &Plan,
    store: &Arc<dyn Store>,
    sources: &Sources,
    stopping: &Cancel,
) -> Vec<Found> {
    let asked = plan.channels.values().map(async |channel| {
        let account = channel.id();
        let Some(probe) = channel.extras().probe else {
            return Ok(format!("channel {account}: there is nothing to check"));
        };
        let records = Arc::clone(store) as Arc<dyn RecordStore>;
        let cx = ChannelContext {
            ingress: Ingress::new(Arc::new(Door(Weak::new()))),
            http: plan.http.clone(),
            clock: Arc::clone(&sources.clock),
            cancel: stopping.child(),
            events: Events::default(),
            blobs: store.blobs(),
            state: ChannelState::new(records, account.clone(), Faults::default()),
        };
        match in_time(probe.probe(&cx)).await {
            Ok(who) => Ok(format!("channel {account}: {who}")),
            Err(error) => Err(format!("channel {account}: {}", advice(&error))),
        }
    });
    join_all(asked).await
}

async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CHECK_TIMEOUT, asked).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", CHECK_TIMEOUT.as_secs());
        Err(Error::new(ErrorKind::Timeout, text))
    })
}

/// What is wrong, and what that usually comes from.
fn advice(error: &Error) -> String {
    let hint = match error.kind() {
        ErrorKind::Unauthenticated => "; check the key or token, and where it is read from",
        ErrorKind::Denied => "; the account may not do that: check its rights",
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            "; check the address, and whether the service can be reached from here"
        }
        _ => "",
    };
    format!("{error}{hint}")
}
