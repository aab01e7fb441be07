//! Where replies may go.
//!
//! A reply-to is a wish of the sender, carried out with our rights at the broker. Left unchecked, it lets
//! anyone who can send a request send to any destination (a confused deputy), or make us answer ourselves
//! for ever.

use std::borrow::Cow;

use crate::link::{TEMPORARY_QUEUE, is_topic};

/// Why a reply-to is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyToError {
    /// It does not begin with anything on the allow-list.
    #[error("the destination is not on the allow-list")]
    NotAllowed,
    /// We consume it: the reply would come back as a request.
    #[error("the destination is one that this service consumes")]
    Consumed,
    /// It holds a control character, is a pattern that stands for many destinations, or holds another destination that
    /// a broker may take it for.
    #[error("the destination is malformed, or a pattern")]
    Malformed,
    /// This broker takes nothing there, and would end the connection.
    #[error("{0}")]
    Refused(&'static str),
}

/// Checks a destination against the allow-list and against those that we consume.
///
/// ActiveMQ sends to each part of `a,b`, so each part must pass.
pub(super) fn check(
    reply_to: &[u8],
    allowed: &[String],
    consumed: &Destinations,
) -> Result<(), ReplyToError> {
    if is_simple(reply_to) {
        let consumed = || consumed.named(without_prefix(reply_to)).or_else(|| consumed.matched_by(reply_to));
        return permitted(reply_to, allowed, consumed);
    }
    check_each(reply_to, allowed, consumed)
}

/// The same for whatever it may be.
fn check_each(reply_to: &[u8], allowed: &[String], consumed: &Destinations) -> Result<(), ReplyToError> {
    if reply_to.iter().any(u8::is_ascii_control) {
        return Err(ReplyToError::Malformed);
    }
    for part in reply_to.split(|&byte| byte == b',') {
        let part = part.trim_ascii(); // as ActiveMQ does
        let name = without_options(part);
        // ActiveMQ and Artemis send to everything that matches.
        let is_pattern = || elements(name).any(|element| matches!(element, b"*" | b">" | b"#"));
        let is_pattern = memchr::memchr3(b'*', b'>', b'#', name).is_some() && is_pattern();
        if name.is_empty() || is_pattern || hides_another(name) || hides_another(part) {
            return Err(ReplyToError::Malformed);
        }
        permitted(name, allowed, || consumed.overlapping(name))?;
        // Artemis makes what is not there, and a queue of that name would be another address' from then on. To brokers but
        // ActiveMQ a question mark is a part of the name.
        for part in parts(part) {
            permitted(part, allowed, || consumed.overlapping(part))?;
        }
        if name.len() < part.len() && !is_allowed(part, allowed) {
            return Err(ReplyToError::NotAllowed);
        }
    }
    Ok(())
}

/// Where a message was sent that came by the subscription to `ours`: what its `destination` header says, where that is
/// one destination which such a subscription delivers; else `ours`, without options. On ActiveMQ a JMS sender can
/// set the header to any value. `also` lists other names of what is subscribed to.
pub(crate) fn sent_to<'a>(
    ours: &'a str,
    said: Option<&'a [u8]>,
    also: impl FnOnce() -> Vec<String>,
) -> &'a [u8] {
    let plain = without_options(ours.as_bytes());
    match said {
        Some(said) if said == plain => said,
        Some(said) if is_one(said) => {
            let delivers = |ours: &str| ours.split(',').any(|part| delivers(part.trim().as_bytes(), said));
            if delivers(ours) || also().iter().any(|ours| delivers(ours)) { said } else { plain }
        }
        _ => plain,
    }
}

/// Whether a name is one destination: no list, no pattern, no options, and nothing that hides another.
fn is_one(name: &[u8]) -> bool {
    let special = |byte: &u8| byte.is_ascii_control() || matches!(byte, b',' | b'?');
    !name.is_empty() && is_plain(name) && !name.iter().any(special) && !hides_another(name)
}

/// Whether the subscription to `ours` delivers what is sent to `name`, which is one destination.
fn delivers(ours: &[u8], name: &[u8]) -> bool {
    // RabbitMQ: an exchange's messages have `/exchange/NAME/ROUTING-KEY`, and `/topic/ROUTING-KEY` those of one.
    if let Some(pattern) = ours.strip_prefix(b"/exchange/") {
        let topic = pattern.strip_prefix(b"amq.topic/").zip(name.strip_prefix(b"/topic/"));
        let whole = !pattern.contains(&b'/');
        return topic.is_some_and(|(ours, name)| matches(&mut elements(ours), &mut elements(name)))
            || whole && name.strip_prefix(ours).is_some_and(|key| key.starts_with(b"/"))
            || overlaps(ours, name);
    }
    overlaps(ours, name)
}

