//! Whatever clients do, the broker does not panic, and no message is lost, doubled or out of order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;

const QUEUES: [&str; 2] = ["/queue/a", "/queue/b"];

/// What one client of the model knows of itself.
struct Client {
    id: ConnId,
    version: &'static str,
    /// Name, ack mode, and what was received and is not acknowledged, in order.
    subscriptions: BTreeMap<u32, (&'static str, Vec<Frame>)>,
    next_subscription: u32,
    transaction: Option<Open>,
}

/// What an open transaction holds back.
#[derive(Default)]
struct Open {
    /// Queue and number.
    sends: Vec<(usize, u32)>,
    /// Subscription and body.
    acks: Vec<(u32, String)>,
}

/// What must be true of the broker, kept apart from it.
#[derive(Default)]
struct Model {
    next: u32,
    /// Messages that must turn up exactly once, as a consumer's or at the end: by queue, in order.
    sent: [Vec<u32>; 2],
    consumed: BTreeSet<u32>,
    dead: [BTreeSet<u32>; 2],
}

impl Model {
    fn consume(&mut self, frame: &Frame) {
        let number = body(frame).parse().unwrap();
        assert!(self.consumed.insert(number), "{number} is acknowledged twice");
    }
}

struct World {
    bed: Bed,
    model: Model,
    clients: Vec<Client>,
}

impl World {
    /// Takes what a client got, and checks that it is nothing but what it should get.
    fn take(&mut self, at: usize) {
        let client = &mut self.clients[at];
        for frame in self.bed.take(client.id) {
            assert_eq!(frame.command, Command::Message, "{frame:?}");
            let name = header(&frame, "subscription").parse().unwrap();
            let (mode, received) = client.subscriptions.get_mut(&name).expect("subscribed");
            if *mode == "auto" {
                self.model.consume(&frame);
            } else {
                received.push(frame);
            }
        }
    }

    fn send(&mut self, at: usize, queue: usize, in_transaction: bool) {
        let number = self.model.next;
        self.model.next += 1;
        let client = &mut self.clients[at];
        let mut header = "";
        match &mut client.transaction {
            Some(open) if in_transaction => {
                open.sends.push((queue, number));
                header = "transaction:t\n";
            }
            _ => self.model.sent[queue].push(number),
        }
        let id = client.id;
        self.bed.put(id, &format!("SEND\ndestination:{}\n{header}\n{number}\0", QUEUES[queue]));
    }

    fn subscribe(&mut self, at: usize, queue: usize, mode: u8) {
        let client = &mut self.clients[at];
        let mode = ["auto", "client", "client-individual"][usize::from(mode) % 3];
        let name = client.next_subscription;
        client.next_subscription += 1;
        client.subscriptions.insert(name, (mode, Vec::new()));
        let destination = QUEUES[queue];
        let id = client.id;
        self.bed.put(
            id,
            &format!(
                "SUBSCRIBE\nid:{name}\ndestination:{destination}\nack:{mode}\nactivemq.prefetchSize:3\n\n\0"
            ),
        );
    }

    fn unsubscribe(&mut self, at: usize) {
        self.take(at);
        let client = &mut self.clients[at];
        let Some((name, _)) = client.subscriptions.pop_first() else { return };
        if let Some(open) = &mut client.transaction {
            open.acks.retain(|(subscription, _)| *subscription != name);
        }
        let id = client.id;
        self.bed.put(id, &format!("UNSUBSCRIBE\nid:{name}\n\n\0"));
    }

