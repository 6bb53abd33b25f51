//! Telling a collector of turns, where the configuration names one.

use openclaw_core::Result;

use crate::{logs::Spans, setup::Setup};

/// What tells it.
#[cfg(feature = "opentelemetry")]
pub(crate) struct Telling(Option<openclaw_core::telemetry::Telemetry>);

#[cfg(feature = "opentelemetry")]
pub(crate) fn start(setup: &Setup) -> Result<Telling> {
    let http = std::sync::Arc::new(setup.http());
    let start = |entry| openclaw_core::telemetry::Telemetry::start(&entry, http);
    setup.kept()?.telemetry.map(start).transpose().map(Telling)
}

#[cfg(feature = "opentelemetry")]
impl Telling {
    pub(crate) fn layer(&self) -> Spans {
        use tracing_subscriber::Layer as _;
        self.0.as_ref().map(|telemetry| telemetry.layer().boxed())
    }

    pub(crate) async fn stop(self) {
        if let Some(telemetry) = self.0 {
            telemetry.stop().await;
        }
    }
}

/// Nothing: this program was built without it.
#[cfg(not(feature = "opentelemetry"))]
pub(crate) struct Telling;

#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn start(setup: &Setup) -> Result<Telling> {
    if setup.kept()?.telemetry.is_some() {
        return Err(openclaw_core::Error::config(
            "\"telemetry\" needs a program that was built with it: cargo build --example gateway \
             --features opentelemetry",
        ));
    }
    Ok(Telling)
}

#[cfg(not(feature = "opentelemetry"))]
impl Telling {
    #[expect(clippy::unused_self, reason = "as where there is something")]
    pub(crate) fn layer(&self) -> Spans {
        None
    }

    #[expect(clippy::unused_async, reason = "as where there is something")]
    pub(crate) async fn stop(self) {}
}
