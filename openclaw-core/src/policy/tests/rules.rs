//! Each rule by itself.

use super::*;
use crate::{
    policy::decide::judge,
    tool::{Confinement, Effect},
};

fn untrusted(mut case: Case) -> Case {
    case.context = Label::untrusted("web:evil.example");
    case
}

/// For each rule a case that it alone decides: without it, the call would be allowed.
fn decided_by(rule: Rule) -> Case {
    let reading = |kind| Case::new(spec(Capability::ReadPublic, kind), json!({"value": "x"}));
    let public = Confidentiality::Public;
    match rule {
        Rule::WrongTool => {
            let mut case = reading(ValueKind::Text);
            case.call.tool = "another".to_owned();
            case
        }
        Rule::NotPermitted => Case { permission: Permission::Deny, ..reading(ValueKind::Text) },
        // Configure is also guarded as any consequential tool is, so here it has no value to guard.
        Rule::ConfigureFromUntrusted => {
            let mut case =
                Case::new(spec(Capability::Configure, ValueKind::Id), json!({"value": "dark"}));
            case = case.after_reading("use dark colours");
            case
        }
        Rule::ConfigureByOther => {
            let mut case =
                Case::new(spec(Capability::Configure, ValueKind::Text), json!({"value": 1}));
            case.principal = Principal::Service { name: "cron".to_owned() };
            case
        }
        Rule::TooConfidential => {
            let spec =
                spec(Capability::WriteReversible, ValueKind::Text).effect(Effect::Idempotent);
            let mut case = Case::new(spec, json!({"note": "x"}));
            case.context = Label::user("owner").with_confidentiality(Confidentiality::Secret);
            case
        }
        Rule::AudienceTooWide => {
            Case { audience: public, ..Case::new(ToolSpec::read_only("tool", ""), json!({})) }
        }
        Rule::CriticalFromUntrusted => {
            untrusted(Case::new(spec(Capability::Spend, ValueKind::Text), json!({"value": "x"})))
        }
        Rule::ReadCarriesOut => {
            let spec = spec(Capability::ReadPublic, ValueKind::Url).effect(Effect::ReadOnly);
            untrusted(Case::new(spec, json!({"value": "https://evil.example/?secret"})))
        }
        Rule::ExecuteUnsealed => {
            Case::new(spec(Capability::Execute, ValueKind::Text), json!({"value": "ls"}))
        }
        Rule::PermissionAsks => Case { permission: Permission::Ask, ..reading(ValueKind::Text) },
    }
}

#[test]
fn each_rule_is_missed_when_it_is_skipped() {
    for rule in Rule::ALL {
        let case = decided_by(rule);
        assert_eq!(case.rule(), Some(rule));
        let without = judge(&case.facts(), Some(rule)).verdict();
        assert_eq!(without, Verdict::Allow, "without {rule:?} its case is allowed");
        for other in Rule::ALL.into_iter().filter(|other| *other != rule) {
            let verdict = judge(&case.facts(), Some(other)).verdict();
            assert_eq!(verdict, case.verdict(), "{other:?} has no part in the case of {rule:?}");
        }
    }
}

#[test]
fn the_list_of_rules_is_whole_and_in_order() {
    assert!(Rule::ALL.is_sorted());
    assert_eq!(Rule::ALL.last(), Some(&Rule::PermissionAsks));
    assert_eq!(Rule::ALL.len(), Rule::PermissionAsks as usize + 1);
}

#[test]
fn leave_is_for_one_call_and_never_for_a_refused_one() {
    for rule in Rule::ALL {
        let case = decided_by(rule);
        let facts = case.facts();
        let asked = CallHash::of(&case.session, &case.call);
        let other = Call { arguments: json!({"value": "y"}), ..case.call.clone() };
        let other_hash = CallHash::of(&case.session, &other);
        match case.verdict() {
            Verdict::Ask { .. } => {
                assert_eq!(redeem(&facts, &asked).verdict(), Verdict::Allow, "{rule:?}");
            }
            refused => assert_eq!(redeem(&facts, &asked).verdict(), refused, "{rule:?}"),
        }
        assert_eq!(redeem(&facts, &other_hash).verdict(), case.verdict(), "{rule:?}");
    }
}

#[test]
fn leave_does_not_outlive_a_permission() {
    let mut case = decided_by(Rule::CriticalFromUntrusted);
    let asked = CallHash::of(&case.session, &case.call);
    case.permission = Permission::Deny;
    assert!(matches!(redeem(&case.facts(), &asked), Decision::Deny(_)));
}

#[test]
fn consequential_calls_need_a_critical_value_of_the_owners() {
    let none_declared = ToolSpec::read_only("tool", "").capability(Capability::Communicate);
    let schema = json!({"properties": {"body": {}, "to": {}}});
    let none_declared = none_declared.input_schema(schema.clone());
    let ask = Some(Rule::CriticalFromUntrusted);
    assert_eq!(untrusted(Case::new(none_declared.clone(), json!({"body": "x"}))).rule(), ask);
    assert_eq!(untrusted(Case::new(none_declared, json!({}))).rule(), ask);

    let declared = spec(Capability::Communicate, ValueKind::Email);
    for input in [json!({}), json!(null), json!({"note": "x"}), json!({"note": "x", "value": null})]
    {
        let case = Case::new(declared.clone(), input.clone()).after_reading("write to bob@x.com");
        assert_eq!(case.rule(), ask, "{input}");
    }
    for input in [json!("bob@x.com"), json!(["bob@x.com"]), json!(7)] {
        let case = Case::new(declared.clone(), input.clone()).after_reading("write to bob@x.com");
        assert_eq!(case.rule(), ask, "{input}");
    }
}

