//! Names of headers: what HTTP allows, when two are one, and how they are written.

/// Whether `bytes` is an RFC 9110 `token` (section 5.6.2): what methods and header names are made of.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// The bytes of a token.
const TOKEN: [bool; 256] = alphanumerics_and(b"!#$%&'*+-.^_`|~");

/// Which bytes are ASCII letters, digits or one of these.
pub(super) const fn alphanumerics_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// One byte of a CGI key: upper-case, `-` as `_` (RFC 3875 section 4.1.18).
const fn folded(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// The same by look-up, and 0 for what is in no token.
const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if TOKEN[byte] {
            table[byte] = folded(byte as u8);
        }
        byte += 1;
    }
    table
};

/// Whether two names make the same `HTTP_` key, as `X-Tenant` and `x_tenant` do.
pub(super) fn same_key(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| folded(a) == folded(b))
}

/// A hash (FNV-1a) that is equal for names with the same `HTTP_` key. It only saves comparisons; nothing
/// breaks where a sender provokes collisions.
pub(super) fn key_hash(name: &[u8]) -> u32 {
    name.iter().fold(HASH, |hash, &byte| (hash ^ u32::from(folded(byte))).wrapping_mul(PRIME))
}

/// The [`key_hash`] of a name, where it is a token.
pub(super) fn token_hash(name: &[u8]) -> Option<u32> {
    let (mut hash, mut all) = (HASH, !name.is_empty());
    for &byte in name {
        let folded = FOLDED[usize::from(byte)];
        all &= folded != 0;
        hash = (hash ^ u32::from(folded)).wrapping_mul(PRIME);
    }
    all.then_some(hash)
}

const HASH: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// How far a name is from HTTP's own spelling; of two names with the same key, the lower one wins.
pub(super) fn underscores(name: &[u8]) -> usize {
    name.iter().filter(|&&byte| byte == b'_').count()
}

/// Whether `name` begins with `prefix`, in any case.
pub(super) fn has_prefix(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Undoes the escapes of Camel's `JmsKeyFormatStrategy`: `_HYPHEN_` is `-`, `_DOT_` is `.`. `None` where
/// there are none, which is nearly always.
pub(super) fn camel_decoded(name: &[u8]) -> Option<Vec<u8>> {
    const ESCAPES: [(&[u8], u8); 2] = [(b"_HYPHEN_", b'-'), (b"_DOT_", b'.')];
    let is_escape = |at: usize| ESCAPES.iter().any(|(escape, _)| name[at..].starts_with(escape));
    let first = memchr::memchr(b'_', name)?;
    if !memchr::memchr_iter(b'_', &name[first..]).any(|at| is_escape(first + at)) {
        return None;
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(&byte) = rest.first() {
        if let Some((escape, meant)) = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape)) {
            decoded.push(*meant);
            rest = &rest[escape.len()..];
        } else {
            decoded.push(byte);
            rest = &rest[1..];
        }
    }
    Some(decoded)
}

/// How the headers of a response are named in the reply.
///
/// In each of them, `Content-Type` travels as STOMP's `content-type`, and names that a broker would act on
/// are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HeaderNames {
    /// `Set-Cookie`, `X-Request-Id`: canonical, upper-case after each hyphen. Brokers' own names are
    /// lower-case, so that none is hit.
    #[default]
    Train,
    /// As the application wrote them, for callers who compare names exactly. A name that a broker or STOMP
    /// claims (`expires`, `priority`, `x-...`) is dropped.
    Raw,
    /// `Set_HYPHEN_Cookie`: JMS identifiers, which Camel turns back into `Set-Cookie`.
    Camel,
    /// `Set_Cookie`: JMS identifiers, for selectors written by hand.
    Underscore,
}

/// A short name or value, kept on the stack.
pub(super) type Short = smallvec::SmallVec<[u8; 32]>;

impl HeaderNames {
    /// Writes a name in this manner. `None` where it cannot be: it is no token, or no JMS identifier
    /// where one is asked for.
    pub(super) fn write(self, name: &[u8]) -> Option<Short> {
        if !is_token(name) {
            return None;
        }
        if self == Self::Raw {
            return Some(Short::from_slice(name));
        }
        let mut cased = Short::from_slice(name);
        let mut upper = true;
        for byte in &mut cased {
            *byte = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            upper = *byte == b'-';
        }
        if self == Self::Train {
            return Some(cased);
        }
        let mut written = Short::new();
        for byte in cased {
            match (self, byte) {
                (Self::Camel, b'-') => written.extend_from_slice(b"_HYPHEN_"),
                (Self::Camel, b'.') => written.extend_from_slice(b"_DOT_"),
                (_, b'-' | b'.') => written.push(b'_'),
                _ => written.push(byte),
            }
        }
        is_jms_identifier(&written).then_some(written)
    }
}

/// Jakarta Messaging 3.1, section 3.8.1.1: a Java identifier, which message selectors can name.
fn is_jms_identifier(name: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for good in ["GET", "x", "X-Tenant", "!#$%&'*+-.^_`|~", "M-SEARCH"] {
            assert!(is_token(good.as_bytes()), "{good}");
        }
        for bad in ["", " ", "a b", "a:b", "a\n", "a\0", "é", "a/b", "a(b", "\u{7f}", "a=b", "\"a\""] {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn keys_fold_case_and_hyphens() {
        for (a, b, same) in [
            ("X-Tenant", "x_tenant", true),
            ("X-Tenant", "X-TENANT", true),
            ("X-Tenant", "X-Tenants", false),
            ("X.Tenant", "X-Tenant", false),
            ("", "", true),
        ] {
            assert_eq!(same_key(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
            assert_eq!(key_hash(a.as_bytes()) == key_hash(b.as_bytes()), same, "{a} {b}");
        }
    }

    #[test]
    fn camel_escapes_are_undone_in_one_pass() {
        for (name, decoded) in [
            ("X_HYPHEN_Tenant", Some("X-Tenant")),
            ("a_DOT_b_HYPHEN_c", Some("a.b-c")),
            ("_HYPHEN__HYPHEN_", Some("--")),
            ("_HYPHEN_HYPHEN_", Some("-HYPHEN_")),
            ("_HYP_DOT_HEN_", Some("_HYP.HEN_")),
            ("x_hyphen_y", None),
            ("X_Tenant", None),
            ("X-Tenant", None),
        ] {
            let expected = decoded.map(|name| name.as_bytes().to_vec());
            assert_eq!(camel_decoded(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn written_names() {
        use HeaderNames::{Camel, Raw, Train, Underscore};
        for (names, name, written) in [
            (Train, "set-cookie", Some("Set-Cookie")),
            (Train, "ETag", Some("Etag")),
            (Train, "WWW-AUTHENTICATE", Some("Www-Authenticate")),
            (Train, "expires", Some("Expires")),
            (Train, "x_y-z", Some("X_y-Z")),
            (Train, "a:b", None),
            (Raw, "x-Y", Some("x-Y")),
            (Raw, "", None),
            (Camel, "set-cookie", Some("Set_HYPHEN_Cookie")),
            (Camel, "a.b", Some("A_DOT_b")),
            (Camel, "a!b", None),
            (Underscore, "x-request-id", Some("X_Request_Id")),
            (Underscore, "1-x", None),
        ] {
            let got = names.write(name.as_bytes());
            assert_eq!(got.as_deref(), written.map(str::as_bytes), "{names:?} {name}");
        }
    }
}
