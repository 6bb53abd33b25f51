//! Words that say little: what a query is not about. All are folded.

use std::{collections::HashMap, sync::LazyLock};

use super::stem::Language;

const ENGLISH: &str = " a about after again all also am an and any are as at be because been before being \
between both but by can cannot could d did do does doing don down during each few for from further had has \
have having he her here hers him his how i if in into is it its itself just ll m me more most my myself no \
nor not now of off on once only or other our ours out over own re s same she should so some such t tell than \
that the their theirs them then there these they this those through to too under until up us ve very was we \
were what when where which while who whom whose why will with would you your yours please ";

const DANISH: &str = " og i jeg det at en den til er som pa de med han af for ikke der var mig sig men et har \
om vi min havde ham hun nu over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev \
kunne ind nar vaere dog noget ";
const DUTCH: &str = " de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om \
hem dan zou of wat mijn men dit zo door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft \
hebben deze u want nog zal zij nu ge geen omdat iets worden toch al waren veel meer doen toen moet ";
const FRENCH: &str = " au aux avec ce ces dans de des du elle en et eux il ils je la le les leur lui ma mais me \
meme mes moi mon ne nos notre nous on ou par pas pour qu que qui quoi sa se ses son sur ta te tes toi ton tu un \
une vos votre vous c d j l m n s t y est sont suis es etes etait quel quelle ";
const GERMAN: &str = " aber alle als also am an auch auf aus bei bin bis bist da das dass dein dem den der des \
dich die dies dir doch du durch ein eine einem einen einer er es euch fur hat hatte ich ihm ihn ihr im in ist \
kann kein man mein mich mir mit nach nicht noch nur ob oder ohne sehr sein sich sie sind so uber um und uns unter \
vom von vor war was weil wenn wer wie wir wird wo zu zum zur ";
const ITALIAN: &str = " ad al alla alle anche che chi ci come con da dal dalla dei del della delle di dove e ed \
gli ha ho i il in io la le lei lo loro lui ma mi mia mio ne nel nella noi non o per piu quando quanto quella quello \
questa questo se si sono su sua suo ti tra tu un una uno vi voi cosa ";
const PORTUGUESE: &str = " a ao aos as com como da das de do dos e ela ele em entre era essa esse esta este eu foi \
ha isso isto ja lhe mais mas me mesmo meu minha muito na nao nas no nos o os ou para pela pelo por qual quando que \
quem se sem ser seu so sua tambem te tem um uma voce ";
const SPANISH: &str = " a al algo ante antes como con contra cual cuando de del desde donde el ella ellos en entre \
era es esa ese esta este fue ha hay la las le les lo los mas me mi mis muy nada ni no nos o os otra otro para pero \
por porque que quien se sin sobre son su sus tambien te tiene todo tu un una y ya yo ";
const SWEDISH: &str = " och det att i en jag hon som han pa den med var sig for sa till ar men ett om hade de av \
icke mig du da sin nu har inte hans honom skulle hennes dar min man ej vid kunde nagot fran ut nar efter upp vi dem \
vara vad over an dig kan har ha mot ";
const VIETNAMESE: &str = " la va cua co cho khong duoc trong nhung mot cac voi khi thi dang cung nhu tu vao gi nao \
sao ai toi minh anh chi em no ta hoac neu vi nen vay nhe a oi ";

/// Words that ask for the newest, or for how things are now.
const TIME: &str = " latest newest last recent recently now current currently today yesterday still anymore nowadays \
lately hien nay gan moi nhat zuletzt aktuell heute jetzt ";
pub(super) const TIME_RUNS: [&str; 8] =
    ["最近", "现在", "現在", "今天", "今日", "최근", "지금", "昨日"];

/// In which lists a word is: a bit for each of [`LISTS`].
static WORDS: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for (place, list) in LISTS.iter().enumerate() {
        for word in list.split_ascii_whitespace() {
            *words.entry(word).or_default() |= 1 << place;
        }
    }
    words
});

/// English, the languages in the order of [`Language::OTHERS`], and what asks for time.
const LISTS: [&str; 11] = [
    ENGLISH, DANISH, DUTCH, FRENCH, GERMAN, ITALIAN, PORTUGUESE, SPANISH, SWEDISH, VIETNAMESE, TIME,
];
const TIME_BIT: u16 = 1 << 10;

/// In which lists a folded word is.
pub(super) fn lists(word: &str) -> u16 {
    if word.len() > 10 { 0 } else { WORDS.get(word).copied().unwrap_or_default() }
}

/// The bit of a language in [`lists`].
pub(super) fn bit(language: Language) -> u16 {
    let place = Language::OTHERS.iter().position(|other| *other == language);
    1 << place.map_or(0, |place| place + 1)
}

/// True for a word that a query in this language is not about.
pub(super) fn is_stop(word: &str, language: Language) -> bool {
    lists(word) & bit(language) != 0
}

pub(super) fn is_about_time(word: &str) -> bool {
    lists(word) & TIME_BIT != 0
}
