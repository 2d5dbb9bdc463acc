//! One staged row: whose it is, what it changes, and what the audit says of it.

use serde_json::{Value, json};
use usher_lifecycle::attributes::Attributes;
use usher_lifecycle::ids::IdentityId;

use super::super::SqlStore;
use super::super::cells::{Cells, hex};
use super::super::db::Row;
use super::super::write::{Entry, Subject, Write};
use super::{Accepted, Changes, JOINED_MAX, RecordUpdate};
use crate::{Context, StoreError};

impl SqlStore {
    /// A row whose record is new: somebody new, or one more record of somebody known.
    pub(super) fn absorb_new(
        &self,
        row: &Row,
        next_identity: &mut i64,
        accepted: &Accepted,
        context: &Context,
        changes: &mut Changes,
        write: &mut Write<'_>,
    ) -> Result<String, StoreError> {
        let cells = Cells::unnumbered(row);
        let key: String = cells.get("staged.key")?;
        if cells.get::<i64>("staged.change")? != 0 {
            // Missing or unreadable, and never known: nothing to remember.
            return Ok(key);
        }
        let attributes: Attributes = cells.json("staged.attributes")?;
        let join: Option<String> = cells.get("staged.join_key")?;
        let (owner, several) = owner(&cells, join.as_ref(), changes)?;
        let mut payload = json!({ "source": accepted.source_name });
        let (subject, event) = match owner {
            Some(subject) => {
                changes.touched.push(subject.number);
                payload["changes"] = Value::Object(difference(&Attributes::new(), &attributes));
                (subject, "identity.record-joined")
            }
            None => {
                *next_identity += 1;
                let id = IdentityId::from_parts(context.at, &self.random());
                let (subject, sealed_key) = write.new_subject(*next_identity, id.uuid())?;
                let ids = (hex(id.uuid().as_bytes()), hex(&sealed_key));
                let changed_by = accepted.changed_by.clone();
                changes
                    .identities
                    .push((subject.number, ids.0, ids.1, changed_by));
                if several {
                    changes.ambiguous.push(subject);
                } else if let Some(join) = &join {
                    changes.made.insert(join.clone(), (subject, 1));
                }
                (subject, "identity.created")
            }
        };
        changes.records.push((
            key.clone(),
            subject.number,
            cells.get("staged.attributes")?,
            hex(&cells.bytes::<16>("staged.digest")?),
            join,
        ));
        write.audit(&Entry {
            event,
            subject: Some(subject),
            cause: &accepted.cause,
            payload,
        });
        Ok(key)
    }
}

/// Whose a new record is, if somebody is known; and whether several are.
fn owner(
    cells: &Cells<'_>,
    join: Option<&String>,
    changes: &mut Changes,
) -> Result<(Option<Subject>, bool), StoreError> {
    let Some(join) = join else {
        return Ok((None, false));
    };
    let mut found = Vec::new();
    for cell in [
        "joined.first_said",
        "joined.first_says",
        "joined.last_said",
        "joined.last_says",
    ] {
        found.extend(cells.get::<Option<i64>>(cell)?);
    }
    if cells.get::<i64>("joined.count")? >= JOINED_MAX {
        return Ok((None, true));
    }
    if found.is_empty() {
        return Ok(match changes.made.get_mut(join) {
            Some((_, records)) if *records >= JOINED_MAX => (None, true),
            Some((subject, records)) => {
                *records += 1;
                (Some(*subject), false)
            }
            None => (None, false),
        });
    }
    let number: i64 = cells.get("identity.id")?;
    if found.iter().any(|one| *one != number) {
        return Ok((None, true));
    }
    let subject = Subject {
        number,
        id: cells.uuid("identity.public_id")?,
        key: cells.subject_key("identity.audit_key")?,
    };
    Ok((Some(subject), false))
}

/// A row whose record is known: changed, back, unchanged, missing, or gone.
pub(super) fn absorb_known(
    row: &Row,
    accepted: &Accepted,
    changes: &mut Changes,
    write: &mut Write<'_>,
) -> Result<String, StoreError> {
    let cells = Cells::new(row, "source_record.id")?;
    let key: String = cells.get("staged.key")?;
    let record: i64 = cells.get("source_record.id")?;
    let subject = Subject {
        number: cells.get("identity.id")?,
        id: cells.uuid("identity.public_id")?,
        key: cells.subject_key("identity.audit_key")?,
    };
    let missing: i64 = cells.get("source_record.missing_snapshots")?;
    let absent: Option<i64> = cells.get("source_record.absent_since_us")?;
    let mut payload = json!({ "source": accepted.source_name });
    let event = match cells.get::<i64>("staged.change")? {
        0 => {
            let same = cells.bytes::<16>("staged.digest")? == cells.bytes::<16>("source_record.digest")?;
            if same && absent.is_none() {
                if missing == 0 {
                    return Ok(key);
                }
                changes.updates.push(RecordUpdate::presence(record, 0, None));
                "identity.present"
            } else {
                let text: String = cells.get("staged.attributes")?;
                let differs = difference(
                    &cells.json("source_record.attributes")?,
                    &cells.json("staged.attributes")?,
                );
                changes.updates.push(RecordUpdate(
                    record,
                    Some(text),
                    Some(hex(&cells.bytes::<16>("staged.digest")?)),
                    0,
                    None,
                    cells.get("staged.join_key")?,
                ));
                if differs.is_empty() && absent.is_none() {
                    // The same facts; only what others are joined by is another.
                    return Ok(key);
                }
                payload["changes"] = Value::Object(differs);
                if absent.is_some() {
                    payload["absent"] = json!(false);
                }
                changes.touched.push(subject.number);
                "identity.facts-changed"
            }
        }
        1 => {
            changes
                .updates
                .push(RecordUpdate::presence(record, missing + 1, absent));
            payload["missing-snapshots"] = json!(missing + 1);
            "identity.missing"
        }
        2 => {
            changes.updates.push(RecordUpdate::presence(
                record,
                missing + 1,
                absent.or(Some(accepted.at_us)),
            ));
            payload["missing-snapshots"] = json!(missing + 1);
            if absent.is_some() {
                "identity.missing"
            } else {
                payload["absent"] = json!(true);
                changes.touched.push(subject.number);
                "identity.facts-changed"
            }
        }
        3 => {
            if missing == 0 || absent.is_some() {
                return Ok(key);
            }
            changes.updates.push(RecordUpdate::presence(record, 0, None));
            "identity.present"
        }
        other => return Err(cells.corrupt("staged.change", format!("there is no change {other}"))),
    };
    write.audit(&Entry {
        event,
        subject: Some(subject),
        cause: &accepted.cause,
        payload,
    });
    Ok(key)
}

/// Each attribute that differs, with what it was and what it is.
fn difference(before: &Attributes, after: &Attributes) -> Attributes {
    let mut changes = Attributes::new();
    for name in before.keys().chain(after.keys()) {
        let (from, to) = (before.get(name), after.get(name));
        if from != to && !changes.contains_key(name) {
            changes.insert(name.clone(), json!({ "from": from, "to": to }));
        }
    }
    changes
}
