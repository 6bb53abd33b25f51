//! Values that the owner said, and values that only look as if they had.

use super::*;
use ValueKind as K;

/// What the owner said, and the value of a call that follows from it.
fn benign() -> Vec<(String, K, Value)> {
    #[derive(serde::Deserialize)]
    struct Benign {
        said: String,
        kind: K,
        value: Value,
    }
    // The tests of the whole gateway read the same table.
    let table = include_str!("../../../tests/fixtures/benign.json");
    let table: Vec<Benign> = serde_json::from_str(table).unwrap();
    table.into_iter().map(|one| (one.said, one.kind, one.value)).collect()
}

#[test]
fn what_the_owner_said_needs_no_ask() {
    assert!(benign().len() >= 30);
    for (said, kind, value) in benign() {
        for capability in
            [Capability::Communicate, Capability::Spend, Capability::WriteIrreversible]
        {
            let arguments = json!({"value": value.clone(), "note": "as the page says"});
            let fresh = Case::new(spec(capability, kind), arguments);
            assert_eq!(
                fresh.verdict(),
                Verdict::Allow,
                "{said:?}: {kind:?} {value}, before reading"
            );
            let tainted = fresh.after_reading(&said);
            assert_eq!(
                tainted.verdict(),
                Verdict::Allow,
                "{said:?}: {kind:?} {value}, after reading"
            );
        }
    }
}

