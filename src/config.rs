//! What can be configured of a server, with safe defaults.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt, iter,
    num::{NonZeroU32, NonZeroUsize},
    str::FromStr,
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    http::{Destinations, Mapping, canonical, check_dead_letter},
    link::{is_topic, kept_in},
    service::Policy,
    stomp::{HeartBeatOffer, Limits},
    uri::Brokers,
};

/// Where requests come from.
pub const DEFAULT_DESTINATION: &str = "/queue/wsgi";

/// When all workers count as stuck.
pub(crate) const DEFAULT_STUCK_AFTER: Duration = Duration::from_secs(60);

/// A server's configuration: which broker, which destinations, and the bounds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The brokers of one cluster.
    pub brokers: Brokers,
    /// What to subscribe to, for the application that the dispatcher was made with.
    pub destinations: Vec<Source>,
    /// Connections to the broker, which share the workers: 1. Queues are consumed on each. Topics are on the
    /// first alone, for each connection would be given a copy of each message.
    pub connections: NonZeroUsize,
    /// Unacknowledged messages per connection and destination; by default as many as the reactor has workers,
    /// and 16. It is not divided: any connection can keep all workers busy while others are down.
    pub prefetch: Option<NonZeroU32>,
    /// Who we are to the broker; durable subscriptions belong to it. The first connection has it alone, since
    /// brokers let nobody in twice.
    pub client_id: Option<String>,
    /// What we offer: a beat each way every 10 s. An inline reactor offers none of its own.
    pub heart_beat: HeartBeatOffer,
    /// For resolving, connecting and logging in, each: 10 s.
    pub connect_timeout: Duration,
    /// How long a stop waits for what runs: 30 s.
    pub drain_timeout: Duration,
    /// Before a failed message is tried again; doubles each time, up to 60 s: 1 s.
    pub retry_delay: Duration,
    /// When a message is acknowledged: when the broker has its reply.
    pub delivery: DeliveryMode,
    /// How long a request may wait for a worker, and then for its answer, or the next block of a streamed one.
    /// Then it is answered 503, or 504: for as long as it takes. The application cannot be interrupted.
    pub request_timeout: Option<Duration>,
    /// After how long all workers count as stuck, where none of them begins, ends or sends anything: 60 s. Then their
    /// stacks are logged, and nothing more is taken from the broker until one is free. `None`: never. Where there is no
    /// request timeout, it must be longer than the application takes, or else requests that take longer are served
    /// more than once.
    pub stuck_after: Option<Duration>,
    /// Bounds on what the broker may send: a header of 1 MiB, 10,000 headers, 16 MiB of headers, 128 MiB of body.
    /// A request with a larger body is answered 413, and refused (NACK) where nobody waits for an answer. Those of
    /// the head are wider than what brokers take, for more ends the connection each time it is delivered.
    pub limits: Limits,
    /// How messages become requests, and replies messages.
    pub mapping: Mapping,
    /// What becomes of messages that fail.
    pub policy: Policy,
}

impl Config {
    /// The defaults, for these brokers.
    pub fn new(brokers: Brokers) -> Self {
        Self {
            brokers,
            destinations: vec![Source::queue(DEFAULT_DESTINATION)],
            connections: NonZeroUsize::MIN,
            prefetch: None,
            client_id: None,
            heart_beat: HeartBeatOffer { send: Duration::from_secs(10), receive: Duration::from_secs(10) },
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            retry_delay: Duration::from_secs(1),
            limits: Self::limits(),
            delivery: DeliveryMode::default(),
            request_timeout: None,
            stuck_after: Some(DEFAULT_STUCK_AFTER),
            mapping: Mapping::default(),
            policy: Policy::default(),
        }
    }

    /// What the field of this name has by default.
    pub(crate) fn limits() -> Limits {
        Limits { header_line: 1 << 20, headers: 10_000, head: 16 << 20, body: 128 << 20 }
    }

    /// Subscribes to these instead of the default; each as [`Source`] has it.
    ///
    /// # Errors
    /// Where one of them cannot be a destination.
    pub fn destinations<S: AsRef<str>>(
        mut self,
        destinations: impl IntoIterator<Item = S>,
    ) -> Result<Self, DestinationError> {
        self.destinations =
            destinations.into_iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>()?;
        Ok(self)
    }
}

