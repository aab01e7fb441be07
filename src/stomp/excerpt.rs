//! What a peer sent, made fit to be shown to people.

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
    use super::complaint;

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
