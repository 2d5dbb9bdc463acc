//! Whether two policies want the same of everybody. Names every field of what it compares, so that a new one is thought of here.

use super::{
    AttributeMapping, Make, Mapping, MissingReaction, Policy, Reactions, Role, Rollout, SourcePolicy,
};
use crate::expr::{Mapper, Rule};
use crate::name::TargetName;

impl Policy {
    /// Whether a plan is the same under both, whoever the person is: they differ in nothing that planning looks at. What says `true` is exact;
    /// `false` means only that it must be tried, person by person.
    pub fn plans_as(&self, other: &Self) -> bool {
        let Self {
            zone,
            retention_days,
            unassigned,
            sources,
            authority,
            roles,
            separations,
            mappings,
            flows,
            // Follows from the mappings and the flows.
            made_from: _,
            // Asked when operations are let go, not when they are planned.
            thresholds: _,
            // Follows from the sources; what expressions read is in the records.
            declared: _,
            reactions: _,
            // Whose a found account is, is told by reconciles.
            correlation: _,
            // Where things stand in the text.
            positions: _,
        } = self;
        let same_mapping = |(left, right): ((&_, &Mapping), (&_, &Mapping))| {
            left.0 == right.0 && same_mapping(left.1, right.1)
        };
        *zone == other.zone
            && *retention_days == other.retention_days
            && *unassigned == other.unassigned
            && all(sources, &other.sources, same_source)
            && *authority == other.authority
            && all(roles, &other.roles, same_role)
            && *separations == other.separations
            && *flows == other.flows
            && mappings.len() == other.mappings.len()
            && mappings.iter().zip(&other.mappings).all(same_mapping)
            && self.makes_missing_again() == other.makes_missing_again()
    }

    /// Of all reactions planning looks at these only: targets in which a missing account is made again.
    fn makes_missing_again(&self) -> Vec<&TargetName> {
        let of = |(target, reactions): (_, &Reactions)| match reactions.missing {
            MissingReaction::Create => Some(target),
            MissingReaction::Report => None,
        };
        self.reactions.iter().filter_map(of).collect()
    }
}

fn all<T>(left: &[T], right: &[T], same: fn(&T, &T) -> bool) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
}

fn same_source(left: &SourcePolicy, right: &SourcePolicy) -> bool {
    let SourcePolicy {
        name,
        lifecycle,
        // How files are read: what was read is there already.
        delimiter: _,
        encoding: _,
        key: _,
        bad_rows: _,
        bad_rows_max_percent: _,
        shrink_max_percent: _,
        absent_after_snapshots: _,
        columns: _,
        // Whose records are was decided when they came.
        join: _,
    } = left;
    *name == right.name && *lifecycle == right.lifecycle
}

fn same_role(left: &Role, right: &Role) -> bool {
    let Role {
        name,
        when,
        includes,
        overlap_days,
        rollout,
        accounts,
        entitlements,
        // Follows from `includes` and the order of all roles.
        included: _,
    } = left;
    *name == right.name
        && when.as_ref().map(Rule::source) == right.when.as_ref().map(Rule::source)
        && *includes == right.includes
        && *overlap_days == right.overlap_days
        && same_rollout(rollout, &right.rollout)
        && *accounts == right.accounts
        && *entitlements == right.entitlements
}

fn same_rollout(left: &Rollout, right: &Rollout) -> bool {
    match (left, right) {
        (Rollout::Everybody, Rollout::Everybody) | (Rollout::Nobody, Rollout::Nobody) => true,
        (Rollout::Pilot(left), Rollout::Pilot(right)) => left.source() == right.source(),
        (Rollout::Everybody | Rollout::Nobody | Rollout::Pilot(_), _) => false,
    }
}

fn same_mapping(left: &Mapping, right: &Mapping) -> bool {
    let Mapping {
        attributes,
        // Follows from the attributes.
        managed: _,
    } = left;
    attributes.len() == right.attributes.len()
        && attributes
            .iter()
            .zip(&right.attributes)
            .all(|(left, right)| left.0 == right.0 && same_attribute(left.1, right.1))
}