/// When a message is acknowledged: what a crash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeliveryMode {
    /// When the broker has confirmed its reply. A crash may have a message served and answered twice.
    #[default]
    AtLeastOnce,
    /// Before it is served. A crash may lose it; a message that fails is not tried again.
    AtMostOnce,
    /// Together with its reply, in a transaction of the broker's. A crash may have a message served twice, and
    /// answered once. A broker that cannot do it (Artemis) is served as with `AtLeastOnce`.
    Transactional,
}

/// A destination to take requests from, and how.
///
/// Written as `/topic/prices?durable=desk&selector=region%20=%20'eu'`. A selector may be percent-encoded;
/// `&`, `%` and, on the command line, `,` must be. Other options stay with the destination, for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// As the broker knows it.
    pub destination: String,
    /// Only messages that this is true of, in the broker's own language (SQL 92 on ActiveMQ).
    pub selector: Option<String>,
    /// The name of a durable subscription: the broker keeps for us what is published while we are away.
    pub durable: Option<String>,
}

impl Source {
    fn queue(destination: &str) -> Self {
        Self { destination: destination.to_owned(), selector: None, durable: None }
    }

    /// Whether each subscriber gets a copy of each message, rather than one of them the message.
    pub(crate) fn is_copied(&self) -> bool {
        // A subscription to an exchange is a queue of its own, though what came through one need not be published.
        is_topic(self.destination.as_bytes()) || self.destination.starts_with("/exchange/")
    }

    /// What a message may be sent to that is to come by it: the destination, and on RabbitMQ the queue of a durable
    /// subscription, too.
    pub(crate) fn consumed(&self, client_id: Option<&str>) -> impl Iterator<Item = String> {
        let kept = self.durable.as_ref().map(|name| {
            let queue = kept_in(client_id.unwrap_or_default(), name);
            format!("/queue/{}", utf8_percent_encode(&queue, NON_ALPHANUMERIC))
        });
        iter::once(self.destination.clone()).chain(kept)
    }
}

impl FromStr for Source {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (name, options) = text.split_once('?').unwrap_or((text, ""));
        let mut source = Self::queue(name);
        let wrong =
            |why: &'static str| Err(DestinationError { destination: text.to_owned(), why: why.into() });
        let mut others = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let place = match name {
                "selector" => &mut source.selector,
                "durable" => &mut source.durable,
                _ => {
                    others.push(option);
                    continue;
                }
            };
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            if value.is_empty() || value.contains(char::is_control) {
                return wrong("its selector or durable is empty, or holds a control character");
            }
            if place.replace(value).is_some() {
                return wrong("it has two of a kind of option");
            }
        }
        if !others.is_empty() {
            source.destination = format!("{name}?{}", others.join("&"));
        }
        check_destination(&source.destination)?;
        if source.durable.is_some() && !source.is_copied() {
            return wrong("only topics have durable subscriptions; a queue keeps its messages anyway");
        }
        Ok(source)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.destination)
    }
}

/// What is wrong with a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the destination \"{destination}\" cannot be served: {why}")]
pub struct DestinationError {
    /// What was given.
    pub destination: String,
    /// What is wrong with it.
    pub why: Cow<'static, str>,
}

/// Checks a destination before a broker does, which may make a queue of a typing error without a word.
///
/// # Errors
/// Says what is wrong.
pub fn check_destination(destination: &str) -> Result<(), DestinationError> {
    // What brokers know: ActiveMQ, RabbitMQ, and bare names (a queue on both, an address on Artemis).
    const KINDS: [&str; 9] = [
        "queue",
        "topic",
        "temp-queue",
        "temp-topic",
        "remote-temp-queue",
        "reply-queue",
        "exchange",
        "amq",
        "dsub",
    ];
    let why = if destination.is_empty() {
        "it is empty; use /queue/NAME or /topic/NAME"
    } else if destination.contains(|c: char| c.is_control() || c == ' ') {
        "it holds a space or a control character"
    } else if let Some(rest) = destination.strip_prefix('/') {
        match rest.split_once('/') {
            Some((kind, _)) if !KINDS.contains(&kind) => {
                "brokers know no such kind; use /queue/NAME or /topic/NAME"
            }
            Some((_, "")) => "it has no name; use /queue/NAME or /topic/NAME",
            Some(_) => return Ok(()),
            None => "it has no kind; use /queue/NAME or /topic/NAME",
        }
    } else {
        return Ok(());
    };
    Err(DestinationError { destination: destination.to_owned(), why: why.into() })
}

