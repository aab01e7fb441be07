//! What a deployment tells its application through environ.

use pyo3::PyResult;
use pyo3::exceptions::PyValueError;

/// What goes into every environ, and cannot be known from a message.
///
/// ```
/// use stomp_wsgi::app::wsgi::Config;
///
/// let config = Config::default().script_name("/shop").multithread(true).environ("shop.region", "eu");
/// # let _ = config;
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) server_name: String,
    pub(super) server_port: Option<u16>,
    pub(super) url_scheme: String,
    pub(super) script_name: String,
    pub(super) multithread: bool,
    pub(super) multiprocess: bool,
    pub(super) file_wrapper: bool,
    pub(super) environ: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_name: "localhost".into(),
            server_port: None,
            url_scheme: "http".into(),
            script_name: String::new(),
            multithread: false,
            multiprocess: false,
            file_wrapper: true,
            environ: Vec::new(),
        }
    }
}

impl Config {
    /// `SERVER_NAME` of requests that name no host; `localhost` unless set. PEP 3333 wants it not empty,
    /// and frameworks want a name that could be a host's.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = name.into();
        self
    }

    /// `SERVER_PORT` of requests that name no host; that of the scheme (80, 443) unless set.
    #[must_use]
    pub fn server_port(mut self, port: u16) -> Self {
        self.server_port = Some(port);
        self
    }

    /// `wsgi.url_scheme`: `http` unless set, or `https`, whatever the messages travelled on.
    #[must_use]
    pub fn url_scheme(mut self, scheme: impl Into<String>) -> Self {
        self.url_scheme = scheme.into();
        self
    }

    /// `SCRIPT_NAME`: where the application is mounted, `/shop`; the root unless set.
    ///
    /// A path below it loses it (`/shop/cart` becomes `/cart`); any other path (`/cart`, `/shopping`) is left
    /// as it is, since a sender or a gateway may have taken the prefix off already.
    #[must_use]
    pub fn script_name(mut self, path: impl AsRef<str>) -> Self {
        let path = path.as_ref().trim_matches('/');
        self.script_name = if path.is_empty() { String::new() } else { format!("/{path}") };
        self
    }

    /// `wsgi.multithread`: whether several threads may be in the application at once; false unless set.
    #[must_use]
    pub fn multithread(mut self, multithread: bool) -> Self {
        self.multithread = multithread;
        self
    }

    /// `wsgi.multiprocess`: whether other processes serve the same application; false unless set.
    #[must_use]
    pub fn multiprocess(mut self, multiprocess: bool) -> Self {
        self.multiprocess = multiprocess;
        self
    }

    /// Whether to offer `wsgi.file_wrapper`; true unless set.
    #[must_use]
    pub fn file_wrapper(mut self, offered: bool) -> Self {
        self.file_wrapper = offered;
        self
    }

    /// One more variable for every environ, of the deployer's choice. It replaces one of ours of that name,
    /// other than those of the single request. Non-ASCII text is passed as the latin-1 of its UTF-8.
    #[must_use]
    pub fn environ(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environ.push((name.into(), value.into()));
        self
    }

    /// The port that a URL without one means.
    pub(super) fn default_port(&self) -> &'static str {
        if self.url_scheme == "https" { "443" } else { "80" }
    }

    /// What PEP 3333 forbids.
    pub(super) fn check(&self) -> PyResult<()> {
        if self.server_name.is_empty() {
            return Err(PyValueError::new_err("SERVER_NAME is empty"));
        }
        if !matches!(&*self.url_scheme, "http" | "https") {
            let message = format!("wsgi.url_scheme is {:?}, not http or https", self.url_scheme);
            return Err(PyValueError::new_err(message));
        }
        Ok(())
    }
}
