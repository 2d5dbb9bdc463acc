//! Reads a file of scenarios, strictly: README.md beside this says what there is to say. What is not known is a mistake that names its
//! scenario.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};
use usher_lifecycle::account::AccountState;
use usher_lifecycle::assignment::Origin;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::name::{Name, RoleName, TargetName};

/// A file of scenarios.
pub(crate) struct File {
    pub(crate) policy: String,
    /// What holds before each scenario begins.
    pub(crate) given: Facts,
    pub(crate) scenarios: Vec<Scenario>,
}

/// A life, and what is done about it.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Another policy than the file's.
    pub(crate) policy: Option<String>,
    /// A day before the first step on which everything that is planned is carried out, whatever it is.
    pub(crate) working_since: Option<Timestamp>,
    pub(crate) given: Facts,
    pub(crate) steps: Vec<Step>,
}

/// A moment: what is new, and what the plan says then.
pub(crate) struct Step {
    pub(crate) at: Timestamp,
    /// The same as it is written.
    pub(crate) moment: String,
    pub(crate) facts: Facts,
    pub(crate) expected: Expected,
}

/// What changes.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Facts {
    /// What records say: `hr.endDate = "…"`, by source or `source/key`. An empty text is nothing, as in a file of the source.
    #[serde(skip)]
    pub(crate) records: BTreeMap<String, Table>,
    pub(crate) gone: Vec<String>,
    pub(crate) back: Vec<String>,
    pub(crate) assign: Vec<Assign>,
    pub(crate) unassign: Vec<RoleName>,
    pub(crate) hold: Vec<Held>,
    pub(crate) lift_holds: bool,
    pub(crate) except: Vec<Except>,
    pub(crate) observed: BTreeMap<String, Observed>,
    pub(crate) targets: BTreeMap<TargetName, Vec<Can>>,
    pub(crate) without_target: Vec<TargetName>,
    pub(crate) depends_on: BTreeMap<TargetName, Vec<TargetName>>,
    /// `protected` of a target, as in its document.
    pub(crate) protected: BTreeMap<TargetName, Table>,
    pub(crate) new_policy: Option<String>,
    pub(crate) taken: Vec<String>,
    pub(crate) erase: bool,
}

/// The keys of [`Facts`]; a table under any other is a record.
const FACTS: [&str; 15] = [
    "gone",
    "back",
    "assign",
    "unassign",
    "hold",
    "lift-holds",
    "except",
    "observed",
    "targets",
    "without-target",
    "depends-on",
    "protected",
    "new-policy",
    "taken",
    "erase",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Assign {
    pub(crate) role: RoleName,
    #[serde(default = "by_hand")]
    pub(crate) origin: Origin,
    #[serde(default = "a_reason")]
    pub(crate) reason: String,
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

fn by_hand() -> Origin {
    Origin::Manual
}

fn a_reason() -> String {
    "needed".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Held {
    pub(crate) kind: HoldKind,
    #[serde(default = "a_reason")]
    pub(crate) reason: String,
    /// From the moment of the step when not given.
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Except {
    pub(crate) separation: Name,
    pub(crate) until: Timestamp,
}

/// What a reconcile of the target finds, or what somebody did there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Observed {
    pub(crate) state: Option<AccountState>,
    /// What reading an account of unknown state will show.
    pub(crate) really: Option<AccountState>,
    /// Those that changed; an empty text is nothing.
    #[serde(default)]
    pub(crate) attributes: Table,
    /// All of them.
    pub(crate) entitlements: Option<Vec<String>>,
}

/// What a target can do.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Can {
    Disable,
    Delete,
    Entitlements,
}

/// What is planned, and what is said about it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Expected {
    /// Exactly these operations in this order, or `"nothing"`.
    pub(crate) plan: Operations,
    /// Targets that cannot be reached: what is planned for them is not carried out.
    #[serde(default)]
    pub(crate) down: Vec<TargetName>,
    pub(crate) state: Option<String>,
    pub(crate) roles: Option<Vec<RoleName>>,
    /// Of operations (or `state`): the whole chain.
    #[serde(default)]
    pub(crate) because: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) priority: BTreeMap<String, String>,
    /// Exactly these.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Exactly these.
    #[serde(default)]
    pub(crate) problems: Vec<String>,
    pub(crate) next_change: Option<Timestamp>,
    /// What accounts hold afterwards, by account; others are not looked at. An empty text is nothing.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Table>,
    /// What forbids `erase`.
    #[serde(default)]
    pub(crate) erase_refused: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Operations {
    Word(String),
    These(Vec<String>),
}

impl Operations {
    /// One line each; none for `"nothing"`.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Word(word) if word == "nothing" => Vec::new(),
            Self::Word(one) => vec![one.clone()],
            Self::These(lines) => lines.clone(),
        }
    }
}

