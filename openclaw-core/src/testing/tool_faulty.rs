//! Tools with one fault each, that show that the suite finds it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tool::ToolFixture;
use crate::{
    error::{Error, ErrorKind, Result},
    tool::{Capability, Effect, Tool, ToolContext, ToolOutput, ToolSpec},
};

/// What is wrong with a [`FaultyTool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolFault {
    /// Nothing; the reference.
    None,
    /// A name with a space.
    BadName,
    /// A name of 65 letters.
    LongName,
    /// No description.
    NoDescription,
    /// A schema that is not of an object.
    NoObjectSchema,
    /// Another spec after a call.
    UnstableSpec,
    /// Refuses what fits.
    RefusesGood,
    /// Takes what does not fit.
    TakesBad,
    /// Refuses with the wrong kind.
    WrongKind,
    /// Refuses without saying what was expected.
    VagueRefusal,
    /// Does not hear that it is cancelled.
    IgnoresCancel,
    /// Acts again with the same key.
    ActsTwice,
    /// Declares that it only reads, and writes.
    WritesWhileReading,
    /// One call of several at once waits for ever.
    Deadlocks,
    /// An error whose public text is empty.
    EmptyText,
    /// An error that tells the token.
    TellsSecret,
}

impl ToolFault {
    /// All faults.
    pub const ALL: [Self; 15] = [
        Self::BadName,
        Self::LongName,
        Self::NoDescription,
        Self::NoObjectSchema,
        Self::UnstableSpec,
        Self::RefusesGood,
        Self::TakesBad,
        Self::WrongKind,
        Self::VagueRefusal,
        Self::IgnoresCancel,
        Self::ActsTwice,
        Self::WritesWhileReading,
        Self::Deadlocks,
        Self::EmptyText,
        Self::TellsSecret,
    ];
}

/// What the tool writes to; it stays when the tool goes.
#[derive(Clone, Debug, Default)]
struct World(Arc<Mutex<Vec<String>>>);

impl World {
    fn with<T>(&self, f: impl FnOnce(&mut Vec<String>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A tool that keeps notes, or reads them, and has one fault, or none.
#[derive(Debug)]
pub struct FaultyTool {
    fault: ToolFault,
    effect: Effect,
    world: World,
    token: &'static str,
    calls: Mutex<u32>,
}

const TOKEN: &str = "token-73e1";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    #[allow(dead_code, reason = "only its presence matters")]
    text: String,
    #[serde(default)]
    wait: bool,
}

impl FaultyTool {
    /// A fixture of the tool with `fault`, in two forms: an idempotent one that writes and one that
    /// only reads. Together they skip no case.
    pub fn fixtures(fault: ToolFault) -> [ToolFixture; 2] {
        [Effect::Idempotent, Effect::ReadOnly].map(|effect| {
            let world = World::default();
            let seen = world.clone();
            ToolFixture::new(move || Self {
                fault,
                effect,
                world: world.clone(),
                token: TOKEN,
                calls: Mutex::new(0),
            })
            .good(json!({ "text": "milk" }))
            .bad(json!({ "text": 7 }))
            .bad(json!({}))
            .slow(json!({ "text": "milk", "wait": true }))
            .effects(move || seen.with(|notes| u64::try_from(notes.len()).unwrap_or(u64::MAX)))
            .secret(TOKEN)
        })
    }

    fn refusal(&self, expected: Error) -> Error {
        match self.fault {
            ToolFault::WrongKind => Error::new(ErrorKind::Internal, "bad").with_public("a note"),
            ToolFault::VagueRefusal => Error::new(ErrorKind::InvalidInput, "bad note"),
            ToolFault::EmptyText => Error::new(ErrorKind::InvalidInput, "bad").with_public(""),
            ToolFault::TellsSecret => expected.with("token", self.token),
            _ => expected,
        }
    }

    fn act(&self, cx: &ToolContext) {
        let writes =
            self.effect == Effect::Idempotent || self.fault == ToolFault::WritesWhileReading;
        if writes {
            self.world.with(|notes| {
                let key = cx.key().to_owned();
                if self.fault == ToolFault::ActsTwice || !notes.contains(&key) {
                    notes.push(key);
                }
            });
        }
    }

    fn count(&self) -> u32 {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls += 1;
        *calls
    }
}

#[async_trait]
impl Tool for FaultyTool {
    fn spec(&self) -> ToolSpec {
        let called = *self.calls.lock().unwrap_or_else(PoisonError::into_inner) > 0;
        let name = match self.fault {
            ToolFault::BadName => "keep note".to_owned(),
            ToolFault::LongName => "n".repeat(65),
            ToolFault::UnstableSpec if called => "keep_notes".to_owned(),
            _ => "keep_note".to_owned(),
        };
        let description =
            if self.fault == ToolFault::NoDescription { "" } else { "Keeps a note for later" };
        let schema = match self.fault {
            ToolFault::NoObjectSchema => Value::Bool(true),
            _ => schemars::schema_for!(Note).to_value(),
        };
        ToolSpec::new(name, description)
            .effect(self.effect)
            .capability(Capability::WriteReversible)
            .input_schema(schema)
    }

    async fn call(&self, cx: ToolContext) -> Result<ToolOutput> {
        let number = self.count();
        if self.fault == ToolFault::RefusesGood {
            return Err(Error::new(ErrorKind::Unavailable, "no notes today"));
        }
        let note = match cx.parse::<Note>() {
            Ok(note) => note,
            Err(_) if self.fault == ToolFault::TakesBad => return Ok("kept anyway".into()),
            Err(error) => return Err(self.refusal(error)),
        };
        if self.fault == ToolFault::Deadlocks && number > 2 {
            std::future::pending::<()>().await;
        }
        if note.wait {
            if self.fault == ToolFault::IgnoresCancel {
                std::future::pending::<()>().await;
            }
            cx.cancel().cancelled().await;
            return Err(Error::new(ErrorKind::Cancelled, "cancelled while waiting"));
        }
        self.act(&cx);
        Ok("kept".into())
    }
}
