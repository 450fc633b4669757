//! `GET` and `HEAD /v2/<name>/blobs/<digest>`, whole or a part.

use hyper::{StatusCode, header};

use super::{
    Server,
    answer::{Answer, Asked, CONTENT_DIGEST, Refusal, head, whole},
    feed::Feed,
    route::digest_of,
};
use crate::registry::Shelved;

const BINARY: &str = "application/octet-stream";

/// A blob; manifests are blobs too.
pub fn get(
    server: &Server,
    asked: &Asked,
    found: &Shelved,
    digest: &str,
) -> Result<Answer, Refusal> {
    let digest = digest_of(digest)?;
    let unknown = || Refusal::blob_unknown(&digest.to_string());
    if !server.shelf.holds(found, &digest) {
        return Err(unknown());
    }
    let (text, tag) = (digest.to_string(), format!("\"{digest}\""));
    let named = |header| {
        asked
            .header(header)
            .is_some_and(|said| said == "*" || said.contains(&tag))
    };
    let mut headers = vec![
        (header::CONTENT_TYPE, BINARY),
        (CONTENT_DIGEST, text.as_str()),
        (header::ETAG, tag.as_str()),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "max-age=31536000, immutable"),
    ];
    if named(header::IF_NONE_MATCH) {
        return Ok(whole(StatusCode::NOT_MODIFIED, &headers, ""));
    }
    let blob = server.shelf.blob(found, &digest)?.ok_or_else(unknown)?;
    // A part of what was another blob is none of this one.
    let wants_part = asked
        .header(header::IF_RANGE)
        .is_none_or(|said| said == tag);
    let range = asked.header(header::RANGE).filter(|_| wants_part);
    match part(range, blob.size) {
        Part::Whole => {
            let length = blob.size.to_string();
            headers.push((header::CONTENT_LENGTH, &length));
            let feed = Feed::whole(blob, digest.clone());
            Ok(Answer::Stream(head(StatusCode::OK, &headers, ()), feed))
        }
        Part::Of(from, to) => {
            let length = (to - from + 1).to_string();
            let range = format!("bytes {from}-{to}/{}", blob.size);
            headers.push((header::CONTENT_LENGTH, &length));
            headers.push((header::CONTENT_RANGE, &range));
            let feed = Feed::part(blob, digest.clone(), from, to - from + 1);
            Ok(Answer::Stream(
                head(StatusCode::PARTIAL_CONTENT, &headers, ()),
                feed,
            ))
        }
        Part::None => {
            let range = format!("bytes */{}", blob.size);
            let headers = [(header::CONTENT_RANGE, range.as_str())];
            Ok(whole(StatusCode::RANGE_NOT_SATISFIABLE, &headers, ""))
        }
    }
}

/// What of a blob is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// First and last byte.
    Of(u64, u64),
    /// Nothing that there is.
    None,
}

/// What a `Range` means. What cannot be read is as if it were not there, as HTTP has it; so are several parts at once.
fn part(range: Option<&str>, size: u64) -> Part {
    let Some((first, last)) = range
        .and_then(|range| range.trim().strip_prefix("bytes="))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, last, number(first), number(last)) {
        (_, "", Some(from), None) if from < size => Part::Of(from, size - 1),
        ("", _, None, Some(count)) if count > 0 && size > 0 => {
            Part::Of(size.saturating_sub(count), size - 1)
        }
        (_, _, Some(from), Some(to)) if from <= to && from < size => {
            Part::Of(from, to.min(size - 1))
        }
        (_, "", Some(_), None) | ("", _, None, Some(_)) | (_, _, Some(_), Some(_)) => Part::None,
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, meant) in [
            (None, Part::Whole),
            (Some("bytes=0-"), Part::Of(0, 9)),
            (Some("bytes=0-0"), Part::Of(0, 0)),
            (Some("bytes=3-5"), Part::Of(3, 5)),
            (Some("bytes=3-99999999999999999999999"), Part::Of(3, 9)),
            (Some("bytes=-4"), Part::Of(6, 9)),
            (Some("bytes=-40"), Part::Of(0, 9)),
            (Some("bytes=10-"), Part::None),
            (Some("bytes=10-20"), Part::None),
            (Some("bytes=-0"), Part::None),
            (Some("bytes=5-3"), Part::None),
            (Some("bytes=a-3"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("lines=0-1"), Part::Whole),
        ] {
            assert_eq!(part(range, 10), meant, "{range:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::None);
        assert_eq!(part(Some("bytes=-1"), 0), Part::None);
    }
}
