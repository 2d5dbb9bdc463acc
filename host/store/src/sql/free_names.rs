//! Which names are free: who has what, looked up for all requests at once, a few candidates at a time.

use std::collections::{HashMap, HashSet};

use super::cells::{Cells, failed, hex, json_of};
use super::db::{Tx, query};
use super::reserving::DOING;
use crate::keys::names::NameKey;
use crate::{CANDIDATES_MAX, NameRequest, RESERVED_BYTES_MAX, StoreError};

/// Candidates of a request in the first look: mostly one of the first few is free. Each further look takes twice as many.
const FIRST_LOOK: usize = 4;

const OWN: &str = r#"
    SELECT r.id AS "reservation.id", r.identity AS "reservation.identity", t.name AS "target.name", r.kind AS "reservation.kind",
           r.attribute AS "reservation.attribute", r.value AS "reservation.value", r.digest AS "reservation.digest"
    FROM reservation r CROSS JOIN target t
    WHERE r.identity IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND r.barred_until_us IS NULL AND t.id = r.target"#;

pub(crate) const HELD: &str = r#"
    SELECT r.id AS "reservation.id", r.identity AS "reservation.identity", t.name AS "target.name", r.attribute AS "reservation.attribute",
           r.digest AS "reservation.digest", r.barred_until_us AS "reservation.barred_until_us"
    FROM json_each($1) AS j CROSS JOIN target t CROSS JOIN reservation r
    WHERE t.name = j.value ->> 0 AND r.target = t.id AND r.attribute = j.value ->> 1 AND r.digest = unhex(j.value ->> 2)"#;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Chosen {
    /// One of the candidates is theirs already.
    Had(String),
    New(New),
    /// All are taken.
    Nothing,
}

/// A name that is to be reserved.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) value: String,
    /// In hexadecimal.
    pub(super) digest: String,
    /// The row of a bar that is over, or is theirs.
    pub(super) frees: Option<i64>,
    /// The row and name it takes the place of.
    pub(super) replaces: Option<(i64, String)>,
    /// The row of the same name, written in another case.
    pub(super) writes_anew: Option<i64>,
}

/// A name in a target: target, attribute, digest in hexadecimal.
type Place<'a> = (&'a str, &'a str, &'a str);
/// What a name is for: identity, target, kind, attribute.
type Purpose = (i64, String, String, String);

/// What somebody has for a purpose.
#[derive(Clone)]
struct Own {
    /// `None` for what is chosen here.
    row: Option<i64>,
    value: String,
    digest: String,
}

/// Who has a name.
struct Holder {
    row: i64,
    identity: Option<i64>,
    barred_until_us: Option<i64>,
}

/// Who has what, as far as it was looked up.
pub(super) struct Board {
    now_us: i64,
    key: NameKey,
    own: HashMap<Purpose, Own>,
    held: HashMap<(String, String, String), Holder>,
    /// Chosen for somebody in this call.
    given: HashSet<(String, String, String)>,
}

impl Board {
    pub(super) async fn of(
        tx: &mut Tx<'_>,
        requests: &[NameRequest],
        key: NameKey,
        now_us: i64,
    ) -> Result<Self, StoreError> {
        let people: HashSet<i64> = requests.iter().map(|one| one.identity.0).collect();
        let rows = query(OWN)
            .bind(json_of(DOING, &people)?)
            .fetch_all(tx)
            .await
            .map_err(failed(DOING))?;
        let mut own = HashMap::with_capacity(rows.len());
        for row in &rows {
            let cells = Cells::new(row, "reservation.id")?;
            let purpose = (
                cells.get("reservation.identity")?,
                cells.get("target.name")?,
                cells.get("reservation.kind")?,
                cells.get("reservation.attribute")?,
            );
            let one = Own {
                row: Some(cells.get("reservation.id")?),
                value: cells.get("reservation.value")?,
                digest: hex(&cells.bytes::<32>("reservation.digest")?),
            };
            own.insert(purpose, one);
        }
        Ok(Self {
            now_us,
            key,
            own,
            held: HashMap::new(),
            given: HashSet::new(),
        })
    }

    /// What becomes of each request, in their order.
    pub(super) async fn choose(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[NameRequest],
    ) -> Result<Vec<Chosen>, StoreError> {
        let mut chosen: Vec<Option<Chosen>> = requests.iter().map(|one| self.had(one)).collect();
        let (mut from, mut look) = (0, FIRST_LOOK);
        while from < CANDIDATES_MAX && chosen.iter().any(Option::is_none) {
            let to = (from + look).min(CANDIDATES_MAX);
            let open = |place: usize| chosen[place].is_none();
            let named: Vec<Vec<(String, String)>> = requests
                .iter()
                .enumerate()
                .map(|(place, request)| {
                    if open(place) {
                        digests(&self.key, request, from, to)
                    } else {
                        Vec::new()
                    }
                })
                .collect();
            self.look_up(tx, requests, &named).await?;
            for ((request, named), chosen) in requests.iter().zip(named).zip(&mut chosen) {
                if chosen.is_none() {
                    *chosen = self.had(request).or_else(|| self.first_free(request, named));
                }
            }
            (from, look) = (to, look * 2);
        }
        Ok(chosen
            .into_iter()
            .map(|one| one.unwrap_or(Chosen::Nothing))
            .collect())
    }

