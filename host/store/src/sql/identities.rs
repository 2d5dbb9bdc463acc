//! Identities with their records, facts, names, accounts and open operations: six statements a page, whatever its size.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_lifecycle::account::{AccountSlot, AccountState, ObservedAccount, Written};
use usher_lifecycle::facts::SourceRecord;
use usher_lifecycle::ids::IdentityId;
use usher_lifecycle::name::TargetName;
use usher_lifecycle::state::IdentityState;

use super::SqlStore;
use super::cells::{Cells, failed, json_of, numbers};
use super::db::{Row, Tx, query};
use super::open_operations::open_operations;
use super::{personal_facts, reservations};
use crate::keys::ring::Keys;
use crate::{
    Identities, IdentityRef, IdentityRow, KnownPerson, PersonalFact, StoreError, StoreVersions, StoredAccount,
};

/// Most identities in one page: a page of 2,000 people with three accounts each is about 10 MiB.
const PAGE_MAX: u32 = 2_000;

const DOING: &str = "reading identities";

const IDENTITIES: &str = r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.facts_version AS "identity.facts_version",
           i.state AS "identity.state", i.next_change_us AS "identity.next_change_us", i.held AS "identity.held"
    FROM identity i WHERE i.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY i.id"#;

const RECORDS: &str = r#"
    SELECT r.id AS "source_record.id", r.identity AS "source_record.identity", s.name AS "source.name",
           r.key AS "source_record.key", r.attributes AS "source_record.attributes",
           r.absent_since_us AS "source_record.absent_since_us"
    FROM source_record r CROSS JOIN source s
    WHERE s.id = r.source AND r.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY r.id"#;

const ACCOUNTS: &str = r#"
    SELECT a.id AS "account.id", a.identity AS "account.identity", t.name AS "target.name", a.kind AS "account.kind",
           a.state AS "account.state", a.external_id AS "account.external_id", a.attributes AS "account.attributes",
           a.entitlements AS "account.entitlements", a.version AS "account.version", a.written AS "account.written",
           a.observed_us AS "account.observed_us", a.missing_us AS "account.missing_us"
    FROM account a CROSS JOIN target t
    WHERE t.id = a.target AND a.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY t.name, a.kind"#;

const BY_KEY: &str = r#"
    SELECT r.identity AS identity, s.name AS source, i.public_id AS public_id
    FROM source_record r JOIN source s ON s.id = r.source JOIN identity i ON i.id = r.identity
    WHERE r.key = $1 ORDER BY r.id LIMIT 10"#;

const VERSIONS: &str = "
    SELECT CAST(facts + (SELECT coalesce(sum(w.facts), 0) FROM writer w WHERE w.closed_us IS NULL) AS BIGINT),
           CAST(observed + (SELECT coalesce(sum(w.observed), 0) FROM writer w WHERE w.closed_us IS NULL) AS BIGINT),
           (SELECT coalesce(max(version), 0) FROM document WHERE kind = 0),
           (SELECT coalesce(max(version), 0) FROM document WHERE kind = 1)
    FROM meta WHERE id = 1";

#[async_trait]
impl Identities for SqlStore {
    async fn identity(&self, key_or_id: &str) -> Result<IdentityRow, StoreError> {
        let mut tx = self.read(DOING).await?;
        let number = match key_or_id.parse::<IdentityId>() {
            Ok(id) => by_id(&mut tx, id).await?,
            Err(_) => None,
        };
        let number = match number {
            Some(number) => number,
            None => by_key(&mut tx, key_or_id).await?,
        };
        let mut found = load(&mut tx, &self.keys, &[number], None).await?;
        found.pop().ok_or_else(|| unknown(key_or_id))
    }

