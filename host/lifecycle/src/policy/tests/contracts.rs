//! Which records are contracts, what completes them, whose attributes count.

use super::*;
use crate::facts::{Employment, When};
use crate::state::state_at;

/// HR knows contracts; so do agencies; a list of leavers, a source of leave and a directory say more of the same people.
const SOURCES: &str = r#"zone = "Europe/Berlin"

[sources.hr]
key = "id"
columns = { id = { attribute = "contractId" }, dept = { attribute = "department" }, mail = { attribute = "email" }, s = { attribute = "start", type = "date" }, e = { attribute = "end", type = "date" }, z = { attribute = "zone" } }
lifecycle = { start = "start", end = "end", zone = "zone", id = "contractId" }

[sources.agency]
key = "id"
columns = { dept = { attribute = "department" }, s = { attribute = "start", type = "date" }, e = { attribute = "end", type = "date" } }
lifecycle = { start = "start", end = "end" }

[sources.exits]
key = "id"
columns = { e = { attribute = "end", type = "date" } }
lifecycle = { end = "end" }

[sources.absences]
key = "id"
columns = { f = { attribute = "from", type = "date" }, u = { attribute = "until", type = "date" } }
lifecycle = { leave-from = "from", leave-until = "until" }

[sources.ad]
key = "id"
columns = { mail = { attribute = "email" }, z = { attribute = "zone" } }
lifecycle = { zone = "zone" }
"#;

fn sources() -> Policy {
    with_authority("")
}

