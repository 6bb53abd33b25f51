//! Writes text in a platform's form: marks that nest, line breaks between them, nothing empty.

use super::{Loss, Mark, Markup, Nest, Rendered};

/// A mark that text stands in.
struct Open {
    mark: Mark,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Begins with the next text, so that none is empty.
    Waiting,
    /// Begun.
    Begun,
    /// The platform does not mark it.
    Dropped,
}

pub(super) struct Writer<'m, M> {
    markup: &'m M,
    text: String,
    plain: String,
    losses: Vec<Loss>,
    open: Vec<Open>,
    /// Line feeds before the next text.
    breaks: usize,
    /// What stands before the next text: the signs of list items.
    sign: String,
}

impl<'m, M: Markup> Writer<'m, M> {
    pub(super) fn new(markup: &'m M) -> Self {
        Self {
            markup,
            text: String::new(),
            plain: String::new(),
            losses: Vec::new(),
            open: Vec::new(),
            breaks: 0,
            sign: String::new(),
        }
    }

    pub(super) fn finish(self) -> Rendered {
        Rendered { text: self.text, plain: self.plain, losses: self.losses }
    }

    pub(super) fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    /// How much there is to read so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.plain.len()
    }

    /// What there is to read behind the first `len` bytes.
    pub(super) fn since(&self, len: usize) -> &str {
        self.plain.get(len..).unwrap_or_default()
    }

    /// Between the next text and the one before there will be `breaks` line feeds.
    pub(super) fn set_breaks(&mut self, breaks: usize) {
        if self.sign.is_empty() {
            self.breaks = if self.plain.is_empty() { 0 } else { breaks };
        }
    }

    /// True while an item's sign waits for the item's first text.
    pub(super) fn awaits_item(&self) -> bool {
        !self.sign.is_empty()
    }

    /// Puts the sign of a list item before the next text.
    pub(super) fn sign(&mut self, sign: &str) {
        self.sign.push_str(sign);
    }

    /// Writes a sign that still waits, on a line of its own.
    pub(super) fn flush_sign(&mut self) {
        if self.awaits_item() {
            let kept = self.sign.trim_end().len();
            self.sign.truncate(kept);
            self.lead();
            self.breaks = 1;
        }
    }

    /// Text from here on is marked, until [`pop`](Self::pop). False if the platform does not mark it.
    pub(super) fn push(&mut self, mark: Mark) -> bool {
        let may = self.may(&mark);
        if !may {
            self.losses.push(Loss::Mark(mark.clone()));
        }
        let state = if may { State::Waiting } else { State::Dropped };
        self.open.push(Open { mark, state });
        may
    }

    pub(super) fn pop(&mut self) {
        if let Some(Open { mark, state: State::Begun }) = self.open.pop() {
            self.markup.end(&mark, &mut self.text);
        }
    }

    fn may(&self, mark: &Mark) -> bool {
        self.markup.has(mark)
            && self.marking().all(|(_, outer)| self.markup.nest(outer, mark) != Nest::Drop)
    }

    /// The marks around, outermost first, that the platform shows.
    fn marking(&self) -> impl Iterator<Item = (usize, &Mark)> {
        let shown = self.open.iter().enumerate().filter(|(_, open)| open.state != State::Dropped);
        shown.map(|(index, open)| (index, &open.mark))
    }

    pub(super) fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.lead();
        self.begin_up_to(self.open.len());
        self.put(text);
    }

    /// Writes code, which holds no other mark.
    pub(super) fn write_code(&mut self, mark: Mark, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.may(&mark) {
            self.losses.push(Loss::Mark(mark));
            return self.write(text);
        }
        self.lead();
        let mut splits =
            self.marking().filter(|(_, outer)| self.markup.nest(outer, &mark) == Nest::Split);
        let end = splits.next().map_or(self.open.len(), |(index, _)| index);
        drop(splits);
        for open in self.open.iter_mut().skip(end).rev() {
            if open.state == State::Begun {
                self.markup.end(&open.mark, &mut self.text);
                open.state = State::Waiting;
            }
        }
        self.begin_up_to(end);
        self.markup.begin(&mark, &mut self.text);
        self.put(text);
        self.markup.end(&mark, &mut self.text);
    }

    /// Writes what stands before the next text.
    fn lead(&mut self) {
        let breaks = std::mem::take(&mut self.breaks);
        if breaks > 0 {
            self.put(&"\n".repeat(breaks));
        }
        if !self.sign.is_empty() {
            let quotes = self.open.iter().rposition(|open| open.mark == Mark::Quote);
            self.begin_up_to(quotes.map_or(0, |last| last + 1));
            let sign = std::mem::take(&mut self.sign);
            self.put(&sign);
        }
    }

    fn begin_up_to(&mut self, end: usize) {
        for open in self.open.iter_mut().take(end) {
            if open.state == State::Waiting {
                self.markup.begin(&open.mark, &mut self.text);
                open.state = State::Begun;
            }
        }
    }

    fn put(&mut self, text: &str) {
        self.markup.text(text, &mut self.text);
        self.plain.push_str(text);
    }
}