    async fn identities_page(
        &self,
        after: Option<IdentityRef>,
        limit: u32,
    ) -> Result<Vec<IdentityRow>, StoreError> {
        let mut tx = self.read(DOING).await?;
        let rows = query("SELECT id FROM identity WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after.map_or(0, |after| after.0))
            .bind(limit.min(PAGE_MAX))
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let numbers = numbers(&rows)?;
        load(&mut tx, &self.keys, &numbers, None).await
    }

    async fn versions(&self) -> Result<StoreVersions, StoreError> {
        let mut tx = self.read(DOING).await?;
        versions(&mut tx).await
    }

    async fn identity_totals(&self) -> Result<Vec<(Option<IdentityState>, u64)>, StoreError> {
        let rows = query(
            r#"SELECT CAST(0 AS BIGINT) AS "identity.id", state AS "identity.state", count(*) AS "identity.count"
               FROM identity GROUP BY state ORDER BY state"#,
        )
        .fetch_all(&mut self.read(DOING).await?)
        .await
        .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "identity.id")?;
                Ok((
                    cells.identity_state("identity.state")?,
                    cells.count("identity.count")?,
                ))
            })
            .collect()
    }

    async fn account_totals(&self) -> Result<Vec<(TargetName, AccountState, u64)>, StoreError> {
        let rows = query(
            r#"SELECT CAST(0 AS BIGINT) AS "account.id", t.name AS "target.name", a.state AS "account.state", count(*) AS "account.count"
               FROM account a JOIN target t ON t.id = a.target GROUP BY a.target, t.name, a.state ORDER BY t.name, a.state"#,
        )
        .fetch_all(&mut self.read(DOING).await?)
        .await
        .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| {
                let cells = Cells::new(row, "account.id")?;
                Ok((
                    cells.name("target.name")?,
                    cells.account_state("account.state")?,
                    cells.count("account.count")?,
                ))
            })
            .collect()
    }

    async fn next_change(&self) -> Result<Option<Timestamp>, StoreError> {
        // Dirty identities are due at once, so theirs do not count.
        let row = query(
            r#"SELECT id AS "identity.id", next_change_us AS "identity.next_change_us" FROM identity
               WHERE dirty = 0 AND next_change_us IS NOT NULL ORDER BY next_change_us LIMIT 1"#,
        )
        .fetch_optional(&mut self.read(DOING).await?)
        .await
        .map_err(failed(DOING))?;
        row.map(|row| Cells::new(&row, "identity.id")?.time("identity.next_change_us"))
            .transpose()
    }
}

pub(super) fn unknown(key_or_id: &str) -> StoreError {
    let shown: String = key_or_id
        .chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect();
    StoreError::NotFound(format!("nobody has the key or id `{shown}`"))
}

pub(super) async fn by_id(connection: &mut Tx<'_>, id: IdentityId) -> Result<Option<i64>, StoreError> {
    let row = query("SELECT id FROM identity WHERE public_id = $1")
        .bind(id.uuid().as_bytes().to_vec())
        .fetch_optional(connection)
        .await
        .map_err(failed(DOING))?;
    row.map(|row| row.at(0).map_err(failed(DOING))).transpose()
}

async fn by_key(connection: &mut Tx<'_>, key: &str) -> Result<i64, StoreError> {
    let rows = query(BY_KEY)
        .bind(key)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let source: String = row.get("source").map_err(failed(DOING))?;
        let identity: i64 = row.get("identity").map_err(failed(DOING))?;
        found.push((source, identity, Cells::unnumbered(row).uuid("public_id")?));
    }
    match found.as_slice() {
        [] => Err(unknown(key)),
        [(_, identity, _)] => Ok(*identity),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|(source, _, id)| format!("{} in {source}", IdentityId::new(*id)))
                .collect();
            Err(StoreError::Stale(format!(
                "several records have the key `{key}`: {}; say which by its id",
                names.join(", ")
            )))
        }
    }
}

/// The versions at the moment of the transaction.
pub(super) async fn versions(connection: &mut Tx<'_>) -> Result<StoreVersions, StoreError> {
    let row = query(VERSIONS)
        .fetch_one(connection)
        .await
        .map_err(failed(DOING))?;
    let at = |index: usize| row.at::<i64>(index).map_err(failed(DOING));
    Ok(StoreVersions {
        facts: at(0)?,
        observed: at(1)?,
        policy: at(2)?,
        targets: at(3)?,
    })
}