    /// The name they have already, if it would do; or was chosen for the same purpose here.
    fn had(&self, request: &NameRequest) -> Option<Chosen> {
        let own = self.own.get(&purpose(request))?;
        let would_do = own.row.is_none() || request.wanted.candidates.contains(&own.value);
        would_do.then(|| Chosen::Had(own.value.clone()))
    }

    async fn look_up(
        &mut self,
        tx: &mut Tx<'_>,
        requests: &[NameRequest],
        named: &[Vec<(String, String)>],
    ) -> Result<(), StoreError> {
        let mut places: Vec<Place<'_>> = Vec::new();
        for (request, named) in requests.iter().zip(named) {
            let (target, attribute) = (request.wanted.slot.target.as_str(), &request.wanted.attribute);
            places.extend(
                named
                    .iter()
                    .map(|(_, digest)| (target, attribute.as_str(), digest.as_str())),
            );
        }
        if places.is_empty() {
            return Ok(());
        }
        let rows = query(HELD)
            .bind(json_of(DOING, &places)?)
            .fetch_all(tx)
            .await
            .map_err(failed(DOING))?;
        for row in &rows {
            let cells = Cells::new(row, "reservation.id")?;
            let place = (
                cells.get("target.name")?,
                cells.get("reservation.attribute")?,
                hex(&cells.bytes::<32>("reservation.digest")?),
            );
            let holder = Holder {
                row: cells.get("reservation.id")?,
                identity: cells.get("reservation.identity")?,
                barred_until_us: cells.get("reservation.barred_until_us")?,
            };
            self.held.insert(place, holder);
        }
        Ok(())
    }

    fn first_free(&mut self, request: &NameRequest, named: Vec<(String, String)>) -> Option<Chosen> {
        let purpose = purpose(request);
        let own = self.own.get(&purpose).cloned();
        for (value, digest) in named {
            let place = (purpose.1.clone(), purpose.3.clone(), digest.clone());
            if self.given.contains(&place) {
                continue;
            }
            let same = own.as_ref().filter(|own| own.digest == digest);
            let frees = match self.held.get(&place) {
                None => None,
                Some(_) if same.is_some() => None,
                Some(holder) if self.is_over(holder, request.identity.0) => Some(holder.row),
                Some(_) => continue,
            };
            let writes_anew = same.and_then(|own| own.row);
            let new = New {
                frees,
                replaces: match (&own, writes_anew) {
                    (Some(own), None) => own.row.map(|row| (row, own.value.clone())),
                    (Some(_), Some(_)) | (None, _) => None,
                },
                writes_anew,
                value: value.clone(),
                digest: digest.clone(),
            };
            self.given.insert(place);
            let row = None;
            self.own.insert(purpose, Own { row, value, digest });
            return Some(Chosen::New(new));
        }
        None
    }

    /// Whether a name is nobody's any more, or barred for the very person.
    fn is_over(&self, holder: &Holder, asking: i64) -> bool {
        holder
            .barred_until_us
            .is_some_and(|until| until <= self.now_us || holder.identity == Some(asking))
    }
}

fn purpose(request: &NameRequest) -> Purpose {
    let wanted = &request.wanted;
    (
        request.identity.0,
        wanted.slot.target.to_string(),
        wanted.slot.kind.to_string(),
        wanted.attribute.clone(),
    )
}

/// Some of the candidates with their digests; those that no database keeps are left out.
fn digests(key: &NameKey, request: &NameRequest, from: usize, to: usize) -> Vec<(String, String)> {
    let candidates = request.wanted.candidates.iter().skip(from).take(to - from);
    candidates
        .filter(|name| name.len() <= RESERVED_BYTES_MAX && !name.is_empty() && !name.contains('\0'))
        .map(|name| (name.clone(), digest(key, name)))
        .collect()
}

/// The digest of the name without its case, in hexadecimal.
fn digest(key: &NameKey, name: &str) -> String {
    hex(&key.digest(&folded(name)))
}

/// Letter by letter up, then down: `ß` is `ss`, every sigma the same.
fn folded(name: &str) -> String {
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_are_one() {
        let key = NameKey::new(&zeroize::Zeroizing::new([1; 32]));
        for (one, other) in [
            ("JDoe", "jdoe"),
            ("STRASSE", "straße"),
            ("ΣΑΣ", "σας"),
            ("É", "é"),
        ] {
            assert_eq!(digest(&key, one), digest(&key, other), "{one} {other}");
        }
        assert_ne!(digest(&key, "jdoe"), digest(&key, "jdoe2"));
        let other = NameKey::new(&zeroize::Zeroizing::new([2; 32]));
        assert_ne!(digest(&key, "jdoe"), digest(&other, "jdoe"));
    }
}
