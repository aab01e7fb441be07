//! Credentials, kept out of what a peer's text makes errors and log lines say.
use std::{borrow::Cow, ops::Range, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use smallvec::SmallVec;

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
/// escaped as STOMP does it, escaped as excerpts are, percent-encoded in whole or in part, as in a form, as JSON's `\u`,
/// any mixture of these, and in hex.
///
/// What it redacts may be garbled where a secret is a usual word: that is safer than to show it.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    /// Each in each spelling.
    spelled: Arc<[Secret]>,
    /// Each as [`Decoded`] has it, for spellings that are mixed.
    decoded: Arc<[Secret]>,
}

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
        let (mut spelled, mut decoded): (Vec<Secret>, Vec<Secret>) = Default::default();
        let logins = logins.into_iter().map(|login| (login, false));
        for (secret, in_pieces) in passcodes.into_iter().map(|passcode| (passcode, true)).chain(logins) {
            for text in spellings(secret) {
                // A login is often a usual word, by which a refusal may begin: brokers are known by theirs.
                let any_case = in_pieces || text != secret.as_bytes();
                Secret::add(text, any_case, in_pieces, &mut spelled);
            }
            let text = Decoded::new(secret.as_bytes(), in_pieces).octets;
            Secret::add(text, in_pieces, in_pieces, &mut decoded);
        }
        Self { spelled: spelled.into(), decoded: decoded.into() }
    }

    /// `text` without secrets and pieces of them. What a peer can have it take is bounded by the texts, which
    /// the callers cut to some hundred octets.
    pub(super) fn redact<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if self.spelled.is_empty() {
            return Cow::Borrowed(text);
        }
        let lower = text.to_ascii_lowercase();
        let mut is_secret = vec![false; text.len()];
        for at in 0..text.len() {
            let begins =
                |secret: &Secret| secret.begins(if secret.any_case { &lower[at..] } else { &text[at..] });
            let octets = self.spelled.iter().map(begins).max().unwrap_or(0);
            is_secret[at..at + octets].fill(true);
        }
        // Elsewhere the decoded text is the text.
        if text.iter().any(|octet| b"%\\+\r\n\0".contains(octet)) {
            let (exact, any_case) = (Decoded::new(text, false), Decoded::new(text, true));
            for secret in self.decoded.iter() {
                let view = if secret.any_case { &any_case } else { &exact };
                for at in 0..view.octets.len() {
                    let octets = secret.begins(&view.octets[at..]);
                    is_secret[view.place(at..at + octets)].fill(true);
                }
            }
        }
        if !is_secret.contains(&true) {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        for (at, &octet) in text.iter().enumerate() {
            match is_secret[at] {
                false => out.push(octet),
                // Several in a row would say how many there are.
                true if at == 0 || !is_secret[at - 1] => out.extend_from_slice(REDACTED),
                true => {}
            }
        }
        Cow::Owned(out)
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
    fn add(mut text: Vec<u8>, any_case: bool, in_pieces: bool, to: &mut Vec<Self>) {
        if any_case {
            text.make_ascii_lowercase();
        }
        let piece = match in_pieces {
            true => (text.len() / 2).clamp(SHORTEST_PIECE, PIECE).min(text.len()),
            false => text.len(),
        };
        if !text.is_empty() && !to.iter().any(|known| known.text == text && known.any_case == any_case) {
            to.push(Self { text, any_case, piece });
        }
    }

    /// How many octets at the beginning of `text` are a piece of it.
    fn begins(&self, text: &[u8]) -> usize {
        let Some(piece) = text.get(..self.piece) else { return 0 };
        let common = |at: usize| self.text[at..].iter().zip(text).take_while(|(a, b)| a == b).count();
        memchr::memmem::find_iter(&self.text, piece).map(common).max().unwrap_or(0)
    }
}

/// A text with nothing left to decode: `%XX`, the escapes of STOMP, of excerpts and of JSON, and what a form or
/// the encoder makes a space. Whichever of a text's characters were encoded, in whichever of these ways and however often,
/// the result is the same. So a secret is looked for in what is left of it here, too; it may be no text any more.
struct Decoded {
    octets: Vec<u8>,
    /// Where each stood.
    places: Vec<Range<usize>>,
    /// The length of what was decoded.
    len: usize,
    /// Whether letters of the other case are the same; the octets are in lower case then.
    any_case: bool,
}

impl Decoded {
    fn new(text: &[u8], any_case: bool) -> Self {
        let mut decoded = Self { octets: Vec::new(), places: Vec::new(), len: text.len(), any_case };
        for (at, &octet) in text.iter().enumerate() {
            decoded.push(octet, at..at + 1);
        }
        // What follows decides whether it stands for something, so it has to match with nothing behind it, too.
        if decoded.octets.last() == Some(&b'\\') {
            decoded.octets.pop();
            decoded.places.pop();
        }
        decoded
    }

