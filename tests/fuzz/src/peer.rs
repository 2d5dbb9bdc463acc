//! What target systems answer, as connectors read it with the SDK.

use serde_json::Value;
use usher_sdk::Error;
use usher_sdk::http::Response;

/// The first line: status and headers, parted by tabs. The rest: the body.
pub(crate) fn answer(data: &[u8]) {
    let line_end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let head = crate::text(&data[..line_end]);
    let body = data.get(line_end + 1..).unwrap_or_default();
    let mut words = head.split('\t');
    let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(500);
    let headers: Vec<(String, String)> = words
        .filter_map(|word| word.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let response = || Response::new(status, headers.clone(), body);
    let _ = Error::from_response(&response());
    let _ = response().ok_or_conflict("7");
    let _ = response().found();
    let _ = response().text();
    let _ = response().header("retry-after");
    if let Ok(value) = response().json::<Value>() {
        assert!(serde_json::from_slice::<Value>(body).is_ok_and(|plain| plain == value));
    }
}
