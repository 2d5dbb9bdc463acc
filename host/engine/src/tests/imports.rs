//! Bad input: each a clear answer with line and column, and never half a file.

use std::fmt::Write as _;

use proptest::prelude::*;
use usher_lifecycle::attributes::digest;
use usher_store::Change;

use super::*;

fn show(report: &ImportReport) -> String {
    let mut text = match &report.refused {
        None => "accepted".to_owned(),
        Some(refusal) => format!(
            "refused{}: {}",
            if refusal.may_be_overridden { " (guard)" } else { "" },
            refusal.reason
        ),
    };
    let _ = write!(
        text,
        "\nrows {} new {} changed {} unchanged {} set aside {} missing {}",
        report.rows, report.new, report.changed, report.unchanged, report.set_aside, report.missing
    );
    for problem in &report.problems {
        let _ = write!(text, "\n{problem}");
    }
    text
}

/// Each file is given to a world of its own in which two people are known.
#[tokio::test]
async fn the_catalogue_of_bad_files() {
    let good = "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n";
    let row = |row: &str| format!("{HEADER}{good}{row}\n").into_bytes();
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("byte-order mark, CRLF, quoted newline", {
            let text =
                format!("\u{FEFF}{HEADER}{good}3,\"Zo\n\"\"e\"\"\",,permanent,,,,,\n").replace('\n', "\r\n");
            text.into_bytes()
        }),
        ("empty", Vec::new()),
        ("header only", HEADER.as_bytes().to_vec()),
        (
            "UTF-16",
            "\u{FEFF}id,given\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        ("workbook", b"PK\x03\x04\x14\0\x06\0".to_vec()),
        (
            "missing and double columns",
            b"ID,given,given,family,contract,start,end,away,back\n1,A,B,,,,,,\n".to_vec(),
        ),
        ("wrong delimiter", HEADER.replace(',', ";").into_bytes()),
        (
            "never closed quote",
            row("3,\"Cy,,permanent,,,,,\n4,Di,,permanent,,,,,"),
        ),
        (
            "undecodable",
            [row("3,Cy,M"), b"\xFCller,permanent,,,,,\n".to_vec()]
                .concat()
                .replace_tail(),
        ),
        (
            "duplicate keys",
            row("3,Cy,,permanent,,,,,\n\n3,Cyd,,permanent,,,,,\n1,Ann,,permanent,,,,,"),
        ),
        ("empty key", row(" ,Cy,,permanent,,,,,")),
        ("ragged", row("3,Cy,permanent\n4,Di,,permanent,,,,,,,")),
        (
            "impossible dates",
            row("3,Cy,,permanent,2026-02-30,31.12.2026,,,"),
        ),
        (
            "end before start",
            row("3,Cy,,permanent,2026-03-01,2026-02-01,2026-05-02,2026-05-01,"),
        ),
        ("unknown zone", row("3,Cy,,permanent,,,,,Mars/Olympus")),
        ("required", row("3,,,permanent,,,,,")),
        ("NUL", row("3,C\0y,,permanent,,,,,")),
        (
            "over-long",
            row(&format!("3,{},,permanent,,,,,", "x".repeat(70_000))),
        ),
        (
            "control characters in a message",
            row("3,Cy,,permanent,\u{1b}[31mred,,,,"),
        ),
    ];
    let mut shown = String::new();
    for (what, bytes) in files {
        let world = World::new(1).await;
        let engine = world.engine().await;
        import(&engine, good).await;
        let report = try_import(&engine, &bytes, false).await.unwrap();
        if report.refused.is_some() {
            let versions = engine.preview().await.unwrap();
            assert_eq!(versions.identities, 2, "{what}: a refused file changes nothing");
        }
        let _ = writeln!(shown, "## {what}\n{}\n", show(&report));
    }
    insta::assert_snapshot!(shown);
}

trait ReplaceTail {
    fn replace_tail(self) -> Self;
}

impl ReplaceTail for Vec<u8> {
    /// Takes out the line break between the two halves of the row.
    fn replace_tail(mut self) -> Self {
        let at = self.windows(2).rposition(|pair| pair == b"\n\xFC").unwrap();
        self.remove(at);
        self
    }
}