fn with_authority(lines: &str) -> Policy {
    let text = format!("{SOURCES}\n[authority]\n{lines}\n");
    parse("policy.toml", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// `name start..end leave zone absent`, one line for each contract.
fn contracts(policy: &Policy, records: &[SourceRecord]) -> Vec<String> {
    let employment = policy.employment(records, &zones()).unwrap();
    let show = |when: Option<When>| match when {
        Some(When::Day(day)) => day.to_string(),
        Some(When::Instant(at)) => at.to_string(),
        None => String::new(),
    };
    let contracts = employment.contracts.into_iter();
    contracts
        .map(|contract| {
            let leave = contract.leave.map_or_else(String::new, |leave| {
                format!(" leave {}..{}", show(Some(leave.from)), show(leave.until))
            });
            let absent = contract
                .absent_since
                .map_or_else(String::new, |at| format!(" absent {at}"));
            format!(
                "{} {}..{}{leave} {}{absent}",
                contract.name.unwrap_or_else(|| "-".to_owned()),
                show(contract.start),
                show(contract.end),
                contract.zone.iana_name().unwrap()
            )
        })
        .collect()
}

fn absent(mut record: SourceRecord, since: &str) -> SourceRecord {
    record.absent_since = Some(since.parse().unwrap());
    record
}

#[test]
fn every_record_with_dates_of_a_source_that_declares_them_is_a_contract() {
    let records = [
        record("agency", "9", json!({"start": "2026-01-01", "end": "2026-06-30"})),
        record("hr", "2", json!({"contractId": "C18", "start": "2026-07-01"})),
        record(
            "hr",
            "1",
            json!({"contractId": " C17 ", "start": "2025-01-01", "end": "2025-12-31"}),
        ),
        record("hr", "3", json!({"contractId": "C19"})),
        record("ad", "kate", json!({"email": "kate@corp"})),
    ];
    assert_eq!(
        contracts(&sources(), &records),
        [
            "C17 2025-01-01..2025-12-31 Europe/Berlin",
            "C18 2026-07-01.. Europe/Berlin",
        ]
    );
}

/// The state on some days, and the contracts that decide it.
fn states(policy: &Policy, records: &[SourceRecord], days: &[&str]) -> Vec<String> {
    let employment = policy.employment(records, &zones()).unwrap();
    let state = |day: &&str| {
        let now = format!("{day}T12:00:00Z").parse().unwrap();
        state_at(&employment, &[], 30, now).state.to_string()
    };
    days.iter().map(state).collect()
}

#[test]
fn a_second_source_of_contracts_keeps_no_leaver_and_brings_none_back() {
    let policy = sources();
    let days = ["2026-03-15", "2026-04-15", "2026-07-15"];
    let hr = record("hr", "1", json!({"start": "2026-01-01", "end": "2026-03-31"}));
    for export in [
        json!({"start": "2020-01-01"}),
        json!({"start": "2020-01-01", "end": "2026-12-31"}),
        json!({"start": "2026-07-01"}),
        json!({"start": "in May", "end": "later"}),
    ] {
        let records = [record("agency", "9", export), hr.clone()];
        assert_eq!(
            states(&policy, &records, &days),
            ["active", "leaving", "departed"]
        );
    }
    let open = record("hr", "1", json!({"start": "2026-01-01"}));
    let export = record("agency", "9", json!({"start": "2020-01-01", "end": "2026-03-31"}));
    assert_eq!(
        states(&policy, &[open, export], &days),
        ["active", "leaving", "departed"],
        "an end that HR does not say comes from who says it, as before"
    );
}

#[test]
fn who_is_lost_by_the_first_source_is_kept_by_a_later_one_only_with_a_contract_that_follows() {
    let policy = sources();
    let days = ["2026-04-15", "2026-07-15"];
    let hr = absent(
        record("hr", "1", json!({"start": "2025-01-01"})),
        "2026-04-01T00:00:00Z",
    );
    let with = |start: &str| [record("agency", "9", json!({ "start": start })), hr.clone()];
    assert_eq!(
        states(&policy, &with("2020-01-01"), &days),
        ["leaving", "departed"]
    );
    assert_eq!(states(&policy, &with("2026-06-01"), &days), ["leaving", "active"]);
    assert_eq!(states(&policy, &with("soon"), &days), ["leaving", "departed"]);
}

#[test]
fn the_end_of_an_earlier_contract_with_another_source_ends_nothing() {
    let records = [
        record("agency", "9", json!({"start": "2025-03-02", "end": "2026-06-30"})),
        record("hr", "1", json!({"start": "2026-07-01"})),
    ];
    assert_eq!(contracts(&sources(), &records), ["- 2026-07-01.. Europe/Berlin"]);
}

#[test]
fn while_a_contract_runs_what_is_over_or_to_come_fills_no_gap() {
    let policy = with_authority("department = [\"agency\"]");
    let running = record("hr", "1", json!({"start": "2026-01-01", "email": "a@x"}));
    let old = json!({"start": "2025-01-01", "end": "2025-12-31", "department": "Payments"});
    let to_come = json!({"start": "2026-06-01", "department": "Payments"});
    let lasting = json!({"start": "2026-02-01", "department": "Support"});
    for (source, other, department) in [
        ("hr", &old, None),
        ("hr", &to_come, None),
        ("agency", &old, None),
        ("agency", &to_come, None),
        ("agency", &lasting, Some("Support")),
        ("hr", &lasting, Some("Support")),
    ] {
        let records = [running.clone(), record(source, "2", other.clone())];
        let merged = merged(&policy, &records);
        assert_eq!(
            merged.get("department").and_then(serde_json::Value::as_str),
            department,
            "{source} {other}"
        );
        assert_eq!(merged["email"], "a@x");
    }
    let over = [record("hr", "2", old), record("agency", "3", to_come)];
    assert_eq!(
        merged(&policy, &over)["department"],
        "Payments",
        "while none runs, all count"
    );
}

#[test]
fn one_contract_needs_no_name() {
    let policy = sources();
    let only = record("agency", "9", json!({"start": "2026-01-01"}));
    assert_eq!(
        contracts(&policy, std::slice::from_ref(&only)),
        ["- 2026-01-01.. Europe/Berlin"]
    );
    let gone = absent(only, "2026-03-01T00:00:00Z");
    assert_eq!(
        contracts(&policy, std::slice::from_ref(&gone)),
        ["- 2026-01-01.. Europe/Berlin absent 2026-03-01T00:00:00Z"],
        "missing everywhere"
    );
    let elsewhere = [gone, record("ad", "kate", json!({}))];
    assert_eq!(
        contracts(&policy, &elsewhere),
        ["agency/9 2026-01-01.. Europe/Berlin absent 2026-03-01T00:00:00Z"],
        "missing there, and there only"
    );
}

#[test]
fn without_any_date_the_record_is_an_open_contract() {
    let policy = sources();
    let dateless = record("hr", "1", json!({"contractId": 17}));
    assert_eq!(
        contracts(&policy, std::slice::from_ref(&dateless)),
        ["17 .. Europe/Berlin"]
    );
    let old = absent(
        record("hr", "0", json!({"start": "2020-01-01", "end": "2021-01-01"})),
        "2021-02-01T00:00:00Z",
    );
    assert_eq!(
        contracts(&policy, &[dateless, old]),
        [
            "hr/0 2020-01-01..2021-01-01 Europe/Berlin absent 2021-02-01T00:00:00Z",
            "17 .. Europe/Berlin",
        ]
    );
}

#[test]
fn who_is_in_no_source_of_contracts_is_there_while_any_source_has_them() {
    let policy = sources();
    let mut records = [
        record("ad", "kate", json!({"zone": "Asia/Tokyo"})),
        record("absences", "9", json!({"from": "2026-05-01"})),
    ];
    records[0].absent_since = Some("2026-03-02T08:00:00Z".parse().unwrap());
    assert_eq!(
        contracts(&policy, &records),
        ["- .. leave 2026-05-01.. Europe/Berlin"],
        "what a missing record says does not count"
    );
    records[1].absent_since = Some("2026-04-02T08:00:00Z".parse().unwrap());
    assert_eq!(
        contracts(&policy, &records),
        ["- .. leave 2026-05-01.. Asia/Tokyo absent 2026-04-02T08:00:00Z"],
        "since the last lost them, and then all count"
    );
}

#[test]
fn leave_a_zone_and_the_list_of_leavers_complete_each_contract() {
    let records = [
        record("hr", "1", json!({"start": "2026-01-01"})),
        record(
            "hr",
            "2",
            json!({"start": "2026-02-01", "end": "2026-03-31", "zone": "Asia/Tokyo"}),
        ),
        record("exits", "1", json!({"end": "2026-06-30"})),
        record(
            "absences",
            "1",
            json!({"from": "2026-05-01", "until": "2026-05-31"}),
        ),
        record("ad", "kate", json!({"zone": "America/New_York"})),
    ];
    assert_eq!(
        contracts(&sources(), &records),
        [
            "hr/1 2026-01-01..2026-06-30 leave 2026-05-01..2026-05-31 Asia/Tokyo",
            "hr/2 2026-02-01..2026-03-31 leave 2026-05-01..2026-05-31 Asia/Tokyo",
        ],
        "HR goes before the directory"
    );
    let policy = with_authority("zone = [\"ad\"]");
    assert_eq!(
        contracts(&policy, &records),
        [
            "hr/1 2026-01-01..2026-06-30 leave 2026-05-01..2026-05-31 America/New_York",
            "hr/2 2026-02-01..2026-03-31 leave 2026-05-01..2026-05-31 Asia/Tokyo",
        ],
        "a contract's own zone is its own"
    );
    assert_eq!(
        contracts(&policy, &records[2..3]),
        ["- ..2026-06-30 Europe/Berlin"],
        "alone, the list of leavers is all that is known"
    );
}

#[test]
fn who_is_taken_off_the_list_of_leavers_goes_on() {
    let policy = sources();
    let mut records = [
        record("ad", "kate", json!({})),
        record("exits", "1", json!({"end": "2026-06-30"})),
    ];
    assert_eq!(contracts(&policy, &records), ["- ..2026-06-30 Europe/Berlin"]);
    records[1].absent_since = Some("2026-03-02T08:00:00Z".parse().unwrap());
    assert_eq!(contracts(&policy, &records), ["- .. Europe/Berlin"]);
    records[0].absent_since = Some("2026-04-02T08:00:00Z".parse().unwrap());
    assert_eq!(
        contracts(&policy, &records),
        ["- ..2026-06-30 Europe/Berlin absent 2026-04-02T08:00:00Z"],
        "missing everywhere since the last lost them"
    );
}

#[test]
fn what_a_missing_record_says_wrongly_stops_nobody() {
    let policy = sources();
    let broken = record(
        "hr",
        "1",
        json!({"start": "soon", "end": "later", "zone": "Nowhere"}),
    );
    assert_eq!(
        policy
            .employment(std::slice::from_ref(&broken), &zones())
            .unwrap_err()
            .len(),
        3
    );
    let records = [
        absent(broken, "2026-03-01T00:00:00Z"),
        record("hr", "2", json!({"start": "2026-01-01"})),
    ];
    assert_eq!(
        contracts(&policy, &records),
        [
            "hr/1 .. Europe/Berlin absent 2026-03-01T00:00:00Z",
            "hr/2 2026-01-01.. Europe/Berlin",
        ]
    );
}

#[test]
fn a_mistake_that_concerns_several_contracts_is_told_once() {
    let records = [
        record("hr", "1", json!({"start": "2026-01-01"})),
        record("hr", "2", json!({"start": "2026-01-01"})),
        record("absences", "1", json!({"from": "in May"})),
    ];
    let problems = sources().employment(&records, &zones()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn running_contracts_say_more_than_ended_ones_and_those_more_than_future_ones() {
    let policy = sources();
    let mut records = vec![
        record(
            "hr",
            "1",
            json!({"department": "Future", "email": "future@x", "start": "2026-09-01"}),
        ),
        record(
            "hr",
            "2",
            json!({"department": "Ended", "email": "ended@x", "start": "2025-01-01", "end": "2026-02-28"}),
        ),
        record("hr", "3", json!({"department": "Second", "start": "2026-03-01"})),
        record(
            "hr",
            "4",
            json!({"department": "First", "start": "2026-01-01", "end": "2026-03-31"}),
        ),
        record(
            "agency",
            "5",
            json!({"department": "Agency", "start": "2020-01-01"}),
        ),
    ];
    let at = |records: &[SourceRecord], now: &str| {
        let employment = policy.employment(records, &zones()).unwrap();
        let merged = policy.merge(records, Some(&employment), now.parse().unwrap());
        json!([merged.get("department"), merged.get("email")])
    };
    let spring = "2026-03-15T12:00:00Z";
    assert_eq!(
        at(&records, spring),
        json!(["First", null]),
        "the first job counts, and nothing that is over or to come"
    );
    assert_eq!(at(&records, "2026-04-15T12:00:00Z"), json!(["Second", null]));
    records.remove(2);
    assert_eq!(
        at(&records, "2026-04-15T12:00:00Z"),
        json!(["First", "ended@x"]),
        "of those that ended the last; HR still goes before the agency"
    );
    assert_eq!(
        at(&records, "2026-09-15T12:00:00Z"),
        json!(["Future", "future@x"])
    );
}

#[test]
fn authority_may_differ_by_attribute() {
    let records = [
        record(
            "hr",
            "1",
            json!({"email": "hr@x", "department": "Sales", "start": "2026-01-01"}),
        ),
        record("ad", "kate", json!({"email": "ad@x"})),
    ];
    let email = |policy: &Policy, records: &[SourceRecord]| merged(policy, records)["email"].clone();
    assert_eq!(email(&sources(), &records), "hr@x");
    let policy = with_authority("email = [\"ad\", \"hr\"]");
    assert_eq!(email(&policy, &records), "ad@x");
    let policy = with_authority("email = [\"ad\"]");
    assert_eq!(email(&policy, &records), "ad@x");
    assert_eq!(email(&policy, &records[..1]), "hr@x", "the others follow");
    let gone = [
        records[0].clone(),
        absent(records[1].clone(), "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(
        email(&policy, &gone),
        "hr@x",
        "what is missing there does not count"
    );
    assert_eq!(merged(&policy, &records)["department"], "Sales");
}

#[test]
fn mistakes_in_authority_are_found_when_the_document_is_loaded() {
    let text = format!(
        "{SOURCES}\n[authority]\nemial = [\"ad\"]\nemail = [\"aad\", \"hr\", \"hr\", \"exits\", 7]\ndepartment = []\nzone = \"ad\"\n"
    );
    insta::assert_snapshot!(parse("policy.toml", &text).unwrap_err(), @r"
    policy.toml:29:1: authority.emial: no column of any source becomes an attribute of this name; did you mean `email`?
    policy.toml:30:10: authority.email[0]: there is no source of this name; did you mean `ad`?
    policy.toml:30:23: authority.email[2]: is named twice
    policy.toml:30:29: authority.email[3]: no column of this source becomes `email`
    policy.toml:30:38: authority.email[4]: must be a text in quotes, not a whole number
    policy.toml:31:14: authority.department: must name at least one source
    policy.toml:32:8: authority.zone: must be a list in brackets, not a text
    ");
    let text = format!("{SOURCES}\n[sources.x]\n[authority]\nnosuch = [\"nosuch\"]\n");
    let errors = parse("policy.toml", &text).unwrap_err();
    assert!(
        !errors.to_string().contains("nosuch"),
        "not reported while the sources are wrong: {errors}"
    );
}

#[test]
fn the_id_of_a_contract_is_a_text_or_a_number() {
    let text = |kind: &str| {
        format!(
            "zone = \"UTC\"\n[sources.hr]\nkey = \"id\"\ncolumns = {{ id = {{ attribute = \"id\", type = \"{kind}\" }} }}\nlifecycle = {{ id = \"id\" }}\n"
        )
    };
    for kind in ["text", "integer"] {
        assert!(parse("policy.toml", &text(kind)).is_ok(), "{kind}");
    }
    insta::assert_snapshot!(parse("policy.toml", &text("list")).unwrap_err(), @r#"policy.toml:5:20: sources.hr.lifecycle.id: column `id` must be of type = "text" or "integer" for this, it is of type "list""#);
}

fn any_record() -> impl Strategy<Value = SourceRecord> {
    let day = || {
        prop::option::of((1_u32..29, 1_u32..5).prop_map(|(day, month)| format!("2026-{month:02}-{day:02}")))
    };
    let source = prop::sample::select(vec!["hr", "agency", "exits", "absences", "ad", "unknown"]);
    let word = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let away = prop::option::weighted(0.2, 1_767_225_600_i64..1_777_000_000);
    (source, 0_u32..4, (day(), day()), (word.clone(), word), away).prop_map(
        |(source, key, (first, second), (department, email), away)| {
            let attributes = json!({
                "start": first, "end": second, "from": first, "until": second,
                "department": department, "email": email,
            });
            let mut record = record(source, &key.to_string(), attributes);
            record.absent_since = away.map(|second| jiff::Timestamp::from_second(second).unwrap());
            record
        },
    )
}

fn answers(
    policy: &Policy,
    records: &[SourceRecord],
    now: jiff::Timestamp,
) -> (Option<Employment>, Attributes) {
    let employment = policy.employment(records, &zones()).ok();
    let attributes = policy.merge(records, employment.as_ref(), now);
    (employment, attributes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_order_of_records_does_not_matter(
        (records, shuffled) in prop::collection::vec(any_record(), 0..7)
            .prop_map(|mut records| {
                // A source has one record of a key.
                let mut seen = std::collections::BTreeSet::new();
                records.retain(|record: &SourceRecord| seen.insert((record.source.clone(), record.key.clone())));
                records
            })
            .prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
        second in 1_767_225_600_i64..1_777_000_000,
    ) {
        let policy = with_authority("email = [\"ad\"]");
        let now = jiff::Timestamp::from_second(second).unwrap();
        let before = answers(&policy, &records, now);
        let after = answers(&policy, &shuffled, now);
        prop_assert_eq!(&before, &after);
        if let Some(employment) = before.0 {
            let state = state_at(&employment, &[], 30, now);
            prop_assert_eq!(state.next_change.is_some_and(|next| next <= now), false);
        }
    }
}
