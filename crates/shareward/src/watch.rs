//! A list that is followed: `--watch`.

use std::future::{pending, ready};
use std::time::Duration;

use client::Administration;
use control::{Event, EventQuery, Timestamp};
use futures_util::stream::{LocalBoxStream, SelectAll, once, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::administration::{self, Servers};
use crate::cli::{self, Format, Switch, Takes, Words};
use crate::failure::{Failure, Numbered};
use crate::listing::{Gathered, Listed, gather, write_line};
use crate::messages;
use crate::output::{Console, Of, clean_line, local_time};

const WATCH: Switch = Switch::own("WATCH", Takes::Nothing);
const FOR: Switch = Switch::own("FOR", Takes::Value);

/// The switches of a view.
pub(crate) const SWITCHES: [Switch; 2] = [WATCH, FOR];

/// How long a view lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    lasts: Option<Duration>,
}

impl Watch {
    /// The view that `words` ask for, if they do.
    pub(crate) fn of(words: &Words, format: Format) -> Result<Option<Self>, Numbered> {
        let lasts = cli::length(words, &FOR)?;
        match (words.has(&WATCH), format) {
            (false, _) if lasts.is_none() => Ok(None),
            (true, Format::Text | Format::Ndjson) => Ok(Some(Self { lasts })),
            _ => Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)),
        }
    }
}

/// What can be followed.
pub(crate) trait Watched: Listed + Clone {
    /// What it is called when it comes and when it goes.
    const COMES_AND_GOES: [&'static str; 2];

    /// Whether both are the same one.
    fn is(&self, other: &Self) -> bool;
    /// Whether something happened to it: what only grows with time does not count.
    fn differs(&self, other: &Self) -> bool;
    /// It in one line.
    fn line(&self) -> String;
    /// What an event tells of one that came, where it is about one.
    fn came(event: &Event) -> Option<Self>;
    /// Whether the event tells of the end of this one.
    fn went(&self, event: &Event) -> bool;
}

/// Something that happened.
#[derive(Serialize)]
struct Change<'a, T> {
    at: Timestamp,
    what: &'static str,
    #[serde(flatten)]
    it: &'a Of<T>,
}

/// Follows the list until Ctrl-C, until the time is over, or until nobody reads any more. On a terminal `frame` is the
/// list as it is drawn; elsewhere every change is a line.
pub(crate) fn watch<T: Watched>(
    servers: &Servers,
    watch: Watch,
    format: Format,
    console: &mut Console,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
    is_meant: impl Fn(&T) -> bool,
    frame: impl Fn(&Gathered<T>) -> String,
) -> Result<(), Failure> {
    let drawn = format == Format::Text && console.width().is_some();
    administration::run(async {
        let mut happenings = self::happenings(servers).await;
        let mut silent = false;
        let end = watch.lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        // From here on Ctrl-C is ours: it must not end the command in the middle of a line.
        let mut interrupts = signal(SignalKind::interrupt()).ok();
        let mut known: Option<Vec<Of<T>>> = None;
        let mut troubled = String::new();
        let mut events = Vec::new();
        loop {
            let asked = Instant::now();
            if std::mem::take(&mut silent) {
                // The server ends them where what one may see has changed.
                happenings = self::happenings(servers).await;
            }
            let mut gathered = gather(servers, &question).await?;
            // A list that takes long is asked for less often, so that a view is never most of what a server does.
            let took = asked.elapsed();
            let again = Instant::now() + EVERY.max(took * REST);
            let trouble = gathered.trouble();
            if drawn {
                let heading =
                    format!("{}  {} in the list", local_time(Timestamp::now()), gathered.entries.len());
                draw(&[heading, trouble.clone(), frame(&gathered)], console);
            } else {
                if trouble != troubled {
                    console.error(&trouble);
                }
                // What a server had that does not answer is not gone.
                gathered.keep(known.as_deref().unwrap_or_default());
                let changes = Changes { known: known.as_deref(), now: &gathered.entries, events: &events };
                changes.tell(format, console, &is_meant)?;
            }
            troubled = trouble;
            known = Some(gathered.entries);
            events.clear();
            if !console.shown() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = interrupted(&mut interrupts) => return Ok(()),
                () = until(end) => return Ok(()),
                happened = next(&mut happenings) => {
                    // What belongs together is shown together.
                    sleep(TOGETHER.max(took)).await;
                    let more = std::iter::from_fn(|| next(&mut happenings).now_or_never());
                    for happened in std::iter::once(happened).chain(more) {
                        match happened {
                            Happening::Event(server, event) => events.push((server, *event)),
                            Happening::Silence => silent = true,
                        }
                    }
                }
                () = sleep_until(again) => {}
            }
        }
    })?;
    if drawn {
        console.write("\n");
    }
    Ok(())
}

struct Changes<'a, T> {
    known: Option<&'a [Of<T>]>,
    now: &'a [Of<T>],
    events: &'a [(Option<String>, Event)],
}

