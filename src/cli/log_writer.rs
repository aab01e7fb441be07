//! Where log lines are written: standard error, which may be broken or blocked at any time.
//!
//! A line that cannot be written is lost and counted, and has no other effect. The count is logged when writing works
//! again. What is written to may be:
//!
//! - gone (its reader has exited, the terminal was closed) or full (a disk): the system reports an error at once;
//! - a pipe, a terminal or a socket whose reader does not read: a write would block for as long as that lasts, and with
//!   it every thread that logs. So no write waits longer than [`PATIENCE`], and then none waits until one succeeds.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::Write as _,
    io::{self, Stderr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::{self, PanicHookInfo},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode, OFlags, fstat, open},
    io::{Errno, fcntl_dupfd_cloexec, write},
    net::{SendFlags, send},
};
use tracing_subscriber::fmt::{
    format::Writer as FormatWriter,
    time::{FormatTime, SystemTime},
};

/// How long a line may wait for a reader, all in all.
const PATIENCE: Duration = Duration::from_millis(100);

/// Octets that a pipe takes without blocking where `poll` says that it is writable: its buffer consists of pages.
const PIECE: usize = 4096;

static STDERR: LazyLock<Mutex<Lines<Target>>> = LazyLock::new(|| Mutex::new(Lines::new(Target::new())));

/// Whether the log is JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Standard error, for lines of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogWriter;

impl LogWriter {
    /// The log's writer, which also takes the messages of panics from now on.
    pub(super) fn install(json: bool) -> impl Fn() -> Self {
        JSON.store(json, Ordering::Relaxed);
        // The application may close standard error as it is loaded.
        LazyLock::force(&STDERR);
        panic::set_hook(Box::new(|panic| write_line(&describe(panic))));
        || Self
    }
}

impl io::Write for LogWriter {
    /// Takes a whole line. Never fails: those who log cannot do anything about it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        lines().line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line, or several that belong together, as the log's are written.
pub(super) fn write_line(line: &str) {
    lines().line(line.as_bytes());
}

fn lines() -> MutexGuard<'static, Lines<Target>> {
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Rust's own hook prints.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let mut text = format!("thread '{}' panicked", thread.name().unwrap_or("<unnamed>"));
    if let Some(location) = panic.location() {
        let _ = write!(text, " at {location}");
    }
    let payload = panic.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let _ = writeln!(text, ":\n{}", message.unwrap_or("<no message>"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = writeln!(text, "stack backtrace:\n{backtrace}");
    }
    text
}

/// Standard error.
enum Target {
    /// A descriptor of our own. The application may close number 2, and the next descriptor that the process opens, such
    /// as the connection to the broker, then has that number.
    Own(OwnedFd),
    /// Number 2 itself, where no descriptor is to be had.
    Shared(Stderr),
}

impl Target {
    fn new() -> Self {
        let stderr = io::stderr();
        fcntl_dupfd_cloexec(&stderr, 3).map_or(Self::Shared(stderr), Self::Own)
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(fd) => fd.as_fd(),
            Self::Shared(stderr) => stderr.as_fd(),
        }
    }
}

/// Writes whole lines to a file descriptor, and counts those that it cannot write.
struct Lines<F> {
    target: F,
    way: Way,
    lost: u64,
    /// Only a part of the last line was written.
    torn: bool,
    /// The last write had to wait in vain.
    blocked: bool,
}

/// How to write without blocking. The descriptor itself stays as it is: the shell and our children may share it.
enum Way {
    /// The same pipe or terminal, opened once more.
    Reopened(OwnedFd),
    /// A socket.
    Send,
    /// A file.
    File,
    /// `poll`, and then no more than [`PIECE`] octets.
    Poll,
}

impl<F: AsFd> Lines<F> {
    fn new(target: F) -> Self {
        let way = Way::of(&target);
        Self { target, way, lost: 0, torn: false, blocked: false }
    }