    fn answer(&mut self, at: usize, pick: u8, nack: bool, in_transaction: bool) {
        self.take(at);
        let client = &mut self.clients[at];
        let claimed: BTreeSet<String> = client
            .transaction
            .iter()
            .flat_map(|open| open.acks.iter().map(|(_, body)| body.clone()))
            .collect();
        let open: Vec<_> = client
            .subscriptions
            .iter()
            .flat_map(|(name, (_, frames))| frames.iter().map(|frame| (*name, frame.clone())))
            .filter(|(_, frame)| !claimed.contains(&body(frame)))
            .collect();
        if open.is_empty() || (nack && client.version == "1.0") {
            return;
        }
        let (name, frame) = open[usize::from(pick) % open.len()].clone();
        let (mode, frames) = client.subscriptions.get_mut(&name).unwrap();
        let last = frames.iter().position(|other| other == &frame).unwrap();
        let from = if *mode == "client" { 0 } else { last };
        let covered: Vec<_> =
            frames[from..=last].iter().filter(|f| !claimed.contains(&body(f))).cloned().collect();
        let in_transaction = in_transaction && !nack && client.transaction.is_some();
        let text = answer(
            if nack { "NACK" } else { "ACK" },
            client.version,
            &frame,
            if in_transaction { "transaction:t\n" } else { "" },
        );
        if in_transaction {
            let open = client.transaction.as_mut().unwrap();
            open.acks.extend(covered.iter().map(|f| (name, body(f))));
        } else {
            frames.retain(|f| !covered.contains(f));
            for frame in &covered {
                if nack {
                    let number = body(frame).parse().unwrap();
                    for (sent, dead) in self.model.sent.iter_mut().zip(&mut self.model.dead) {
                        if let Some(at) = sent.iter().position(|other| *other == number) {
                            sent.remove(at);
                            assert!(dead.insert(number), "{number} is dead twice");
                        }
                    }
                } else {
                    self.model.consume(frame);
                }
            }
        }
        let id = client.id;
        self.bed.put(id, &text);
    }

    fn transact(&mut self, at: usize, commit: bool) {
        self.take(at);
        let client = &mut self.clients[at];
        let id = client.id;
        let text = match client.transaction.take() {
            None => {
                client.transaction = Some(Default::default());
                "BEGIN\ntransaction:t\n\n\0"
            }
            Some(_) if !commit => "ABORT\ntransaction:t\n\n\0",
            Some(Open { sends, acks }) => {
                for (queue, number) in sends {
                    self.model.sent[queue].push(number);
                }
                for (name, acknowledged) in acks {
                    let (_, frames) = client.subscriptions.get_mut(&name).unwrap();
                    let at = frames.iter().position(|frame| body(frame) == acknowledged).unwrap();
                    self.model.consume(&frames.remove(at));
                }
                "COMMIT\ntransaction:t\n\n\0"
            }
        };
        self.bed.put(id, text);
    }

    fn replace(&mut self, at: usize, version: u8) {
        // What is on its way to an automatic subscription is lost with it, and rightly so: take it before.
        self.take(at);
        self.bed.closed(self.clients[at].id);
        self.clients[at] = connect(&mut self.bed, version);
    }

