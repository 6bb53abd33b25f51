//! Amounts of money and numbers.

use std::collections::HashSet;

use serde_json::Number;

use super::words::{Word, words};

const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD \
    BTC BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB ETH EUR FJD FKP \
    GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW \
    KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN \
    NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS \
    SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF \
    XPF YER ZAR ZMW ZWG";

/// A currency has no hundredths, so three digits behind a dot are thousands.
const WITHOUT_FRACTION: [&str; 5] = ["VND", "IDR", "KRW", "JPY", "CLP"];

struct Amount {
    number: String,
    currency: Option<String>,
}

impl Amount {
    fn canonical(&self) -> String {
        match &self.currency {
            Some(currency) => format!("{} {currency}", self.number),
            None => self.number.clone(),
        }
    }
}

/// The number in decimals, and the currency if one is written.
pub(super) fn canonical(value: &str) -> Option<String> {
    let words = words(value);
    // Nothing may be left out of the value, and no other amount be in it.
    if words.len() > 32 || !value.split(' ').eq(words.iter().map(|word| word.text)) {
        return None;
    }
    let (amount, used) = first(&words)?;
    (used == words.len()).then(|| amount.canonical())
}

/// A JSON number, which has no currency and one reading.
pub(super) fn of_number(number: &Number) -> Option<String> {
    let text = number.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    (plain(whole) && plain(fraction)).then(|| decimal(sign, whole, fraction))
}

pub(super) fn amounts(text: &str) -> HashSet<String> {
    let words = words(text);
    let mut found = HashSet::new();
    let mut at = 0;
    while let Some(rest) = words.get(at..).filter(|rest| !rest.is_empty()) {
        at += match first(rest) {
            Some((amount, used)) => {
                found.insert(amount.canonical());
                found.insert(amount.number);
                used
            }
            // A number that was not understood is not understood in part either.
            None => grouped(rest),
        };
    }
    found
}

/// The amount that `words` begin with, and how many words it takes.
fn first(words: &[Word<'_>]) -> Option<(Amount, usize)> {
    let head = words.first()?.text;
    if let (Some(currency), Some(next)) = (currency(head), words.get(1))
        && next.glued
    {
        let rest = words.get(1..)?;
        let used = grouped(rest);
        let amount = parse(&joined(rest, used), Some(&currency))?;
        return Some((amount, used + 1));
    }
    let used = grouped(words);
    let text = joined(words, used);
    if let Some(next) = words.get(used)
        && next.glued
        && let Some(currency) = currency(next.text)
    {
        return parse(&text, Some(&currency)).map(|amount| (amount, used + 1));
    }
    parse(&text, None).map(|amount| (amount, used))
}

/// How many words make the number at the front: more than one if it is grouped by spaces, `1 500 000`.
fn grouped(words: &[Word<'_>]) -> usize {
    let digits_at_end =
        |text: &str| text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let digits_in_front =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some(head) = words.first().map(|word| word.text) else { return 0 };
    let leading = digits_at_end(head);
    let prefix = head.get(..head.len() - leading).unwrap_or_default();
    if !(1..=3).contains(&leading) || prefix.contains(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    let mut used = 1;
    for word in words.iter().skip(1) {
        if !word.glued || digits_in_front(word.text) != 3 {
            break;
        }
        used += 1;
        if word.text.len() != 3 {
            break;
        }
    }
    used
}

fn joined(words: &[Word<'_>], used: usize) -> String {
    let texts: Vec<&str> = words.iter().take(used).map(|word| word.text).collect();
    texts.join(" ")
}

/// `[sign][currency]number[currency]`, with at most one currency.
fn parse(text: &str, outside: Option<&str>) -> Option<Amount> {
    let negative = text.strip_prefix(['-', '−']);
    let body = negative.or_else(|| text.strip_prefix('+')).unwrap_or(text);
    let is_digit = |c: char| c.is_ascii_digit();
    let start = body.find(is_digit)?;
    let end = body.rfind(is_digit)? + 1;
    let written = |part: &str| (!part.is_empty()).then(|| currency(part).ok_or(()));
    let before = written(body.get(..start)?).transpose().ok()?;
    let behind = written(body.get(end..)?).transpose().ok()?;
    let outside = outside.map(ToOwned::to_owned);
    let mut currencies = [before, behind, outside].into_iter().flatten();
    let currency = currencies.next();
    if currencies.next().is_some() {
        return None;
    }
    let without_fraction = currency.as_deref().is_some_and(|c| WITHOUT_FRACTION.contains(&c));
    let sign = if negative.is_some() { "-" } else { "" };
    let number = number(sign, body.get(start..end)?, without_fraction)?;
    Some(Amount { number, currency })
}

/// The code of a currency that is written as a sign, a code in capitals or an English word.
fn currency(text: &str) -> Option<String> {
    let code = match text {
        "$" | "US$" | "dollar" | "dollars" => "USD",
        "€" | "euro" | "euros" | "Euro" => "EUR",
        "£" => "GBP",
        "₫" | "đ" => "VND",
        "₹" => "INR",
        "₩" => "KRW",
        "₽" => "RUB",
        "₺" => "TRY",
        "₴" => "UAH",
        "zł" => "PLN",
        "¥" | "R$" | "A$" | "C$" | "CA$" | "AU$" | "NZ$" | "HK$" | "S$" => text,
        code if is_code(code) => code,
        _ => return None,
    };
    Some(code.to_owned())
}

fn is_code(text: &str) -> bool {
    let capitals = text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase());
    capitals && CURRENCIES.split(' ').any(|known| known == text)
}

/// The number in plain decimals. A comma before three digits groups; a dot before three digits may
/// group or not, so that is no number unless the currency tells.
fn number(sign: &str, text: &str, without_fraction: bool) -> Option<String> {
    let separators: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let groups: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).collect();
    let (first, last) = (*groups.first()?, *groups.last()?);
    if groups.iter().any(|group| group.is_empty()) {
        return None;
    }
    let Some(mark) = separators.last().copied() else { return Some(decimal(sign, text, "")) };
    let is_mark = |c: char| matches!(c, '.' | ',');
    let groups_only = |groups: &[&str], separators: &[char]| {
        let same = separators.iter().all(|c| Some(c) == separators.first());
        let known = separators.iter().all(|c| is_mark(*c) || matches!(c, '\'' | '’' | ' '));
        let lengths =
            groups.split_first().zip(groups.last()).is_some_and(|((head, rest), tail)| {
                let inner = rest.iter().all(|g| g.len() == 3)
                    || (separators.first() == Some(&',')
                        && rest.iter().rev().skip(1).all(|g| g.len() == 2));
                (1..=3).contains(&head.len()) && !head.starts_with('0') && tail.len() == 3 && inner
            });
        (same && known && lengths).then(|| decimal(sign, &groups.concat(), ""))
    };

    if separators.len() == 1 && is_mark(mark) {
        let may_group = last.len() == 3 && first.len() <= 3 && !first.starts_with('0');
        return match mark {
            _ if !may_group => Some(decimal(sign, first, last)),
            '.' if !without_fraction => None,
            _ => Some(decimal(sign, &groups.concat(), "")),
        };
    }
    let (rest, grouping) = (groups.split_last()?.1, separators.split_last()?.1);
    if is_mark(mark) && !grouping.contains(&mark) {
        groups_only(rest, grouping)?;
        return Some(decimal(sign, &rest.concat(), last));
    }
    groups_only(&groups, &separators)
}

fn decimal(sign: &str, whole: &str, fraction: &str) -> String {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    format!("{sign}{whole}{point}{fraction}")
}
