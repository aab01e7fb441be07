//! Credentials, kept out of what a peer's text makes errors and log lines say.
use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::excerpt::printable;

/// What stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// A piece of a passcode is recognised from this many octets on, or from half of it where that is less. So a secret
/// that a peer, or an excerpt, cut in two shows at most one octet less of it.
const PIECE: usize = 6;
/// No shorter piece counts, or every second word would be redacted; a shorter secret is recognised whole.
const SHORTEST_PIECE: usize = 4;

/// What URIs leave as it is, besides letters and digits, and what forms do.
const URI: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// Logins and passcodes in the spellings in which a peer may repeat them, passcodes with ASCII letters of either case: as sent,
/// escaped as STOMP does it, escaped as excerpts are, percent-encoded in whole or in part, as in a form, in hex, and
/// as JSON's `\u`.
///
/// What it redacts may be garbled where a secret is a usual word: that is safer than to show it.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[Secret]>);

struct Secret {
    text: Vec<u8>,
    /// Whether letters of the other case are the same; the text is in lower case then.
    any_case: bool,
    /// The shortest piece that is recognised.
    piece: usize,
}

impl Secrets {
    /// Logins are recognised whole, passcodes in pieces, too.
    pub(crate) fn new<'a>(
        logins: impl IntoIterator<Item = &'a str>,
        passcodes: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut secrets: Vec<Secret> = Vec::new();
        let logins = logins.into_iter().map(|login| (login, false));
        for (secret, in_pieces) in passcodes.into_iter().map(|passcode| (passcode, true)).chain(logins) {
            for mut text in spellings(secret) {
                // A login is often a usual word, by which a refusal may begin: brokers are known by theirs.
                let any_case = in_pieces || text != secret.as_bytes();
                if any_case {
                    text.make_ascii_lowercase();
                }
                let piece = match in_pieces {
                    true => (text.len() / 2).clamp(SHORTEST_PIECE, PIECE).min(text.len()),
                    false => text.len(),
                };
                if !text.is_empty()
                    && !secrets.iter().any(|known| known.text == text && known.any_case == any_case)
                {
                    secrets.push(Secret { text, any_case, piece });
                }
            }
        }
        Self(secrets.into())
    }

    /// `text` without secrets and pieces of them.
    pub(super) fn redact<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let lower = text.to_ascii_lowercase();
        let mut redacted: Option<Vec<u8>> = None;
        let (mut at, mut copied) = (0, 0);
        while at < text.len() {
            match self
                .0
                .iter()
                .map(|secret| secret.begins(if secret.any_case { &lower[at..] } else { &text[at..] }))
                .max()
                .unwrap_or(0)
            {
                0 => at += 1,
                octets => {
                    let out = redacted.get_or_insert_with(|| Vec::with_capacity(text.len()));
                    out.extend_from_slice(&text[copied..at]);
                    // Several in a row would say how many there are.
                    if at > copied || at == 0 {
                        out.extend_from_slice(REDACTED);
                    }
                    at += octets;
                    copied = at;
                }
            }
        }
        match redacted {
            None => Cow::Borrowed(text),
            Some(mut out) => {
                out.extend_from_slice(&text[copied..]);
                Cow::Owned(out)
            }
        }
    }

    /// The same for a text that was cut and made printable already.
    pub(super) fn redact_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact(text.as_bytes())).into_owned()
    }

    /// The beginning of a text, redacted and [`printable`]. Cutting goes first: what is left of a secret at the cut
    /// is recognised as a piece of it, while to cut what was redacted would move the cut into what nobody had looked at.
    pub(super) fn excerpt(&self, text: &[u8], max: usize) -> String {
        let mut shown = printable(&self.redact(&text[..text.len().min(max)]), max);
        if text.len() > max && !shown.ends_with("...") {
            shown.push_str("...");
        }
        shown
    }

    /// The beginning of a peer's value for a log line: redacted, printable, on one line, with its length where it was cut.
    pub(crate) fn value(&self, value: &[u8], max: usize) -> String {
        let shown = self.redact(&value[..value.len().min(max)]).escape_ascii().to_string();
        if value.len() > max { format!("{shown}... ({} bytes)", value.len()) } else { shown }
    }
}

impl Secret {
    /// How many octets at the beginning of `text` are a piece of it.
    fn begins(&self, text: &[u8]) -> usize {
        let Some(piece) = text.get(..self.piece) else { return 0 };
        let common = |at: usize| self.text[at..].iter().zip(text).take_while(|(a, b)| a == b).count();
        memchr::memmem::find_iter(&self.text, piece).map(common).max().unwrap_or(0)
    }
}

