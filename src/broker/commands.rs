//! What each frame of a client does.

use bytes::Bytes;

use super::{
    Broker, ConnId, Now,
    connection::{Connection, Stage},
    destination::Address,
    flow::NAMED,
    id::number,
    layout::implied_id,
    liveness::Liveness,
    refusal::Refusal,
    selector::Selector,
    subscription::{AckMode, Key, Source, Subscription},
    wording::Fault,
};
use crate::{
    Dialect,
    stomp::{Command, Frame, Headers, HeartBeatOffer, ParseError, Version},
};

/// Headers of SUBSCRIBE that ask for something that is not here. Ignored, they would change what a client
/// gets without a word.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("activemq.subscriptionName", "durable subscriptions are"),
    ("durable-subscription-name", "durable subscriptions are"),
    ("durable", "durable subscriptions are"),
    ("activemq.exclusive", "exclusive consumers are"),
    ("activemq.noLocal", "no-local subscriptions are"),
    ("no-local", "no-local subscriptions are"),
    ("activemq.retroactive", "retroactive subscriptions are"),
    ("activemq.subcriptionName", "durable subscriptions are"),
];

impl Broker {
    /// Obeys one frame, and answers it.
    pub(super) fn command(&mut self, id: ConnId, frame: Frame, now: Now) {
        let command = frame.command;
        if self.is_ignored(id, command) {
            return;
        }
        // RECEIPT for CONNECT is CONNECTED.
        let receipt = match command {
            Command::Connect | Command::Stomp => None,
            _ => frame.headers.bytes("receipt"),
        };
        let answered = receipt.as_ref().map_or(Ok(()), |receipt| self.admit_answer(id, receipt.len()));
        // RabbitMQ answers a SEND when a message is taken, which may be at COMMIT.
        let confirmed = self.config.dialect == Dialect::RabbitMq && command == Command::Send;
        let receipt = receipt.filter(|_| !confirmed);
        if let Err(refusal) = answered.and_then(|()| self.obey(id, frame, now)) {
            return self.refuse(id, &refusal, receipt.as_deref(), now);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            let answers = receipt.is_some() || !connection.confirms.is_empty();
            if let Some(receipt) = receipt {
                connection.receipt(&receipt);
            }
            connection.confirm();
            if answers {
                self.mark_changed(id);
            }
        }
        if command == Command::Disconnect {
            self.close(id, now);
        }
    }

    /// Answers a frame of a command that does not exist.
    pub(super) fn unknown_command(&mut self, id: ConnId, line: String, frame: &Frame, now: Now) {
        if self.is_ignored(id, frame.command) {
            return;
        }
        let stage = self.connection_mut(id).stage;
        let refusal = match self.config.dialect {
            Dialect::RabbitMq => Refusal::unknown_to_rabbitmq(&line, stage),
            dialect => {
                let octets = octets(&line, &frame.headers, &frame.body);
                Refusal::unreadable(&ParseError::UnknownCommand { line: line.clone() }, dialect)
                    .with(Fault::UnknownCommand { line, octets })
            }
        };
        self.refuse(id, &refusal, frame.headers.get("receipt"), now);
    }

    /// Whether a frame is not even answered, as it comes before CONNECT or behind one that did.
    fn is_ignored(&mut self, id: ConnId, command: Command) -> bool {
        if !self.config.behaviour().ignores_before_connect {
            return false;
        }
        let connection = self.connection_mut(id);
        let connects = matches!(command, Command::Connect | Command::Stomp);
        connection.ignored |= matches!(connection.stage, Stage::New(_)) && !connects;
        connection.ignored
    }

