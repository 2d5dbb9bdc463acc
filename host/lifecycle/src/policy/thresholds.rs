//! Reads the budgets of a policy.
//!
//! `[thresholds.app] disable = { most = 20, percent = 5, per-hours = 24 }`: of the accounts of `app` at most 20, and at most 5 % of them, are disabled
//! within 24 hours before a person is asked; `delete` and `create` likewise, `most` or `percent` or both. `[thresholds."*"]` is for every target that
//! says nothing else. No key, no budget.

use std::collections::BTreeMap;

use super::Positions;
use super::parse::optional;
use crate::budget::{Budget, Budgets, Counted, MOST_MAX, Thresholds, WINDOW_HOURS_DEFAULT, WINDOW_HOURS_MAX};
use crate::document::item::Item;
use crate::name::TargetName;
use crate::targets::TARGETS_MAX;

/// The key for all targets: no target can have this name.
const EVERY: &str = "*";

pub(super) fn read_thresholds(item: &Item<'_, '_>, positions: &mut Positions) -> Option<Thresholds> {
    let entries = item.table()?.entries();
    if entries.len() > TARGETS_MAX + 1 {
        item.mistake(format!("more than {TARGETS_MAX} targets"));
        return None;
    }
    let mut thresholds = Thresholds {
        every: Budgets::default(),
        targets: BTreeMap::new(),
    };
    let mut whole = true;
    for (name, item) in entries {
        let budgets = read_budgets(&item);
        whole &= budgets.is_some();
        if name == EVERY {
            thresholds.every = budgets.unwrap_or_default();
            continue;
        }
        match name.parse::<TargetName>() {
            Ok(name) => {
                positions.insert(format!("thresholds.{name}"), item.place());
                thresholds.targets.insert(name, budgets.unwrap_or_default());
            }
            Err(error) => {
                item.mistake_of_key(format!("must be a target, or \"*\" for all: {error}"));
                whole = false;
            }
        }
    }
    whole.then_some(thresholds)
}

fn read_budgets(item: &Item<'_, '_>) -> Option<Budgets> {
    let table = item.table()?;
    let read = |counted: Counted| {
        optional(table.take(counted.verb()), None, |item| {
            read_budget(&item).map(Some)
        })
    };
    let (disable, delete, create) = (
        read(Counted::Disable),
        read(Counted::Delete),
        read(Counted::Create),
    );
    table.finish();
    Some(Budgets {
        disable: disable?,
        delete: delete?,
        create: create?,
    })
}

fn read_budget(item: &Item<'_, '_>) -> Option<Budget> {
    let table = item.table_as("a table like { most = 20, per-hours = 24 }")?;
    let most = optional(table.take("most"), None, |item| {
        item.number(0..=MOST_MAX).map(Some)
    });
    let percent = optional(table.take("percent"), None, |item| item.number(0..=100).map(Some));
    let per_hours = optional(table.take("per-hours"), WINDOW_HOURS_DEFAULT, |item| {
        item.number(1..=WINDOW_HOURS_MAX)
    });
    table.finish();
    let budget = Budget {
        most: most?,
        percent: percent?,
        per_hours: per_hours?,
    };
    if budget.most.is_none() && budget.percent.is_none() {
        item.mistake("says neither `most` (how many) nor `percent` (of the accounts of the target)");
        return None;
    }
    Some(budget)
}

#[cfg(test)]
mod tests {
    use crate::budget::{Budget, Counted};
    use crate::policy::{Policy, check_against, parse};
    use crate::targets;

    const REST: &str =
        "zone = 'UTC'\n[sources.hr]\nkey = 'id'\n[sources.hr.columns]\nid = { attribute = 'id' }\n";

    fn read(text: &str) -> Result<Policy, Vec<String>> {
        parse("policy.toml", &format!("{REST}{text}"))
            .map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn budgets_are_read_and_the_window_is_a_day_unless_said() {
        let policy = read(
            "[thresholds.'*']\ndelete = { percent = 5 }\n[thresholds.app]\ndisable = { most = 20, percent = 7, per-hours = 48 }\n",
        )
        .unwrap();
        let of = |target: &str, counted| policy.thresholds.budget(&target.parse().unwrap(), counted);
        let app = Budget {
            most: Some(20),
            percent: Some(7),
            per_hours: 48,
        };
        let every = Budget {
            most: None,
            percent: Some(5),
            per_hours: 24,
        };
        assert_eq!(of("app", Counted::Disable), Some(app));
        assert_eq!(of("app", Counted::Delete), Some(every));
        assert_eq!(of("other", Counted::Delete), Some(every));
        assert_eq!(of("other", Counted::Disable), None);
        assert_eq!(read("").unwrap().thresholds, crate::budget::Thresholds::default());
    }

    #[test]
    fn every_mistake_names_its_line_and_key() {
        let errors = read(
            "[thresholds.app]\ndisable = { per-hours = 24 }\ndelete = { most = -1 }\ncreate = { most = 1, per-hours = 745 }\n\
             grant = { most = 1 }\n[thresholds.'no name']\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn a_budget_of_a_target_that_is_not_there_is_a_mistake() {
        let policy = read("[thresholds.apt]\ndisable = { most = 1 }\n").unwrap();
        let targets = targets::parse("targets.toml", "[targets.app]\nconnector = 'sql'\n").unwrap();
        let errors = check_against(&policy, "policy.toml", &targets).unwrap_err();
        insta::assert_snapshot!(errors.to_string());
    }
}
