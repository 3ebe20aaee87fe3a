//! `--watch`: lists that are kept up to date.

use std::future::pending;
use std::time::Duration;

use client::Administration;
use control::{Event, Timestamp};
use futures_util::stream::{LocalBoxStream, SelectAll, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::administration::{self, Servers};
use crate::cli::{self, Format, Switch, Takes, Words};
use crate::event_feed::{FeedItem, feed};
use crate::failure::{Failure, Numbered};
use crate::listing::{Gathered, Listed, gather, write_line};
use crate::messages;
use crate::output::{Console, Of, clean_line, local_time};

const WATCH: Switch = Switch::own("WATCH", Takes::Nothing);
const FOR: Switch = Switch::own("FOR", Takes::Value);

/// The switches of a watched list.
pub(crate) const SWITCHES: [Switch; 2] = [WATCH, FOR];

/// The time for which a list is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    lasts: Option<Duration>,
}

impl Watch {
    /// The watch that `words` ask for; `None` if they ask for none.
    pub(crate) fn of(words: &Words, format: Format) -> Result<Option<Self>, Numbered> {
        let lasts = cli::length(words, &FOR)?;
        match (words.has(&WATCH), format) {
            (false, _) if lasts.is_none() => Ok(None),
            (true, Format::Text | Format::Ndjson) => Ok(Some(Self { lasts })),
            _ => Err(Numbered::new(messages::CONFLICTING_OPTIONS_NUMBER)),
        }
    }
}

/// A kind of entry that can be watched.
pub(crate) trait Watched: Listed + Clone {
    /// The names for the arrival and the departure of an entry.
    const COMES_AND_GOES: [&'static str; 2];

    /// True if both are the same entry.
    fn is(&self, other: &Self) -> bool;
    /// True if the entry has changed. Times and counters that only grow do not count.
    fn differs(&self, other: &Self) -> bool;
    /// The entry in one line.
    fn line(&self) -> String;
    /// The new entry that an event describes, if it describes one.
    fn from_arrival(event: &Event) -> Option<Self>;
    /// True if the event is the end of this entry.
    fn is_departure(&self, event: &Event) -> bool;
}

/// One change in the list.
#[derive(Serialize)]
struct Change<'a, T> {
    at: Timestamp,
    what: &'static str,
    #[serde(flatten)]
    it: &'a Of<T>,
}