#[tokio::test]
async fn guards_refuse_and_a_person_may_accept() {
    let world = World::new(2).await;
    let engine = world.engine().await;
    let many: String = (0..20).map(|n| format!("{n},P{n},,permanent,,,,,\n")).collect();
    import(&engine, &many).await;
    let tenth = format!("{HEADER}0,P0,,permanent,,,,,\n1,P1,,permanent,,,,,\n");
    let refused = try_import(&engine, tenth.as_bytes(), false).await.unwrap();
    insta::assert_snapshot!(refused.refused.unwrap().reason);
    let accepted = try_import(&engine, tenth.as_bytes(), true).await.unwrap();
    assert_eq!((accepted.refused, accepted.missing), (None, 18));
    let bad: String = (0..20)
        .map(|n| format!("{n},P{n},,permanent,{},,,,\n", if n < 13 { "soon" } else { "" }))
        .collect();
    let refused = import(&engine, &bad).await;
    insta::assert_snapshot!(refused.refused.unwrap().reason);
    assert_eq!(
        engine.status().await.unwrap().imports.len(),
        4,
        "refused files are remembered"
    );
}

/// Newcomers do not make up for people who are gone: a file in which every key is written differently would end and double everybody.
#[tokio::test]
async fn newcomers_do_not_stand_for_those_who_are_gone() {
    let world = World::new(5).await;
    let engine = world.engine().await;
    let file = |key: &dyn Fn(u32) -> String| -> String {
        (1..=40)
            .map(|n| format!("{},P{n},,permanent,,,,,\n", key(n)))
            .collect()
    };
    import(&engine, &file(&|n| format!("{n:05}"))).await;
    let refused = import(&engine, &file(&|n| n.to_string())).await;
    assert_eq!((refused.new, refused.missing), (40, 40));
    let refusal = refused.refused.unwrap();
    assert!(refusal.may_be_overridden);
    insta::assert_snapshot!(refusal.reason, @"40 of the 40 people present are not in the file: more than shrink-max-percent = 60 allows. New in the same file: 40. Have the keys changed (leading zeros dropped, another column)? Then correct the file, or these people are ended and made a second time. If that many people really left, accept it by overriding the guards");

    // 24 of 40 are gone: as many as may be. One more is too many, however many are new.
    let with_gone = |gone: u32| {
        file(&|n| {
            if n <= gone {
                format!("n{n}")
            } else {
                format!("{n:05}")
            }
        })
    };
    assert!(import(&engine, &with_gone(25)).await.refused.is_some());
    assert_eq!(import(&engine, &with_gone(24)).await.refused, None);
}

/// A bad row is a sign that its person, if it can be told who, is there; if not, it may be any of the missing.
#[tokio::test]
async fn people_in_bad_rows_are_not_gone_for_the_guard() {
    let world = World::new(6).await;
    let engine = world.engine().await;
    let people = |rows: std::ops::Range<u32>, start: &str| -> String {
        rows.map(|n| format!("{n},P{n},,permanent,{start},,,,\n"))
            .collect()
    };
    import(&engine, &people(0..20, "")).await;
    let known = people(0..5, "") + &people(5..10, "soon");
    let report = import(&engine, &known).await;
    assert_eq!((report.refused, report.missing), (None, 10));
    let nobody = |bad: usize| people(0..6, "") + &",Cy,,permanent,,,,,\n".repeat(bad);
    assert_eq!(import(&engine, &nobody(2)).await.refused, None);
    let refusal = import(&engine, &nobody(1)).await.refused.unwrap();
    insta::assert_snapshot!(refusal.reason, @"14 of the 20 people present are not in the file: more than shrink-max-percent = 60 allows, even if each bad row that does not tell whose it is (1) is one of theirs. If that many people really left, accept it by overriding the guards");
}

/// Absences count only in a row: a bad row in between says that the person was there.
#[tokio::test]
async fn a_bad_row_between_two_absences_starts_the_count_again() {
    let world = World::new(7).await;
    let engine = world.engine().await;
    let others = "2,Bo,,permanent,,,,,\n3,Cy,,permanent,,,,,\n";
    import(&engine, &format!("1,Ana,,permanent,,,,,\n{others}")).await;
    apply(&engine, 0).await;
    for bad in [
        "1,Ana,,permanent,soon,,,,\n",
        "1,Ana,,permanent,,,,,\n1,Anna,,permanent,,,,,\n",
    ] {
        let gone = import(&engine, &format!("{others}\n")).await;
        assert_eq!((gone.missing, gone.confirmed_missing), (1, 0), "before {bad}");
        let aside = import(&engine, &format!("{bad}{others}")).await;
        assert_eq!((aside.missing, aside.returned), (0, 0));
        assert!(aside.set_aside > 0);
    }
    apply(&engine, 0).await;
    assert!(world.app.accounts()["1"].enabled);

    // Twice in a row is an absence, and a bad row does not undo what is confirmed.
    import(&engine, others).await;
    let gone = import(&engine, &format!("{others}\n")).await;
    assert_eq!((gone.missing, gone.confirmed_missing), (1, 1));
    import(&engine, &format!("1,Ana,,permanent,soon,,,,\n{others}")).await;
    apply(&engine, 0).await;
    assert!(!world.app.accounts()["1"].enabled);
}

