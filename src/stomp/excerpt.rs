//! What a peer sent, made fit to be shown to people.

/// The beginning of `octets`, at most `max` of them, in printable ASCII, with a mark where it was cut.
pub(super) fn excerpt(octets: &[u8], max: usize) -> String {
    let mut text = octets[..octets.len().min(max)].escape_ascii().to_string();
    if octets.len() > max {
        text.push_str("...");
    }
    text
}

/// The same for a line of a head, of which only what stands before a colon is shown: what follows may be
/// a secret that a lost boundary between frames has put where a command was expected.
pub(super) fn excerpt_of_line(line: &[u8]) -> String {
    match memchr::memchr(b':', line) {
        Some(colon) if colon < 32 => format!("{}:...", excerpt(&line[..colon], 32)),
        _ => excerpt(line, 32),
    }
}
