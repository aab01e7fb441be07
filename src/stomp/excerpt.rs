//! What a peer sent, made fit to be shown to people.

use std::fmt;

/// Octets of a value that a log line or an error shows: the value may be as long as a header, and each line of a
/// request repeats its path.
const SHOWN: usize = 256;

/// A peer's value in a log line: printable, on one line, and cut where it is long, with its length then.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0[..self.0.len().min(SHOWN)].escape_ascii())?;
        if self.0.len() > SHOWN { write!(f, "... ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

/// The beginning of `octets`, at most `max` of them, in printable ASCII, with a mark where it was cut.
pub(crate) fn excerpt(octets: &[u8], max: usize) -> String {
    let mut text = octets[..octets.len().min(max)].escape_ascii().to_string();
    if octets.len() > max {
        text.push_str("...");
    }
    text
}

/// The same for a line where a command was expected. Only what stands before a colon is shown: where a
/// boundary between frames was lost, what follows may be a secret.
pub(super) fn excerpt_of_line(line: &[u8]) -> String {
    cut_at(line, |octet| octet == b':')
}

/// The same for a header line without a colon: its first word, since the second may be a secret.
pub(super) fn excerpt_of_word(line: &[u8]) -> String {
    cut_at(line, |octet| matches!(octet, b' ' | b'\t' | b'='))
}

fn cut_at(line: &[u8], end: impl Fn(u8) -> bool) -> String {
    match line.iter().take(32).position(|&octet| end(octet)) {
        Some(at) => format!("{}...", excerpt(&line[..at], 32)),
        None => excerpt(line, 32),
    }
}

/// What an ERROR says by its `message` header and the first line of its body. RabbitMQ has a kind of error there, and
/// here what was wrong; ActiveMQ has what was wrong there, and here the same with its kind.
pub(super) fn complaint(message: &str, body: &str) -> String {
    let first = body.lines().next().unwrap_or_default().trim();
    if message.contains(first) {
        message.to_owned()
    } else if first.contains(message) {
        first.to_owned()
    } else {
        format!("{message}: {first}")
    }
}

/// The beginning of a text, about `max` octets, as it is but for control characters, which become spaces:
/// they could play tricks on the terminal of whoever reads a log. Line ends and tabs stay.
pub(super) fn printable(text: &[u8], max: usize) -> String {
    let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c };
    let mut shown: String =
        String::from_utf8_lossy(&text[..text.len().min(max)]).chars().map(harmless).collect();
    if text.len() > max {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Shown, complaint};

    #[test]
    fn long_values_are_cut_and_counted() {
        assert_eq!(Shown(b"/a\n\xff").to_string(), r"/a\n\xff");
        assert_eq!(Shown(&[b'x'; 256]).to_string(), "x".repeat(256));
        let shown = Shown(&[b'x'; 1 << 20]).to_string();
        assert_eq!(shown, format!("{}... (1048576 bytes)", "x".repeat(256)));
    }

    #[test]
    fn an_error_is_told_by_header_and_body() {
        for (message, body, told) in [
            ("Bad CONNECT", "Access refused for user 'a'\n", "Bad CONNECT: Access refused for user 'a'"),
            ("n >", "InvalidSelectorException: n >\n\tat a.B(B.java:1)\n", "InvalidSelectorException: n >"),
            ("wrong password", "wrong password", "wrong password"),
            ("alone", "", "alone"),
            ("", "alone", "alone"),
        ] {
            assert_eq!(complaint(message, body), told);
        }
    }
}
