use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use serde_json::json;

use super::super::*;
use crate::account::Written;
use crate::connector::Capabilities;
use crate::facts::{Hold, SourceRecord};
use crate::policy::parse;
use crate::targets;

const SOURCE: &str = r#"
zone = "UTC"
[sources.hr]
key = "id"
[sources.hr.columns]
id = { attribute = "id" }
job = { attribute = "job" }
end = { attribute = "end", type = "date" }
[sources.hr.lifecycle]
end = "end"
[mappings.app]
id = "identity.id"
job = "identity.?job.orValue('none')"
[mappings.vpn]
id = "identity.id"
"#;

/// `rollout` is a line of the role `vpn`.
fn policy(rollout: &str) -> Policy {
    let roles = format!(
        "[[roles]]\nname = 'employee'\nwhen = 'true'\naccounts = ['app']\nentitlements = {{ app = ['staff'] }}\n\
         [[roles]]\nname = 'remote'\nwhen = \"has(identity.job) && identity.job == 'it'\"\nincludes = ['vpn']\n\
         [[roles]]\nname = 'vpn'\nwhen = \"has(identity.job) && identity.job in ['it', 'sales']\"\n{rollout}\n\
         accounts = ['vpn']\nentitlements = {{ app = ['tunnel'], vpn = ['in'] }}\n"
    );
    parse("policy.toml", &format!("{SOURCE}{roles}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn slot(target: &str) -> AccountSlot {
    AccountSlot {
        target: target.parse().unwrap(),
        kind: crate::name::Name::primary(),
    }
}

fn observed(state: AccountState, entitlements: &[&str]) -> ObservedAccount {
    let entitlements = entitlements
        .iter()
        .map(|id| ((*id).to_owned(), serde_json::Value::Null));
    ObservedAccount {
        state,
        external_id: (state != AccountState::Absent).then(|| "7".to_owned()),
        attributes: json!({ "id": "7", "job": "it" }).as_object().unwrap().clone(),
        entitlements: entitlements.collect(),
        version: None,
        written: None,
    }
}

/// A person with this job; `pilot` is that of the target `app`.
struct Case {
    policy: Policy,
    pilot: Option<&'static str>,
    accounts: Vec<(AccountSlot, ObservedAccount)>,
    holds: Vec<Hold>,
    job: &'static str,
    end: Option<&'static str>,
}

impl Case {
    fn new(rollout: &str, job: &'static str) -> Self {
        Self {
            policy: policy(rollout),
            pilot: None,
            accounts: Vec::new(),
            holds: Vec::new(),
            job,
            end: None,
        }
    }

    fn has(mut self, target: &str, state: AccountState, entitlements: &[&str]) -> Self {
        self.accounts.push((slot(target), observed(state, entitlements)));
        self
    }

    /// Usher has written to every account there is.
    fn ours(mut self) -> Self {
        for (_, account) in &mut self.accounts {
            account.written = Some(Written::of(&account.attributes, &account.attributes));
        }
        self
    }

    fn plan(&self) -> IdentityPlan {
        let mut attributes = json!({ "id": "7", "job": self.job }).as_object().unwrap().clone();
        if let Some(end) = self.end {
            attributes.insert("end".to_owned(), json!(end));
        }
        let record = SourceRecord {
            source: "hr".parse().unwrap(),
            key: "7".to_owned(),
            attributes,
            absent_since: None,
        };
        let text = |name: &str| {
            let pilot = self.pilot.filter(|_| name == "app");
            let pilot = pilot.map(|pilot| format!("pilot = \"{pilot}\"\n"));
            format!(
                "[targets.{name}]\nconnector = 'sql'\n{}",
                pilot.unwrap_or_default()
            )
        };
        let document = targets::parse("targets.toml", &(text("app") + &text("vpn"))).unwrap();
        let pilots = document.pilots(&self.policy, "targets.toml", true).unwrap();
        let facts = |name: &str| TargetFacts {
            capabilities: Capabilities {
                disable: true,
                delete: true,
                entitlements: true,
            },
            schema: AccountSchema::default(),
            apply: ApplyMode::Auto,
            depends_on: Vec::new(),
            pilot: pilots.get(&name.parse::<TargetName>().unwrap()).cloned(),
            protection: Default::default(),
        };
        let targets: BTreeMap<TargetName, TargetFacts> = ["app", "vpn"]
            .map(|name| (name.parse().unwrap(), facts(name)))
            .into();
        let input = PlanInput {
            records: &[record],
            accounts: &self.accounts,
            holds: &self.holds,
            ..PlanInput::default()
        };
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        plan_identity(&input, &self.policy, &targets, &TimeZoneDatabase::bundled(), now)
    }
}

fn words(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|step| step.cause.links().last().unwrap().clone())
        .collect()
}

/// Account by account: what is done, and what is announced.
fn told(plan: &IdentityPlan) -> Vec<String> {
    let line = |account: &AccountPlan| {
        let mut line = format!("{}: {}", account.slot, words(&account.steps).join(", "));
        if let Some(announced) = &account.announced {
            line += &format!(
                " | would ({}): {}",
                announced.because.join(", "),
                words(&announced.steps).join(", ")
            );
        }
        line
    };
    plan.accounts.iter().map(line).collect()
}

#[test]
fn a_role_in_observe_gives_nothing_and_the_plan_says_what_it_would_give() {
    let case = Case::new("observe = true", "sales");
    assert_eq!(
        told(&case.plan()),
        [
            "app: app: create, app: grant staff | would (role vpn is in observe): app: grant tunnel",
            "vpn:  | would (role vpn is in observe): vpn: create, vpn: grant in",
        ]
    );
    assert_eq!(case.plan().announced_roles, ["vpn".parse().unwrap()]);
    assert_eq!(case.plan().roles, ["employee".parse().unwrap()]);
}

#[test]
fn a_role_in_its_pilot_gives_to_those_it_names_and_announces_to_the_others() {
    let rollout = "pilot = \"has(identity.job) && identity.job == 'it'\"";
    let inside = Case::new(rollout, "it").plan();
    assert!(
        inside.accounts.iter().all(|account| account.announced.is_none()),
        "{inside:?}"
    );
    assert_eq!(told(&inside)[1], "vpn: vpn: create, vpn: grant in");
    let outside = Case::new(rollout, "sales").plan();
    assert_eq!(
        told(&outside)[1],
        "vpn:  | would (outside the pilot of role vpn): vpn: create, vpn: grant in"
    );
}

#[test]
fn a_role_that_comes_with_another_is_not_given_through_it_while_it_is_in_observe() {
    let plan = Case::new("observe = true", "it").plan();
    assert_eq!(plan.roles.len(), 2, "employee and remote: {:?}", plan.roles);
    assert!(told(&plan)[1].starts_with("vpn:  | would"), "{:?}", told(&plan));
}

#[test]
fn a_role_in_observe_takes_nothing_away_and_changes_nothing_that_is_there() {
    let case = Case::new("observe = true", "sales")
        .has("app", AccountState::Enabled, &["staff", "tunnel", "other"])
        .has("vpn", AccountState::Enabled, &["in", "old"]);
    let plan = case.plan();
    // What no role gives at all is taken away where another role gives the account; of the account that only the role in observe gives nothing is.
    assert_eq!(
        told(&plan),
        [
            "app: app: revoke other, app: update job",
            "vpn:  | would (role vpn is in observe): vpn: revoke old",
        ]
    );
    let disabled = Case::new("observe = true", "sales").has("vpn", AccountState::Disabled, &["in"]);
    assert_eq!(
        told(&disabled.plan())[1],
        "vpn:  | would (role vpn is in observe): vpn: enable"
    );
}

#[test]
fn outside_the_pilot_of_a_target_nothing_is_done_there_but_what_a_security_hold_asks_for() {
    let mut case = Case::new("", "sales").has("app", AccountState::Enabled, &["staff"]);
    case.pilot = Some("has(identity.job) && identity.job == 'it'");
    let plan = case.plan();
    assert_eq!(
        told(&plan),
        [
            "app:  | would (outside the pilot of target app): app: update job, app: grant tunnel",
            "vpn: vpn: create, vpn: grant in",
        ]
    );
    case.end = Some("2026-02-01");
    assert_eq!(
        told(&case.plan())[0],
        "app:  | would (outside the pilot of target app): app: disable, app: revoke staff"
    );
    case.end = None;
    case.holds = vec![Hold {
        kind: HoldKind::Security,
        from: "2026-03-01T00:00:00Z".parse().unwrap(),
        until: None,
        reason: "laptop stolen".to_owned(),
        by: crate::cause::Actor::Person("ann".to_owned()),
    }];
    let held = case.plan();
    assert_eq!(told(&held)[0], "app: app: disable");
    case.job = "it";
    case.holds.clear();
    assert!(case.plan().accounts[0].announced.is_none());
}

#[test]
fn a_pilot_that_cannot_be_evaluated_names_nobody_and_is_a_problem() {
    let mut case = Case::new("pilot = \"date(identity.job) == '2026-01-01'\"", "sales");
    case.pilot = Some("date(identity.job) == '2026-01-01'");
    let plan = case.plan();
    assert_eq!(words(&plan.accounts[0].steps), [""; 0]);
    assert_eq!(words(&plan.accounts[1].steps), [""; 0]);
    let paths: Vec<&str> = plan
        .problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(paths, ["roles.vpn.pilot", "targets.app.pilot"]);
}

/// Any state of both accounts.
fn accounts() -> impl Strategy<Value = Vec<(AccountSlot, ObservedAccount)>> {
    let state = prop_oneof![
        Just(AccountState::Absent),
        Just(AccountState::Enabled),
        Just(AccountState::Disabled),
        Just(AccountState::Unknown),
    ];
    let held = proptest::sample::subsequence(vec!["staff", "tunnel", "in", "other"], 0..=4);
    proptest::collection::vec((state, held), 2).prop_map(|pair| {
        let named = ["app", "vpn"].into_iter().zip(pair);
        named
            .map(|(target, (state, held))| (slot(target), observed(state, &held)))
            .collect()
    })
}

proptest! {
    /// The day the pilot is over brings exactly what was announced, beside what was planned anyway.
    #[test]
    fn leaving_the_pilot_gives_exactly_what_was_announced(
        accounts in accounts(),
        job in prop_oneof![Just("it"), Just("sales"), Just("cook")],
        end in prop_oneof![Just(None), Just(Some("2026-01-31")), Just(Some("2025-01-31"))],
        role in prop_oneof![Just(""), Just("observe = true"), Just("pilot = \"has(identity.job) && identity.job == 'it'\"")],
        target in prop_oneof![Just(None), Just(Some("has(identity.job) && identity.job == 'sales'"))],
    ) {
        let mut case = Case::new(role, job);
        (case.accounts, case.end, case.pilot) = (accounts, end, target);
        let pilot = case.plan();
        (case.policy, case.pilot) = (policy(""), None);
        let full = case.plan();
        for account in &full.accounts {
            prop_assert!(account.announced.is_none());
            let before = pilot.accounts.iter().find(|before| before.slot == account.slot);
            let Some(before) = before else {
                prop_assert!(account.steps.is_empty(), "not announced: {account:?}");
                continue;
            };
            let announced = before.announced.iter().flat_map(|announced| &announced.steps);
            let mut expected: Vec<&Work> = announced.chain(&before.steps).map(|step| &step.work).collect();
            let mut now: Vec<&Work> = account.steps.iter().map(|step| &step.work).collect();
            let by_text = |work: &&Work| format!("{work:?}");
            expected.sort_by_cached_key(by_text);
            now.sort_by_cached_key(by_text);
            prop_assert_eq!(expected, now, "{} of {:?}", account.slot, before);
        }
    }
}

/// Usher takes back what it gave, whatever becomes of a pilot: who leaves keeps nothing because they are outside of it, or because it fails.
#[test]
fn a_leaver_loses_what_usher_gave_outside_the_pilot_too() {
    for pilot in ["has(identity.job) && identity.job == 'it'", "identity.end == 'x'"] {
        let mut case = Case::new("", "sales")
            .has("app", AccountState::Enabled, &["staff"])
            .ours();
        case.pilot = Some(pilot);
        case.end = Some("2026-02-01");
        assert_eq!(
            told(&case.plan())[0],
            "app: app: disable, app: revoke staff",
            "{pilot}"
        );
    }
}

/// A role in observe keeps nobody's account and holds on to nothing it does not give itself.
#[test]
fn a_role_in_observe_keeps_nothing_that_others_gave() {
    let case = Case::new("observe = true", "sales")
        .has("vpn", AccountState::Enabled, &["in", "old"])
        .ours();
    assert_eq!(told(&case.plan())[1], "vpn: vpn: revoke old");
}
