//! Which headers belong to STOMP, JMS, the brokers and to us, and so are no HTTP headers.
//!
//! One table serves both directions. Inwards the names match as written here, in exactly this case:
//! `expires` is the broker's, `Expires` is HTTP's. Outwards some prefixes match in any case, because
//! what reads replies (Camel's header map, JMS clients) often ignores case.

use super::name::has_prefix;

/// Names of STOMP 1.0-1.2, of the brokers' STOMP extensions for JMS, and of AMQP properties, sorted by length.
const NAMES: &[&str] = &[
    "id",
    "ack",
    "type",
    "login",
    "app-id",
    "server",
    "browser",
    "durable",
    "expires",
    "message",
    "receipt",
    "session",
    "user-id",
    "version",
    "passcode",
    "priority",
    "reply-to",
    "selector",
    "exclusive",
    "timestamp",
    "cluster-id",
    "expiration",
    "heart-beat",
    "message-id",
    "persistent",
    "receipt-id",
    "auto-delete",
    "destination",
    "redelivered",
    "transaction",
    "content-type",
    "subscription",
    "delivery-mode",
    "accept-version",
    "content-length",
    "correlation-id",
    "message-failed",
    "prefetch-count",
    "transformation",
    "destination-type",
    "subscription-type",
    "original-timestamp",
    "original-destination",
    "transformation-error",
];

/// What begins so is reserved, in exactly this case.
const PREFIXES: &[&str] = &[
    "JMS",
    "http_",
    "AMQ",
    "_AMQ",
    // Artemis, of what was sent by its own clients, by OpenWire and by AMQP.
    "__AMQ_",
    "__HDR_",
    "NATIVE_MESSAGE_ID",
    "amqp-",
    "activemq.",
    // Callers' metadata: read by us, or of no use to an application.
    "CamelHttp",
    "org.apache.cxf.",
    "SOAPJMS_",
    // RabbitMQ's own, on messages that were dead-lettered, redelivered or routed by the broker.
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
    "x-received-from",
];

/// What one of them begins with.
const BEGINS: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < PREFIXES.len() {
        table[PREFIXES[at].as_bytes()[0] as usize] = true;
        at += 1;
    }
    table
};

/// Metadata that is read, or claimed, in exactly this spelling.
const METADATA: &[&str] = &["OnewayRequest", "contentType"];

/// Outwards dropped in any case: brokers act on them, or callers trust them to be their framework's.
/// (`Camel*`: a reply that sets `camelhttpuri` would steer a Camel route's next call.)
const PREFIXES_OUTWARDS: &[&str] =
    &["JMS", "AMQ", "_AMQ", "amqp-", "http_", "Camel", "org.apache.", "SOAPJMS_"];

/// Names of headers for which a broker refuses a SEND whatever else it has, or for most of their values: how ActiveMQ is
/// to read the body, and whom else RabbitMQ is to send the message to. They are no names of HTTP's in this case.
const REFUSED: [&[u8]; 3] = [b"amq-msg-type", b"CC", b"BCC"];

/// Where the names of a length begin in [`NAMES`], and end.
const BY_LENGTH: [(u8, u8); LONGEST + 1] = {
    let mut places = [(0, 0); LONGEST + 1];
    let mut at = 0;
    while at < NAMES.len() {
        let length = NAMES[at].len();
        if places[length].1 == 0 {
            places[length].0 = at as u8;
        }
        at += 1;
        places[length].1 = at as u8;
    }
    places
};
const LONGEST: usize = NAMES[NAMES.len() - 1].len();

/// Whether this is one of [`NAMES`].
fn is_named(name: &[u8]) -> bool {
    let Some(&(from, to)) = BY_LENGTH.get(name.len()) else { return false };
    NAMES[from as usize..to as usize]
        .iter()
        .any(|reserved| reserved.as_bytes()[0] == name[0] && reserved.as_bytes() == name)
}

/// Whether a header of a message is no HTTP header: STOMP's, the broker's, JMS's, or metadata of the
/// request. `Proxy` counts, in any case: as `HTTP_PROXY` it would redirect what CGI libraries fetch
/// (httpoxy, CVE-2016-5385).
///
/// `name` has no Camel escapes left.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    let Some(first) = name.first() else { return false };
    // HTTP's names mostly begin upper-case, and none of the table does.
    (first.is_ascii_lowercase() && is_named(name))
        || BEGINS[usize::from(*first)] && PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || METADATA.iter().any(|metadata| metadata.as_bytes() == name)
        || name.eq_ignore_ascii_case(b"proxy")
}

/// The same, where that takes one look: for most of what comes with a message.
pub(super) fn is_plainly_reserved(name: &[u8]) -> bool {
    match name.first() {
        Some(b'h') => matches!(name, b"http_requestMethod" | b"http_requestUrl" | b"http_acceptStream"),
        Some(b'a'..=b'z') => is_named(name) && name != b"content-type",
        _ => false,
    }
}

/// Whether a response's header must not leave under `written`, the name that it would have on the wire.
pub(super) fn is_reserved_outwards(written: &[u8]) -> bool {
    is_reserved(written)
        // RabbitMQ takes lower-case `x-...` of a SEND for arguments of a queue.
        || written.starts_with(b"x-")
        || REFUSED.contains(&written)
        || PREFIXES_OUTWARDS.iter().any(|prefix| has_prefix(written, prefix.as_bytes()))
}

