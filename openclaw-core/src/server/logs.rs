//! The last lines of the application's log.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// How many lines are kept.
const MAX_LINES: usize = 5_000;
/// How many bytes of them.
const MAX_BYTES: usize = 1_000_000;

/// The last lines of the application's log, as `logs.tail` shows them to those who may read. Clones share
/// them. The application writes its lines here, without secrets.
///
/// ```
/// use openclaw_core::server::{LogTail, ServerConfig};
///
/// let tail = LogTail::new("stderr");
/// tail.push("ready");
/// let config = ServerConfig::token("long and not to be guessed").logs(tail);
/// ```
#[derive(Clone, Debug)]
pub struct LogTail {
    name: Arc<str>,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Box<str>>,
    bytes: usize,
    /// How many there were before those that are kept.
    gone: u64,
}

/// Some lines, and where they end.
pub(super) struct Tail {
    pub(super) lines: Vec<String>,
    /// How many lines there were until these end.
    pub(super) cursor: u64,
    /// How many lines there were at all.
    pub(super) all: u64,
    /// True if lines before these were left out.
    pub(super) truncated: bool,
}

impl LogTail {
    /// No lines yet, of the log that people know by this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), lines: Arc::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds a line; the oldest go.
    pub fn push(&self, line: &str) {
        let line = line.get(..line.floor_char_boundary(MAX_BYTES / 10)).unwrap_or_default();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.bytes += line.len();
        lines.kept.push_back(line.into());
        while lines.kept.len() > MAX_LINES || lines.bytes > MAX_BYTES {
            let Some(old) = lines.kept.pop_front() else { break };
            lines.bytes -= old.len();
            lines.gone += 1;
        }
    }

    /// The last lines from after the first `after`, at most `limit` of them and `bytes` bytes.
    pub(super) fn tail(&self, after: u64, limit: usize, bytes: usize) -> Tail {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let all = lines.gone + u64::try_from(lines.kept.len()).unwrap_or(u64::MAX);
        let known = usize::try_from(after.saturating_sub(lines.gone)).unwrap_or(usize::MAX);
        let new = lines.kept.iter().skip(known);
        let (mut room, mut shown) = (bytes, Vec::new());
        let wanted = new.len();
        for line in new.rev().take(limit) {
            if line.len() > room {
                break;
            }
            room -= line.len();
            shown.push(line.to_string());
        }
        shown.reverse();
        let truncated = shown.len() < wanted || after < lines.gone;
        Tail { lines: shown, cursor: all, all, truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_a_cursor_goes_on_after_them() {
        let log = LogTail::new("x");
        for number in 0..MAX_LINES + 10 {
            log.push(&number.to_string());
        }
        let tail = log.tail(0, 2, 100);
        assert_eq!(tail.lines, ["5008", "5009"]);
        assert!(tail.truncated);
        assert!(log.tail(tail.cursor, 10, 100).lines.is_empty());
        log.push("new");
        let next = log.tail(tail.cursor, 10, 100);
        assert_eq!((next.lines, next.truncated), (vec!["new".to_owned()], false));
        assert_eq!(log.tail(0, 10, 5).lines, ["new"], "as many bytes as are asked for");
    }
}