fn same_attribute(left: &AttributeMapping, right: &AttributeMapping) -> bool {
    let AttributeMapping { make, strength } = left;
    let same_mapper = |left: &Mapper, right: &Mapper| left.source() == right.source();
    let same_make = match (make, &right.make) {
        (Make::Value(left), Make::Value(right)) => same_mapper(left, right),
        (
            Make::Unique {
                candidates: left,
                follow_name: left_follows,
            },
            Make::Unique {
                candidates: right,
                follow_name: right_follows,
            },
        ) => left_follows == right_follows && all(left, right, same_mapper),
        (Make::Value(_), Make::Unique { .. }) | (Make::Unique { .. }, Make::Value(_)) => false,
    };
    same_make && *strength == right.strength
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::parse;

    const TEXT: &str = r#"
zone = "Europe/Berlin"
retention-days = 30
[sources.hr]
kind = "snapshot"
format = "csv"
key = "id"
[sources.hr.columns]
id = { attribute = "id" }
job = { attribute = "job" }
end = { attribute = "end", type = "date" }
[sources.hr.lifecycle]
end = "end"
[[roles]]
name = "staff"
when = "identity.job == 'a'"
accounts = ["app"]
[roles.entitlements]
app = ["vpn"]
[[roles]]
name = "boss"
includes = ["staff"]
overlap-days = 3
[[roles]]
name = "root"
accounts = ["dir"]
[roles.entitlements]
dir = ["root", "admin"]
[[separation]]
name = "both"
of = ["role:staff", "entitlement:dir:root"]
[mappings.app]
id = "identity.id"
login = { candidates = ["identity.id", "identity.job"], unique = true }
"#;

    fn policy(text: &str) -> Policy {
        parse("policy.toml", text).unwrap()
    }

    #[test]
    fn what_planning_does_not_look_at_changes_no_plan() {
        for (from, to) in [
            ("zone =", "# Where most people are.\nzone ="),
            ("key = \"id\"", "key = \"id\"\nshrink-max-percent = 7"),
            (
                "job = { attribute",
                "town = { attribute = \"town\" }\njob = { attribute",
            ),
            ("format = \"csv\"", "format = \"csv\"\nencoding = \"utf-16le\""),
            (
                "[mappings.app]",
                "[reactions.app]\nunlinked = \"link\"\n[mappings.app]",
            ),
            (
                "[mappings.app]",
                "[[correlation.app]]\nexact = { id = \"identity.id\" }\n[mappings.app]",
            ),
        ] {
            let changed = TEXT.replacen(from, to, 1);
            assert_ne!(changed, TEXT);
            assert!(policy(TEXT).plans_as(&policy(&changed)), "{to}");
        }
    }

    #[test]
    fn everything_else_does() {
        for (from, to) in [
            ("Berlin", "Paris"),
            ("retention-days = 30", "retention-days = 31"),
            ("zone =", "unassigned = \"delete\"\nzone ="),
            ("\nend = \"end\"\n", "\n"),
            ("[sources.hr]", "[authority]\njob = [\"hr\"]\n[sources.hr]"),
            ("== 'a'", "== 'b'"),
            ("when = \"identity.job == 'a'\"\n", ""),
            ("accounts = [\"app\"]", "accounts = [\"app\", \"app/admin\"]"),
            ("[\"vpn\"]", "[\"vpn\", \"mail\"]"),
            ("[\"vpn\"]", "[{ id = \"vpn\", parameters = { n = 1 } }]"),
            ("includes = [\"staff\"]\n", ""),
            ("overlap-days = 3", "overlap-days = 4"),
            ("name = \"boss\"", "name = \"chief\""),
            ("dir:root", "dir:admin"),
            ("id = \"identity.id\"\n", "id = \"identity.job\"\n"),
            (
                "id = \"identity.id\"\n",
                "id = { value = \"identity.id\", strength = \"weak\" }\n",
            ),
            (
                "id = \"identity.id\"\n",
                "id = { value = \"identity.id\", unique = true }\n",
            ),
            ("\"identity.id\", \"identity.job\"", "\"identity.id\""),
            ("unique = true }", "unique = true, follow-name = true }"),
            ("[mappings.app]", "[mappings.dir]"),
            (
                "[mappings.app]",
                "[flows]\nkey = { account = \"dir\", id = true }\n[mappings.app]",
            ),
            (
                "[mappings.app]",
                "[reactions.app]\nmissing = \"create\"\n[mappings.app]",
            ),
        ] {
            let changed = TEXT.replacen(from, to, 1);
            assert_ne!(changed, TEXT, "{from}");
            let (old, new) = (policy(TEXT), policy(&changed));
            assert!(!old.plans_as(&new) && !new.plans_as(&old), "{to}");
        }
        assert!(policy(TEXT).plans_as(&policy(TEXT)));
    }
}
