//! Which roles a person has, and by whom: by rule, by assignment, kept for an overlap, through a role that includes them.

use jiff::{SignedDuration, Timestamp};

use super::PlanInput;
use super::desired::Wish;
use super::separation::{self, Withheld};
use crate::assignment::{Assignment, HeldRole, Origin};
use crate::expr::ExpressionError;
use crate::policy::{Duty, Policy, Role};
use crate::state::{IdentityState, earliest};

/// Why a person has a role. Several reasons count each for itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Givers<'a> {
    /// Its own rule holds.
    pub(super) rule: bool,
    /// It is assigned; in an order that does not depend on how the assignments came.
    pub(super) assignments: Vec<&'a Assignment>,
    /// No rule gives it any more, but it is kept until then.
    pub(super) kept: Option<Kept>,
    /// Roles that include it.
    pub(super) includers: Vec<usize>,
}

/// A role in its overlap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    since: Timestamp,
    until: Timestamp,
}

impl Givers<'_> {
    /// It is given by something else than a role that includes it.
    fn directly(&self) -> bool {
        self.rule || self.kept.is_some() || !self.assignments.is_empty()
    }
}

/// The roles of a person, by their place among the policy's roles.
pub(super) struct Roles<'a> {
    pub(super) policy: &'a Policy,
    /// They have it.
    pub(super) given: Vec<bool>,
    /// Why, for those they have and those that are withheld.
    pub(super) givers: Vec<Givers<'a>>,
    /// What a separation of duties does not let them have, but for what is there already.
    pub(super) withheld: Withheld<'a>,
    /// Roles that give this person nothing yet, by themselves; empty when none is limited so.
    not_yet: Vec<bool>,
    /// Roles they would have, but for those: only announced. Empty when there are none.
    announced: Vec<bool>,
    /// What the next plan must know.
    pub(super) held: Vec<HeldRole>,
    /// When assignments, overlaps and exceptions change it next.
    pub(super) next_change: Option<Timestamp>,
}

impl<'a> Roles<'a> {
    /// Nobody's.
    pub(super) fn none(policy: &'a Policy) -> Self {
        Self {
            policy,
            given: Vec::new(),
            givers: Vec::new(),
            withheld: Withheld::default(),
            not_yet: Vec::new(),
            announced: Vec::new(),
            held: Vec::new(),
            next_change: None,
        }
    }

    /// The roles of a person at a moment. Only of who has started is something kept that a rule no longer gives. During leave and holds what the last
    /// plan recorded stays as it is: at the return they have what they had.
    pub(super) fn of(
        wish: &Wish<'a, '_>,
        problems: &mut Vec<ExpressionError>,
    ) -> Result<Self, ExpressionError> {
        let Wish {
            policy,
            input,
            scope,
            state,
            now,
            full,
            ..
        } = *wish;
        let away = state == IdentityState::Suspended;
        let works = away || state == IdentityState::Active;
        let by_rule = policy.by_rule(scope)?;
        let mut roles = Self::none(policy);
        roles.givers = by_rule
            .into_iter()
            .map(|rule| Givers {
                rule,
                ..Givers::default()
            })
            .collect();
        let ruled = roles.reached(|givers| givers.rule);
        roles.assign(input, now, problems);
        if works {
            roles.keep(input, &ruled, now);
        }
        roles.given = roles.reached(Givers::directly);
        if !full && let Some(not_yet) = policy.not_yet(scope, problems) {
            roles.leave_out(not_yet);
        }
        roles.separate(input, state, now, problems);
        roles.include();
        if away {
            roles.held = input.held.to_vec();
            roles.next_change = earliest(roles.next_change, roles.overlaps_end(input));
        } else if works {
            roles.record(input, &ruled);
        }
        Ok(roles)
    }

