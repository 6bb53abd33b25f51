//! Texts to remember and questions about them, the same in every run.

/// Common words, the most common first.
const COMMON: &str = "the a to and of in is for on with my at was it he she they from about this that we have by \
    tea coffee house garden key door car train morning evening doctor river bread letter bank phone school friend \
    mother father sister brother dog cat city street office meeting project report email price order flight hotel \
    ticket passport birthday party dinner lunch breakfast kitchen table chair window light water fire music book \
    paper picture camera computer server database backup password account invoice payment contract customer team \
    plan deadline budget weekend holiday summer winter spring rain snow sun wind sea mountain forest lake bridge \
    museum theatre cinema restaurant recipe salt sugar butter cheese apple orange lemon tomato potato rice chicken \
    fish wine beer bicycle bus airport station ticket map shop market shoes jacket blue green red yellow black \
    white old new big small early late happy tired sick quiet loud fast slow left right under behind near likes \
    wants needs bought sold lost found called wrote read moved works lives plays studies teaches repaired cooked";

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }
}

/// Makes texts.
pub(crate) struct Corpus {
    common: Vec<&'static str>,
    dice: Dice,
}

impl Corpus {
    /// With this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { common: COMMON.split_whitespace().collect(), dice: Dice(seed) }
    }

    /// A word: mostly common ones, the earlier ones more often; else a name.
    fn word(&mut self) -> String {
        if self.dice.below(10) < 8 {
            let range = self.dice.below(self.common.len()) + 1;
            let place = self.dice.below(range);
            return self.common.get(place).copied().unwrap_or("tea").to_owned();
        }
        const PARTS: [&str; 24] = [
            "ka", "lo", "mi", "ren", "to", "sa", "vel", "dor", "na", "pi", "qua", "ber", "lin",
            "gu", "shi", "ra", "mont", "ed", "is", "ol", "fan", "ty", "ze", "ur",
        ];
        (0..3).map(|_| PARTS.get(self.dice.below(24)).copied().unwrap_or("ka")).collect()
    }

    /// A memory: 8 to 20 words.
    pub(crate) fn text(&mut self) -> String {
        let words = 8 + self.dice.below(13);
        (0..words).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    /// A question about `text`: some of its words among others.
    pub(crate) fn question(&mut self, text: &str) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        let mut asked: Vec<String> = vec!["what was it about".to_owned()];
        for _ in 0..4 {
            asked.extend(words.get(self.dice.below(words.len())).map(|word| (*word).to_owned()));
        }
        asked.push(self.word());
        asked.join(" ")
    }

    /// A number below `limit`.
    pub(crate) fn pick(&mut self, limit: usize) -> usize {
        self.dice.below(limit)
    }
}
