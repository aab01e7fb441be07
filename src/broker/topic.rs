//! Topics: each subscriber that is there when a message is sent gets it.

use super::{message::Message, selector::Selector, subscription::Key};

/// The subscribers. Messages wait in the subscriptions, not here.
#[derive(Debug, Default)]
pub(super) struct Topic {
    subscribers: Vec<(Key, Option<Selector>)>,
}

impl Topic {
    pub(super) fn join(&mut self, subscription: Key, selector: Option<Selector>) {
        self.subscribers.push((subscription, selector));
    }

    /// Whether that was the last subscriber.
    pub(super) fn leave(&mut self, subscription: Key) -> bool {
        self.subscribers.retain(|(key, _)| *key != subscription);
        self.subscribers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// The subscribers whose selectors match this message.
    pub(super) fn audience<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = Key> + 'a {
        let wanted =
            |selector: &Option<Selector>| selector.as_ref().is_none_or(|s| s.matches(message.headers()));
        self.subscribers.iter().filter(move |(_, selector)| wanted(selector)).map(|(key, _)| *key)
    }
}