/// The part of a dead letter's destination that stands for the message's own: brokers take nothing in it for a list, a
/// pattern, options or another destination.
pub(crate) fn harmless(name: &str) -> String {
    let plain = |c: char| if c.is_control() || c.is_whitespace() || matches!(c, ',' | '?') { '_' } else { c };
    let elements = name.split('.').map(|element| match element {
        "*" | ">" | "#" => "_".to_owned(),
        element => element.chars().map(plain).collect(),
    });
    elements.collect::<Vec<_>>().join(".").replace("::", "__")
}

/// Checks a dead letter's destination: one destination, and none that we consume.
pub(crate) fn check_dead_letter(destination: &str, consumed: &Destinations) -> Result<(), ReplyToError> {
    let destination = destination.as_bytes();
    let special = |byte: &u8| byte.is_ascii_control() || matches!(byte, b',' | b'?');
    let is_pattern = elements(destination).any(|element| matches!(element, b"*" | b">" | b"#"));
    if destination.is_empty() || destination.iter().any(special) || is_pattern || hides_another(destination) {
        return Err(ReplyToError::Malformed);
    }
    consumed.overlapping(destination).map_or(Ok(()), |_| Err(ReplyToError::Consumed))
}

/// Whether one destination is on the allow-list, and `consumed` finds none of ours.
fn permitted<'a>(
    name: &[u8],
    allowed: &[String],
    consumed: impl FnOnce() -> Option<&'a str>,
) -> Result<(), ReplyToError> {
    if !is_allowed(name, allowed) {
        return Err(ReplyToError::NotAllowed);
    }
    consumed().map_or(Ok(()), |_| Err(ReplyToError::Consumed))
}

fn is_allowed(name: &[u8], allowed: &[String]) -> bool {
    allowed.iter().any(|prefix| allows(prefix.as_bytes(), name))
}

/// The parts of `address::queue`; none of a name that is not of that form.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_qualified = memchr::memmem::find(name, b"::").is_some();
    let mut rest = is_qualified.then_some(name);
    std::iter::from_fn(move || {
        let name = rest.take()?;
        let Some(at) = memchr::memmem::find(name, b"::") else { return Some(name) };
        rest = Some(&name[at + 2..]);
        Some(&name[..at])
    })
}

/// Queues and topics. To find out whether a name is one of them takes as long among a thousand as among a few, unless
/// they are patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destinations {
    /// Those that stand for no other, in order: canonical and [`folded`], and as they are spelt.
    plain: Vec<(Vec<u8>, String)>,
    /// Patterns, and addresses with their queues.
    others: Vec<String>,
}

impl Extend<String> for Destinations {
    /// Adds to them. ActiveMQ takes `a,b` for two.
    fn extend<T: IntoIterator<Item = String>>(&mut self, destinations: T) {
        for destination in destinations {
            for spelt in destination.split(',').map(|part| part.trim().to_owned()) {
                let name = canonical(spelt.as_bytes());
                if is_plain(&name) {
                    self.plain.push((name.iter().map(folded).collect(), spelt));
                } else {
                    self.others.push(spelt);
                }
            }
        }
        self.plain.sort_unstable();
    }
}

impl Destinations {
    /// One of these to which something may come that is sent to `name`.
    pub(crate) fn overlapping(&self, name: &[u8]) -> Option<&str> {
        let canonical = canonical(name);
        let plain = if is_plain(&canonical) {
            self.named(&canonical)
        } else {
            first_overlapping(self.plain.iter().map(|(_, ours)| ours), name)
        };
        plain.or_else(|| self.matched_by(name))
    }

    /// The one that stands for no other and has this canonical name, which stands for no other either.
    fn named(&self, canonical: &[u8]) -> Option<&str> {
        let compare = |(ours, _): &(Vec<u8>, _)| ours.iter().copied().cmp(canonical.iter().map(folded));
        self.plain.binary_search_by(compare).ok().map(|at| &*self.plain[at].1)
    }

    /// One of the others.
    fn matched_by(&self, name: &[u8]) -> Option<&str> {
        first_overlapping(&self.others, name)
    }
}

