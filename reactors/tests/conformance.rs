//! Every reactor of this build passes the same suite.

#[cfg(feature = "thread-pool")]
mod thread_pool {
    reactors::conformance!(reactors::ThreadPool::new);
}

#[cfg(feature = "tokio")]
mod tokio {
    reactors::conformance!(reactors::Tokio::new);
}

#[cfg(feature = "mio")]
mod mio {
    reactors::conformance!(|_| reactors::Mio::new());
}

#[cfg(feature = "async-std")]
mod async_std {
    reactors::conformance!(reactors::AsyncStd::new);
}
