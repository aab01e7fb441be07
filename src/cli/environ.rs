//! `stomp-wsgi environ`: what an application would get of a message, without a broker and an application.

use clap::Args;

use super::{call::Content, parse_destination, serve::EnvironArgs};
use crate::config::DEFAULT_DESTINATION;

#[derive(Debug, Args)]
pub(super) struct Environ {
    /// GET, POST, ..., NOTIFY; without it the message is no HTTP request
    method: Option<String>,
    /// Path and query, or a whole URL
    #[arg(requires = "method")]
    url: Option<String>,
    #[command(flatten)]
    content: Content,
    /// Where the message would come from
    #[arg(long, value_name = "DEST", default_value = DEFAULT_DESTINATION, value_parser = parse_destination)]
    destination: String,
    /// Take the message from a file, or - for standard input: a SEND or MESSAGE frame as it was captured
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["method", "headers", "data", "destination"])]
    frame: Option<String>,
    #[command(flatten)]
    environ: EnvironArgs,
}

#[cfg(not(feature = "python"))]
impl Environ {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("this build has no Python, and so no environ (feature `python`)")
    }
}

#[cfg(feature = "python")]
mod with_python {
    use std::io::{self, Write};

    use anyhow::{Context, ensure};

    use super::Environ;
    use crate::{
        app::wsgi::{Setup, Wsgi},
        cli::{call, serve::not_started},
        http::Mapping,
        stomp::{Command, Encoder, Frame, Limits, Parser, Version},
    };

    /// Where a reply would go: a message without such a header is one-way.
    const REPLY_TO: &str = "/temp-queue/replies";

    impl Environ {
        pub(in crate::cli) fn run(&self) -> anyhow::Result<()> {
            let frame = match &self.frame {
                Some(file) => captured(call::read(file)?, self.environ.limits())?,
                None => self.message()?,
            };
            let mut mapping = Mapping::default();
            self.environ.mapping(&mut mapping);
            let request = mapping.request(&frame, &"127.0.0.1:61613".into(), 1)?;

            let interpreter = Setup::new().start().map_err(not_started)?;
            let config = self.environ.config().multithread(true);
            // Nobody calls it.
            let app = Wsgi::from_source("stomp_wsgi_environ", "app = dict", "app", &config)?;
            let mut variables = app.environ(&request)?;
            interpreter.finalize();
            variables.sort();
            let mut out = io::stdout().lock();
            let mut lines = variables.into_iter();
            match lines.try_for_each(|(name, value)| writeln!(out, "{name} = {value}")) {
                // The reader of a pipe that has seen enough is no failure.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(()),
            }
        }

        /// The message that `stomp-wsgi call` would send, or one with these headers and no more.
        fn message(&self) -> anyhow::Result<Frame> {
            let mut bytes = Vec::new();
            let mut frame = Encoder::new(&mut bytes, Version::V1_2, Command::Message);
            // First, since the first header of a name counts: these may replace what follows.
            for (name, value) in &self.content.headers {
                let name = if name.eq_ignore_ascii_case("content-type") { "content-type" } else { name };
                frame = frame.header(name, value);
            }
            frame = frame
                .header("destination", &self.destination)
                .header("message-id", "1")
                .header("subscription", "0");
            if let Some(method) = &self.method {
                frame = frame
                    .header("http_requestMethod", method)
                    .header("http_requestUrl", self.url.as_deref().unwrap_or("/"));
                if !method.eq_ignore_ascii_case("NOTIFY") {
                    frame = frame.header("reply-to", REPLY_TO).header("correlation-id", "0");
                }
            }
            frame.body(&self.content.body()?);
            parsed(&bytes, self.environ.limits())
        }
    }

    /// A frame from a log or from a network capture: its last octet, a NUL, may be missing or be written `^@`.
    fn captured(mut bytes: Vec<u8>, limits: Limits) -> anyhow::Result<Frame> {
        let trimmed = bytes.trim_ascii_end();
        if let Some(shown) = trimmed.strip_suffix(b"^@") {
            bytes.truncate(shown.len());
        }
        bytes.push(0);
        let frame = parsed(&bytes, limits).context("--frame holds no frame")?;
        ensure!(
            matches!(frame.command, Command::Send | Command::Message),
            "--frame holds {}; only SEND and MESSAGE carry requests",
            frame.command.as_str()
        );
        Ok(frame)
    }

    fn parsed(bytes: &[u8], limits: Limits) -> anyhow::Result<Frame> {
        let mut parser = Parser::new(limits);
        parser.cut_long_messages(true);
        parser.feed(bytes);
        parser.next_frame()?.context("it ends before its content-length")
    }
}
