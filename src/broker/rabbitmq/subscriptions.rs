//! SUBSCRIBE and UNSUBSCRIBE.

use bytes::Bytes;

use super::{
    super::{
        Broker, ConnId,
        destination::QueueId,
        flow::NAMED,
        refusal::Refusal,
        subscription::{AckMode, Key, Source, Subscription},
    },
    Address, Declared, address, boolean,
    declare::queue_name,
    integer, quoted, unexpected,
};
use crate::stomp::Headers;

/// What subscriptions to temporary queues are called, which no client may make.
const TEMPORARY: &[u8] = b"/temp-queue/";

impl Broker {
    pub(super) fn subscribe_as_rabbitmq(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        check_durable(headers)?;
        let text = headers.get("destination").ok_or_else(|| missing_destination("SUBSCRIBE"))?;
        let address = Address::parse(text)?;
        let prefetch = integer(headers, "prefetch-count")?;
        let ack = AckMode::parse(headers.get("ack")).map_err(|_| unexpected())?;
        let declared = match &address {
            Address::Temporary(_) => return Err(address::not_for(text, "SUBSCRIBE")),
            Address::Queue(name) if name.is_empty() => return Err(address::blank()),
            Address::Queue(_) => Some(Declared::of(headers, id, false)?),
            Address::Exchange { .. } | Address::Topic(_) => Some(Declared::of(headers, id, true)?),
            Address::Existing(_) => None,
        };
        let name = headers.get("id").map(Bytes::copy_from_slice);
        if name.as_deref().is_some_and(|name| name.starts_with(TEMPORARY)) {
            return Err(unexpected());
        }
        let limit = self.config.subscriptions;
        let connection = self.connection_mut(id);
        if let Some(prefetch) = prefetch {
            // It holds for this subscription and those to come. Zero is no limit, and below zero nothing is delivered.
            connection.prefetch = match prefetch {
                0 => usize::MAX,
                ..0 => 0,
                count => usize::try_from(count).unwrap_or(usize::MAX),
            };
        }
        if connection.subscriptions.len() >= limit {
            return Err(Refusal::too_many("subscriptions", limit));
        }
        let destination = Bytes::copy_from_slice(text);
        let tag = consumer_tag(name.as_deref(), &destination);
        if connection.tagged(&tag).is_some() {
            let tag = String::from_utf8_lossy(&tag);
            return Err(Refusal::channel_error(
                "Duplicated subscription identifier",
                format!("A subscription identified by '{tag}' already exists."),
            ));
        }
        let charged = NAMED + 2 * (tag.len() + destination.len());
        self.admit_names(charged)?;
        let queue = match (address, declared) {
            (Address::Queue(name), Some(declared)) => {
                self.declare_once(id, &name, || Ok(declared))?;
                self.existing(id, &name)?
            }
            (Address::Existing(name), _) => self.existing(id, &name)?,
            (address, Some(declared)) => self.bound_queue(id, headers, address, declared)?,
            (_, None) => return Err(unexpected()),
        };
        self.consume(id, queue, name, destination, ack, charged);
        Ok(())
    }

    /// The queue that a subscription to a topic or an exchange declares for itself.
    fn bound_queue(
        &mut self,
        id: ConnId,
        headers: &Headers,
        address: Address,
        declared: Declared,
    ) -> Result<QueueId, Refusal> {
        let (exchange, key) = address.routing().ok_or_else(unexpected)?;
        let exchange = exchange.map_err(|name| no_exchange(&name))?;
        let name = match (headers.get("x-queue-name"), headers.get("id")) {
            (Some(name), _) => name.to_vec(),
            (None, Some(id)) if is_durable(headers) => subscription_queue(&key, id),
            _ => {
                let connection = self.connection_mut(id);
                let number = connection.next_subscription;
                format!("stomp-subscription-{}", connection.session.unique(number)).into_bytes()
            }
        };
        let queue = self.declare(&name, declared)?;
        self.existing(id, &name)?;
        self.bind(exchange, key, queue)?;
        Ok(queue)
    }

    /// Has a queue's messages delivered to a connection.
    pub(super) fn consume(
        &mut self,
        id: ConnId,
        queue: QueueId,
        name: Option<Bytes>,
        destination: Bytes,
        ack: AckMode,
        charged: usize,
    ) {
        let connection = self.connection_mut(id);
        let key = Key { connection: id, number: connection.next_subscription };
        connection.next_subscription += 1;
        let ids = connection.session.delivery_prefix(&consumer_tag(name.as_deref(), &destination));
        let prefetch = connection.prefetch;
        let subscription =
            Subscription::new(name, destination, Source::Queue(queue), ack, prefetch, ids, charged);
        connection.subscriptions.insert(key.number, subscription);
        self.names += charged;
        if let Some(found) = self.destinations.queue_mut(queue) {
            found.join(key, None);
        }
        self.list_queue(queue);
    }