    fn obey(&mut self, id: ConnId, frame: Frame, now: Now) -> Result<(), Refusal> {
        if self.config.dialect == Dialect::RabbitMq {
            return self.obey_as_rabbitmq(id, frame, now);
        }
        let connection = self.connections.get(&id).expect("frames are processed of connections that exist");
        let connects = matches!(frame.command, Command::Connect | Command::Stomp);
        let connected = connection.stage == Stage::Open;
        let behaviour = self.config.behaviour();
        if connects && connected && !behaviour.repeated_connect {
            let refusal = Refusal::new("already connected", "CONNECT comes once, as the first frame.");
            return Err(refusal.with(Fault::AlreadyConnected));
        }
        if !connects && !connected {
            let refusal = Refusal::new("not connected", "The first frame must be CONNECT or STOMP.");
            return Err(refusal.with(Fault::NotConnected));
        }
        match frame.command {
            Command::Connect | Command::Stomp => self.connect(id, &frame.headers, now),
            Command::Send => self.send(id, frame, now),
            Command::Subscribe => self.subscribe(id, &frame.headers),
            Command::Unsubscribe => self.unsubscribe(id, &frame.headers),
            Command::Ack => self.acknowledge(id, &frame.headers, false, now),
            Command::Nack => self.acknowledge(id, &frame.headers, true, now),
            Command::Begin => self.begin(id, &frame.headers),
            Command::Commit => self.commit(id, &frame.headers, now),
            Command::Abort => self.abort(id, &frame.headers),
            Command::Disconnect => Ok(()),
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                let command = frame.command.as_str();
                Err(Refusal::new(format!("{command} from a client"), "Only brokers send this frame."))
            }
        }
    }

    pub(super) fn connection_mut(&mut self, id: ConnId) -> &mut Connection {
        self.connections.get_mut(&id).expect("frames are processed of connections that exist")
    }

    fn connect(&mut self, id: ConnId, headers: &Headers, now: Now) -> Result<(), Refusal> {
        let version = match headers.get("accept-version") {
            None => Version::V1_0,
            Some(offered) => {
                offered.split(|b| *b == b',').filter_map(|v| Version::parse(v.trim_ascii())).max().ok_or(
                    Refusal::new(
                        "no version of STOMP in common",
                        "This broker speaks 1.0, 1.1 and 1.2: offer one of them in accept-version.",
                    )
                    .with(Fault::Version(String::from_utf8_lossy(offered).into_owned())),
                )?
            }
        };
        let row = self.config.dialect.row();
        if let Some(credentials) = &self.config.credentials {
            if !credentials.admit(headers.get("login"), headers.get("passcode")) {
                return Err(Refusal::new(
                    "login or passcode is wrong",
                    "Give in CONNECT the login and passcode that this broker was started with.",
                ));
            }
        }
        let theirs = match headers.get("heart-beat") {
            Some(value) if version > Version::V1_0 => HeartBeatOffer::parse(value).map_err(|_| {
                Refusal::malformed("heart-beat", "two whole numbers of milliseconds, such as 10000,10000")
                    .with(Fault::HeartBeat(String::from_utf8_lossy(value).into_owned()))
            })?,
            _ => HeartBeatOffer::default(),
        };
        let behaviour = self.config.behaviour();
        let ours = Liveness::offer(theirs, self.config.heart_beat_floor.max(behaviour.heart_beat_floor));
        let named = behaviour.full_connected || headers.get("heart-beat").is_some();
        let user = String::from_utf8_lossy(headers.get("login").unwrap_or_default()).into_owned();
        let liveness = Liveness::new(ours, theirs, row.silence, now.monotonic);
        self.open_session(id, version, liveness, named.then_some(ours), user);
        Ok(())
    }

    /// Answers CONNECT.
    pub(super) fn open_session(
        &mut self,
        id: ConnId,
        version: Version,
        liveness: Liveness,
        heart_beat: Option<HeartBeatOffer>,
        user: String,
    ) {
        let server = super::server(self.config.dialect);
        let in_full = self.config.behaviour().full_connected;
        let connection = self.connection_mut(id);
        connection.open(version, liveness, user);
        connection.connected(&server, heart_beat, in_full);
        tracing::debug!(connection = id.0, version = version.as_str(), "session open");
        self.schedule(id);
        self.mark_changed(id);
    }

    fn subscribe(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        let row = self.config.dialect.row();
        // Copies, since slices would keep all headers of the frame for as long as the subscription.
        let copied = |name| headers.get(name).map(Bytes::copy_from_slice);
        let destination =
            copied("destination").ok_or_else(|| Refusal::missing("SUBSCRIBE", "destination"))?;
        let name = copied("id");
        let behaviour = self.config.behaviour();
        if name.is_none() && connection.version > Version::V1_0 && behaviour.needs_id {
            return Err(Refusal::missing("SUBSCRIBE", "id"));
        }
        let known = |s: &Subscription, id: &[u8]| s.id.is_none() && implied_id(&s.destination) == id;
        let in_use = match &name {
            Some(name) => connection.subscription(name).map(|_| name.to_vec()),
            None if behaviour.implied_ids => {
                let id = implied_id(&destination);
                connection.subscriptions.values().any(|s| known(s, &id)).then_some(id)
            }
            None => None,
        };
        if let Some(id) = in_use.filter(|_| !behaviour.duplicate_ids) {
            return Err(Refusal::new(
                "this subscription id is in use",
                "Each subscription of a connection needs an id of its own.",
            )
            .with(Fault::IdInUse(String::from_utf8_lossy(&id).into_owned())));
        }
        if connection.subscriptions.len() >= self.config.subscriptions {
            return Err(Refusal::too_many("subscriptions", self.config.subscriptions));
        }
        for (header, what) in UNSUPPORTED {
            if headers.get(header).is_some_and(|value| value != b"false") {
                return Err(Refusal::unsupported(
                    what,
                    "Leave out the header; nothing here survives a restart anyway.",
                ));
            }
        }
        let ack = match (AckMode::parse(headers.get("ack")), behaviour.unknown_ack_mode) {
            (Err(_), Some(ack)) => ack,
            (ack, _) => ack?,
        };
        let selector = match headers.get("selector") {
            None | Some(b"") => None,
            Some(text) => Some(Selector::parse(&String::from_utf8_lossy(text))?),
        };
        let window = &row.prefetch;
        let prefetch = match headers.get(window.header) {
            None => connection.prefetch,
            // Zero means on ActiveMQ that the client pulls, for which STOMP has no frame.
            Some(text) => number(text)
                .and_then(|n| usize::try_from(n.max(1)).ok())
                .ok_or_else(|| Refusal::malformed(window.header, "a whole number"))?,
        };
        let text = name.as_ref().map_or(0, Bytes::len) + 2 * destination.len();
        let charged = NAMED + text + selector.as_ref().map_or(0, Selector::size);
        self.admit_names(charged)?;
        let browser = headers.get("browser") == Some(b"true");
        let kind = self.kind(&destination, headers, |routing| routing.subscribe);
        let key = Key { connection: id, number: connection.next_subscription };
        let source = self.source(
            key,
            Address::parse(&destination, self.config.dialect, kind)?.without_wildcards()?,
            selector,
            browser,
        )?;
        // A browser has nothing to acknowledge.
        let ack = if browser { AckMode::Auto } else { ack };
        let connection = self.connection_mut(id);
        connection.next_subscription += 1;
        let ack_prefix = connection.session.ack_prefix(key.number);
        let subscription = Subscription::new(name, destination, source, ack, prefetch, ack_prefix, charged);
        connection.subscriptions.insert(key.number, subscription);
        self.names += charged;
        Ok(())
    }

    /// Joins a destination; its messages come only after this frame was answered.
    fn source(
        &mut self,
        key: Key,
        address: Address<'_>,
        selector: Option<Selector>,
        browser: bool,
    ) -> Result<Source, Refusal> {
        let queue = match address {
            Address::Topic(_) if browser => {
                return Err(Refusal::unsupported(
                    "browsing a topic is",
                    "Only queues keep messages to look at.",
                ));
            }
            Address::Topic(name) => {
                if self.destinations.topic(&name).is_none() {
                    self.destination_allowed(name.len())?;
                }
                let name = Bytes::from(name.into_owned());
                self.destinations.open_topic(&name).join(key, selector);
                return Ok(Source::Topic { name, waiting: Default::default() });
            }
            Address::Queue(name) => {
                if self.destinations.queue_id(&name).is_none() {
                    self.destination_allowed(name.len())?;
                }
                self.destinations.open_queue(&name)
            }
            Address::Temporary(local) => self.temporary(key.connection, &local)?,
            Address::RemoteTemporary(name) => {
                let id = self.destinations.queue_id(&name).ok_or_else(|| Refusal::gone(&name))?;
                let owner = self.destinations.queue(id).and_then(|queue| queue.owner());
                if owner != Some(key.connection) {
                    return Err(Refusal::new(
                        "not the owner of this temporary queue",
                        "Only the connection that made a temporary queue may subscribe to it; others SEND there.",
                    ));
                }
                id
            }
        };
        let found = self.destinations.queue_mut(queue).expect("it was found or made just now");
        let source = if browser {
            Source::Browser { queue, from: 0, until: found.join_browser(key) }
        } else {
            found.join(key, selector);
            Source::Queue(queue)
        };
        self.list_queue(queue);
        Ok(source)
    }

    fn unsubscribe(&mut self, id: ConnId, headers: &Headers) -> Result<(), Refusal> {
        let connection = &self.connections[&id];
        let behaviour = self.config.behaviour();
        let found = match (headers.get("id"), headers.get("destination")) {
            (Some(name), _) => connection.subscription(name),
            (None, Some(destination)) if connection.version == Version::V1_0 => connection
                .subscriptions
                .iter()
                .find(|(_, s)| (s.id.is_none() || behaviour.unsubscribes_any) && s.destination == destination)
                .map(|(number, _)| *number),
            _ => return Err(Refusal::missing("UNSUBSCRIBE", "id")),
        };
        let number = found.ok_or_else(|| {
            let named = match (headers.get("id"), headers.get("destination").unwrap_or_default()) {
                (Some(id), _) => id.to_vec(),
                (None, destination) if behaviour.implied_ids => implied_id(destination),
                (None, destination) => destination.to_vec(),
            };
            Refusal::new(
                "no such subscription",
                "UNSUBSCRIBE names an id that is not subscribed on this connection.",
            )
            .with(Fault::NoSubscription(String::from_utf8_lossy(&named).into_owned()))
        })?;
        self.end_subscription(Key { connection: id, number });
        Ok(())
    }
}

/// The octets of a frame as its sender wrote them, but for escapes: the first of them.
pub(super) fn octets(command: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    /// An answer that shows them is not to be larger than what it answers by much.
    const MOST: usize = 1024;
    let mut octets = command.as_bytes().to_vec();
    for (name, value) in headers.iter().take(MOST) {
        octets.extend([b"\n", name, b":", value].concat());
    }
    octets.extend([b"\n\n", &body[..body.len().min(MOST)], b"\0"].concat());
    octets.truncate(MOST);
    octets
}
