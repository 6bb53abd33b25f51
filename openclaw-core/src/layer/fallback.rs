//! A chain of providers, each of which answers when those before it cannot.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;

use super::open;
use crate::{
    error::{Error, ErrorKind, Result},
    id::{ModelId, ProviderId},
    provider::{CallContext, CompletionRequest, CompletionStream, ModelInfo, Provider},
};

/// The kinds of error on which a [`Fallback`] moves on unless it is told otherwise: another service,
/// other credentials, another quota or a larger model may do better.
pub const FALLBACK_KINDS: [ErrorKind; 6] = [
    ErrorKind::Unavailable,
    ErrorKind::RateLimited,
    ErrorKind::Timeout,
    ErrorKind::Exhausted,
    ErrorKind::Unauthenticated,
    ErrorKind::ContextOverflow,
];

/// A provider that asks a chain of others, in order, until one answers.
///
/// It moves on by the kind of the error ([`FALLBACK_KINDS`]), and only before the first event: what
/// was shown is never contradicted by another model. Any other error is returned at once. If all
/// fail, the error is the first of those that are worth another try, else the last; it names what the
/// others said. Nobody is asked after the work was cancelled.
///
/// It lists the models of its first provider, or of the next that can be asked: requests name those.
///
/// ```
/// use std::sync::Arc;
/// use openclaw_core::{layer::Fallback, provider::Provider};
///
/// fn chain(cloud: Arc<dyn Provider>, local: Arc<dyn Provider>) -> Fallback {
///     Fallback::new("assistant", cloud.clone())
///         .then_model(cloud, "larger-model")
///         .then_model(local, "small-model")
/// }
/// ```
#[derive(Clone)]
pub struct Fallback {
    id: ProviderId,
    links: Vec<Link>,
    kinds: Vec<ErrorKind>,
}

#[derive(Clone)]
struct Link {
    provider: Arc<dyn Provider>,
    model: Option<ModelId>,
}

impl Fallback {
    /// A chain that begins with `first`, asked for the request's own model.
    pub fn new(id: impl Into<ProviderId>, first: Arc<dyn Provider>) -> Self {
        let links = vec![Link { provider: first, model: None }];
        Self { id: id.into(), links, kinds: FALLBACK_KINDS.to_vec() }
    }

    /// Then `provider`, asked for the request's own model.
    #[must_use]
    pub fn then(mut self, provider: Arc<dyn Provider>) -> Self {
        self.links.push(Link { provider, model: None });
        self
    }

    /// Then `provider`, asked for `model`.
    #[must_use]
    pub fn then_model(mut self, provider: Arc<dyn Provider>, model: impl Into<ModelId>) -> Self {
        self.links.push(Link { provider, model: Some(model.into()) });
        self
    }

    /// Moves on at these kinds of error, and no others.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = ErrorKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }
}

#[async_trait]
impl Provider for Fallback {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    async fn models(&self) -> Result<Vec<ModelInfo>> {
        let mut failed = Failures::default();
        for link in self.links.iter().filter(|link| link.model.is_none()) {
            match link.provider.models().await {
                Ok(models) => return Ok(models),
                Err(error) if self.kinds.contains(&error.kind()) => {
                    failed.add(link.provider.id(), error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed.into_error())
    }

    async fn stream(
        &self,
        cx: &CallContext,
        request: &CompletionRequest,
    ) -> Result<CompletionStream> {
        let mut failed = Failures::default();
        for link in &self.links {
            let mut request = Cow::Borrowed(request);
            if let Some(model) = &link.model {
                request.to_mut().model = model.clone();
            }
            match open(link.provider.as_ref(), cx, &request).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let moves_on = self.kinds.contains(&error.kind()) && !cx.cancel.is_cancelled();
                    let provider = link.provider.id();
                    tracing::debug!(%provider, kind = ?error.kind(), moves_on, "provider failed");
                    failed.add(provider, error);
                    if !moves_on {
                        return Err(failed.into_last());
                    }
                }
            }
        }
        Err(failed.into_error())
    }
}

/// What the providers said, in order.
#[derive(Default)]
struct Failures(Vec<(ProviderId, Error)>);

impl Failures {
    fn add(&mut self, provider: &ProviderId, error: Error) {
        self.0.push((provider.clone(), error));
    }

    /// The first that is worth another try, else the last.
    fn into_error(self) -> Error {
        let worth = self.0.iter().position(|(_, error)| error.is_transient());
        let at = worth.unwrap_or(self.0.len().saturating_sub(1));
        self.take(at)
    }

    fn into_last(self) -> Error {
        let at = self.0.len().saturating_sub(1);
        self.take(at)
    }

    /// One of the errors, naming what the others said.
    fn take(mut self, at: usize) -> Error {
        if at >= self.0.len() {
            return Error::config("the fallback chain has no provider to ask");
        }
        let (provider, error) = self.0.remove(at);
        let mut error = error.with("provider", provider);
        for (provider, other) in self.0 {
            error = error.with("also failed", format_args!("{provider}: {other}"));
        }
        error
    }
}
