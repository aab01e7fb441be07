//! From a message to a request.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::fields::Fields;
use super::metadata::{Metadata, is_true};
use super::name::{camel_decoded, is_token, same_key};
use super::reply_head::line_len;
use super::structured::Whole;
use super::target::{self, Parsed, Target};
use super::{
    Delivery, Destinations, EmptyJms, HeaderNames, InvalidTarget, Reason, Rejected, ReplyBody, Request,
    reply_to, structured,
};
use crate::link::{FrameLimits, Jms};
use crate::stomp::{Frame, Headers, Shown};

/// How messages become requests, and responses become messages. The default is safe for any broker.
///
/// ```
/// use stomp_wsgi::http::{HeaderNames, Mapping};
///
/// let mut mapping = Mapping::default();
/// mapping.default_path = "/events/{type}".into();
/// mapping.reply_header_names = HeaderNames::Camel;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// The path of messages that name none: `/`. `{destination}` stands for the message's destination
    /// without the leading slash (`queue/orders`), `{type}` for its JMS type (header `type` or `JMSType`).
    /// May have a query.
    pub default_path: String,
    /// Whether a message with two headers that make the same `HTTP_` key (`X_Tenant`, `X-Tenant`) is
    /// rejected, rather than one of them dropped.
    pub strict_headers: bool,
    /// What a reply-to may begin with; `*` allows all. A bare name counts as `/queue/` and the name, and so does
    /// `queue://` and the name; behind `temp-queue://` there has to be a temporary queue's name as Artemis has them.
    /// Temporary queues and queues by default.
    pub allow_reply_to: Vec<String>,
    /// The destinations that we subscribe to. No reply goes there: it would come back as a request.
    pub consumed: Destinations,
    /// The header of a message by which the broker says who sent it (`REMOTE_USER`): `JMSXUserID` of ActiveMQ with
    /// `populateJMSXUserID`, `user-id` of RabbitMQ. Nobody by default, for brokers differ in which they verify. It takes
    /// [`all_senders_use_stomp`](Self::all_senders_use_stomp), too.
    pub trust_user_header: Option<String>,
    /// The deployer's word that the broker takes messages for our destinations by STOMP alone. A sender that uses another
    /// protocol can put any user into the header that is trusted, on all brokers.
    pub all_senders_use_stomp: bool,
    /// What becomes of a message that a JMS client sent to ActiveMQ and that has no body here: answered 415 by default,
    /// where it should have one.
    pub empty_jms: EmptyJms,
    /// Whether a reply is a TextMessage or a BytesMessage to a JMS client.
    pub reply_body: ReplyBody,
    /// How long a reply lives that nobody fetches, where the request has no expiry of its own to pass on.
    /// `None`: for ever.
    pub reply_ttl: Option<Duration>,
    /// How the headers of a response are named.
    pub reply_header_names: HeaderNames,
    /// How large the body of a reply may grow, or of one message of a streamed reply, in bytes; a larger reply becomes a
    /// 500. `None`: what the broker takes with its own settings. That is 100 MiB on ActiveMQ and Artemis, and 128 MiB on
    /// RabbitMQ before 3.12; later ones take 4 MiB in a frame, its headers included.
    pub max_reply: Option<usize>,
    /// How long a header of a reply may be, in bytes as sent: name, colon, escaped value and line feed. A
    /// reply with a longer one becomes a 500. 10 240: a longer line costs us the connection to ActiveMQ.
    pub max_header_line: usize,
    /// How many headers a reply may have, ours included; one with more becomes a 500. 90: RabbitMQ since
    /// 3.12 takes 100.
    pub max_headers: usize,
}

impl Default for Mapping {
    fn default() -> Self {
        // The first that fits is taken: what requests name most often comes first.
        let queues = [
            "/queue/",
            "/temp-queue/",
            "/remote-temp-queue/",
            "/reply-queue/",
            "temp-queue://",
            "/amq/queue/",
        ];
        Self {
            default_path: "/".to_owned(),
            strict_headers: false,
            allow_reply_to: queues.map(str::to_owned).to_vec(),
            consumed: Destinations::default(),
            trust_user_header: None,
            all_senders_use_stomp: false,
            empty_jms: EmptyJms::default(),
            reply_body: ReplyBody::default(),
            reply_ttl: None,
            reply_header_names: HeaderNames::default(),
            max_reply: None,
            max_header_line: 10_240,
            max_headers: 90,
        }
    }
}

