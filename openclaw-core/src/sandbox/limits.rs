//! How much a box may take.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a command may run where nothing else is said.
pub const DEFAULT_TIME: Duration = Duration::from_secs(30);
/// How many bytes of output a command has where nothing else is said.
pub const DEFAULT_OUTPUT: u64 = 256 * 1024;
/// The longest time that a limit can say.
pub const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The most output that a limit can say, in bytes: what is collected is held in memory.
pub const MAX_OUTPUT: u64 = 64 * 1024 * 1024;

/// How much a box may take of its host. A limit that is not said is the sandbox's own.
///
/// Sizes are written with a unit: `kb`, `mb`, `gb` are powers of 1,000, `kib`, `mib`, `gib` of 1,024.
/// Times as in `30s` or `1m 30s`.
///
/// ```
/// use openclaw_core::{sandbox::Limits, serde_json::{from_value, json}};
///
/// let limits: Limits = from_value(json!({
///     "memory": "512mb", "cpus": 1, "pids": 64, "disk": "1gib", "time": "30s", "output": "256kb"
/// }))?;
/// assert_eq!(limits.memory, Some(512_000_000));
/// let error = from_value::<Limits>(json!({ "memory": "plenty" })).unwrap_err();
/// assert!(error.to_string().contains("512mb"), "{error}");
/// # Ok::<(), openclaw_core::serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Memory, in bytes; there is no swap beyond it.
    #[serde(with = "size", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "512mb")]
    pub memory: Option<u64>,
    /// How many processors' time, as in 1 or 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// How many processes and threads at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What its files may hold, in bytes.
    #[serde(with = "size", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "1gb")]
    pub disk: Option<u64>,
    /// How long a command may run.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "30s")]
    pub time: Option<Duration>,
    /// How many bytes a command may put out; more is left out.
    #[serde(with = "size", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", example = "256kb")]
    pub output: Option<u64>,
}

impl Limits {
    /// Sets the memory, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Sets how many processors' time.
    #[must_use]
    pub fn cpus(mut self, cpus: f64) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Sets how many processes and threads at once.
    #[must_use]
    pub fn pids(mut self, pids: u32) -> Self {
        self.pids = Some(pids);
        self
    }

    /// Sets what its files may hold, in bytes.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Sets how long a command may run.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets how many bytes a command may put out.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        self.output = Some(bytes);
        self
    }

    /// These limits, and those of `other` where these say nothing.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            memory: self.memory.or(other.memory),
            cpus: self.cpus.or(other.cpus),
            pids: self.pids.or(other.pids),
            disk: self.disk.or(other.disk),
            time: self.time.or(other.time),
            output: self.output.or(other.output),
        }
    }

    /// What is out of range.
    pub(super) fn faults(&self) -> Vec<String> {
        let cpus = self.cpus.is_none_or(|cpus| cpus.is_finite() && (0.01..=1024.0).contains(&cpus));
        let time = self.time.is_none_or(|time| !time.is_zero() && time <= MAX_TIME);
        let output = self.output.is_none_or(|bytes| (1..=MAX_OUTPUT).contains(&bytes));
        let rules = [
            (self.memory != Some(0), "memory: expected more than nothing".to_owned()),
            (cpus, "cpus: expected 0.01 to 1024".to_owned()),
            (self.pids != Some(0), "pids: expected at least 1".to_owned()),
            (self.disk != Some(0), "disk: expected more than nothing".to_owned()),
            (time, format!("time: expected more than 0s, at most {}h", MAX_TIME.as_secs() / 3600)),
            (output, format!("output: expected 1 to {MAX_OUTPUT} bytes")),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
    }

    /// The names of the limits that are said here and not in `enforced`.
    pub(super) fn beyond(&self, enforced: &Self) -> Vec<&'static str> {
        let said = [
            ("memory", self.memory.is_some() && enforced.memory.is_none()),
            ("cpus", self.cpus.is_some() && enforced.cpus.is_none()),
            ("pids", self.pids.is_some() && enforced.pids.is_none()),
            ("disk", self.disk.is_some() && enforced.disk.is_none()),
            ("time", self.time.is_some() && enforced.time.is_none()),
            ("output", self.output.is_some() && enforced.output.is_none()),
        ];
        said.into_iter().filter(|(_, beyond)| *beyond).map(|(name, _)| name).collect()
    }
}

mod size {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::ByteSize;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(size: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        size.map(|bytes| format!("{bytes}b")).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let size: ByteSize = text.parse().map_err(|_| {
            D::Error::custom(format!("{text:?} is no size: expected one as in \"512mb\""))
        })?;
        Ok(Some(size.as_u64()))
    }
}

mod time {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::SignedDuration;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let time = time.map(SignedDuration::try_from).transpose();
        time.map_err(serde::ser::Error::custom)?.map(|time| format!("{time:#}")).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let parsed: Option<SignedDuration> = text.parse().ok();
        parsed.and_then(|time| Duration::try_from(time).ok()).map(Some).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no time: expected one as in \"30s\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them_and_written_back() {
        let table = [
            ("512mb", 512_000_000),
            ("512 MB", 512_000_000),
            ("64MiB", 64 << 20),
            ("1gb", 1_000_000_000),
            ("256kb", 256_000),
            ("1024", 1024),
        ];
        for (text, bytes) in table {
            let limits: Limits = from_value(json!({ "memory": text })).unwrap();
            assert_eq!(limits.memory, Some(bytes), "{text}");
            assert_eq!(from_value::<Limits>(to_value(&limits).unwrap()).unwrap(), limits);
        }
        for (text, time) in [("30s", 30_000), ("1m 30s", 90_000), ("250ms", 250)] {
            let limits: Limits = from_value(json!({ "time": text })).unwrap();
            assert_eq!(limits.time, Some(Duration::from_millis(time)), "{text}");
            assert_eq!(from_value::<Limits>(to_value(&limits).unwrap()).unwrap(), limits);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for bad in [
            json!({ "memory": "lots" }),
            json!({ "memory": 512 }),
            json!({ "memory": "-1mb" }),
            json!({ "time": "soon" }),
            json!({ "time": "-30s" }),
            json!({ "pids": -1 }),
            json!({ "cpus": "all" }),
            json!({ "privileged": true }),
            json!({ "devices": ["/dev/kvm"] }),
        ] {
            assert!(from_value::<Limits>(bad.clone()).is_err(), "{bad}");
        }
        let wrong = Limits::default().memory(0).cpus(0.0).pids(0).disk(0).output(0);
        assert_eq!(wrong.time(Duration::ZERO).faults().len(), 6);
        assert!(Limits::default().cpus(f64::NAN).faults().len() == 1);
        assert!(Limits::default().memory(1).cpus(0.5).faults().is_empty());
    }
}
