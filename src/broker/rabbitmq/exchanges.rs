//! Exchanges: those that are always there, and the queues that are bound to them.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;

use super::super::{
    Broker, Now,
    destination::{Destinations, QueueId},
    flow::NAMED,
    message::Message,
};

/// What decides where a message goes. STOMP can make no others than these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Exchange {
    /// To the queues that are bound with the same key.
    Direct,
    /// To all queues that are bound.
    Fanout,
    /// To the queues whose pattern matches: `*` is one word, `#` any number of words.
    Topic,
    /// By arguments, which STOMP cannot give: to all queues that are bound.
    Headers,
    Match,
}

impl Exchange {
    const ALL: [(&'static str, Self); 5] = [
        ("amq.direct", Self::Direct),
        ("amq.fanout", Self::Fanout),
        ("amq.topic", Self::Topic),
        ("amq.headers", Self::Headers),
        ("amq.match", Self::Match),
    ];

    /// The exchange of this name, or the name.
    pub(super) fn named(name: Vec<u8>) -> Result<Self, Vec<u8>> {
        let found = Self::ALL.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, exchange)| *exchange).ok_or(name)
    }

    pub(in crate::broker) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, exchange)| *exchange == self).map_or("", |(name, _)| name)
    }

    fn fits(self, binding: &[u8], key: &[u8]) -> bool {
        match self {
            Self::Direct => binding == key,
            Self::Topic => matches(&words(binding), &words(key)),
            Self::Fanout | Self::Headers | Self::Match => true,
        }
    }
}

/// The words of a key: none, where it is empty.
fn words(key: &[u8]) -> Vec<&[u8]> {
    if key.is_empty() { Vec::new() } else { key.split(|&b| b == b'.').collect() }
}

/// Whether the words of a key fit a pattern, in the product of their numbers.
fn matches(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
    // `fits[k]`: whether the pattern so far fits the first `k` words.
    let mut fits = vec![false; key.len() + 1];
    fits[0] = true;
    for word in pattern {
        if *word == b"#" {
            for at in 1..fits.len() {
                fits[at] |= fits[at - 1];
            }
            continue;
        }
        for at in (1..fits.len()).rev() {
            fits[at] = fits[at - 1] && (*word == b"*" || *word == key[at - 1]);
        }
        fits[0] = false;
    }
    fits[key.len()]
}

/// That an exchange routes messages to a queue, by a key or a pattern.
#[derive(Debug)]
pub(in crate::broker) struct Binding {
    pub(in crate::broker) exchange: Exchange,
    pub(in crate::broker) key: Bytes,
    pub(in crate::broker) queue: QueueId,
}

impl Binding {
    /// About how many bytes of memory it takes.
    pub(in crate::broker) fn size(&self) -> usize {
        NAMED + self.key.len()
    }
}

impl Destinations {
    /// The queues that a message goes to, each once, in the order in which they were bound.
    pub(in crate::broker) fn routes(&self, exchange: Exchange, key: &[u8]) -> Vec<QueueId> {
        let mut seen = HashSet::new();
        let fits = |binding: &&Binding| binding.exchange == exchange && exchange.fits(&binding.key, key);
        let queues = self.bindings().iter().filter(fits).map(|binding| binding.queue);
        queues.filter(|queue| seen.insert(*queue)).collect()
    }
}

impl Broker {
    /// Gives a message to all queues that are bound for it.
    pub(in crate::broker) fn publish_by_exchange(
        &mut self,
        exchange: Exchange,
        key: &[u8],
        message: &Arc<Message>,
        now: Now,
    ) {
        for queue in self.destinations.routes(exchange, key) {
            self.enqueue(queue, message.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_words() {
        for (pattern, key, fits) in [
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.c", false),
            ("a.*.c", "a.b.b.c", false),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#", "ab", false),
            ("#.c", "c", true),
            ("#.c", "a.b.c", true),
            ("#.b.#", "a.b.c", true),
            ("#.b.#", "a.c", false),
            ("#", "", true),
            ("*", "", false),
            ("*", "a.b", false),
            ("a.b", "a.b", true),
        ] {
            assert_eq!(Exchange::Topic.fits(pattern.as_bytes(), key.as_bytes()), fits, "{pattern} {key}");
        }
        assert!(!Exchange::Direct.fits(b"a.*", b"a.b"));
        assert!(Exchange::Fanout.fits(b"a", b"b"));
    }
}
