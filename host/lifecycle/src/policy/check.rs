//! Compares the policy with the targets document and with what the targets say of their accounts.

use std::collections::BTreeMap;

use super::Policy;
use crate::account::AccountSlot;
use crate::circle::circle;
use crate::correlation::Correlation;
use crate::document::hint::did_you_mean;
use crate::document::{DocumentError, DocumentErrors};
use crate::name::{AccountKind, Name, TargetName};
use crate::schema::AccountSchema;
use crate::targets::Targets;

/// Finds what the policy asks of targets that cannot be: a target that is not there, an account given without a mapping, accounts that wait for
/// each other.
/// `file` is the policy's file, shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn check_against(policy: &Policy, file: &str, targets: &Targets) -> Result<(), DocumentErrors> {
    let names: Vec<String> = targets.targets.keys().map(ToString::to_string).collect();
    let mut errors = Vec::new();
    let mut mistake = |path: String, message: String| errors.push(mistake(policy, file, path, message));
    let unknown = |slot: &AccountSlot| {
        let hint = did_you_mean(slot.target.as_str(), names.iter());
        (!targets.targets.contains_key(&slot.target)).then(|| {
            format!(
                "there is no target `{}` in the targets document{hint}",
                slot.target
            )
        })
    };
    for role in &policy.roles {
        for (index, slot) in role.accounts.iter().enumerate() {
            let path = format!("roles.{}.accounts[{index}]", role.name);
            if let Some(message) = unknown(slot) {
                mistake(path, message);
            } else if !policy.mappings.contains_key(slot) {
                mistake(
                    path,
                    format!(
                        "the role gives an account in `{slot}`, but there is no [mappings.{}]",
                        key(slot)
                    ),
                );
            }
        }
        for slot in role.entitlements.keys() {
            if let Some(message) = unknown(slot) {
                mistake(format!("roles.{}.entitlements.{slot}", role.name), message);
            }
        }
    }
    for slot in policy.mappings.keys() {
        if let Some(message) = unknown(slot) {
            mistake(format!("mappings.{slot}"), message);
        }
    }
    for flow in &policy.flows {
        if let Some(message) = unknown(&flow.account) {
            mistake(format!("flows.{}", flow.name), message);
        }
    }
    for target in policy.thresholds.targets.keys() {
        if !targets.targets.contains_key(target) {
            let hint = did_you_mean(target.as_str(), names.iter());
            let message = format!("there is no target `{target}` in the targets document{hint}");
            mistake(format!("thresholds.{target}"), message);
        }
    }
    for slot in policy.correlation.keys() {
        if let Some(message) = unknown(slot) {
            mistake(format!("correlation.{slot}"), message);
        }
    }
    for target in policy.reactions.keys() {
        let slot = AccountSlot {
            target: target.clone(),
            kind: AccountKind::primary(),
        };
        if let Some(message) = unknown(&slot) {
            mistake(format!("reactions.{target}"), message);
        }
    }
    errors.extend(circular(policy, file, targets));
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DocumentErrors(errors))
    }
}

/// Accounts that would wait for each other for ever: neither document has a circle for itself, both together may.
fn circular(policy: &Policy, file: &str, targets: &Targets) -> Option<DocumentError> {
    let mut depends = policy.made_from.clone();
    for slot in policy.mappings.keys() {
        let after = targets
            .targets
            .get(&slot.target)
            .into_iter()
            .flat_map(|target| &target.depends_on);
        let after = after.map(|target| AccountSlot {
            target: target.clone(),
            kind: Name::primary(),
        });
        depends.entry(slot.clone()).or_default().extend(after);
    }
    let members = circle(&depends)?;
    let way: Vec<String> = members.iter().map(ToString::to_string).collect();
    let message = format!(
        "accounts would wait for each other for ever ([flows] here and `depends-on` in the targets document): {}",
        way.join(" → ")
    );
    let path = format!("mappings.{}", members.first()?);
    Some(mistake(policy, file, path, message))
}

/// Finds mappings that do not fit the account schemas of their targets: attributes a schema does not declare, and required ones that
/// are not given. Targets without a schema are passed over. `file` is the policy's file, shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn check_schemas(
    policy: &Policy,
    file: &str,
    schemas: &BTreeMap<TargetName, AccountSchema>,
) -> Result<(), DocumentErrors> {
    let mut errors = Vec::new();
    for (slot, mapping) in &policy.mappings {
        let Some(schema) = schemas.get(&slot.target) else {
            continue;
        };
        for name in mapping.attributes.keys().filter(|name| !schema.takes(name)) {
            let hint = did_you_mean(name, schema.names());
            let message = format!(
                "accounts of target `{}` have no attribute `{name}`{hint}",
                slot.target
            );
            errors.push(mistake(policy, file, format!("mappings.{slot}.{name}"), message));
        }
        for name in schema
            .required()
            .filter(|name| !mapping.attributes.contains_key(*name))
        {
            let message = format!(
                "every account of target `{}` must have `{name}`, but the mapping does not give it",
                slot.target
            );
            errors.push(mistake(policy, file, format!("mappings.{slot}"), message));
        }
    }
    for (slot, correlation) in &policy.correlation {
        if let Some(schema) = schemas.get(&slot.target) {
            check_compared(slot, correlation, schema, |path, message| {
                errors.push(mistake(policy, file, path, message));
            });
        }
    }
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DocumentErrors(errors))
    }
}

/// Rules that compare what accounts do not have find nobody, for ever.
fn check_compared(
    slot: &AccountSlot,
    correlation: &Correlation,
    schema: &AccountSchema,
    mut mistake: impl FnMut(String, String),
) {
    for (place, rule) in correlation.rules.iter().enumerate() {
        for comparison in rule.comparisons() {
            let name = &comparison.account;
            let outer = name.rsplit_once('.').map_or(name.as_str(), |(outer, _)| outer);
            let path = format!("correlation.{slot}[{place}]");
            if !schema.takes(name) && !schema.takes(outer) {
                let hint = did_you_mean(name, schema.names());
                mistake(
                    path,
                    format!(
                        "accounts of target `{}` have no attribute `{name}`{hint}",
                        slot.target
                    ),
                );
            } else if schema.attribute(name).secret {
                mistake(
                    path,
                    format!("`{name}` is a secret: it cannot be read, so it tells nobody"),
                );
            }
        }
    }
}

/// A mistake at an item of the policy.
fn mistake(policy: &Policy, file: &str, path: String, message: String) -> DocumentError {
    let place = policy.positions.get(&path);
    DocumentError {
        file: file.to_owned(),
        line: place.map_or(0, |place| place.line),
        column: place.map_or(0, |place| place.column),
        path,
        expression: None,
        message,
    }
}

/// Mappings whose account no role gives: not wrong, but probably not meant.
pub fn unused_mappings(policy: &Policy) -> Vec<&AccountSlot> {
    policy
        .mappings
        .keys()
        .filter(|slot| !policy.roles.iter().any(|role| role.accounts.contains(slot)))
        .collect()
}

/// A slot as a key in TOML: quoted when it has a slash.
fn key(slot: &AccountSlot) -> String {
    let text = slot.to_string();
    if text.contains('/') {
        format!("\"{text}\"")
    } else {
        text
    }
}
