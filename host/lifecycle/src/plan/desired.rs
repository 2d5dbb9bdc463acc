//! Which accounts policy wants for a person in a state, and why.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::account::{AccountSlot, DesiredAccount, Entitlements};
use crate::attributes::Attributes;
use crate::cause::Cause;
use crate::expr::ExpressionError;
use crate::name::RoleName;
use crate::policy::{Person, Policy, Role, Unassigned};
use crate::state::IdentityState;

/// What is wanted of all accounts of a person.
pub(super) struct Wanted {
    /// The roles they have.
    pub(super) roles: Vec<RoleName>,
    accounts: BTreeMap<AccountSlot, WantedAccount>,
    others: WantedAccount,
    unassigned: bool,
}

/// What is wanted of one account.
#[derive(Clone)]
pub(super) struct WantedAccount {
    /// What, or why that cannot be said.
    pub(super) desired: Result<DesiredAccount, String>,
    /// From the fact to the role.
    pub(super) cause: Cause,
    /// The same for each entitlement it should have.
    pub(super) entitlement_causes: BTreeMap<String, Cause>,
}

impl WantedAccount {
    const fn all(desired: DesiredAccount, cause: Cause) -> Self {
        Self {
            desired: Ok(desired),
            cause,
            entitlement_causes: BTreeMap::new(),
        }
    }
}

impl Wanted {
    /// The accounts given by roles.
    pub(super) fn slots(&self) -> impl Iterator<Item = &AccountSlot> {
        self.accounts.keys()
    }

    /// What is wanted of an account; also of one that nothing names.
    pub(super) fn account(&self, slot: &AccountSlot) -> Cow<'_, WantedAccount> {
        match self.accounts.get(slot) {
            Some(account) => Cow::Borrowed(account),
            None if self.unassigned => {
                let cause = self.others.cause.then(format!("no role gives {slot}"));
                Cow::Owned(WantedAccount {
                    cause,
                    ..self.others.clone()
                })
            }
            None => Cow::Borrowed(&self.others),
        }
    }

    /// Nothing may be concluded.
    pub(super) fn undecide(&mut self, reason: &str) {
        for account in self.accounts.values_mut().chain([&mut self.others]) {
            account.desired = Err(reason.to_owned());
        }
        self.unassigned = false;
    }
}

/// What policy wants in this state.
///
/// Before the start no account is made, and one that is left from before stays disabled and holds nothing.
pub(super) fn wanted(
    policy: &Policy,
    attributes: &Attributes,
    state: IdentityState,
    cause: &Cause,
    problems: &mut Vec<ExpressionError>,
) -> Wanted {
    let person = Person { attributes, state };
    let everything = |desired, roles| Wanted {
        roles,
        accounts: BTreeMap::new(),
        others: WantedAccount::all(desired, cause.clone()),
        unassigned: false,
    };
    match state {
        IdentityState::Leaving => return everything(DesiredAccount::Retained, Vec::new()),
        IdentityState::Departed | IdentityState::Erased => {
            return everything(DesiredAccount::Absent, Vec::new());
        }
        IdentityState::Staged | IdentityState::Active | IdentityState::Suspended => {}
    }
    let roles = policy.roles_of(&person);
    let names = |roles: &[&Role]| roles.iter().map(|role| role.name.clone()).collect();
    match (state, roles) {
        (IdentityState::Active, Ok(roles)) => Wanted {
            roles: names(&roles),
            accounts: given_accounts(policy, &person, &roles, cause, problems),
            others: WantedAccount::all(
                match policy.unassigned {
                    Unassigned::Disable => DesiredAccount::Retained,
                    Unassigned::Delete => DesiredAccount::Absent,
                },
                cause.clone(),
            ),
            unassigned: true,
        },
        (IdentityState::Active, Err(error)) => {
            let mut left_alone = everything(DesiredAccount::Retained, Vec::new());
            left_alone.undecide("a rule cannot be evaluated for this person");
            problems.push(error);
            left_alone
        }
        // Roles are shown before the start and during leave; a rule that fails then is reported early, and changes nothing.
        (state, roles) => {
            let desired = match state {
                IdentityState::Suspended => DesiredAccount::Suspended,
                IdentityState::Staged
                | IdentityState::Active
                | IdentityState::Leaving
                | IdentityState::Departed
                | IdentityState::Erased => DesiredAccount::Retained,
            };
            let roles = roles.map(|roles| names(&roles)).unwrap_or_else(|error| {
                problems.push(error);
                Vec::new()
            });
            everything(desired, roles)
        }
    }
}

/// The accounts the roles of an active person give.
fn given_accounts(
    policy: &Policy,
    person: &Person<'_>,
    roles: &[&Role],
    cause: &Cause,
    problems: &mut Vec<ExpressionError>,
) -> BTreeMap<AccountSlot, WantedAccount> {
    let mut accounts = BTreeMap::new();
    for slot in roles.iter().flat_map(|role| &role.accounts) {
        if accounts.contains_key(slot) {
            continue;
        }
        let givers: Vec<&Role> = roles
            .iter()
            .filter(|role| role.accounts.contains(slot))
            .copied()
            .collect();
        let (entitlements, entitlement_causes) = given_entitlements(slot, roles, cause);
        let desired = match policy.map(slot, person) {
            Ok(attributes) => Ok(DesiredAccount::Enabled {
                attributes,
                entitlements,
            }),
            Err(error) => {
                let reason = format!("{} cannot be evaluated for this person", error.path);
                problems.push(error);
                Err(reason)
            }
        };
        accounts.insert(
            slot.clone(),
            WantedAccount {
                desired,
                cause: cause.then(by_roles(&givers)),
                entitlement_causes,
            },
        );
    }
    accounts
}

fn given_entitlements(
    slot: &AccountSlot,
    roles: &[&Role],
    cause: &Cause,
) -> (Entitlements, BTreeMap<String, Cause>) {
    let mut givers: BTreeMap<&String, Vec<&Role>> = BTreeMap::new();
    for role in roles {
        for entitlement in role.entitlements.get(slot).into_iter().flatten() {
            let givers = givers.entry(entitlement).or_default();
            if !givers.iter().any(|giver| giver.name == role.name) {
                givers.push(role);
            }
        }
    }
    let entitlements = givers
        .keys()
        .map(|id| ((*id).clone(), serde_json::Value::Null))
        .collect();
    let causes = givers
        .into_iter()
        .map(|(id, roles)| (id.clone(), cause.then(by_roles(&roles))))
        .collect();
    (entitlements, causes)
}

/// `role employee`, `roles employee, engineer`.
fn by_roles(roles: &[&Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    format!(
        "{} {}",
        if names.len() == 1 { "role" } else { "roles" },
        names.join(", ")
    )
}