    /// Everything that was sent was consumed once, or is still there, in order.
    fn finish(mut self) {
        for at in 0..self.clients.len() {
            self.take(at);
            let id = self.clients[at].id;
            self.bed.closed(id);
        }
        let drain = self.bed.connect("1.2");
        for (at, queue) in QUEUES.iter().enumerate() {
            let dead_letters = queue.replace("/queue/", "/queue/DLQ.");
            self.bed.subscribe(drain, queue, queue, "auto");
            let left: Vec<u32> = self.bed.bodies(drain).iter().map(|body| body.parse().unwrap()).collect();
            let mut expected = self.model.sent[at].clone();
            expected.retain(|number| !self.model.consumed.contains(number));
            assert_eq!(left, expected, "what is left of {queue}");
            self.bed.subscribe(drain, &dead_letters, &dead_letters, "auto");
            let mut dead: Vec<u32> =
                self.bed.bodies(drain).iter().map(|body| body.parse().unwrap()).collect();
            dead.sort_unstable();
            assert_eq!(
                dead,
                self.model.dead[at].iter().copied().collect::<Vec<_>>(),
                "dead letters of {queue}"
            );
        }
        assert_eq!(self.bed.broker.memory(), 0);
        self.bed.closed(drain);
        assert_eq!(self.bed.broker.destinations.len(), 0);
    }
}

fn connect(bed: &mut Bed, version: u8) -> Client {
    let version = ["1.0", "1.1", "1.2"][usize::from(version) % 3];
    let id = bed.connect(version);
    Client { id, version, subscriptions: BTreeMap::new(), next_subscription: 0, transaction: None }
}

const COMMANDS: [&str; 16] = [
    "CONNECT",
    "STOMP",
    "SEND",
    "SEND",
    "SEND",
    "SUBSCRIBE",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "ACK",
    "NACK",
    "BEGIN",
    "COMMIT",
    "ABORT",
    "DISCONNECT",
    "MESSAGE",
    "JUNK",
];

const HEADERS: [&str; 32] = [
    "destination:/queue/a",
    "destination:/queue/b",
    "destination:/topic/t",
    "destination:/temp-queue/x",
    "destination:/remote-temp-queue/ID:x",
    "destination:",
    "destination:/queue/DLQ.a",
    "id:1",
    "id:2",
    "id:",
    "ack:client",
    "ack:client-individual",
    "ack:auto",
    "transaction:t",
    "transaction:u",
    "receipt:r",
    "reply-to:/temp-queue/x",
    "reply-to:/queue/a",
    "expires:1",
    "expires:1700000000005",
    "browser:true",
    "selector:k='v'",
    "k:v",
    "activemq.prefetchSize:1",
    "subscription:1",
    "message-id:ID:x",
    "content-length:2",
    "content-length:0",
    "accept-version:1.1",
    "accept-version:1.2,1.0",
    "heart-beat:10,10",
    "heart-beat:x",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_message_is_lost_doubled_or_out_of_order(steps in vec((0..9u8, 0..3usize, 0..2usize, any::<u8>()), 0..120)) {
        let mut bed = Bed::new();
        let clients = (0..3).map(|version| connect(&mut bed, version)).collect();
        let mut world = World { bed, model: Model::default(), clients };
        for (step, at, queue, detail) in steps {
            match step {
                0 | 1 => world.send(at, queue, detail % 2 == 0),
                2 => world.subscribe(at, queue, detail),
                3 => world.unsubscribe(at),
                4 | 5 => world.answer(at, detail / 2, false, detail % 2 == 0),
                6 => world.answer(at, detail, true, false),
                7 => world.transact(at, detail % 3 > 0),
                _ if detail % 4 == 0 => world.replace(at, detail / 4),
                _ => world.take(at),
            }
        }
        world.finish();
    }

    #[test]
    fn any_frames_are_answered_and_leave_nothing(
        frames in vec((0..3usize, 0..COMMANDS.len(), vec(0..HEADERS.len(), 0..6), "[ab\n]{0,3}", 0..50u64), 0..60),
    ) {
        // So small that limits are met as well.
        let config = BrokerConfig { memory: 8000, destinations: 4, subscriptions: 3, ..Default::default() };
        let mut bed = Bed::with(config);
        let mut clients: Vec<ConnId> = ["1.0", "1.1", "1.2"].iter().map(|version| bed.connect(version)).collect();
        for (at, command, headers, body, millis) in frames {
            let client = clients[at];
            let headers: String = headers.iter().map(|header| format!("{}\n", HEADERS[*header])).collect();
            bed.put(client, &format!("{}\n{headers}\n{body}\0", COMMANDS[command]));
            prop_assert!(bed.broker.memory() <= 16_000);
            bed.advance(millis);
            if millis % 3 == 0 {
                bed.take(client);
            }
            if bed.broker.status(client) != Status::Open {
                bed.closed(client);
                clients[at] = bed.connect(["1.0", "1.1", "1.2"][at]);
            }
        }
        for client in clients {
            bed.closed(client);
        }
        let waiting: usize = ["/queue/a", "/queue/b", "/queue/DLQ.a", "/queue/DLQ.b"].map(|queue| bed.waiting(queue)).iter().sum();
        prop_assert_eq!(bed.broker.memory() == 0, waiting == 0);
        prop_assert_eq!(bed.broker.held() == 0, waiting == 0);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), at in 0..300usize, open in any::<bool>()) {
        let mut bed = Bed::new();
        let client = if open { bed.connect("1.2") } else { bed.accept() };
        let (first, second) = bytes.split_at(at.min(bytes.len()));
        bed.broker.received(client, bed.now, first);
        bed.broker.received(client, bed.now, second);
        bed.take(client);
        bed.closed(client);
        prop_assert_eq!(bed.broker.connections(), 0);
    }
}