    /// The roles such givers give, with all they include.
    fn reached(&self, gives: impl Fn(&Givers<'a>) -> bool) -> Vec<bool> {
        let mut reached = vec![false; self.givers.len()];
        let from = self.givers.iter().enumerate().filter(|(_, givers)| gives(givers));
        let from: Vec<usize> = from.map(|(place, _)| place).collect();
        self.policy.reach(&from, &mut reached);
        reached
    }

    /// The roles they have without these, and without what comes only through these.
    pub(super) fn given_without(&self, these: &[bool]) -> Vec<bool> {
        let mut given = vec![false; self.givers.len()];
        let mut open: Vec<usize> = (0..given.len())
            .filter(|place| self.givers[*place].directly())
            .collect();
        while let Some(place) = open.pop() {
            let left_out = these.get(place) == Some(&true) || self.not_yet.get(place) == Some(&true);
            if !left_out && !std::mem::replace(&mut given[place], true) {
                open.extend(&self.policy.roles[place].included);
            }
        }
        given
    }

    /// Takes out the roles that give nothing yet, with what comes only through them.
    fn leave_out(&mut self, not_yet: Vec<bool>) {
        self.not_yet = not_yet;
        let rest = self.given_without(&[]);
        self.announced = self
            .given
            .iter()
            .zip(&rest)
            .map(|(would, does)| *would && !does)
            .collect();
        self.given = rest;
    }

    /// They would have it, but it gives them nothing yet.
    pub(super) fn is_announced(&self, place: usize) -> bool {
        self.announced.get(place) == Some(&true)
    }

    /// The places of those roles.
    pub(super) fn announced(&self) -> Vec<usize> {
        (0..self.announced.len())
            .filter(|place| self.is_announced(*place))
            .collect()
    }

    fn assign(&mut self, input: &PlanInput<'a>, now: Timestamp, problems: &mut Vec<ExpressionError>) {
        let mut sorted: Vec<&Assignment> = input.assignments.iter().collect();
        sorted.sort_by_cached_key(|one| {
            let by = one.by.to_string();
            (
                one.origin,
                one.role.clone(),
                by,
                one.reason.clone(),
                one.valid_from,
                one.valid_until,
            )
        });
        for assignment in sorted {
            self.next_change = earliest(self.next_change, assignment.next_change(now));
            if !assignment.is_valid(now) {
                continue;
            }
            match self
                .policy
                .roles
                .iter()
                .position(|role| role.name == assignment.role)
            {
                Some(place) => self.givers[place].assignments.push(assignment),
                None => problems.push(ExpressionError {
                    path: format!("assignments.{}", assignment.role),
                    expression: String::new(),
                    message: "the policy has no role of this name: the assignment gives nothing".to_owned(),
                }),
            }
        }
    }

    /// Keeps what a rule gave and gives no more, for the role's overlap.
    fn keep(&mut self, input: &PlanInput<'_>, ruled: &[bool], now: Timestamp) {
        for held in input.held.iter().filter(|held| held.by_rule) {
            let Some(place) = self.policy.roles.iter().position(|role| role.name == held.role) else {
                continue;
            };
            let since = held.since_lost.unwrap_or(now);
            let overlap = SignedDuration::from_hours(24 * i64::from(self.policy.roles[place].overlap_days));
            // Beyond the end of time it is kept for ever.
            let until = since.checked_add(overlap).unwrap_or(Timestamp::MAX);
            if !ruled[place] && now < until {
                self.givers[place].kept = Some(Kept { since, until });
            }
        }
    }

    /// When the next overlap ends that had begun before the leave. One that a rule ended since begins at the return.
    fn overlaps_end(&self, input: &PlanInput<'_>) -> Option<Timestamp> {
        let began = |role: &Role| {
            let mut held = input.held.iter();
            held.any(|held| held.role == role.name && held.since_lost.is_some())
        };
        let places = self.policy.roles.iter().zip(&self.givers);
        places
            .filter(|(role, _)| began(role))
            .filter_map(|(_, givers)| givers.kept.map(|kept| kept.until))
            .min()
    }

    /// Takes out what a separation of duties does not allow.
    fn separate(
        &mut self,
        input: &PlanInput<'a>,
        state: IdentityState,
        now: Timestamp,
        problems: &mut Vec<ExpressionError>,
    ) {
        if self.policy.separations.is_empty() {
            return;
        }
        let next = input
            .exceptions
            .iter()
            .map(|exception| exception.until)
            .filter(|until| *until > now)
            .min();
        self.next_change = earliest(self.next_change, next);
        let yielding = separation::yielding(self, input, now);
        if yielding.contains(&true) {
            for (givers, _) in self.givers.iter_mut().zip(yielding).filter(|(_, yields)| *yields) {
                givers.kept = None;
            }
            self.given = self.given_without(&[]);
        }
        let mut withheld = separation::withheld(self, input, state, now, problems);
        if withheld.roles.contains(&true) {
            let allowed = self.given_without(&withheld.roles);
            // What comes only through a withheld role is withheld with it.
            for (place, given) in self.given.iter().enumerate() {
                withheld.roles[place] = *given && !allowed[place];
            }
            self.given = allowed;
        }
        self.withheld = withheld;
    }

    /// Notes which role came through which, for the causes.
    fn include(&mut self) {
        for (place, role) in self.policy.roles.iter().enumerate() {
            if self.given[place] || self.is_withheld(place) || self.is_announced(place) {
                for included in &role.included {
                    self.givers[*included].includers.push(place);
                }
            }
        }
    }

    /// They would have it, but for a separation of duties.
    pub(super) fn is_withheld(&self, place: usize) -> bool {
        self.withheld.roles.get(place).copied().unwrap_or_default()
    }

    /// What the next plan must know, and when overlaps end.
    fn record(&mut self, input: &PlanInput<'_>, ruled: &[bool]) {
        let separated = |place: usize| {
            let is_it = |duty: &Duty| matches!(duty, Duty::Role(of, _) if *of == place);
            self.policy
                .separations
                .iter()
                .any(|separation| separation.of.iter().any(is_it))
        };
        // Of what is withheld only that is recorded: its overlap is over with this plan.
        let counts = |place: &usize| self.given[*place] || self.is_announced(*place);
        let kept = (0..self.givers.len())
            .filter(counts)
            .filter_map(|place| self.givers[place].kept);
        self.next_change = earliest(self.next_change, kept.map(|kept| kept.until).min());
        let mut held = Vec::new();
        for (place, role) in self.policy.roles.iter().enumerate() {
            let (by_rule, kept) = (ruled[place], self.givers[place].kept);
            let overlaps = role.overlap_days > 0 && (by_rule || kept.is_some());
            if self.given[place] && (overlaps || separated(place)) {
                held.push(HeldRole {
                    role: role.name.clone(),
                    by_rule: by_rule || kept.is_some(),
                    since_lost: kept.map(|kept| kept.since),
                    withheld: false,
                });
            } else if self.is_announced(place) && (overlaps || separated(place)) {
                // Once it gives again, it goes on where it was: with its overlap, and as held or not.
                held.push(HeldRole {
                    role: role.name.clone(),
                    by_rule: by_rule || kept.is_some(),
                    since_lost: kept.map(|kept| kept.since),
                    withheld: kept.is_none() && !separation::was_given(input, &role.name),
                });
            } else if self.is_withheld(place) && separated(place) {
                held.push(HeldRole {
                    role: role.name.clone(),
                    by_rule: false,
                    since_lost: None,
                    withheld: true,
                });
            }
        }
        self.held = held;
    }

    /// The roles they have, in the order of the document.
    pub(super) fn having(&self) -> impl Iterator<Item = &'a Role> {
        let roles = self.policy.roles.iter().zip(&self.given);
        roles.filter(|(_, given)| **given).map(|(role, _)| role)
    }