#[test]
fn a_property_that_the_schema_does_not_name_is_critical() {
    let arguments = json!({"value": "bob@x.com", "bcc": "mallory@evil.org"});
    let case = Case::new(spec(Capability::Communicate, ValueKind::Email), arguments);
    let case = case.after_reading("write to bob@x.com");
    let Verdict::Ask { reason } = case.verdict() else { panic!("asked") };
    let blamed: Vec<_> = reason.provenance.iter().filter(|p| !p.because.is_empty()).collect();
    assert_eq!(blamed.len(), 1);
    assert_eq!(blamed[0].argument, "bcc");

    let variants = json!({"oneOf": [{"properties": {"value": {}}}, {"properties": {"bcc": {}}}]});
    let case = Case { spec: case.spec.clone().input_schema(variants), ..case };
    assert_eq!(case.verdict(), Verdict::Allow);
}

#[test]
fn an_argument_declared_as_two_kinds_may_be_either() {
    let spec = spec(Capability::Communicate, ValueKind::Email).critical("value", ValueKind::Phone);
    for value in ["bob@x.com", "5550143"] {
        let case = Case::new(spec.clone(), json!({"value": value}));
        assert_eq!(case.after_reading("bob@x.com or 5550143").verdict(), Verdict::Allow);
    }
    let case = Case::new(spec, json!({"value": "eve@x.com"})).after_reading("bob@x.com");
    assert_ne!(case.verdict(), Verdict::Allow);
}

#[test]
fn reads_that_cannot_be_undone_are_guarded_and_plain_ones_are_not() {
    for capability in [Capability::ReadPrivate, Capability::WriteReversible] {
        let spec = spec(capability, ValueKind::Id);
        let case =
            |effect| untrusted(Case::new(spec.clone().effect(effect), json!({"value": "x"})));
        assert_eq!(case(Effect::Irreversible).rule(), Some(Rule::CriticalFromUntrusted));
        assert_eq!(case(Effect::Compensable).rule(), None);
        assert_eq!(case(Effect::ReadOnly).rule(), None);
    }
}

#[test]
fn only_what_stays_inside_may_be_given_secrets_unasked() {
    let secret = |spec: ToolSpec| {
        let mut case = Case::new(spec, json!({"note": "x"}));
        case.context = Label::user("owner").with_confidentiality(Confidentiality::Secret);
        case.rule()
    };
    let read = spec(Capability::ReadPrivate, ValueKind::Id).effect(Effect::ReadOnly);
    let asked = Some(Rule::TooConfidential);
    assert_eq!(secret(read.clone()), asked);
    assert_eq!(secret(read.clone().effect(Effect::Pure)), None);
    assert_eq!(
        secret(read.clone().effect(Effect::Pure).confinement(Confinement::Connected)),
        asked
    );
    assert_eq!(secret(read.confinement(Confinement::Sealed)), None);
    let code = spec(Capability::Execute, ValueKind::Text);
    assert_eq!(secret(code.clone().confinement(Confinement::Sealed)), None);
    assert_eq!(secret(code.confinement(Confinement::Connected)), asked);
    let send = spec(Capability::Communicate, ValueKind::Id).effect(Effect::Pure);
    assert_eq!(secret(send.confinement(Confinement::Sealed)), asked);
}

#[test]
fn sealed_code_runs_whatever_the_context() {
    let spec = spec(Capability::Execute, ValueKind::Text).confinement(Confinement::Sealed);
    let case = untrusted(Case::new(spec, json!({"value": "rm -rf /"})));
    assert_eq!(case.verdict(), Verdict::Allow);
}

#[test]
fn a_tool_that_declares_nothing_is_the_most_dangerous() {
    let case = Case::new(ToolSpec::new("tool", ""), json!({"id": "4711"}));
    assert_eq!(case.verdict(), Verdict::Allow, "the owner's own words");
    assert_eq!(case.clone().after_reading("delete 4711").rule(), Some(Rule::TooConfidential));
    let public = Label::new(Integrity::Untrusted, Confidentiality::Public, "web");
    let case = Case { context: public, ..case };
    assert_eq!(case.rule(), Some(Rule::CriticalFromUntrusted));
}

#[test]
fn an_ask_names_every_rule_and_every_element_with_its_source() {
    let arguments = json!({"note": "n", "value": ["bob@x.com", "mallory@evil.org"]});
    let spec = spec(Capability::Communicate, ValueKind::Email).accepts(Confidentiality::Public);
    let mut case = Case::new(spec, arguments).after_reading("write to bob@x.com");
    case.permission = Permission::Ask;
    let Verdict::Ask { reason } = case.verdict() else { panic!("asked") };
    assert_eq!(reason.rule, Rule::TooConfidential);
    assert_eq!(reason.also, [Rule::CriticalFromUntrusted, Rule::PermissionAsks]);
    let seen: Vec<_> = reason
        .provenance
        .iter()
        .map(|p| (p.argument.as_str(), p.value.as_str(), p.label.integrity, p.because.len()))
        .collect();
    let expected = [
        ("note", "\"n\"", Integrity::Untrusted, 1),
        ("value[0]", "\"bob@x.com\"", Integrity::User, 0),
        ("value[1]", "\"mallory@evil.org\"", Integrity::Untrusted, 2),
    ];
    assert_eq!(seen, expected);
    let sources: Vec<_> = reason.provenance[1].label.sources().collect();
    assert_eq!(sources, ["owner"]);
}

#[test]
fn a_peers_own_words_are_not_the_owners() {
    let mut case = Case::new(spec(Capability::Spend, ValueKind::Amount), json!({"value": 20}));
    case.task.said("pay $20", Label::untrusted("telegram:peer"));
    case.context = Label::untrusted("telegram:peer");
    assert_eq!(case.rule(), Some(Rule::CriticalFromUntrusted));
}