    pub(super) fn unsubscribe_as_rabbitmq(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        check_durable(headers)?;
        let name = headers.get("id");
        if name.is_some_and(|name| name.starts_with(TEMPORARY)) {
            return Err(Refusal::frame_error(
                "Invalid id",
                "UNSUBSCRIBE 'id' may not start with /temp-queue/\n",
            ));
        }
        let (tag, shown) = match (name, headers.get("destination")) {
            (Some(name), _) => (consumer_tag(Some(name), b""), [b"id='", name, b"'"].concat()),
            (None, Some(destination)) => {
                (consumer_tag(None, destination), [b"destination='", destination, b"'"].concat())
            }
            (None, None) => {
                return Err(Refusal::frame_error(
                    "Missing destination or id",
                    "UNSUBSCRIBE must include a 'destination' or 'id' header",
                ));
            }
        };
        let connection = self.connection_mut(id);
        let Some(number) = connection.tagged(&tag) else {
            return Err(Refusal::frame_error(
                "No subscription found",
                format!(
                    "UNSUBSCRIBE must refer to an existing subscription.\nSubscription to {} not found.\n",
                    quoted(&shown)
                ),
            ));
        };
        let destination = connection.subscriptions[&number].destination.clone();
        self.cancel(Key { connection: id, number });
        if let (Ok(Address::Topic(key)), Some(name), true) =
            (Address::parse(&destination), name, is_durable(headers))
        {
            let named = headers.get("x-queue-name").map(<[u8]>::to_vec);
            let queue = named.unwrap_or_else(|| subscription_queue(&key, name));
            if let Some(queue) = self.destinations.queue_id(&queue_name(&queue)) {
                self.delete_queue(queue);
            }
        }
        Ok(())
    }

    /// Ends a subscription. What it has not acknowledged stays with the connection, until that ends.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(subscription) = self.connection_mut(key.connection).subscriptions.get_mut(&key.number)
        else {
            return;
        };
        subscription.ended = true;
        let Source::Queue(queue) = subscription.source else { return };
        if subscription.unacknowledged() == 0 {
            self.end_subscription(key);
        } else if let Some(found) = self.destinations.queue_mut(queue) {
            found.leave(key);
            self.delete_if_unused(queue);
        }
    }

    /// Deletes an auto-delete queue that has no consumers.
    pub(in crate::broker) fn delete_if_unused(&mut self, queue: QueueId) {
        let found = self.destinations.queue(queue);
        let unused = found.is_some_and(|found| {
            found.consumers() == 0 && found.declared().is_some_and(|declared| declared.auto_delete)
        });
        if unused {
            self.delete_queue(queue);
        }
    }
}

/// What a consumer tag begins with, before the `id` or the `destination` of the SUBSCRIBE.
pub(super) const TAG_OF_ID: &[u8] = b"T_";
pub(super) const TAG_OF_DESTINATION: &[u8] = b"Q_";

/// The name of a subscription in AMQP.
fn consumer_tag(id: Option<&[u8]>, destination: &[u8]) -> Vec<u8> {
    match id {
        Some(id) => [TAG_OF_ID, id].concat(),
        None => [TAG_OF_DESTINATION, destination].concat(),
    }
}

pub(super) fn missing_destination(command: &str) -> Refusal {
    Refusal::frame_error(
        "Missing destination",
        format!("\"{command}\" must include a 'destination' header\n"),
    )
}

pub(super) fn no_exchange(name: &[u8]) -> Refusal {
    let name = String::from_utf8_lossy(name);
    Refusal::channel_error("not_found", format!("NOT_FOUND - no exchange '{name}' in vhost '/'"))
}

fn is_durable(headers: &Headers) -> bool {
    boolean(headers, "durable") == Some(true) || boolean(headers, "persistent") == Some(true)
}

fn check_durable(headers: &Headers) -> Result<(), Refusal> {
    let durable = headers.get("durable") == Some(b"true") || headers.get("persistent") == Some(b"true");
    if durable && headers.get("id").is_none() {
        return Err(Refusal::frame_error(
            "Missing Header",
            "Header 'id' is required for durable subscriptions",
        ));
    }
    Ok(())
}

/// The queue that keeps what a durable subscription misses. RabbitMQ makes its name by a hash of the same.
fn subscription_queue(key: &[u8], id: &[u8]) -> Vec<u8> {
    [b"stomp-subscription-", key, b"\n", id].concat()
}
