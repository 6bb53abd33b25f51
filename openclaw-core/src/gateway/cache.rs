//! Sessions as they were left, for their next turns.

use lru::LruCache;

use crate::{
    id::SessionKey,
    message::{Content, MediaSource, Message, Part},
    turn::Session,
};

/// How many bytes the sessions that are kept in memory take, about. The one used last is kept whatever
/// its size.
pub const SESSION_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The sessions used last.
pub(super) struct SessionCache {
    sessions: LruCache<SessionKey, (Session, usize)>,
    bytes: usize,
}

impl SessionCache {
    pub(super) fn new() -> Self {
        Self { sessions: LruCache::unbounded(), bytes: 0 }
    }

    pub(super) fn take(&mut self, key: &SessionKey) -> Option<Session> {
        let (session, bytes) = self.sessions.pop(key)?;
        self.bytes -= bytes;
        Some(session)
    }

    pub(super) fn put(&mut self, key: SessionKey, session: Session) {
        let bytes = size(&session);
        self.bytes += bytes;
        if let Some((_, (_, old))) = self.sessions.push(key, (session, bytes)) {
            self.bytes -= old;
        }
        while self.bytes > SESSION_CACHE_BYTES && self.sessions.len() > 1 {
            let Some((_, (_, old))) = self.sessions.pop_lru() else { return };
            self.bytes -= old;
        }
    }
}

/// What a message takes beside its text: the structures, the label, what allocation rounds up.
const MESSAGE: usize = 1_024;

/// About how many bytes a session takes.
fn size(session: &Session) -> usize {
    let states = session.turn().into_iter().flat_map(|turn| turn.states());
    session.history().iter().map(|message| MESSAGE + message_size(message)).sum::<usize>()
        + states.map(|state| MESSAGE + value_size(&state.data)).sum::<usize>()
}

fn message_size(message: &Message) -> usize {
    match message {
        Message::User { parts, .. } | Message::Tool { parts, .. } | Message::Note { parts } => {
            parts.iter().map(part_size).sum()
        }
        Message::Assistant { text, calls, .. } => {
            text.len()
                + calls.iter().map(|call| MESSAGE + value_size(&call.arguments)).sum::<usize>()
        }
    }
}

fn part_size(part: &Part) -> usize {
    match &part.content {
        Content::Text { text } => text.len(),
        Content::Media(media) => match &media.source {
            MediaSource::Inline { base64 } => base64.len(),
            _ => 0,
        },
        _ => 0,
    }
}

fn value_size(value: &serde_json::Value) -> usize {
    let held = match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(values) => values.iter().map(value_size).sum(),
        serde_json::Value::Object(map) => {
            map.iter().map(|(key, value)| key.len() + value_size(value)).sum()
        }
        _ => 0,
    };
    size_of::<serde_json::Value>() + held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Principal,
        id::{Conversation, Seq, SessionId},
        label::Label,
        message::{Content, Message, Part},
        time::Timestamp,
        turn::{Cause, Entry},
    };

    fn key(peer: usize) -> SessionKey {
        let account = "test:default".parse().unwrap();
        SessionKey::new("main".into(), Conversation::direct(account, peer.to_string()))
    }

    fn session(text: usize) -> Session {
        let mut session = Session::new();
        let content = Content::text("x".repeat(text));
        let entries = [
            Entry::Opened { session: SessionId::new("s"), nonce: "00".repeat(16) },
            Entry::Started {
                cause: Cause::Messages,
                principal: Principal::Owner,
                messages: vec![Message::Note {
                    parts: vec![Part { content, label: Label::system() }],
                }],
                inputs: Vec::new(),
                limits: crate::turn::Limits::default(),
                attributes: std::collections::BTreeMap::new(),
                format: None,
            },
        ];
        for (seq, entry) in (1..).zip(&entries) {
            session.apply(Seq(seq), Timestamp(0), entry).unwrap();
        }
        session
    }

    #[test]
    fn the_sessions_used_last_are_kept_up_to_a_size() {
        let mut cache = SessionCache::new();
        let each = SESSION_CACHE_BYTES / 10;
        for number in 0..20 {
            cache.put(key(number), session(each));
        }
        let kept = (0..20).filter(|number| cache.take(&key(*number)).is_some()).collect::<Vec<_>>();
        assert_eq!(kept, (11..20).collect::<Vec<_>>());
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn one_that_is_larger_than_the_cache_is_kept_alone() {
        let mut cache = SessionCache::new();
        cache.put(key(0), session(10));
        cache.put(key(1), session(SESSION_CACHE_BYTES * 2));
        assert!(cache.take(&key(0)).is_none());
        assert!(cache.take(&key(1)).is_some());
        cache.put(key(0), session(10));
        cache.put(key(0), session(10));
        assert!(cache.take(&key(0)).is_some());
        assert_eq!(cache.bytes, 0);
    }
}
