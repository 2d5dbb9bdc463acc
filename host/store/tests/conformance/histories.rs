//! Random histories: whatever happens in whatever order, the queue keeps its promises.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use usher_lifecycle::assignment::HeldRole;
use usher_lifecycle::facts::HoldKind;
use usher_lifecycle::operation::OperationState;
use usher_store::{
    AuditRow, FactId, IdentityRef, OperationFilter, OperationRow, StoreError, StoredFact, StoredReservation,
    Totals,
};

use super::names::request;
use super::personal::{by, hold, role};
use super::*;

/// One step of a history. Numbers choose among what there is, by remainder.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Plans operations for a person; overtakes what may be overtaken first, if told so.
    Plan {
        person: usize,
        operations: usize,
        overtake: bool,
    },
    /// The facts of a person change.
    Import { person: usize },
    /// Claims from both targets.
    Claim { limit: u32 },
    /// An attempt under way ends.
    End { attempt: usize, how: usize },
    /// An outcome of an attempt that has ended long ago arrives.
    Late { attempt: usize },
    /// A person releases a held or failed operation.
    Release { which: usize },
    /// Something is set about a person, for a while.
    Set { person: usize, what: usize, lasts: i64 },
    /// Something that was set is ended.
    Unset { which: usize },
    /// A person asks for one of a few names, from this one on.
    Name { person: usize, from: usize },
    /// A person's name is released.
    Unname { person: usize, bar: i64 },
    /// The process ends and starts again.
    Crash,
}

pub(crate) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..3_usize, 0..4_usize, any::<bool>())
            .prop_map(|(person, operations, overtake)| Move::Plan { person, operations, overtake }),
        1 => (0..3_usize).prop_map(|person| Move::Import { person }),
        4 => (1..4_u32).prop_map(|limit| Move::Claim { limit }),
        6 => (any::<usize>(), 0..6_usize).prop_map(|(attempt, how)| Move::End { attempt, how }),
        1 => any::<usize>().prop_map(|attempt| Move::Late { attempt }),
        1 => any::<usize>().prop_map(|which| Move::Release { which }),
        2 => (0..3_usize, 0..3_usize, 1..30_i64).prop_map(|(person, what, lasts)| Move::Set { person, what, lasts }),
        1 => any::<usize>().prop_map(|which| Move::Unset { which }),
        2 => (0..3_usize, 0..4_usize).prop_map(|(person, from)| Move::Name { person, from }),
        1 => (0..3_usize, 0..20_i64).prop_map(|(person, bar)| Move::Unname { person, bar }),
        1 => Just(Move::Crash),
    ];
    prop::collection::vec(one, 1..40)
}

/// What a history has seen so far.
#[derive(Default)]
struct Seen {
    under_way: Vec<ClaimedOperation>,
    ended: Vec<ClaimedOperation>,
    done: HashSet<OperationId>,
    planned: u64,
    links: u32,
    /// What is set and not ended: whose, which.
    set: Vec<(usize, FactId)>,
    /// Names of people, and until when whose given up names are barred.
    names: BTreeMap<usize, String>,
    barred: BTreeMap<String, (usize, i64)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::HISTORIES, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_keep_the_promises(history in moves()) {
        if let Some(database) = crate::database() {
            wait_for(the_queue_keeps_its_promises(&database, &history));
        }
    }
}

/// Runs to the end on a runtime of its own.
pub(crate) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Plays a history and checks the promises after every step. Returns what can be seen in the end.
pub(crate) async fn the_queue_keeps_its_promises(database: &Database, history: &[Move]) -> Visible {
    let mut store = database.open(at(0)).await;
    people(&store, 3).await;
    let mut seen = Seen::default();
    for (second, step) in (1_i64..).zip(history) {
        if let Move::Crash = step {
            drop(store);
            store = database.open(at(second)).await;
            let lost = store.recover(&context(second)).await.unwrap();
            assert_eq!(lost, seen.under_way.len() as u64);
            seen.ended.append(&mut seen.under_way);
        } else {
            play(&store, step, &mut seen, second).await;
        }
        check(&store, &seen).await;
    }
    store.audit_verify().await.unwrap();
    visible(&store).await
}

