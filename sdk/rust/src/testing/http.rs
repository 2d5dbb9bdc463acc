//! Answers for requests, and a record of what was asked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value;

use crate::http::{Failure, FailureKind, Request, Response};

type Handler = Box<dyn FnMut(&Request) -> Result<Response, Failure>>;

struct Installed {
    handler: Handler,
    seen: Rc<RefCell<Vec<Request>>>,
}

thread_local! {
    static HTTP: RefCell<Option<Installed>> = const { RefCell::new(None) };
}

/// Answers the HTTP requests of connectors on this thread with `handler` until the guard is dropped.
pub fn http(handler: impl FnMut(&Request) -> Result<Response, Failure> + 'static) -> HttpGuard {
    let seen = Rc::new(RefCell::new(Vec::new()));
    HTTP.set(Some(Installed {
        handler: Box::new(handler),
        seen: Rc::clone(&seen),
    }));
    HttpGuard { seen }
}

/// Answers requests with these, in order; one request more is a refused connection.
pub fn scripted(answers: impl IntoIterator<Item = Result<Response, Failure>>) -> HttpGuard {
    let mut answers: VecDeque<_> = answers.into_iter().collect();
    http(move |_| {
        answers.pop_front().unwrap_or_else(|| {
            Err(Failure::before_sending(
                FailureKind::Unreachable,
                "the script has no answer left",
            ))
        })
    })
}

/// A JSON answer.
#[allow(clippy::needless_pass_by_value, reason = "tests pass json!(…)")]
pub fn answer(status: u16, body: Value) -> Response {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Response::new(status, headers, body.to_string())
}

/// An answer without a body.
pub fn empty(status: u16) -> Response {
    Response::new(status, Vec::new(), "")
}

/// Keeps the handler in place, and what was asked.
pub struct HttpGuard {
    seen: Rc<RefCell<Vec<Request>>>,
}

impl HttpGuard {
    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.borrow().clone()
    }

    /// The requests since the last time, as text to compare: method, URL, headers, JSON body in one line each.
    pub fn transcript(&self) -> String {
        let mut text = String::new();
        for request in self.seen.borrow_mut().drain(..) {
            let _ = writeln!(text, "{} {}", request.method, request.url);
            for (name, value) in &request.headers {
                let _ = writeln!(text, "  {name}: {value}");
            }
            if let Some(body) = &request.body {
                let _ = writeln!(text, "  {}", String::from_utf8_lossy(body));
            }
        }
        text
    }
}

impl Drop for HttpGuard {
    fn drop(&mut self) {
        HTTP.set(None);
    }
}

pub(crate) fn transmit(request: &Request) -> Result<Response, Failure> {
    let Some(mut installed) = HTTP.take() else {
        let why = "no answers were set up: call usher_sdk::testing::http first";
        return Err(Failure::before_sending(FailureKind::Denied, why));
    };
    installed.seen.borrow_mut().push(request.clone());
    let answer = (installed.handler)(request);
    HTTP.set(Some(installed));
    answer
}
