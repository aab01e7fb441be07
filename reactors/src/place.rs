//! A place where one thread at a time goes on with something.

use std::sync::{
    Mutex, MutexGuard, TryLockError,
    atomic::{AtomicBool, Ordering, fence},
};

/// How often a thread goes round what is never done before it leaves that to somebody who has nothing else to do.
const ROUNDS: usize = 16;

/// Goes round in what is here: a round says whether there may be more to do.
///
/// Who only wants another round does not wait for the place. He leaves word in `news`, and whoever is there goes round
/// once more. No word is lost: it is left before the place is tried, and looked for after the place was left, with a
/// fence in between on both sides. So where the one finds the place taken, the other sees the word; unless a third has
/// come between them, who looks as well.
#[derive(Default)]
pub(crate) struct Place<T> {
    content: Mutex<T>,
    news: AtomicBool,
}

impl<T> Place<T> {
    pub(crate) fn new(content: T) -> Self {
        Self { content: Mutex::new(content), news: AtomicBool::new(false) }
    }

    /// Waits for the place, changes what is here, and goes round. Says whether that is done: somebody must come
    /// again where it is not.
    #[cfg(feature = "thread-pool")]
    pub(crate) fn enter(&self, change: impl FnOnce(&mut T), round: impl FnMut(&mut T) -> bool) -> bool {
        let mut content = self.wait();
        change(&mut content);
        self.go_round(content, round)
    }

    /// Waits for the place, for a look, and goes round if somebody came meanwhile. Says what was seen, and whether
    /// that is done.
    #[cfg(feature = "thread-pool")]
    pub(crate) fn look<R>(
        &self,
        look: impl FnOnce(&mut T) -> R,
        round: impl FnMut(&mut T) -> bool,
    ) -> (R, bool) {
        let seen = look(&mut self.wait());
        (seen, !self.has_news() || self.nudge(round))
    }

    /// Goes round, or has whoever is there do it. Says whether that is done.
    pub(crate) fn nudge(&self, round: impl FnMut(&mut T) -> bool) -> bool {
        self.news.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.free().is_none_or(|content| self.go_round(content, round))
    }

    fn go_round<'a>(&'a self, mut content: MutexGuard<'a, T>, mut round: impl FnMut(&mut T) -> bool) -> bool {
        for _ in 0..ROUNDS {
            // First: what comes from here on may be too late for this round.
            self.news.store(false, Ordering::SeqCst);
            if round(&mut content) {
                continue;
            }
            drop(content);
            if !self.has_news() {
                return true;
            }
            match self.free() {
                Some(again) => content = again,
                None => return true,
            }
        }
        false
    }

    /// Whether somebody found the place taken. For who has just left it.
    fn has_news(&self) -> bool {
        fence(Ordering::SeqCst);
        self.news.load(Ordering::SeqCst)
    }

    #[cfg(feature = "thread-pool")]
    fn wait(&self) -> MutexGuard<'_, T> {
        self.content.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn free(&self) -> Option<MutexGuard<'_, T>> {
        match self.content.try_lock() {
            Ok(content) => Some(content),
            Err(TryLockError::Poisoned(content)) => Some(content.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
