//! Rules and mappings: CEL expressions, compiled once, evaluated for many people. The only importer of `cel`.

use serde_json::Value;

use crate::attributes::Attributes;
use crate::state::IdentityState;

/// An expression that could not be evaluated for a person (or a date that could not be read).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ExpressionError {
    /// Which item of the policy, as a dotted path: `roles.employee.when`.
    pub path: String,
    /// The expression.
    pub expression: String,
    /// What is wrong. Never holds a person's values.
    pub message: String,
}

/// A boolean expression: who has a role.
#[derive(Clone, Debug)]
pub struct Rule(());

impl Rule {
    /// Whether it holds.
    ///
    /// # Errors
    /// It cannot be evaluated, or is not a boolean.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
        let _ = (self.0, scope);
        Ok(false)
    }
}

/// An expression that makes an attribute.
#[derive(Clone, Debug)]
pub struct Mapper(());

impl Mapper {
    /// Its value.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let _ = (self.0, scope);
        Ok(Value::Null)
    }
}

/// The variables of one person.
#[derive(Debug)]
pub struct Scope<'a> {
    attributes: &'a Attributes,
    state: IdentityState,
}

impl<'a> Scope<'a> {
    /// The variables of a person.
    pub fn new(attributes: &'a Attributes, state: IdentityState) -> Self {
        let _ = (attributes, state);
        Self { attributes, state }
    }
}
