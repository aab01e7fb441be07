//! Where the body of a frame ends.
use std::collections::HashSet;

use bytes::Bytes;

use super::{COMMAND_LINE, Parser, State, Step};
use crate::stomp::excerpt::excerpt_of_line;
use crate::stomp::laxity::NoNul;
use crate::stomp::tolerance::{Follows, Trust, follows};
use crate::stomp::{Command, Cut, Limits, ParseError};

/// A body's buffer is not made larger than this ahead of what has really arrived.
const BODY_STEP: usize = 1 << 20;

/// To find out whether a body hides frames no more octets are read than so many times its own, nor than so many beyond
/// its own: meanwhile the link does nothing else. And no more ends of frames are remembered.
const MOST_READS: usize = 16;
const MORE_READS: usize = 32 << 20;
const MOST_ENDS: usize = 100_000;

/// So much of what may be frames is read first, and twice as much each time after that, up to the most at once.
const FIRST_READ: usize = 128;
const LONGEST_READ: usize = 64 << 10;

/// What stands before a RECEIPT's first header.
const RECEIPT: &[u8] = b"RECEIPT\n";

impl Parser {
    pub(super) fn sized_body(&mut self, length: usize) -> Result<Step, ParseError> {
        let missing = length - self.body.len();
        let unread = &self.buffer[self.start..];
        let tolerant = self.is_tolerant();
        // Where the next frame begins.
        let next = match (unread.get(missing), self.laxity.no_nul) {
            (Some(0), _) | (Some(_), NoNul::Replaced) => Some(missing + 1),
            (Some(_), NoNul::Skipped) => {
                let nul = memchr::memchr(0, &unread[missing..]);
                Some(nul.map_or(unread.len(), |nul| missing + nul + 1))
            }
            _ => None,
        };
        let body = match unread.get(missing) {
            Some(0) if tolerant && follows(&unread[missing + 1..]) == Follows::Nothing => {
                return Ok(self.refuted());
            }
            Some(0) if length > self.limits.body => {
                self.body = Vec::new();
                self.start += missing + 1;
                return Ok(Step::Frame(Bytes::new(), Some(Cut::Body(length))));
            }
            Some(_) if next.is_some() && self.body.is_empty() => Bytes::copy_from_slice(&unread[..missing]),
            Some(_) if next.is_some() => {
                self.body.reserve_exact(missing);
                self.body.extend_from_slice(&unread[..missing]);
                std::mem::take(&mut self.body).into()
            }
            Some(_) if tolerant => return Ok(self.refuted()),
            Some(_) => return Err(ParseError::NoNul { command: self.command(), length }),
            None => {
                let taken = std::mem::take(&mut self.buffer);
                self.extend_body(&taken[self.start..], length);
                self.buffer = taken;
                self.start = self.buffer.len();
                return Ok(match self.doubt.trust {
                    Trust::Full => Step::More(State::SizedBody { length }),
                    Trust::UnlessEmpty | Trust::None => self.doubtful(length),
                });
            }
        };
        self.start += next.unwrap_or(missing + 1);
        if self.hides_frames(&body) {
            return Ok(Step::Frame(Bytes::new(), Some(Cut::Unclear)));
        }
        Ok(Step::Frame(body, None))
    }

    /// What `content-length` says is not so: the body ends at a NUL.
    fn refuted(&mut self) -> Step {
        self.flaws.lengths += 1;
        if !self.body.is_empty() {
            let mut all = std::mem::take(&mut self.body);
            all.extend_from_slice(&self.buffer[self.start..]);
            (self.buffer, self.start) = (all, 0);
        }
        Step::Next(State::OpenBody)
    }

    /// The claimed body is not complete: whether it may be that the true one is.
    fn doubtful(&mut self, length: usize) -> Step {
        let all = self.doubt.trust == Trust::None;
        while !self.doubt.found && (all || self.doubt.searched == 0) {
            let Some(at) = memchr::memchr(0, &self.body[self.doubt.searched..]) else {
                self.doubt.searched = self.body.len();
                break;
            };
            self.doubt.searched += at;
            if at > 0 && !all {
                break;
            }
            self.doubt.found = follows(&self.body[self.doubt.searched + 1..]) != Follows::Nothing;
            self.doubt.searched += usize::from(!self.doubt.found);
        }
        if let Some(probe) = self.probe_of_doubt() {
            let (found, len) = (memchr::memmem::find(&self.body[self.doubt.probed..], probe), probe.len());
            if found.is_some() {
                return self.refuted();
            }
            self.doubt.probed = self.body.len().saturating_sub(len);
        }
        if self.body.len() > self.limits.body {
            let arrived = std::mem::take(&mut self.body).len();
            return Step::Next(State::CutBody { arrived, length: Some(length) });
        }
        Step::More(State::SizedBody { length })
    }