fn allows(prefix: &[u8], name: &[u8]) -> bool {
    // An entry that is empty by mistake must not allow everything.
    if prefix.is_empty() {
        return false;
    }
    if prefix == b"*" {
        return true;
    }
    if let Some(inner) = name.strip_prefix(b"queue://").filter(|inner| inner.starts_with(b"/")) {
        // Artemis takes off another prefix: it is that queue, or topic.
        return !is_topic(inner) && (prefix == b"queue://" || allows(prefix, inner));
    }
    if name.starts_with(prefix) {
        // Artemis makes of `temp-queue://orders` the queue of that name, be it temporary or not. RabbitMQ does so of
        // `/reply-queue/orders`, and writes a bare `orders` so; a name that begins with more is the deployer's own.
        let is_generated = |name: &[u8]| prefix != REPLY_QUEUE || name.starts_with(b"amq.gen-");
        return name.strip_prefix(TEMPORARY_QUEUE).is_none_or(is_temporary)
            && name.strip_prefix(REPLY_QUEUE).is_none_or(is_generated);
    }
    let Some(rest) = prefix.strip_prefix(b"/queue/") else { return false };
    // A bare name is a queue to every broker (RabbitMQ, ActiveMQ), `topic://x` is not bare.
    let is_bare = || memchr::memchr(b'/', name).is_none();
    let queue = name.strip_prefix(b"queue://").or_else(|| name.strip_prefix(REPLY_QUEUE));
    queue.or_else(|| is_bare().then_some(name)).is_some_and(|queue| queue.starts_with(rest))
}

/// RabbitMQ: a queue by its name.
const REPLY_QUEUE: &[u8] = b"/reply-queue/";

/// Whether JMS clients of Artemis call temporary queues so: a UUID, or `ID:host-port-time-n:n:n` by OpenWire.
fn is_temporary(name: &[u8]) -> bool {
    let is_uuid = || {
        let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let fits = |(at, byte): (usize, &u8)| if dash(at) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
        name.len() == 36 && name.iter().enumerate().all(fits)
    };
    let is_id = |id: &[u8]| {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        // `a::b` is a queue of another name.
        id.iter().all(fits) && !id.windows(2).any(|two| two == b"::") && id.last() != Some(&b':')
    };
    name.strip_prefix(b"ID:").map_or_else(is_uuid, |id| !id.is_empty() && !id.starts_with(b":") && is_id(id))
}

fn first_overlapping<'a>(ours: impl IntoIterator<Item = &'a String>, name: &[u8]) -> Option<&'a str> {
    ours.into_iter().find(|ours| overlaps(ours.as_bytes(), name)).map(String::as_str)
}

/// Whether nothing in it means anything to a broker but slashes, dots and single colons: it is no list, no pattern, has
/// no options, no escapes, no scheme, no queue of its own. Nearly all are so.
fn is_simple(name: &[u8]) -> bool {
    const SIMPLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = b'!';
        while byte < 0x7f {
            table[byte as usize] = !matches!(byte, b',' | b'?' | b'%' | b'*' | b'>' | b'#');
            byte += 1;
        }
        table
    };
    let (mut simple, mut last) = (!name.is_empty(), 0);
    for &byte in name {
        simple &= SIMPLE[usize::from(byte)] & !(last == b':' && matches!(byte, b':' | b'/'));
        last = byte;
    }
    simple
}

/// Whether `name` is the queue or topic that we subscribed to as `ours`, or one of those that it matches.
fn overlaps(ours: &[u8], name: &[u8]) -> bool {
    let (ours, name) = (canonical(ours), canonical(name));
    if ours == name {
        return true;
    }
    if is_plain(&ours) && is_plain(&name) {
        return ours.len() == name.len() && ours.iter().map(folded).eq(name.iter().map(folded));
    }
    // Artemis: `address::queue`.
    let address = |name: &[u8]| memchr::memmem::find(name, b"::");
    if let Some(end) = address(&name) {
        return overlaps(&ours, &name[..end]) || overlaps(&ours, &name[end + 2..]);
    }
    if let Some(end) = address(&ours) {
        return overlaps(&ours[..end], &name) || overlaps(&ours[end + 2..], &name);
    }
    // No pattern is of queues and topics.
    is_topic(&ours) == is_topic(&name) && matches(&mut elements(&ours), &mut elements(&name))
}

/// Dots and slashes separate alike.
fn folded(byte: &u8) -> u8 {
    if *byte == b'/' { b'.' } else { *byte }
}

