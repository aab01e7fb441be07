//! The whole pipeline over sockets, without Python: broker, link, service, each reactor, and the caller.
#![cfg(all(
    feature = "broker",
    any(
        feature = "reactor-thread-pool",
        feature = "reactor-tokio",
        feature = "reactor-mio",
        feature = "reactor-async-std"
    )
))]

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use stomp_wsgi::{
    app::{AppError, Flow, Reply},
    broker::{BrokerConfig, BrokerHandle, BrokerServer},
    client::{Call, CallError, Caller, CallerConfig, Part, Workload},
    config::Config,
    dispatcher::{Dispatcher, RunError},
    http::{Head, Request, Status},
    reactors::{Reactor, Stop},
    select,
};

const PATIENCE: Duration = Duration::from_secs(30);
const QUEUE: &str = "/queue/wsgi";

/// What the tests' application does, by path.
fn app(request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
    let ok = || Head::new(Status::of(200));
    match &request.path[..] {
        b"/echo" => {
            reply.start(ok());
            let _ = reply.block(&request.body);
        }
        b"/blocks" => {
            reply.start(ok());
            for n in 0..5 {
                assert_eq!(reply.block(format!("block {n}").as_bytes()), Flow::Continue);
            }
        }
        b"/fail" => return Err(AppError("as asked".to_owned())),
        b"/panic" => panic!("as asked"),
        b"/gone" => reply.start(Head::new(Status::of(410))),
        _ => reply.start(Head::new(Status::of(404))),
    }
    Ok(())
}

fn broker() -> BrokerHandle {
    BrokerServer::bind(([127, 0, 0, 1], 0).into(), BrokerConfig::default()).unwrap().spawn().unwrap()
}

type AnyDispatcher = Dispatcher<Box<dyn Reactor + Send>>;

/// A server that runs until it is told to stop.
struct Server {
    stop: Stop,
    thread: thread::JoinHandle<Result<(), RunError>>,
}

impl Server {
    fn start(reactor: &'static str, port: u16, app: impl stomp_wsgi::app::Application + 'static) -> Self {
        Self::with(reactor, port, app, |dispatcher| dispatcher, |_| {})
    }

    fn with(
        reactor: &'static str,
        port: u16,
        app: impl stomp_wsgi::app::Application + 'static,
        mount: impl FnOnce(AnyDispatcher) -> AnyDispatcher + Send + 'static,
        change: impl FnOnce(&mut Config) + Send + 'static,
    ) -> Self {
        let stop = Stop::new();
        let stopping = stop.clone();
        let thread = thread::spawn(move || {
            let uri =
                format!("failover:(stomp://127.0.0.1:{port})?initialReconnectDelay=20&maxReconnectDelay=100");
            let mut config = Config::new(uri.parse().unwrap()).destinations([QUEUE]).unwrap();
            config.retry_delay = Duration::from_millis(10);
            config.policy.max_attempts = 3;
            change(&mut config);
            let reactor = select::reactor(reactor, NonZeroUsize::new(4).unwrap()).unwrap();
            mount(Dispatcher::new(config, Arc::new(app), reactor)).run(&stopping)
        });
        Self { stop, thread }
    }

    fn end(self) -> Result<(), RunError> {
        self.stop.stop();
        self.thread.join().unwrap()
    }
}

/// What became of the calls of one workload.
#[derive(Default)]
struct Outcome {
    parts: BTreeMap<u64, Vec<Part>>,
    done: BTreeMap<u64, Result<(), CallError>>,
}

