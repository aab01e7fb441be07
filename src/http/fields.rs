//! From the headers of a message to those of a request.
use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Reason;
use super::metadata::Pair;
use super::name::{camel_decoded, key_hash, same_key, token_hash, underscores};
use super::reserved::is_reserved;
use super::target::is_host;
use crate::stomp::{Builder, Headers};

/// Headers that an application gets.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) content_type: Option<Bytes>,
    /// No two with the same `HTTP_` key.
    pub(super) headers: Headers,
}

type Kept<'a> = SmallVec<[Field<'a>; 16]>;

struct Field<'a> {
    name: Cow<'a, [u8]>,
    value: &'a [u8],
    hash: u32,
}

/// What was left out, for one line in the log. Names and values stay out of it: both are the sender's.
#[derive(Debug, Default)]
struct Dropped {
    /// No HTTP header can have the name.
    unnameable: usize,
    /// Another header has the same key.
    ambiguous: usize,
    /// Content-Encoding names no content coding.
    codings: usize,
}

impl Fields {
    /// `host` is that of an absolute target.
    pub(super) fn read(headers: &[Pair<'_>], host: Option<&[u8]>, strict: bool) -> Result<Self, Reason> {
        let mut content_type: Option<(u8, &[u8])> = None;
        let mut spelt: Option<(&[u8], &[u8])> = None;
        let mut kept = Kept::new();
        let mut dropped = Dropped::default();
        let mut options: Vec<&[u8]> = Vec::new();
        for &(raw, value) in headers {
            // Decoded first: `_HYPHEN_` must not hide a name from the checks.
            let name = camel_decoded(raw).map_or(Cow::Borrowed(raw), Cow::Owned);
            if let Some(rank) = content_type_rank(&name) {
                let value = trimmed(value);
                if value.is_empty() {
                    continue;
                }
                // Ours and a gateway's may both be there, and say the same.
                match spelt {
                    Some((known, other)) if strict && known != raw && other != value => {
                        return Err(Reason::AmbiguousHeaders(shown(known), shown(raw)));
                    }
                    known => spelt = known.or(Some((raw, value))),
                }
                if content_type.is_none_or(|(best, _)| rank < best) {
                    content_type = Some((rank, value));
                }
                continue;
            }
            if is_reserved(&name) || same_key(&name, b"content-length") {
                continue;
            }
            if is_hop_by_hop(&name) {
                if same_key(&name, b"connection") {
                    options.push(value);
                }
                continue;
            }
            if same_key(&name, b"content-encoding") && !is_content_coding(value) {
                dropped.codings += 1;
                continue;
            }
            let Some(hash) = token_hash(&name) else {
                dropped.unnameable += 1;
                continue;
            };
            let field = Field { name, value, hash };
            let known =
                kept.iter_mut().find(|known| known.hash == hash && same_key(&known.name, &field.name));
            match known {
                None => kept.push(field),
                Some(known) => {
                    // A repeat is STOMP's: its first counts. Anything else is two headers to their sender.
                    if strict && known.name != field.name {
                        return Err(Reason::AmbiguousHeaders(shown(&known.name), shown(&field.name)));
                    }
                    dropped.ambiguous += 1;
                    if underscores(&field.name) < underscores(&known.name) {
                        *known = field;
                    }
                }
            }
        }
        if !options.is_empty() {
            let listed = listed(&options);
            kept.retain(|field| !listed.contains(&field.hash));
        }
        if dropped.unnameable + dropped.ambiguous + dropped.codings > 0 {
            let Dropped { unnameable, ambiguous, codings } = dropped;
            tracing::debug!(unnameable, ambiguous, codings, "headers of a message left out of its request");
        }
        let content_type = content_type.map(|(_, value)| value);
        Self::gathered(content_type, &mut kept, &[], host)
    }

    /// The headers of a whole request (structured mode). All of them are HTTP's, whatever a broker would take
    /// them for. Repeats are joined, as CGI wants it (RFC 3875 section 4.1.18); what the framing said is
    /// done with.
    pub(super) fn whole(headers: &Headers, host: Option<&[u8]>, strict: bool) -> Result<Self, Reason> {
        let mut kept = Kept::with_capacity(headers.len());
        let mut repeats: Vec<(usize, &[u8])> = Vec::new();
        // HTTP's names arrive as they are, and need no underscores for hyphens as JMS's do. To an application one would
        // be the other, which whoever checked the other did not see.
        let mut lesser: Vec<&[u8]> = Vec::new();
        let mut options: Vec<&[u8]> = Vec::new();
        for (name, value) in headers.iter() {
            if is_hop_by_hop(name) {
                if name.eq_ignore_ascii_case(b"connection") {
                    options.push(value);
                }
                continue;
            }
            if same_key(name, b"content-length") || same_key(name, b"proxy") {
                continue;
            }
            if underscores(name) > 0 {
                lesser.push(name);
                continue;
            }
            let hash = key_hash(name);
            match kept.iter().position(|known| known.hash == hash && same_key(&known.name, name)) {
                None => kept.push(Field { name: Cow::Borrowed(name), value, hash }),
                Some(at) => repeats.push((at, value)),
            }
        }
        if strict {
            let twin = |name: &&[u8]| kept.iter().find(|known| same_key(&known.name, name));
            if let Some((name, twin)) = lesser.iter().find_map(|name| Some((name, twin(name)?))) {
                return Err(Reason::AmbiguousHeaders(shown(&twin.name), shown(name)));
            }
        }
        if !lesser.is_empty() {
            tracing::debug!(underscores = lesser.len(), "headers of a message left out of its request");
        }
        // A media type is one, and a list of them means nothing: the first counts.
        let media_type = kept.iter().position(|field| same_key(&field.name, b"content-type"));
        let mut remove = |kept: &mut Kept<'_>, at: usize| {
            repeats.retain(|(of, _)| *of != at);
            repeats.iter_mut().filter(|(of, _)| *of > at).for_each(|(of, _)| *of -= 1);
            kept.remove(at);
        };
        let content_type = media_type.map(|at| kept[at].value);
        if let Some(at) = media_type {
            remove(&mut kept, at);
        }
        if !options.is_empty() {
            let listed = listed(&options);
            let at = |at: &usize| listed.contains(&kept[*at].hash);
            let named: Vec<usize> = (0..kept.len()).rev().filter(at).collect();
            named.into_iter().for_each(|at| remove(&mut kept, at));
        }
        Self::gathered(content_type, &mut kept, &repeats, host)
    }