/// Reads a file. Mistakes are one line that says where.
pub(crate) fn read(path: &Path) -> Result<File, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text)
}

pub(crate) fn parse(text: &str) -> Result<File, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Top {
        policy: String,
        #[serde(default)]
        given: Table,
        scenario: Vec<Table>,
    }
    let Top {
        policy,
        given,
        scenario,
    } = into(table, "at the top")?;
    let (rest, given) = split(given, "given")?;
    nothing_else(&rest, "given")?;
    let scenarios = scenario
        .into_iter()
        .map(read_scenario)
        .collect::<Result<_, _>>()?;
    Ok(File {
        policy,
        given,
        scenarios,
    })
}

fn read_scenario(table: Table) -> Result<Scenario, String> {
    let name = table
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or("without a name");
    let place = format!("scenario `{name}`");
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Own {
        name: String,
        policy: Option<String>,
        working_since: Option<Timestamp>,
        step: Vec<Table>,
    }
    let (own, given) = split(table, &place)?;
    let Own {
        name,
        policy,
        working_since,
        step,
    } = into(own, &place)?;
    let steps: Vec<Step> = step
        .into_iter()
        .enumerate()
        .map(|(index, table)| read_step(table, &format!("{place}, step {}", index + 1)))
        .collect::<Result<_, _>>()?;
    let moments = working_since.into_iter().chain(steps.iter().map(|step| step.at));
    if !moments.is_sorted() {
        return Err(format!("{place}: time goes back"));
    }
    Ok(Scenario {
        name,
        policy,
        working_since,
        given,
        steps,
    })
}

fn read_step(table: Table, place: &str) -> Result<Step, String> {
    let (mut own, facts) = split(table, place)?;
    let at = own.remove("at");
    let moment = at.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = moment
        .parse()
        .map_err(|_| format!("{place}: needs `at`, like at = \"2026-03-02T09:00:00+01:00\""))?;
    Ok(Step {
        at,
        moment,
        facts,
        expected: into(own, place)?,
    })
}

/// Takes the facts out of a table.
fn split(table: Table, place: &str) -> Result<(Table, Facts), String> {
    let (mut own, mut facts, mut records) = (Table::new(), Table::new(), BTreeMap::new());
    for (key, value) in table {
        if FACTS.contains(&key.as_str()) {
            facts.insert(key, value);
        } else if ["because", "priority", "attributes"].contains(&key.as_str()) {
            own.insert(key, value);
        } else if let Value::Table(record) = value {
            records.insert(key, record);
        } else {
            own.insert(key, value);
        }
    }
    let facts = into(facts, place)?;
    Ok((own, Facts { records, ..facts }))
}

fn nothing_else(table: &Table, place: &str) -> Result<(), String> {
    match table.keys().next() {
        Some(key) => Err(format!("{place}: unknown field `{key}`")),
        None => Ok(()),
    }
}

fn into<T: DeserializeOwned>(table: Table, place: &str) -> Result<T, String> {
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| format!("{place}: {}", error.to_string().trim()))
}
