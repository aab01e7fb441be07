//! From an application's answer to messages.
use std::{borrow::Cow, fmt};

use super::envelope::{BROKEN, Envelope, Part, whole_characters};
use super::reply_head::{EncodedHead, ReplyHead};
use super::{Head, Mapping, Request, Status};
use crate::app::{AppError, Flow, Reply};
use crate::stomp::Version;

/// Encodes one reply, while the application gives it.
///
/// By default the whole reply is one SEND, which [`finish`](Self::finish) returns: JMS callers take exactly
/// one message. Where the request has `http_acceptStream=true`, each block leaves at once as a message of
/// its own, numbered by `http_chunkSeq`; what [`finish`](Self::finish) returns ends the stream
/// (`http_moreContent=false`), and is empty-bodied unless it is the only one. Status and headers are on
/// number 0.
///
/// A [structured](super::Delivery::structured) request gets one message, whose body is one whole HTTP/1.1
/// response: status line, the application's headers as it gave them, body. Content-Length is added where the
/// application gave none.
///
/// A one-way request gets no message at all; its application runs to the end, for what it does.
///
/// | request | response | on the wire |
/// |---|---|---|
/// | HEAD | any | no body; the application's Content-Length goes along |
/// | any | 1xx, 204, 304 | no body |
/// | any | more than Content-Length | cut there |
/// | any | less than Content-Length | `http_isError=true`; the Content-Length of a structured reply stays |
/// | any | failed, nothing sent | 500 |
/// | stream | failed, something sent | `http_isError=true`, `http_moreContent=false` |
pub struct Responder<'a> {
    envelope: Envelope<'a>,
    mapping: &'a Mapping,
    receipt: &'a str,
    more: &'a mut dyn FnMut(Vec<u8>),
    mode: Mode,
    /// The request's method is HEAD.
    is_head: bool,
    head: Option<Head>,
    /// Bytes of body that may come: Content-Length, or 0 where there is no body.
    limit: Option<u64>,
    /// Bytes of body so far.
    taken: u64,
    /// What waits for the end; of a stream of text, the beginning of a character, which waits for the rest.
    body: Vec<u8>,
    /// Messages that have left.
    sent: u64,
    fault: Option<Fault>,
    /// Bytes of body that a message may have.
    max_body: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    OneWay,
    Whole,
    Stream,
}

/// What became of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// The last message of the reply, encoded. Empty for a one-way request.
    pub bytes: Vec<u8>,
    /// What the requester was told, or for a one-way request what decides the message's fate. 500 where the
    /// application failed before anything was sent.
    pub status: u16,
    /// What was sent is less than a whole response, and says so.
    pub broken: bool,
    /// Bytes of body that were sent, in all messages; for a one-way request, those that were not.
    pub body_len: u64,
    /// Messages that were sent, the last included.
    pub messages: u64,
    /// What went wrong, if anything.
    pub fault: Option<Fault>,
}

/// Why a reply is not what the application meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The application failed.
    #[error("the application failed")]
    Failed,
    /// The application ended, or gave a block, before status and headers.
    #[error("the application gave no status")]
    NotStarted,
    /// A message's body would be larger than [`Mapping::max_reply`], or the message larger than the broker takes.
    #[error(
        "the reply, or a block of it, takes more than {limit} bytes, the most for a message here (option --max-reply)"
    )]
    TooLarge {
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// A header is longer than [`Mapping::max_header_line`].
    #[error("header {name} of the reply takes {octets} bytes, more than brokers accept")]
    HeaderLine {
        /// Its name as sent.
        name: String,
        /// The length of the line.
        octets: usize,
    },
    /// All headers together are longer than this broker keeps with a persistent message.
    #[error(
        "the headers of the reply take {octets} bytes, more than the broker keeps with a persistent message of this size"
    )]
    Headers {
        /// How many, ours included.
        octets: usize,
    },
    /// The name of a header, or its value where that is a property of AMQP, is longer than this broker takes.
    #[error(
        "the name or the value of the reply's header {name} has more than {limit} bytes, which RabbitMQ refuses"
    )]
    LongString {
        /// The header's name as sent.
        name: String,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// There are more headers than [`Mapping::max_headers`].
    #[error("the reply has {headers} headers, more than brokers accept")]
    TooManyHeaders {
        /// How many, ours included.
        headers: usize,
    },
    /// The body is no text, and [`Mapping::reply_body`] is [`ReplyBody::Text`](super::ReplyBody::Text).
    #[error("the reply's body is not UTF-8 text that the broker can carry (option reply_body is text)")]
    NotText,
    /// The body is shorter than its Content-Length.
    #[error("the body is {missing} bytes shorter than its Content-Length")]
    Short {
        /// Bytes that never came.
        missing: u64,
    },
}