    /// Appends an octet, and decodes what it completes, which may complete something in turn.
    fn push(&mut self, octet: u8, place: Range<usize>) {
        // Those that follow make something of what begins so.
        if self.octets.last() == Some(&b'\\') && !matches!(octet, b'%' | b'x' | b'X' | b'u' | b'U') {
            self.octets.pop();
            let slash = self.places.pop().map_or(place.start, |slash| slash.start);
            return match octet {
                b'c' | b'C' => self.push(b':', slash..place.end),
                b'n' | b'N' | b'r' | b'R' => self.push(b' ', slash..place.end),
                b't' | b'T' => self.push(b'\t', slash..place.end),
                // One of several, or one that means nothing, is dropped.
                octet => self.push(octet, place),
            };
        }
        self.octets.push(match octet {
            b'+' | b'\r' | b'\n' | b'\0' => b' ',
            octet if self.any_case => octet.to_ascii_lowercase(),
            octet => octet,
        });
        self.places.push(place.clone());
        if !octet.is_ascii_hexdigit() {
            return;
        }
        let Some((taken, character)) = self.completed() else { return };
        let from = self.octets.len() - taken;
        let start = self.places[from].start;
        self.octets.truncate(from);
        self.places.truncate(from);
        for octet in character {
            self.push(octet, start..place.end);
        }
    }

    /// How many octets at the end stand for something, and for what.
    fn completed(&self) -> Option<(usize, SmallVec<[u8; 4]>)> {
        let number = |before: &[u8], digits: usize, octets: &[u8]| {
            let (head, digits) = octets.split_at(octets.len().checked_sub(digits)?);
            let mark = &head[head.len().checked_sub(before.len())?..];
            let is_number = mark.eq_ignore_ascii_case(before) && digits.iter().all(u8::is_ascii_hexdigit);
            is_number.then(|| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
        };
        let octet = |number: u16| SmallVec::from_slice(&[number as u8]);
        if let Some(number) = number(b"%", 2, &self.octets) {
            return Some((3, octet(number)));
        }
        if let Some(number) = number(b"\\x", 2, &self.octets) {
            return Some((4, octet(number)));
        }
        let unit = number(b"\\u", 4, &self.octets)?;
        let before = number(b"\\u", 4, &self.octets[..self.octets.len() - 6]);
        // Half of a pair waits for its other half.
        let (taken, units) = match before {
            Some(before) => (12, &[before, unit][..]),
            None => (6, &[unit][..]),
        };
        let character = char::decode_utf16(units.iter().copied()).collect::<Result<String, _>>().ok()?;
        Some((taken, SmallVec::from_slice(character.as_bytes())))
    }

    /// Where some octets stood, with what was dropped next to them, which may be of the secret.
    fn place(&self, octets: Range<usize>) -> Range<usize> {
        if octets.is_empty() {
            return 0..0;
        }
        // What stands for several octets is one place.
        let (first, last) = (&self.places[octets.start], &self.places[octets.end - 1]);
        let before = octets.start.checked_sub(1).map_or(0, |before| self.places[before].end);
        let behind = self.places.get(octets.end).map_or(self.len, |behind| behind.start);
        before.min(first.start)..behind.max(last.end)
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
    use proptest::{collection::vec, prelude::*};

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
    fn a_secret_encoded_in_part_is_redacted_whole() {
        for spelled in [
            "%533cr3%74Pass%770rdX%59Z",
            "%533cr3t%50assw0rd%58%59%5A",
            "S%33cr%33tPas%73w0r%64XY%5a",
            "S%2533cr%25253%33tPassw0r\\x64\\u0058YZ",
            "s%33CR3T%70ASSW0RDXY%7a",
        ] {
            assert_eq!(
                redacted("S3cr3tPassw0rdXYZ", &format!("no '{spelled}' here")),
                "no '(redacted)' here"
            );
        }
        assert_eq!(redacted("p\u{1F600}ss:w", r"no p\ud83d\uDE00%73s\cw."), "no (redacted).");
        let spoilt = redacted("S3cr3tPassw0rdXYZ", r"%S3cr3tPassw0rdXY%5A% \\S3cr3tPassw0rdXY%5A\");
        assert_eq!(spoilt, r"%(redacted)% (redacted)");
        // Of logins the letters' case counts.
        assert_eq!(redacted("x", "Ann? %61nn! %41nn"), "Ann? (redacted)! %41nn");
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_of_a_secret_it_is_redacted_whole(
            // What has nothing but backslashes is no word to decode.
            secret in "[A-Za-z0-9%+ :'\\\\ö\u{1F600}]{0,30}[A-Za-z0-9%+:'ö][A-Za-z0-9%+ :'\\\\ö\u{1F600}]{0,9}",
            ways in vec(0..5u8, 40),
        ) {
            let mut spelled = String::new();
            for (character, way) in secret.chars().zip(ways) {
                for octet in character.to_string().bytes() {
                    match way {
                        0 => spelled.push_str(&format!("%{octet:02x}")),
                        1 => spelled.push_str(&format!("%{octet:02X}")),
                        2 => spelled.push_str(&format!("%25{octet:02x}")),
                        _ => {}
                    }
                }
                match (character, way) {
                    (':', 3) => spelled.push_str("\\c"),
                    ('\\', 3) => spelled.push_str("\\\\"),
                    (_, 3..) => spelled.push(character),
                    _ => {}
                }
            }
            let shown = Secrets::new([], [&*secret]).redact_text(&format!("|{spelled}|"));
            prop_assert_eq!(shown, "|(redacted)|", "{}", spelled);
        }

        #[test]
        fn whatever_is_redacted_keeps_its_place(secret in "[a-c%\\\\0-9]{1,8}", text in "[a-cx%\\\\0-9u]{0,40}") {
            let shown = Secrets::new(["ab"], [&*secret]).redact_text(&text);
            // What is left stands in the text, in its order.
            let mut rest = &*text;
            for part in shown.split("(redacted)") {
                let at = rest.find(part);
                prop_assert!(at.is_some(), "{} of {}", shown, text);
                rest = &rest[at.unwrap() + part.len()..];
            }
        }
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
