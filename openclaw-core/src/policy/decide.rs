//! The rules.
//!
//! What a value of a call is trusted for is said in [`arguments`](super::arguments).

use super::{
    CallHash, Decision, Facts, Permission, Permit, Provenance, Reason, Rule,
    arguments::{Argument, arguments},
};
use crate::{
    label::{Confidentiality, Integrity},
    tool::{Capability, Confinement, Effect, ToolSpec},
};

/// Decides whether a call may run. Pure and total: the same facts always give the same decision.
///
/// The rules are tried in the order of [`Rule`]; a refusal outweighs an ask, an ask outweighs leave.
/// Lowering the integrity or raising the confidentiality of any label never turns `Ask` or `Deny`
/// into `Allow`, and neither does forgetting some of what the principal said.
pub fn decide(facts: &Facts<'_>) -> Decision {
    judge(facts, None)
}

/// Decides again once the owner has given leave to the call with hash `asked`: the leave stands in for
/// the owner's own word, so what was to be asked is allowed; what is refused stays refused, and leave
/// for another call counts for nothing.
pub(crate) fn redeem(facts: &Facts<'_>, asked: &CallHash) -> Decision {
    let decision = decide(facts);
    match decision {
        Decision::Ask(reason) => {
            let hash = CallHash::of(facts.session, facts.call);
            if hash == *asked { Decision::Allow(Permit::new(hash)) } else { Decision::Ask(reason) }
        }
        allowed_or_refused => allowed_or_refused,
    }
}

/// Applies every rule but `skip`, which is only ever a rule in tests: each must be missed there.
pub(super) fn judge(facts: &Facts<'_>, skip: Option<Rule>) -> Decision {
    let mut rules = Rule::ALL.into_iter().filter(|rule| Some(*rule) != skip);
    if let Some(rule) = rules.clone().find(|rule| refuses(*rule, facts)) {
        return Decision::Deny(Reason { rule, also: Vec::new(), provenance: Vec::new() });
    }

    let values = arguments(facts);
    let Some(rule) = rules.find(|rule| asks(*rule, facts, &values)) else {
        return Decision::Allow(Permit::new(CallHash::of(facts.session, facts.call)));
    };
    // Leave is given to the whole call, so the owner is told all that speaks against it, and is shown
    // every value of it.
    let also: Vec<Rule> = rules.filter(|rule| asks(*rule, facts, &values)).collect();
    let spoke = || std::iter::once(rule).chain(also.iter().copied());
    let provenance = values
        .into_iter()
        .map(|value| Provenance {
            because: spoke().filter(|rule| speaks_of(*rule, facts, &value)).collect(),
            argument: value.name,
            value: value.value.to_string(),
            label: value.label,
        })
        .collect();
    Decision::Ask(Reason { rule, also, provenance })
}

/// True if `rule` refuses the call, whatever the owner says to it.
fn refuses(rule: Rule, facts: &Facts<'_>) -> bool {
    let configures = facts.spec.capability == Capability::Configure;
    match rule {
        Rule::WrongTool => facts.call.tool != facts.spec.name,
        Rule::NotPermitted => facts.permission == Permission::Deny,
        Rule::ConfigureFromUntrusted => configures && facts.context.integrity < Integrity::User,
        Rule::ConfigureByOther => configures && !facts.principal.is_owner(),
        Rule::TooConfidential
        | Rule::AudienceTooWide
        | Rule::CriticalFromUntrusted
        | Rule::ReadCarriesOut
        | Rule::ExecuteUnsealed
        | Rule::PermissionAsks => false,
    }
}

/// True if by `rule` the owner is to be asked.
fn asks(rule: Rule, facts: &Facts<'_>, values: &[Argument<'_>]) -> bool {
    let any = || values.iter().any(|value| speaks_of(rule, facts, value));
    match rule {
        Rule::TooConfidential | Rule::ReadCarriesOut => any(),
        Rule::CriticalFromUntrusted => {
            let unfounded = values.iter().all(|value| !value.is_critical());
            any()
                || (is_consequential(facts.spec)
                    && unfounded
                    && facts.context.integrity < Integrity::User)
        }
        Rule::AudienceTooWide => facts.spec.output.confidentiality > facts.audience,
        Rule::ExecuteUnsealed => {
            facts.spec.capability == Capability::Execute && !is_sealed(facts.spec)
        }
        Rule::PermissionAsks => facts.permission == Permission::Ask,
        Rule::WrongTool
        | Rule::NotPermitted
        | Rule::ConfigureFromUntrusted
        | Rule::ConfigureByOther => false,
    }
}

/// True if it is for this value that `rule` asks.
fn speaks_of(rule: Rule, facts: &Facts<'_>, value: &Argument<'_>) -> bool {
    let spec = facts.spec;
    match rule {
        Rule::TooConfidential => {
            !keeps_its_input(spec) && value.label.confidentiality > spec.max_confidentiality
        }
        Rule::CriticalFromUntrusted => {
            is_consequential(spec) && value.is_critical() && value.label.integrity < Integrity::User
        }
        Rule::ReadCarriesOut => {
            spec.capability == Capability::ReadPublic
                && facts.context.confidentiality > Confidentiality::Public
                && value.label.integrity < Integrity::User
        }
        _ => false,
    }
}

/// True if nobody can see the input but the tool's own code: it cannot carry anything out. A tool that
/// only says that it changes nothing may still ask a server, so `ReadOnly` is not enough.
fn keeps_its_input(spec: &ToolSpec) -> bool {
    match spec.capability {
        Capability::Execute => is_sealed(spec),
        Capability::ReadPrivate => {
            is_sealed(spec)
                || (spec.effect == Effect::Pure && spec.confinement == Confinement::InProcess)
        }
        _ => false,
    }
}

fn is_sealed(spec: &ToolSpec) -> bool {
    spec.confinement == Confinement::Sealed
}

/// True if a wrong critical value does harm that cannot be undone.
fn is_consequential(spec: &ToolSpec) -> bool {
    use Capability as C;
    match spec.capability {
        C::Communicate | C::Spend | C::WriteIrreversible | C::Configure => true,
        // What happens in a sealed sandbox stays there, whatever the code does.
        C::Execute => !is_sealed(spec),
        // A declaration that contradicts itself counts as the worse of the two.
        C::ReadPublic | C::ReadPrivate | C::WriteReversible => spec.effect == Effect::Irreversible,
    }
}
