//! Views to render in tests: one of everything, with hostile text where it may come from outside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connectors::{Access, Import, Inspection};
use usher_engine::import::{ImportReport, RowProblem};
use usher_engine::plan::{Plan, PlanDiff, PlanEntry, PlanHeld, PlanProblem, PlanStep, PlanTotal};
use usher_engine::reconcile::{NotDisabled, ReconcileReport};
use usher_engine::run::{
    ApplyReport, ApplyTotal, Left, PausedTarget, Recovered, RetryReason, Trouble, TroubleState,
};
use usher_engine::views::{
    AccountView, DocumentVersion, HeldView, IdentityView, LIVES_ON, OperationView, RecordView, RoleView,
    StatusView, StopAccount, StopHold, StopProgress, StopView, TargetStatus, TimelineEntry, WhyRole, WhyView,
};
use usher_lifecycle::account::{AccountSlot, AccountState};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::budget::Counted;
use usher_lifecycle::cause::{Actor, Cause};
use usher_lifecycle::connector::{Capabilities, Creation, Descriptor};
use usher_lifecycle::ids::{HeldCauseId, HoldId, IdentityId, OperationId, SnapshotId};
use usher_lifecycle::name::Name;
use usher_lifecycle::operation::{OperationState, Priority, Work};
use usher_lifecycle::situation::Situation;
use usher_lifecycle::state::IdentityState;
use usher_lifecycle::table::DesiredKind;
use usher_lifecycle::targets::ApplyMode;
use usher_store::{
    FactId, FoundAccount, FoundCandidate, FoundDecision, FoundOwner, FoundTotal, HeldCause, HeldExample,
    HeldState, OperationRow, ReconcileRef, Snapshot, SnapshotState, StoreVersions,
};
use uuid::Uuid;

use crate::commands::accounts::Listed;

pub(crate) fn at() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

pub(crate) fn identity_id(number: u128) -> IdentityId {
    IdentityId::new(Uuid::from_u128(number))
}

