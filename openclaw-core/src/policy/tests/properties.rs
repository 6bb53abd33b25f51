//! Laws that hold of every decision.

use proptest::{prelude::*, sample::select};

use super::*;
use crate::tool::{Confinement, Effect};

fn labels() -> impl Strategy<Value = Label> {
    let integrity = select(vec![Integrity::Untrusted, Integrity::User, Integrity::System]);
    (integrity, confidentialities(), "[a-c]").prop_map(|(integrity, confidentiality, source)| {
        Label::new(integrity, confidentiality, &source)
    })
}

fn confidentialities() -> impl Strategy<Value = Confidentiality> {
    select(vec![Confidentiality::Public, Confidentiality::Private, Confidentiality::Secret])
}

const KINDS: [ValueKind; 9] = [
    ValueKind::Email,
    ValueKind::Phone,
    ValueKind::Iban,
    ValueKind::Url,
    ValueKind::Path,
    ValueKind::Id,
    ValueKind::Amount,
    ValueKind::Date,
    ValueKind::Text,
];

const SAID: [&str; 5] = [
    "pay $20 to DE89 3704 0044 0532 0130 00",
    "write to bob@x.com or call 5550143",
    "read https://x.com/a on 2026-11-22",
    "delete /tmp/a and order 4711",
    "",
];

fn scalars() -> impl Strategy<Value = Value> {
    let known = select(vec![
        "20",
        "DE89370400440532013000",
        "bob@x.com",
        "5550143",
        "https://x.com/a",
        "2026-11-22",
        "/tmp/a",
        "4711",
    ]);
    prop_oneof![
        6 => known.prop_map(Value::from),
        1 => Just(json!(20)),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn inputs() -> impl Strategy<Value = Value> {
    let values = scalars().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("value|note|\\PC{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let object = proptest::collection::btree_map(
        select(vec!["value", "value", "note", "other"]),
        values.clone(),
        0..4,
    )
    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()));
    prop_oneof![6 => object, 1 => values]
}

fn specs() -> impl Strategy<Value = ToolSpec> {
    let effects = vec![
        Effect::Pure,
        Effect::ReadOnly,
        Effect::Idempotent,
        Effect::Compensable,
        Effect::Irreversible,
    ];
    let confinements = vec![Confinement::InProcess, Confinement::Sealed, Confinement::Connected];
    (
        select(Capability::ALL.to_vec()),
        select(KINDS.to_vec()),
        select(effects),
        select(confinements),
        confidentialities(),
        labels(),
        0..4,
    )
        .prop_map(|(capability, kind, effect, confinement, most, output, declared)| {
            let mut spec = match declared {
                0 => ToolSpec::new("tool", ""),
                1 => ToolSpec::read_only("tool", ""),
                _ => spec(capability, kind),
            };
            spec =
                spec.capability(capability).effect(effect).confinement(confinement).accepts(most);
            spec.output = output;
            spec
        })
}