    /// Copies into one buffer that all share: one allocation rather than two for each header, and none that
    /// keeps the frame alive. `repeats` are further values of the fields that they name by number.
    ///
    /// Here the `Host` header and the target come to agree: an absolute target wins (RFC 9112 section 3.2.2), an empty
    /// header stands for none, and one that can be no host is an error, as in RFC 9112 section 3.2.
    fn gathered<'a>(
        content_type: Option<&[u8]>,
        fields: &mut Kept<'a>,
        repeats: &[(usize, &[u8])],
        host: Option<&'a [u8]>,
    ) -> Result<Self, Reason> {
        let at = fields.iter().position(|field| field.name.eq_ignore_ascii_case(b"host"));
        let mut left_out = None;
        if let Some(at) = at {
            let said = trimmed(fields[at].value);
            if said.is_empty() && host.is_none() {
                left_out = Some(at);
            } else if !said.is_empty() && !is_host(said) {
                return Err(Reason::Host);
            }
        }
        match (at, host) {
            (Some(at), Some(host)) => fields[at].value = host,
            (None, Some(host)) => {
                fields.push(Field { name: Cow::Borrowed(b"Host"), value: host, hash: 0 });
            }
            (_, None) => {}
        }

        let size = fields.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>()
            + repeats.iter().map(|(_, value)| value.len() + 2).sum::<usize>();
        let mut headers = Builder::with_capacity(fields.len(), size);
        for (at, Field { name, value, .. }) in fields.iter().enumerate() {
            if Some(at) == left_out {
                continue;
            }
            let value = clean(value);
            let mut repeats = repeats.iter().filter(|(of, _)| *of == at).peekable();
            if repeats.peek().is_none() {
                headers.push(name, &[&value]);
                continue;
            }
            // RFC 9113 section 8.2.3, and RFC 9110 section 5.3.
            let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") { b"; " } else { b"," };
            let repeats: Vec<_> = repeats.map(|(_, value)| clean(value)).collect();
            let pieces = repeats.iter().flat_map(|repeat| [separator, &**repeat]);
            headers.push(name, &std::iter::once(&*value).chain(pieces).collect::<Vec<_>>());
        }
        let content_type = content_type.map(|value| Bytes::copy_from_slice(&clean(value)));
        let content_type = content_type.filter(|value| !value.is_empty());
        Ok(Self { content_type, headers: headers.finish() })
    }
}

