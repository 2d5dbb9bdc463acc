//! Changing keys: the operator's in one small transaction, the data key a bounded number of rows at a time.

use async_trait::async_trait;
use serde_json::json;

use super::SqlStore;
use super::cells::{Cells, failed, hex, json_of, micros, numbers};
use super::db::{Row, Sql, query};
use super::keys::{DATA_KEYS, INSERT, load, lock, opened_rows};
use super::write::{Entry, NO_CAUSE, Raised};
use super::{checkpoints, name_key, secrets};
use crate::keys::ring::{NotOpened, Ring, seal_data_key, sealing};
use crate::{Context, Fingerprint, KeyChanges, KeyStatus, OperatorKey, PublicKey, Resealed, StoreError};

const DOING: &str = "changing a key";

/// Identities whose keys are sealed anew in one transaction: about 10 ms.
const IDENTITIES_MAX: i64 = 1_000;

const STATUS: &str = r#"
    SELECT id AS "data_key.id", fingerprint AS "data_key.fingerprint", created_us AS "data_key.created_us",
           (SELECT count(*) FROM data_key) AS "data_key.count",
           (SELECT s.public FROM signing_key s ORDER BY s.id DESC LIMIT 1) AS "signing_key.public"
    FROM data_key ORDER BY id DESC LIMIT 1"#;

const SEAL_ANEW: &str = "UPDATE data_key SET fingerprint = $2, sealed = $3 WHERE id = $1";

/// The key begins with the number of its data key.
const IDENTITIES: Sql = Sql {
    sqlite: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key" FROM identity i
    WHERE i.id > $1 AND length(i.audit_key) > 0 AND substr(i.audit_key, 1, 4) <> $2 ORDER BY i.id LIMIT $3"#,
    postgres: r#"
    SELECT i.id AS "identity.id", i.public_id AS "identity.public_id", i.audit_key AS "identity.audit_key" FROM identity i
    WHERE i.id > $1 AND length(i.audit_key) > 0 AND substr(i.audit_key, 1, 4) <> $2 ORDER BY i.id LIMIT $3
    FOR NO KEY UPDATE"#,
};

const UPDATE_IDENTITIES: &str = "
    UPDATE identity SET audit_key = j.sealed
    FROM (SELECT CAST(value ->> 0 AS BIGINT) AS id, unhex(value ->> 1) AS sealed FROM json_each($1)) AS j
    WHERE identity.id = j.id";

const SECRETS: &str = r#"
    SELECT CAST(0 AS BIGINT) AS "secret.id", name AS "secret.name", data_key AS "secret.data_key", version AS "secret.version",
           sealed AS "secret.sealed"
    FROM secret WHERE data_key <> $1 ORDER BY name LIMIT 100"#;

/// One that was set anew meanwhile is under the new key already, and its value must stay.
const UPDATE_SECRET: &str =
    "UPDATE secret SET data_key = $3, sealed = $4 WHERE name = $1 AND version = $2 AND data_key <> $3";

/// Keys that are sealed under the data key, with the columns they are in.
struct SealedKeys {
    select: &'static str,
    update: &'static str,
    id: &'static str,
    data_key: &'static str,
    sealed: &'static str,
    purpose: &'static [u8],
}

const SEALED_KEYS: [SealedKeys; 2] = [
    SealedKeys {
        select: r#"
    SELECT id AS "signing_key.id", data_key AS "signing_key.data_key", sealed AS "signing_key.sealed"
    FROM signing_key WHERE data_key <> $1 ORDER BY id LIMIT 100"#,
        update: "UPDATE signing_key SET data_key = $2, sealed = $3 WHERE id = $1",
        id: "signing_key.id",
        data_key: "signing_key.data_key",
        sealed: "signing_key.sealed",
        purpose: checkpoints::PURPOSE,
    },
    SealedKeys {
        select: r#"
    SELECT id AS "name_key.id", data_key AS "name_key.data_key", sealed AS "name_key.sealed"
    FROM name_key WHERE data_key <> $1 ORDER BY id LIMIT 100"#,
        update: "UPDATE name_key SET data_key = $2, sealed = $3 WHERE id = $1",
        id: "name_key.id",
        data_key: "name_key.data_key",
        sealed: "name_key.sealed",
        purpose: name_key::PURPOSE,
    },
];

/// Nobody can begin to use them while they are locked.
const OLD: Sql = Sql {
    sqlite: "SELECT id FROM data_key WHERE id < $1",
    postgres: "SELECT id FROM data_key WHERE id < $1 FOR UPDATE",
};

