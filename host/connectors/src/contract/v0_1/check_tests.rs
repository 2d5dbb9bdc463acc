use super::*;
use crate::component::checked;
use crate::engine;
use crate::test_components::{made, made_with};

fn compiled(bytes: &[u8]) -> Component {
    Component::from_binary(&engine::runtime().unwrap().engine, bytes).unwrap()
}

/// Why a component that compiles is refused.
fn refusal(bytes: &[u8]) -> String {
    match checked(compiled(bytes), "digest".to_owned(), bytes.len()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

/// What `signatures.txt` has to say of a component that exports everything.
fn signatures_of(component: &Component) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let (ty, engine) = (component.component_type(), component.engine());
    for (name, export) in ty.exports(engine) {
        let ComponentItem::ComponentInstance(instance) = export.ty else {
            continue;
        };
        let interface = name.strip_prefix(PACKAGE).unwrap().split('@').next().unwrap();
        writeln!(text, "{interface}").unwrap();
        for (function, item) in instance.exports(engine) {
            if let ComponentItem::ComponentFunc(ty) = item.ty {
                writeln!(text, "  {function}").unwrap();
                for line in signature::lines(&ty) {
                    writeln!(text, "    {line}").unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn the_signatures_are_those_of_the_contract() {
    let found = signatures_of(&compiled(&made("everything", str::to_owned)));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/contract/v0_1/signatures.txt");
    if std::env::var_os("USHER_UPDATE_SIGNATURES").is_some() {
        std::fs::write(file, &found).unwrap();
    }
    assert!(
        found == SIGNATURES,
        "wit/ says otherwise than {file}; set USHER_UPDATE_SIGNATURES=1 to write it anew"
    );
}

#[test]
fn a_component_of_the_contract_is_taken_with_and_without_the_optional_parts() {
    for world in ["base", "everything"] {
        let bytes = made(world, str::to_owned);
        checked(compiled(&bytes), "digest".to_owned(), bytes.len()).unwrap();
    }
}

#[test]
fn what_is_missing_is_named() {
    let message = refusal(&made("with-sql", str::to_owned));
    assert!(
        message.contains("exports nothing") && message.contains("usher:connector/connector@0.1.0"),
        "{message}"
    );
    let message = refusal(&made("with-entitlements", str::to_owned));
    assert!(
        message.contains("does not export the interface `usher:connector/connector@0.1.0`; it exports: usher:connector/entitlements@0.1.0"),
        "{message}"
    );
    let message = refusal(&made_with("base", "delete: func", "remove: func"));
    assert_eq!(
        message,
        "not a connector this host can use: its `usher:connector/accounts@0.1.0` lacks the function `delete`, which contract 0.1.0 has; an interface is \
         exported whole or not at all"
    );
}

#[test]
fn a_part_of_an_optional_interface_is_not_enough() {
    let message = refusal(&made_with("everything", "held: func", "holds: func"));
    assert!(
        message.contains("`usher:connector/entitlements@0.1.0` lacks the function `held`"),
        "{message}"
    );
}

#[test]
fn another_type_is_named_with_what_was_expected_and_found() {
    let message = refusal(&made_with("base", "deadline-ms: u32", "deadline-ms: u64"));
    assert_eq!(
        message,
        "not a connector this host can use: its function `check` of `usher:connector/connector@0.1.0` has another type than contract 0.1.0 says: \
         expected `call.deadline-ms: u32`, found `call.deadline-ms: u64`; build it against the wit/ folder of contract 0.1.0"
    );
    let message = refusal(&made_with(
        "base",
        "get: func(call: call, id: string)",
        "get: func(call: call)",
    ));
    assert!(
        message.contains("its function `get`")
            && message.contains("expected `id: string`, found `result ok?.id: string`"),
        "{message}"
    );
    let message = refusal(&made_with(
        "base",
        "        rate-limited,",
        "        rate-limited,\n        tired,",
    ));
    assert!(message.contains("error.kind: variant"), "{message}");
}

#[test]
fn another_version_of_the_contract_is_named() {
    for version in ["0.2.0", "1.0.0"] {
        let other = made("base", |text| {
            text.replace(
                "package usher:connector@0.1.0",
                &format!("package usher:connector@{version}"),
            )
        });
        let message = refusal(&other);
        assert!(
            message.contains(&format!(
                "exports `connector` of version {version} of the contract, and this host knows 0.1.0"
            )),
            "{message}"
        );
    }
    // One of the parts is of another version: it would be silently without entitlements.
    let mixed = ["usher:connector/entitlements@0.2.0".to_owned()];
    let error = check_missing("usher:connector/entitlements@0.1.0", "entitlements", &mixed).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("exports `entitlements` of version 0.2.0"),
        "{error}"
    );
}

#[test]
fn an_import_nobody_offers_is_named_with_advice() {
    let newer = made("base", |text| {
        text.replace("usher:host@0.1.0", "usher:host@0.2.0")
            .replace("log@0.1.0", "log@0.2.0")
            .replace("sql@0.1.0", "sql@0.2.0")
    });
    let message = refusal(&newer);
    assert!(
        message.contains("it imports `usher:host/log@0.2.0`, of which this host offers version 0.1.0 and not 0.2.0; rebuild it"),
        "{message}"
    );
    let unknown = made("base", |text| {
        text.replace(
            "interface log {",
            "interface telepathy { think: func(); }\ninterface log {",
        )
        .replace(
            "import usher:host/log@0.1.0;\n    export connector",
            "import usher:host/telepathy@0.1.0;\n    export connector",
        )
    });
    let message = refusal(&unknown);
    assert!(
        message.contains("it imports `usher:host/telepathy@0.1.0`, which this host does not offer; it has usher:connector/types@0.1.0"),
        "{message}"
    );
    for (name, advice) in [
        ("wasi:http/types@0.3.0", "wasm32-wasip2"),
        ("wasi:keyvalue/store@0.2.0-draft", "harmless part of WASI 0.2"),
        ("evil", "no host of connectors offers"),
    ] {
        let why = crate::link::why_unknown(name);
        assert!(why.contains(advice), "{name}: {why}");
    }
}

/// A component whose instance needs these, besides what makes it a connector (which is looked at first, so only the error of the engine counts here).
fn needing(core: &str) -> wasmtime::Result<Component> {
    let bytes = wat::parse_str(format!("(component {core})")).unwrap();
    Component::from_binary(&engine::runtime().unwrap().engine, &bytes)
}

#[test]
fn more_than_the_pool_has_for_one_call_is_refused_before_it_runs() {
    let instances = "(core instance (instantiate $m))".repeat(65);
    let error = needing(&format!("(core module $m) {instances}")).unwrap_err();
    assert!(
        format!("{error:#}").contains("65 core module instances"),
        "{error:#}"
    );
    for core in [
        format!(
            "(core module $m {}) (core instance (instantiate $m))",
            "(memory 1)".repeat(5)
        ),
        format!(
            "(core module $m {}) (core instance (instantiate $m))",
            "(table 1 funcref)".repeat(17)
        ),
        "(core module $m (table 100001 funcref)) (core instance (instantiate $m))".to_owned(),
    ] {
        if let Ok(component) = needing(&core) {
            let error = crate::component::check_resources(&component)
                .unwrap_err()
                .to_string();
            assert!(error.contains("at most"), "{core}: {error}");
        }
    }
}
