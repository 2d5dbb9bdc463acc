//! For whom a role gives anything yet: everybody, nobody (`observe = true`), or whom `pilot` names.

use super::Policy;
use super::parse::{Expressions, optional};
use crate::document::reader::Table;
use crate::expr::{ExpressionError, Rule, Scope};

/// For whom a role gives anything yet. To the others it gives nothing new and takes nothing away; the plan says what it would do.
#[derive(Clone, Debug, Default)]
pub enum Rollout {
    /// Everybody who has it.
    #[default]
    Everybody,
    /// Nobody: it is only observed.
    Nobody,
    /// Those for whom the expression holds.
    Pilot(Rule),
}

/// `observe` and `pilot` of a role.
pub(super) fn read_rollout(table: &Table<'_, '_>, expressions: &mut Expressions<'_>) -> Option<Rollout> {
    let observe = optional(table.take("observe"), false, |item| item.flag());
    let pilot_item = table.take("pilot");
    let pilot = match &pilot_item {
        Some(item) => expressions.rule(item).map(Some),
        None => Some(None),
    };
    match (observe?, pilot?, pilot_item) {
        (true, Some(_), Some(item)) => {
            item.mistake(
                "a role that is only observed has no pilot: write `observe = true` or `pilot`, not both",
            );
            None
        }
        (true, Some(_) | None, _) => Some(Rollout::Nobody),
        (false, Some(rule), _) => Some(Rollout::Pilot(rule)),
        (false, None, _) => Some(Rollout::Everybody),
    }
}

impl Policy {
    /// For each role whether it gives nothing to this person yet; `None` when all give. A pilot that cannot be evaluated names nobody, and is a
    /// problem.
    pub(crate) fn not_yet(
        &self,
        scope: &Scope<'_>,
        problems: &mut Vec<ExpressionError>,
    ) -> Option<Vec<bool>> {
        let mut not_yet = None;
        for (place, role) in self.roles.iter().enumerate() {
            let outside = match &role.rollout {
                Rollout::Everybody => false,
                Rollout::Nobody => true,
                Rollout::Pilot(rule) => !rule.holds(scope).unwrap_or_else(|error| {
                    problems.push(error);
                    false
                }),
            };
            if outside {
                not_yet.get_or_insert_with(|| vec![false; self.roles.len()])[place] = true;
            }
        }
        not_yet
    }
}