fn operation_id(number: u128) -> OperationId {
    OperationId::new(Uuid::from_u128(number))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn slot(target: &str, kind: &str) -> AccountSlot {
    AccountSlot {
        target: name(target),
        kind: name(kind),
    }
}

fn attributes(value: &Value) -> Attributes {
    value.as_object().cloned().unwrap()
}

fn step(verb: &str, entitlement: Option<&str>, cause: &[&str]) -> PlanStep {
    PlanStep {
        verb: verb.into(),
        entitlement: entitlement.map(Into::into),
        priority: Priority::Change,
        cause: cause.iter().map(ToString::to_string).collect(),
    }
}

fn diff(name: &str, from: Option<Value>, to: Option<Value>) -> PlanDiff {
    PlanDiff {
        name: name.into(),
        from,
        to,
    }
}

fn entry(number: u128, key: &str, called: &str, state: IdentityState, account: AccountSlot) -> PlanEntry {
    PlanEntry {
        identity: identity_id(number),
        key: key.into(),
        name: Some(called.into()),
        identity_state: state,
        slot: account,
        state: AccountState::Absent,
        desired: Some(DesiredKind::Enabled),
        apply: ApplyMode::Auto,
        steps: vec![],
        diff: vec![],
        queued: 0,
        held: 0,
        later: 0,
        notes: vec![],
        announced: vec![],
        announced_because: vec![],
    }
}

fn problem() -> PlanProblem {
    PlanProblem {
        identity: identity_id(9),
        key: "e1009".into(),
        path: "mappings.app.username".into(),
        expression: "ascii(identity.givenName)".into(),
        message: "`givenName` is absent; guard it with has(identity.givenName)".into(),
    }
}

pub(crate) fn plan() -> Plan {
    let joined = ["hr: startDate 2026-03-02", "staged → active", "role employee"];
    let mut joiner = entry(
        1,
        "e1001",
        "Zoë Łukasz",
        IdentityState::Active,
        slot("app", "primary"),
    );
    joiner.steps = vec![
        step("create", None, &[joined[0], joined[1], joined[2], "app: create"]),
        step(
            "grant",
            Some("All Staff"),
            &[joined[0], joined[1], joined[2], "app: grant All Staff"],
        ),
    ];
    joiner.diff = vec![
        diff("username", None, Some(json!("zoe.lukasz"))),
        diff("displayName", None, Some(json!("Zoë \u{1b}[31mŁukasz"))),
    ];
    let mut observed = entry(
        1,
        "e1001",
        "Zoë Łukasz",
        IdentityState::Active,
        slot("directory", "admin"),
    );
    observed.apply = ApplyMode::Observe;
    observed.steps = vec![step("update", None, &["hr: title changed", "directory: update"])];
    observed.diff = vec![
        diff("title", Some(json!("Dev")), Some(json!("Lead"))),
        diff("room", Some(json!("2.14")), None),
    ];
    let mut leaver = entry(
        2,
        "e1002",
        "山田太郎",
        IdentityState::Leaving,
        slot("app", "primary"),
    );
    leaver.steps = vec![
        step(
            "disable",
            None,
            &[
                "hr: endDate 2026-03-01 is over",
                "active → leaving",
                "app: disable",
            ],
        ),
        step(
            "revoke",
            Some("staff"),
            &[
                "hr: endDate 2026-03-01 is over",
                "active → leaving",
                "app: revoke staff",
            ],
        ),
    ];
    let mut waiting = entry(
        3,
        "e1003",
        "O'Brien",
        IdentityState::Departed,
        slot("app", "primary"),
    );
    waiting.queued = 2;
    waiting.notes = vec!["the target cannot delete accounts; it stays disabled".into()];
    waiting.announced = vec![step("grant", Some("tunnel"), &["role vpn", "app: grant tunnel"])];
    waiting.announced_because = vec!["outside the pilot of role vpn".into()];
    let total = |target: &str, verb: &str, operations, apply| PlanTotal {
        target: name(target),
        verb: verb.into(),
        operations,
        apply,
    };
    Plan {
        made_at: at(),
        versions: StoreVersions {
            facts: 4,
            policy: 1,
            targets: 1,
            observed: 9,
        },
        digest: "00".into(),
        identities: 203,
        accounts: vec![joiner, observed, leaver, waiting],
        totals: vec![
            total("app", "create", 1, ApplyMode::Auto),
            total("app", "grant", 1, ApplyMode::Auto),
            total("app", "revoke", 1, ApplyMode::Auto),
            total("app", "disable", 1, ApplyMode::Auto),
            total("directory", "update", 1, ApplyMode::Observe),
        ],
        announced: vec![total("app", "grant", 1, ApplyMode::Auto)],
        held: vec![PlanHeld {
            id: HeldCauseId::new(Uuid::from_u128(5)),
            target: name("app"),
            verb: "disable".into(),
            operations: 40,
            why: "held beyond the budget of app (disable at most 20 in 24 h: 20 allowed, 0 used): import of people.csv\u{1b}[2J".into(),
        }],
        problems: vec![problem()],
    }
}

fn operation() -> OperationView {
    OperationView {
        id: operation_id(7),
        verb: "grant".into(),
        entitlement: Some("All Staff".into()),
        state: OperationState::Ready,
        attempts: 2,
        settle: true,
        due_at: at(),
        message: Some("unavailable: the target answered 503".into()),
        cause: vec!["role employee".into()],
    }
}

fn history() -> Vec<TimelineEntry> {
    let one = |event: &str, actor: &str, cause: &[&str], detail| TimelineEntry {
        at: at(),
        actor: actor.into(),
        event: event.into(),
        cause: cause.iter().map(ToString::to_string).collect(),
        detail,
    };
    vec![
        one(
            "identity.created",
            "source hr",
            &["import people.csv"],
            json!({"source": "hr"}),
        ),
        one(
            "identity.state-changed",
            "person ada",
            &["hr: startDate 2026-03-02"],
            json!({"from": "staged", "to": "active"}),
        ),
        one(
            "operation.planned",
            "person ada",
            &["role employee", "app: create"],
            json!({"account": "app", "work": "create"}),
        ),
        one(
            "operation.retry",
            "usher",
            &[],
            json!({"account": "app", "work": "create", "message": "503\u{1b}[2J"}),
        ),
    ]
}

pub(crate) fn identity() -> IdentityView {
    let facts = attributes(&json!({"contract": "permanent", "givenName": "Zoë", "projects": ["a", "b c"]}));
    IdentityView {
        id: identity_id(1),
        name: Some("Zoë Łukasz".into()),
        at: at(),
        records: vec![RecordView {
            source: name("hr"),
            key: "e1001".into(),
            attributes: facts.clone(),
            absent_since: None,
        }],
        attributes: facts,
        state: IdentityState::Active,
        recorded_state: Some(IdentityState::Staged),
        since: Some(at()),
        state_cause: "hr: startDate 2026-03-02".into(),
        next_change: Some("2026-04-01T00:00:00Z".parse().unwrap()),
        roles: vec![RoleView {
            name: name("employee"),
            rule: Some("identity.contract in ['permanent']".into()),
            accounts: vec![slot("app", "primary"), slot("app", "admin")],
        }],
        accounts: vec![AccountView {
            slot: slot("app", "primary"),
            apply: Some(ApplyMode::Auto),
            state: AccountState::Enabled,
            external_id: Some("17".into()),
            observed_at: Some(at()),
            desired: Some(DesiredKind::Enabled),
            attributes: attributes(&json!({"username": "zoe.lukasz", "title": "Dev"})),
            entitlements: [("staff".to_owned(), Value::Null)].into(),
            diff: vec![diff("title", Some(json!("Dev")), Some(json!("Lead")))],
            steps: vec![step("update", None, &["hr: title changed", "app: update"])],
            open: vec![operation()],
            notes: vec!["the target keeps `title` in another form".into()],
        }],
        problems: vec![],
        set: vec![],
        names: vec![],
        stop: None,
        timeline: history(),
    }
}

pub(crate) fn stop() -> StopView {
    let account = |target: &str, state, progress: StopProgress| StopAccount {
        slot: slot(target, "primary"),
        apply: Some(ApplyMode::Auto),
        state,
        lives_on: (progress != StopProgress::Absent).then(|| LIVES_ON.to_owned()),
        progress,
    };
    let why = || "the server\u{1b}[2J does not answer".to_owned();
    StopView {
        identity: identity_id(1),
        key: "e1001".into(),
        name: Some("Zoë Łukasz".into()),
        at: at(),
        hold: StopHold {
            id: FactId::Hold(HoldId::new(Uuid::from_u128(7))),
            by: Actor::Person("ada".into()),
            since: at(),
            reason: "laptop\u{1b}[2J stolen".into(),
        },
        accounts: vec![
            account(
                "app",
                AccountState::Enabled,
                StopProgress::Again {
                    attempts: 2,
                    at: at(),
                    why: why(),
                },
            ),
            account(
                "chat",
                AccountState::Enabled,
                StopProgress::InTheWay {
                    verb: "update".into(),
                },
            ),
            account(
                "crm",
                AccountState::Enabled,
                StopProgress::Held {
                    operation: operation_id(2),
                    why: why(),
                },
            ),
            account(
                "door",
                AccountState::Enabled,
                StopProgress::Blocked {
                    why: "the target cannot disable accounts".into(),
                },
            ),
            account(
                "root",
                AccountState::Enabled,
                StopProgress::Protected {
                    why: "its id is among the protected ones of its target".into(),
                },
            ),
            account("vpn", AccountState::Unknown, StopProgress::UnderWay),
            account("wiki", AccountState::Enabled, StopProgress::Queued),
            account("zoo", AccountState::Enabled, StopProgress::Due),
            account("directory", AccountState::Disabled, StopProgress::Disabled),
            account("mail", AccountState::Absent, StopProgress::Absent),
        ],
        ended: false,
        frozen: None,
    }
}

pub(crate) fn why() -> WhyView {
    let role = |called: &str, rule: &str, holds, error: Option<&str>| WhyRole {
        name: name(called),
        rule: Some(rule.into()),
        holds,
        announced: false,
        reads: BTreeMap::from([
            ("contract".to_owned(), json!("permanent")),
            ("site".to_owned(), Value::Null),
        ]),
        error: error.map(Into::into),
    };
    WhyView {
        identity: identity_id(1),
        key: "e1001".into(),
        name: Some("Zoë Łukasz".into()),
        slot: slot("app", "primary"),
        identity_state: IdentityState::Active,
        state: AccountState::Enabled,
        desired: Some(DesiredKind::Enabled),
        answer: "They have it because the role employee gives it.".into(),
        chain: vec![
            "hr: startDate 2026-03-02".into(),
            "active".into(),
            "role employee".into(),
            "app".into(),
        ],
        roles: vec![
            role("employee", "identity.contract in ['permanent']", Some(true), None),
            role("visitor", "identity.contract == 'visitor'", Some(false), None),
            role(
                "local",
                "identity.site.startsWith('B')",
                None,
                Some("`site` is absent"),
            ),
        ],
        steps: vec![step(
            "grant",
            Some("staff"),
            &["role employee", "app: grant staff"],
        )],
        open: vec![operation()],
        notes: vec![],
        timeline: history(),
    }
}

pub(crate) fn operations() -> Vec<OperationRow> {
    let row = |number, work, state, message: Option<&str>| OperationRow {
        id: operation_id(number),
        identity: identity_id(1),
        key: "e1001".into(),
        slot: slot("app", "primary"),
        work,
        state,
        priority: Priority::Change,
        attempts: 1,
        at: at(),
        message: message.map(Into::into),
        cause: Cause::new("role employee"),
    };
    let grant = Work::Grant {
        entitlement: "All Staff".into(),
        parameters: Value::Null,
    };
    vec![
        row(
            2,
            grant,
            OperationState::Held,
            Some("conflict: the account 17 is in the way"),
        ),
        row(1, Work::Disable, OperationState::Done, None),
    ]
}

pub(crate) fn held_causes() -> Vec<HeldCause> {
    let example = |number, key: &str| HeldExample {
        operation: operation_id(number),
        identity: identity_id(number),
        key: key.into(),
    };
    let held = HeldCause {
        id: HeldCauseId::new(Uuid::from_u128(5)),
        target: name("app"),
        counted: Counted::Disable,
        cause: "import of people.csv\u{1b}[2J by source hr".into(),
        state: HeldState::Held,
        operations: 40,
        why: "held beyond the budget of app (disable at most 20 in 24 h: 20 allowed, 0 used): import of people.csv\u{1b}[2J".into(),
        since: at(),
        decided_by: None,
        decided_at: None,
        reason: None,
        examples: vec![example(1, "e1001"), example(2, "e1002"), example(3, "e\u{7}3")],
    };
    let rejected = HeldCause {
        id: HeldCauseId::new(Uuid::from_u128(6)),
        counted: Counted::Delete,
        state: HeldState::Rejected,
        operations: 1,
        why: "rejected by person ann: the file was wrong".into(),
        decided_by: Some(Actor::Person("ann".into())),
        decided_at: Some(at()),
        reason: Some("the file was wrong".into()),
        examples: vec![example(4, "e1004")],
        ..held.clone()
    };
    vec![held, rejected]
}

pub(crate) fn status() -> StatusView {
    let import = |state, reason: Option<&str>| Snapshot {
        id: SnapshotId::new(Uuid::from_u128(3)),
        source: name("hr"),
        origin: "people.csv".into(),
        file_digest: [0; 32],
        rows: 203,
        changes: 12,
        state,
        at: at(),
        reason: reason.map(Into::into),
    };
    StatusView {
        at: at(),
        identities: BTreeMap::from([("active".to_owned(), 1_180), ("leaving".to_owned(), 4)]),
        targets: vec![TargetStatus {
            name: name("app"),
            connector: "sql 0.1.0".into(),
            digest: "ab".into(),
            apply: Some(ApplyMode::Auto),
            accounts: BTreeMap::from([(AccountState::Enabled, 1_170), (AccountState::Disabled, 4)]),
            operations: BTreeMap::from([
                (OperationState::Ready, 3),
                (OperationState::Held, 1),
                (OperationState::Done, 9),
            ]),
        }],
        held_causes: held_causes(),
        revoking: vec![stop()],
        held: vec![HeldView {
            operation: operation_id(2),
            key: "e1001".into(),
            slot: slot("app", "primary"),
            verb: "create".into(),
            reason: "another account is in the way".into(),
        }],
        imports: vec![
            import(SnapshotState::Absorbed, None),
            import(SnapshotState::Refused, Some("20 rows, 203 people")),
        ],
        policy: Some(DocumentVersion {
            version: 3,
            activated_at: at(),
        }),
        targets_document: None,
        next_due: Some(at()),
        next_change: Some("2026-04-01T00:00:00Z".parse().unwrap()),
    }
}

pub(crate) fn import() -> ImportReport {
    let row = |line, column: Option<&str>, key: Option<&str>, message: &str| RowProblem {
        line,
        column: column.map(Into::into),
        key: key.map(Into::into),
        message: message.into(),
    };
    ImportReport {
        source: name("hr"),
        origin: "people.csv".into(),
        snapshot: SnapshotId::new(Uuid::from_u128(3)),
        refused: None,
        rows: 203,
        new: 12,
        changed: 3,
        unchanged: 185,
        returned: 1,
        missing: 2,
        confirmed_missing: 1,
        set_aside: 2,
        absence_not_counted: None,
        problems_total: 2,
        problems: vec![
            row(
                14,
                Some("start_date"),
                Some("e1007"),
                "`2026-02-30` is not a date: write 2026-03-02",
            ),
            row(90, None, None, "the row has 7 fields, the header 9\u{1b}[2J"),
        ],
    }
}

pub(crate) fn apply() -> ApplyReport {
    ApplyReport {
        recovered: Recovered {
            absorbed: 0,
            operations: 2,
        },
        planned: 203,
        queued: 410,
        totals: vec![ApplyTotal {
            target: name("app"),
            verb: "create".into(),
            done: 200,
            settled: 1,
            retrying: 2,
            held: 1,
            failed: 1,
        }],
        troubles: vec![Trouble {
            operation: operation_id(2),
            account: "app".into(),
            verb: "create".into(),
            state: TroubleState::Held,
            message: "conflict: the account 17 is in the way".into(),
        }],
        retries: vec![RetryReason {
            target: name("directory"),
            message: "unavailable: connection refused \u{1b}[2J".into(),
            operations: 5,
        }],
        paused: vec![PausedTarget {
            target: name("directory"),
            reason: "rate limited".into(),
            until: None,
        }],
        left: vec![
            Left {
                target: name("app"),
                apply: ApplyMode::Auto,
                open: 2,
                held: 1,
            },
            Left {
                target: name("directory"),
                apply: ApplyMode::Observe,
                open: 50,
                held: 0,
            },
        ],
        next_due: Some(at()),
        next_change: None,
        problems: vec![problem()],
    }
}

pub(crate) fn inspection() -> Inspection {
    let import = |name: &str, access| Import {
        name: name.into(),
        access,
    };
    Inspection {
        digest: "ab".repeat(32),
        size_bytes: 123_456,
        exports: vec![
            "usher:connector/connector@0.1.0".into(),
            "usher:connector/accounts@0.1.0".into(),
        ],
        imports: vec![
            import("wasi:io/streams@0.2.6", Access::Always),
            import("wasi:sockets/tcp@0.2.6", Access::Stubbed),
            import("wasi:http/outgoing-handler@0.2.6", Access::HttpGrant),
            import("evil:thing/\u{1b}[31m@1.0.0", Access::Unknown),
        ],
        descriptor: Descriptor {
            name: "scim".into(),
            version: "0.1.0".into(),
            docs_url: Some("https://example.org/scim".into()),
            settings_schema: json!({
                "properties": {
                    "baseUrl": {"type": "string", "description": "Where the server is."},
                    "pageSize": {"type": "integer"},
                },
                "required": ["baseUrl"],
            }),
            capabilities: Capabilities {
                disable: true,
                delete: false,
                entitlements: true,
            },
            creation: Creation::UniqueKey(vec!["userName".into()]),
        },
    }
}

pub(crate) fn reconcile_report() -> ReconcileReport {
    let total = |situation, accounts| FoundTotal {
        target: name("app"),
        situation,
        accounts,
    };
    ReconcileReport {
        target: name("app"),
        number: Some(ReconcileRef(7)),
        refused: None,
        listed: 120_034,
        duplicates: 2,
        unlisted: 1,
        updated: 40,
        drifted: 12,
        missing: 3,
        linked: 5,
        put_off: 4,
        situations: vec![total(Situation::Unmatched, 17), total(Situation::Missing, 3)],
        disabled: 0,
        not_disabled: Some(NotDisabled {
            accounts: 11,
            reason: "more than unmatched-max = 10 accounts are nobody's".into(),
        }),
        problems: vec!["correlation.app[0].exact.mail: `mail` is absent\u{1b}[31m".into()],
        problems_total: 3,
    }
}

pub(crate) fn found_accounts() -> Listed {
    let owner = |key: Option<&str>, kind: &str| FoundOwner {
        identity: identity_id(9),
        key: key.map(Into::into),
        kind: name(kind),
    };
    let account = |id: &str, situation| FoundAccount {
        target: name("app"),
        external_id: id.into(),
        situation,
        state: AccountState::Enabled,
        attributes: attributes(&json!({"mail": "mei@example.org", "name": "Mei\u{1b}[31m Tanaka"})),
        entitlements: BTreeMap::new(),
        owner: None,
        candidates: Vec::new(),
        since: at(),
        decided: None,
    };
    let candidate = |key, weight| FoundCandidate {
        who: owner(Some(key), "primary"),
        weight,
        rule: 1,
    };
    Listed {
        totals: vec![FoundTotal {
            target: name("app"),
            situation: Situation::Ambiguous,
            accounts: 2,
        }],
        accounts: vec![
            FoundAccount {
                candidates: vec![candidate("1001", Some(70)), candidate("1\u{202e}002", Some(60))],
                ..account("mei.old", Situation::Ambiguous)
            },
            FoundAccount {
                state: AccountState::Absent,
                attributes: Attributes::new(),
                owner: Some(owner(None, "admin")),
                ..account("gone one", Situation::Missing)
            },
            FoundAccount {
                decided: Some(FoundDecision {
                    by: Actor::Person("ada".into()),
                    at: at(),
                    reason: Some("the backup runs as it".into()),
                }),
                ..account("svc-backup", Situation::Unmatched)
            },
        ],
        more: true,
    }
}
