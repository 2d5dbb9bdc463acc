//! Documents and components.

use usher_store::{DocumentKind, NewDocument, StoreError};

use super::*;

fn policy(text: &str) -> NewDocument {
    NewDocument {
        kind: DocumentKind::Policy,
        text: text.to_owned(),
        resolved: serde_json::json!({ "n": text.len() }),
    }
}

/// Versions count per kind; the same document again is no new version; all survives a reopening.
#[tokio::test]
async fn documents_have_versions() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    assert_eq!(store.document(DocumentKind::Policy).await.unwrap(), None);
    assert_eq!(store.activate(policy("a"), &context(1)).await.unwrap(), 1);
    assert_eq!(store.activate(policy("a"), &context(2)).await.unwrap(), 1);
    assert_eq!(store.activate(policy("bb"), &context(3)).await.unwrap(), 2);
    assert_eq!(store.activate(policy("a"), &context(4)).await.unwrap(), 3);
    let targets = NewDocument {
        kind: DocumentKind::Targets,
        ..policy("t")
    };
    assert_eq!(store.activate(targets, &context(5)).await.unwrap(), 1);
    drop(store);
    let store = database.open(at(6)).await;
    let active = store.document(DocumentKind::Policy).await.unwrap().unwrap();
    assert_eq!(
        (active.version, active.text.as_str(), active.activated_at),
        (3, "a", at(4))
    );
    assert_eq!(active.resolved, serde_json::json!({ "n": 1 }));
    assert_eq!(
        store
            .document(DocumentKind::Targets)
            .await
            .unwrap()
            .unwrap()
            .version,
        1
    );
    let told = store.audit_tail(10).await.unwrap();
    assert_eq!(
        told.iter()
            .filter(|row| row.event == "document.activated")
            .count(),
        4
    );
}

/// Every version stays readable with when and by whom; one is made active only after what was seen.
#[tokio::test]
async fn versions_say_when_and_by_whom() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let missing = store.document_version(DocumentKind::Policy, 1).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    for (n, text) in ["a", "b", "a"].into_iter().enumerate() {
        let context = Context {
            actor: Actor::Person(format!("p{n}")),
            at: at(n as i64),
        };
        store.activate(policy(text), &context).await.unwrap();
    }
    let told = |documents: Vec<usher_store::Document>| -> Vec<(i64, String, String)> {
        let by = |one: &usher_store::Document| one.activated_by.as_ref().unwrap().to_string();
        documents
            .iter()
            .map(|one| (one.version, one.text.clone(), by(one)))
            .collect()
    };
    let one = |version, text: &str, by: &str| (version, text.to_owned(), format!("person {by}"));
    let all = store
        .document_versions(DocumentKind::Policy, None, 10)
        .await
        .unwrap();
    assert_eq!(
        told(all),
        [one(3, "a", "p2"), one(2, "b", "p1"), one(1, "a", "p0")]
    );
    let page = store
        .document_versions(DocumentKind::Policy, Some(3), 1)
        .await
        .unwrap();
    assert_eq!(told(page), [one(2, "b", "p1")]);
    assert!(
        store
            .document_versions(DocumentKind::Targets, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let second = store.document_version(DocumentKind::Policy, 2).await.unwrap();
    assert_eq!((second.text.as_str(), second.activated_at), ("b", at(1)));
    for version in [-1, 0, 4, i64::MAX, i64::MIN] {
        let missing = store.document_version(DocumentKind::Policy, version).await;
        assert!(
            matches!(missing, Err(StoreError::NotFound(_))),
            "{version}: {missing:?}"
        );
    }

    let seen = store.versions().await.unwrap();
    let other = NewDocument {
        kind: DocumentKind::Targets,
        ..policy("t")
    };
    store.activate(other, &context(5)).await.unwrap();
    let refused = store.activate_after(policy("c"), seen, &context(6)).await;
    assert!(matches!(refused, Err(StoreError::Stale(_))), "{refused:?}");
    let seen = store.versions().await.unwrap();
    assert_eq!(
        store
            .activate_after(policy("c"), seen, &context(6))
            .await
            .unwrap(),
        4
    );
}

/// Components are kept by the digest of their bytes.
#[tokio::test]
async fn components_are_kept_by_digest() {
    let Some(database) = crate::database() else { return };
    let store = database.open(at(0)).await;
    let info = store
        .add_artifact("sql", "0.1.0", b"component", &context(1))
        .await
        .unwrap();
    assert_eq!(
        info.digest,
        "6985ca1f4daa5a584a28eae043a239cb96689af1337ea13afb63e00c2bf512fa"
    );
    assert_eq!((info.size_bytes, info.added_at), (9, at(1)));
    let same = store
        .add_artifact("sql", "0.1.0", b"component", &context(2))
        .await
        .unwrap();
    assert_eq!(same, info);
    let newer = store
        .add_artifact("sql", "0.2.0", &[0; 100_000], &context(3))
        .await
        .unwrap();
    assert_eq!(store.artifacts().await.unwrap(), [newer, info.clone()]);
    let found = store.artifact(&info.digest).await.unwrap();
    assert_eq!(
        (found.info, found.bytes.as_slice()),
        (info, b"component".as_slice())
    );
    for unknown in ["", "xyz", &"0".repeat(64), &"é".repeat(32)] {
        let missing = store.artifact(unknown).await;
        assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    }
}
