//! The methods that build every provider.

/// Gives a provider, which has its [`Service`](super::Service) in the field `service`, the methods that
/// all of them have.
macro_rules! settings {
    ($provider:ident) => {
        impl $provider {
            /// Asks the service at this address.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if it is no `http` or
            /// `https` URL, or has a user, a password or a query, which would end up in logs.
            pub fn base_url(mut self, url: &str) -> openclaw_core::Result<Self> {
                self.service.set_base(url)?;
                Ok(self)
            }

            /// The model for requests that leave the choice to the provider.
            #[must_use]
            pub fn model(mut self, model: impl Into<openclaw_core::ModelId>) -> Self {
                self.service.model = Some(model.into());
                self
            }

            /// The model for requests that leave the choice to the provider, if there is one.
            pub fn default_model(&self) -> Option<&openclaw_core::ModelId> {
                self.service.model.as_ref()
            }

            /// Another name in the gateway.
            #[must_use]
            pub fn id(mut self, id: impl Into<openclaw_core::ProviderId>) -> Self {
                self.service.id = id.into();
                self
            }

            /// Sends this header with each request.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidConfig`](openclaw_core::ErrorKind::InvalidConfig) if it cannot be a
            /// header, or is one that the provider sets.
            pub fn header(mut self, name: &str, value: &str) -> openclaw_core::Result<Self> {
                self.service.set_header(name, value)?;
                Ok(self)
            }

            /// What models cost. Without it the list prices hold, at the service's own address alone.
            #[must_use]
            pub fn prices(mut self, prices: $crate::PriceTable) -> Self {
                self.service.set_prices(prices);
                self
            }

            /// How long the service may stay silent, before its answer begins and within it.
            #[must_use]
            pub fn idle_timeout(mut self, timeout: std::time::Duration) -> Self {
                self.service.set_idle_timeout(timeout);
                self
            }

            /// Lets the key go over plain HTTP to another machine, where whoever is on the way can read
            /// it.
            #[must_use]
            pub fn allow_plain_http(mut self) -> Self {
                self.service.allow_plain_http();
                self
            }

            /// Sends requests with this client.
            #[must_use]
            pub fn http(
                mut self,
                client: std::sync::Arc<dyn openclaw_core::http_client::HttpClient>,
            ) -> Self {
                self.service.set_http(client);
                self
            }
        }

        /// For people: the model that is asked where nobody names one, and where.
        impl std::fmt::Display for $provider {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.service.fmt(f)
            }
        }

        impl std::fmt::Debug for $provider {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($provider))
                    .field("id", &self.service.id)
                    .field("base_url", &self.service.base)
                    .field("model", &self.service.model)
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use settings;