/// Whether a header speaks of a connection and not of the request: what carried the request to the broker is over,
/// and its framing is undone (RFC 9110 section 7.6.1, RFC 2616 section 13.5.1).
fn is_hop_by_hop(name: &[u8]) -> bool {
    let names: &[&[u8]] = match name.len() {
        2 => &[b"te"],
        7 => &[b"trailer", b"upgrade"],
        8 => &[b"trailers"],
        10 => &[b"connection", b"keep-alive"],
        16 => &[b"proxy-connection"],
        17 => &[b"transfer-encoding"],
        18 => &[b"proxy-authenticate"],
        19 => &[b"proxy-authorization"],
        _ => return false,
    };
    names.iter().any(|hop| same_key(name, hop))
}

/// What Connection headers name, by hash: it is for the next hop alone. The host is not, whoever says so. (That two names
/// have one hash only its sender can bring about, who may as well list them.)
fn listed(options: &[&[u8]]) -> HashSet<u32> {
    let names = options.iter().flat_map(|value| value.split(|&byte| byte == b',')).map(trimmed);
    names.filter(|name| !same_key(name, b"host")).map(key_hash).collect()
}

/// Whether all that Content-Encoding lists are codings of HTTP (IANA's registry). AMQP's property `content_encoding`,
/// which arrives as this header, mostly names a charset.
fn is_content_coding(value: &[u8]) -> bool {
    const CODINGS: [&[u8]; 13] = [
        b"aes128gcm",
        b"br",
        b"compress",
        b"dcb",
        b"dcz",
        b"deflate",
        b"exi",
        b"gzip",
        b"identity",
        b"pack200-gzip",
        b"x-compress",
        b"x-gzip",
        b"zstd",
    ];
    let mut listed = value.split(|&byte| byte == b',').map(trimmed);
    listed.all(|coding| CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}

/// The place of a name among those that mean Content-Type: the lowest that is there counts.
pub(super) fn content_type_rank(name: &[u8]) -> Option<u8> {
    if !matches!(name.len(), 11 | 12 | 19) {
        return None;
    }
    match name {
        b"content-type" => Some(0),
        b"Content-Type" => Some(1),
        b"content_type" => Some(2),
        b"contentType" => Some(3),
        b"SOAPJMS_contentType" => Some(4),
        _ if same_key(name, b"content-type") => Some(5),
        _ => None,
    }
}

/// A value as HTTP has it (RFC 9110 section 5.5): without blanks around it, CR, LF and NUL as spaces.
fn clean(value: &[u8]) -> Cow<'_, [u8]> {
    let mut value = Cow::Borrowed(trimmed(value));
    // None is below a space in nearly all: one look without a branch for each.
    if value.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < b' ' {
        for byte in value.to_mut().iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            *byte = b' ';
        }
    }
    value
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0);
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !blank(byte)).map_or(from, |last| last + 1);
    &value[from..to]
}

/// A name for the sender's eyes: a token, so that only its length needs a bound.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(60)]).into_owned()
}