/// Watches the list until Ctrl-C, until the time is over, or until the reader is gone. On a terminal `frame` draws
/// the list; elsewhere every change is a line.
pub(crate) fn watch<T: Watched>(
    servers: &Servers,
    watch: Watch,
    format: Format,
    console: &mut Console,
    question: impl AsyncFn(&dyn Administration) -> Result<Vec<T>, client::Error>,
    is_selected: impl Fn(&T) -> bool,
    frame: impl Fn(&Gathered<T>) -> String,
) -> Result<(), Failure> {
    let drawn = format == Format::Text && console.width().is_some();
    administration::run(async {
        let mut events_of_servers = EventsOfServers::start(servers).await;
        let end = watch.lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        // From here on Ctrl-C is handled: it must not end the command in the middle of a line.
        let mut interrupts = signal(SignalKind::interrupt()).ok();
        let mut known: Option<Vec<Of<T>>> = None;
        let mut troubled = String::new();
        let mut events = Vec::new();
        loop {
            let asked = Instant::now();
            let mut gathered = gather(servers, &question).await?;
            // A list that takes long is requested less often, so that watching is never most of the server's work.
            let took = asked.elapsed();
            let every = if events_of_servers.are_live() { EVERY_WITH_EVENTS } else { EVERY };
            let again = Instant::now() + every.max(took * REST);
            let trouble = gathered.trouble();
            if drawn {
                let heading =
                    format!("{}  {} in the list", local_time(Timestamp::now()), gathered.entries.len());
                draw(&[heading, trouble.clone(), frame(&gathered)], console);
            } else {
                if trouble != troubled {
                    console.error(&trouble);
                }
                // Entries of a server that does not answer are not gone.
                gathered.keep(known.as_deref().unwrap_or_default());
                let changes = Changes { known: known.as_deref(), now: &gathered.entries, events: &events };
                changes.print(format, console, &is_selected)?;
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
                happened = events_of_servers.next() => {
                    // Events of one operation are shown together.
                    sleep(TOGETHER.max(took)).await;
                    events.extend(happened);
                    while let Some(happened) = events_of_servers.next().now_or_never() {
                        events.extend(happened);
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
    fn print(
        &self,
        format: Format,
        console: &mut Console,
        is_selected: impl Fn(&T) -> bool,
    ) -> Result<(), Failure> {
        let at = Timestamp::now();
        let [comes, goes] = T::COMES_AND_GOES;
        let known = self.known.unwrap_or_default();
        let same = |a: &Of<T>, b: &Of<T>| a.server == b.server && a.entry.is(&b.entry);
        for it in known.iter().filter(|it| !self.now.iter().any(|other| same(it, other))) {
            let when = self.event(|server, event| *server == it.server && it.entry.is_departure(event));
            print_change(Change { at: when.unwrap_or(at), what: goes, it }, format, console)?;
        }
        for it in self.now {
            match known.iter().find(|other| same(it, other)) {
                None if self.known.is_none() => {
                    print_change(Change { at, what: "present", it }, format, console)?
                }
                None => {
                    let when = self.event(|server, event| {
                        *server == it.server && T::from_arrival(event).is_some_and(|came| came.is(&it.entry))
                    });
                    print_change(Change { at: when.unwrap_or(at), what: comes, it }, format, console)?;
                }
                Some(before) if it.entry.differs(&before.entry) => {
                    print_change(Change { at, what: "changed", it }, format, console)?;
                }
                Some(_) => {}
            }
        }
        self.print_short_lived(format, console, is_selected)
    }

    /// Reports entries that came and went between two lists. Only events describe them.
    fn print_short_lived(
        &self,
        format: Format,
        console: &mut Console,
        is_selected: impl Fn(&T) -> bool,
    ) -> Result<(), Failure> {
        let [comes, goes] = T::COMES_AND_GOES;
        let known = self.known.unwrap_or_default();
        for (server, event) in self.events {
            let Some(entry) = T::from_arrival(event).filter(|entry| is_selected(entry)) else { continue };
            let listed = |it: &Of<T>| it.server == *server && it.entry.is(&entry);
            if self.now.iter().any(listed) || known.iter().any(listed) {
                continue;
            }
            let ended = self.event(|of, event| of == server && entry.is_departure(event));
            let it = Of { server: server.clone(), entry };
            let at = event.at.unwrap_or_else(Timestamp::now);
            print_change(Change { at, what: comes, it: &it }, format, console)?;
            print_change(Change { at: ended.unwrap_or(at), what: goes, it: &it }, format, console)?;
        }
        Ok(())
    }

    fn event(&self, is_it: impl Fn(&Option<String>, &Event) -> bool) -> Option<Timestamp> {
        self.events.iter().find(|(server, event)| is_it(server, event))?.1.at
    }
}

fn print_change<T: Watched>(
    change: Change<'_, T>,
    format: Format,
    console: &mut Console,
) -> Result<(), Failure> {
    if format == Format::Ndjson {
        return write_line(T::ONE, &change, console);
    }
    let server = change.it.server.as_deref().map(|server| format!("{server}  ")).unwrap_or_default();
    let at = local_time(change.at);
    let line = format!("{at}  {:<8}  {server}{}", change.what, change.it.entry.line());
    console.line(&clean_line(&line));
    Ok(())
}

/// Redraws the screen: from the corner, each line up to its end, then clears the rest.
fn draw(parts: &[String], console: &mut Console) {
    let lines = parts.iter().flat_map(|part| part.lines());
    let height = console.height().unwrap_or(usize::MAX).saturating_sub(1);
    let shown: String = lines.take(height).map(|line| format!("{line}\u{1b}[K\n")).collect();
    console.write(&format!("\u{1b}[H{shown}\u{1b}[J"));
}

/// The events of all servers that report them. The lists of the others are requested every second.
struct EventsOfServers<'a> {
    items: SelectAll<LocalBoxStream<'a, (usize, FeedItem)>>,
    servers: Vec<SourceOfEvents>,
}

struct SourceOfEvents {
    /// The name of the server, if there are several.
    name: Option<String>,
    is_live: bool,
}

impl<'a> EventsOfServers<'a> {
    /// Waits until each server sends its events, or has refused to, so that no change after that is missed.
    async fn start(servers: &'a Servers) -> Self {
        let (mut items, mut sources) = (Vec::new(), Vec::new());
        for (number, server) in servers.iter().enumerate() {
            let mut feed = feed(&*server.administration);
            let is_live = matches!(feed.next().await, Some(FeedItem::Begun));
            sources.push(SourceOfEvents {
                name: server.name.clone().filter(|_| servers.are_several()),
                is_live,
            });
            items.push(feed.map(move |item| (number, item)).boxed_local());
        }
        Self { items: select_all(items), servers: sources }
    }

    /// True if all servers report their events.
    fn are_live(&self) -> bool {
        self.servers.iter().all(|it| it.is_live)
    }

    /// Waits for an event, or for the beginning or end of a server's events, which makes a new list necessary.
    async fn next(&mut self) -> Option<(Option<String>, Event)> {
        let Some((number, item)) = self.items.next().await else { return pending().await };
        let source = self.servers.get_mut(number)?;
        source.is_live = matches!(item, FeedItem::Begun | FeedItem::Event(_));
        match item {
            FeedItem::Event(event) => Some((source.name.clone(), *event)),
            FeedItem::Begun | FeedItem::Interrupted | FeedItem::Unavailable => None,
        }
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

/// The time between two lists; a person sees such a change as immediate.
const EVERY: Duration = Duration::from_secs(1);

/// The time between two lists if all servers report events: for the times in the list, and for changes without an event.
const EVERY_WITH_EVENTS: Duration = Duration::from_secs(5);

/// The pause between two lists, as a multiple of the time that the list took.
const REST: u32 = 9;

/// Saving one document causes a dozen events within this time.
const TOGETHER: Duration = Duration::from_millis(50);