    /// `role employee`, `roles employee, vpn (by hand, person ann)`.
    pub(super) fn shown(&self, places: &[usize]) -> String {
        let shown: Vec<String> = places.iter().map(|place| self.shown_one(*place)).collect();
        format!(
            "{} {}",
            if places.len() == 1 { "role" } else { "roles" },
            shown.join(", ")
        )
    }

    fn shown_one(&self, place: usize) -> String {
        let (name, givers) = (&self.policy.roles[place].name, &self.givers[place]);
        let mut why = Vec::new();
        if givers.rule {
            why.push("by rule".to_owned());
        }
        why.extend(givers.assignments.iter().map(|assignment| by_whom(assignment)));
        let includers = givers
            .includers
            .iter()
            .map(|place| &self.policy.roles[*place].name);
        why.extend(includers.map(|includer| format!("in {includer}")));
        why.extend(givers.kept.map(|kept| format!("kept until {}", kept.until)));
        if self.is_withheld(place) || self.is_announced(place) {
            why.push("only what is there already".to_owned());
        }
        if givers.rule && why.len() == 1 {
            return name.to_string();
        }
        format!("{name} ({})", why.join("; "))
    }
}

/// Without the reason: causes are kept in clear, reasons are not.
fn by_whom(assignment: &Assignment) -> String {
    let how = match assignment.origin {
        Origin::Manual => "by hand",
        Origin::Request => "by request",
    };
    format!("{how}, {}", assignment.by)
}

#[cfg(test)]
mod tests;