/// Whether a header of a message must not be sent again with it, when it is dead-lettered: the first
/// broker set it for that delivery, or the second would act on it.
pub(super) fn is_of_one_delivery(name: &[u8]) -> bool {
    const KEPT: &[&[u8]] = &[
        b"reply-to",
        b"correlation-id",
        b"content-type",
        b"type",
        b"app-id",
        b"amqp-message-id",
        b"JMSType",
        b"contentType",
        b"OnewayRequest",
    ];
    if KEPT.contains(&name) {
        return false;
    }
    let metadata: [&[u8]; 4] = [b"http_", b"CamelHttp", b"org.apache.cxf.", b"SOAPJMS_"];
    if metadata.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let broker = is_reserved(name) && !name.eq_ignore_ascii_case(b"proxy");
    // ActiveMQ refuses a frame with a type that it does not know, and RabbitMQ one that names further recipients.
    if REFUSED.contains(&name) {
        return true;
    }
    // Arguments with which RabbitMQ would declare the dead-letter queue.
    let arguments: [&[u8]; 8] = [
        b"x-dead-letter-",
        b"x-expires",
        b"x-max-",
        b"x-message-ttl",
        b"x-overflow",
        b"x-queue-",
        b"x-single-active-consumer",
        b"x-stream-",
    ];
    broker || arguments.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(NAMES.is_sorted_by_key(|name| name.len()), "its index needs it");
        assert!(NAMES.iter().all(|name| is_named(name.as_bytes())));
        assert!(NAMES.iter().all(|name| name.as_bytes()[0].is_ascii_lowercase()), "so does its guard");
    }

    #[test]
    fn inwards_case_tells_the_broker_from_http() {
        for (name, reserved) in [
            ("expires", true),
            ("Expires", false),
            ("priority", true),
            ("Priority", false),
            ("content-length", true),
            ("destination", true),
            ("Destination", false), // WebDAV's
            ("timestamp", true),
            ("user-id", true),
            ("JMSType", true),
            ("JMSXGroupID", true),
            ("Jms-Like", false),
            ("http_requestMethod", true),
            ("http_anything", true),
            ("Http_x", false),
            ("HTTP2-Settings", false),
            ("AMQ_SCHEDULED_DELAY", true),
            ("_AMQ_DUPL_ID", true),
            ("__AMQ_CID", true),
            ("__HDR_ARRIVAL", true),
            ("NATIVE_MESSAGE_ID", true),
            ("amqp-message-id", true),
            ("Amqp-Thing", false),
            ("x-death", true),
            ("X-Death", false),
            ("x-first-death-queue", true),
            ("x-last-death-reason", true),
            ("x-delivery-count", true),
            ("x-tenant", false),
            ("Proxy", true),
            ("proxy", true),
            ("PROXY", true),
            ("Proxy-Authorization", false),
            ("CamelHttpUri", true),
            ("CamelHttpResponseCode", true),
            ("CamelFileName", false),
            ("org.apache.cxf.request.uri", true),
            ("SOAPJMS_requestURI", true),
            ("OnewayRequest", true),
            ("contentType", true),
            ("host", false),
            ("content-encoding", false),
            ("Authorization", false),
            ("", false),
        ] {
            assert_eq!(is_reserved(name.as_bytes()), reserved, "{name}");
        }
    }

    #[test]
    fn outwards_prefixes_match_in_any_case() {
        for (written, reserved) in [
            ("Expires", false),
            ("expires", true),
            ("X-Tenant", false),
            ("x-tenant", true),
            ("Jmsexpiration", true),
            ("Amq_scheduled_delay", true),
            ("_amq_dupl_id", true),
            ("Amqp-Message-Id", true),
            ("Http_statuscode", true),
            ("Camelhttpuri", true),
            ("Soapjms_isfault", true),
            ("Set-Cookie", false),
            ("CC", true),
            ("Cc", false),
            ("BCC", true),
            ("amq-msg-type", true),
            ("Proxy", true),
            ("Persistent", false),
        ] {
            assert_eq!(is_reserved_outwards(written.as_bytes()), reserved, "{written}");
        }
    }

    #[test]
    fn dead_letters_keep_what_the_sender_said() {
        for (name, dropped) in [
            ("reply-to", false),
            ("correlation-id", false),
            ("content-type", false),
            ("http_requestUrl", false),
            ("CamelHttpMethod", false),
            ("X-Tenant", false),
            ("x-tenant", false),
            ("Proxy", false),
            ("destination", true),
            ("message-id", true),
            ("ack", true),
            ("receipt", true),
            ("transaction", true),
            ("redelivered", true),
            ("expires", true),
            ("persistent", true),
            ("user-id", true),
            ("x-death", true),
            ("x-max-priority", true),
            ("JMSExpiration", true),
            ("AMQ_SCHEDULED_DELAY", true),
            ("amq-msg-type", true),
            ("CC", true),
            ("BCC", true),
            ("Cc", false),
        ] {
            assert_eq!(is_of_one_delivery(name.as_bytes()), dropped, "{name}");
        }
    }
}
