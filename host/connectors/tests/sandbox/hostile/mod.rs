//! Hostile connectors, one behaviour at a time. Each test says how the operation ends, what it is said to have done, and that
//! afterwards the same target and a good connector beside it work.

mod answers;
mod computing;
mod crafted;
mod describing;
mod lists;
mod network;

use serde_json::{Value, json};
use usher_connectors::Connector as _;
use usher_lifecycle::connector::{CallError, Effect, ErrorKind};
use usher_lifecycle::targets::{Limits, Target};

use crate::support::{hostile, login, noop, target, write};

/// How a hostile operation must end.
#[derive(Debug)]
enum Ends {
    /// `LimitExceeded`, with a name that holds this.
    Limit(&'static str),
    /// `Crashed`, with a message that holds this.
    Crashed(&'static str),
    /// `Denied`, with a message that holds this.
    Denied(&'static str),
    /// Another kind, with a message that holds this.
    With(ErrorKind, &'static str),
}

fn check_end(what: &str, error: &CallError, ends: &Ends, effect: Effect) {
    let told = match ends {
        Ends::Limit(_) => match &error.kind {
            ErrorKind::LimitExceeded(limit) => limit,
            _ => panic!("{what}: {error:?}"),
        },
        Ends::Crashed(_) if error.kind == ErrorKind::Crashed => &error.message,
        Ends::Denied(_) if matches!(error.kind, ErrorKind::Denied(_)) => &error.message,
        Ends::With(kind, _) if error.kind == *kind => &error.message,
        _ => panic!("{what}: {error:?}"),
    };
    let (Ends::Limit(part) | Ends::Crashed(part) | Ends::Denied(part) | Ends::With(_, part)) = ends;
    assert!(told.contains(part), "{what}: {error:?}");
    assert_eq!(error.effect, effect, "{what}: {error:?}");
}

/// Runs one operation of a hostile connector, and then good ones: of the same target, and of another connector.
async fn contained(target: &Target, ends: Ends, effect: Effect) -> CallError {
    let what = target.settings.to_string();
    let generation = hostile(target).await;
    let error = match generation.create(&write(), &login("ada")).await {
        Ok(account) => panic!("{what}: it worked: {account:?}"),
        Err(error) => error,
    };
    check_end(&what, &error, &ends, effect);
    let again = generation.create(&write(), &login("good")).await;
    assert_eq!(again.expect(&what).id, "good", "{what}: the same target");
    let neighbour = noop().await.create(&write(), &login("ada")).await;
    assert_eq!(neighbour.expect(&what).id, "op_1", "{what}: a good connector");
    error
}

/// A target of one behaviour, with little time to compute.
fn behaving(behaviour: &str) -> Target {
    with(json!({ "behaviour": behaviour }))
}

fn with(settings: Value) -> Target {
    Target {
        limits: Limits {
            cpu_ms: 100,
            ..Limits::default()
        },
        ..target(settings)
    }
}
