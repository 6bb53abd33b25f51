//! The rules.

use serde_json::Value;

use super::{CallHash, Decision, Facts, Permission, Permit, Provenance, Reason, Rule, Task};
use crate::{
    label::{Confidentiality, Integrity, Label},
    tool::{Capability, Confinement, Critical, Effect, ValueKind},
};

/// Decides whether a call may run. Pure and total: the same facts always give the same decision.
///
/// The rules are tried in the order of [`Rule`]; a refusal outweighs an ask, an ask outweighs leave.
/// Lowering the integrity or raising the confidentiality of any label never turns `Ask` or `Deny`
/// into `Allow`.
pub fn decide(facts: &Facts<'_>) -> Decision {
    if let Some(reason) = denial(facts) {
        return Decision::Deny(reason);
    }
    match ask(facts) {
        Some(reason) => Decision::Ask(reason),
        None => Decision::Allow(Permit::new(CallHash::of(facts.session, facts.call))),
    }
}

/// Decides again once the owner has given leave to the call with hash `asked`: the leave stands in for
/// the owner's own word, so what was to be asked is allowed; what is refused stays refused, and leave
/// for another call counts for nothing.
pub(crate) fn redeem(facts: &Facts<'_>, asked: &CallHash) -> Decision {
    let hash = CallHash::of(facts.session, facts.call);
    match denial(facts) {
        Some(reason) => Decision::Deny(reason),
        None if hash == *asked => Decision::Allow(Permit::new(hash)),
        None => decide(facts),
    }
}

fn denial(facts: &Facts<'_>) -> Option<Reason> {
    let rule = if facts.permission == Permission::Deny {
        Rule::NotPermitted
    } else if facts.spec.capability == Capability::Configure {
        if facts.context.integrity < Integrity::User {
            Rule::ConfigureFromUntrusted
        } else if !facts.principal.is_owner() {
            Rule::ConfigureByOther
        } else {
            return None;
        }
    } else {
        return None;
    };
    Some(Reason { rule, provenance: Vec::new() })
}

fn ask(facts: &Facts<'_>) -> Option<Reason> {
    let spec = facts.spec;
    let arguments = arguments(facts);
    let of = |rule, picked: &dyn Fn(&Argument) -> bool| {
        let provenance =
            arguments.iter().filter(|argument| picked(argument)).map(Argument::provenance);
        Some(Reason { rule, provenance: provenance.collect() })
    };

    let too_confidential =
        |argument: &Argument| argument.label.confidentiality > spec.max_confidentiality;
    if leaves_the_process(facts) && arguments.iter().any(too_confidential) {
        return of(Rule::TooConfidential, &too_confidential);
    }
    if spec.output.confidentiality > facts.audience {
        return of(Rule::AudienceTooWide, &|_| false);
    }
    let untrusted = |argument: &Argument| {
        argument.critical.is_some() && argument.label.integrity < Integrity::User
    };
    if is_consequential(facts)
        && (arguments.iter().any(untrusted)
            || (arguments.is_empty() && facts.context.integrity < Integrity::User))
    {
        return of(Rule::CriticalFromUntrusted, &untrusted);
    }
    let carries = |argument: &Argument| argument.label.integrity < Integrity::User;
    if spec.capability == Capability::ReadPublic
        && facts.context.confidentiality > Confidentiality::Public
        && arguments.iter().any(carries)
    {
        return of(Rule::ReadCarriesOut, &carries);
    }
    if spec.capability == Capability::Execute && spec.confinement != Confinement::Sealed {
        return of(Rule::ExecuteUnsealed, &|_| true);
    }
    if facts.permission == Permission::Ask {
        return of(Rule::PermissionAsks, &|_| true);
    }
    None
}

/// True unless the input stays where the owner's data is anyway.
fn leaves_the_process(facts: &Facts<'_>) -> bool {
    !(facts.spec.capability == Capability::Execute && facts.spec.confinement == Confinement::Sealed)
}

fn is_consequential(facts: &Facts<'_>) -> bool {
    use Capability as C;
    match facts.spec.capability {
        C::Communicate | C::Spend | C::WriteIrreversible | C::Configure => true,
        C::Execute => facts.spec.confinement != Confinement::Sealed,
        C::ReadPublic | C::ReadPrivate | C::WriteReversible => {
            facts.spec.effect == Effect::Irreversible
        }
    }
}

struct Argument {
    name: String,
    value: Value,
    critical: Option<ValueKind>,
    label: Label,
}

impl Argument {
    fn provenance(&self) -> Provenance {
        Provenance {
            argument: self.name.clone(),
            value: self.value.to_string(),
            label: self.label.clone(),
        }
    }
}

/// The arguments with their labels: the context's, unless each value in it is an exact typed match
/// with the principal's own words.
fn arguments(facts: &Facts<'_>) -> Vec<Argument> {
    let whole = [("input".to_owned(), &facts.call.arguments)];
    let named: Vec<(String, &Value)> = match &facts.call.arguments {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), value)).collect(),
        _ => whole.into(),
    };
    named
        .into_iter()
        .map(|(name, value)| {
            let critical = match &facts.spec.critical {
                Critical::All => Some(ValueKind::Text),
                Critical::These(args) => {
                    args.iter().find(|arg| arg.name == name).map(|arg| arg.kind)
                }
            };
            let label = critical
                .and_then(|kind| own_label(facts.task, kind, value))
                .unwrap_or_else(|| facts.context.clone());
            Argument { name, value: value.clone(), critical, label }
        })
        .collect()
}

fn own_label(task: &Task, kind: ValueKind, value: &Value) -> Option<Label> {
    match value {
        Value::Array(items) => items.iter().try_fold(Label::neutral(), |joined, item| {
            own_label(task, kind, item).map(|label| joined.join(&label))
        }),
        Value::String(text) => task.label_of(kind, text),
        Value::Number(number) => task.label_of(kind, &number.to_string()),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}