impl Fault {
    const TEXT: &str = "Internal Server Error\n";

    /// What a requester is told: what is wrong with the reply, but nothing of what the application says of a failure.
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Failed | Self::NotStarted => Cow::Borrowed(Self::TEXT),
            fault => format!("Internal Server Error: {fault}\n").into(),
        }
    }
}

impl<'a> Responder<'a> {
    /// A reply to `request`. `receipt` is asked for with the last message, unless it is empty; `more` takes
    /// those before, in order. They ask for `receipt/0`, `receipt/1` and so on: without it, the ERROR about a
    /// requester that left in the middle of a stream could not be told from one about the connection.
    pub fn new(
        version: Version,
        mapping: &'a Mapping,
        request: &'a Request,
        receipt: &'a str,
        more: &'a mut dyn FnMut(Vec<u8>),
    ) -> Self {
        let delivery = &request.delivery;
        let mode = match (delivery.one_way || delivery.reply_to().is_none(), delivery.accept_stream) {
            (true, _) => Mode::OneWay,
            (false, true) => Mode::Stream,
            (false, false) => Mode::Whole,
        };
        Self {
            envelope: Envelope::new(version, mapping, delivery),
            mapping,
            receipt,
            more,
            mode,
            is_head: request.method == "HEAD",
            head: None,
            limit: None,
            taken: 0,
            body: Vec::new(),
            sent: 0,
            fault: None,
            max_body: mapping.max_body(delivery.limits),
        }
    }

    /// Ends the reply. `result` is the application's own.
    pub fn finish(mut self, result: Result<(), AppError>) -> Finished {
        if result.is_err() {
            self.fault.get_or_insert(Fault::Failed);
        } else if self.head.is_none() {
            self.fault.get_or_insert(Fault::NotStarted);
        }
        let finished = match self.mode {
            Mode::OneWay => self.unanswered(),
            _ if self.sent > 0 => self.last(),
            _ => self.only(),
        };
        // Who failed has said why.
        if let Some(fault) = finished.fault.as_ref().filter(|fault| **fault != Fault::Failed) {
            tracing::error!(status = finished.status, broken = finished.broken, %fault, "bad reply");
        }
        finished
    }

    fn unanswered(self) -> Finished {
        let status = match (&self.fault, &self.head) {
            (None, Some(head)) => head.status.code,
            _ => 500,
        };
        let Self { taken, fault, .. } = self;
        Finished { bytes: Vec::new(), status, broken: false, body_len: taken, messages: 0, fault }
    }

    /// The end of a stream.
    fn last(mut self) -> Finished {
        self.note_shortness();
        if let Err(fault) = self.envelope.check(b"", &self.body) {
            self.fault.get_or_insert(fault);
        }
        let broken = self.fault.is_some();
        if broken {
            self.taken -= self.body.len() as u64;
            self.body.clear();
        }
        let bytes = self.envelope.encode(&Part {
            lines: if broken { BROKEN } else { b"" },
            number: self.sent,
            more: false,
            receipt: self.receipt,
            inner: b"",
            body: &self.body,
        });
        let status = self.head.as_ref().map_or(500, |head| head.status.code);
        Finished { bytes, status, broken, body_len: self.taken, messages: self.sent + 1, fault: self.fault }
    }

