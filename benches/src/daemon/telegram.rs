//! A Telegram that is as fast as it can be: polling, and messages in private chats.
//!
//! The emulator of `openclaw-channels` is faithful and keeps everything; under load it would be what is
//! measured.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use openclaw_benches::{
    Result,
    figures::Times,
    http::{Asked, Connection},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};

/// How many updates one poll takes at most.
const UPDATES_AT_ONCE: usize = 100;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Telegram(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    news: Notify,
    url: String,
}

#[derive(Default)]
struct State {
    updates: VecDeque<(u64, Value)>,
    last: u64,
    sent: u64,
    people: HashMap<i64, mpsc::UnboundedSender<()>>,
}

impl Telegram {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let new = Self(Arc::new(Inner { state: Mutex::default(), news: Notify::new(), url }));
        let telegram = new.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let telegram = telegram.clone();
                // A client that goes away ends its connection, nothing else.
                tokio::spawn(async move {
                    if let Ok(connection) = Connection::new(stream) {
                        let _ = telegram.serve(connection).await;
                    }
                });
            }
        });
        Ok(new)
    }

    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut connection: Connection) -> Result<()> {
        while let Some(asked) = connection.next().await? {
            let result = self.result(&asked).await?;
            let body = json!({"ok": true, "result": result}).to_string();
            connection.answer("application/json", &body).await?;
        }
        Ok(())
    }

    async fn result(&self, asked: &Asked) -> Result<Value> {
        let method = asked.path.rsplit('/').next().unwrap_or_default();
        let arguments: Value = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
        Ok(match method {
            "getMe" => {
                json!({"id": 99, "is_bot": true, "first_name": "B", "username": "bench_bot"})
            }
            "getUpdates" => self.updates(&arguments).await,
            "sendMessage" => {
                let chat = arguments.get("chat_id").and_then(number).ok_or("no chat_id")?;
                let mut state = self.state();
                state.sent += 1;
                let message = json!({
                    "message_id": state.sent,
                    "date": 1,
                    "chat": {"id": chat, "type": "private"},
                    "text": "x"
                });
                if let Some(person) = state.people.get(&chat) {
                    // Somebody who left is told nothing.
                    let _ = person.send(());
                }
                message
            }
            "getWebhookInfo" => {
                json!({"url": "", "has_custom_certificate": false, "pending_update_count": 0})
            }
            _ => Value::Bool(true),
        })
    }

    /// Answers a long poll: confirms what is before its offset, waits for what is not.
    async fn updates(&self, arguments: &Value) -> Value {
        let offset = arguments.get("offset").and_then(Value::as_u64).unwrap_or(0);
        let wait = arguments.get("timeout").and_then(Value::as_u64).unwrap_or(0);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(wait);
        loop {
            let news = self.0.news.notified();
            let found: Vec<Value> = {
                let mut state = self.state();
                while state.updates.front().is_some_and(|(id, _)| *id < offset) {
                    state.updates.pop_front();
                }
                state
                    .updates
                    .iter()
                    .take(UPDATES_AT_ONCE)
                    .map(|(_, update)| update.clone())
                    .collect()
            };
            if !found.is_empty() {
                return found.into();
            }
            if tokio::time::timeout_at(deadline, news).await.is_err() {
                return Value::Array(Vec::new());
            }
        }
    }

    fn say(&self, person: i64) {
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        let update = json!({
            "update_id": id,
            "message": {
                "message_id": id,
                "date": 1_780_315_200,
                "from": {"id": person, "is_bot": false, "first_name": "P"},
                "chat": {"id": person, "type": "private", "first_name": "P"},
                "text": "hello"
            }
        });
        state.updates.push_back((id, update));
        drop(state);
        self.0.news.notify_one();
    }

    /// Says "hello" `count` times in a chat of one's own, each time after the answer to the last.
    pub(crate) async fn turns(&self, person: i64, count: u32) -> Result<Times> {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.state().people.insert(person, sender);
        let mut times = Times::default();
        for _ in 0..count {
            let began = Instant::now();
            self.say(person);
            answers.recv().await.ok_or("no answer came")?;
            times.add(began.elapsed());
        }
        Ok(times)
    }

    /// As many people at once, each as in [`turns`](Self::turns).
    pub(crate) async fn load(&self, people: i64, each: u32) -> Result<()> {
        let tasks: Vec<_> = (0..people)
            .map(|number| {
                let telegram = self.clone();
                tokio::spawn(async move {
                    telegram.turns(1_000_000 + people * 1_000 + number, each).await
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    }
}

/// Ids come as numbers or as text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
