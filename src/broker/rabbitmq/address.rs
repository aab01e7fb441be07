//! What a `destination` names.

use super::{super::refusal::Refusal, Exchange, LONGEST_KEY};

/// A destination. Names are as AMQP has them: `%2F` is a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) enum Address {
    /// `/queue/x`, or `x`: a queue that is declared when it is named.
    Queue(Vec<u8>),
    /// `/amq/queue/x`, `/reply-queue/x`: a queue as it is, if it is there.
    Existing(Vec<u8>),
    /// `/exchange/x/key`, and `/topic/key`. `None`: there is no exchange of that name.
    Exchange { exchange: Result<Exchange, Vec<u8>>, key: Vec<u8> },
    /// `/topic/key`.
    Topic(Vec<u8>),
    /// `/temp-queue/x`: only `reply-to` may name it.
    Temporary(Vec<u8>),
}

/// An exchange, or the name of one that is not there, and a routing key.
pub(super) type Routing = (Result<Exchange, Vec<u8>>, Vec<u8>);

impl Address {
    pub(in crate::broker) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let parts: Vec<&[u8]> = text.split(|&b| b == b'/').collect();
        let (kind, rest): (&str, &[&[u8]]) = match parts[..] {
            [name] => return Ok(Self::Queue(unescape(name))),
            [b"", b"exchange", ..] => ("exchange", &parts[2..]),
            [b"", b"queue", ..] => ("queue", &parts[2..]),
            [b"", b"topic", ..] => ("topic", &parts[2..]),
            [b"", b"temp-queue", ..] => ("temp_queue", &parts[2..]),
            [b"", b"amq", b"queue", ..] => ("amqqueue", &parts[3..]),
            [b"", b"reply-queue", _, ..] => {
                return Ok(Self::Existing(text[b"/reply-queue/".len()..].to_vec()));
            }
            _ => return Err(unknown(text)),
        };
        Ok(match (kind, rest) {
            ("exchange", [name]) if !name.is_empty() => {
                Self::Exchange { exchange: Exchange::named(unescape(name)), key: Vec::new() }
            }
            ("exchange", [name, key]) if !name.is_empty() => {
                Self::Exchange { exchange: Exchange::named(unescape(name)), key: unescape(key) }
            }
            ("queue", [name]) if !name.is_empty() => Self::Queue(unescape(name)),
            ("topic", [name]) if !name.is_empty() => Self::Topic(unescape(name)),
            ("temp_queue", [name]) if !name.is_empty() => Self::Temporary(unescape(name)),
            ("amqqueue", [name]) if !name.is_empty() => Self::Existing(unescape(name)),
            _ => return Err(invalid(kind, rest)),
        })
    }

    /// The exchange that a topic or an exchange's destination names, and the key. `None`: it names neither, or the key is
    /// too long.
    pub(super) fn routing(self) -> Option<Routing> {
        let (exchange, key) = match self {
            Self::Exchange { exchange, key } => (exchange, key),
            Self::Topic(key) => (Ok(Exchange::Topic), key),
            _ => return None,
        };
        (key.len() <= LONGEST_KEY).then_some((exchange, key))
    }
}

/// A destination as a MESSAGE shows it: what reached the queue of that name, or was routed.
pub(super) fn shown(exchange: Option<Exchange>, key: &[u8]) -> Vec<u8> {
    match exchange {
        None => [b"/queue/", &escape(key)[..]].concat(),
        Some(Exchange::Topic) => [b"/topic/", &escape(key)[..]].concat(),
        Some(exchange) if key.is_empty() => [b"/exchange/", exchange.name().as_bytes()].concat(),
        Some(exchange) => [b"/exchange/", exchange.name().as_bytes(), b"/", &escape(key)[..]].concat(),
    }
}

/// A `reply-to` that is no destination is taken for a queue's name.
pub(super) fn reply_to(text: &[u8]) -> Vec<u8> {
    let known: [&[u8]; 5] = [b"/exchange", b"/topic", b"/queue", b"/amq/queue", b"/reply-queue"];
    if known.iter().any(|prefix| text.starts_with(prefix)) {
        return text.to_vec();
    }
    [b"/reply-queue/", text].concat()
}

pub(super) fn blank() -> Refusal {
    Refusal::frame_error("Invalid destination", "Destination cannot be blank")
}

/// A temporary queue is no destination of a frame.
pub(super) fn not_for(text: &[u8], command: &str) -> Refusal {
    let text = String::from_utf8_lossy(text);
    Refusal::frame_error(
        "Invalid destination",
        format!("'{text}' is not a valid destination for '{command}'\n"),
    )
}

fn invalid(kind: &str, rest: &[&[u8]]) -> Refusal {
    let path = if rest.is_empty() {
        String::new()
    } else {
        format!("/{}", String::from_utf8_lossy(&rest.join(&b'/')))
    };
    Refusal::frame_error("Invalid destination", format!("'{path}' is not a valid {kind} destination\n"))
}

fn unknown(text: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(text);
    Refusal::frame_error(
        "Unknown destination",
        format!(
            "'{text}' is not a valid destination.\nValid destination types are: /temp-queue, /exchange, /topic, /queue, \
             /amq/queue, /reply-queue/.\n"
        ),
    )
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, more @ ..] = rest {
        match rest.strip_prefix(b"%2F") {
            Some(after) => {
                out.push(b'/');
                rest = after;
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

fn escape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'/' | b'%' | 0..32 | 128.. => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_read_and_shown_alike() {
        for text in
            ["/queue/a", "/queue/a%2Fb", "/topic/a.*.b", "/exchange/amq.direct/k", "/exchange/amq.fanout"]
        {
            let (exchange, key) = match Address::parse(text.as_bytes()).unwrap() {
                Address::Queue(name) => (None, name),
                other => {
                    let (exchange, key) = other.routing().unwrap();
                    (Some(exchange.unwrap()), key)
                }
            };
            assert_eq!(shown(exchange, &key), text.as_bytes());
        }
        assert_eq!(Address::parse(b"a"), Address::parse(b"/queue/a"));
        assert_eq!(Address::parse(b"/reply-queue/a/b").unwrap(), Address::Existing(b"a/b".to_vec()));
    }

    #[test]
    fn what_is_no_destination_is_named() {
        for (text, message) in [
            ("/queue", "Invalid destination"),
            ("/topic/a/b", "Invalid destination"),
            ("/exchange//k", "Invalid destination"),
            ("/exchange/a/b/c", "Invalid destination"),
            ("/amq/x", "Unknown destination"),
            ("/reply-queue", "Unknown destination"),
        ] {
            assert_eq!(Address::parse(text.as_bytes()).unwrap_err().message, message, "{text}");
        }
    }
}