impl Mapping {
    /// Makes a request of a MESSAGE frame. `broker` is the `host:port` that it came from, `attempt` counts
    /// from 1.
    ///
    /// The method, where the message names none: `NOTIFY` where it is one-way; else `POST` where it names no
    /// target either (a bare message) or has a body, as Camel and CXF send; else `GET`.
    ///
    /// It is one-way when its method is `NOTIFY`, when it says `OnewayRequest=true`, when it came from a
    /// topic, or when it has no reply-to.
    ///
    /// A message of the type `application/http` is *structured*: its body is one whole HTTP/1.1 request, as
    /// RFC 9112 has it, and the reply's will be one whole response. What its headers say of method, target
    /// and HTTP headers, or of a streamed reply, does not count then: one message is what that type promises.
    /// Its body is as long as Content-Length says, or `chunked`, or empty; octets beyond are an error.
    ///
    /// # Errors
    ///
    /// [`Rejected`], where the message can be no request, or where its reply-to is not allowed.
    pub fn request(&self, frame: &Frame, broker: &Arc<str>, attempt: u32) -> Result<Request, Rejected> {
        let metadata = Metadata::read(&frame.headers);
        let http = structured::media_type(&metadata);
        let delivery = self.delivery(frame, &metadata, http.is_some(), broker, attempt);

        // The reply-to first: whatever else is wrong, it decides whether the sender can be told.
        let allowed = self.check_reply_to(&delivery);
        let answerable = allowed.is_ok() && !delivery.one_way;
        let parts = allowed.and_then(|()| match (frame.cut, &http) {
            (Some(cut), _) => Err(cut.into()),
            (None, Some(media_type)) => self.whole(frame, media_type, &delivery),
            (None, None) => self.parts(frame, &metadata, &delivery),
        });
        match parts {
            Ok(Parts { method, target, fields, raw_headers, body }) => Ok(Request {
                method,
                target: target.target,
                path: target.path,
                query: target.query,
                content_type: fields.content_type,
                headers: fields.headers,
                raw_headers,
                body,
                delivery,
            }),
            Err(reason) => {
                tracing::warn!(destination = %Shown(delivery.destination()), %reason, "message rejected");
                Err(Rejected { reason, delivery: Box::new(delivery), answerable })
            }
        }
    }

    /// Whether somebody waits for an answer to this message, and may be sent one, be it a request or not.
    pub(crate) fn can_answer(&self, frame: &Frame) -> bool {
        let metadata = Metadata::read(&frame.headers);
        let is_http = structured::media_type(&metadata).is_some();
        let delivery = self.delivery(frame, &metadata, is_http, &Arc::from(""), 1);
        !delivery.one_way && self.check_reply_to(&delivery).is_ok()
    }

    /// Rejects a request whose body the broker may have kept: ActiveMQ and Artemis hand out a MapMessage, an ObjectMessage
    /// or a StreamMessage as they do an empty TextMessage. (ActiveMQ can be asked to make JSON of them, but then an
    /// ObjectMessage of a class that the broker does not trust ends the connection each time that it is delivered.)
    pub(crate) fn with_its_body(&self, request: Request, jms: Jms) -> Result<Request, Rejected> {
        if !self.lacks_its_body(&request, jms) {
            return Ok(request);
        }
        let one_way = request.delivery.one_way;
        if one_way && self.empty_jms == EmptyJms::Answer {
            static ONCE: std::sync::Once = std::sync::Once::new();
            ONCE.call_once(|| {
                tracing::warn!(
                    "a one-way message of a JMS client has no body. If its sender used a MapMessage, ObjectMessage or \
                     StreamMessage, its content is lost: --empty-jms reject leaves such messages to the broker's dead \
                     letters. This is said once"
                );
            });
            return Ok(request);
        }
        Err(Rejected { reason: Reason::Withheld, delivery: Box::new(request.delivery), answerable: !one_way })
    }

    /// Whether that is to be looked at.
    pub(crate) fn lacks_its_body(&self, request: &Request, jms: Jms) -> bool {
        request.body.is_empty() && self.empty_jms != EmptyJms::Accept && lacks_its_body(request, jms)
    }

