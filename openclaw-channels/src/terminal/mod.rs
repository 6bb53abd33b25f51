//! The terminal: the person at the keyboard, or a pipe.

mod config;
mod line;
mod render;
mod screen;

use std::{
    fmt,
    io::IsTerminal as _,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use openclaw_core::{
    AccountId, Conversation, Error, ErrorKind, EventKey, Result, async_trait,
    channel::{Accepted, Capabilities, Channel, ChannelContext, Delivery},
    error::ResultExt as _,
    message::{Action, Content, Inbound, InboundKind, Receipt, Sender, Sent},
    time::{Entropy as _, SystemEntropy},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, BufReader},
    sync::{Mutex, watch},
};

pub use config::Config;
pub use render::neutralise;

use line::Source;
use render::render;
use screen::{Out, Screen};

/// The person's id towards the gateway, and their conversation's.
const PERSON: &str = "local";

/// A conversation in the terminal that the process runs in.
///
/// With a person at the keyboard it edits lines and keeps their history; answers appear above the
/// prompt, line by line as they are written. From a pipe it passes in one line after the other, each
/// once the one before was answered; at the end of input [`run`](Channel::run) returns `Ok` when the
/// last answer is printed, so that `echo hello | app` prints it and the application can end.
///
/// What a pipe brings that is not UTF-8 is read as replacement characters.
///
/// A choice is shown as numbered lines; typing the number presses the button. Ctrl-C and Ctrl-D end the
/// input.
///
/// What is printed cannot control the terminal: see [`neutralise`].
///
/// # Delivery
///
/// [`Delivery::Blind`]. Nobody can ask a terminal what stood on it before the process died, and its
/// output may be a file that both the old and the new process append to, where a second print would
/// be a second message. While the process lives, a write that fails is reported as unknown: a
/// part may be on the screen.
///
/// What was typed and not yet accepted when the process dies is lost with the process; there is no
/// one who could deliver it again.
pub struct Terminal {
    account: AccountId,
    capabilities: Capabilities,
    config: Config,
    /// Makes event keys of this process unlike those of the ones before.
    process: OnceLock<String>,
    count: AtomicU64,
    input: Mutex<Input>,
    screen: Mutex<Option<Screen>>,
    /// How many messages were printed.
    printed: watch::Sender<u64>,
}

#[derive(Default)]
struct Input {
    source: Option<Source>,
    /// Read and not yet accepted.
    unaccepted: Option<Inbound>,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// Standard input and output, as the account `terminal:default`. They are opened when the
    /// channel runs or first prints.
    pub fn new() -> Self {
        Self::with_parts(None, None)
    }

    /// Lines from `reader`, text to `writer`: for tests, sockets, and programs that have their own
    /// terminal.
    pub fn piped(
        reader: impl AsyncBufRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let reader: Box<dyn AsyncBufRead + Send + Unpin> = Box::new(reader);
        let screen = Screen::new(Out::Plain(Box::new(writer)));
        Self::with_parts(Some(Source::Piped(reader.split(b'\n'))), Some(screen))
    }

    fn with_parts(source: Option<Source>, screen: Option<Screen>) -> Self {
        let mut capabilities = Capabilities::text_only(Delivery::Blind);
        capabilities.buttons = true;
        capabilities.local = true;
        // Two parts without colons.
        let account = AccountId::new("terminal", "default");
        Self {
            account: account.unwrap_or_else(|error| unreachable!("{error}")),
            capabilities,
            config: Config::default(),
            process: OnceLock::new(),
            count: AtomicU64::new(0),
            input: Mutex::new(Input { source, unaccepted: None }),
            screen: Mutex::new(screen),
            printed: watch::Sender::new(0),
        }
    }

    /// Replaces the settings.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps typed lines in this file.
    #[must_use]
    pub fn with_history(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.history = Some(path.into());
        self
    }

    /// The one conversation that there is.
    pub fn conversation(&self) -> Conversation {
        Conversation::direct(self.account.clone(), PERSON)
    }

