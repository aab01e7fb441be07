//! One module per section of the checklist in which the specification was taken apart; the names of the
//! tests begin with its lines (F1, H3, ...).
mod framing;
mod headers;
mod heartbeat;
#[cfg(feature = "broker")]
mod laxity;
mod limits;
mod session;
mod tolerance;

use super::{Frame, Limits, ParseError, Parser, Version};

/// Every frame of `bytes`, fed whole.
fn parse(version: Option<Version>, bytes: &[u8]) -> Result<Vec<Frame>, ParseError> {
    parse_pieces(version, [bytes])
}

fn parse_pieces<'a>(
    version: Option<Version>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Frame>, ParseError> {
    let mut parser = parser(version, Limits::default());
    let mut frames = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        while let Some(frame) = parser.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// The only frame of `bytes`.
fn parse_one(version: Version, bytes: &[u8]) -> Frame {
    let mut frames = parse(Some(version), bytes).expect("a valid frame");
    assert_eq!(frames.len(), 1, "{frames:?}");
    frames.remove(0)
}

fn parser(version: Option<Version>, limits: Limits) -> Parser {
    let mut parser = Parser::new(limits);
    if let Some(version) = version {
        parser.set_version(version);
    }
    parser
}
