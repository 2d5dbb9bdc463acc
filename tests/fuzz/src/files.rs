//! Files that people hand in: HR exports, exported checkpoints, key files.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::tz::TimeZoneDatabase;
use usher_engine::import::read_records;
use usher_lifecycle::policy::{Policy, parse};
use usher_store::{Change, Checkpoint, OperatorKey};

use crate::steers_a_terminal;

/// Three sources that read the same columns: from commas in UTF-8, semicolons in windows-1252, tabs in UTF-16.
const POLICY: &str = include_str!("hr.toml");

static READERS: LazyLock<Policy> =
    LazyLock::new(|| parse("hr.toml", POLICY).expect("the policy of this target"));

/// The first byte chooses the source; the rest is the file.
pub(crate) fn hr(data: &[u8]) {
    let (choice, file) = data.split_first().unwrap_or((&0, &[]));
    let source = &READERS.sources[usize::from(*choice) % READERS.sources.len()];
    let zones = TimeZoneDatabase::none();
    let read = || read_records(file, source, &zones);
    let records = match read() {
        Ok(records) => records,
        Err(why) => return assert!(why.len() <= 2_000 && !steers_a_terminal(&why), "{why:?}"),
    };
    assert_eq!(read().as_ref(), Ok(&records), "the same file says the same");
    let mut keys = BTreeSet::new();
    for record in &records {
        assert!(!record.key.trim().is_empty(), "a person without a key");
        assert!(keys.insert(&record.key), "two records of one key: {}", record.key);
        let Change::Upsert { attributes, .. } = &record.change else {
            continue;
        };
        for (name, value) in attributes {
            let known = source.columns.iter().any(|column| column.attribute == *name);
            assert!(known && !value.is_null(), "{name}: {value}");
        }
        for column in source.columns.iter().filter(|column| column.required) {
            assert!(
                attributes.contains_key(&column.attribute),
                "a record without {}",
                column.name
            );
        }
    }
}

/// A line of an exported file of checkpoints. Whoever makes one that is taken has forged a signature.
pub(crate) fn checkpoint(data: &[u8]) {
    let text = crate::text(data);
    match Checkpoint::parse(&text) {
        Ok(checkpoint) => {
            let again = Checkpoint::parse(&checkpoint.to_line()).expect("what was written is read");
            assert_eq!(again.to_line(), checkpoint.to_line());
        }
        Err(why) => assert!(why.len() <= 2_000, "{why}"),
    }
}

/// The text of a key file. The error must not repeat what was in it.
pub(crate) fn key(data: &[u8]) {
    let text = crate::text(data);
    match OperatorKey::parse(&text) {
        Ok(key) => {
            let again = OperatorKey::parse(&key.to_text()).expect("what was written is read");
            assert_eq!(*again.to_text(), *key.to_text());
        }
        Err(why) => {
            let word = text.split_whitespace().find(|word| word.len() > 12);
            assert!(word.is_none_or(|word| !why.contains(word)), "{why}");
        }
    }
}
