//! The demo's pages: what was seen, readable in a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    time::Instant,
};

use super::tap::Seen;
use crate::{
    client::{Call, Part},
    stomp::Frame,
};

/// Prints to standard output, in colour where that is a terminal (and `NO_COLOR` is not set).
pub(super) struct Show {
    colour: bool,
    reactor: String,
}

#[derive(Clone, Copy)]
enum Ink {
    Title = 1,
    Note = 2,
    In = 36,
    Python = 33,
    Out = 32,
}

impl Show {
    pub(super) fn new(reactor: &str) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, reactor: reactor.to_owned() }
    }

    /// How the server connected and subscribed.
    pub(super) fn connection(&self, seen: &[(Instant, Seen)]) -> io::Result<()> {
        self.title(&format!("0. the server connects and subscribes (reactor {})", self.reactor))?;
        for (_, seen) in seen {
            match seen {
                Seen::In(frame) => self.frame(Ink::In, "frame from the broker", frame)?,
                Seen::Out(frame) => self.frame(Ink::Out, "frame to the broker", frame)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// One conversation from the request's frame to its ACK.
    pub(super) fn conversation(
        &self,
        title: &str,
        call: &Call,
        seen: &[(Instant, Seen)],
        parts: &[Part],
    ) -> io::Result<()> {
        let verb = if call.one_way { "notify".to_owned() } else { format!("call {}", call.method) };
        self.title(title)?;
        self.line(Ink::Note, &format!("$ stomp-wsgi {verb} '{}'", call.target))?;
        let begun = seen.first().map(|(at, _)| *at);
        for (at, seen) in seen {
            let millis = begun.map_or(0, |begun| at.duration_since(begun).as_millis());
            let at = |text: &str| format!("{text}  (+{millis} ms)");
            match seen {
                Seen::In(frame) => self.frame(Ink::In, &at("the frame off the wire"), frame)?,
                Seen::Environ(environ) => {
                    self.heading(Ink::Python, &at("environ, as the application gets it"))?;
                    let width = environ.iter().map(|(name, _)| name.len()).max().unwrap_or(0).min(24);
                    for (name, value) in environ {
                        self.line(Ink::Python, &format!("    {name:<width$} = {value}"))?;
                    }
                }
                Seen::Start(head) => {
                    let reason = String::from_utf8_lossy(&head.status.reason);
                    self.heading(Ink::Python, &at("start_response got"))?;
                    self.line(Ink::Python, &format!("    '{} {reason}'", head.status.code))?;
                    for (name, value) in &head.headers {
                        self.line(Ink::Python, &format!("    {}: {}", Shown(name), Shown(value)))?;
                    }
                }
                Seen::Block(block) => {
                    self.heading(Ink::Python, &at("a block of the body"))?;
                    self.line(Ink::Python, &format!("    b'{}'", Shown(block)))?;
                }
                Seen::Returned(Ok(())) => self.heading(Ink::Python, &at("the application is done"))?,
                Seen::Returned(Err(error)) => {
                    self.heading(Ink::Python, &at(&format!("the application failed: {error}")))?;
                }
                Seen::Out(frame) => self.frame(Ink::Out, &at("a frame sent back"), frame)?,
            }
        }
        if call.one_way {
            return self.line(Ink::Title, "  the requester: the broker has it; nobody waits for an answer");
        }
        let mut got = String::new();
        for part in parts {
            let _ = write!(got, " {:?}", String::from_utf8_lossy(&part.body));
        }
        let status = parts.first().and_then(|part| part.status.clone()).unwrap_or_default();
        self.line(Ink::Title, &format!("  the requester got {} {}:{got}", status.0, status.1))
    }

    pub(super) fn end(&self) -> io::Result<()> {
        self.title("four conversations, no web")
    }

    fn title(&self, text: &str) -> io::Result<()> {
        self.line(Ink::Title, &format!("\n== {text} =="))
    }

    fn heading(&self, ink: Ink, text: &str) -> io::Result<()> {
        self.line(ink, &format!("  -- {text}"))
    }

    fn frame(&self, ink: Ink, what: &str, frame: &Frame) -> io::Result<()> {
        self.heading(ink, what)?;
        self.line(ink, &format!("    {}", frame.command.as_str()))?;
        for (name, value) in frame.headers.iter() {
            self.line(ink, &format!("    {}:{}", Shown(name), Shown(value)))?;
        }
        self.line(ink, &format!("\n    {}^@", Shown(&frame.body)))
    }

    fn line(&self, ink: Ink, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.colour { writeln!(out, "\x1b[{}m{text}\x1b[0m", ink as u8) } else { writeln!(out, "{text}") }
    }
}

/// Octets as text, with control characters escaped.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0).chars().try_for_each(|char| {
            if char.is_control() { write!(f, "{}", char.escape_default()) } else { f.write_char(char) }
        })
    }
}
