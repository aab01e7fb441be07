//! Broker URIs: `stomp://user:pass@host:port`, `ssl://host`, `failover:(a,b)?option=value`.
//!
//! What a Java service has for its broker, or a Python one for stompest, works here too, though the port may be
//! another: STOMP's is seldom OpenWire's 61616. Of the options of `failover:`, or of a single broker,
//!
//! | option | means |
//! |---|---|
//! | `initialReconnectDelay`, `maxReconnectDelay` | milliseconds between rounds over the list |
//! | `useExponentialBackOff`, `backOffMultiplier`, `reconnectDelayExponent` | how that grows |
//! | `reconnectDelayJitter` | milliseconds by which it may be longer, at random (stompest) |
//! | `randomize` | whether the list is shuffled; true by default, as in ActiveMQ |
//! | `maxReconnectAttempts`, `startupMaxReconnectAttempts` | rounds until we give up; -1, the default, for never |
//! | `priorityBackup` | whether to go back to the first broker, or to those in `priorityURIs`, as soon as one is there |
//! | `backup`, `backupPoolSize` | nothing to do: the next broker is tried at once |
//!
//! and all others are passed over, with a warning. So are options of brokers in a list
//! (`failover:(tcp://a?keepAlive=true)`, `nested.keepAlive=true`), which are Java's own.

use std::{fmt, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;

use crate::{link::Dialect, stomp::Secrets, tls::Tls};

/// STOMP's port where a URI names none.
pub const DEFAULT_PORT: u16 = 61613;

/// That of STOMP over TLS.
pub const DEFAULT_TLS_PORT: u16 = 61614;

/// One or more brokers of a cluster, and how to go about reconnecting.
#[derive(Debug, Clone, PartialEq)]
pub struct Brokers {
    /// In order of preference; never empty.
    pub addresses: Vec<Address>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// How those that want TLS are to be met; the system's roots where there is none.
    pub tls: Option<Tls>,
    /// What kind of brokers they are; `None`: what they say of themselves.
    pub dialect: Option<Dialect>,
    /// The virtual host to ask for; `/` unless set. RabbitMQ has some, others pass over it.
    pub virtual_host: Option<String>,
    /// Names of options that mean nothing here; worth a warning.
    pub ignored: Vec<String>,
}

/// Where one broker listens, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether it is spoken to by TLS only.
    pub tls: bool,
    /// The user, where the URI names one.
    pub login: Option<String>,
    /// The password. Never shown.
    pub passcode: Option<String>,
    /// Whether it is a broker of choice (`priorityBackup`): tried before the others, and gone back to.
    pub priority: bool,
}

/// Delays between attempts to connect: from `initial`, times `multiplier` after each round, up to `max`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// Before the second round of attempts.
    pub initial: Duration,
    /// Never longer than this.
    pub max: Duration,
    /// How the delay grows; 1.0 for a constant one.
    pub multiplier: f64,
    /// Added at random, up to this. Without it a delay is shortened at random, down to a half.
    pub jitter: Option<Duration>,
    /// Whether to try the brokers in random order.
    pub randomize: bool,
    /// Rounds until we give up; `None` for never.
    pub attempts: Option<u32>,
    /// The same, before the first connection succeeded.
    pub startup_attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            multiplier: 2.0,
            jitter: None,
            randomize: false,
            attempts: None,
            startup_attempts: None,
        }
    }
}

/// A broker URI that cannot be one. It is shown whole, or not at all where a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad broker URI{}: {fault}", shown(uri))]
pub struct UriError {
    uri: String,
    /// What is wrong with it.
    pub fault: UriFault,
}

fn shown(uri: &str) -> String {
    // Options may hold one, too (`jms.password`).
    let secret = uri.contains('@') || uri.to_ascii_lowercase().contains("pass");
    if secret { " (not shown, for the password in it)".to_owned() } else { format!(" \"{uri}\"") }
}