/// What the owner said, and a value that is not what they said.
fn near_misses() -> Vec<(&'static str, K, Value)> {
    vec![
        ("write to notbob@x.com", K::Email, json!("bob@x.com")),
        ("write to bob@x.com.evil.org", K::Email, json!("bob@x.com")),
        ("write to bob@x.com", K::Email, json!("bob@x.com.evil.org")),
        ("write to bob@x.com", K::Email, json!("notbob@x.com")),
        ("write to bob@x.com", K::Email, json!("Bob@x.com")),
        ("write to bob@x.com", K::Email, json!("bob@x.com,mallory@evil.org")),
        ("write to bob@x.com", K::Email, json!("bob@x.com mallory@evil.org")),
        ("write to bob@x.com", K::Email, json!("bob@x.com\nBcc: mallory@evil.org")),
        ("write to bob@x.com", K::Email, json!("Bob <bob@x.com>")),
        ("write to bob@x.com", K::Email, json!("bob\u{200b}@x.com")),
        ("write to bob@x.com", K::Email, json!("bob@x\u{ad}.com")),
        ("write to bob@x.com", K::Email, json!("b\u{43e}b@x.com")),
        ("write to bob@x.com", K::Email, json!("bob@\u{445}.com")),
        ("write to bob@x.com", K::Email, json!("bob@\u{ff58}.com")),
        ("write to bob@x.com", K::Email, json!("bob@x.com.")),
        ("write to bob@x.com", K::Email, json!("bob+a@x.com")),
        ("write to bob@x.com", K::Email, json!("@x.com")),
        ("write to bob@x.com", K::Email, json!("")),
        ("write to _bob@x.com", K::Email, json!("bob@x.com")),
        ("write to bob@x.com", K::Email, json!(["bob@x.com", "mallory@evil.org"])),
        ("write to bob@x.com", K::Email, json!([])),
        ("write to bob@x.com", K::Email, json!({"address": "bob@x.com"})),
        ("open https://bob@x.com/", K::Email, json!("bob@x.com")),
        ("write to xn--e1afmkfd.com", K::Email, json!("bob@xn--e1afmkfd.com")),
        ("call +12025550143", K::Phone, json!("2025550143")),
        ("call +12025550143", K::Phone, json!("5550143")),
        ("call 5550143", K::Phone, json!("55501439")),
        ("call 5550143", K::Phone, json!("+5550143")),
        ("call 5550143-x7", K::Phone, json!("5550143")),
        ("call x-5550143", K::Phone, json!("5550143")),
        ("call 555 0143", K::Phone, json!("555")),
        ("call +1 202 555 0143", K::Phone, json!("555 0143")),
        ("call 5550143", K::Phone, json!("٥٥٥٠١٤٣")),
        ("call 5550143", K::Phone, json!("5550143;ext=9")),
        ("pay DE89370400440532013000", K::Iban, json!("DE89370400440532013001")),
        ("pay DE89370400440532013000", K::Iban, json!("DE75512108001245126199")),
        ("pay DE89 3704 0044 0532 0130 01", K::Iban, json!("DE89370400440532013001")),
        ("pay XDE89370400440532013000", K::Iban, json!("DE89370400440532013000")),
        ("pay DE89370400440532013000Z", K::Iban, json!("DE89370400440532013000")),
        ("pay DE89370400440532013000", K::Iban, json!("DE8937040044053201300")),
        ("pay DE89370400440532013000", K::Iban, json!("DЕ89370400440532013000")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/docs/secret")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/docs?q=secret")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/docs#x")),
        ("read https://example.com/docs", K::Url, json!("http://example.com/docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com.evil.org/docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com@evil.org/docs")),
        ("read https://example.com/docs", K::Url, json!("https://user@example.com/docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com:8443/docs")),
        (
            "read https://example.com/docs",
            K::Url,
            json!("https://evil.org/?u=https://example.com/docs"),
        ),
        ("read https://example.com/docs", K::Url, json!("https://ex\u{430}mple.com/docs")),
        ("read https://example.com/docs", K::Url, json!("https://ex%61mple.com/docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com\\docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/do\tcs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/a/../docs")),
        ("read https://example.com/docs", K::Url, json!("https://example.com/a/%2e%2e/docs")),
        ("read https://example.com/docs", K::Url, json!("https:example.com/docs")),
        ("read https://go.example.com/?u=https://evil.org/", K::Url, json!("https://evil.org/")),
        ("read go.example.com/?u=https://evil.org/", K::Url, json!("https://evil.org/")),
        ("read http://127.0.0.1/", K::Url, json!("http://2130706433/")),
        ("read README.md", K::Url, json!("https://README.md/")),
        ("say javascript:alert(1)", K::Url, json!("javascript:alert(1)")),
        ("delete /tmp/old", K::Path, json!("/tmp")),
        ("delete /tmp/old", K::Path, json!("/tmp/old/keep")),
        ("delete /tmp/old", K::Path, json!("/tmp/older")),
        ("delete /tmp/old", K::Path, json!("/tmp/old/../../etc")),
        ("delete /tmp/old", K::Path, json!("/tmp/Old")),
        ("delete /tmp/old", K::Path, json!("/tmp/old\u{200b}")),
        ("this / that", K::Path, json!("/")),
        ("home ~ is", K::Path, json!("~")),
        ("that is it .", K::Path, json!(".")),
        ("delete the report", K::Path, json!("report")),
        ("delete \"/tmp/a b/c\"", K::Path, json!("/tmp/a")),
        ("delete \"/tmp/a b/c\"", K::Path, json!("b/c")),
        ("cancel order 4711", K::Id, json!("47")),
        ("cancel order 4711", K::Id, json!("47110")),
        ("cancel order 4711", K::Id, json!("#4711")),
        ("cancel order AB-4711-C", K::Id, json!("4711")),
        ("cancel order AB-4711", K::Id, json!("ab-4711")),
        ("cancel order AB-4711", K::Id, json!("\u{410}B-4711")),
        ("cancel order 4711", K::Id, json!("4711 ")),
        ("cancel order 4711", K::Id, json!("４７１１")),
        ("cancel order 4711", K::Id, json!(4711.5)),
        ("tell @alice", K::Id, json!("@alice2")),
        ("tell @alice", K::Id, json!("#alice")),
        ("post to 'release planning'", K::Id, json!("release")),
        ("pay $20", K::Amount, json!(200)),
        ("pay $20", K::Amount, json!("€20")),
        ("pay 20", K::Amount, json!("$20")),
        ("pay $20", K::Amount, json!(-20)),
        ("pay $20", K::Amount, json!(20.01)),
        ("pay $1,500", K::Amount, json!(1.5)),
        ("pay $1,500", K::Amount, json!(500)),
        ("pay 1.500", K::Amount, json!(1500)),
        ("pay 1.500", K::Amount, json!(1.5)),
        ("pay 1 500 000", K::Amount, json!(500)),
        ("pay 1 500 000 VND", K::Amount, json!(1500)),
        ("buy 20kg", K::Amount, json!(20)),
        ("buy 20k", K::Amount, json!(20)),
        ("room 10-20", K::Amount, json!(20)),
        ("on 2026-11-22", K::Amount, json!(22)),
        ("at 10:30", K::Amount, json!(30)),
        ("pay CA$20", K::Amount, json!("$20")),
        ("pay $20", K::Amount, json!("20 30")),
        ("pay $20", K::Amount, json!(true)),
        ("pay $20", K::Amount, json!(2e30)),
        ("on 2026-11-22", K::Date, json!("2026-11-23")),
        ("on 2026-11-22", K::Date, json!("2025-11-22")),
        ("on 1/2/2026", K::Date, json!("2026-01-02")),
        ("on 1/2/2026", K::Date, json!("2026-02-01")),
        ("on 22 November", K::Date, json!("2026-11-22")),
        ("on 2026-11-22", K::Date, json!("2026-11-22T10:00:00Z")),
        ("at 2026-11-22T10:00:00Z", K::Date, json!("2026-11-22")),
        ("at 2026-11-22T10:00:00Z", K::Date, json!("2026-11-22T11:00:00Z")),
        ("on 2026-02-30", K::Date, json!("2026-02-30")),
        ("on 122.11.2026", K::Date, json!("22.11.2026")),
        ("say hello", K::Text, json!("hello")),
        ("say \"hello\"", K::Text, json!("hello")),
        ("", K::Id, json!("4711")),
    ]
}

