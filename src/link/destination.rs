//! Which destinations a broker refuses, whoever asks: a SEND there would end the connection, or fail each time.

/// Octets of an AMQP name or routing key.
const LONGEST: usize = 255;

/// What ActiveMQ refuses: a name that is none.
pub(super) fn activemq(destination: &[u8]) -> Option<&'static str> {
    const PREFIXES: [&[u8]; 8] = [
        b"/queue/",
        b"/topic/",
        b"/temp-queue/",
        b"/temp-topic/",
        b"/remote-temp-queue/",
        b"/remote-temp-topic/",
        b"queue://",
        b"topic://",
    ];
    let name = PREFIXES.iter().find_map(|prefix| destination.strip_prefix(*prefix)).unwrap_or(destination);
    name.trim_ascii().is_empty().then_some(NAMELESS)
}

/// What ActiveMQ refuses as a reply-to, or what no requester could read: a temporary queue of our own connection. ActiveMQ writes
/// a STOMP requester's as `/remote-temp-queue/`; this one is a property that a JMS client has set. Each name would make a queue.
pub(super) fn activemq_reply(reply_to: &[u8]) -> Option<&'static str> {
    let is_ours = |part: &[u8]| part.trim_ascii_start().starts_with(b"/temp-");
    let is_ours = match memchr::memchr(b',', reply_to) {
        None => is_ours(reply_to),
        Some(_) => reply_to.split(|&byte| byte == b',').any(is_ours),
    };
    if is_ours { Some("it is a temporary queue of this server's own connection") } else { activemq(reply_to) }
}

/// Artemis takes whatever there is as a name: of an address, or of an address and its queue, `a::b`.
pub(super) fn artemis(destination: &[u8]) -> Option<&'static str> {
    const SCHEMES: [&[u8]; 4] = [b"queue://", b"topic://", b"temp-queue://", b"temp-topic://"];
    const PREFIXES: [&[u8]; 2] = [b"/queue/", b"/topic/"];
    let without = |name, prefixes: &[&[u8]]| -> &[u8] {
        prefixes.iter().find_map(|prefix| <[u8]>::strip_prefix(name, *prefix)).unwrap_or(name)
    };
    let name = without(without(destination, &SCHEMES), &PREFIXES);
    let nameless = match memchr::memmem::find(name, b"::") {
        Some(at) => at == 0 || at + 2 == name.len(),
        None => name.is_empty(),
    };
    nameless.then_some(NAMELESS)
}

const NAMELESS: &str = "it names no destination";
const UNKNOWN: &str =
    "RabbitMQ knows no such destination (/queue/x, /topic/x, /exchange/x/key, /amq/queue/x)";
const RESERVED: &str =
    "RabbitMQ reserves the names of queues that begin with amq. (one that exists is /amq/queue/amq.x)";

/// What RabbitMQ refuses (measured on 3.10.8): destinations that it does not know, and queues that it would have to
/// declare under a reserved name. Later versions refuse names beyond AMQP's limits, too, and undo percent-encoding.
pub(super) fn rabbitmq(destination: &[u8]) -> Option<&'static str> {
    if std::str::from_utf8(destination).is_err() {
        return Some("RabbitMQ's names are UTF-8");
    }
    if let Some(name) = destination.strip_prefix(b"/reply-queue/") {
        // It may have slashes, is not declared, and is what temporary queues are.
        return malformed(name);
    }
    let mut parts = destination.splitn(3, |&byte| byte == b'/');
    let (declared, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None) => (true, name),
        (Some(b""), Some(b"queue"), Some(name)) => (true, name),
        (Some(b""), Some(b"topic"), Some(name)) => (false, name),
        (Some(b""), Some(b"exchange"), Some(rest)) => {
            let (name, key) = match memchr::memchr(b'/', rest) {
                Some(at) => (&rest[..at], Some(&rest[at + 1..])),
                None => (rest, None),
            };
            // An empty key is one.
            let key = key.filter(|key| !key.is_empty()).and_then(one_malformed);
            return key.or_else(|| one_malformed(name));
        }
        (Some(b""), Some(b"amq"), Some(rest)) => match rest.strip_prefix(b"queue/") {
            Some(name) => (false, name),
            None => return Some(UNKNOWN),
        },
        _ => return Some(UNKNOWN),
    };
    let reserved = || declared && percent_encoding::percent_decode(name).take(4).eq(*b"amq.");
    one_malformed(name).or_else(|| reserved().then_some(RESERVED))
}

