//! Rules about accounts as their targets tell of them: `account`, with the target's `id` and every attribute that was observed.

use std::sync::Arc;

use super::values::{Variables, to_truth};
use super::{About, Compiled, ExpressionError, Mistake, Scope, Strictness, TEXT_BYTES_MAX, Wanted, compile};
use crate::attributes::Attributes;
use crate::state::IdentityState;

/// A boolean expression over one account.
#[derive(Clone, Debug)]
pub struct AccountRule(Arc<Compiled>);

/// Two are the same when they are written alike: what a rule says follows from its source.
impl PartialEq for AccountRule {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl AccountRule {
    /// Compiles a rule. `path` names it in errors. Which attributes there are is the target's affair: see [`AccountRule::reads`].
    pub(crate) fn compile_as(path: &str, source: &str, strictness: Strictness) -> Result<Self, Vec<Mistake>> {
        compile::compile(path, source, About::Account, Wanted::Truth, strictness)
            .map(|compiled| Self(Arc::new(compiled)))
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The attributes it reads, in order; `id` is the target's own.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.0.reads.iter().map(String::as_str)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// It cannot be evaluated for this account, or is not a truth.
    pub fn holds(&self, scope: &AccountScope<'_>) -> Result<bool, ExpressionError> {
        if scope.id.len() > TEXT_BYTES_MAX {
            let message = format!("`account.id` is longer than {TEXT_BYTES_MAX} bytes");
            return Err(self.0.error(message));
        }
        self.0.evaluate(&scope.scope, to_truth)
    }
}

/// The variables of one account. Made once, used for all rules about it.
#[derive(Debug)]
pub struct AccountScope<'a> {
    id: &'a str,
    scope: Scope<'a>,
}

impl<'a> AccountScope<'a> {
    /// The variables of an account. The id is empty where there is none yet.
    pub fn new(id: &'a str, attributes: &'a Attributes) -> Self {
        Self {
            id,
            scope: Scope {
                variables: Variables::of_account(id, attributes).into(),
                // The state of an account's owner is no variable here.
                ..Scope::new(attributes, IdentityState::Active)
            },
        }
    }
}
