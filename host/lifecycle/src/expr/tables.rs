//! Tables: what rules and mappings gave before, by the values of the attributes they read.
//!
//! A million people have a few hundred different departments, places and contracts, so a rule is evaluated once for each distinct tuple of what it
//! reads (and the state), not once for each person. Rules that read the same are asked for with one key. An expression that reads what everybody
//! has of their own, such as a name, is found out and left alone. A table gives what the expression would give, mistakes too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::{Compiled, ExpressionError, Mapper, Rule, Scope};

/// Most bytes of all tables of a policy together, by a rough count; then they are begun anew. Some hundred thousand tuples.
const BYTES_MAX: usize = 32 * 1_048_576;
/// Most bytes of a tuple that is kept: what is longer is a text of one person.
const KEY_BYTES_MAX: usize = 256;
/// What an entry costs beside its key and answer, in bytes, roughly.
const ENTRY_BYTES: usize = 96;
/// After so many questions it is looked whether a table pays.
const WINDOW: u32 = 4_096;
/// A table pays while it knows the answer at least once in so many questions: asking it costs a tenth of an evaluation, adding to it a third.
const PAYS_ONE_IN: u32 = 4;

/// The tables of one version of a policy.
#[derive(Debug, Default)]
pub struct Tables {
    /// How many rules there are, with those that are none.
    places: usize,
    groups: Vec<Group>,
    /// By the address of the compiled expression, which the table keeps alive.
    mappings: HashMap<usize, (Mapper, Table<Result<Value, ExpressionError>>)>,
    bytes: usize,
    /// The key that is asked for; kept for its room.
    key: Vec<u8>,
}

/// Rules that read the same attributes.
#[derive(Debug)]
struct Group {
    rules: Vec<(usize, Rule)>,
    table: Table<Answers>,
}

/// What the rules of a group give.
#[derive(Debug)]
struct Answers {
    /// The places of those that hold.
    hold: Vec<usize>,
    /// The first that cannot be evaluated, with its place.
    error: Option<(usize, ExpressionError)>,
}

#[derive(Debug)]
struct Table<A> {
    reads: Vec<String>,
    answers: HashMap<Box<[u8]>, A>,
    asked: u32,
    known: u32,
    /// It does not pay.
    given_up: bool,
}

impl Tables {
    /// Empty tables for these rules, each in its place, and mappings.
    pub(crate) fn new<'r>(
        rules: impl IntoIterator<Item = Option<&'r Rule>>,
        mappers: impl IntoIterator<Item = &'r Mapper>,
    ) -> Self {
        let mut tables = Self::default();
        let mut groups: BTreeMap<Vec<String>, Vec<(usize, Rule)>> = BTreeMap::new();
        for (place, rule) in rules.into_iter().enumerate() {
            tables.places = place + 1;
            if let Some(rule) = rule {
                let group = groups.entry(rule.0.reads()).or_default();
                group.push((place, rule.clone()));
            }
        }
        tables.groups = groups
            .into_iter()
            .map(|(reads, rules)| Group {
                rules,
                table: Table::new(reads),
            })
            .collect();
        tables.mappings = mappers
            .into_iter()
            .map(|mapper| {
                let table = Table::new(mapper.0.reads());
                (address(&mapper.0), (mapper.clone(), table))
            })
            .collect();
        tables
    }

    /// For each rule whether it holds; or why the first that cannot be evaluated cannot.
    pub(super) fn hold(&mut self, scope: &Scope<'_>) -> Result<Vec<bool>, ExpressionError> {
        self.make_room();
        let mut hold = vec![false; self.places];
        let mut first: Option<(usize, ExpressionError)> = None;
        for Group { rules, table } in &mut self.groups {
            let mut read = |answers: &Answers| {
                for place in &answers.hold {
                    hold[*place] = true;
                }
                if let Some((place, error)) = &answers.error
                    && first.as_ref().is_none_or(|(before, _)| place < before)
                {
                    first = Some((*place, error.clone()));
                }
            };
            let evaluate = || Answers::of(rules, scope);
            table.ask(
                scope,
                &mut self.key,
                &mut self.bytes,
                evaluate,
                Answers::bytes,
                &mut read,
            );
        }
        first.map_or(Ok(hold), |(_, error)| Err(error))
    }

    /// What a mapping gives.
    pub(super) fn value(&mut self, mapper: &Mapper, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.make_room();
        match self.mappings.get_mut(&address(&mapper.0)) {
            Some((_, table)) if !table.given_up => {
                let mut value = Ok(Value::Null);
                let evaluate = || mapper.evaluate(scope);
                let mut read = |answer: &Result<Value, ExpressionError>| value.clone_from(answer);
                table.ask(scope, &mut self.key, &mut self.bytes, evaluate, bytes, &mut read);
                value
            }
            Some(_) | None => mapper.evaluate(scope),
        }
    }

    fn make_room(&mut self) {
        if self.bytes <= BYTES_MAX {
            return;
        }
        self.bytes = 0;
        for group in &mut self.groups {
            group.table.answers.clear();
        }
        for (_, table) in self.mappings.values_mut() {
            table.answers.clear();
        }
    }
}

