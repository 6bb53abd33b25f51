//! What waits after a long downtime.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use openclaw_core::{
    Conversation, EventKey, Gateway, GatewayBuilder, Result,
    access::Access,
    async_trait,
    channel::{Accepted, Capabilities, Channel, ChannelContext, Delivery},
    message::{Action, Inbound, Receipt, Sender, Sent},
    provider::CompletionRequest,
    testing::{Scripted, scripted::Step},
};
use openclaw_memory::sqlite::Sqlite;
use tokio::sync::Notify;

use crate::common::folder;

const PEOPLE: usize = 100;
const EACH: usize = 1_000;

/// Has everybody's messages arrive at once, and counts the answers.
#[derive(Clone)]
struct Flood(Arc<Inner>);

struct Inner {
    account: openclaw_core::AccountId,
    /// How many messages each person sends.
    each: usize,
    capabilities: Capabilities,
    accepted: AtomicUsize,
    arrived: Notify,
    answered: Mutex<HashSet<Conversation>>,
}

impl Flood {
    fn of(each: usize) -> Self {
        let hour = std::time::Duration::from_secs(3_600);
        Self(Arc::new(Inner {
            account: "flood:default".parse().unwrap(),
            each,
            capabilities: Capabilities::text_only(Delivery::Keyed { window: hour }),
            accepted: AtomicUsize::new(0),
            arrived: Notify::new(),
            answered: Mutex::default(),
        }))
    }

    fn message(&self, person: usize, number: usize) -> Inbound {
        let name = format!("person-{person}");
        Inbound::message(
            EventKey::message(&name, &number.to_string()),
            Conversation::direct(self.0.account.clone(), name.as_str()),
            Sender { id: name.as_str().into(), name: None },
            [format!("text {person}/{number}.")],
        )
    }
}

#[async_trait]
impl Channel for Flood {
    fn id(&self) -> &openclaw_core::AccountId {
        &self.0.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        let numbers: Vec<usize> = (0..self.0.each).collect();
        for numbers in numbers.chunks(10) {
            let batch = numbers
                .iter()
                .flat_map(|number| (0..PEOPLE).map(|person| self.message(person, *number)))
                .collect();
            let answers = cx.ingress().accept(batch).await?;
            let new = answers.iter().filter(|answer| **answer == Accepted::New).count();
            self.0.accepted.fetch_add(new, Ordering::SeqCst);
        }
        self.0.arrived.notify_one();
        cx.cancel().cancelled().await;
        Ok(())
    }

    async fn perform(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        if let Action::Send { key, .. } = action {
            self.0.answered.lock().unwrap().insert(to.clone());
            self.0.arrived.notify_one();
            return Ok(Sent::Yes(Receipt::message(key.as_str())));
        }
        Ok(Sent::Yes(Receipt::default()))
    }
}

async fn gateway(path: &std::path::Path, script: &Scripted, flood: &Flood) -> GatewayBuilder {
    Gateway::builder()
        .store(Sqlite::open(path).await.unwrap())
        .provider(script.clone())
        .channel(flood.clone())
        .access(flood.0.account.clone(), Access::open())
}

/// Which of the flood's texts a request holds.
fn texts(request: &CompletionRequest) -> Vec<String> {
    let said = serde_json::to_string(&request.messages).unwrap();
    let texts = said.split("text ").skip(1);
    texts.filter_map(|rest| Some(rest.split_once('.')?.0.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_messages_wait_and_are_read_each_by_the_model() {
    let (_folder, path) = folder();
    let flood = Flood::of(EACH);
    // Nobody answers, and the process goes away over it.
    let silent = Scripted::from_fn(|_| Ok(Step::new().stall()));
    let first = gateway(&path, &silent, &flood).await.start().await.unwrap();
    flood.0.arrived.notified().await;
    assert_eq!(flood.0.accepted.load(Ordering::SeqCst), PEOPLE * EACH);
    first.shutdown_within(std::time::Duration::ZERO).await.unwrap();

    let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
    let heard = Arc::clone(&seen);
    let script = Scripted::from_fn(move |request| {
        heard.lock().unwrap().extend(texts(request));
        Ok(Step::text("read"))
    });
    let quiet = Flood::of(0);
    let second = gateway(&path, &script, &quiet).await.start().await.unwrap();
    while quiet.0.answered.lock().unwrap().len() < PEOPLE
        || seen.lock().unwrap().len() < PEOPLE * EACH
    {
        quiet.0.arrived.notified().await;
    }
    assert!(second.handle().dead_letters(1).await.unwrap().is_empty());
    // Those that came in a heap were answered together.
    assert!(script.requests().len() < PEOPLE * EACH / 10, "{}", script.requests().len());
    second.shutdown().await.unwrap();
}
