//! What conversations used.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, civil::Date};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Later, Request, Rest, answer, history::fold};
use crate::{
    error::Result as CoreResult,
    gateway::Hub,
    id::{AgentId, Seq, SessionKey},
    protocol::WireError,
    provider::Usage,
    server::keys,
    time::Timestamp,
    turn::{Entry, decode},
};

/// How many sessions are looked through.
const MAX_SESSIONS: usize = 1_000;
/// The most days that costs are told of.
const MAX_DAYS: i64 = 366;
/// How many rows of a log are read at once.
const ROWS_AT_ONCE: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsUsage {
    key: Option<String>,
    agent_id: Option<String>,
    limit: Option<usize>,
    #[serde(flatten)]
    rest: Rest,
}

/// `sessions.usage`: what each session's present history used, those with the most tokens first.
pub(super) fn sessions(request: Request<'_>) -> Result<Later, WireError> {
    let params: SessionsUsage = request.parse()?;
    params
        .rest
        .only(request.method, &["agentScope", "mode", "groupBy", "timeZone", "utcOffset"])?;
    let plan = request.server.handle.hub.plan();
    let agent = params.agent_id.as_deref();
    let one = params.key.map(|key| keys::read(&plan, &key, agent)).transpose()?;
    let agent = params.agent_id.map(|agent| keys::known(&plan, &agent)).transpose()?;
    let limit = params.limit.unwrap_or(MAX_SESSIONS);
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let mut wanted: Vec<SessionKey> = Vec::new();
        match one {
            Some(key) => wanted.push(key),
            None => {
                let mut after: Option<SessionKey> = None;
                while wanted.len() < MAX_SESSIONS {
                    let store = &server.handle.hub.store;
                    let page =
                        store.sessions(after.as_ref(), 256).await.map_err(WireError::from)?;
                    let Some((last, _)) = page.last() else { break };
                    after = Some(last.clone());
                    let keys = page.into_iter().map(|(key, _)| key);
                    wanted
                        .extend(keys.filter(|key| agent.as_ref().is_none_or(|a| a == key.agent())));
                }
            }
        }
        let mut total = Usage::default();
        let mut rows = Vec::with_capacity(wanted.len());
        for key in wanted {
            let folded = fold(&server.handle.hub, &key).await.map_err(WireError::from)?;
            let usage = folded.session.usage();
            total.add(usage);
            let row = json!({
                "key": keys::shown(&key), "agentId": key.agent(), "updatedAt": folded.updated,
                "usage": shown(usage),
            });
            rows.push((usage.total_tokens(), row));
        }
        rows.sort_by_key(|(tokens, _)| std::cmp::Reverse(*tokens));
        let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).take(limit).collect();
        answer(&json!({ "updatedAt": server.now(), "sessions": rows, "totals": shown(&total) }))
    }))
}