/// The report says plainly why nobody's absence was counted.
#[tokio::test]
async fn the_same_bytes_again_say_why_no_absence_was_counted() {
    let world = World::new(8).await;
    let engine = world.engine().await;
    import(&engine, "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n").await;
    import(&engine, "2,Bo,,permanent,,,,,\n").await;
    let again = import(&engine, "2,Bo,,permanent,,,,,\n").await;
    assert_eq!((again.missing, again.confirmed_missing), (1, 0));
    let json = serde_json::to_value(&again).unwrap();
    insta::assert_snapshot!(json["absence-not-counted"].as_str().unwrap(), @"this is the same file as the last one: it is not one more snapshot");
}

#[tokio::test]
async fn a_person_in_a_bad_row_stays_as_they_were() {
    let world = World::new(3).await;
    let engine = world.engine().await;
    import(
        &engine,
        "1,Ana,,permanent,,,,,\n2,Bo,,permanent,,,,,\n3,Cy,,permanent,,,,,\n",
    )
    .await;
    apply(&engine, 0).await;
    for round in ["soon", "later", "never"] {
        let report = import(
            &engine,
            &format!("1,Ana,,permanent,,,,,\n2,Bo,,permanent,{round},,,,\n3,Cy,,permanent,,,,,\n"),
        )
        .await;
        assert_eq!((report.set_aside, report.missing, report.unchanged), (1, 0, 2));
    }
    apply(&engine, 0).await;
    assert!(world.app.accounts()["2"].enabled);

    // A row of whom nobody can tell whose it is may be anybody's who is missing.
    for round in ["x", "y", "z"] {
        let report = import(
            &engine,
            &format!("1,Ana,,permanent,,,,,\n,{round},,permanent,,,,,\n3,Cy,,permanent,,,,,\n"),
        )
        .await;
        assert_eq!((report.missing, report.confirmed_missing), (1, 0));
        assert!(report.absence_not_counted.is_some());
    }
    apply(&engine, 0).await;
    assert!(world.app.accounts()["2"].enabled);
}

#[tokio::test]
async fn an_unknown_source_is_named_with_those_there_are() {
    let world = World::new(4).await;
    let engine = world.engine().await;
    let source = name("hrx");
    let request = ImportRequest {
        source: &source,
        origin: "x",
        bytes: b"x",
        override_guards: false,
        actor: person(),
    };
    let error = engine.import(request, &NoProgress).await.unwrap_err();
    insta::assert_snapshot!(error, @"the policy has no source `hrx`; it has: hr");
}

fn policy() -> usher_lifecycle::policy::Policy {
    usher_lifecycle::policy::parse("policy.toml", POLICY).unwrap()
}

proptest! {
    /// Whatever the bytes, a file is read to its end without a panic, and what is good is told the same twice.
    #[test]
    fn any_bytes_are_read(bytes in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2_000),
        "[a-z0-9,\"\r\n; \u{0}é-]{0,400}".prop_map(|text| format!("{HEADER}{text}").into_bytes()),
    ]) {
        let policy = policy();
        let source = &policy.sources[0];
        let _ = crate::import::read_records(&bytes, source, &TimeZoneDatabase::bundled());
    }

    /// The digest of a row is the digest of its attributes, so that an unchanged row is known without making a map.
    #[test]
    fn digests_are_those_of_the_attributes(
        rows in proptest::collection::btree_map("[a-z0-9]{1,8}", "[\\PC&&[^\"\u{FFFD}]]{0,20}", 1..20)
    ) {
        let mut text = HEADER.to_owned();
        for (key, given) in &rows {
            let _ = writeln!(text, "{key},\"{given}x\",Ünal,permanent,2026-03-02,,,,Asia/Tokyo");
        }
        let policy = policy();
        let records = crate::import::read_records(text.as_bytes(), &policy.sources[0], &TimeZoneDatabase::bundled()).unwrap();
        prop_assert_eq!(records.len(), rows.len());
        for record in records {
            let Change::Upsert { attributes, digest: told, .. } = record.change else { panic!("not an upsert") };
            prop_assert_eq!(digest(&attributes), told);
        }
    }
}
