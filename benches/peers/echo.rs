//! The two ends of the comparison on a broker (`peers.py`): an echo without Python, and the load.
//!
//! `peers-echo serve HOST:PORT QUEUE` answers each request with its own body: reply, RECEIPT, ACK, as `stomp-wsgi serve`.
//! `peers-echo load HOST:PORT QUEUE IN_FLIGHT SECONDS` sends the next request for each reply, and prints what came of it as JSON.

use std::{
    env,
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use stomp_wsgi::stomp::{Command, Encoder, Frame, Limits, Parser, Version};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What every application of the comparison answers, so that one check does for all.
const BODY: &[u8] = b"Hello World\n";
const REPLIES: &str = "/temp-queue/replies";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", broker, queue] => serve(Connection::open(broker)?, queue),
        ["load", broker, queue, in_flight, seconds] => {
            let seconds = Duration::from_secs_f64(seconds.parse()?);
            load(Connection::open(broker)?, queue, in_flight.parse()?, seconds)
        }
        _ => Err("usage: peers-echo serve HOST:PORT QUEUE | load HOST:PORT QUEUE IN_FLIGHT SECONDS".into()),
    }
}

fn serve(mut connection: Connection, queue: &str) -> Result<()> {
    connection
        .frame(Command::Subscribe)
        .header("id", "0")
        .header("destination", queue)
        .header("ack", "client-individual")
        .finish();
    loop {
        for frame in connection.exchange()? {
            let header = |name| frame.headers.get(name).ok_or_else(|| format!("no {name} in {frame:?}"));
            match frame.command {
                // With the headers of a reply, each of which costs the broker something. The receipt is named after what
                // it allows to acknowledge.
                Command::Message => connection
                    .frame(Command::Send)
                    .header("destination", header("reply-to")?)
                    .header("correlation-id", header("correlation-id")?)
                    .header("http_statusCode", "200")
                    .header("http_reasonPhrase", "OK")
                    .header("http_isError", "false")
                    .header("content-type", "text/plain")
                    .header("receipt", header("ack")?)
                    .body(&frame.body),
                Command::Receipt => {
                    connection.frame(Command::Ack).header("id", header("receipt-id")?).finish();
                }
                _ => return Err(format!("{frame:?}").into()),
            }
        }
    }
}

fn load(mut connection: Connection, queue: &str, in_flight: usize, duration: Duration) -> Result<()> {
    connection
        .frame(Command::Subscribe)
        .header("id", "0")
        .header("destination", REPLIES)
        .header("ack", "auto")
        .finish();
    let start = Instant::now();
    let mut sent = vec![start; in_flight];
    let mut latencies = Vec::new();
    let mut waiting = in_flight;
    (0..in_flight).for_each(|slot| connection.request(queue, slot));
    while waiting > 0 {
        for frame in connection.exchange()? {
            let header = |name| frame.headers.text(name).unwrap_or_default();
            if frame.command != Command::Message || header("http_statusCode") != "200" || frame.body != BODY {
                return Err(format!("not the reply that was expected: {frame:?}").into());
            }
            let (slot, now): (usize, _) = (header("correlation-id").parse()?, Instant::now());
            let sent = sent.get_mut(slot).ok_or("a correlation-id that was never sent")?;
            latencies.push(now - *sent);
            if start.elapsed() < duration {
                *sent = now;
                connection.request(queue, slot);
            } else {
                waiting -= 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!(
        r#"{{"requests": {}, "seconds": {seconds:.6}, "p50_us": {:.1}, "p99_us": {:.1}}}"#,
        latencies.len(),
        percentile(50),
        percentile(99)
    );
    Ok(())
}

/// One socket that blocks. What is to be sent is collected, and leaves with one write before the next read.
struct Connection {
    socket: TcpStream,
    parser: Parser,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(broker: &str) -> Result<Self> {
        let socket = TcpStream::connect(broker)?;
        socket.set_nodelay(true)?;
        let parser = Parser::new(Limits::default());
        let mut connection = Self { socket, parser, out: Vec::new(), buffer: vec![0; 64 << 10] };
        connection
            .frame(Command::Connect)
            .header("accept-version", "1.2")
            .header("host", "/")
            .header("login", "guest")
            .header("passcode", "guest")
            .finish();
        match &connection.exchange()?[..] {
            [frame] if frame.command == Command::Connected => {}
            other => return Err(format!("no CONNECTED but {other:?}").into()),
        }
        connection.parser.set_version(Version::V1_2);
        Ok(connection)
    }

    fn frame(&mut self, command: Command) -> Encoder<'_> {
        Encoder::new(&mut self.out, Version::V1_2, command)
    }

    fn request(&mut self, queue: &str, slot: usize) {
        self.frame(Command::Send)
            .header("destination", queue)
            .header("reply-to", REPLIES)
            .number("correlation-id", slot as u64)
            .header("persistent", "false")
            .header("http_requestMethod", "POST")
            .header("http_requestUrl", "/")
            .body(BODY);
    }

    /// Sends what was collected, and waits for the next frames.
    fn exchange(&mut self) -> Result<Vec<Frame>> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        loop {
            let mut frames = Vec::new();
            while let Some(frame) = self.parser.next_frame()? {
                frames.push(frame);
            }
            if !frames.is_empty() {
                return Ok(frames);
            }
            match self.socket.read(&mut self.buffer)? {
                0 => return Err("the broker closed the connection".into()),
                n => self.parser.feed(&self.buffer[..n]),
            }
        }
    }
}
