//! Characters without what people leave out when they type.

use unicode_normalization::{UnicodeNormalization as _, char::decompose_canonical};

/// Hands the characters of `text` to `each`: compatible forms made one (NFKC), in lower case, and of
/// Latin, Greek and Cyrillic letters the base alone.
pub(crate) fn fold(text: &str, mut each: impl FnMut(char)) {
    if text.is_ascii() {
        text.bytes().for_each(|byte| each(char::from(byte.to_ascii_lowercase())));
        return;
    }
    for c in text.nfkc() {
        if c.is_ascii() {
            each(c.to_ascii_lowercase());
            continue;
        }
        c.to_lowercase().for_each(|c| base(c, &mut each));
    }
}

fn base(c: char, each: &mut impl FnMut(char)) {
    let spelled = match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'đ' | 'ð' => "d",
        'ø' => "o",
        'ł' => "l",
        'ħ' => "h",
        'ı' => "i",
        'ŧ' => "t",
        'ŋ' => "n",
        // Marks that stand alone, and points that are left out in Hebrew and Arabic.
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}' => "",
        _ if has_optional_marks(c) => {
            decompose_canonical(c, |part| {
                if !matches!(part, '\u{300}'..='\u{36f}') {
                    each(part);
                }
            });
            return;
        }
        c => return each(c),
    };
    spelled.chars().for_each(each);
}

/// Latin, Greek and Cyrillic beyond ASCII.
fn has_optional_marks(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}')
}

/// True if the character's script puts no spaces between words.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Myanmar
        | '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7ff}' | '\u{3130}'..='\u{318f}' // Hangul
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // Kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{3ffff}')
        && c.is_alphanumeric()
        || matches!(c, '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}')
}

/// True for a mark that belongs to the letter before it.
pub(super) fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}
