//! Finding out before a start whether it will go well.

use std::{
    collections::BTreeSet,
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
    plan::Plan,
};
#[cfg(feature = "server")]
use crate::plugin::Segment;
use crate::{
    access::DirectPolicy,
    channel::{Channel, ChannelContext, ChannelState},
    error::{Error, ErrorKind, Result},
    event::Events,
    fault::Faults,
    id::AccountId,
    plugin::did_you_mean,
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
    /// The accounts that take events by HTTP. They hear nothing unless the program has a door that
    /// leads to [`Handle::webhook`](crate::Handle::webhook).
    pub webhooks: Vec<AccountId>,
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
    /// its doors, the store, every provider's and every channel's credentials, the models that agents,
    /// chains and names of one's own mean.
    ///
    /// Plugins are loaded and dropped again; a store is opened, so no other process may have it. Takes
    /// at most about [`CHECK_TIMEOUT`].
    pub async fn check(mut self) -> CheckReport {
        let sources = Sources::default();
        let stopping = Cancel::new();
        self.cancel = None;
        let mut report = CheckReport { faults: doors(&self), ..CheckReport::default() };
        let composed = match compose(self, &sources, &stopping, None).await {
            Ok(composed) => composed,
            Err(faults) => {
                report.faults.extend(faults);
                return report;
            }
        };
        let Composed { plan, store, wanted, .. } = &composed;
        warn(plan, &mut report);
        let takes_webhooks = |channel: &&Arc<dyn Channel>| channel.extras().webhook.is_some();
        let accounts = plan.channels.values().filter(takes_webhooks);
        report.webhooks = accounts.map(|channel| channel.id().clone()).collect();
        let (agents, channels) =
            join(wanted.look_for(plan), channels(plan, store, &sources, &stopping)).await;
        agents.into_iter().chain(channels).for_each(|found| match found {
            Ok(fine) => report.fine.push(fine),
            Err(fault) => report.faults.push(fault),
        });
        stopping.cancel();
        report
    }
}

/// What is wrong with the doors that configurations have.
#[cfg(feature = "server")]
fn doors(builder: &GatewayBuilder) -> Vec<String> {
    let configs = builder.configs.iter().filter_map(|(_, config)| config.as_ref().ok());
    let faults = configs.filter_map(|config| {
        let error = config.server.as_ref()?.check().err()?;
        Some(format!("{}{error}", config.place(&[Segment::Key("server".into())])))
    });
    faults.collect()
}

#[cfg(not(feature = "server"))]
fn doors(_: &GatewayBuilder) -> Vec<String> {
    Vec::new()
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

/// Something that is in order, or that must be mended.
pub(super) type Found = std::result::Result<String, String>;

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

pub(super) async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(CHECK_TIMEOUT, asked).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", CHECK_TIMEOUT.as_secs());
        Err(Error::new(ErrorKind::Timeout, text))
    })
}

/// What is wrong, and what that usually comes from.
pub(super) fn advice(error: &Error) -> String {
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
