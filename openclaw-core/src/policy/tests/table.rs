//! The decision table in the documentation, generated from the rules.

use std::{fmt::Write as _, fs, path::Path};

use super::*;
use crate::tool::{Confinement, Effect};

const INTRO: &str = "\
# What the policy decides

Generated from the code by the tests of `openclaw-core` (`OPENCLAW_BLESS=1 cargo test -p openclaw-core policy`
writes it anew); a change of any decision shows here.

Before a tool runs, `policy::decide` looks at where the values of the call came from. The *context* is
everything that the model had read when it asked for the call: as trusted as its least trusted part, as
confidential as its most confidential. A critical value that the owner said, whole and of its declared type,
counts as the owner's words whatever else is in the context. The tables show a tool with one critical
argument, an e-mail address, that may receive private data, called by the owner in a private conversation;
its results are private, its permission is `rules`.

- *owner's words*: the owner wrote the address in this task.
- *context*: the address is in nothing that the owner wrote.
- *none*: the call has no critical value.

A cell names every rule that asks, or the one that refuses. `allow`: the call runs.
";

const CONTEXTS: [(Integrity, Confidentiality); 9] = {
    use Confidentiality::{Private, Public, Secret};
    use Integrity::{System, Untrusted, User};
    [
        (System, Public),
        (System, Private),
        (System, Secret),
        (User, Public),
        (User, Private),
        (User, Secret),
        (Untrusted, Public),
        (Untrusted, Private),
        (Untrusted, Secret),
    ]
};

fn cell(case: &Case) -> String {
    let names = |reason: Reason| {
        let rules: Vec<_> =
            std::iter::once(reason.rule).chain(reason.also).map(|r| format!("{r:?}")).collect();
        rules.join(", ")
    };
    match case.verdict() {
        Verdict::Allow => "allow".to_owned(),
        Verdict::Ask { reason } => format!("ask: {}", names(reason)),
        Verdict::Deny { reason } => format!("**deny**: {}", names(reason)),
    }
}

fn section(out: &mut String, title: &str, spec: &ToolSpec, change: &dyn Fn(&mut Case)) {
    let _ = write!(
        out,
        "\n## {title}\n\n| context | owner's words | context | none |\n|---|---|---|---|\n"
    );
    for (integrity, confidentiality) in CONTEXTS {
        let _ = write!(out, "| {integrity:?}, {confidentiality:?} |");
        for (said, arguments) in [
            ("write to bob@example.com", json!({"value": "bob@example.com"})),
            ("write to whom the page says", json!({"value": "bob@example.com"})),
            ("write to bob@example.com", json!({})),
        ] {
            let mut case = Case::new(spec.clone(), arguments);
            case.task.said(said, Label::user("owner"));
            case.context = Label::new(integrity, confidentiality, "context");
            change(&mut case);
            let _ = write!(out, " {} |", cell(&case));
        }
        out.push('\n');
    }
}

fn table() -> String {
    let mut out = INTRO.to_owned();
    let effect = |capability| match capability {
        Capability::ReadPublic | Capability::ReadPrivate => Effect::ReadOnly,
        Capability::WriteReversible => Effect::Compensable,
        _ => Effect::Irreversible,
    };
    let spec = |capability| spec(capability, ValueKind::Email).effect(effect(capability));
    for capability in Capability::ALL {
        section(&mut out, &format!("{capability:?}"), &spec(capability), &|_| {});
    }
    let sealed = spec(Capability::Execute).confinement(Confinement::Sealed);
    section(&mut out, "Execute in a sealed sandbox", &sealed, &|_| {});
    let read = spec(Capability::ReadPrivate);
    section(
        &mut out,
        "ReadPrivate that computes from its input alone",
        &read.clone().effect(Effect::Pure),
        &|_| {},
    );
    section(
        &mut out,
        "ReadPrivate that cannot be undone",
        &read.clone().effect(Effect::Irreversible),
        &|_| {},
    );
    let public = Confidentiality::Public;
    section(&mut out, "ReadPrivate in a public conversation", &read, &|case| {
        case.audience = public
    });
    let ask = Permission::Ask;
    section(&mut out, "ReadPrivate, permission `ask`", &read, &|case| case.permission = ask);
    let deny = Permission::Deny;
    section(&mut out, "ReadPrivate, permission `deny`", &read, &|case| case.permission = deny);
    let fetch = spec(Capability::ReadPublic).accepts(public);
    section(&mut out, "ReadPublic that may receive public data only", &fetch, &|_| {});
    let send = spec(Capability::Communicate).accepts(public);
    section(&mut out, "Communicate that may receive public data only", &send, &|_| {});
    let service = Principal::Service { name: "cron".to_owned() };
    let configure = spec(Capability::Configure);
    section(&mut out, "Configure, not by the owner", &configure, &|case| {
        case.principal = service.clone()
    });
    out
}

#[test]
fn the_documented_table_is_what_the_rules_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy-table.md");
    let table = table();
    if std::env::var_os("OPENCLAW_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let documented = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        documented == table,
        "docs/policy-table.md is not what the rules decide: if the change is meant, write it anew with OPENCLAW_BLESS=1"
    );
}
