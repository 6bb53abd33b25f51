//! What the gateway's process and the one with the outside world say to each other: a JSON line asks,
//! a JSON line answers.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How the gateway's process is to behave.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) world: String,
    pub(super) path: String,
    pub(super) at_most_once: bool,
}

/// Something that somebody said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) offset: u64,
    pub(super) peer: String,
    pub(super) text: String,
}

/// What the gateway's process asks the world.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// This point is reached. There is no answer to a process that is killed.
    Point { name: String },
    /// What was said on an account and is not acknowledged.
    Poll { account: String },
    /// All up to here was taken.
    Acknowledge { account: String, offset: u64 },
    /// Shows a message; answered by [`Taken`].
    Send { account: String, peer: String, key: String, text: String },
    /// Changes a message.
    Edit { account: String, peer: String, message: String, text: String },
    /// The id of what was sent under a key, if it was.
    LookUp { account: String, key: String },
    /// A tool acts.
    Tool { tool: String, key: String, argument: String },
    /// Whether a tool acted under this key.
    Acted { tool: String, key: String },
    /// Whether what waits for this may go on.
    Gate { name: String },
    /// The gateway says that nobody knows whether this was sent.
    Doubtful { key: String },
    /// What the application said was erased.
    Erased,
    /// Whether there is work; answered by whether to shut down.
    State { idle: bool },
}

/// What the platform says to a message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Taken {
    Yes {
        id: String,
    },
    TryAgain,
    Refused,
    /// The connection broke: nobody knows.
    Cut,
}

/// The way to the world.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<BufReader<TcpStream>>>);

impl Wire {
    pub(super) fn to(world: &str) -> Self {
        let stream = TcpStream::connect(world).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(Arc::new(Mutex::new(BufReader::new(stream))))
    }

    /// Asks, and blocks the thread until there is an answer: whoever is to die at a point stands
    /// still there.
    #[expect(clippy::disallowed_methods, reason = "a child whose world has ended must end too")]
    pub(super) fn ask<T: DeserializeOwned>(&self, request: &Request) -> T {
        let mut stream = self.0.lock().unwrap();
        let mut line = serde_json::to_string(request).unwrap();
        line.push('\n');
        let sent = stream.get_mut().write_all(line.as_bytes());
        line.clear();
        match sent.and_then(|()| stream.read_line(&mut line)) {
            Ok(read) if read > 0 => serde_json::from_str(&line).unwrap(),
            // The world has ended.
            _ => std::process::exit(3),
        }
    }

    pub(super) fn point(&self, name: impl Into<String>) {
        self.ask::<()>(&Request::Point { name: name.into() });
    }

    /// Waits until the gate is open.
    pub(super) async fn gate(&self, name: &str) {
        while !self.ask::<bool>(&Request::Gate { name: name.into() }) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
