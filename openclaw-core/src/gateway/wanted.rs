//! Which models are wanted of which provider, and whether they are there.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;

use super::{
    check::{Found, advice, in_time},
    plan::Plan,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::{ModelId, ProviderId},
    plugin::{ModelAlias, did_you_mean},
    provider::{DEFAULT_MODEL, ModelInfo, Provider},
};

pub(super) type Providers = Vec<(ProviderId, Arc<dyn Provider>)>;

/// What a configuration asks of providers, agents apart.
#[derive(Default)]
pub(super) struct Wanted {
    /// Every provider, chains apart.
    pub(super) providers: Providers,
    pub(super) chains: Vec<Chain>,
    pub(super) models: Vec<(ModelId, ModelAlias)>,
}

/// A chain of providers, link by link.
pub(super) struct Chain {
    pub(super) id: ProviderId,
    pub(super) first: ProviderId,
    /// Without a model a link is asked for the agent's own.
    pub(super) then: Vec<(ProviderId, Option<ModelId>)>,
}

type Lists = BTreeMap<ProviderId, Result<Vec<ModelInfo>>>;

impl Wanted {
    /// Asks every provider for its models, once, and looks for all that are wanted: by agents, by the
    /// links of chains, and under names of one's own.
    pub(super) async fn look_for(&self, plan: &Plan) -> Vec<Found> {
        let asked = self.providers.iter().map(async |(id, provider)| {
            let models = in_time(provider.models()).await;
            (id.clone(), models)
        });
        let lists: Lists = join_all(asked).await.into_iter().collect();
        let mut found: Vec<Found> = lists.iter().map(|(id, list)| answers(id, list)).collect();
        for agent in plan.agents.values() {
            let what = format!("agent {}", agent.agent.id);
            self.look(&what, agent.provider.id(), &agent.agent.model, &lists, &mut found);
        }
        for chain in &self.chains {
            let what = format!("chain {}", chain.id);
            for (provider, model) in &chain.then {
                if let Some(model) = model {
                    self.look(&what, provider, model, &lists, &mut found);
                }
            }
        }
        for (name, ModelAlias { provider, model }) in &self.models {
            self.look(&format!("model {name}"), provider, model, &lists, &mut found);
        }
        found
    }

    /// Looks for a model at a provider, or at those of a chain that are asked for that model.
    fn look(
        &self,
        what: &str,
        provider: &ProviderId,
        model: &ModelId,
        lists: &Lists,
        found: &mut Vec<Found>,
    ) {
        let chain = self.chains.iter().find(|chain| chain.id == *provider);
        let asked: Vec<&ProviderId> = match chain {
            None => vec![provider],
            Some(chain) => {
                let then = chain.then.iter().filter(|(_, model)| model.is_none());
                [&chain.first].into_iter().chain(then.map(|(provider, _)| provider)).collect()
            }
        };
        for provider in asked {
            // What could not be asked is said of the provider.
            if let Some(Ok(models)) = lists.get(provider) {
                found.push(is_there(what, provider, model, models));
            }
        }
    }
}

fn answers(id: &ProviderId, list: &Result<Vec<ModelInfo>>) -> Found {
    let unlisted = |error: &Error| error.kind() == ErrorKind::Unsupported;
    match list {
        Ok(models) => Ok(format!("provider {id}: it lists {} models", models.len())),
        Err(error) if unlisted(error) => {
            Ok(format!("provider {id}: it lists no models, so nothing more is known"))
        }
        Err(error) => Err(format!("provider {id}: {}", advice(error))),
    }
}

fn is_there(what: &str, provider: &ProviderId, model: &ModelId, models: &[ModelInfo]) -> Found {
    let wanted = model.as_str();
    let known = || models.iter().map(|model| model.id.as_str());
    if wanted == DEFAULT_MODEL || models.is_empty() || known().any(|known| known == wanted) {
        return Ok(format!("{what}: {provider} answers, model {wanted}"));
    }
    let hint = did_you_mean(wanted, known());
    let some: Vec<&str> = known().take(8).collect();
    let more = if models.len() > some.len() { ", …" } else { "" };
    Err(format!(
        "{what}: provider {provider} has no model {wanted:?}{hint}; it has {}{more}",
        some.join(", ")
    ))
}