/// What is wrong with a broker URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriFault {
    /// No scheme, or not one of ours.
    #[error("use stomp://[user:password@]host[:port], tcp://host[:port] or failover:(uri,uri)?option=value")]
    Scheme,
    /// A scheme that needs TLS.
    #[error("it needs TLS, which this build does not have (feature `tls`): use stomp://")]
    Tls,
    /// There is no host.
    #[error("it names no host: stomp://host[:port]")]
    Host,
    /// Not a port.
    #[error("what follows the last colon is the port, a number from 1 to 65535")]
    Port,
    /// Something follows the address.
    #[error("nothing belongs behind the port: the destination goes in --destination (or --to)")]
    Path,
    /// `failover:` without its list.
    #[error("failover lists its brokers in parentheses: failover:(stomp://a:61613,stomp://b:61613)")]
    Failover,
    /// An option that does not parse.
    #[error("the option {0} takes {1}")]
    Option(&'static str, &'static str),
}

impl FromStr for Brokers {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        Self::parse(uri.trim()).map_err(|fault| UriError { uri: uri.to_owned(), fault })
    }
}

impl Brokers {
    fn parse(uri: &str) -> Result<Self, UriFault> {
        let (list, options, failover) = match uri.strip_prefix("failover:") {
            // A single broker takes the same options.
            None => uri.split_once('?').map_or((uri, "", false), |(uri, options)| (uri, options, false)),
            Some(rest) => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                match rest.strip_prefix('(') {
                    Some(rest) => {
                        let (list, options) = rest.rsplit_once(')').ok_or(UriFault::Failover)?;
                        (list, options, true)
                    }
                    // ActiveMQ takes a list without parentheses too, where there are no options.
                    None => (rest, "", true),
                }
            }
        };
        let mut ignored = Vec::new();
        let mut addresses = Vec::new();
        if failover {
            for uri in list.split(',').map(str::trim).filter(|uri| !uri.is_empty()) {
                addresses.push(Address::parse(uri, &mut ignored)?);
            }
        } else {
            addresses.push(Address::parse(list, &mut ignored)?);
        }
        if addresses.is_empty() {
            return Err(UriFault::Failover);
        }
        // ActiveMQ's default is to shuffle.
        let mut backoff = Backoff { randomize: failover, ..Backoff::default() };
        let (mut priority, mut chosen, mut exponential) = (false, Vec::new(), true);
        for (option, behind_a_comma) in listed(options, failover) {
            match option.split_once('=') {
                Some(("useExponentialBackOff", value)) => {
                    exponential = value
                        .parse()
                        .map_err(|_| UriFault::Option("useExponentialBackOff", "true or false"))?;
                }
                Some(("priorityBackup", value)) => {
                    priority =
                        value.parse().map_err(|_| UriFault::Option("priorityBackup", "true or false"))?;
                }
                Some(("priorityURIs", uri)) => chosen.push(Address::parse(uri, &mut ignored)?),
                // Its list has commas, as good as ampersands.
                _ if is_uri(option) && !chosen.is_empty() => {
                    chosen.push(Address::parse(option, &mut ignored)?);
                }
                _ if backoff.set(option)? => {}
                // The rest of a value, perhaps: `jms.password=ab,cd=ef`.
                _ if behind_a_comma => ignored.push("an option behind a comma".to_owned()),
                _ => ignored.push(name(option)),
            }
        }
        if !exponential {
            // Whatever factor there is.
            backoff.multiplier = 1.0;
        }
        if priority {
            choose(&mut addresses, &chosen)?;
        }
        Ok(Self::new(addresses, backoff, ignored))
    }

    /// Whether some are preferred to others.
    pub(crate) fn has_priority(&self) -> bool {
        let chosen = self.addresses.iter().filter(|address| address.priority).count();
        chosen > 0 && chosen < self.addresses.len()
    }

    /// Whatever a broker is told that nobody else is to read.
    pub(crate) fn secrets(&self) -> Secrets {
        let addresses = || self.addresses.iter();
        Secrets::new(
            addresses().filter_map(|address| address.login.as_deref()),
            addresses().filter_map(|address| address.passcode.as_deref()),
        )
    }

    fn new(addresses: Vec<Address>, backoff: Backoff, ignored: Vec<String>) -> Self {
        Self { addresses, backoff, tls: None, dialect: None, virtual_host: None, ignored }
    }
}

/// Marks the brokers of choice: those named, or else the first.
fn choose(addresses: &mut [Address], chosen: &[Address]) -> Result<(), UriFault> {
    addresses[0].priority = chosen.is_empty();
    for choice in chosen {
        let same = |address: &&mut Address| address.host == choice.host && address.port == choice.port;
        let found = addresses.iter_mut().find(same);
        found
            .ok_or(UriFault::Option("priorityURIs", "brokers of the list, with commas between them"))?
            .priority = true;
    }
    Ok(())
}