    /// Whether a message that nobody waits for lacks its body so.
    pub(crate) fn is_withheld(&self, frame: &Frame, jms: Jms) -> bool {
        if !frame.body.is_empty() || !jms.may_withhold(&frame.headers) {
            return false;
        }
        let request = self.request(frame, &Arc::from(""), 1);
        request.is_ok_and(|request| request.delivery.one_way && lacks_its_body(&request, jms))
    }

    fn delivery(
        &self,
        frame: &Frame,
        metadata: &Metadata<'_>,
        is_http: bool,
        broker: &Arc<str>,
        attempt: u32,
    ) -> Delivery {
        let envelope = metadata.envelope.clone();
        let mut delivery = Delivery::read(frame.headers.clone(), envelope, Arc::clone(broker), attempt);
        delivery.user = self.trust_user_header.as_deref().and_then(|name| vouched(&frame.headers, name));
        delivery.structured = is_http;
        let method = if is_http { structured::method(&frame.body) } else { metadata.method() };
        delivery.one_way = method == Some(b"NOTIFY")
            || metadata.one_way.is_some_and(is_true)
            || delivery.is_published()
            || delivery.reply_to().is_none();
        if is_http {
            delivery.head_only = method == Some(b"HEAD");
        } else {
            delivery.accept_stream = !delivery.one_way && metadata.accept_stream.is_some_and(is_true);
        }
        delivery
    }

    /// How large the body of a message may be that goes to a broker with these limits.
    pub(super) fn max_body(&self, limits: &FrameLimits) -> usize {
        self.max_reply.unwrap_or(limits.body)
    }

    /// Whether such a broker takes this frame. With a `max_reply` above its own limit the deployer says that it was set up to take
    /// more.
    pub(crate) fn fits_frame(&self, frame: &[u8], limits: &FrameLimits) -> bool {
        let raised = self.max_reply.is_some_and(|most| most > limits.body);
        let kept = || {
            let head = memchr::memmem::find(frame, b"\n\n").unwrap_or(frame.len());
            let is_kept = memchr::memmem::find(&frame[..head], b"\npersistent:true").is_some();
            !is_kept || limits.keeps(head, frame.len() - head)
        };
        (raised || limits.fits(frame.len())) && (limits.stored.is_none() || kept())
    }

    /// Whether brokers take a header of that length, escaped as STOMP 1.2 does.
    pub(super) fn fits(&self, name: &[u8], value: &[u8]) -> bool {
        // Counted only where escapes could make the difference.
        let length = name.len() + value.len();
        2 * length + 2 <= self.max_header_line || line_len(name, value) <= self.max_header_line
    }

    fn check_reply_to(&self, delivery: &Delivery) -> Result<(), Reason> {
        match delivery.reply_to() {
            Some(reply_to) if !delivery.one_way => {
                // Both go back as they came, and must fit.
                let correlation = delivery.correlation().unwrap_or_default();
                if !self.fits(b"destination", reply_to) || !self.fits(b"correlation-id", correlation) {
                    return Err(Reason::Unanswerable);
                }
                Ok(reply_to::check(reply_to, &self.allow_reply_to, &self.consumed)?)
            }
            // Nobody is answered, so that the wish does not matter.
            _ => Ok(()),
        }
    }

    /// What the message's headers say of the request.
    fn parts(&self, frame: &Frame, metadata: &Metadata<'_>, delivery: &Delivery) -> Result<Parts, Reason> {
        let method = method(metadata, delivery, !frame.body.is_empty())?;
        let target = match metadata.url(&frame.headers) {
            None => self.default_target(delivery, None)?,
            Some(url) => self.target(&url, delivery, &method)?,
        };
        let fields = Fields::read(&metadata.others, target.host.as_deref(), self.strict_headers)?;
        Ok(Parts { method, target, fields, raw_headers: Headers::default(), body: frame.body.clone() })
    }

    /// What its body says, where that is a request of its own.
    fn whole(&self, frame: &Frame, media_type: &[u8], delivery: &Delivery) -> Result<Parts, Reason> {
        let Whole { method, target, headers, body } = structured::read(frame, media_type)?;
        let method = checked(method.as_bytes())?;
        let target = self.target(&target, delivery, &method)?;
        let fields = Fields::whole(&headers, target.host.as_deref(), self.strict_headers)?;
        Ok(Parts { method, target, fields, raw_headers: headers, body })
    }