impl Answers {
    fn of(rules: &[(usize, Rule)], scope: &Scope<'_>) -> Self {
        let mut answers = Self {
            hold: Vec::new(),
            error: None,
        };
        for (place, rule) in rules {
            match rule.holds(scope) {
                Ok(true) => answers.hold.push(*place),
                Ok(false) => {}
                Err(error) => {
                    answers.error = Some((*place, error));
                    break;
                }
            }
        }
        answers
    }

    fn bytes(&self) -> Option<usize> {
        let error = self.error.as_ref().map_or(0, |(_, error)| error_bytes(error));
        Some(size_of_val(self.hold.as_slice()) + error)
    }
}

impl<A> Table<A> {
    fn new(reads: Vec<String>) -> Self {
        Self {
            reads,
            answers: HashMap::new(),
            asked: 0,
            known: 0,
            given_up: false,
        }
    }

    /// Reads the answer for a person: the one that is known, else a new one, which is kept if it has a size and its key is short.
    fn ask(
        &mut self,
        scope: &Scope<'_>,
        key: &mut Vec<u8>,
        bytes: &mut usize,
        evaluate: impl FnOnce() -> A,
        size: fn(&A) -> Option<usize>,
        read: &mut impl FnMut(&A),
    ) {
        if self.given_up || !write_key(key, &self.reads, scope) {
            read(&evaluate());
            return;
        }
        self.asked += 1;
        if let Some(answer) = self.answers.get(key.as_slice()) {
            self.known += 1;
            read(answer);
        } else {
            let answer = evaluate();
            read(&answer);
            if let Some(size) = size(&answer) {
                *bytes += ENTRY_BYTES + key.len() + size;
                self.answers.insert(key.as_slice().into(), answer);
            }
        }
        if self.asked == WINDOW {
            self.given_up = self.known < WINDOW / PAYS_ONE_IN;
            if self.given_up {
                self.answers = HashMap::new();
            }
            (self.asked, self.known) = (0, 0);
        }
    }
}

fn address(compiled: &Arc<Compiled>) -> usize {
    Arc::as_ptr(compiled).addr()
}

/// What an answer takes, if it is worth keeping: lists and objects are not.
fn bytes(answer: &Result<Value, ExpressionError>) -> Option<usize> {
    match answer {
        Ok(Value::Null | Value::Bool(_) | Value::Number(_)) => Some(0),
        Ok(Value::String(text)) => (text.len() <= KEY_BYTES_MAX).then_some(text.len()),
        Ok(Value::Array(_) | Value::Object(_)) => None,
        Err(error) => Some(error_bytes(error)),
    }
}

fn error_bytes(error: &ExpressionError) -> usize {
    error.path.len() + error.expression.len() + error.message.len()
}

/// The state and the attributes that are read, so that no two tuples look alike; `false` if that is too long.
fn write_key(key: &mut Vec<u8>, reads: &[String], scope: &Scope<'_>) -> bool {
    key.clear();
    key.push(scope.state as u8);
    for name in reads {
        match scope.attributes.get(name) {
            None | Some(Value::Null) => key.push(b'-'),
            Some(Value::Bool(truth)) => key.push(if *truth { b't' } else { b'f' }),
            Some(Value::String(text)) if text.len() <= KEY_BYTES_MAX => {
                key.push(b'"');
                key.extend_from_slice(&text.len().to_le_bytes());
                key.extend_from_slice(text.as_bytes());
            }
            Some(Value::String(_)) => return false,
            // JSON ends where its brackets do and a number at the comma.
            Some(other @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                if !is_short(other) || serde_json::to_writer(&mut *key, other).is_err() {
                    return false;
                }
                key.push(b',');
            }
        }
        if key.len() > KEY_BYTES_MAX {
            return false;
        }
    }
    true
}

/// So that a long list is not written only to be found too long.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.len() <= KEY_BYTES_MAX,
        Value::Object(members) => members.len() <= KEY_BYTES_MAX,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests;