#[expect(clippy::cast_precision_loss, reason = "nobody spends 2^52 millionths of a dollar")]
fn shown(usage: &Usage) -> Value {
    json!({
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cacheRead": usage.cached_input_tokens,
        "cacheWrite": usage.cache_write_input_tokens,
        "totalTokens": usage.total_tokens(),
        "totalCost": usage.cost_micro_usd.map(|micro| micro as f64 / 1e6),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cost {
    agent_id: Option<String>,
    days: Option<i64>,
    start_date: Option<String>,
    end_date: Option<String>,
    mode: Option<String>,
    utc_offset: Option<String>,
}

/// Days, counted from 1970-01-01, of clocks that are ahead of UTC by `offset` milliseconds.
struct Days {
    first: i64,
    last: i64,
    offset: i64,
}

const DAY: i64 = 24 * 60 * 60 * 1_000;

impl Days {
    fn of(&self, at: Timestamp) -> i64 {
        at.as_millis().saturating_add(self.offset).div_euclid(DAY)
    }

    /// The first moment of the first day.
    fn begin(&self) -> Timestamp {
        Timestamp(self.first.saturating_mul(DAY).saturating_sub(self.offset))
    }
}

fn wrong(field: &str, expected: &str) -> WireError {
    WireError::invalid(format!("invalid usage.cost params: at /{field}: must be {expected}"))
}

impl Cost {
    fn offset(&self) -> Result<i64, WireError> {
        match (self.mode.as_deref(), &self.utc_offset) {
            (None | Some("utc" | "gateway"), None) => Ok(0),
            (Some("specific"), Some(text)) => {
                offset(text).ok_or_else(|| wrong("utcOffset", "as in UTC+5:30"))
            }
            (Some("specific"), None) => Err(wrong("utcOffset", "as in UTC+5:30")),
            (_, Some(_)) => Err(wrong("mode", "specific, as there is an utcOffset")),
            _ => Err(wrong("mode", "utc, gateway or specific")),
        }
    }

    fn days(&self, now: Timestamp) -> Result<Days, WireError> {
        let offset = self.offset()?;
        let today = Days { first: 0, last: 0, offset }.of(now);
        let day = |text: &str, field| {
            let date: Option<Date> = text.parse().ok();
            let since = date.map(|date| date.duration_since(Date::constant(1970, 1, 1)));
            since
                .map(|since: SignedDuration| since.as_hours() / 24)
                .ok_or_else(|| wrong(field, "a date as in 2026-01-31"))
        };
        let (first, last) = match (&self.start_date, &self.end_date) {
            (None, None) => {
                let days = self.days.unwrap_or(30);
                if !(1..=MAX_DAYS).contains(&days) {
                    return Err(wrong("days", "1 to 366"));
                }
                (today - days + 1, today)
            }
            (Some(first), Some(last)) => (day(first, "startDate")?, day(last, "endDate")?),
            _ => return Err(wrong("startDate", "given together with endDate")),
        };
        if !(first..first.saturating_add(MAX_DAYS)).contains(&last) {
            return Err(wrong("endDate", "at most 366 days from startDate on"));
        }
        Ok(Days { first, last, offset })
    }
}

/// `UTC+5:30` in milliseconds.
fn offset(text: &str) -> Option<i64> {
    let rest = text.strip_prefix("UTC")?;
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    let rest = rest.strip_prefix(['+', '-'])?;
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let fits = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| fits)
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 14 * 60).then_some(sign * all * 60_000)
}

/// What was used, and how many completions have no known price.
#[derive(Default)]
struct Spent {
    usage: Usage,
    unpriced: u64,
}

impl Spent {
    fn add(&mut self, usage: &Usage) {
        self.usage.add(usage);
        let unpriced = usage.cost_micro_usd.is_none() && usage.total_tokens() > 0;
        self.unpriced += u64::from(unpriced);
    }

    fn shown(&self) -> Map<String, Value> {
        let Value::Object(mut told) = shown(&self.usage) else { return Map::new() };
        // What no price is known of is counted beside.
        told.entry("totalCost").and_modify(|cost| {
            if cost.is_null() {
                *cost = 0.0.into();
            }
        });
        told.insert("missingCostEntries".to_owned(), self.unpriced.into());
        told
    }
}

/// `usage.cost`: what all conversations used on each day, by their logs.
pub(super) fn cost(request: Request<'_>) -> Result<Later, WireError> {
    let params: Cost = request.parse()?;
    let days = params.days(request.server.now())?;
    let plan = request.server.handle.hub.plan();
    let agent = params.agent_id.map(|agent| keys::known(&plan, &agent)).transpose()?;
    let server = Arc::clone(request.server);
    Ok(Box::pin(async move {
        let found = spent(&server.handle.hub, agent.as_ref(), &days);
        let found = found.await.map_err(WireError::from)?;
        let mut all = Spent::default();
        let mut daily = Vec::with_capacity(found.len());
        for (day, spent) in found {
            all.usage.add(&spent.usage);
            all.unpriced += spent.unpriced;
            let date =
                Date::constant(1970, 1, 1).saturating_add(SignedDuration::from_hours(day * 24));
            let mut told = spent.shown();
            told.insert("date".to_owned(), date.to_string().into());
            daily.push(told);
        }
        answer(&json!({
            "updatedAt": server.now(),
            "days": days.last - days.first + 1,
            "daily": daily,
            "totals": all.shown(),
        }))
    }))
}

async fn spent(
    hub: &Hub,
    agent: Option<&AgentId>,
    days: &Days,
) -> CoreResult<BTreeMap<i64, Spent>> {
    let mut found = BTreeMap::new();
    let mut after: Option<SessionKey> = None;
    loop {
        let page = hub.store.sessions(after.as_ref(), 256).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = Some(last.clone());
        for (key, head) in page {
            if agent.is_none_or(|agent| agent == key.agent()) {
                count(hub, &key, head.seq, days, &mut found).await?;
            }
        }
    }
}

async fn count(
    hub: &Hub,
    key: &SessionKey,
    end: Seq,
    days: &Days,
    found: &mut BTreeMap<i64, Spent>,
) -> CoreResult<()> {
    let newest = hub.store.read(key, Seq(end.0.saturating_sub(1)), 1).await?;
    if newest.last().is_none_or(|row| row.at < days.begin()) {
        return Ok(());
    }
    let mut after = Seq::ZERO;
    loop {
        let rows = hub.store.read(key, after, ROWS_AT_ONCE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.seq;
        for row in &rows {
            let day = days.of(row.at);
            if !(days.first..=days.last).contains(&day) {
                continue;
            }
            if let Some(Entry::Replied { usage, .. } | Entry::Compacted { usage, .. }) =
                decode(row)?
            {
                found.entry(day).or_default().add(&usage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read() {
        for (text, minutes) in [("UTC+5:30", 330), ("UTC-3", -180), ("UTC+00", 0), ("UTC+14", 840)]
        {
            assert_eq!(offset(text), Some(minutes * 60_000), "{text}");
        }
        for text in ["", "UTC", "UTC5", "+5", "UTC+", "UTC+5:3", "UTC+5:60", "UTC+14:01", "UTC++5"]
        {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_clock_that_is_named() {
        let cost = |mode: Option<&str>, utc_offset: Option<&str>, days| Cost {
            agent_id: None,
            days,
            start_date: None,
            end_date: None,
            mode: mode.map(str::to_owned),
            utc_offset: utc_offset.map(str::to_owned),
        };
        // 1970-01-02T20:00Z.
        let now = Timestamp(44 * 60 * 60 * 1_000);
        let days = cost(None, None, Some(1)).days(now).unwrap();
        assert_eq!((days.first, days.last, days.begin()), (1, 1, Timestamp(DAY)));
        let days = cost(Some("specific"), Some("UTC+5"), Some(2)).days(now).unwrap();
        assert_eq!((days.first, days.last), (1, 2));
        assert_eq!(days.begin(), Timestamp(19 * 60 * 60 * 1_000));
        for wrong in [cost(None, None, Some(0)), cost(Some("specific"), None, None)] {
            assert!(wrong.days(now).is_err());
        }
        let mut dates = cost(None, None, None);
        (dates.start_date, dates.end_date) = (Some("1970-01-01".into()), Some("1971-01-01".into()));
        assert_eq!(dates.days(now).unwrap().last, 365);
        dates.end_date = Some("1971-01-02".into());
        assert!(dates.days(now).is_err());
        dates.end_date = None;
        assert!(dates.days(now).is_err());
    }
}
