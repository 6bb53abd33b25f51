//! An HTTP/1.1 server on loopback that answers with the bytes that a test gives it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use openclaw_core::serde_json::{self, Value};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// What the server does once it has read a request, in order.
#[derive(Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Sends this over and over until the other side closes.
    Repeat(Vec<u8>),
    /// Waits for the other side to close, and reports that.
    Hold,
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Value,
}

pub(crate) struct Server {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    open: Arc<AtomicUsize>,
    closed: mpsc::UnboundedReceiver<()>,
}

type Answering = Arc<dyn Fn(&Received) -> Vec<Act> + Send + Sync>;

/// What one connection does.
enum Script {
    Given(Vec<Act>),
    By(Answering),
}

impl Server {
    /// Plays one script a connection; closes each connection at its script's end.
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let mut scripts = VecDeque::from(scripts);
        Self::run("/v1", move || scripts.pop_front().map(Script::Given)).await
    }

    /// Answers each request with what `answer` makes of it. The address has no path.
    pub(crate) async fn answering(
        answer: impl Fn(&Received) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let answer: Answering = Arc::new(answer);
        Self::run("", move || Some(Script::By(answer.clone()))).await
    }

    async fn run(path: &str, mut next: impl FnMut() -> Option<Script> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(AtomicUsize::new(0));
        let (sender, closed) = mpsc::unbounded_channel();
        let (log, count) = (received.clone(), open.clone());
        tokio::spawn(async move {
            while let Some(script) = next() {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, script, log.clone(), count.clone(), sender.clone()));
            }
        });
        Self { url, received, open, closed }
    }

    /// How many requests are being answered, as a function that outlives the borrow.
    pub(crate) fn open(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let open = self.open.clone();
        move || open.load(Ordering::SeqCst)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until the client has closed a connection before its script was over.
    pub(crate) async fn closed(&mut self) {
        self.closed.recv().await.unwrap();
    }
}

async fn serve(
    mut socket: TcpStream,
    script: Script,
    log: Arc<Mutex<Vec<Received>>>,
    open: Arc<AtomicUsize>,
    closed: mpsc::UnboundedSender<()>,
) {
    struct Open(Arc<AtomicUsize>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let Some(request) = read(&mut socket).await else {
        let _ = closed.send(());
        return;
    };
    open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(open);
    let script = match script {
        Script::Given(acts) => acts,
        Script::By(answer) => answer(&request),
    };
    log.lock().unwrap().push(request);
    for act in script {
        match act {
            Act::Send(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    let _ = closed.send(());
                    return;
                }
                // One TCP segment a send, as far as can be: the pieces must arrive apart.
                socket.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            Act::Repeat(bytes) => {
                while socket.write_all(&bytes).await.is_ok() {}
                let _ = closed.send(());
                return;
            }
            Act::Hold => {
                let mut rest = Vec::new();
                let _ = socket.read_to_end(&mut rest).await;
                let _ = closed.send(());
                return;
            }
        }
    }
    let _ = socket.shutdown().await;
}

async fn read(socket: &mut TcpStream) -> Option<Received> {
    socket.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = socket.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        if body.len() >= length {
            let body = serde_json::from_str(body).unwrap_or(Value::Null);
            return Some(Received { head, body });
        }
    }
}

/// The head of a stream of events, without a length: it ends with the connection.
pub(crate) fn events() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".into(),
    )
}

/// The head of a stream of lines.
pub(crate) fn lines() -> Act {
    Act::Send(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n"
            .into(),
    )
}

/// A whole answer in JSON.
pub(crate) fn json_answer(status: &str, body: &Value) -> Vec<Act> {
    answer(status, "content-type: application/json\r\n", &body.to_string())
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Act> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    vec![Act::Send(text.into_bytes())]
}

/// An event with this data.
pub(crate) fn event(data: impl ToString) -> Vec<u8> {
    format!("data: {}\n\n", data.to_string()).into_bytes()
}