    /// Writes a line, or counts it as lost.
    fn line(&mut self, line: &[u8]) {
        if self.lost > 0 {
            if !self.write(notice(self.lost).as_bytes()) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        self.lost += u64::from(!self.write(line));
    }

    fn write(&mut self, line: &[u8]) -> bool {
        let deadline = Instant::now() + if self.blocked { Duration::ZERO } else { PATIENCE };
        // What follows a torn line begins a new one.
        let end: &[u8] = if self.torn { b"\n" } else { b"" };
        for mut bytes in [end, line] {
            while !bytes.is_empty() {
                match self.way.write(&self.target, bytes) {
                    Ok(0) => return false,
                    Ok(n) => {
                        bytes = &bytes[n..];
                        self.torn = !line.ends_with(b"\n") || !bytes.is_empty();
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        self.blocked = left.is_zero();
                        if self.blocked {
                            return false;
                        }
                        is_writable(&self.target, left);
                    }
                    Err(_) => return false,
                }
            }
        }
        self.blocked = false;
        true
    }
}

impl Way {
    fn of(target: &impl AsFd) -> Self {
        let reopen = || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let number = std::os::fd::AsRawFd::as_raw_fd(&target.as_fd());
            open(format!("/proc/self/fd/{number}"), flags, Mode::empty()).map_or(Self::Poll, Self::Reopened)
        };
        match fstat(target).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Fifo | FileType::CharacterDevice) => reopen(),
            Ok(FileType::Socket) => Self::Send,
            // It never blocks, and opened once more it would be written from its beginning.
            Ok(FileType::RegularFile) => Self::File,
            _ => Self::Poll,
        }
    }

    fn write(&self, target: &impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Reopened(again) => write(again, bytes),
            Self::Send => send(target, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Self::File => write(target, bytes),
            Self::Poll if is_writable(target, Duration::ZERO) => {
                write(target, &bytes[..bytes.len().min(PIECE)])
            }
            Self::Poll => Err(Errno::AGAIN),
        }
    }
}

