//! Date and time.

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use openclaw_core::{
    Error, ErrorKind, Result,
    label::{Confidentiality, Integrity},
    schemars,
    tool::{ToolContext, ToolOutput, ToolSpec, TypedTool},
};

/// The tool `now`: tells date, time and day of the week in a time zone.
///
/// The time is the gateway's clock, the rules of the zones are built into this crate, so it reads
/// nothing from the system; new rules come with a new version. As no argument leaves the process, it
/// may be called with anything in the context, and its result is as trusted as the clock.
#[derive(Clone, Debug)]
pub struct Now {
    zone: TimeZone,
}

impl Now {
    /// Tells the time in UTC unless the call names a zone.
    pub fn new() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// Tells the time in this zone unless the call names another.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is no IANA name of a time zone, as `Europe/Berlin` is.
    pub fn in_zone(name: &str) -> Result<Self> {
        Ok(Self { zone: zone(name)? })
    }
}

impl Default for Now {
    fn default() -> Self {
        Self::new()
    }
}

/// The input.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// IANA name of the time zone, such as Europe/Berlin or UTC.
    #[serde(default)]
    zone: Option<String>,
}

impl TypedTool for Now {
    type Input = Place;

    fn spec(&self) -> ToolSpec {
        ToolSpec::read_only("now", "Tells the current date, time and day of the week.")
            // The argument goes nowhere.
            .accepts(Confidentiality::Secret)
            .output(Integrity::System, Confidentiality::Public)
    }

    async fn run(&self, cx: ToolContext, place: Place) -> Result<ToolOutput> {
        let zone = match place.zone.as_deref() {
            None => self.zone.clone(),
            Some(name) => zone(name)?,
        };
        let now = Timestamp::from_millisecond(cx.now().as_millis())
            .map_err(|e| Error::wrap(ErrorKind::Internal, e))?
            .to_zoned(zone);
        let text = now.strftime("%A, %-d %B %Y, %H:%M:%S %:z").to_string();
        Ok(match now.time_zone().iana_name() {
            Some(name) => format!("{text} ({name})").into(),
            None => text.into(),
        })
    }
}

fn zone(name: &str) -> Result<TimeZone> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let text = format!(
            "{name:?} is no time zone: give an IANA name, such as Europe/Berlin, Asia/Ho_Chi_Minh or UTC"
        );
        Error::new(ErrorKind::InvalidInput, text.clone()).with_public(text)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openclaw_core::{
        testing::{
            TestCall, TestClock,
            tool::{ToolFixture, suite},
        },
        time::Timestamp,
        tool::Tool as _,
    };
    use serde_json::{Value, json};

    use super::*;

    /// 22 November 2026, 23:30:05 UTC.
    const MOMENT: Timestamp = Timestamp(1_795_390_205_000);

    async fn told(tool: Now, arguments: Value) -> Result<String> {
        let call = TestCall::new("now", arguments).clock(Arc::new(TestClock::at(MOMENT)));
        let output = tool.call(call.context()).await?;
        Ok(openclaw_core::message::plain_text(&output.content))
    }

    #[tokio::test]
    async fn tells_the_time_where_it_is_asked_for() {
        for (arguments, expected) in [
            (json!({}), "Sunday, 22 November 2026, 23:30:05 +00:00 (UTC)"),
            (json!({ "zone": null }), "Sunday, 22 November 2026, 23:30:05 +00:00 (UTC)"),
            (
                json!({ "zone": "Europe/Berlin" }),
                "Monday, 23 November 2026, 00:30:05 +01:00 (Europe/Berlin)",
            ),
            (
                json!({ "zone": "Asia/Kathmandu" }),
                "Monday, 23 November 2026, 05:15:05 +05:45 (Asia/Kathmandu)",
            ),
        ] {
            assert_eq!(told(Now::new(), arguments).await.unwrap(), expected);
        }
        let home = Now::in_zone("America/New_York").unwrap();
        let text = told(home, json!({})).await.unwrap();
        assert_eq!(text, "Sunday, 22 November 2026, 18:30:05 -05:00 (America/New_York)");
    }

    #[tokio::test]
    async fn an_unknown_zone_is_told_to_the_model() {
        let error = told(Now::new(), json!({ "zone": "Berlin" })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.public_text().contains("\"Berlin\" is no time zone"), "{error}");
        assert!(Now::in_zone("../etc/passwd").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_contract_of_tools() {
        let fixture = ToolFixture::new(Now::new)
            .good(json!({ "zone": "Asia/Tokyo" }))
            .bad(json!({ "zone": 7 }))
            .bad(json!({ "city": "Tokyo" }));
        suite("now", fixture).assert().await;
    }
}