/// Frames of which any may come at any time, right or wrong, to whichever broker is played. `%` is the last `ack` or
/// `message-id` that the client has seen.
const FRAMES: [&str; 29] = [
    "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\0",
    "SUBSCRIBE\nid:2\ndestination:/queue/b\nack:client-individual\nprefetch-count:2\n\n\0",
    "SUBSCRIBE\nid:3\ndestination:/topic/a\nack:client\n\n\0",
    "SUBSCRIBE\nid:4\ndestination:/topic/a\nack:client\ndurable:true\nauto-delete:false\n\n\0",
    "SUBSCRIBE\nid:5\ndestination:/topic/#\nx-queue-name:q\n\n\0",
    "SUBSCRIBE\nid:6\ndestination:/queue/own\nack:client\ndurable:false\n\n\0",
    "UNSUBSCRIBE\nid:1\n\n\0",
    "UNSUBSCRIBE\nid:2\n\n\0",
    "UNSUBSCRIBE\nid:3\n\n\0",
    "UNSUBSCRIBE\nid:4\ndurable:true\n\n\0",
    "UNSUBSCRIBE\nid:6\n\n\0",
    "SEND\ndestination:/queue/a\n\nm\0",
    "SEND\ndestination:/queue/b\ntransaction:t\nreceipt:1\n\nm\0",
    "SEND\ndestination:/topic/a\n\nm\0",
    "SEND\ndestination:/queue/own\ndurable:false\nexpiration:1000\n\nm\0",
    "SEND\ndestination:/queue/a\nreply-to:/temp-queue/r\n\nm\0",
    "SEND\ndestination:/exchange/amq.topic/a\npersistent:true\n\nm\0",
    "ACK\nid:%\n\n\0",
    "ACK\nid:%\ntransaction:t\n\n\0",
    "NACK\nid:%\n\n\0",
    "NACK\nid:%\nrequeue:false\n\n\0",
    "BEGIN\ntransaction:t\n\n\0",
    "COMMIT\ntransaction:t\n\n\0",
    "ABORT\ntransaction:t\n\n\0",
    "SUBSCRIBE\nid:7\ndestination:/topic/a\nack:client\nx-dead-letter-exchange:amq.topic\n\n\0",
    "SUBSCRIBE\nid:1\ndestination:/queue/b\nack:client\n\n\0",
    "WRONG\nreceipt:1\n\nbody\0",
    "SEND\ndestination:/queue/a\nno colon\n\nm\0",
    "SEND\ndestination:/queue/a\ncontent-length:1\n\nmm\0",
];

proptest! {
    /// Nothing is counted twice, or given up twice: when all have left and all is fetched, nothing is held but names.
    #[test]
    fn whoever_is_played_accounts_for_everything(
        played in 0..Dialect::ALL.len(),
        steps in vec((0..3_usize, 0..FRAMES.len() + 1), 1..120),
    ) {
        let mut bed = Bed::with(BrokerConfig::default().with_dialect(Dialect::ALL[played]));
        let mut clients = [0; 3].map(|_| (bed.connect("1.2"), String::new()));
        for (at, step) in steps {
            let (id, seen) = &mut clients[at];
            match FRAMES.get(step) {
                Some(frame) => bed.put(*id, &frame.replace('%', &seen.replace(':', "\\c"))),
                None => bed.closed(*id),
            }
            let frames = bed.take(*id);
            if let Some(ack) = frames.iter().rev().find_map(|frame| frame.headers.text("ack")) {
                *seen = ack.to_owned();
            }
            if bed.broker.status(*id) != Status::Open {
                bed.closed(*id);
                clients[at] = (bed.connect("1.2"), String::new());
            }
        }
        for (id, _) in clients {
            bed.closed(id);
        }
        let last = bed.connect("1.2");
        let drain = |bed: &mut Bed, more: &str| {
            bed.put(last, &format!("SUBSCRIBE\n{more}\nack:auto\n\n\0"));
            while !bed.take(last).is_empty() {}
        };
        for queue in ["a", "b", "own", "DLQ.a", "DLQ.b", "DLQ.own"] {
            drain(&mut bed, &format!("id:{queue}\ndestination:/queue/{queue}"));
        }
        match Dialect::ALL[played] {
            // A durable subscription, where one was left.
            Dialect::RabbitMq => drain(&mut bed, "id:4\ndestination:/topic/a\ndurable:true\nauto-delete:false"),
            // What has no prefix that they know is a queue's name, or a topic's.
            _ => drain(&mut bed, "id:exchange\ndestination:/exchange/amq.topic/a"),
        }
        bed.closed(last);
        prop_assert_eq!((bed.broker.memory(), bed.broker.names, bed.broker.unread), (0, 0, 0));
    }
}
