//! The demo's pages: what was seen, readable in a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    time::Instant,
};

use super::tap::Seen;
use crate::{
    client::{Call, Part},
    stomp::{Command, Frame},
};

/// Prints to standard output, in colour where that is a terminal (and `NO_COLOR` is not set).
pub(super) struct Show {
    colour: bool,
    /// The environ before this one: most of it does not change.
    environ: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
enum Ink {
    Bold = 1,
    Plain = 0,
    Out = 32,
    Python = 33,
    In = 36,
}

impl Show {
    pub(super) fn new() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, environ: Vec::new() }
    }

    /// What is to come, and how the server connected and subscribed.
    pub(super) fn connection(&self, reactor: &str, seen: &[(Instant, Seen)]) -> io::Result<()> {
        self.line(
            Ink::Plain,
            "The life of four WSGI requests that never meet the Web: a Flask application, served",
        )?;
        self.line(Ink::Plain, &format!("from a queue of the embedded broker (reactor {reactor})."))?;
        self.title("0. the server connects and subscribes")?;
        for (_, seen) in seen {
            match seen {
                Seen::In(frame) => self.frame(Ink::In, "", frame)?,
                Seen::Out(frame) => self.frame(Ink::Out, "", frame)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// One conversation from the request's frame to its ACK.
    pub(super) fn conversation(
        &mut self,
        title: &str,
        call: &Call,
        seen: Vec<(Instant, Seen)>,
        parts: &[Part],
    ) -> io::Result<()> {
        self.title(title)?;
        self.line(Ink::Bold, &format!("$ {}", command_line(call)))?;
        let begun = seen.first().map(|(at, _)| *at);
        for (at, seen) in seen {
            let millis = begun.map_or(0, |begun| at.duration_since(begun).as_millis());
            let at = format!("  (+{millis} ms)");
            match seen {
                Seen::In(frame) => self.frame(Ink::In, &at, &frame)?,
                Seen::Environ(environ) => self.environ(&at, environ)?,
                Seen::Start(head) => {
                    let reason = String::from_utf8_lossy(&head.status.reason);
                    self.heading(Ink::Python, &format!("start_response got{at}"))?;
                    self.line(Ink::Plain, &format!("    '{} {reason}'", head.status.code))?;
                    for (name, value) in &head.headers {
                        self.line(Ink::Plain, &format!("    {}: {}", Shown(name), Shown(value)))?;
                    }
                }
                Seen::Block(block) => {
                    self.heading(Ink::Python, &format!("the application yields a block{at}"))?;
                    self.line(Ink::Plain, &format!("    b'{}'", Shown(&block)))?;
                }
                Seen::Returned(Ok(())) => {
                    self.heading(Ink::Python, &format!("the application is done{at}"))?
                }
                Seen::Returned(Err(error)) => {
                    self.heading(Ink::Python, &format!("the application failed: {error}{at}"))?;
                }
                Seen::Out(frame) => self.frame(Ink::Out, &at, &frame)?,
            }
        }
        if call.one_way {
            return self.line(Ink::Bold, "=> the requester: the broker has it; nobody waits for an answer");
        }
        let (code, reason) = parts.first().and_then(|part| part.status.clone()).unwrap_or_default();
        let mut got = format!("=> the requester got {code} {reason}");
        for part in parts.iter().filter(|part| !part.body.is_empty()) {
            let _ = write!(got, " | {}", Shown(&part.body));
        }
        self.line(Ink::Bold, &got)
    }

    pub(super) fn end(&self) -> io::Result<()> {
        self.title("four conversations, no web")
    }

    /// All of the first, and what is new or different in those that follow.
    fn environ(&mut self, at: &str, environ: Vec<(String, String)>) -> io::Result<()> {
        self.heading(Ink::Python, &format!("environ, as the application gets it{at}"))?;
        let mut same = 0;
        for (name, value) in &environ {
            if self.environ.contains(&(name.clone(), value.clone())) {
                same += 1;
                continue;
            }
            let mut line = format!("    {name:<21} = {value}");
            if line.chars().count() > WIDTH {
                line = line.chars().take(WIDTH - 3).chain("...".chars()).collect();
            }
            self.line(Ink::Plain, &line)?;
        }
        if same > 0 {
            self.line(Ink::Plain, &format!("    ({same} more, as before)"))?;
        }
        self.environ = environ;
        Ok(())
    }

    fn title(&self, text: &str) -> io::Result<()> {
        self.line(Ink::Plain, "")?;
        self.line(Ink::Bold, &format!("== {text} =="))
    }

    fn heading(&self, ink: Ink, text: &str) -> io::Result<()> {
        self.line(ink, &format!("  -- {text}"))
    }

    fn frame(&self, ink: Ink, at: &str, frame: &Frame) -> io::Result<()> {
        let way = if matches!(ink, Ink::In) { "off the wire" } else { "onto the wire" };
        let meaning = match frame.command {
            Command::Receipt if at.is_empty() => ": subscribed",
            Command::Receipt => ": the broker has the reply",
            Command::Ack => ": only now the request is done",
            _ => "",
        };
        self.heading(ink, &format!("a frame {way}{meaning}{at}"))?;
        self.line(ink, &format!("    {}", frame.command.as_str()))?;
        for (name, value) in frame.headers.iter() {
            self.line(Ink::Plain, &format!("    {}:{}", Shown(name), Shown(value)))?;
        }
        if !frame.body.is_empty() {
            self.line(Ink::Plain, "")?;
            self.line(Ink::Plain, &format!("    {}", Shown(&frame.body)))?;
        }
        Ok(())
    }

    fn line(&self, ink: Ink, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.colour && !matches!(ink, Ink::Plain) {
            writeln!(out, "\x1b[{}m{text}\x1b[0m", ink as u8)
        } else {
            writeln!(out, "{text}")
        }
    }
}

/// Of a terminal.
const WIDTH: usize = 100;

/// What one would type to make this call.
fn command_line(call: &Call) -> String {
    let mut line = "stomp-wsgi ".to_owned();
    line.push_str(if call.one_way { "notify" } else { "call" });
    if call.stream {
        line.push_str(" --stream");
    }
    for (name, value) in &call.headers {
        let _ = write!(line, " -H '{name}: {value}'");
    }
    if !call.body.is_empty() {
        let _ = write!(line, " -d '{}'", Shown(&call.body));
    }
    if !call.one_way {
        let _ = write!(line, " {}", call.method);
    }
    line + " " + &call.target
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