prop_compose! {
    fn cases()(
        spec in specs(),
        input in inputs(),
        context in labels(),
        said in proptest::collection::vec((select(SAID.to_vec()), labels()), 0..4),
        owner in any::<bool>(),
        audience in confidentialities(),
        permission in select(vec![Permission::Rules, Permission::Rules, Permission::Ask, Permission::Deny]),
    ) -> (Case, Vec<(&'static str, Label)>) {
        let mut case = Case::new(spec, input);
        case.context = context;
        case.audience = audience;
        case.permission = permission;
        if !owner {
            case.principal = Principal::Gateway;
        }
        case.task = task(&said);
        (case, said)
    }
}

fn task(said: &[(&str, Label)]) -> Task {
    let mut task = Task::new();
    for (text, label) in said {
        task.said(*text, label.clone());
    }
    task
}

fn lower(label: &Label, by: &Label) -> Label {
    let mut worse = label.clone();
    worse.integrity = label.integrity.min(by.integrity);
    worse.confidentiality = label.confidentiality.max(by.confidentiality);
    worse
}

/// 0 allow, 1 ask, 2 deny.
fn strictness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Ask { .. } => 1,
        Verdict::Deny { .. } => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_worse_context_never_loosens((case, _) in cases(), by in labels()) {
        let worse = Case { context: lower(&case.context, &by), ..case.clone() };
        prop_assert!(strictness(&worse.verdict()) >= strictness(&case.verdict()));
    }

    #[test]
    fn worse_words_never_loosen((case, said) in cases(), by in labels(), which in any::<prop::sample::Index>()) {
        let mut worse = said;
        if !worse.is_empty() {
            let at = which.index(worse.len());
            worse[at].1 = lower(&worse[at].1, &by);
        }
        let worse = Case { task: task(&worse), ..case.clone() };
        prop_assert!(strictness(&worse.verdict()) >= strictness(&case.verdict()));
    }

    #[test]
    fn forgotten_words_never_loosen((case, said) in cases(), which in any::<prop::sample::Index>()) {
        let mut fewer = said;
        if !fewer.is_empty() {
            fewer.remove(which.index(fewer.len()));
        }
        let fewer = Case { task: task(&fewer), ..case.clone() };
        prop_assert!(strictness(&fewer.verdict()) >= strictness(&case.verdict()));
    }

    #[test]
    fn a_more_confidential_result_or_a_wider_audience_never_loosens((case, _) in cases(), by in labels(), audience in confidentialities()) {
        let mut worse = case.clone();
        worse.spec.output = lower(&worse.spec.output, &by);
        worse.audience = worse.audience.min(audience);
        prop_assert!(strictness(&worse.verdict()) >= strictness(&case.verdict()));
    }

    #[test]
    fn permissions_only_tighten((case, _) in cases()) {
        let with = |permission| strictness(&Case { permission, ..case.clone() }.verdict());
        prop_assert!(with(Permission::Rules) <= with(Permission::Ask));
        prop_assert!(with(Permission::Ask) <= with(Permission::Deny));
        prop_assert!(with(Permission::Ask) >= 1);
        prop_assert_eq!(with(Permission::Deny), 2);
    }

    #[test]
    fn the_same_facts_give_the_same_decision_and_leave_only_lifts_asks((case, _) in cases()) {
        let verdict = case.verdict();
        prop_assert_eq!(&verdict, &case.clone().verdict());
        let hash = CallHash::of(&case.session, &case.call);
        let redeemed = redeem(&case.facts(), &hash).verdict();
        prop_assert_eq!(strictness(&redeemed), if strictness(&verdict) == 2 { 2 } else { 0 });
        let other = Call { id: CallId { seq: Seq(8), index: 0 }, ..case.call.clone() };
        let other = CallHash::of(&case.session, &other);
        prop_assert_eq!(redeem(&case.facts(), &other).verdict(), verdict);
    }

    #[test]
    fn an_untrusted_context_alone_never_reaches_the_world((mut case, _) in cases()) {
        use Capability as C;
        case.task = Task::new();
        case.context = lower(&case.context, &Label::untrusted("web"));
        if matches!(case.spec.capability, C::Communicate | C::Spend | C::WriteIrreversible | C::Configure) {
            prop_assert_ne!(case.verdict(), Verdict::Allow);
        }
    }

    #[test]
    fn an_ask_shows_every_value_of_the_call((case, _) in cases()) {
        if let Verdict::Ask { reason } = case.verdict() {
            let text = explain(&reason, &case.spec, &case.call);
            prop_assert!(!text.contains("unknown source"), "{}", text);
            for value in &reason.provenance {
                prop_assert!(text.contains(&crate::policy::invisible::visible(&value.value)));
            }
            if reason.provenance.is_empty() {
                let nothing = |input: &Value| input.as_object().is_some_and(|o| o.values().all(Value::is_null));
                prop_assert!(case.call.arguments.is_null() || nothing(&case.call.arguments));
            }
        }
    }

    #[test]
    fn any_text_is_cut_up_without_a_panic(text in any::<String>(), value in any::<String>()) {
        let mut task = Task::new();
        task.said(text.clone(), Label::user("owner"));
        for kind in KINDS {
            let _ = task.labels_of(kind, &Value::from(value.clone())).count();
            let _ = task.labels_of(kind, &Value::from(text.clone())).count();
        }
    }

    #[test]
    fn text_near_values_is_cut_up_without_a_panic(text in "[0-9+()., :/@a-bDE$€'\"\u{a0}\u{e9}\n-]{0,40}") {
        let mut task = Task::new();
        task.said(text.clone(), Label::user("owner"));
        for kind in KINDS {
            let _ = task.labels_of(kind, &Value::from(text.as_str())).count();
        }
    }
}