const STILL_USED: &str = "
    SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM secret WHERE data_key <> $1)
                  OR EXISTS (SELECT 1 FROM signing_key WHERE data_key <> $1)
                  OR EXISTS (SELECT 1 FROM name_key WHERE data_key <> $1)
                  OR EXISTS (SELECT 1 FROM identity WHERE length(audit_key) > 0 AND substr(audit_key, 1, 4) <> $2)
                THEN 1 ELSE 0 END AS BIGINT)";

#[async_trait]
impl KeyChanges for SqlStore {
    async fn key_status(&self) -> Result<KeyStatus, StoreError> {
        let row = query(STATUS)
            .fetch_one(&mut self.read(DOING).await?)
            .await
            .map_err(failed(DOING))?;
        let cells = Cells::new(&row, "data_key.id")?;
        let signing_key = match cells.get::<Option<&[u8]>>("signing_key.public")? {
            None => None,
            Some(_) => Some(PublicKey(cells.bytes("signing_key.public")?)),
        };
        Ok(KeyStatus {
            fingerprint: Fingerprint(cells.bytes("data_key.fingerprint")?),
            data_keys: cells.count("data_key.count")?,
            data_key_since: cells.time("data_key.created_us")?,
            signing_key,
        })
    }

    async fn change_operator_key(&self, new: &OperatorKey, context: &Context) -> Result<(), StoreError> {
        let old = self.keys.operator();
        let (from, to) = (old.fingerprint(), new.fingerprint());
        if from == to {
            return Err(StoreError::Key(format!(
                "the store is sealed under the key {to} already"
            )));
        }
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        lock(&mut write.tx).await?;
        let rows = query(DATA_KEYS)
            .fetch_all(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        let mut ring = Ring::default();
        for (number, key) in opened_rows(&rows, &old)? {
            query(SEAL_ANEW)
                .bind(number)
                .bind(to.0.to_vec())
                .bind(seal_data_key(new, number, &key, &*self.keys.randomness)?)
                .execute(&mut write.tx)
                .await
                .map_err(failed(DOING))?;
            ring.add(number, &key)?;
        }
        write.audit(&Entry {
            event: "key.changed",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "key": "operator", "from": from, "to": to }),
        });
        write.commit(Raised::default()).await?;
        self.keys.replace(new.clone(), ring);
        Ok(())
    }

    async fn change_data_key(&self, context: &Context) -> Result<Resealed, StoreError> {
        let number = self.begin_data_key(context).await?;
        let mut done = Resealed::default();
        loop {
            done.secrets += self.reseal_secrets(number).await?;
            for keys in &SEALED_KEYS {
                done.secrets += self.reseal_keys(number, keys).await?;
            }
            done.identities += self.reseal_identities(number).await?;
            if self.forget_old(number).await? {
                self.reload_keys().await?;
                return Ok(done);
            }
        }
    }
}

impl SqlStore {
    /// Makes the new data key, unless an earlier change was cut short after it had made one. Returns its number.
    async fn begin_data_key(&self, context: &Context) -> Result<i64, StoreError> {
        let operator = self.keys.operator();
        let mut writer = self.writer.lock().await;
        let mut write = writer.begin(DOING, context).await?;
        lock(&mut write.tx).await?;
        let mut ring = load(&mut write.tx, &operator).await?;
        let newest = ring.newest()?;
        if ring.len() > 1 {
            self.keys.replace(operator, ring);
            return Ok(newest);
        }
        let (number, key) = (newest + 1, self.keys.fresh());
        query(INSERT)
            .bind(number)
            .bind(operator.fingerprint().0.to_vec())
            .bind(seal_data_key(&operator, number, &key, &*self.keys.randomness)?)
            .bind(micros(context.at))
            .execute(&mut write.tx)
            .await
            .map_err(failed(DOING))?;
        ring.add(number, &key)?;
        write.audit(&Entry {
            event: "key.changed",
            subject: None,
            cause: NO_CAUSE,
            payload: json!({ "key": "data", "from": newest, "to": number }),
        });
        write.commit(Raised::default()).await?;
        self.keys.replace(operator, ring);
        Ok(number)
    }

    async fn reseal_secrets(&self, number: i64) -> Result<u64, StoreError> {
        let ring = self.keys.ring();
        let mut done = 0;
        loop {
            let mut writer = self.writer.lock().await;
            let mut tx = writer.plain(DOING).await?;
            let rows = query(SECRETS)
                .bind(number)
                .fetch_all(&mut tx)
                .await
                .map_err(failed(DOING))?;
            if rows.is_empty() {
                return Ok(done);
            }
            for row in &rows {
                let cells = Cells::unnumbered(row);
                let (name, version): (String, i64) =
                    (cells.get("secret.name")?, cells.get("secret.version")?);
                let value = secrets::opened(&cells, old_key(&ring, &cells, "secret.data_key")?)?;
                let purpose = secrets::purpose(&name, version);
                let sealed = self.sealed_anew(&ring, number, value.as_bytes(), &purpose)?;
                query(UPDATE_SECRET)
                    .bind(name)
                    .bind(version)
                    .bind(number)
                    .bind(sealed)
                    .execute(&mut tx)
                    .await
                    .map_err(failed(DOING))?;
            }
            tx.commit().await.map_err(failed(DOING))?;
            done += rows.len() as u64;
        }
    }

