//! The mapping as a whole: frames in, frames out.
mod jms;
mod letters;
mod properties;
mod replies;
mod requests;
mod structured;

use std::sync::Arc;

use super::*;
use crate::app::{AppError, Flow, Reply};
use crate::link::Dialect;
use crate::stomp::{Command, Frame, Limits, Parser, Version};

type Pair<'a> = (&'a str, &'a str);

/// A MESSAGE with a destination, a subscription and an id, before what is given.
fn message(headers: &[Pair<'_>], body: &str) -> Frame {
    let delivered = [("destination", "/queue/in"), ("subscription", "s1"), ("message-id", "m-1")];
    let own = |name: &str| headers.iter().any(|(known, _)| *known == name);
    let headers = delivered.iter().filter(|(name, _)| !own(name)).chain(headers);
    Frame {
        command: Command::Message,
        headers: headers.copied().collect(),
        body: body.as_bytes().to_vec().into(),
        cut: None,
    }
}

/// The same with a reply-to.
fn call(headers: &[Pair<'_>], body: &str) -> Frame {
    message(&[&[("reply-to", "/temp-queue/me")], headers].concat(), body)
}

fn map(mapping: &Mapping, frame: &Frame) -> Result<Request, Rejected> {
    mapping.request(frame, &Arc::from("broker:61613"), 1)
}

fn request(frame: &Frame) -> Request {
    map(&Mapping::default(), frame).expect("a message that can be a request")
}

fn headers(request: &Request) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    request.headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn head(code: u16, headers: &[Pair<'_>]) -> Head {
    let mut head = Head::new(Status::of(code));
    for (name, value) in headers {
        head.header(name.as_bytes(), value.as_bytes()).expect("a header that may be sent");
    }
    head
}

/// All that was sent for a reply.
struct Sent {
    parts: Vec<Frame>,
    last: Option<Frame>,
    finished: Finished,
}

impl Sent {
    fn only(&self) -> &Frame {
        assert!(self.parts.is_empty(), "one message was expected");
        self.last.as_ref().expect("a reply")
    }
}

/// Lets `app` answer.
fn reply_with(
    mapping: &Mapping,
    request: &Request,
    app: impl FnOnce(&mut dyn Reply) -> Result<(), AppError>,
) -> Sent {
    let mut parts = Vec::new();
    let mut more = |bytes: Vec<u8>| parts.push(one_frame(Version::V1_2, &bytes));
    let mut responder = Responder::new(Version::V1_2, mapping, request, "r-1", &mut more);
    let result = app(&mut responder);
    let finished = responder.finish(result);
    let last = (!finished.bytes.is_empty()).then(|| one_frame(Version::V1_2, &finished.bytes));
    Sent { parts, last, finished }
}

/// Answers with a head and blocks, as an application does.
fn reply(request: &Request, head: Head, blocks: &[&str]) -> Sent {
    reply_with(&Mapping::default(), request, |reply| {
        reply.start(head);
        for block in blocks {
            let _: Flow = reply.block(block.as_bytes());
        }
        Ok(())
    })
}

/// Decodes what must be exactly one frame.
fn one_frame(version: Version, bytes: &[u8]) -> Frame {
    let mut parser = Parser::new(Limits { header_line: 1 << 20, head: 1 << 24, ..Limits::default() });
    parser.set_version(version);
    parser.feed(bytes);
    let frame = parser.next_frame().expect("a valid frame").expect("a whole frame");
    assert_eq!(parser.next_frame(), Ok(None), "one frame and no more");
    assert_eq!(parser.buffered(), 0, "nothing after the frame");
    frame
}

fn has(frame: &Frame, name: &str) -> bool {
    frame.headers.get(name).is_some()
}