/// All that anybody can see of a store. Ids are part of it: both databases are given the same random numbers.
#[derive(Debug, PartialEq)]
pub(crate) struct Visible {
    identities: Vec<IdentityRow>,
    operations: Vec<OperationRow>,
    totals: Vec<Totals>,
    facts: Vec<Vec<StoredFact>>,
    names: Vec<Vec<StoredReservation>>,
    due: Vec<IdentityRef>,
    next_due: Option<Timestamp>,
    audit: Vec<AuditRow>,
}

async fn visible(store: &impl Store) -> Visible {
    let every = OperationFilter {
        limit: 10_000,
        ..Default::default()
    };
    let due = store.due(at(10_000), 1_000).await.unwrap();
    let mut audit = store.audit_tail(10_000).await.unwrap();
    // A rolled back transaction may leave a gap in one database's numbers.
    audit.iter_mut().for_each(|row| row.seq = 0);
    let (mut facts, mut names) = (Vec::new(), Vec::new());
    for row in store.identities_page(None, 10).await.unwrap() {
        facts.push(store.personal_facts(row.id).await.unwrap());
        names.push(store.reservations(row.id).await.unwrap());
    }
    Visible {
        facts,
        names,
        identities: store.identities_page(None, 1_000).await.unwrap(),
        operations: store.operations(&every).await.unwrap(),
        totals: store.operation_totals().await.unwrap(),
        due: due.iter().map(|row| row.reference).collect(),
        next_due: store.next_due().await.unwrap(),
        audit,
    }
}