struct Calls {
    calls: Vec<Call>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Workload for Calls {
    fn next(&mut self) -> Option<Call> {
        if self.calls.is_empty() { None } else { Some(self.calls.remove(0)) }
    }
    fn part(&mut self, call: u64, part: Part) {
        self.outcome.lock().unwrap().parts.entry(call).or_default().push(part);
    }
    fn done(&mut self, call: u64, result: Result<(), CallError>) {
        assert!(self.outcome.lock().unwrap().done.insert(call, result).is_none(), "done twice");
    }
}

fn carry(reactor: &str, port: u16, in_flight: usize, calls: Vec<Call>) -> Outcome {
    carry_to(reactor, port, in_flight, calls, QUEUE)
}

fn carry_to(reactor: &str, port: u16, in_flight: usize, calls: Vec<Call>, to: &str) -> Outcome {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let mut config = CallerConfig::new(format!("stomp://127.0.0.1:{port}").parse().unwrap(), to);
    config.in_flight = in_flight;
    config.timeout = PATIENCE;
    let link = Caller::new(
        config,
        Calls { calls, outcome: Arc::clone(&outcome) },
        (Instant::now(), SystemTime::now()),
    );
    let reactor = select::reactor(reactor, NonZeroUsize::MIN).unwrap();
    reactor.run(vec![Box::new(link)], &Stop::new()).unwrap();
    std::mem::take(&mut outcome.lock().unwrap())
}

fn call(method: &str, target: &str, body: impl Into<bytes::Bytes>) -> Call {
    let (method, target, body) = (method.to_owned(), target.to_owned(), body.into());
    Call { method, target, body, ..Call::default() }
}

fn notify(target: &str) -> Call {
    Call { one_way: true, ..call("NOTIFY", target, "n") }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_empty(broker: &BrokerHandle, destination: &str) -> bool {
    let depth = broker.depth(destination);
    depth.waiting == 0 && depth.unacknowledged == 0
}

fn every_request_is_answered_once(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let server = Server::start(reactor, port, app);
    let calls = (0..2000).map(|n| call("POST", "/echo", format!("body {n}"))).collect();
    let outcome = carry(reactor, port, 32, calls);
    assert_eq!(outcome.done.len(), 2000);
    for (n, parts) in &outcome.parts {
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].status, Some((200, "OK".to_owned())));
        assert_eq!(parts[0].body, format!("body {n}"));
    }
    assert_eq!(outcome.parts.len(), 2000);
    wait_until("everything acknowledged", || is_empty(&broker, QUEUE));
    server.end().unwrap();
}