/// Whether this is one name and stands for no other: neither a pattern nor an address with its queue.
fn is_plain(name: &[u8]) -> bool {
    memchr::memchr3(b'*', b'>', b'#', name).is_none() && !name.windows(2).any(|two| two == b"::")
}

/// Whether there is more behind a prefix than a name. ActiveMQ makes `queue://topic://a` of `/queue/topic://a`, and in a
/// list takes prefixes off twice, and the blanks behind them.
fn hides_another(name: &[u8]) -> bool {
    let scheme = memchr::memmem::rfind(name, b"://");
    scheme.is_some_and(|at| name[..at].contains(&b'/')) || memchr::memmem::find(name, b"/ ").is_some()
}

/// Matches element by element: `*` is any one, `>` (ActiveMQ) and `#` (Artemis, RabbitMQ) any that follow.
fn matches<'a>(one: &mut dyn Iterator<Item = &'a [u8]>, other: &mut dyn Iterator<Item = &'a [u8]>) -> bool {
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(b">" | b"#"), _) | (_, Some(b">" | b"#")) => return true,
            (Some(one), Some(other)) if one == b"*" || other == b"*" || one == other => {}
            _ => return false,
        }
    }
}

/// What dots and slashes separate.
fn elements(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| matches!(byte, b'.' | b'/'))
}

/// One spelling for the many of a destination: without options, percent-decoded as RabbitMQ reads it, and
/// for queues without a prefix.
pub(crate) fn canonical(name: &[u8]) -> Cow<'_, [u8]> {
    let bare = without_prefix(without_options(name));
    match memchr::memchr(b'%', bare) {
        Some(_) => percent_encoding::percent_decode(bare).into(),
        None => Cow::Borrowed(bare),
    }
}

/// What all prefixes of queues stand before. Behind `queue://` Artemis takes off another.
fn without_prefix(name: &[u8]) -> &[u8] {
    let queues: [&[u8]; 5] = [b"/queue/", b"/amq/queue/", REPLY_QUEUE, b"queue://", TEMPORARY_QUEUE];
    let without = |name| queues.iter().find_map(|prefix| <[u8]>::strip_prefix(name, *prefix));
    match without(name) {
        Some(inner) if name.starts_with(b"queue://") => without(inner).unwrap_or(inner),
        inner => inner.unwrap_or(name),
    }
}

