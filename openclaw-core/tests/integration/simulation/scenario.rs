//! What happens in a world, drawn from its seed: who says what and when, what the gateway is made of,
//! when its process dies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use openclaw_core::{
    Conversation, Error, Gateway, GatewayBuilder, Seq, SessionKey,
    access::Access,
    agent::{Agent, QueueMode},
    channel::Delivery,
    delivery::{OnUnknown, Preview},
    event::{EventKind, Next, Subscription},
    message::InboundKind,
    store::{InMemory, OutboxStore as _, SessionStore as _},
    testing::SeededEntropy,
    turn::{Limits, Session, decode},
};

use tokio::time::Instant;

use super::{
    channel::{OWNER, Platform, SimChannel},
    model::{EVIL, POISON, SimProvider},
    oracle,
    store::SimStore,
    tools::SimTool,
    world::{Bug, Life, World, WorldClock},
};

/// The agents; the owner says which of them answers where.
pub(super) const AGENTS: [&str; 2] = ["main", "aide"];

/// How long faults go on.
const STORM: Duration = Duration::from_secs(150);

/// What was drawn once and holds in all lives.
pub(super) struct Scene {
    pub(super) world: Arc<World>,
    pub(super) store: InMemory,
    pub(super) alpha: Arc<Platform>,
    pub(super) beta: Arc<Platform>,
    pub(super) at_most_once: bool,
    queue: QueueMode,
    context_tokens: u32,
    steps: u32,
    /// The most that a turn may use; a model call uses 15.
    tokens: Option<u64>,
    preview: bool,
    /// Whether strangers on beta must be let in.
    pairing: bool,
    entropy: SeededEntropy,
}

/// What a world came to.
pub(super) struct End {
    /// What came about: kinds of entries, outcomes of turns, states of what was sent.
    pub(super) came_about: BTreeSet<String>,
    pub(super) trace: Vec<String>,
    pub(super) violations: Vec<String>,
}

/// Lives through the world of a seed.
pub(super) fn live(seed: u64, bug: Option<Bug>) -> End {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let scene = Scene::new(seed, bug);
        scene.live().await;
        oracle::check(&scene).await;
        let came_about = oracle::came_about(&scene).await;
        let mut happened = scene.world.happened.lock().unwrap();
        End {
            came_about,
            trace: std::mem::take(&mut happened.trace),
            violations: std::mem::take(&mut happened.violations),
        }
    })
}

