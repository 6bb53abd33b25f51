//! Names that stand for a model of a provider.

use std::collections::BTreeMap;

use super::compose::Stated;
use crate::{
    id::{ModelId, ProviderId},
    plugin::{FallbackEntry, ModelAlias},
    provider::DEFAULT_MODEL,
};

/// The aliases of a gateway.
#[derive(Default)]
pub(super) struct Models {
    aliases: BTreeMap<ModelId, Stated<ModelAlias>>,
    /// Chains, and the provider that each asks first.
    chains: Vec<(ProviderId, ProviderId)>,
}

impl Models {
    /// Adds an alias; what is wrong with its name.
    pub(super) fn add(&mut self, name: ModelId, alias: Stated<ModelAlias>) -> Option<String> {
        let place = alias.place.clone();
        if matches!(name.as_str(), "" | DEFAULT_MODEL) {
            return Some(format!(
                "{place}a model cannot be called \"{name}\": that is a provider's own choice; take \
                 another name"
            ));
        }
        let twice = format!("{place}two models are called {name}");
        self.aliases.insert(name, alias).map(|_| twice)
    }

    pub(super) fn know_chains(&mut self, chains: &[Stated<FallbackEntry>]) {
        let entries = chains.iter().map(|chain| &chain.value);
        self.chains = entries.map(|entry| (entry.id.clone(), entry.first.clone())).collect();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ModelId, &Stated<ModelAlias>)> {
        self.aliases.iter()
    }

    /// The names, for what is said of one that is not known.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.aliases.keys().map(ModelId::as_str)
    }

    /// The provider and the model that are meant by a model's name beside a provider's; or why the two
    /// do not fit.
    ///
    /// An alias brings its provider. One that is named beside it must be the same, or a chain that
    /// begins with it.
    pub(super) fn resolve(
        &self,
        provider: Option<&ProviderId>,
        model: &ModelId,
    ) -> Result<(Option<ProviderId>, ModelId), String> {
        let Some(Stated { value: alias, .. }) = self.aliases.get(model) else {
            return Ok((provider.cloned(), model.clone()));
        };
        let fits = |named: &ProviderId| {
            let chained = (named.clone(), alias.provider.clone());
            *named == alias.provider || self.chains.contains(&chained)
        };
        match provider {
            Some(named) if !fits(named) => Err(format!(
                "names provider {named} and the model {model}, which is of provider {}: leave the \
                 provider out",
                alias.provider
            )),
            named => {
                let provider = named.unwrap_or(&alias.provider);
                Ok((Some(provider.clone()), alias.model.clone()))
            }
        }
    }
}