    /// What the RECEIPT that was asked for is known by, if one was.
    fn probe_of_doubt(&self) -> Option<&[u8]> {
        (self.doubt.taken && !self.probe.is_empty()).then_some(&self.probe)
    }

    /// Whether a body that is as long as a sender may have made up is a shorter one and whole frames behind it, just
    /// as well. Whoever was given it might read other people's messages.
    fn hides_frames(&self, body: &[u8]) -> bool {
        let searched = match self.doubt.trust {
            Trust::Full => return false,
            Trust::UnlessEmpty => &body[..body.len().min(1)],
            Trust::None => body,
        };
        let more = body.len().saturating_mul(MOST_READS - 1).clamp(FIRST_READ, MORE_READS);
        let mut reads = body.len().saturating_add(more);
        // NULs at which a try found a frame's end before it failed. From there on it would fail again.
        let mut failed = HashSet::new();
        memchr::memchr_iter(0, searched).any(|nul| {
            if failed.contains(&nul) || !begins_a_frame(&body[nul + 1..]) {
                return false;
            }
            let remember = |end| {
                if failed.len() < MOST_ENDS {
                    failed.insert(nul + end);
                }
            };
            self.is_whole_frames(&body[nul + 1..], &mut reads, remember) || failed.len() == MOST_ENDS
        })
    }

    /// Whether these are whole frames, or it would take too many reads to find out. `ends` is told where each ends.
    fn is_whole_frames(&self, mut octets: &[u8], reads: &mut usize, mut ends: impl FnMut(usize)) -> bool {
        let any = usize::MAX;
        let mut parser = Self::new(Limits { header_line: any, headers: any, head: any, body: any });
        self.version.into_iter().for_each(|version| parser.set_version(version));
        parser.lenient_escapes(true);
        let (mut fed, mut read, mut all) = (0, FIRST_READ, false);
        loop {
            match parser.next_frame() {
                Ok(Some(frame)) if frame.command != Command::Message => ends(fed - parser.buffered()),
                Ok(Some(frame)) if frame.headers.get("message-id").is_some() => ends(fed - parser.buffered()),
                Ok(None) if all => return matches!(parser.state, State::Idle),
                Ok(None) if octets.is_empty() => {
                    parser.feed(b"\0");
                    all = true;
                }
                Ok(None) if *reads == 0 => return true,
                Ok(None) => {
                    let (next, rest) = octets.split_at(octets.len().min(read).min(*reads));
                    parser.feed(next);
                    (octets, fed) = (rest, fed + next.len());
                    (*reads, read) = (*reads - next.len(), (2 * read).min(LONGEST_READ));
                }
                _ => return false,
            }
        }
    }

    pub(super) fn extend_body(&mut self, octets: &[u8], length: usize) {
        if self.body.capacity() - self.body.len() < octets.len() {
            // At least as much as there is already, so that all copies together stay linear; never much more
            // than has arrived; and exactly `length` at the end.
            let ahead = BODY_STEP.max(self.body.len()).max(octets.len());
            self.body.reserve_exact(ahead.min(length - self.body.len()));
        }
        self.body.extend_from_slice(octets);
    }