impl<T: Watched> Changes<'_, T> {
    fn tell(
        &self,
        format: Format,
        console: &mut Console,
        is_meant: impl Fn(&T) -> bool,
    ) -> Result<(), Failure> {
        let at = Timestamp::now();
        let [comes, goes] = T::COMES_AND_GOES;
        let known = self.known.unwrap_or_default();
        let same = |a: &Of<T>, b: &Of<T>| a.server == b.server && a.entry.is(&b.entry);
        for it in known.iter().filter(|it| !self.now.iter().any(|other| same(it, other))) {
            let when = self.event(|server, event| *server == it.server && it.entry.went(event));
            tell(Change { at: when.unwrap_or(at), what: goes, it }, format, console)?;
        }
        for it in self.now {
            match known.iter().find(|other| same(it, other)) {
                None if self.known.is_none() => tell(Change { at, what: "present", it }, format, console)?,
                None => {
                    let when = self.event(|server, event| {
                        *server == it.server && T::came(event).is_some_and(|came| came.is(&it.entry))
                    });
                    tell(Change { at: when.unwrap_or(at), what: comes, it }, format, console)?;
                }
                Some(before) if it.entry.differs(&before.entry) => {
                    tell(Change { at, what: "changed", it }, format, console)?;
                }
                Some(_) => {}
            }
        }
        self.tell_of_the_short_lived(format, console, is_meant)
    }

    /// What came and went between two looks at the list is known from the events alone.
    fn tell_of_the_short_lived(
        &self,
        format: Format,
        console: &mut Console,
        is_meant: impl Fn(&T) -> bool,
    ) -> Result<(), Failure> {
        let [comes, goes] = T::COMES_AND_GOES;
        let known = self.known.unwrap_or_default();
        for (server, event) in self.events {
            let Some(entry) = T::came(event).filter(|entry| is_meant(entry)) else { continue };
            let listed = |it: &Of<T>| it.server == *server && it.entry.is(&entry);
            if self.now.iter().any(listed) || known.iter().any(listed) {
                continue;
            }
            let ended = self.event(|of, event| of == server && entry.went(event));
            let it = Of { server: server.clone(), entry };
            let at = event.at.unwrap_or_else(Timestamp::now);
            tell(Change { at, what: comes, it: &it }, format, console)?;
            tell(Change { at: ended.unwrap_or(at), what: goes, it: &it }, format, console)?;
        }
        Ok(())
    }

    fn event(&self, is_it: impl Fn(&Option<String>, &Event) -> bool) -> Option<Timestamp> {
        self.events.iter().find(|(server, event)| is_it(server, event))?.1.at
    }
}

fn tell<T: Watched>(change: Change<'_, T>, format: Format, console: &mut Console) -> Result<(), Failure> {
    if format == Format::Ndjson {
        return write_line(T::ONE, &change, console);
    }
    let server = change.it.server.as_deref().map(|server| format!("{server}  ")).unwrap_or_default();
    let at = local_time(change.at);
    let line = format!("{at}  {:<8}  {server}{}", change.what, change.it.entry.line());
    console.line(&clean_line(&line));
    Ok(())
}

/// Draws over what was drawn before: from the corner, each line to its end, then nothing below.
fn draw(parts: &[String], console: &mut Console) {
    let lines = parts.iter().flat_map(|part| part.lines());
    let height = console.height().unwrap_or(usize::MAX).saturating_sub(1);
    let shown: String = lines.take(height).map(|line| format!("{line}\u{1b}[K\n")).collect();
    console.write(&format!("\u{1b}[H{shown}\u{1b}[J"));
}

/// What is heard of servers.
enum Happening {
    /// Something happened on the one of this name.
    Event(Option<String>, Box<Event>),
    /// One tells no events any more.
    Silence,
}

type Happenings<'a> = SelectAll<LocalBoxStream<'a, Happening>>;

/// The events of all servers that tell them; without them the list is looked at every second.
async fn happenings(servers: &Servers) -> Happenings<'_> {
    let mut streams = Vec::new();
    for server in servers.iter() {
        if let Ok(events) = server.administration.events(&FROM_NOW_ON).await {
            let name = server.name.clone().filter(|_| servers.are_several());
            let events =
                events.take_while(|event| ready(event.is_ok())).filter_map(|event| ready(event.ok()));
            let events = events.map(move |event| Happening::Event(name.clone(), Box::new(event)));
            streams.push(events.chain(once(ready(Happening::Silence))).boxed_local());
        }
    }
    select_all(streams)
}

async fn next(happenings: &mut Happenings<'_>) -> Happening {
    match happenings.next().await {
        Some(happening) => happening,
        None => pending().await,
    }
}

async fn interrupted(interrupts: &mut Option<Signal>) {
    match interrupts {
        Some(interrupts) => {
            interrupts.recv().await;
        }
        None => pending().await,
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}

static FROM_NOW_ON: EventQuery = EventQuery { after: None };

/// A person sees a second's change as at once.
const EVERY: Duration = Duration::from_secs(1);

/// How many times as long as a list took nothing is asked, where nothing is known to have happened.
const REST: u32 = 9;

/// Saving one document is a dozen events within this time.
const TOGETHER: Duration = Duration::from_millis(50);
