//! Words are found in every script, with marks and without.

use openclaw_core::memory::{Memory as _, Query};

use super::{fact, fresh, scope, texts};

/// What is asked, and the one text among all that has it.
const PROBES: &[(&str, &str)] = &[
    // Vietnamese, with and without marks, either way round.
    ("cà phê sữa đá", "Tôi thích uống cà phê sữa đá mỗi sáng"),
    ("ca phe sua da", "Tôi thích uống cà phê sữa đá mỗi sáng"),
    ("sữa", "Tôi thích uống cà phê sữa đá mỗi sáng"),
    ("sua", "Tôi thích uống cà phê sữa đá mỗi sáng"),
    ("Đà Nẵng", "Chúng tôi đi Đà Nẵng vào tháng bảy"),
    ("da nang", "Chúng tôi đi Đà Nẵng vào tháng bảy"),
    ("tháng bảy", "Chúng tôi đi Đà Nẵng vào tháng bảy"),
    ("thang bay", "Chúng tôi đi Đà Nẵng vào tháng bảy"),
    ("đường Nguyễn Huệ", "Nhà ở số 12 đường Nguyễn Huệ"),
    ("duong nguyen hue", "Nhà ở số 12 đường Nguyễn Huệ"),
    ("NGUYỄN", "Nhà ở số 12 đường Nguyễn Huệ"),
    ("Đường", "Nhà ở số 12 đường Nguyễn Huệ"),
    ("bác sĩ", "hen bac si luc chin gio"),
    ("chín giờ", "hen bac si luc chin gio"),
    ("phở bò", "Quán phở bò gần chợ Bến Thành"),
    ("pho bo", "Quán phở bò gần chợ Bến Thành"),
    ("Bến Thành", "Quán phở bò gần chợ Bến Thành"),
    ("ben thanh", "Quán phở bò gần chợ Bến Thành"),
    ("sinh nhật của Lan", "Sinh nhật Lan là ngày mồng ba"),
    ("mong ba", "Sinh nhật Lan là ngày mồng ba"),
    // Chinese.
    ("咖啡", "我每天早上喝咖啡"),
    ("早上", "我每天早上喝咖啡"),
    ("喝", "我每天早上喝咖啡"),
    ("北京", "他住在北京的一个小区"),
    ("小区", "他住在北京的一个小区"),
    ("他住在哪里", "他住在北京的一个小区"),
    ("護照", "護照放在書桌的抽屜裡"),
    ("抽屜", "護照放在書桌的抽屜裡"),
    ("书店的电话", "书店的电话是八八六零"),
    ("电话", "书店的电话是八八六零"),
    // Japanese.
    ("東京", "来週東京で会いましょう"),
    ("会い", "来週東京で会いましょう"),
    ("ラーメン", "彼女はラーメンが好きです"),
    ("好き", "彼女はラーメンが好きです"),
    ("ﾗｰﾒﾝ", "彼女はラーメンが好きです"),
    ("猫の名前", "猫の名前はタマ"),
    ("タマ", "猫の名前はタマ"),
    // Korean.
    ("커피", "저는 커피를 좋아합니다"),
    ("커피를", "저는 커피를 좋아합니다"),
    ("서울", "서울에서 삽니다"),
    ("생일", "동생의 생일은 오월입니다"),
    ("오월", "동생의 생일은 오월입니다"),
    // German, and letters that are written in two ways.
    ("strasse", "Das Büro ist in der Schulstraße, nicht am Markt; Straße und Haus"),
    ("STRASSE", "Das Büro ist in der Schulstraße, nicht am Markt; Straße und Haus"),
    ("buro", "Das Büro ist in der Schulstraße, nicht am Markt; Straße und Haus"),
    ("Büro", "Das Büro ist in der Schulstraße, nicht am Markt; Straße und Haus"),
    ("Schlüssel", "Der Schlussel liegt unter der Matte"),
    // French, Spanish, Portuguese, Danish, Polish, Turkish, Czech.
    ("eleve", "l'élève préféré du maître"),
    ("préféré", "l'élève préféré du maître"),
    ("manana", "La reunión es mañana por la tarde"),
    ("reunion", "La reunión es mañana por la tarde"),
    ("coracao", "o coração da cidade"),
    ("smorrebrod", "vi spiser smørrebrød til frokost"),
    ("lodz", "mieszka w mieście Łódź"),
    ("istanbul", "İstanbul'da yaşıyor"),
    ("pristi", "příští týden"),
    // Russian, Greek, Arabic, Hebrew, Thai, Hindi.
    ("книга", "он читает книгу о море"),
    ("моря", "он читает книгу о море"),
    ("αθηνα", "μένει στην Αθήνα"),
    ("كتاب", "قرأت كِتَاب جديد"),
    ("שלום", "אמר שָׁלוֹם לכולם"),
    ("กาแฟ", "ฉันชอบดื่มกาแฟ"),
    ("पानी", "मुझे पानी चाहिए"),
    // Forms of Latin letters and of words.
    ("full width", "ＦＵＬＬ　ＷＩＤＴＨ letters"),
    ("file", "the ﬁles are in the cupboard"),
    ("running", "she runs every morning"),
    ("naive", "a naïve question"),
    ("cafe", "the Café closes at ten"),
    ("E-42", "the form has the number e-42 on it"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_finds_its_text() {
    assert!(PROBES.len() >= 60, "{}", PROBES.len());
    let (_folder, _store, memory) = fresh().await;
    for (_, text) in PROBES {
        memory.remember(&scope(), vec![fact(*text, *text, 1_000)]).await.unwrap();
    }
    let mut missed = Vec::new();
    for (asked, text) in PROBES {
        let found = texts(&memory, &Query::new(*asked, 3)).await;
        if found.first().map(String::as_str) != Some(text) {
            missed.push(format!("{asked:?} found {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
