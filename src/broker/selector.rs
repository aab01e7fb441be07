//! The one kind of selector that is understood: headers that equal a text.

use super::refusal::Refusal;
use crate::stomp::Headers;

/// Names that JMS gives to headers of STOMP. Other names that begin with `JMS` are no properties of a message, `JMSX` apart.
const HEADERS: [(&str, &str); 2] = [("JMSCorrelationID", "correlation-id"), ("JMSType", "type")];

/// `name = 'text'`, or several of them joined by AND. The rest of JMS's selectors (SQL 92) is left out: one
/// that cannot be obeyed is refused rather than ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(Vec<(String, String)>);

impl Selector {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut terms = Vec::new();
        let mut rest = text;
        loop {
            let (name, value, after) = Self::term(rest).ok_or_else(|| {
                Refusal::unsupported(
                    "this selector is",
                    "It understands name = 'text', and several of these joined by AND. Leave out the selector, \
                     use another queue, or test with the broker that you deploy on.",
                )
            })?;
            terms.push((name.to_owned(), value));
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(Self(terms));
            }
            rest = match after.get(..4) {
                Some(and) if and.eq_ignore_ascii_case("and ") => &after[4..],
                // The next term fails on this, and says so.
                _ => "",
            };
        }
    }

    /// One `name = 'text'` and what follows it; a quote inside the text is doubled.
    fn term(text: &str) -> Option<(&str, String, &str)> {
        let (name, rest) = text.split_once('=')?;
        let name = name.trim();
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
            return None;
        }
        let header = HEADERS.iter().find(|(jms, _)| *jms == name).map(|(_, header)| *header);
        if header.is_none() && name.starts_with("JMS") && !name.starts_with("JMSX") {
            return None;
        }
        let name = header.unwrap_or(name);
        let mut rest = rest.trim_start().strip_prefix('\'')?;
        let mut value = String::new();
        loop {
            let (part, after) = rest.split_once('\'')?;
            value.push_str(part);
            let Some(quoted) = after.strip_prefix('\'') else {
                return Some((name, value, after));
            };
            value.push('\'');
            rest = quoted;
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        let term = |(name, value): &(String, String)| {
            std::mem::size_of::<(String, String)>() + name.len() + value.capacity()
        };
        self.0.iter().map(term).sum()
    }

    pub(super) fn matches(&self, headers: &Headers) -> bool {
        self.0.iter().all(|(name, value)| headers.get(name) == Some(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_joined_by_and() {
        let headers: Headers = [("food", "barf"), ("name", "O'Hara"), ("correlation-id", "7"), ("type", "t")]
            .into_iter()
            .collect();
        for (selector, expected) in [
            ("food='barf'", true),
            ("food = 'barf' AND name='O''Hara'", true),
            ("food='barf' and name = 'x'", false),
            ("other='barf'", false),
            ("food=''", false),
            ("JMSCorrelationID = '7' AND JMSType = 't'", true),
            ("JMSCorrelationID = '8'", false),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&headers), expected, "{selector}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for selector in [
            "",
            "n > 3",
            "a='x' OR b='y'",
            "a='x",
            "a=3",
            "NOT a='x'",
            "a-b='x'",
            "a='x' AND",
            "JMSMessageID='x'",
            "a='x' b='y'",
            "é",
            "a='x'é",
        ] {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }
}