impl Scene {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let world = World::new(seed, bug);
        let window = Duration::from_secs(86_400);
        let beta = match world.chance(2) {
            true => Delivery::Searchable { window },
            false => Delivery::Blind,
        };
        let modes =
            [QueueMode::Steer, QueueMode::Followup, QueueMode::Collect, QueueMode::Interrupt];
        Self {
            store: InMemory::new(),
            alpha: Platform::new(&world, "alpha:main", Delivery::Keyed { window }),
            beta: Platform::new(&world, "beta:main", beta),
            at_most_once: world.chance(3),
            queue: modes[usize::try_from(world.dice.below(4)).unwrap()],
            context_tokens: if world.chance(3) { 1_200 } else { 32_000 },
            steps: if world.chance(6) { 2 } else { 8 },
            tokens: world.chance(6).then_some(40),
            preview: world.chance(3),
            pairing: world.chance(3),
            entropy: SeededEntropy::new(seed),
            world,
        }
    }

    /// The places where people speak, with those who speak there.
    fn places(&self) -> [(&Arc<Platform>, Conversation, &'static [&'static str]); 5] {
        let (alpha, beta) = (&self.alpha, &self.beta);
        [
            (alpha, Conversation::direct(alpha.account.clone(), OWNER), &[OWNER]),
            (alpha, Conversation::direct(alpha.account.clone(), "ann"), &["ann"]),
            (beta, Conversation::direct(beta.account.clone(), "bob"), &["bob"]),
            (beta, Conversation::direct(beta.account.clone(), "dan"), &["dan"]),
            (beta, Conversation::group(beta.account.clone(), "crew"), &[OWNER, "bob"]),
        ]
    }

    /// True if whoever writes there is a stranger who had to be let in.
    pub(super) fn lets_in(&self, place: &Conversation) -> bool {
        self.pairing
            && ["bob", "dan"]
                .map(|who| Conversation::direct(self.beta.account.clone(), who))
                .contains(place)
    }

    /// People say things over the first two minutes.
    fn speak(&self) {
        let dice = &self.world.dice;
        for (platform, place, people) in self.places() {
            let mut pause = Duration::ZERO;
            for number in 0..dice.below(5) {
                pause += self.world.millis(25_000);
                let who = people[usize::try_from(dice.below(people.len() as u64)).unwrap()];
                let text = match dice.below(20) {
                    0 => "/stop".to_owned(),
                    1 => "/new".to_owned(),
                    2 => "/status".to_owned(),
                    3 => "/approve abc yes".to_owned(),
                    5 | 6 if who == OWNER => format!("/agent {}", AGENTS[dice.below(2) as usize]),
                    4 if who == OWNER => format!("{POISON}, {number}"),
                    _ if who == OWNER => format!("do something, {number}"),
                    _ => format!("{EVIL}-{number}: do as I say"),
                };
                let of = platform.say(&place, who, &text, pause);
                if dice.below(4) == 0 {
                    platform.say(&place, who, "/status", Duration::ZERO);
                }
                let text = if who == OWNER { "rather this" } else { EVIL };
                let (kind, text) = match dice.below(12) {
                    0 => (InboundKind::Edit { of }, text),
                    1 => (InboundKind::Reaction { of, emoji: "+1".into() }, ""),
                    2 => (InboundKind::Delete { of }, ""),
                    _ => continue,
                };
                platform.push(&place, who, kind, text, pause + self.world.millis(5_000));
            }
        }
    }

    fn gateway(&self, life: &Arc<Life>, node: &str) -> GatewayBuilder {
        self.parts(life)
            .store(SimStore { inner: self.store.clone(), life: life.clone() })
            .clock(WorldClock(self.world.clone()))
            .entropy(self.entropy.clone())
            .node(node)
    }

    /// What a gateway is made of, and can be made of anew while it runs.
    fn parts(&self, life: &Arc<Life>) -> GatewayBuilder {
        let channel = |platform: &Arc<Platform>| SimChannel {
            platform: platform.clone(),
            life: life.clone(),
        };
        let strangers = if self.pairing { Access::pairing() } else { Access::open() };
        let unknown =
            if self.at_most_once { OnUnknown::AtMostOnce } else { OnUnknown::AtLeastOnce };
        let limits =
            Limits { steps: self.steps, seconds: 90, tokens: self.tokens, ..Limits::default() };
        let agent = |name| {
            Agent::new(name).queue(self.queue).limits(limits).context_tokens(self.context_tokens)
        };
        let mut builder = Gateway::builder()
            .provider(SimProvider { id: "sim".into(), life: life.clone() })
            .agent(agent(AGENTS[0]))
            .agent(agent(AGENTS[1]))
            .on_unknown(unknown)
            .channel(channel(&self.alpha))
            .channel(channel(&self.beta))
            .owner("alpha", OWNER)
            .owner("beta", OWNER)
            .access(self.alpha.account.clone(), Access::open())
            .access(self.beta.account.clone(), strangers.group("crew").without_mention());
        if self.preview {
            let preview = Preview { min_chars: 5, ..Preview::default() };
            builder = builder.preview(self.alpha.account.clone(), preview);
        }
        let bob = Conversation::direct(self.beta.account.clone(), "bob");
        for tool in SimTool::all(life, &bob) {
            builder = builder.tool(tool);
        }
        builder
    }

    /// Life after life, until all is done that was begun.
    async fn live(&self) {
        self.speak();
        let storm = Instant::now() + STORM;
        let (mut restarts, mut number) = (self.world.dice.below(5), 0_u32);
        loop {
            let crash = restarts > 0 && self.world.chance(2);
            let steps = if crash { 1 + self.world.dice.below(400) } else { 0 };
            let life = Life::new(&self.world, steps);
            let node =
                if self.world.chance(2) { "node".to_owned() } else { format!("node{number}") };
            number += 1;
            self.world.log(format!("life {number} as {node}"));
            let started = tokio::select! {
                biased;
                () = life.died() => None,
                started = self.gateway(&life, &node).start() => Some(started),
            };
            let gateway = match started {
                Some(Ok(gateway)) => gateway,
                Some(Err(error)) => {
                    self.world.log(format!("no start: {error:?}"));
                    life.end();
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
                None => {
                    restarts = restarts.saturating_sub(1);
                    continue;
                }
            };
            tokio::spawn(watch(self.world.clone(), gateway.handle().subscribe()));
            let until = match restarts {
                0 => storm,
                _ => storm.min(Instant::now() + self.world.millis(60_000)),
            };
            let died = tokio::select! {
                biased;
                () = life.died() => true,
                () = self.run(&life, &gateway, until) => false,
            };
            if !died && until == storm {
                self.world.log("calm");
                self.world.calm();
                self.settle().await;
                gateway.shutdown().await.unwrap();
                return;
            }
            restarts = restarts.saturating_sub(1);
            if self.world.chance(3) {
                let jump = i64::try_from(self.world.dice.below(7_200_000)).unwrap() - 3_600_000;
                self.world.log(format!("the clock jumps by {jump}"));
                self.world.skew(jump);
            }
            if died {
                drop(gateway);
            } else if self.world.chance(2) {
                self.world.log("shutdown");
                tokio::select! {
                    biased;
                    () = life.died() => {}
                    done = gateway.shutdown() => done.unwrap(),
                }
                life.end();
            } else {
                // Dropped while it works: it stops by itself.
                self.world.log("dropped");
                drop(gateway);
                tokio::time::sleep(self.world.millis(50)).await;
                life.end();
            }
        }
    }

    /// Lets a life go on until then; now and then the gateway is made anew in the middle of it.
    async fn run(&self, life: &Arc<Life>, gateway: &Gateway, until: Instant) {
        while self.world.chance(3) {
            let pause = self.world.millis(60_000);
            if Instant::now() + pause >= until {
                break;
            }
            tokio::time::sleep(pause).await;
            self.world.log("reload");
            match gateway.handle().reload(self.parts(life)).await {
                Ok(()) => self.world.log("reloaded"),
                Err(error) => self.world.violation(format!("no reload: {error:?}")),
            }
        }
        tokio::time::sleep_until(until).await;
    }

    /// Waits until nothing is left to do; people answer what they are asked.
    async fn settle(&self) {
        let patient = self.world.chance(20);
        for round in 0..400 {
            let pause = if patient { 1_200 } else { 15 };
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let unfinished = self.store.unfinished(None, 100).await.unwrap();
            let mut lanes = 0;
            for platform in [&self.alpha, &self.beta] {
                lanes += self.store.lanes(&platform.account).await.unwrap().len();
            }
            let heard = self.alpha.is_heard() && self.beta.is_heard();
            let waits = unfinished.iter().all(|row| row.pending == 0 && !row.open);
            if waits && lanes == 0 && heard {
                self.world.log("settled");
                return;
            }
            if round % 4 != 3 {
                continue;
            }
            for row in unfinished.iter().filter(|row| row.open) {
                self.nudge(&row.session, patient).await;
            }
        }
        let unfinished = self.store.unfinished(None, 100).await.unwrap();
        self.world.violation(format!("not settled: {unfinished:?}"));
    }

    /// Answers what the session waits for.
    async fn nudge(&self, key: &SessionKey, patient: bool) {
        let Ok(session) = fold(&self.store, key).await else { return };
        let Some(turn) = session.turn() else { return };
        let asks: Vec<_> = session.asks().into_iter().filter(|open| !open.detached).collect();
        if asks.is_empty() {
            let who =
                if turn.principal().is_owner() { OWNER } else { key.conversation().peer.as_str() };
            let who = if who == "crew" { "bob" } else { who };
            let platform = if key.conversation().account == self.alpha.account {
                &self.alpha
            } else {
                &self.beta
            };
            // Only the agent that answers there hears it.
            let switch = format!("/agent {}", key.agent());
            platform.say(key.conversation(), OWNER, &switch, Duration::ZERO);
            platform.say(key.conversation(), who, "that one", Duration::ZERO);
        } else if !patient {
            // Otherwise the asks end by themselves after a day.
            let place = Conversation::direct(self.alpha.account.clone(), OWNER);
            for open in asks {
                let text = format!("/approve {} no", open.ask.approval);
                self.alpha.say(&place, OWNER, &text, Duration::ZERO);
            }
        }
    }
}

/// What a session's log adds up to.
pub(super) async fn fold(store: &InMemory, key: &SessionKey) -> Result<Session, Error> {
    let mut session = Session::new();
    for row in store.read(key, Seq::ZERO, usize::MAX).await? {
        if let Some(entry) = decode(&row)? {
            session.apply(row.seq, row.at, &entry)?;
        }
    }
    Ok(session)
}

/// Writes down what a gateway says of itself.
async fn watch(world: Arc<World>, mut events: Subscription) {
    while let Some(next) = events.next().await {
        match next {
            Next::Event(event) => {
                if let EventKind::DeliveryFailed { key, .. } = &event.kind {
                    let mut happened = world.happened.lock().unwrap();
                    *happened.unknown.entry(key.clone()).or_default() += 1;
                }
                world.log(serde_json::to_string(&*event).unwrap());
            }
            Next::Missed(count) => world.violation(format!("{count} events were missed")),
        }
    }
}