fn large_bodies_come_back_whole(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let server = Server::start(reactor, port, app);
    let body: Vec<u8> =
        (0..10 * 1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let outcome = carry(reactor, port, 1, vec![call("POST", "/echo", body.clone())]);
    assert!(outcome.parts[&0][0].body == body, "10 MiB, byte for byte");
    server.end().unwrap();
}

fn streams_come_in_blocks_before_the_application_ends(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let seen = Arc::new((Mutex::new(0), Condvar::new()));
    let told = Arc::clone(&seen);
    // Yields a block only once the one before has arrived.
    let app = move |_: &Request, reply: &mut dyn Reply| {
        reply.start(Head::new(Status::of(200)));
        for n in 0..4 {
            let _ = reply.block(format!("block {n}").as_bytes());
            let count = told.0.lock().unwrap();
            let (_count, late) = told.1.wait_timeout_while(count, PATIENCE, |count| *count <= n).unwrap();
            if late.timed_out() {
                return Err(AppError("a block did not arrive while the application was running".to_owned()));
            }
        }
        Ok(())
    };
    let server = Server::start(reactor, port, app);

    struct Watching(Option<Call>, Arc<(Mutex<i32>, Condvar)>, Arc<Mutex<Vec<Part>>>);
    impl Workload for Watching {
        fn next(&mut self) -> Option<Call> {
            self.0.take()
        }
        fn part(&mut self, _: u64, part: Part) {
            self.2.lock().unwrap().push(part);
            *self.1.0.lock().unwrap() += 1;
            self.1.1.notify_all();
        }
        fn done(&mut self, _: u64, result: Result<(), CallError>) {
            assert_eq!(result, Ok(()));
        }
    }
    let parts = Arc::default();
    let stream = Call { stream: true, ..call("GET", "/", "") };
    let config = CallerConfig::new(format!("stomp://127.0.0.1:{port}").parse().unwrap(), QUEUE);
    let watching = Watching(Some(stream), seen, Arc::clone(&parts));
    let link = Caller::new(config, watching, (Instant::now(), SystemTime::now()));
    select::reactor(reactor, NonZeroUsize::MIN).unwrap().run(vec![Box::new(link)], &Stop::new()).unwrap();

    let parts = parts.lock().unwrap();
    let bodies: Vec<_> = parts.iter().map(|part| (part.sequence, part.more, &part.body[..])).collect();
    let expected: [(u64, bool, &[u8]); 5] = [
        (0, true, b"block 0"),
        (1, true, b"block 1"),
        (2, true, b"block 2"),
        (3, true, b"block 3"),
        (4, false, b""),
    ];
    assert_eq!(bodies, expected);
    assert!(!parts[4].is_error);
    server.end().unwrap();
}

fn failures_are_answered_and_cost_nobody_else(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let server = Server::start(reactor, port, app);
    let paths = ["/fail", "/panic", "/nowhere", "/echo"];
    let outcome = carry(reactor, port, 4, paths.map(|path| call("POST", path, "x")).to_vec());
    let status = |n: u64| outcome.parts[&n][0].status.as_ref().unwrap().0;
    assert_eq!([status(0), status(1), status(2), status(3)], [500, 500, 404, 200]);
    wait_until("everything acknowledged", || is_empty(&broker, QUEUE));
    server.end().unwrap();
}

fn whole_requests_get_whole_responses(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let server = Server::start(reactor, port, app);
    let whole = |path: &str| Call { structured: true, ..call("POST", path, "body") };
    let outcome = carry(reactor, port, 4, ["/echo", "/fail", "/nowhere", "/a b"].map(whole).to_vec());
    let part = |n: u64| &outcome.parts[&n][0];
    let status = |n: u64| part(n).status.as_ref().unwrap().0;
    assert_eq!([status(0), status(1), status(2), status(3)], [200, 500, 404, 400]);
    assert_eq!((&part(0).body[..], part(0).is_error), (&b"body"[..], false));
    assert_eq!(part(0).headers, [("Content-Length".to_owned(), "4".to_owned())]);
    assert!((1..4).all(|n| part(n).is_error));
    wait_until("everything acknowledged", || is_empty(&broker, QUEUE));
    server.end().unwrap();
}

fn what_is_too_large_costs_nobody_else_anything(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let mount = |dispatcher| dispatcher;
    let server = Server::with(reactor, port, app, mount, |config| config.limits.body = 100_000);
    let large = |call: Call| Call { body: vec![b'x'; 1_000_000].into(), ..call };
    let (echo, structured) =
        (call("POST", "/echo", "body"), Call { structured: true, ..call("POST", "/echo", "body") });
    let calls = [
        large(echo.clone()),
        echo.clone(),
        large(notify("/echo")),
        large(structured.clone()),
        structured,
        echo,
    ];
    let outcome = carry(reactor, port, 6, calls.to_vec());
    let status = |n: u64| outcome.parts[&n][0].status.clone().unwrap();
    assert_eq!([0, 1, 3, 4, 5].map(|n| status(n).0), [413, 200, 413, 200, 200]);
    assert_eq!(status(0).1, "Content Too Large");
    wait_until("the broker has the notification", || broker.depth("/queue/DLQ.wsgi").waiting == 1);
    wait_until("everything acknowledged", || is_empty(&broker, QUEUE));
    server.end().unwrap();
}

fn the_status_decides_a_notifications_fate(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let app = move |request: &Request, reply: &mut dyn Reply| {
        if request.path == b"/fail" {
            assert_eq!(request.delivery.attempt as usize, counted.fetch_add(1, Ordering::SeqCst) + 1);
        }
        app(request, reply)
    };
    let server = Server::start(reactor, port, app);
    let outcome = carry(reactor, port, 3, ["/echo", "/gone", "/fail"].map(notify).to_vec());
    assert!(outcome.parts.is_empty() && outcome.done.values().all(Result::is_ok));
    wait_until("two dead letters", || broker.depth("/queue/DLQ.wsgi").waiting == 2);
    wait_until("everything acknowledged", || is_empty(&broker, QUEUE));
    assert_eq!(tries.load(Ordering::SeqCst), 3, "max_attempts");
    server.end().unwrap();
}

fn a_stop_answers_what_runs_and_leaves_the_rest(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let slow = move |request: &Request, reply: &mut dyn Reply| {
        counted.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(2));
        app(request, reply)
    };
    let server = Server::start(reactor, port, slow);
    let calls = (0..300).map(|n| call("POST", "/echo", n.to_string())).collect();
    let caller = thread::spawn(move || carry(reactor, port, 32, calls));
    wait_until("some requests served", || served.load(Ordering::SeqCst) > 50);
    server.end().unwrap();
    let first = served.load(Ordering::SeqCst);
    assert!(first < 300, "stopped in the middle");
    let counted = Arc::clone(&served);
    let next = move |request: &Request, reply: &mut dyn Reply| {
        counted.fetch_add(1, Ordering::SeqCst);
        app(request, reply)
    };
    let server = Server::start(reactor, port, next);
    let outcome = caller.join().unwrap();
    assert_eq!(outcome.parts.len(), 300);
    assert!(outcome.parts.iter().all(|(n, parts)| parts.len() == 1 && parts[0].body == n.to_string()));
    assert_eq!(served.load(Ordering::SeqCst), 300, "none was served twice");
    server.end().unwrap();
}

fn reconnects_when_the_broker_comes_back(reactor: &'static str) {
    let first = broker();
    let address = first.local_addr();
    let server = Server::start(reactor, address.port(), app);
    assert_eq!(carry(reactor, address.port(), 1, vec![call("POST", "/echo", "1")]).parts.len(), 1);
    drop(first);
    let second = BrokerServer::bind(address, BrokerConfig::default()).unwrap().spawn().unwrap();
    assert_eq!(carry(reactor, address.port(), 1, vec![call("POST", "/echo", "2")]).parts.len(), 1);
    server.end().unwrap();
    drop(second);
}

fn stops_while_there_is_no_broker(reactor: &'static str) {
    let port = broker().local_addr().port(); // and gone
    let server = Server::start(reactor, port, app);
    server.end().unwrap();
}