/// Waits until a write does something: it writes, or it fails.
fn is_writable(target: &impl AsFd, time: Duration) -> bool {
    let time = Timespec::try_from(time).ok();
    poll(&mut [PollFd::new(target, PollFlags::OUT)], time.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Says how many lines are missing here.
fn notice(lost: u64) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut FormatWriter::new(&mut time));
    let message = "log lines were lost: standard error could not be written to";
    if JSON.load(Ordering::Relaxed) {
        format!(
            "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"fields\":{{\"message\":\"{message}\",\"lost\":{lost}}}}}\n"
        )
    } else {
        format!("{time}  WARN {message} lost={lost}\n")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Read,
        os::unix::net::UnixStream,
        sync::mpsc::{Receiver, channel},
    };

    use rustix::pipe::pipe;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    /// Writes so many lines on a thread of its own: one that blocks fails the test.
    fn write_lines<F: AsFd + Send + 'static>(mut lines: Lines<F>, count: usize) -> Lines<F> {
        let (done, finished) = channel();
        thread::spawn(move || {
            for n in 0..count {
                lines.line(format!("{n:099}\n").as_bytes());
            }
            // The test may have given up.
            let _ = done.send(lines);
        });
        finished.recv_timeout(WITHIN).expect("no write blocks")
    }

    /// Reads until nobody writes any more.
    fn read_all(mut from: impl Read + Send + 'static) -> Receiver<String> {
        let (done, finished) = channel();
        thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).expect("text");
            let _ = done.send(text);
        });
        finished
    }

    /// What a reader that comes late finds: whole lines, and how many are missing, where they are missing.
    fn a_reader_comes_late<F: AsFd + Send + 'static>(lines: Lines<F>, reader: impl Read + Send + 'static) {
        const LINES: usize = 20_000;
        let mut lines = write_lines(lines, LINES);
        let lost = lines.lost;
        assert!(lost > 0, "more than fits");
        let text = read_all(reader);
        let deadline = Instant::now() + WITHIN;
        while lines.lost > 0 {
            assert!(Instant::now() < deadline, "the reader makes room");
            thread::sleep(Duration::from_millis(1));
            lines.line(b"the last\n");
        }
        drop(lines);
        let text = text.recv_timeout(WITHIN).expect("the end");
        let (last, notices): (Vec<_>, Vec<_>) =
            text.lines().filter(|line| line.len() != 99).partition(|line| *line == "the last");
        let whole = text.lines().filter(|line| line.len() == 99 && line.parse::<u64>().is_ok()).count();
        assert!(last.len() == 1 && text.ends_with("the last\n"), "{}", &text[text.len() - 300..]);
        // There may be room for a notice, and then none again for a line; "the last" may be lost, too, and one line torn.
        let said = |line: &&str| -> Option<usize> {
            line.rsplit_once("WARN")?.1.rsplit_once("lost=")?.1.parse().ok()
        };
        let said: usize = notices.iter().filter_map(said).sum();
        assert!(said >= LINES - whole, "{said} of {} missing: {notices:?}", LINES - whole);
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_nobody() {
        let (reader, writer) = pipe().unwrap();
        let lines = Lines::new(writer);
        if cfg!(target_os = "linux") {
            assert!(matches!(lines.way, Way::Reopened(_)));
        }
        a_reader_comes_late(lines, File::from(reader));
    }

    #[test]
    fn nor_where_it_cannot_be_opened_once_more() {
        let (reader, writer) = pipe().unwrap();
        let mut lines = Lines::new(writer);
        lines.way = Way::Poll;
        a_reader_comes_late(lines, File::from(reader));
    }

    #[test]
    fn nor_a_socket() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let lines = Lines::new(writer);
        assert!(matches!(lines.way, Way::Send));
        a_reader_comes_late(lines, reader);
    }

    #[test]
    fn errors_are_counted() {
        let (reader, writer) = pipe().unwrap();
        let before = Lines::new(writer.try_clone().unwrap());
        drop(reader);
        let (peer, socket) = UnixStream::pair().unwrap();
        drop(peer);
        assert_eq!(write_lines(before, 3).lost, 3, "its reader has gone");
        assert_eq!(write_lines(Lines::new(writer), 3).lost, 3, "its reader had gone before");
        assert_eq!(write_lines(Lines::new(socket), 3).lost, 3, "a socket's peer has gone");
        if let Ok(full) = File::options().write(true).open("/dev/full") {
            assert_eq!(write_lines(Lines::new(full), 3).lost, 3, "the disk is full");
        }
        let unwritable = File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(write_lines(Lines::new(unwritable), 3).lost, 3, "it is not open for writing");
    }

    #[test]
    fn a_reader_that_reads_gets_all_of_a_long_line() {
        let (reader, writer) = pipe().unwrap();
        let mut reader = File::from(reader);
        let mut lines = Lines::new(writer);
        lines.line(b"no end");
        lines.line(b"next\n");
        let text = read_all({
            let mut start = [0; 12];
            reader.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"no end\nnext\n");
            reader
        });
        let long = [vec![b'x'; 1 << 20], vec![b'\n']].concat();
        lines.line(&long);
        drop(lines);
        assert_eq!(text.recv_timeout(WITHIN).unwrap().len(), long.len(), "all of it");
    }

    // Where there is somebody to read JSON.
    #[cfg(feature = "bench")]
    #[test]
    fn what_is_lost_is_said_in_the_format_of_the_log() {
        JSON.store(true, Ordering::Relaxed);
        let json = notice(7);
        JSON.store(false, Ordering::Relaxed);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["fields"]["lost"], &value["level"]), (&7.into(), &"WARN".into()));
        assert!(value["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
        let text = notice(7);
        assert!(text.ends_with("lost=7\n") && text.contains("Z  WARN log lines were lost"), "{text}");
    }
}
