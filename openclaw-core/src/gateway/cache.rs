//! Sessions as they were left, for their next turns.

use lru::LruCache;

use crate::{
    id::SessionKey,
    turn::{Session, Turn},
};

/// How many bytes the sessions that are kept in memory take, about. The one used last is kept whatever
/// its size.
pub const SESSION_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// A session, the revision of its log, and about how many bytes it takes.
struct Kept {
    session: Session,
    revision: u64,
    bytes: usize,
}

/// The sessions used last.
pub(super) struct SessionCache {
    sessions: LruCache<SessionKey, Kept>,
    bytes: usize,
}

impl SessionCache {
    pub(super) fn new() -> Self {
        Self { sessions: LruCache::unbounded(), bytes: 0 }
    }

    pub(super) fn take(&mut self, key: &SessionKey) -> Option<(Session, u64)> {
        let kept = self.sessions.pop(key)?;
        self.bytes -= kept.bytes;
        Some((kept.session, kept.revision))
    }

    pub(super) fn put(&mut self, key: SessionKey, session: Session, revision: u64) {
        let bytes = size(&session);
        self.bytes += bytes;
        if let Some((_, old)) = self.sessions.push(key, Kept { session, revision, bytes }) {
            self.bytes -= old.bytes;
        }
        while self.bytes > SESSION_CACHE_BYTES && self.sessions.len() > 1 {
            let Some((_, old)) = self.sessions.pop_lru() else { return };
            self.bytes -= old.bytes;
        }
    }
}

/// About how many bytes a session takes.
fn size(session: &Session) -> usize {
    size_of::<Session>() + session.history_bytes() + session.turn().map_or(0, Turn::state_bytes)
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
            cache.put(key(number), session(each), 0);
        }
        let kept = (0..20).filter(|number| cache.take(&key(*number)).is_some()).collect::<Vec<_>>();
        assert_eq!(kept, (11..20).collect::<Vec<_>>());
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn one_that_is_larger_than_the_cache_is_kept_alone() {
        let mut cache = SessionCache::new();
        cache.put(key(0), session(10), 0);
        cache.put(key(1), session(SESSION_CACHE_BYTES * 2), 0);
        assert!(cache.take(&key(0)).is_none());
        assert!(cache.take(&key(1)).is_some());
        cache.put(key(0), session(10), 0);
        cache.put(key(0), session(10), 0);
        assert!(cache.take(&key(0)).is_some());
        assert_eq!(cache.bytes, 0);
    }
}