async fn play(store: &impl Store, step: &Move, seen: &mut Seen, second: i64) {
    match step {
        Move::Plan {
            person,
            operations,
            overtake,
        } => {
            let row = store.identities_page(None, 10).await.unwrap().remove(*person);
            let new = (0..*operations)
                .map(|n| {
                    let priority = Priority::ALL[(n + person) % 5];
                    let mut new = operation(["app", "directory"][n % 2], Work::Read, priority, second);
                    new.id = OperationId::from_parts(at(second), &[u8::try_from(n).unwrap(); 10]);
                    new
                })
                .collect();
            let mut plan = planned(&row, new);
            plan.held = (1..*operations)
                .map(|n| HeldRole {
                    role: name(&format!("role-{n}")),
                    by_rule: *overtake,
                    since_lost: None,
                    withheld: false,
                })
                .collect();
            if *overtake {
                plan.superseded = row
                    .accounts
                    .iter()
                    .flat_map(|account| &account.open)
                    .filter(|one| one.state != OperationState::Claimed)
                    .map(|one| one.id)
                    .collect();
            }
            let done = commit(store, &[plan], second).await;
            assert_eq!((done.planned, done.stale), (1, 0));
            seen.planned += done.operations;
        }
        Move::Import { person } => {
            import(
                store,
                "hr",
                &[upsert(&format!("p{person:02}"), &format!("at {second}"))],
                second,
            )
            .await;
        }
        Move::Claim { limit } => {
            let claim = from(&[("app", *limit), ("directory", *limit)]);
            let recorded = store.record_and_claim(&[], &[], &claim, &context(second)).await;
            let claimed = recorded.unwrap().claimed;
            for operation in &claimed {
                assert!(!seen.done.contains(&operation.id), "a done operation runs again");
            }
            let app = claimed.iter().filter(|one| one.slot == slot("app")).count();
            assert!(app <= *limit as usize && claimed.len() - app <= *limit as usize);
            seen.under_way.extend(claimed);
        }
        Move::End { attempt, how } if !seen.under_way.is_empty() => {
            let attempt = seen.under_way.remove(attempt % seen.under_way.len());
            seen.links += 1;
            let outcome = match how {
                0 => outcome(&attempt, Decision::Done),
                // Every fifth link is somebody else's.
                1 => done_as(&attempt, &format!("x{}", seen.links % 5)),
                2 => outcome(
                    &attempt,
                    Decision::Retry {
                        at: at(second + 2),
                        settle: true,
                        counts: true,
                    },
                ),
                3 => outcome(
                    &attempt,
                    Decision::Retry {
                        at: at(second),
                        settle: false,
                        counts: true,
                    },
                ),
                4 => outcome(&attempt, Decision::Held { settle: false }),
                _ => outcome(&attempt, Decision::Failed),
            };
            assert!(record(store, &[outcome], second).await.is_empty());
            if *how == 0 {
                seen.done.insert(attempt.id);
            }
            seen.ended.push(attempt);
        }
        Move::Late { attempt } if !seen.ended.is_empty() => {
            let late = &seen.ended[attempt % seen.ended.len()];
            // Unless the very same attempt number runs again after a release: then it is not late.
            if seen
                .under_way
                .iter()
                .all(|one| (one.number, one.attempt) != (late.number, late.attempt))
            {
                assert_eq!(
                    record(store, &[done_as(late, "late")], second).await,
                    [late.number]
                );
            }
        }
        Move::Release { which } => {
            let filter = OperationFilter {
                states: vec![OperationState::Held, OperationState::Failed],
                limit: 100,
                ..Default::default()
            };
            let stuck = store.operations(&filter).await.unwrap();
            if !stuck.is_empty() {
                // A failed one with newer operations behind it is refused; both answers are right.
                let _ = store.retry(stuck[which % stuck.len()].id, &context(second)).await;
            }
        }
        Move::Set { person, what, lasts } => {
            let row = store.identities_page(None, 10).await.unwrap().remove(*person);
            let until = Some(second + lasts);
            let fact = match what {
                0 => role("vpn", until),
                1 => hold(HoldKind::Security, until),
                _ => hold(HoldKind::Manual, None),
            };
            match store
                .add_fact(row.id, &fact, "as asked", &by("ann", second))
                .await
            {
                Ok(id) => seen.set.push((*person, id)),
                // A person may have so many.
                Err(StoreError::Stale(_)) => assert_ne!(*what, 0),
                Err(other) => panic!("{other}"),
            }
        }
        Move::Unset { which } if !seen.set.is_empty() => {
            let (_, id) = seen.set.remove(which % seen.set.len());
            store.end_fact(id, "enough", &by("bob", second)).await.unwrap();
            assert!(store.end_fact(id, "again", &by("bob", second)).await.is_err());
        }
        Move::Name { person, from } => ask_for_a_name(store, *person, *from, seen, second).await,
        Move::Unname { person, bar } => {
            let row = store.identities_page(None, 10).await.unwrap().remove(*person);
            let bar = SignedDuration::from_secs(*bar);
            let released = store
                .release(row.id, &slot("app"), "login", bar, &context(second))
                .await;
            assert_eq!(released.is_ok(), seen.names.contains_key(person));
            if let Some(name) = seen.names.remove(person) {
                seen.barred.insert(name, (*person, second + bar.as_secs()));
            }
        }
        Move::End { .. } | Move::Late { .. } | Move::Unset { .. } | Move::Crash => {}
    }
}

