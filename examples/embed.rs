//! A service in a queue, in Rust: no Python, no command line.
//!
//! ```sh
//! stomp-wsgi broker                                  # or any STOMP broker on 127.0.0.1:61613
//! cargo run --example embed -- stomp://127.0.0.1:61613
//! stomp-wsgi call GET /greet -H 'X-Name: Ann'        # in another terminal
//! ```

use std::{num::NonZeroUsize, sync::Arc};

use stomp_wsgi::{
    app::{AppError, Reply},
    config::Config,
    dispatcher::Dispatcher,
    http::{Head, Request, Status},
    reactors::Stop,
    select,
};

fn greet(request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
    let name = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"x-name"));
    let name = name.map_or("you".into(), |(_, value)| String::from_utf8_lossy(value));
    reply.start(Head::new(Status::of(200)));
    // One block is all there is, so it does not matter whether more is wanted.
    let _ = reply.block(format!("Hello, {name}, from {}\n", request.delivery.broker).as_bytes());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::args().nth(1).unwrap_or_else(|| "stomp://127.0.0.1:61613".to_owned());
    let model = select::default_model().ok_or("build with a reactor: --features reactor-thread-pool")?;
    let reactor = select::reactor(model.name, NonZeroUsize::MIN.saturating_add(3))?;
    let config = Config::new(uri.parse()?).destinations(["/queue/wsgi"])?;
    println!("serving /queue/wsgi at {uri} on {}; Ctrl-C ends it", model.name);
    // Whoever has a clone of `stop` can end it in good order.
    let stop = Stop::new();
    Dispatcher::new(config, Arc::new(greet), reactor).run(&stop)?;
    Ok(())
}