/// An application that answers with its name, and with what it knows of the destination.
fn named(name: &'static str) -> Arc<dyn stomp_wsgi::app::Application> {
    Arc::new(move |request: &Request, reply: &mut dyn Reply| {
        reply.start(Head::new(Status::of(200)));
        let _ = reply.block(name.as_bytes());
        let _ = reply.block(request.delivery.destination());
        Ok(())
    })
}

fn each_mount_has_its_application(reactor: &'static str) {
    let broker = broker();
    let port = broker.local_addr().port();
    // The topic is subscribed to last, whenever it was mounted.
    let mount = |dispatcher: AnyDispatcher| {
        let mount = |dispatcher: AnyDispatcher, (to, app): (&str, &'static str)| {
            dispatcher.mount(to.parse().unwrap(), named(app))
        };
        [("/topic/t", "topic"), ("/queue/a", "a"), ("/queue/b", "b")].into_iter().fold(dispatcher, mount)
    };
    let three = NonZeroUsize::new(3).unwrap();
    let server = Server::with(reactor, port, app, mount, move |config| config.connections = three);
    for (to, expected) in [("/queue/b", "b/queue/b"), ("/queue/a", "a/queue/a"), (QUEUE, "mine")] {
        let calls = (0..50).map(|_| call("POST", "/echo", "mine")).collect();
        let outcome = carry_to(reactor, port, 4, calls, to);
        assert_eq!(outcome.parts.len(), 50);
        assert!(outcome.parts.values().all(|parts| parts[0].body == expected), "{to}");
    }
    // A topic's message would come as often as it is subscribed to.
    let consumers = |destination| broker.depth(destination).consumers;
    wait_until("all are there", || consumers(QUEUE) == 3 && consumers("/topic/t") == 1);
    server.end().unwrap();
}

fn one_connection_that_is_refused_ends_all(reactor: &'static str) {
    let broker = BrokerServer::bind(([127, 0, 0, 1], 0).into(), {
        let mut config = BrokerConfig::default();
        config.connections = 2;
        config
    });
    let broker = broker.unwrap().spawn().unwrap();
    let port = broker.local_addr().port();
    let three = NonZeroUsize::new(3).unwrap();
    let server =
        Server::with(reactor, port, app, |dispatcher| dispatcher, move |config| config.connections = three);
    let stop = server.stop.clone();
    wait_until("it ended by itself", || server.thread.is_finished());
    let error = server.thread.join().unwrap().unwrap_err();
    assert!(matches!(&error, RunError::Broker(why) if why.contains("too many connections")), "{error}");
    assert!(stop.is_stopped(), "whoever goes by it hears that this is the end");
}

fn what_cannot_be_served_is_said(reactor: &'static str) {
    let durable =
        |dispatcher: AnyDispatcher| dispatcher.mount("/topic/a?durable=x".parse().unwrap(), named("durable"));
    let twice = |dispatcher: AnyDispatcher| dispatcher.mount(QUEUE.parse().unwrap(), named("twice"));
    let pattern = |dispatcher: AnyDispatcher| dispatcher.mount("/queue/>".parse().unwrap(), named("pattern"));
    for (mount, why) in [
        (&durable as &(dyn Fn(AnyDispatcher) -> AnyDispatcher + Sync), "client"),
        (&twice, "twice"),
        (&pattern, "come back by /queue/>"),
    ] {
        let config = Config::new("stomp://127.0.0.1:1".parse().unwrap());
        let reactor = select::reactor(reactor, NonZeroUsize::MIN).unwrap();
        let error = mount(Dispatcher::new(config, Arc::new(app), reactor)).run(&Stop::new()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

macro_rules! on_each_reactor {
    ($($feature:literal $module:ident $name:literal;)*) => { $(
        #[cfg(feature = $feature)]
        mod $module {
            on_each_reactor!(@tests $name: every_request_is_answered_once large_bodies_come_back_whole
                streams_come_in_blocks_before_the_application_ends failures_are_answered_and_cost_nobody_else
                whole_requests_get_whole_responses what_is_too_large_costs_nobody_else_anything the_status_decides_a_notifications_fate a_stop_answers_what_runs_and_leaves_the_rest
                reconnects_when_the_broker_comes_back stops_while_there_is_no_broker each_mount_has_its_application
                one_connection_that_is_refused_ends_all what_cannot_be_served_is_said);
        }
    )* };
    (@tests $name:literal: $($test:ident)*) => { $(
        #[test]
        fn $test() {
            super::$test($name);
        }
    )* };
}

on_each_reactor! {
    "reactor-thread-pool" thread_pool "thread-pool";
    "reactor-tokio" tokio "tokio";
    "reactor-mio" mio "mio";
    "reactor-async-std" async_std "async-std";
}