/// The first of two names that nobody else has and that is not barred for them, by the simplest reckoning.
async fn ask_for_a_name(store: &impl Store, person: usize, from: usize, seen: &mut Seen, second: i64) {
    const NAMES: [&str; 5] = ["jdoe", "JDOE", "jd", "john", "doe"];
    let row = store.identities_page(None, 10).await.unwrap().remove(person);
    let candidates = &NAMES[from..][..2];
    let mut asked = request(&row, "app", candidates);
    asked.bar = SignedDuration::from_secs(10);
    let found = store.reserve(&[asked], &context(second)).await.unwrap().remove(0);
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let is_free = |wanted: &&str| {
        let is_named = seen
            .names
            .iter()
            .any(|(other, name)| *other != person && same(name, wanted));
        let barred = seen
            .barred
            .iter()
            .any(|(name, (other, until))| same(name, wanted) && *other != person && *until > second);
        !is_named && !barred
    };
    let had = seen.names.get(&person).cloned();
    let expected = match &had {
        Some(had) if candidates.contains(&had.as_str()) => Some(had.clone()),
        Some(_) | None => candidates
            .iter()
            .find(|one| is_free(one))
            .map(|one| (*one).to_owned()),
    };
    assert_eq!(found.ok().map(|one| one.value), expected);
    let Some(name) = expected else { return };
    if let Some(had) = had.filter(|had| !same(had, &name)) {
        seen.barred.insert(had, (person, second + 10));
    }
    seen.barred.retain(|barred, _| !same(barred, &name));
    seen.names.insert(person, name);
}

async fn check(store: &impl Store, seen: &Seen) {
    let all = store
        .operations(&OperationFilter {
            limit: 10_000,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(
        all.len() as u64,
        seen.planned,
        "operations are neither lost nor doubled"
    );
    let mut totals: HashMap<(String, OperationState), u64> = HashMap::new();
    let mut open: BTreeMap<(String, AccountSlot), Vec<&OperationRow>> = BTreeMap::new();
    for row in all.iter().rev() {
        *totals
            .entry((row.slot.target.to_string(), row.state))
            .or_default() += 1;
        if row.state.is_open() {
            open.entry((row.identity.to_string(), row.slot.clone()))
                .or_default()
                .push(row);
        }
        assert!(
            !seen.done.contains(&row.id) || row.state == OperationState::Done,
            "done stays done"
        );
    }
    for queue in open.values() {
        assert_ne!(
            queue[0].state,
            OperationState::Waiting,
            "the first of an account does not wait"
        );
        for behind in &queue[1..] {
            assert_eq!(
                behind.state,
                OperationState::Waiting,
                "one operation of an account at a time"
            );
        }
    }
    let counted: HashMap<_, _> = store
        .operation_totals()
        .await
        .unwrap()
        .into_iter()
        .map(|one| ((one.target.to_string(), one.state), one.operations))
        .collect();
    assert_eq!(counted, totals, "counts add up");
    let claimed: u64 = totals
        .iter()
        .filter(|((_, state), _)| *state == OperationState::Claimed)
        .map(|(_, n)| n)
        .sum();
    assert_eq!(claimed, seen.under_way.len() as u64);
    for (person, row) in store.identities_page(None, 10).await.unwrap().iter().enumerate() {
        let facts = store.personal_facts(row.id).await.unwrap();
        let open: Vec<FactId> = facts
            .iter()
            .filter(|one| one.ended.is_none())
            .map(|one| one.id)
            .collect();
        let set: Vec<FactId> = seen
            .set
            .iter()
            .filter(|(whose, _)| *whose == person)
            .map(|(_, id)| *id)
            .collect();
        assert_eq!(open, set);
        assert_eq!(row.assignments.len() + row.holds.len(), set.len());
        let name = row.reservations.first().map(|one| &one.value);
        assert_eq!(
            (name, row.reservations.len() < 2),
            (seen.names.get(&person), true)
        );
    }
    let mut links = HashSet::new();
    for account in store
        .identities_page(None, 10)
        .await
        .unwrap()
        .into_iter()
        .flat_map(|row| row.accounts)
    {
        if account.observed.state != AccountState::Absent {
            assert!(
                links.insert((account.slot.target, account.observed.external_id)),
                "a link has one owner"
            );
        }
    }
}
