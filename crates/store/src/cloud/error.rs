//! What an object store's error means for the caller. The server's words are kept where they say more
//! than ours; URLs are not.

use std::error::Error;

use http::StatusCode;

use super::connector::Refusal;
use crate::{StoreError, http::NoAnswer};

/// An error of `object_store`, in our words. What is not found is for the caller to tell.
pub(super) fn said(place: &str, context: &str, error: object_store::Error) -> StoreError {
    if let Some(no_answer) = find::<NoAnswer>(&error) {
        return match no_answer {
            NoAnswer::Unreachable(reason) => unreachable(place, reason),
            NoAnswer::Refused(reason) => io(&format!("talk to {place}"), reason),
            NoAnswer::TooLarge(_) => io(&format!("talk to {place}"), &no_answer.to_string()),
        };
    }
    if let Some(refusal) = find::<Refusal>(&error) {
        return refused(place, context, refusal);
    }
    match error {
        object_store::Error::NotFound { .. } => StoreError::NotFound(place.to_owned()),
        // Of its own making: it could not sign, or not read an answer.
        other => io(context, &innermost(&other)),
    }
}

/// Whether an answer had more bytes than what was asked for can have.
pub(super) fn is_too_large(error: &object_store::Error) -> bool {
    matches!(find::<NoAnswer>(error), Some(NoAnswer::TooLarge(_)))
}

/// Whether the server does not know what it was asked for (a condition, that is).
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    find::<Refusal>(error).is_some_and(Refusal::is_unknown)
}

pub(super) fn refused(place: &str, context: &str, refusal: &Refusal) -> StoreError {
    let denied = |reason: &str| StoreError::Denied {
        place: place.to_owned(),
        reason: reason.to_owned(),
    };
    let words = match (&*refusal.code, &*refusal.message) {
        ("", "") => refusal.status.to_string(),
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    match &*refusal.code {
        "NoSuchBucket" => {
            return StoreError::NoPlace {
                place: place.to_owned(),
                reason: "there is no such bucket; create it first, or name another".to_owned(),
            };
        }
        "ExpiredToken" | "TokenRefreshRequired" => {
            return denied("the credentials have expired; get new ones and run the command again");
        }
        // The last one is versitygw's.
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "XAdminUserNotFound" => {
            return denied(&format!(
                "the store does not take these credentials ({words}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile"
            ));
        }
        "RequestTimeTooSkewed" => {
            return denied(
                "the clock of this machine is not the store's; set it right (NTP) and run the command again",
            );
        }
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "AccountLimitExceeded" => {
            return StoreError::Full {
                place: place.to_owned(),
            };
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            return denied(&match &refusal.region {
                Some(region) => {
                    format!("the bucket lies in the region {region}; set AWS_REGION={region}")
                }
                None => format!("it lies in another region ({words}); set AWS_REGION"),
            });
        }
        _ => {}
    }
    match refusal.status {
        StatusCode::UNAUTHORIZED => denied(&format!(
            "the store does not take these credentials ({words})"
        )),
        StatusCode::FORBIDDEN => denied(&format!("the store refused to {context} ({words})")),
        StatusCode::INSUFFICIENT_STORAGE => StoreError::Full {
            place: place.to_owned(),
        },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => unreachable(place, &words),
        StatusCode::NOT_IMPLEMENTED => io(context, &words),
        status if status.is_server_error() => unreachable(place, &format!("it said {words}")),
        status if status.is_redirection() => match &refusal.region {
            Some(region) => denied(&format!(
                "the bucket lies in the region {region}; set AWS_REGION={region}"
            )),
            None => io(context, "it sends us elsewhere; give the place itself"),
        },
        _ => io(context, &format!("the store refused: {words}")),
    }
}

fn unreachable(place: &str, reason: &str) -> StoreError {
    StoreError::Unreachable {
        place: place.to_owned(),
        reason: reason.to_owned(),
    }
}

fn io(context: &str, reason: &str) -> StoreError {
    StoreError::Io {
        context: context.to_owned(),
        source: std::io::Error::other(reason.to_owned()),
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

fn innermost(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(inner) = at {
        text = inner.to_string();
        at = inner.source();
    }
    text
}
