//! The head of a response as HTTP/1.1 writes it, for the body of a message.
use super::response::is_hop_by_hop;
use super::{Head, name::is_token};

/// Status line, headers and the empty line (RFC 9112 sections 4 and 5).
///
/// The headers are the application's own, in its spelling and order, repeats included. The server adds
/// nothing but Content-Length, `taken` octets, where there is none and the response has a body: no Date, no
/// Server, and neither Connection nor Transfer-Encoding, since there is no connection.
///
/// An application's Content-Length stays, also where the body turned out to be shorter: whoever reads the
/// response then finds that it is.
pub(super) fn head(head: &Head, is_head: bool, taken: u64) -> Vec<u8> {
    let size: usize = head.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut out = Vec::with_capacity(size + head.status.reason.len() + 64);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status.code).as_bytes());
    out.push(b' '); // even where the reason is empty
    append(&mut out, &head.status.reason);
    out.extend_from_slice(b"\r\n");

    let mut length = content_length(head, is_head, taken);
    for (name, value) in &head.headers {
        if name.eq_ignore_ascii_case(b"content-length") {
            if let Some(length) = length.take() {
                field(&mut out, name, itoa::Buffer::new().format(length).as_bytes());
            }
        } else if is_token(name) && !is_hop_by_hop(name) {
            field(&mut out, name, value);
        }
    }
    if let Some(length) = length {
        field(&mut out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// RFC 9110 section 8.6: none with 1xx and 204, and with HEAD and 304 what a GET would have had, which only
/// the application knows.
fn content_length(head: &Head, is_head: bool, taken: u64) -> Option<u64> {
    match head.status.code {
        100..=199 | 204 => None,
        304 => head.content_length(),
        _ if is_head => head.content_length(),
        _ => Some(head.content_length().unwrap_or(taken)),
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    append(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Control characters, of which a checked [`Head`] has none, become spaces.
fn append(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&byte| if byte.is_ascii_control() { b' ' } else { byte }));
}