/// `?a=1&b=2`, and whether a comma stands before each. With `commas`, a comma divides options, too; in the URI of a
/// single broker it is a part of the value.
fn listed(options: &str, commas: bool) -> impl Iterator<Item = (&str, bool)> {
    let parts = options.trim_start_matches('?').split('&');
    let options =
        parts.flat_map(move |part| part.splitn(if commas { usize::MAX } else { 1 }, ',').enumerate());
    options.map(|(at, option)| (option.trim(), at > 0)).filter(|(option, _)| !option.is_empty())
}

/// The name of an option, without its value, which may be a password. So may be what has no name.
fn name(option: &str) -> String {
    option.split_once('=').map_or("an option without a value", |(name, _)| name).to_owned()
}

/// Whether it begins with a scheme, and is not the value of something.
fn is_uri(option: &str) -> bool {
    option.split('=').next().is_some_and(|start| start.contains("://"))
}

impl Backoff {
    /// Takes one `name=value`; whether the name means anything.
    fn set(&mut self, option: &str) -> Result<bool, UriFault> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let millis = |name| {
            let error = UriFault::Option(name, "milliseconds");
            value.parse().map(Duration::from_millis).map_err(|_| error)
        };
        let flag = |name| value.parse::<bool>().map_err(|_| UriFault::Option(name, "true or false"));
        // ActiveMQ since 5.6: 0 is a single attempt, as 1 is.
        let count = |name| {
            let error = UriFault::Option(name, "a number, -1 for no limit");
            value.parse::<i64>().map(|n| u32::try_from(n).ok().map(|n| n.max(1))).map_err(|_| error)
        };
        match name {
            "initialReconnectDelay" => self.initial = millis("initialReconnectDelay")?,
            "maxReconnectDelay" => self.max = millis("maxReconnectDelay")?,
            "reconnectDelayJitter" => self.jitter = Some(millis("reconnectDelayJitter")?),
            "randomize" => self.randomize = flag("randomize")?,
            "maxReconnectAttempts" => self.attempts = count("maxReconnectAttempts")?,
            "startupMaxReconnectAttempts" => self.startup_attempts = count("startupMaxReconnectAttempts")?,
            "backOffMultiplier" | "reconnectDelayExponent" => {
                self.multiplier = value
                    .parse()
                    .ok()
                    .filter(|factor| (1.0..=100.0).contains(factor))
                    .ok_or(UriFault::Option("backOffMultiplier", "a factor from 1 to 100"))?;
            }
            // A second connection, held ready: there is no need, for the next broker is tried at once.
            "backup" => {
                flag("backup")?;
            }
            "backupPoolSize" => {
                count("backupPoolSize")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The delay after the first round.
    pub(crate) fn first(&self) -> Duration {
        self.initial.min(self.max)
    }
}

impl Address {
    fn parse(uri: &str, ignored: &mut Vec<String>) -> Result<Self, UriFault> {
        let (scheme, rest) = uri.split_once("://").ok_or(UriFault::Scheme)?;
        let tls = match scheme {
            "stomp" | "tcp" | "stomp+nio" | "nio" => false,
            "ssl" | "stomp+ssl" | "stomp+nio+ssl" | "nio+ssl" | "tls" | "stomps" => true,
            _ => return Err(UriFault::Scheme),
        };
        if tls && !cfg!(feature = "tls") {
            return Err(UriFault::Tls);
        }
        // The authority ends there (RFC 3986): what follows may hold an `@`, too.
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        // Java's, which only ampersands divide.
        ignored.extend(options.split('&').filter(|option| !option.is_empty()).map(name));
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains(['/', '#']) {
            return Err(UriFault::Path);
        }
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(UriFault::Host)?;
            (host, port.strip_prefix(':'))
        } else {
            match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            }
        };
        if host.is_empty() {
            return Err(UriFault::Host);
        }
        let port = match port {
            None if tls => DEFAULT_TLS_PORT,
            None => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(UriFault::Port)?,
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (login, passcode) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            None => (None, None),
            Some((login, "")) => (Some(decode(login)), None),
            Some((login, passcode)) => (Some(decode(login)), Some(decode(passcode))),
        };
        Ok(Self { host: decode(host), port, tls, login, passcode, priority: false })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> Address {
        Address::parse(uri, &mut Vec::new()).unwrap()
    }

    #[cfg(feature = "tls")]
    #[test]
    fn plain_uris() {
        let plain = address("stomp://localhost");
        assert_eq!((plain.to_string().as_str(), plain.login), ("localhost:61613", None));
        assert_eq!(address("tcp://broker:1234/").to_string(), "broker:1234");
        assert_eq!(address("stomp://[::1]:61614").to_string(), "[::1]:61614");
        let user = address("stomp://al%40b:p%3Aw@h:1");
        assert_eq!(user.login.as_deref(), Some("al@b"));
        assert_eq!(user.passcode.as_deref(), Some("p:w"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn brokers_behind_tls() {
        if cfg!(feature = "tls") {
            assert_eq!(address("ssl://[::1]").to_string(), "[::1]:61614");
            assert!(address("stomp+ssl://h").tls && !address("stomp+nio://h").tls);
        } else {
            assert_eq!(Address::parse("ssl://h", &mut Vec::new()), Err(UriFault::Tls));
        }
    }

    #[test]
    fn failover_uris_as_java_writes_them() {
        let brokers: Brokers =
            "failover:(tcp://a:61613,stomp://b)?randomize=false&initialReconnectDelay=10,maxReconnectDelay=500&maxReconnectAttempts=-1&timeout=3000"
                .parse()
                .unwrap();
        assert_eq!(brokers.to_string(), "a:61613, b:61613");
        assert_eq!(brokers.backoff.initial, Duration::from_millis(10));
        assert_eq!(brokers.backoff.max, Duration::from_millis(500));
        assert_eq!((brokers.backoff.randomize, brokers.backoff.attempts), (false, None));
        assert_eq!(brokers.ignored, ["timeout"]);
        let pasted: Brokers =
            "failover://(tcp://a:61614?keepAlive=true&socket.verifyHostName=false,tcp://[::1]:1?x=1/2)?\
            maxReconnectAttempts=0&startupMaxReconnectAttempts=3,reconnectDelayJitter=7&nested.x=1"
                .parse()
                .unwrap();
        assert_eq!(pasted.to_string(), "a:61614, [::1]:1");
        assert_eq!((pasted.backoff.attempts, pasted.backoff.startup_attempts), (Some(1), Some(3)));
        assert_eq!(pasted.backoff.jitter, Some(Duration::from_millis(7)));
        assert_eq!(pasted.ignored, ["keepAlive", "socket.verifyHostName", "x", "nested.x"]);
        let bare: Brokers = "failover:tcp://a,tcp://b:2".parse().unwrap();
        assert_eq!(bare.to_string(), "a:61613, b:2");
    }

    #[test]
    fn a_single_broker_takes_the_same_options() {
        for scheme in ["stomp", "tcp", if cfg!(feature = "tls") { "ssl" } else { "nio" }] {
            let brokers: Brokers = format!(
                "{scheme}://u:p@h:1/?startupMaxReconnectAttempts=1&maxReconnectAttempts=5&initialReconnectDelay=7\
                 &maxReconnectDelay=9&useExponentialBackOff=false&keepAlive=true&cd"
            )
            .parse()
            .unwrap();
            let backoff = &brokers.backoff;
            assert_eq!((backoff.startup_attempts, backoff.attempts), (Some(1), Some(5)));
            assert_eq!((backoff.initial.as_millis(), backoff.max.as_millis()), (7, 9));
            assert_eq!((backoff.multiplier, backoff.randomize), (1.0, false));
            assert_eq!(brokers.ignored, ["keepAlive", "an option without a value"]);
            assert_eq!(
                (brokers.to_string().as_str(), brokers.addresses[0].login.as_deref()),
                ("h:1", Some("u"))
            );
        }
        let brokers: Brokers =
            "stomp://[::1]?reconnectDelayExponent=3&reconnectDelayJitter=4".parse().unwrap();
        assert_eq!(
            (brokers.backoff.multiplier, brokers.backoff.jitter),
            (3.0, Some(Duration::from_millis(4)))
        );
        let error = "stomp://h?startupMaxReconnectAttempts=often".parse::<Brokers>().unwrap_err();
        assert!(error.to_string().contains("startupMaxReconnectAttempts takes a number"), "{error}");
    }

    #[test]
    fn without_exponential_delays_no_factor_counts() {
        for (options, multiplier) in [
            ("useExponentialBackOff=false&backOffMultiplier=3", 1.0),
            ("backOffMultiplier=3&useExponentialBackOff=false", 1.0),
            ("useExponentialBackOff=true&backOffMultiplier=3", 3.0),
            ("useExponentialBackOff=false", 1.0),
            ("useExponentialBackOff=true", 2.0),
        ] {
            let brokers: Brokers = format!("failover:(tcp://a)?{options}").parse().unwrap();
            assert_eq!(brokers.backoff.multiplier, multiplier, "{options}");
        }
    }

    #[test]
    fn an_authority_ends_where_the_options_begin() {
        let at = address("tcp://h:61613?jms.userName=u&jms.password=p@ss");
        assert_eq!((at.to_string().as_str(), at.login, at.passcode), ("h:61613", None, None));
        let at = address("tcp://al%40b:p%3Fw%40x@h:1/?x=a@b:2");
        assert_eq!((at.to_string().as_str(), at.login.as_deref()), ("h:1", Some("al@b")));
        assert_eq!(at.passcode.as_deref(), Some("p?w@x"));
        // No password is half a host.
        assert!("stomp://bob:pa?word@h:1".parse::<Brokers>().is_err());
    }

    #[test]
    fn of_options_that_mean_nothing_only_names_are_told() {
        let (nameless, behind) = ("an option without a value", "an option behind a comma");
        for (uri, ignored) in [
            ("tcp://h?jms.password=ab,cd", &["jms.password"][..]),
            ("tcp://h?jms.password=ab,cd=ef&x=1", &["jms.password", "x"]),
            ("tcp://h?cd&x=1", &[nameless, "x"]),
            ("failover:(tcp://h)?jms.password=ab,cd", &["jms.password", behind]),
            ("failover:(tcp://h)?jms.password=ab,cd=ef&x=1", &["jms.password", behind, "x"]),
            ("failover:(tcp://h)?randomize=false,cd&cd", &[behind, nameless]),
            ("failover:(tcp://h?jms.password=ab&cd)?x=1", &["jms.password", nameless, "x"]),
        ] {
            assert_eq!(uri.parse::<Brokers>().unwrap().ignored, ignored, "{uri}");
        }
    }

    #[test]
    fn brokers_of_choice() {
        let chosen = |options: &str| -> Vec<bool> {
            let uri = format!("failover:(tcp://a,tcp://b:2,tcp://c)?{options}");
            uri.parse::<Brokers>().unwrap().addresses.iter().map(|address| address.priority).collect()
        };
        assert_eq!(chosen("priorityBackup=false&priorityURIs=tcp://b:2"), [false, false, false]);
        assert_eq!(chosen("randomize=true&priorityBackup=true"), [true, false, false]);
        assert_eq!(
            chosen("priorityURIs=tcp://b:2,tcp://u:p@c,priorityBackup=true&backup=true"),
            [false, true, true]
        );
    }

    #[test]
    fn bad_uris_say_what_is_wrong_and_never_the_password() {
        for (uri, part) in [
            ("localhost:61613", "use stomp://"),
            ("http://x", "use stomp://"),
            ("stomp://", "bad broker URI \"stomp://\": it names no host"),
            ("stomp://h:0", "a number from 1 to 65535"),
            ("stomp://h:http", "a number from 1 to 65535"),
            ("stomp://h/queue/x", "--destination"),
            ("failover:()", "in parentheses"),
            ("failover:(tcp://a)?randomize=maybe", "true or false"),
            ("failover:(tcp://a,tcp://b)?priorityBackup=true&priorityURIs=tcp://a:1", "brokers of the list"),
            ("http://bob:secret@h", "use stomp://"),
            ("bob:secret@h", "use stomp://"),
            ("stomp://bob:secret@h:99999", "1 to 65535"),
            ("failover:(stomp://bob:se,secret@h)", "1 to 65535"),
            ("failover:(stomp://h)?jms.password=secret&randomize=7", "true or false"),
        ] {
            let error = uri.parse::<Brokers>().unwrap_err().to_string();
            assert!(error.contains(part), "{uri}: {error}");
            assert!(!error.contains("secret"), "{uri}: {error}");
        }
        assert!(!format!("{:?}", address("stomp://bob:secret@h")).contains("secret"));
    }
}