    fn target(&self, url: &Bytes, delivery: &Delivery, method: &str) -> Result<Target, InvalidTarget> {
        let target = match target::parse(url)? {
            Parsed::Destination { query } => return self.default_target(delivery, Some(query)),
            Parsed::Target(target) => target,
        };
        if target.target == "*"[..] && method != "OPTIONS" {
            // Asterisk form is for OPTIONS alone (RFC 9112 section 3.2.4).
            return Ok(Target { target: Bytes::from_static(b"/*"), path: b"/*".to_vec(), ..target });
        }
        Ok(target)
    }

    /// The configured path, with what the message and `query` add to it.
    fn default_target(&self, delivery: &Delivery, query: Option<Bytes>) -> Result<Target, InvalidTarget> {
        let mut url = Bytes::copy_from_slice(self.default_path.as_bytes());
        if self.default_path.contains('{') {
            let destination = delivery.destination();
            let destination = destination.strip_prefix(b"/").unwrap_or(destination);
            let kind =
                delivery.headers().get("type").or_else(|| delivery.headers().get("JMSType")).unwrap_or(b"");
            // A type is one segment, a destination as many as it has.
            let destination = target::encoded(destination, |byte| b"/:@!$'()*,;=&+".contains(&byte));
            let kind = target::encoded(kind, |byte| b":@!$'()*,;=&+".contains(&byte));
            url = fill(&self.default_path, &destination, &kind).into();
        }
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            url = target::with_query(&url, &query);
        }
        match target::parse(&url)? {
            Parsed::Target(target) => Ok(target),
            Parsed::Destination { .. } => Err(InvalidTarget::Scheme),
        }
    }
}

/// Who the broker says it was. Where there are two of that header one is the sender's, and no order of them is certain.
fn vouched(headers: &Headers, name: &str) -> Option<Bytes> {
    if headers.iter().filter(|(known, _)| *known == name.as_bytes()).count() > 1 {
        tracing::warn!(header = name, "a message names its user more than once; nobody is believed");
        return None;
    }
    headers.bytes(name).filter(|user| !user.is_empty())
}

/// Whether an empty body may not be all that its sender gave: a JMS client's, of a method that may have one, without a
/// word that it is meant to be empty. ActiveMQ says `content-length:0` of an empty BytesMessage; any other length of an
/// empty body is a property of that name, and proves nothing.
fn lacks_its_body(request: &Request, jms: Jms) -> bool {
    let delivery = &request.delivery;
    !delivery.structured
        && !matches!(&*request.method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT")
        && jms.may_withhold(delivery.headers())
        && !delivery.headers().iter().any(|(name, value)| {
            let decoded = camel_decoded(name);
            same_key(decoded.as_deref().unwrap_or(name), b"content-length") && value == b"0"
        })
}

struct Parts {
    method: String,
    target: Target,
    fields: Fields,
    raw_headers: Headers,
    body: Bytes,
}

/// Fills the template in one pass, so that what is filled in is not taken for a placeholder.
fn fill(template: &str, destination: &str, kind: &str) -> String {
    let mut filled = String::with_capacity(template.len() + destination.len() + kind.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let (text, taken) = if rest.starts_with("{destination}") {
            (destination, "{destination}".len())
        } else if rest.starts_with("{type}") {
            (kind, "{type}".len())
        } else {
            ("{", 1)
        };
        filled.push_str(text);
        rest = &rest[taken..];
    }
    filled + rest
}

fn method(metadata: &Metadata<'_>, delivery: &Delivery, body: bool) -> Result<String, Reason> {
    match metadata.method() {
        Some(method) => checked(method),
        None if delivery.one_way => Ok("NOTIFY".to_owned()),
        None if body || !metadata.has_url() => Ok("POST".to_owned()),
        None => Ok("GET".to_owned()),
    }
}

fn checked(method: &[u8]) -> Result<String, Reason> {
    /// The longest registered one has 17 characters (IANA HTTP Method Registry).
    const LONGEST: usize = 32;
    if method.len() > LONGEST || !is_token(method) {
        return Err(Reason::Method);
    }
    String::from_utf8(method.to_vec()).map_err(|_| Reason::Method)
}
