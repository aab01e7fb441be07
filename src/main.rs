//! The command `stomp-wsgi`.

/// Quicker than glibc's: a request is a few dozen small allocations, some freed on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> std::process::ExitCode {
    // What a large body took is given back at once: the next part of it needs it.
    #[allow(unsafe_code)]
    // SAFETY: it sets a number, and there is no other thread yet.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
    stomp_wsgi::cli::main()
}