/// ActiveMQ takes `?consumer.x=y` off.
fn without_options(name: &[u8]) -> &[u8] {
    &name[..memchr::memchr(b'?', name).unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::ReplyToError::{Consumed, Malformed, NotAllowed};
    use super::*;
    use crate::http::Mapping;
    use proptest::prelude::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&entry| entry.to_owned()).collect()
    }

    /// What senders were able to reach, whose replies were to go to their own queues only.
    #[test]
    fn a_restricted_list_lets_nobody_into_another_queue() {
        let temporary = ["/temp-queue/", "/remote-temp-queue/", "/reply-queue/", "temp-queue://"];
        let uuid = "temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad957";
        let cases: &[(&[&str], &str, bool)] = &[
            // RabbitMQ writes a bare `orders` as `/reply-queue/orders`.
            (&temporary, "/reply-queue/orders", false),
            (&temporary, "/reply-queue/amq.gen", false),
            (&temporary, "/reply-queue/amq.gen-x", true),
            (&temporary, "orders", false),
            (&["/reply-queue/orders"], "/reply-queue/orders", true),
            (&["/queue/"], "/reply-queue/orders", true),
            (&["/queue/replies."], "/reply-queue/orders", false),
            (&["/queue/replies."], "/reply-queue/replies.a", true),
            (&["*"], "/reply-queue/orders", true),
            // Artemis makes the queue `billing` of the sender's address.
            (&["/queue/replies."], "/queue/replies.zz::billing", false),
            (&["/queue/replies."], "/queue/replies.zz?::billing", false),
            (&["/queue/replies."], "/queue/replies.zz?a::billing", false),
            (&["/queue/replies."], "/queue/replies.a::replies.b", true),
            (&["/queue/replies."], "/queue/replies.a::replies.b::billing", false),
            (&["queue://"], "queue://zz::billing", false),
            (&["/queue/"], "/queue/zz::billing", true),
            (&temporary, "temp-queue://ID:zz?::billing", false),
            (&temporary, "temp-queue://ID:zz?x", false),
            (&temporary, &format!("{uuid}?::billing"), false),
            (&temporary, uuid, true),
            // Artemis takes off `queue://`, and then a prefix of the acceptor.
            (&["/queue/", "queue://"], "queue:///topic/events", false),
            (&["/queue/", "queue://"], "queue:///queue/replies", true),
            (&["/queue/replies."], "queue:///queue/replies.a", true),
            (&["/queue/replies."], "queue:///queue/orders", false),
            (&["/queue/"], "queue:///orders", false),
            (&["/queue/"], "/queue/a?consumer.x=1", true),
        ];
        for (allowed, reply_to, expected) in cases {
            let result = check(reply_to.as_bytes(), &strings(allowed), &Destinations::default());
            assert_eq!(result, if *expected { Ok(()) } else { Err(NotAllowed) }, "{allowed:?} {reply_to}");
        }
        let mut consumed = Destinations::default();
        consumed.extend(strings(&["/queue/svc"]));
        for reply_to in [
            "queue:///queue/svc",
            "/queue/x::svc",
            "/queue/x?::svc",
            "/queue/svc?::x",
            "queue://svc",
            "/reply-queue/svc",
        ] {
            let result = check(reply_to.as_bytes(), &Mapping::default().allow_reply_to, &consumed);
            assert_eq!(result, Err(Consumed), "{reply_to}");
        }
    }

    #[test]
    fn the_default_allows_queues_and_temporary_queues() {
        let allowed = Mapping::default().allow_reply_to;
        for (reply_to, expected) in [
            ("/temp-queue/a", Ok(())),
            ("/remote-temp-queue/ID:host-1:2:3", Ok(())),
            ("/reply-queue/amq.gen-x", Ok(())),
            ("/queue/replies", Ok(())),
            ("/amq/queue/replies", Ok(())),
            ("replies", Ok(())),
            ("replies.of.me", Ok(())),
            // As Artemis writes JMS's.
            ("queue://replies", Ok(())),
            ("temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad957", Ok(())),
            ("temp-queue://ID:vm-1.example-38653-1796055768170-1:1:1", Ok(())),
            ("temp-queue://orders", Err(NotAllowed)),
            ("temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad95", Err(NotAllowed)),
            ("temp-queue://4f5b3339-a1cd-4661-8218-c10f059ad95/", Err(NotAllowed)),
            ("temp-queue://ID:vm-1::orders", Err(NotAllowed)),
            ("temp-queue://ID:", Err(NotAllowed)),
            ("temp-queue://ID::orders", Err(NotAllowed)),
            ("temp-queue://ID:a/b", Err(NotAllowed)),
            ("temp-topic://ID:vm-1-2:1:1", Err(NotAllowed)),
            ("temp-queue://queue://orders", Err(Malformed)),
            ("/queue/a,b", Ok(())),
            ("/queue/a?x=1", Ok(())),
            ("/topic/a", Err(NotAllowed)),
            (" /topic/a", Err(NotAllowed)),
            ("topic://a", Err(NotAllowed)),
            ("/temp-topic/a", Err(NotAllowed)),
            ("/exchange/e/k", Err(NotAllowed)),
            ("/foo/bar", Err(NotAllowed)),
            ("/QUEUE/a", Err(NotAllowed)),
            ("queue/a", Err(NotAllowed)),
            ("/queue/a,/topic/b", Err(NotAllowed)),
            ("/queue/a,topic://b", Err(NotAllowed)),
            ("http://evil", Err(NotAllowed)),
            ("/queue/>", Err(Malformed)),
            ("/queue/a.*", Err(Malformed)),
            ("/queue/a\nx", Err(Malformed)),
            ("/queue/a,", Err(Malformed)),
            (",", Err(Malformed)),
            ("?a", Err(Malformed)),
            // In a list ActiveMQ reads prefixes twice, and takes off the blanks behind them.
            ("/queue/topic://events,xy", Err(Malformed)),
            ("/queue/a,/queue/topic://events", Err(Malformed)),
            ("/queue/queue://orders,xy", Err(Malformed)),
            ("queue://queue://orders,xy", Err(Malformed)),
            ("/queue/a,/queue/ orders", Err(Malformed)),
            ("/queue/ >,a", Err(Malformed)),
            ("/remote-temp-queue/queue://billing,/remote-temp-queue/x", Err(Malformed)),
            ("queue:// orders,a", Err(Malformed)),
            // Before it knew lists it read them twice everywhere.
            ("/queue/topic://events", Err(Malformed)),
            ("/queue/my orders", Ok(())),
        ] {
            assert_eq!(
                check(reply_to.as_bytes(), &allowed, &Destinations::default()),
                expected,
                "{reply_to:?}"
            );
        }
    }

    #[test]
    fn entries_are_prefixes_or_a_star() {
        for (entry, reply_to, allowed) in [
            ("*", "/topic/a", true),
            ("*", "anything/at all", true),
            ("/queue/replies.", "/queue/replies.a", true),
            ("/queue/replies.", "replies.a", true),
            ("/queue/replies.", "/queue/other", false),
            ("/queue/replies.", "other", false),
            ("/queue/replies.", "queue://replies.a", true),
            ("/queue/replies.", "queue://other", false),
            ("temp-queue://", "temp-queue://ID:vm-1-2:1:1", true),
            ("temp-queue://", "temp-queue://orders", false),
            ("temp-queue://", "orders", false),
            ("temp-queue://", "/queue/orders", false),
            ("replies.", "replies.a", true),
            ("/topic/", "/topic/a", true),
            ("/topic/", "a", false),
        ] {
            let got = check(reply_to.as_bytes(), &strings(&[entry]), &Destinations::default()).is_ok();
            assert_eq!(got, allowed, "{entry} {reply_to}");
        }
        assert_eq!(check(b"/queue/a", &[], &Destinations::default()), Err(NotAllowed));
    }

    proptest! {
        #[test]
        fn what_is_simple_is_judged_as_the_rest(
            reply_to in "((/queue/|/topic/|queue://|topic://|temp-queue://ID:|/amq/queue/|/temp-queue/|)[a-b/.:*,?%# ]{0,4}){1,2}",
            ours in prop::collection::vec("(/queue/|/topic/|)[a-b/.:*>]{1,4}", 0..4),
            everything: bool,
        ) {
            let mut consumed = Destinations::default();
            consumed.extend(ours);
            let allowed = if everything { strings(&["*"]) } else { Mapping::default().allow_reply_to };
            prop_assert_eq!(
                check(reply_to.as_bytes(), &allowed, &consumed),
                check_each(reply_to.as_bytes(), &allowed, &consumed)
            );
        }
    }

    #[test]
    fn never_to_what_we_consume_however_it_is_spelt() {
        let everything = strings(&["*"]);
        for (ours, reply_to, loops) in [
            ("/queue/orders", "/queue/orders", true),
            ("/queue/orders", "orders", true),
            ("orders", "/queue/orders", true),
            ("/queue/orders", "/amq/queue/orders", true),
            ("/amq/queue/orders", "/reply-queue/orders", true),
            ("/queue/orders", "queue://orders", true),
            ("/queue/orders", "/queue/or%64ers", true),
            ("/queue/orders", "/queue/orders?x=1", true),
            ("/queue/orders?consumer.prefetchSize=1", "/queue/orders", true),
            ("/queue/orders", " /queue/orders ", true),
            ("/queue/orders", "/queue/a,/queue/orders", true),
            ("/queue/a, /queue/orders", "/queue/orders", true),
            ("/queue/orders", "/queue/orders::orders", true),
            ("a::orders", "/queue/orders", true),
            ("/queue/orders.*", "/queue/orders.new", true),
            ("/queue/orders.>", "/queue/orders.new.eu", true),
            ("/topic/a.#", "/topic/a.b.c", true),
            ("/queue/orders.*", "/queue/orders.new.eu", false),
            ("/queue/>", "/queue/a.b", true),
            ("/queue/>", "a", true),
            ("/queue/>", "/topic/a", false),
            ("/queue/>", "/topic/a::b", true),
            ("/topic/>", "/queue/a", false),
            ("/queue/shop%2Edesk", "/amq/queue/shop.des%6B", true),
            ("/queue/orders", "/queue/orders2", false),
            ("/queue/orders", "/topic/orders", false),
            ("/topic/orders", "/topic/orders", true),
        ] {
            let expected = if loops { Err(Consumed) } else { Ok(()) };
            let mut consumed = Destinations::default();
            consumed.extend([ours.to_owned()]);
            assert_eq!(check(reply_to.as_bytes(), &everything, &consumed), expected, "{ours} {reply_to}");
            consumed.extend((0..100).map(|nth| format!("/queue/other{nth}.orders")));
            let among = check(reply_to.as_bytes(), &everything, &consumed);
            assert_eq!(among, expected, "{ours} among others, {reply_to}");
        }
    }
}