    async fn reseal_keys(&self, number: i64, keys: &SealedKeys) -> Result<u64, StoreError> {
        let ring = self.keys.ring();
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(DOING).await?;
        let rows = query(keys.select)
            .bind(number)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let cells = Cells::new(row, keys.id)?;
            let key = old_key(&ring, &cells, keys.data_key)?
                .open_key(cells.get(keys.sealed)?, keys.purpose)
                .map_err(|_| cells.corrupt(keys.sealed, "it does not open under its data key"))?;
            query(keys.update)
                .bind(cells.get::<i64>(keys.id)?)
                .bind(number)
                .bind(self.sealed_anew(&ring, number, &*key, keys.purpose)?)
                .execute(&mut tx)
                .await
                .map_err(failed(DOING))?;
        }
        tx.commit().await.map_err(failed(DOING))?;
        Ok(rows.len() as u64)
    }

    async fn reseal_identities(&self, number: i64) -> Result<u64, StoreError> {
        let ring = self.keys.ring();
        let (mut done, mut after) = (0, 0);
        loop {
            let mut writer = self.writer.lock().await;
            let mut tx = writer.plain(DOING).await?;
            let rows = query(IDENTITIES)
                .bind(after)
                .bind(prefix(number)?)
                .bind(IDENTITIES_MAX)
                .fetch_all(&mut tx)
                .await
                .map_err(failed(DOING))?;
            let Some(last) = numbers(&rows)?.pop() else {
                return Ok(done);
            };
            after = last;
            let sealed = rows.iter().map(|row| self.identity_anew(row, &ring));
            let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
            query(UPDATE_IDENTITIES)
                .bind(json_of(DOING, &sealed)?)
                .execute(&mut tx)
                .await
                .map_err(failed(DOING))?;
            tx.commit().await.map_err(failed(DOING))?;
            done += rows.len() as u64;
        }
    }

    fn identity_anew(&self, row: &Row, ring: &Ring) -> Result<(i64, String), StoreError> {
        let cells = Cells::new(row, "identity.id")?;
        let id = cells.uuid("identity.public_id")?;
        let key = ring
            .open_identity(cells.get("identity.audit_key")?, id.as_bytes())
            .map_err(|error| match error {
                NotOpened::Unknown => {
                    StoreError::Contended(format!("{DOING}: another host is changing it too"))
                }
                NotOpened::Damaged => {
                    cells.corrupt("identity.audit_key", "it does not open under its data key")
                }
            })?;
        let sealed = ring.seal_identity(&key, id.as_bytes(), &*self.keys.randomness)?;
        Ok((cells.get("identity.id")?, hex(&sealed)))
    }

    fn sealed_anew(
        &self,
        ring: &Ring,
        number: i64,
        plain: &[u8],
        purpose: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let data = ring.get(number).map_err(|_| sealing("no data key"))?;
        let mut sealed = Vec::new();
        data.seal_into(&mut sealed, &[plain], purpose, &*self.keys.randomness)
            .map_err(|_| sealing("a text"))?;
        Ok(sealed)
    }

    /// Takes the old data keys away if nothing needs them any more.
    async fn forget_old(&self, number: i64) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.plain(DOING).await?;
        query(OLD)
            .bind(number)
            .fetch_all(&mut tx)
            .await
            .map_err(failed(DOING))?;
        let row = query(STILL_USED)
            .bind(number)
            .bind(prefix(number)?)
            .fetch_one(&mut tx)
            .await
            .map_err(failed(DOING))?;
        if row.at::<i64>(0).map_err(failed(DOING))? != 0 {
            return Ok(false);
        }
        query("DELETE FROM data_key WHERE id < $1")
            .bind(number)
            .execute(&mut tx)
            .await
            .map_err(failed(DOING))?;
        tx.commit().await.map_err(failed(DOING))?;
        Ok(true)
    }
}

fn old_key<'r>(
    ring: &'r Ring,
    cells: &Cells<'_>,
    column: &'static str,
) -> Result<&'r crate::keys::aead::Aead, StoreError> {
    ring.get(cells.get(column)?)
        .map_err(|_| cells.corrupt(column, "there is no such key"))
}

fn prefix(number: i64) -> Result<Vec<u8>, StoreError> {
    let short = u32::try_from(number).map_err(|_| sealing("too many data keys"))?;
    Ok(short.to_be_bytes().to_vec())
}
