//! The command `stomp-wsgi`.

fn main() -> std::process::ExitCode {
    stomp_wsgi::cli::main()
}