    /// Opens what is not open yet.
    async fn open(&self, input: &mut Input) -> Result<()> {
        if input.source.is_some() {
            return Ok(());
        }
        let mut screen = self.screen.lock().await;
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            let (source, printer) = line::typed(self.config.clone())?;
            input.source = Some(source);
            screen.get_or_insert_with(stdout).out = Out::Prompt(printer);
        } else {
            let reader: Box<dyn AsyncBufRead + Send + Unpin> =
                Box::new(BufReader::new(tokio::io::stdin()));
            input.source = Some(Source::Piped(reader.split(b'\n')));
        }
        Ok(())
    }

    fn next_id(&self) -> Result<String> {
        let process = match self.process.get() {
            Some(process) => process,
            None => {
                let mut bytes = [0; 8];
                SystemEntropy.fill(&mut bytes)?;
                self.process.get_or_init(|| format!("{:016x}", u64::from_be_bytes(bytes)))
            }
        };
        Ok(format!("{process}-{}", self.count.fetch_add(1, Ordering::Relaxed)))
    }

    /// What a line says: a number that stands before a button presses it.
    async fn inbound(&self, line: &str) -> Result<Inbound> {
        let id = self.next_id()?;
        let sender = Sender { id: PERSON.into(), name: None };
        let (key, here) = (EventKey::event(&id), self.conversation());
        let mut screen = self.screen.lock().await;
        let buttons = screen.as_mut().map(|screen| &mut screen.buttons);
        if let Some(buttons) = buttons
            && let Ok(number) = line.trim().parse::<usize>()
            && let Some(button) = number.checked_sub(1).and_then(|at| buttons.get(at))
        {
            let pressed = InboundKind::Button { token: button.token.clone() };
            buttons.clear();
            let nothing: [Content; 0] = [];
            return Ok(Inbound::message(key, here, sender, nothing)
                .of_kind(pressed)
                .mentioning_us());
        }
        Ok(Inbound::message(key, here, sender, [line]).with_message(id).mentioning_us())
    }

    /// Passes lines in until there are no more.
    async fn hear(&self, cx: &ChannelContext) -> Result<()> {
        let mut input = self.input.lock().await;
        self.open(&mut input).await?;
        let Input { source: Some(source), unaccepted } = &mut *input else {
            return Err(Error::internal("the terminal was opened and is not open"));
        };
        let _restoring = source.restoring();
        let waits = self.config.wait_for_answers && matches!(source, Source::Piped(_));
        loop {
            if unaccepted.is_none() {
                let Some(line) = source.next().await? else { return Ok(()) };
                if line.trim().is_empty() {
                    continue;
                }
                *unaccepted = Some(self.inbound(&line).await?);
            }
            let Some(inbound) = unaccepted.clone() else { continue };
            let mut printed = self.printed.subscribe();
            printed.mark_unchanged();
            let silent = self.silent_turns().await;
            let accepted = cx.accept(inbound).await?;
            *unaccepted = None;
            match accepted {
                Accepted::New if waits => tokio::select! {
                    // The sender lives as long as `self`.
                    _ = printed.changed() => {}
                    () = self.silent_since(cx, silent) => {}
                },
                Accepted::Refused(reason) => {
                    self.print(&format!("(not let in: {reason:?})"))
                        .await
                        .kind(ErrorKind::Unavailable)?;
                }
                _ => {}
            }
        }
    }

    async fn silent_turns(&self) -> usize {
        self.screen.lock().await.as_ref().map_or(0, |screen| screen.silent_turns)
    }

    /// Waits until a turn ended without a reply.
    async fn silent_since(&self, cx: &ChannelContext, before: usize) {
        let mut events = cx.events().subscribe();
        loop {
            self.show_events().await;
            if self.silent_turns().await > before || events.next().await.is_none() {
                return;
            }
        }
    }

    async fn show_events(&self) {
        if let Some(screen) = &mut *self.screen.lock().await {
            // The message itself will report that nothing can be printed.
            let _ = screen.catch_up(&self.conversation()).await;
        }
    }

    /// Prints answers while they grow, for ever.
    async fn stream(&self, cx: &ChannelContext) {
        let mut events = cx.events().subscribe();
        self.screen.lock().await.get_or_insert_with(stdout).events = Some(cx.events().subscribe());
        while events.next().await.is_some() {
            self.show_events().await;
        }
        std::future::pending().await
    }

    async fn print(&self, text: &str) -> std::io::Result<()> {
        let mut screen = self.screen.lock().await;
        let screen = screen.get_or_insert_with(stdout);
        screen.catch_up(&self.conversation()).await?;
        screen.message(text).await
    }
}

fn stdout() -> Screen {
    Screen::new(Out::Plain(Box::new(tokio::io::stdout())))
}

#[async_trait]
impl Channel for Terminal {
    fn id(&self) -> &AccountId {
        &self.account
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn run(&self, cx: &ChannelContext) -> Result<()> {
        tokio::select! {
            biased;
            () = cx.cancel().cancelled() => Ok(()),
            () = self.stream(cx) => Ok(()),
            heard = self.hear(cx) => heard,
        }
    }

    async fn perform(
        &self,
        _: &ChannelContext,
        to: &Conversation,
        action: &Action,
    ) -> Result<Sent> {
        if *to != self.conversation() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("conversation {to}: expected {}", self.conversation()),
            ));
        }
        let Action::Send { content, .. } = action else {
            return Err(Error::new(ErrorKind::Unsupported, "a terminal only sends"));
        };
        let (text, buttons) = render(content);
        if let Err(error) = self.print(&text).await {
            return Ok(Sent::Unknown(Error::wrap(ErrorKind::Unavailable, error)));
        }
        if let Some(screen) = &mut *self.screen.lock().await {
            screen.buttons = buttons;
        }
        self.printed.send_modify(|count| *count += 1);
        Ok(Sent::Yes(Receipt::default()))
    }
}
