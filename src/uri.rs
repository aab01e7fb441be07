//! Broker URIs: `stomp://user:pass@host:port`, `tcp://host`, `failover:(a,b)?option=value`.

use std::{fmt, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;

/// STOMP's port where a URI names none.
pub const DEFAULT_PORT: u16 = 61613;

/// One or more brokers of a cluster, and how to go about reconnecting.
#[derive(Debug, Clone, PartialEq)]
pub struct Brokers {
    /// In order of preference; never empty.
    pub addresses: Vec<Address>,
    /// Delays between attempts.
    pub backoff: Backoff,
    /// Names of options of a failover URI that mean nothing here; worth a warning.
    pub ignored: Vec<String>,
}

/// Where one broker listens, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user, where the URI names one.
    pub login: Option<String>,
    /// The password. Never shown.
    pub passcode: Option<String>,
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
            randomize: false,
            attempts: None,
            startup_attempts: None,
        }
    }
}

/// What is wrong with a broker URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// No scheme, or not one of ours.
    #[error(
        "\"{0}\" is no broker URI: use stomp://[user:password@]host[:port], tcp://host[:port] or failover:(uri,uri)?option=value"
    )]
    Scheme(String),
    /// A scheme that needs TLS.
    #[error("\"{0}://\" needs TLS, which this version does not have yet: use stomp://")]
    Tls(String),
    /// There is no host.
    #[error("the broker URI \"{0}\" names no host: stomp://host[:port]")]
    Host(String),
    /// Not a port. What stands there is not shown: it may be a piece of a password.
    #[error("what follows the last colon of a broker URI is its port, a number from 1 to 65535")]
    Port,
    /// Something follows the address. It is not shown, either.
    #[error(
        "a broker URI ends with its port: the destination goes in --destination (or --to), a password before the host"
    )]
    Path,
    /// `failover:` without its list.
    #[error("a failover URI lists its brokers in parentheses: failover:(stomp://a:61613,stomp://b:61613)")]
    Failover,
    /// An option that does not parse.
    #[error("the failover option {0} takes {1}")]
    Option(&'static str, &'static str),
}

impl FromStr for Brokers {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        let uri = uri.trim();
        let Some(rest) = uri.strip_prefix("failover:") else {
            let address = uri.parse()?;
            return Ok(Self { addresses: vec![address], backoff: Backoff::default(), ignored: Vec::new() });
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (list, options) = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').ok_or(UriError::Failover)?,
            // ActiveMQ takes a list without parentheses too, where there are no options.
            None => (rest, ""),
        };
        let addresses = list
            .split(',')
            .map(str::trim)
            .filter(|uri| !uri.is_empty())
            .map(Address::from_str)
            .collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(UriError::Failover);
        }
        // ActiveMQ's default is to shuffle.
        let mut backoff = Backoff { randomize: true, ..Backoff::default() };
        let mut ignored = Vec::new();
        for option in options.trim_start_matches('?').split(['&', ',']).filter(|option| !option.is_empty()) {
            if !backoff.set(option)? {
                // The name alone: a value may be a password.
                ignored.push(option.split('=').next().unwrap_or_default().to_owned());
            }
        }
        Ok(Self { addresses, backoff, ignored })
    }
}

impl Backoff {
    /// Takes one `name=value`; whether the name means anything.
    fn set(&mut self, option: &str) -> Result<bool, UriError> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let millis = |name| {
            let error = UriError::Option(name, "milliseconds");
            value.parse().map(Duration::from_millis).map_err(|_| error)
        };
        let flag = |name| value.parse::<bool>().map_err(|_| UriError::Option(name, "true or false"));
        // ActiveMQ: -1 is for ever. Zero means for ever in 5.6 and later, too.
        let count = |name| {
            let error = UriError::Option(name, "a number, -1 for no limit");
            value.parse::<i64>().map(|n| u32::try_from(n).ok().filter(|n| *n > 0)).map_err(|_| error)
        };
        match name {
            "initialReconnectDelay" => self.initial = millis("initialReconnectDelay")?,
            "maxReconnectDelay" => self.max = millis("maxReconnectDelay")?,
            "randomize" => self.randomize = flag("randomize")?,
            "maxReconnectAttempts" => self.attempts = count("maxReconnectAttempts")?,
            "startupMaxReconnectAttempts" => self.startup_attempts = count("startupMaxReconnectAttempts")?,
            "useExponentialBackOff" => {
                if !flag("useExponentialBackOff")? {
                    self.multiplier = 1.0;
                }
            }
            "backOffMultiplier" | "reconnectDelayExponent" => {
                self.multiplier = value
                    .parse()
                    .ok()
                    .filter(|factor| (1.0..=100.0).contains(factor))
                    .ok_or(UriError::Option("backOffMultiplier", "a factor from 1 to 100"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl FromStr for Address {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        // What is shown of a bad URI must not hold its password.
        let shown = || uri.rsplit_once('@').map_or(uri, |(_, rest)| rest).to_owned();
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| UriError::Scheme(shown()))?;
        match scheme {
            "stomp" | "tcp" | "stomp+nio" | "nio" => {}
            "ssl" | "stomp+ssl" | "stomp+nio+ssl" | "nio+ssl" | "tls" | "stomps" => {
                return Err(UriError::Tls(scheme.to_owned()));
            }
            _ => return Err(UriError::Scheme(shown())),
        }
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (place, extra) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if !matches!(extra, "" | "/") {
            return Err(UriError::Path);
        }
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(|| UriError::Host(shown()))?;
            (host, port.strip_prefix(':'))
        } else {
            match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            }
        };
        if host.is_empty() {
            return Err(UriError::Host(shown()));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(UriError::Port)?,
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (login, passcode) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            None => (None, None),
            Some((login, "")) => (Some(decode(login)), None),
            Some((login, passcode)) => (Some(decode(login)), Some(decode(passcode))),
        };
        Ok(Self { host: decode(host), port, login, passcode })
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
        uri.parse().unwrap()
    }

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
        let bare: Brokers = "failover:tcp://a,tcp://b:2".parse().unwrap();
        assert_eq!(bare.to_string(), "a:61613, b:2");
    }

    #[test]
    fn bad_uris_say_what_is_wrong_and_never_the_password() {
        for (uri, part) in [
            ("localhost:61613", "is no broker URI"),
            ("http://x", "is no broker URI"),
            ("stomp://", "names no host"),
            ("stomp://h:0", "a number from 1 to 65535"),
            ("stomp://h:http", "a number from 1 to 65535"),
            ("stomp://h/queue/x", "--destination"),
            ("ssl://h", "needs TLS"),
            ("failover:()", "in parentheses"),
            ("failover:(tcp://a)?randomize=maybe", "true or false"),
            ("http://bob:secret@h", "is no broker URI"),
            ("bob:secret@h", "is no broker URI"),
        ] {
            let error = uri.parse::<Brokers>().unwrap_err().to_string();
            assert!(error.contains(part), "{uri}: {error}");
            assert!(!error.contains("secret"), "{uri}: {error}");
        }
        assert!(!format!("{:?}", address("stomp://bob:secret@h")).contains("secret"));
    }
}
