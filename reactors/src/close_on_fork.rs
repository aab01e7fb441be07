//! Sockets that forked children must not keep open.
//!
//! `fork` copies every file descriptor, and a connection lasts until all copies of its socket are closed. A child of a
//! server that was killed would keep the broker's connection open, and the broker would redeliver nothing. Linux has no
//! `FD_CLOFORK`, so reactors mark their sockets here, and a program that forks closes them in the child.
//!
//! The marks are bits in a table of fixed size. To read it takes neither a lock nor memory: another thread may have held
//! a lock at the moment of the fork, and that thread does not exist in the child.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// File descriptors from this number on are not marked. The system gives out the lowest free one, so that a process has
/// as many open files before it gets there.
pub const CLOSE_ON_FORK_LIMIT: usize = 65_536;

const BITS: usize = u64::BITS as usize;

static TABLE: Table<{ CLOSE_ON_FORK_LIMIT / BITS }> = Table::new();

/// The mark of a socket, which lasts until this is dropped. Drop it before the socket is closed: its number may be
/// another file's from then on. (The fields of a struct are dropped in the order of their declaration.)
#[derive(Debug)]
#[must_use = "dropping it takes the mark away"]
pub struct CloseOnFork(RawFd);

impl CloseOnFork {
    /// Marks `socket`.
    pub fn new(socket: &impl AsRawFd) -> Self {
        let fd = socket.as_raw_fd();
        TABLE.set(fd, true);
        Self(fd)
    }
}

impl Drop for CloseOnFork {
    fn drop(&mut self) {
        TABLE.set(self.0, false);
    }
}

/// The marked file descriptors of this process, for a child that was just forked to close. Only to close (`close`, or
/// `dup2` of something else): `shutdown` would end the parent's connection.
pub fn close_on_fork() -> impl Iterator<Item = RawFd> {
    TABLE.marked()
}

struct Table<const WORDS: usize>([AtomicU64; WORDS]);

impl<const WORDS: usize> Table<WORDS> {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    fn set(&self, fd: RawFd, marked: bool) {
        // Negative where it is no file descriptor at all.
        let Ok(fd) = usize::try_from(fd) else { return };
        let (Some(word), bit) = (self.0.get(fd / BITS), 1 << (fd % BITS)) else { return };
        if marked {
            word.fetch_or(bit, Ordering::SeqCst);
        } else {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    fn marked(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let word = word.load(Ordering::SeqCst);
            (0..BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| (index * BITS + bit) as RawFd)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_set_and_taken_away() {
        let table = Table::<2>::new();
        for fd in [0, 3, 63, 64, 127] {
            table.set(fd, true);
        }
        assert_eq!(table.marked().collect::<Vec<_>>(), [0, 3, 63, 64, 127]);
        table.set(63, false);
        table.set(64, false);
        assert_eq!(table.marked().collect::<Vec<_>>(), [0, 3, 127]);
    }

    #[test]
    fn what_does_not_fit_is_not_marked() {
        let table = Table::<2>::new();
        for fd in [-1, 128, RawFd::MAX, RawFd::MIN] {
            table.set(fd, true);
            table.set(fd, false);
        }
        table.set(128, true);
        assert_eq!(table.marked().count(), 0);
    }

    #[test]
    fn a_mark_lasts_as_long_as_its_guard() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let is_marked = || close_on_fork().any(|fd| fd == socket.as_raw_fd());
        assert!(!is_marked());
        let mark = CloseOnFork::new(&socket);
        assert!(is_marked());
        drop(mark);
        assert!(!is_marked());
    }
}
