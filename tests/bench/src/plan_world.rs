//! The policy and the targets of the planning bench: three targets, forty roles.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use usher_lifecycle::connector::Capabilities;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::plan::TargetFacts;
use usher_lifecycle::schema::AccountSchema;
use usher_lifecycle::targets::ApplyMode;

use crate::people;

/// The targets.
pub(crate) const TARGETS: [&str; 3] = ["noop", "noop-2", "noop-3"];
/// The roles.
pub(crate) const ROLES: usize = 40;

/// One role that gives the accounts, the others an entitlement each, by what they read of a person.
pub(crate) fn policy_text() -> String {
    const DEPARTMENTS: [&str; 4] = ["Engineering", "Sales", "Finance", "Support"];
    let mut text = people::policy(&TARGETS);
    // Roles stand before mappings or after, as one likes.
    for n in 1..ROLES {
        let department = DEPARTMENTS[n % DEPARTMENTS.len()];
        let when = match n % 4 {
            0 => format!("identity.department == '{department}' && identity.location != 'Berlin'"),
            1 => format!("identity.title == 'Title {n}'"),
            2 => format!(
                "identity.contract == 'permanent' && identity.department in ['{department}', 'Legal']"
            ),
            _ => format!("identity.location.startsWith('L') || identity.title.endsWith(' {n}')"),
        };
        let _ = write!(
            text,
            "\n[[roles]]\nname = \"role-{n}\"\nwhen = \"{when}\"\n[roles.entitlements]\n{} = [\"group-{n}\"]\n",
            TARGETS[n % TARGETS.len()]
        );
    }
    text
}

/// What planning must know of the targets.
pub(crate) fn targets() -> anyhow::Result<BTreeMap<TargetName, TargetFacts>> {
    let schema = AccountSchema::parse(&serde_json::json!({ "type": "object" }))?;
    let facts = TargetFacts {
        capabilities: Capabilities {
            disable: true,
            delete: true,
            entitlements: true,
        },
        schema,
        apply: ApplyMode::Auto,
        depends_on: Vec::new(),
        pilot: None,
        protection: Default::default(),
    };
    let named = |name: &&str| Ok((name.parse()?, facts.clone()));
    TARGETS.iter().map(named).collect()
}
