//! What a status code means for the one who asked.

use std::time::Duration;

use serde_json::Value;

use super::Response;
use crate::error::quoted;
use crate::{Error, ErrorKind};

/// Members in which JSON APIs say what was wrong: RFC 9457, SCIM, OAuth 2 and common habit.
const DETAIL_MEMBERS: [&str; 5] = ["detail", "message", "error_description", "title", "error"];

/// A day: what is further away is a mistake of the system, and the host would rather ask again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Error {
    /// The error that an answer other than the hoped-for one means (RFC 9110 §15).
    ///
    /// | status | kind | effect |
    /// |---|---|---|
    /// | 401, 407 | auth-failed | none |
    /// | 403 | forbidden | none |
    /// | 404, 410 | not-found | none |
    /// | 405, 501 | unsupported | none |
    /// | 408 | timeout | none: the request did not arrive whole |
    /// | 409 | conflict | none |
    /// | 412 | version-conflict | none |
    /// | 402, 507 | policy-rejected | none |
    /// | 421, 423, 425 | unavailable | none |
    /// | 429 | rate-limited, with Retry-After | none |
    /// | other 4xx | invalid-request | none |
    /// | 503 with Retry-After | unavailable | none: the system chose not to serve |
    /// | 504 | timeout | unknown for a write |
    /// | other 5xx | unavailable | unknown for a write: it failed at some point while serving |
    /// | 303 | misconfigured | unknown for a write: the answer lies elsewhere |
    /// | other 1xx, 3xx | misconfigured | none |
    /// | 2xx that was not expected | `other(unexpected-status)` | applied for a write |
    pub fn from_response(response: &Response) -> Self {
        let retry_after = retry_after(response);
        let kind = match response.status {
            401 | 407 => ErrorKind::AuthFailed,
            403 => ErrorKind::Forbidden,
            404 | 410 => ErrorKind::NotFound,
            405 | 501 => ErrorKind::Unsupported,
            408 | 504 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            412 => ErrorKind::VersionConflict,
            402 | 507 => ErrorKind::PolicyRejected,
            429 => ErrorKind::RateLimited,
            421 | 423 | 425 => ErrorKind::Unavailable,
            400..=499 => ErrorKind::InvalidRequest,
            500..=599 => ErrorKind::Unavailable,
            200..=299 => ErrorKind::Other("unexpected-status".to_owned()),
            _ => ErrorKind::Misconfigured,
        };
        let mut error = Self::new(kind, message(response));
        if !response.reads_only {
            error = match response.status {
                200..=299 => error.effect_applied(),
                503 if retry_after.is_some() => error,
                501 | 507 => error,
                303 | 500..=599 => error.effect_unknown(),
                _ => error,
            };
        }
        match retry_after {
            Some(delay) => error.retry_after_ms(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            None => error,
        }
    }
}

fn message(response: &Response) -> String {
    let mut message = match response.request.as_str() {
        "" => format!("the system answered {}", response.status),
        request => format!("{request}: the system answered {}", response.status),
    };
    if let Ok(Value::Object(body)) = serde_json::from_slice(&response.body)
        && let Some(detail) = DETAIL_MEMBERS.iter().find_map(|name| body.get(*name)?.as_str())
    {
        message.push_str(": ");
        message.push_str(&quoted(detail));
    } else if let 300..=399 = response.status
        && let Some(location) = response.header("location")
    {
        message.push_str(&format!(" and points to {}", quoted(location)));
    }
    message
}

/// Seconds, or a date read against the system's own clock: ours may differ, and a connector needs none.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let delay = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = httpdate::parse_http_date(value).ok()?;
            let now = httpdate::parse_http_date(response.header("date")?).ok()?;
            then.duration_since(now).unwrap_or_default()
        }
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effect;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str, reads_only: bool) -> Error {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let mut response = Response::new(status, headers, body);
        response.reads_only = reads_only;
        response.request = "POST /users".to_owned();
        Error::from_response(&response)
    }

    #[test]
    fn the_documented_table_holds() {
        let table: Vec<String> = [
            303, 304, 400, 401, 402, 403, 404, 405, 408, 409, 410, 412, 415, 421, 422, 423, 425, 429, 500,
            501, 502, 503, 504, 507, 204,
        ]
        .into_iter()
        .map(|status| {
            let error = answer(status, &[], "", false);
            assert_eq!(
                answer(status, &[], "", true).effect,
                Effect::None,
                "a read has no effect"
            );
            format!("{status} {:?} {:?}", error.kind, error.effect)
        })
        .collect();
        insta::assert_snapshot!(table.join("\n"), @r#"
        303 Misconfigured Unknown
        304 Misconfigured None
        400 InvalidRequest None
        401 AuthFailed None
        402 PolicyRejected None
        403 Forbidden None
        404 NotFound None
        405 Unsupported None
        408 Timeout None
        409 Conflict None
        410 NotFound None
        412 VersionConflict None
        415 InvalidRequest None
        421 Unavailable None
        422 InvalidRequest None
        423 Unavailable None
        425 Unavailable None
        429 RateLimited None
        500 Unavailable Unknown
        501 Unsupported None
        502 Unavailable Unknown
        503 Unavailable Unknown
        504 Timeout Unknown
        507 PolicyRejected None
        204 Other("unexpected-status") Applied
        "#);
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date_against_the_systems_clock() {
        let error = answer(429, &[("Retry-After", "7")], "", false);
        assert_eq!(error.retry_after_ms, Some(7_000));
        let dates = [
            ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
            ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
        ];
        assert_eq!(answer(429, &dates, "", false).retry_after_ms, Some(30_000));
        assert_eq!(
            answer(429, &dates[1..], "", false).retry_after_ms,
            None,
            "no clock to read it against"
        );
        assert_eq!(
            answer(429, &[("retry-after", "soon")], "", false).retry_after_ms,
            None
        );
        let forever = answer(429, &[("retry-after", "99999999999")], "", false);
        assert_eq!(forever.retry_after_ms, Some(86_400_000));
    }

    #[test]
    fn a_503_that_names_a_time_was_not_served() {
        assert_eq!(
            answer(503, &[("retry-after", "1")], "", false).effect,
            Effect::None
        );
        assert_eq!(answer(503, &[], "", false).effect, Effect::Unknown);
        assert_eq!(
            answer(500, &[("retry-after", "1")], "", false).effect,
            Effect::Unknown
        );
    }

    #[test]
    fn the_systems_own_words_are_quoted_on_one_line() {
        let error = answer(400, &[], r#"{"detail": "bad\nname", "status": "400"}"#, false);
        assert_eq!(error.message, "POST /users: the system answered 400: bad name");
        assert_eq!(
            answer(400, &[], "<html>", false).message,
            "POST /users: the system answered 400"
        );
    }
}
