//! Broker URIs: any text, and reconnecting as it says.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stomp_wsgi::app::{AppError, Reply};
use stomp_wsgi::config::Config;
use stomp_wsgi::dispatcher::Dispatcher;
use stomp_wsgi::http::Request;
use stomp_wsgi::reactors::{Action, Input, Link, Reactor, Stop};
use stomp_wsgi::uri::Brokers;

/// Where the input has this for a password, nobody may see it.
const SECRET: &str = "hush";

/// A URI.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let brokers: Brokers = match text.parse() {
        Ok(brokers) => brokers,
        Err(error) => {
            let error = error.to_string();
            let password = text.contains('@') && text.contains(SECRET);
            assert!(!password || !error.contains(SECRET), "{error}");
            return;
        }
    };
    assert!(!brokers.addresses.is_empty());
    for address in &brokers.addresses {
        assert!(!address.host.is_empty() && address.port != 0, "{address}");
        let secret = address.passcode.as_deref() == Some(SECRET) && !address.host.contains(SECRET);
        assert!(!secret || !format!("{address} {address:?}").contains(SECRET), "{address:?}");
    }
    fastrand::seed(7);
    let app = |_: &Request, _: &mut dyn Reply| Err(AppError("never called".to_owned()));
    // Given up after as many attempts as the URI says: that is an error, and no panic.
    let _ = Dispatcher::new(Config::new(brokers), Arc::new(app), Down).run(&Stop::new());
}

/// No broker can be reached.
struct Down;

impl Reactor for Down {
    fn name(&self) -> &'static str {
        "down"
    }

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn run(&self, links: Vec<Box<dyn Link>>, _: &Stop) -> io::Result<()> {
        for mut link in links {
            let mut now = Instant::now();
            for _ in 0..300 {
                match link.poll() {
                    Action::Connect { .. } => {
                        link.handle(now, Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
                    }
                    Action::Wait { until, .. } => {
                        let at = until.expect("without a connection there is a time for the next attempt");
                        assert!(
                            at >= now + Duration::from_millis(5),
                            "rounds over the list have a pause between"
                        );
                        now = at;
                        link.handle(now, Input::Timer);
                    }
                    Action::Finished => break,
                    other => panic!("nothing to do for {other:?}"),
                }
            }
        }
        Ok(())
    }
}