/// Checks what cannot be seen of one source alone.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn check_sources(sources: &[Source], client_id: Option<&str>) -> Result<(), DestinationError> {
    let (mut names, mut durable) = (HashSet::new(), HashSet::new());
    for source in sources {
        let why = if !names.insert(canonical(source.destination.as_bytes())) {
            "it is named twice"
        } else if source.durable.is_none() {
            continue;
        } else if client_id.is_none() {
            "a durable subscription belongs to a client: say who you are with --client-id"
        } else if !durable.insert(&source.durable) {
            "each durable subscription needs a name of its own"
        } else {
            continue;
        };
        return Err(DestinationError { destination: source.destination.clone(), why: why.into() });
    }
    Ok(())
}

/// Checks where dead letters go: somewhere, and nowhere that we take them from again.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn check_dead_letters(
    sources: &[Source],
    client_id: Option<&str>,
    policy: &Policy,
) -> Result<(), DestinationError> {
    let mut consumed = Destinations::default();
    consumed.extend(sources.iter().flat_map(|source| source.consumed(client_id)));
    for source in sources {
        // A broker takes its options off, and so does the message's destination.
        let from = source.destination.split('?').next().unwrap_or_default();
        // ActiveMQ takes a list for its parts, RabbitMQ for one name.
        let parts = from.split(',').map(str::trim).chain(from.contains(',').then_some(from));
        for from in parts {
            let wrong = |why: String| {
                Err(DestinationError { destination: source.destination.clone(), why: why.into() })
            };
            let (letters, exactly) =
                (policy.dead_letters_of(from, str::to_owned), policy.dead_letter_of(from));
            check_destination(&exactly)?;
            let overlapping = |letters: &str| consumed.overlapping(letters.as_bytes()).map(str::to_owned);
            if let Some(again) = overlapping(&letters).or_else(|| overlapping(&exactly)) {
                return wrong(format!(
                    "what fails would go to {letters}, and come back by {again}; have it go elsewhere \
                     (--dead-letter), or serve less than all of that"
                ));
            }
            if check_dead_letter(&exactly, &consumed).is_err() {
                return wrong(format!(
                    "what fails would go to {exactly}, which is a list, a pattern or malformed; name one \
                     destination (--dead-letter)"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brokers_take_by_default_does_not_end_the_connection() {
        let limits = Config::new("stomp://h".parse().unwrap()).limits;
        let (activemq, rabbitmq) = (100 << 20, 128 << 20);
        assert!(limits.body >= activemq && limits.body >= rabbitmq);
    }

    #[test]
    fn sources_have_options() {
        let source: Source =
            "/topic/prices?durable=desk&selector=region%20= 'eu' AND n %3E 3&consumer.priority=1"
                .parse()
                .unwrap();
        assert_eq!(source.destination, "/topic/prices?consumer.priority=1");
        assert_eq!(source.selector.as_deref(), Some("region = 'eu' AND n > 3"));
        assert_eq!(source.durable.as_deref(), Some("desk"));
        assert!(source.is_copied() && !Source::queue("/queue/topic/").is_copied());
        for (bad, why) in [
            ("/queue/a?durable=x", "only topics"),
            ("/topic/a?durable=", "empty"),
            ("/topic/a?durable", "empty"),
            ("/topic/a?selector=%0A", "control"),
            ("/topic/a?durable=x&durable=y", "two of a kind"),
            ("/qeue/a?selector=x", "no such kind"),
            ("?selector=x", "empty"),
        ] {
            let error = bad.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn sources_are_checked_together() {
        let check = |sources: &[&str], client| {
            let sources: Vec<Source> = sources.iter().map(|source| source.parse().unwrap()).collect();
            check_sources(&sources, client).err().map_or("".into(), |error| error.why)
        };
        assert_eq!(check(&["/queue/a", "/topic/a", "/queue/b", "/topic/b?durable=x"], Some("c")), "");
        for (sources, client, why) in [
            (&["/queue/a", "/queue/b", "a"][..], None, "it is named twice"),
            (&["/queue/a?x=1", "/queue/a?selector=y"], None, "it is named twice"),
            (&["/topic/a?durable=x"], None, "--client-id"),
            (&["/topic/a?durable=x", "/topic/b", "/topic/c?durable=x"], Some("c"), "a name of its own"),
        ] {
            assert!(check(sources, client).contains(why), "{sources:?}: {}", check(sources, client));
        }
    }

    #[test]
    fn a_durable_subscription_may_be_a_queue_that_others_can_name() {
        let consumed = |source: &str, client| -> Vec<String> {
            source.parse::<Source>().unwrap().consumed(client).collect()
        };
        assert_eq!(consumed("/queue/a", Some("shop")), ["/queue/a"]);
        // As the names of queues are read elsewhere: no comma or percent sign of it divides or changes anything.
        for (client, name) in [("shop", "desk"), ("a,b", "%2C?x=1")] {
            let consumed = consumed(&format!("/topic/p?durable={}", name.replace('%', "%25")), Some(client));
            assert_eq!(consumed[0], "/topic/p");
            let spelt =
                format!("/amq/queue/{}", utf8_percent_encode(&kept_in(client, name), NON_ALPHANUMERIC));
            assert!(
                canonical(consumed[1].as_bytes()) == canonical(spelt.as_bytes())
                    && !consumed[1].contains([',', '?']),
                "{consumed:?}"
            );
        }
    }

    #[test]
    fn dead_letters_do_not_come_back() {
        let check = |sources: &[&str], dead_letter: &str| {
            let sources: Vec<Source> = sources.iter().map(|source| source.parse().unwrap()).collect();
            let policy = Policy { dead_letter: dead_letter.to_owned(), ..Policy::default() };
            check_dead_letters(&sources, Some("shop"), &policy).map_err(|error| error.to_string())
        };
        let Policy { dead_letter, .. } = Policy::default();
        let default = &*dead_letter;
        for fine in [
            &["/queue/a", "/topic/a", "/queue/b?x=1"][..],
            &["/queue/*"],
            &["/queue/orders.>"],
            &["/queue/orders.*", "/topic/>"],
            &["/exchange/e/key", "/topic/a?durable=desk"],
        ] {
            assert_eq!(check(fine, default), Ok(()), "{fine:?}");
        }
        assert_eq!(check(&["/queue/>"], "/topic/dead"), Ok(()), "no queue");
        for (sources, dead_letter, letters, again) in [
            (&["/queue/>"][..], default, "/queue/DLQ.>", "/queue/>"),
            (&["/queue/>"], "/queue/dead", "/queue/dead", "/queue/>"),
            (&["/queue/a", "/queue/DLQ.*"], default, "/queue/DLQ.a", "/queue/DLQ.*"),
            (&["/queue/*", "/queue/DLQ.a"], default, "/queue/DLQ.*", "/queue/DLQ.a"),
            (&["/queue/*", "/queue/*.b"], default, "/queue/DLQ.*", "/queue/*.b"),
            (&["/queue/a/b", "/queue/DLQ.a.b"], default, "/queue/DLQ.a.b", "/queue/DLQ.a.b"),
            (&["/exchange/e/k", "DLQ.exchange.e.k"], default, "/queue/DLQ.exchange.e.k", "DLQ.exchange.e.k"),
            (&["/amq/queue/a", "/queue/DLQ.a"], default, "/queue/DLQ.a", "/queue/DLQ.a"),
            (&["/queue/a?x=1", "/queue/DLQ.a?x=1"], default, "/queue/DLQ.a", "/queue/DLQ.a?x=1"),
            (&["/topic/a?durable=desk"], "/queue/shop.desk", "/queue/shop.desk", "/queue/shop%2Edesk"),
        ] {
            let error = check(sources, dead_letter).unwrap_err();
            let said = format!("would go to {letters}, and come back by {again};");
            assert!(error.contains(&said) && error.contains("--dead-letter"), "{sources:?}: {error}");
        }
        assert!(check(&["/queue/a"], "").unwrap_err().contains("it is empty"));
        // What ActiveMQ takes for two queues, RabbitMQ takes for one.
        assert_eq!(check(&["/queue/a,/queue/b"], default), Ok(()));
        assert!(check(&["/queue/a,/queue/b", "/queue/DLQ.b"], default).unwrap_err().contains("/queue/DLQ.b"));
        for dead_letter in
            ["/queue/x,/queue/y", "/queue/y.>", "/queue/x.*", "/queue/x?y=z", "/queue/topic://x"]
        {
            let error = check(&["/queue/a"], dead_letter).unwrap_err();
            assert!(error.contains("a list, a pattern or malformed"), "{dead_letter}: {error}");
        }
    }

    #[test]
    fn destinations_are_checked() {
        for good in
            ["/queue/a", "/topic/a.b", "orders", "/temp-queue/x", "/exchange/e/key", "/amq/queue/x", "A.B"]
        {
            assert_eq!(check_destination(good), Ok(()), "{good}");
        }
        for bad in ["", "/", "/queue", "/queue/", "/qeue/a", "/queue/a b", "a\nb"] {
            assert!(check_destination(bad).is_err(), "{bad}");
        }
    }
}