/// One name, in which a slash is written `%2F`.
fn one_malformed(name: &[u8]) -> Option<&'static str> {
    if name.contains(&b'/') { Some(UNKNOWN) } else { malformed(name) }
}

fn malformed(name: &[u8]) -> Option<&'static str> {
    match percent_encoding::percent_decode(name).count() {
        0 => Some(NAMELESS),
        1..=LONGEST => None,
        _ => Some("RabbitMQ's names have no more than 255 octets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artemis_refuses_what_names_nothing() {
        for nameless in [
            "",
            "/queue/",
            "queue://",
            "queue:///queue/",
            "/topic/",
            "temp-queue://",
            "/queue/x::",
            "/queue/::x",
            "::",
            "x::",
        ] {
            assert_eq!(artemis(nameless.as_bytes()), Some(NAMELESS), "{nameless}");
        }
        for taken in
            ["x", "/queue/x", "/x", "/", "queue:///queue/x", "a::b", "/queue/a::b", "/queue/queue/", "/queue"]
        {
            assert_eq!(artemis(taken.as_bytes()), None, "{taken}");
        }
    }

    #[test]
    fn no_reply_goes_to_a_temporary_queue_of_our_own() {
        for ours in ["/temp-queue/x", "/temp-topic/x", "/queue/a,/temp-queue/x", " /temp-queue/x"] {
            assert!(activemq_reply(ours.as_bytes()).is_some(), "{ours}");
        }
        for taken in ["/remote-temp-queue/ID:x", "/queue/temp-queue/x", "/queue/a,/queue/b"] {
            assert_eq!(activemq_reply(taken.as_bytes()), None, "{taken}");
        }
    }

    #[test]
    fn rabbitmq_refuses_what_was_measured() {
        let long = |prefix: &str, count: usize| format!("{prefix}{}", "q".repeat(count));
        for taken in [
            "/queue/a",
            "a",
            "/queue/a%2Fb",
            "/queue/AMQ.x",
            "/queue/amqx",
            "/queue/amq",
            "/amq/queue/amq.x",
            "/reply-queue/amq.gen-x",
            "/reply-queue/a/b",
            "/topic/amq.x",
            "/topic/a.b",
            "/exchange/amq.direct/k",
            "/exchange/amq.direct",
            "/exchange/amq.fanout/",
            &long("/queue/", 255),
            &long("/topic/", 255),
        ] {
            assert_eq!(rabbitmq(taken.as_bytes()), None, "{taken}");
        }
        for refused in [
            "/queue/amq.x",
            "/queue/amq.",
            "amq.x",
            "/queue/%61mq.x",
            "/queue/amq%2Ex",
            "/queue/amq.rabbitmq.reply-to.bogus",
            "",
            "/",
            "//",
            "/queue",
            "/queue/",
            "/amq/queue/",
            "/reply-queue/",
            "/reply-queue",
            "/topic/",
            "/topic",
            "/exchange/",
            "/exchange//k",
            "/exchange/a/b/c",
            "/queue/a/b",
            "/topic/a/b",
            "/amq/queue/a/b",
            "/amq/topic/a",
            "/temp-queue/x",
            "/temp-topic/x",
            "/remote-temp-queue/ID",
            "/dsub/x",
            "/foo/bar",
            "/QUEUE/a",
            "queue/a",
            "http://evil",
            "queue://a",
            &long("/queue/", 256),
            &long("", 256),
            &long("/reply-queue/", 256),
            &long("/exchange/e/", 256),
        ] {
            assert!(rabbitmq(refused.as_bytes()).is_some(), "{refused}");
        }
        assert!(rabbitmq(b"/queue/\xff\xfe").is_some());
    }

    #[test]
    fn activemq_refuses_what_names_nothing() {
        for (destination, taken) in [
            ("/queue/", false),
            ("/queue/ ", false),
            ("", false),
            ("/remote-temp-queue/", false),
            ("/queue/amq.x", true),
            ("a", true),
        ] {
            assert_eq!(activemq(destination.as_bytes()).is_none(), taken, "{destination}");
        }
    }
}