    /// A reply in one message.
    fn only(mut self) -> Finished {
        let version = self.envelope.version;
        if self.fault.is_none() {
            self.note_shortness();
            let broken = self.fault.is_some();
            // Never absent: that would be a fault.
            let encoded = self.head.as_ref().ok_or(Fault::NotStarted).and_then(|head| {
                let limits = self.envelope.delivery.limits;
                let reply = if self.envelope.delivery.structured {
                    ReplyHead::whole(head, self.mapping, limits, self.is_head, self.body.len())?
                        .encode(version, broken)
                } else {
                    EncodedHead::of(head, self.mapping, version, limits, self.is_head, broken)?
                };
                self.envelope.check(&reply.inner, &self.body)?;
                let part = Part::whole(&reply, &self.body, self.receipt);
                Ok((self.envelope.encode_within(&part)?, head.status.code))
            });
            match encoded {
                Ok((bytes, status)) => {
                    let Self { taken, fault, .. } = self;
                    return Finished { bytes, status, broken, body_len: taken, messages: 1, fault };
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        let status = Status::of(500);
        let text = self.fault.as_ref().map_or(Cow::Borrowed(Fault::TEXT), Fault::text);
        let body = if self.is_head { b"" } else { text.as_bytes() };
        let reply = ReplyHead::plain(&status, self.envelope.delivery, body.len()).encode(version, false);
        Finished {
            bytes: self.envelope.encode(&Part::whole(&reply, body, self.receipt)),
            status: status.code,
            broken: false,
            body_len: body.len() as u64,
            messages: 1,
            fault: self.fault,
        }
    }

    fn note_shortness(&mut self) {
        match self.limit {
            Some(limit) if limit > self.taken => {
                self.fault.get_or_insert(Fault::Short { missing: limit - self.taken });
            }
            _ => {}
        }
    }

    /// The same of a stream of text. A block may end within a character, and what it has of it is no text: that waits for
    /// the next block.
    fn send_text(&mut self, head: &Head, block: &[u8]) -> Result<(), Fault> {
        let joined =
            if self.body.is_empty() { Cow::Borrowed(block) } else { [&self.body, block].concat().into() };
        let (whole, rest) = joined.split_at(whole_characters(&joined));
        self.body = rest.to_vec();
        if whole.is_empty() { Ok(()) } else { self.send(head, whole) }
    }

    /// Sends one block of a stream.
    fn send(&mut self, head: &Head, block: &[u8]) -> Result<(), Fault> {
        let first = match self.sent {
            0 => {
                let (version, limits) = (self.envelope.version, self.envelope.delivery.limits);
                Some(EncodedHead::of(head, self.mapping, version, limits, self.is_head, false)?)
            }
            _ => None,
        };
        self.envelope.check(b"", block)?;
        let receipt = match self.receipt {
            "" => String::new(),
            receipt => format!("{receipt}/{}", self.sent),
        };
        let bytes = self.envelope.encode_within(&Part {
            lines: first.as_ref().map_or(&[], |head| &head.lines),
            number: self.sent,
            more: true,
            receipt: &receipt,
            inner: b"",
            body: block,
        })?;
        (self.more)(bytes);
        self.sent += 1;
        Ok(())
    }

    /// Takes a block that is not empty, and not more than may come.
    fn take(&mut self, block: &[u8]) -> Result<(), Fault> {
        let head = self.head.take().ok_or(Fault::NotStarted)?;
        let too_large = Fault::TooLarge { limit: self.max_body };
        let taken = match self.mode {
            Mode::OneWay => Ok(()),
            Mode::Stream if block.len() > self.max_body => Err(too_large),
            Mode::Stream if self.envelope.wants_text() => self.send_text(&head, block),
            Mode::Stream => self.send(&head, block),
            Mode::Whole if self.max_body - self.body.len() < block.len() => Err(too_large),
            Mode::Whole => {
                if let (true, Some(limit)) = (self.body.is_empty(), self.limit) {
                    // The length is known: no growing, which would copy.
                    let room = usize::try_from(limit).unwrap_or(usize::MAX).min(self.max_body);
                    self.body.reserve_exact(room.clamp(block.len(), AHEAD.max(block.len())));
                }
                self.body.extend_from_slice(block);
                Ok(())
            }
        };
        self.head = Some(head);
        if taken.is_ok() {
            self.taken += block.len() as u64;
        }
        taken
    }
}

/// The most memory that a mere promise of Content-Length gets, in bytes.
const AHEAD: usize = 16 << 20;

impl Reply for Responder<'_> {
    /// A second head replaces the first, unless something was sent or kept of the body by then.
    fn start(&mut self, head: Head) {
        if self.taken > 0 || self.sent > 0 {
            tracing::error!("an application started its reply again, after the first block");
            return;
        }
        let bodiless = self.is_head || !head.status.has_body();
        self.limit = if bodiless { Some(0) } else { head.content_length() };
        self.head = Some(head);
    }

    fn block(&mut self, block: &[u8]) -> Flow {
        if self.fault.is_some() {
            return Flow::Enough;
        }
        let left = self.limit.map_or(u64::MAX, |limit| limit - self.taken);
        let fits = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        if fits < block.len() && !self.is_head && self.mode != Mode::OneWay {
            tracing::warn!(
                surplus = block.len() - fits,
                "a body is longer than its Content-Length, and is cut"
            );
        }
        let block = &block[..fits];
        if !block.is_empty() {
            if let Err(fault) = self.take(block) {
                // Nobody will want it: do not keep 100 MiB until the application ends.
                self.body = Vec::new();
                self.fault = Some(fault);
                return Flow::Enough;
            }
        }
        // A one-way application works for its effects, and may work while it is iterated.
        let done = self.limit.is_some_and(|limit| limit == self.taken) && self.mode != Mode::OneWay;
        if done { Flow::Enough } else { Flow::Continue }
    }
}

impl fmt::Debug for Responder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("mode", &self.mode)
            .field("status", &self.head.as_ref().map(|head| head.status.code))
            .field("taken", &self.taken)
            .field("sent", &self.sent)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