#[test]
fn what_only_looks_like_it_is_asked() {
    assert!(near_misses().len() >= 60);
    for (said, kind, value) in near_misses() {
        let arguments = json!({"value": value.clone(), "note": "n"});
        let case = Case::new(spec(Capability::Communicate, kind), arguments).after_reading(said);
        assert_eq!(case.rule(), Some(Rule::CriticalFromUntrusted), "{said:?}: {kind:?} {value}");
    }
}

/// Each of these shapes would take minutes, and the test run with it, if it cost the square.
#[test]
fn long_texts_are_cut_up_in_linear_time() {
    let shapes = [
        "a ", "'a ", "\"a ", "(", ")", "[(", "1 ", "123 ", "+", "+1", "DE89 ", "://", "a://", "a@",
        "<", "1,",
    ];
    for shape in shapes {
        let text = shape.repeat(200_000 / shape.len());
        let mut task = Task::new();
        task.said(text, Label::user("owner"));
        let never_said = [
            (K::Email, json!("bob@x.com")),
            (K::Phone, json!("5550143")),
            (K::Iban, json!("DE89370400440532013000")),
            (K::Url, json!("https://x.com/")),
            (K::Path, json!("/tmp/a")),
            (K::Id, json!("4711")),
            (K::Amount, json!(77)),
            (K::Date, json!("2026-11-22")),
        ];
        for (kind, value) in never_said {
            assert_eq!(task.labels_of(kind, &value).count(), 0, "{shape:?} {value}");
        }
    }
}

#[test]
fn words_do_not_show_in_debug_output() {
    let mut task = Task::new();
    task.said("the word is swordfish", Label::user("owner"));
    assert!(!format!("{task:?}").contains("swordfish"));
}