fn spellings(secret: &str) -> [Vec<u8>; 10] {
    // As the encoder sends it: CONNECT has no escapes.
    let sent = secret.replace(['\r', '\n', '\0'], " ").into_bytes();
    let mut escaped = Vec::with_capacity(sent.len());
    for &octet in secret.as_bytes() {
        match octet {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b':' => escaped.extend_from_slice(b"\\c"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            _ => escaped.push(octet),
        }
    }
    let printed = sent.escape_ascii().to_string().into_bytes();
    let encoded = |set| percent_encode(secret.as_bytes(), set).to_string();
    let each =
        |before: &str| -> String { secret.bytes().map(|octet| format!("{before}{octet:02x}")).collect() };
    let json: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let encodings = [
        encoded(NON_ALPHANUMERIC),
        encoded(URI),
        encoded(FORM).replace("%20", "+"),
        each("%"),
        each(""),
        json,
    ];
    let [part, uri, form, whole, hex, json] = encodings.map(String::into_bytes);
    [secret.as_bytes().to_vec(), sent, escaped, printed, part, uri, form, whole, hex, json]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(passcode: &str, text: &str) -> String {
        Secrets::new(["ann"], [passcode]).redact_text(text)
    }

    #[test]
    fn secrets_are_redacted_in_every_spelling() {
        const SECRET: &str = "p:ss\\wör d%";
        for spelled in [
            "p:ss\\wör d%",
            "p\\css\\\\wör d%",
            r"p:ss\\w\xc3\xb6r d%",
            "p%3Ass%5Cw%C3%B6r%20d%25",
            "p%3ass%5cw%c3%b6r%20d%25",
            "P:SS\\WöR D%",
            "p%3Ass%5Cw%C3%B6r+d%25",
            "%70%3A%73%73%5C%77%C3%B6%72%20%64%25",
            "%70%3a%73%73%5c%77%c3%b6%72%20%64%25",
            "703a73735c77c3b672206425",
            "703A73735C77C3B672206425",
            r"\u0070\u003a\u0073\u0073\u005c\u0077\u00f6\u0072\u0020\u0064\u0025",
            r"\u0070\u003A\u0073\u0073\u005C\u0077\u00F6\u0072\u0020\u0064\u0025",
        ] {
            assert_eq!(redacted(SECRET, &format!("no '{spelled}' here")), "no '(redacted)' here");
        }
        assert_eq!(redacted("two\nlines", "no two lines"), "no (redacted)");
        assert_eq!(redacted("two words-pw", "no two+words-pw"), "no (redacted)");
        assert_eq!(redacted("S3cr3tPassc0de", "no s3CR3TpASSC0DE"), "no (redacted)");
        assert_eq!(redacted("S3cr3tPassc0de", "No SECRET in Mixed Case"), "No SECRET in Mixed Case");
    }

    #[test]
    fn values_of_headers_are_redacted_on_one_line() {
        let secrets = Secrets::new([], ["S3cr3tPassc0de"]);
        assert_eq!(secrets.value(b"ID:S3cr3tPassc0de\n1", 100), "ID:(redacted)\\n1");
        assert_eq!(secrets.value(b"ID:S3cr3tPassc0de", 10), "ID:(redacted)... (17 bytes)");
        assert_eq!(secrets.value(b"/queue/a", 100), "/queue/a");
    }

    #[test]
    fn a_secret_cut_anywhere_is_redacted() {
        const SECRET: &str = "correct-horse-battery";
        for cut in 0..SECRET.len() {
            let (head, tail) = SECRET.split_at(cut);
            let shown = redacted(SECRET, &format!("x {head}|{tail} y"));
            let longest =
                shown.split(['|', ' ']).map(|part| if part.contains("(redacted)") { 0 } else { part.len() });
            assert!(longest.max().unwrap() < PIECE, "{shown}");
        }
    }

    #[test]
    fn short_and_usual_secrets_garble_rather_than_show() {
        assert_eq!(redacted("a", "a cat"), "(redacted) c(redacted)t");
        assert_eq!(redacted("aa", "aaaa"), "(redacted)");
        assert_eq!(redacted("x", "ann, anna and an"), "(redacted), (redacted)a and an");
        assert_eq!(redacted("", "anything"), "anything");
        assert_eq!(redacted("secret", "nothing of it"), "nothing of it");
    }

    #[test]
    fn an_excerpt_is_cut_before_it_is_redacted() {
        let secrets = Secrets::new([], ["correct-horse-battery"]);
        let text = "correct-horse-battery ".repeat(100);
        for max in 0..200 {
            let shown = secrets.excerpt(text.as_bytes(), max);
            assert!(!shown.contains("correct") && shown.len() <= max + 3, "{max}: {shown}");
        }
    }
}
