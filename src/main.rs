//! The command `stomp-wsgi`.

/// Quicker than glibc's: a request is a few dozen small allocations, some freed on another thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stomp_wsgi::cli::main()
}