/// Identities by number, in the order of their numbers; with the facts that can count at `now`, or all that are not ended.
pub(super) async fn load(
    connection: &mut Tx<'_>,
    keys: &Keys,
    numbers: &[i64],
    now: Option<Timestamp>,
) -> Result<Vec<IdentityRow>, StoreError> {
    let wanted = json_of(DOING, numbers)?;
    let rows = query(IDENTITIES)
        .bind(&wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    let mut identities = rows.iter().map(identity_row).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> = identities
        .iter()
        .enumerate()
        .map(|(place, identity)| (identity.reference.0, place))
        .collect();

    let rows = query(RECORDS)
        .bind(&wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let (identity, record) = record(row)?;
        if let Some(place) = places.get(&identity) {
            identities[*place].records.push(record);
        }
    }
    for (identity, fact) in personal_facts::counting(connection, keys, &wanted, now).await? {
        let Some(place) = places.get(&identity) else {
            continue;
        };
        match fact {
            PersonalFact::Assignment(assignment) => identities[*place].assignments.push(assignment),
            PersonalFact::Hold(hold) => identities[*place].holds.push(hold),
            PersonalFact::Exception(exception) => identities[*place].exceptions.push(exception),
        }
    }
    for (identity, reservation) in reservations::reserved(connection, &wanted).await? {
        if let Some(place) = places.get(&identity) {
            identities[*place].reservations.push(reservation);
        }
    }
    let mut open = open_operations(connection, &wanted).await?;
    let rows = query(ACCOUNTS)
        .bind(&wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let cells = Cells::new(row, "account.id")?;
        let account = StoredAccount {
            slot: AccountSlot {
                target: cells.name("target.name")?,
                kind: cells.name("account.kind")?,
            },
            observed: observed(&cells)?,
            observed_at: cells.time_if_any("account.observed_us")?,
            missing_since: cells.time_if_any("account.missing_us")?,
            open: open.remove(&cells.get::<i64>("account.id")?).unwrap_or_default(),
        };
        if let Some(place) = places.get(&cells.get::<i64>("account.identity")?) {
            identities[*place].accounts.push(account);
        }
    }
    Ok(identities)
}

/// Identities after `after` with their records and nothing else: two statements a page.
pub(super) async fn people(
    connection: &mut Tx<'_>,
    after: Option<IdentityRef>,
    limit: u32,
) -> Result<Vec<KnownPerson>, StoreError> {
    let rows = query("SELECT id FROM identity WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after.map_or(0, |after| after.0))
        .bind(limit.min(PAGE_MAX))
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    let wanted = json_of(DOING, &numbers(&rows)?)?;
    let rows = query(IDENTITIES)
        .bind(&wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    let mut people = Vec::with_capacity(rows.len());
    let mut places = HashMap::with_capacity(rows.len());
    for row in &rows {
        let cells = Cells::new(row, "identity.id")?;
        let number: i64 = cells.get("identity.id")?;
        places.insert(number, people.len());
        people.push(KnownPerson {
            identity: IdentityRef(number),
            facts_version: cells.get("identity.facts_version")?,
            state: cells.identity_state("identity.state")?,
            records: Vec::new(),
        });
    }
    let rows = query(RECORDS)
        .bind(&wanted)
        .fetch_all(connection)
        .await
        .map_err(failed(DOING))?;
    for row in &rows {
        let (identity, record) = record(row)?;
        if let Some(person) = places.get(&identity).and_then(|place| people.get_mut(*place)) {
            person.records.push(record);
        }
    }
    Ok(people)
}

fn identity_row(row: &Row) -> Result<IdentityRow, StoreError> {
    let cells = Cells::new(row, "identity.id")?;
    Ok(IdentityRow {
        reference: IdentityRef(cells.get("identity.id")?),
        id: IdentityId::new(cells.uuid("identity.public_id")?),
        facts_version: cells.get("identity.facts_version")?,
        state: cells.identity_state("identity.state")?,
        next_change_at: cells.time_if_any("identity.next_change_us")?,
        records: Vec::new(),
        assignments: Vec::new(),
        holds: Vec::new(),
        exceptions: Vec::new(),
        held: cells.json("identity.held")?,
        reservations: Vec::new(),
        accounts: Vec::new(),
    })
}

fn record(row: &Row) -> Result<(i64, SourceRecord), StoreError> {
    let cells = Cells::new(row, "source_record.id")?;
    let record = SourceRecord {
        source: cells.name("source.name")?,
        key: cells.get("source_record.key")?,
        attributes: cells.json("source_record.attributes")?,
        absent_since: cells.time_if_any("source_record.absent_since_us")?,
    };
    Ok((cells.get("source_record.identity")?, record))
}

/// What is known of an account, from columns named `account.…`.
pub(super) fn observed(cells: &Cells<'_>) -> Result<ObservedAccount, StoreError> {
    let written = match cells.get::<Option<&[u8]>>("account.written")? {
        None => None,
        Some(_) => {
            let both = cells.bytes::<32>("account.written")?;
            let (mut desired, mut observed) = ([0; 16], [0; 16]);
            desired.copy_from_slice(&both[..16]);
            observed.copy_from_slice(&both[16..]);
            Some(Written { desired, observed })
        }
    };
    Ok(ObservedAccount {
        state: cells.account_state("account.state")?,
        external_id: cells.get("account.external_id")?,
        attributes: cells.json("account.attributes")?,
        entitlements: cells.json("account.entitlements")?,
        version: cells.get("account.version")?,
        written,
    })
}