    pub(super) fn open_body(&mut self) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        let command = self.command();
        if !self.laxity.any_body && !command.allows_body() && unread.first().is_some_and(|octet| *octet != 0)
        {
            return Err(ParseError::UnexpectedBody { command });
        }
        let nul = self.end_of_body(unread);
        let arrived = &unread[..nul.unwrap_or(unread.len())];
        if self.body.len() + arrived.len() > self.limits.body {
            if self.is_cut(command) {
                let arrived = std::mem::take(&mut self.body).len();
                return Ok(Step::Next(State::CutBody { arrived, length: None }));
            }
            return Err(ParseError::BodyTooLong { command, limit: self.limits.body });
        }
        if nul.is_none() {
            self.body.extend_from_slice(arrived);
            self.start = self.buffer.len();
            return Ok(Step::More(State::OpenBody));
        }
        self.start += arrived.len() + 1;
        self.open_end = self.is_tolerant();
        if self.body.is_empty() {
            return Ok(Step::Frame(Bytes::copy_from_slice(arrived), None));
        }
        self.body.extend_from_slice(arrived);
        // It grew by doubling, and a frame may be kept for long.
        self.body.shrink_to_fit();
        Ok(Step::Frame(std::mem::take(&mut self.body).into(), None))
    }

    /// The NUL at which a body without a length ends: the first, or, where a sender's NULs are tolerated, the first
    /// that a frame may follow.
    fn end_of_body(&self, unread: &[u8]) -> Option<usize> {
        if !self.is_tolerant() {
            return memchr::memchr(0, unread);
        }
        end_of_frame(unread)
    }

    pub(super) fn cut_body(&mut self, arrived: usize, length: Option<usize>) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        // What was to be sent behind the claimed end is there before it: the claim is a forgery, and what it had dropped
        // may have been frames.
        let probe = self.probe_of_doubt().filter(|_| length.is_some());
        let receipt = probe.and_then(|probe| memchr::memmem::find(unread, probe));
        if let (Some(length), Some(at)) = (length, receipt.filter(|at| *at >= RECEIPT.len())) {
            if at <= length - arrived {
                self.start += at - RECEIPT.len();
                return Ok(Step::Frame(Bytes::new(), Some(Cut::Unclear)));
            }
        }
        let end = match length {
            Some(length) => Some(length - arrived).filter(|end| *end < unread.len()),
            None => self.end_of_body(unread),
        };
        let Some(end) = end else {
            // The RECEIPT may come in two parts.
            let keep = probe.map_or(0, |probe| unread.len().min(RECEIPT.len() + probe.len()));
            self.doubt.found |=
                self.doubt.trust == Trust::None && length.is_some() && end_of_frame(unread).is_some();
            let dropped = unread.len() - keep;
            self.start += dropped;
            let arrived = arrived.saturating_add(dropped);
            return Ok(Step::More(State::CutBody { arrived, length }));
        };
        if unread[end] != 0 {
            if self.is_tolerant() {
                self.flaws.lengths += 1;
                return Ok(Step::Next(State::CutBody { arrived, length: None }));
            }
            return Err(ParseError::NoNul { command: self.command(), length: arrived + end });
        }
        self.start += end + 1;
        Ok(Step::Frame(Bytes::new(), Some(Cut::Body(arrived.saturating_add(end)))))
    }

    /// Skips what is left of a body that was taken to end earlier.
    pub(super) fn rest(&mut self, octets: usize) -> Result<Step, ParseError> {
        let unread = &self.buffer[self.start..];
        let nul = end_of_frame(unread);
        let skipped = nul.map_or(unread.len(), |nul| nul + 1);
        let octets = octets.saturating_add(skipped);
        if octets > self.limits.body.max(COMMAND_LINE) {
            return Err(ParseError::UnknownCommand {
                line: excerpt_of_line(&unread[..unread.len().min(COMMAND_LINE)]),
            });
        }
        self.flaws.octets = self.flaws.octets.saturating_add(skipped);
        self.start += skipped;
        Ok(match nul {
            Some(_) => Step::Next(State::Idle),
            None => Step::More(State::Rest { octets }),
        })
    }

    /// Whether the body that is being read is one that is tolerated.
    pub(super) fn is_tolerant(&self) -> bool {
        self.tolerant && self.command() == Command::Message
    }
}

/// Whether a frame of a server begins here, as far as two lines tell.
fn begins_a_frame(octets: &[u8]) -> bool {
    let mut lines = octets.trim_ascii_start().split(|octet| *octet == b'\n').skip(1);
    let is_header = |line: &[u8]| line.contains(&b':') || line.trim_ascii().is_empty();
    follows(octets) == Follows::Frame && lines.next().is_some_and(is_header)
}

/// The first NUL that may end a frame, by what follows it.
pub(super) fn end_of_frame(octets: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0, octets).find(|nul| follows(&octets[nul + 1..]) != Follows::Nothing)
}
