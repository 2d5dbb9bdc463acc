//! Components no compiler would make: the hostile guest with a core module added that runs when it is instantiated, before anything
//! of the contract is called.

use usher_connectors::LoadError;
use usher_lifecycle::connector::{CallError, ErrorKind};
use usher_lifecycle::targets::{Limits, Target};

use super::behaving;
use crate::support::{noop, try_load_bytes};
use usher_connectors::Connector as _;

/// Section of a component that holds a core module.
const CORE_MODULE: u8 = 1;
/// Section of a component that instantiates core modules.
const CORE_INSTANCE: u8 = 2;

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_leb(bytes: &[u8], at: &mut usize) -> u32 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(body.len() as u32), body].concat()
}

/// A core module of one table and one memory whose start function is this code.
fn module(code: &[u8]) -> Vec<u8> {
    let body = [&[0][..], code, &[0x0b]].concat();
    let code = [&[1][..], &leb(body.len() as u32), &body].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(4, &[1, 0x70, 0, 0]),
        section(5, &[1, 0, 1]),
        section(8, &[0]),
        section(10, &code),
    ]
    .concat()
}

/// The hostile guest with this core module, instantiated so many times.
fn with_module(module: &[u8], instances: u32) -> Vec<u8> {
    let mut component = usher_tests::component("usher-guest-hostile");
    // The new module's index: as many as there are already at the top.
    let (mut at, mut modules) = (8, 0);
    while at < component.len() {
        let id = component[at];
        at += 1;
        let length = read_leb(&component, &mut at) as usize;
        at += length;
        modules += u32::from(id == CORE_MODULE);
    }
    let one = [&[0][..], &leb(modules), &[0]].concat();
    let all = [leb(instances), one.repeat(instances as usize)].concat();
    component.extend(section(CORE_MODULE, module));
    component.extend(section(CORE_INSTANCE, &all));
    component
}

async fn refused(bytes: Vec<u8>, target: &Target) -> LoadError {
    let error = try_load_bytes(bytes, target).await.err().expect("refused");
    assert!(noop().await.check().await.unwrap().steps.is_empty());
    error
}

fn limit(error: LoadError) -> String {
    match error {
        LoadError::Call {
            error:
                CallError {
                    kind: ErrorKind::LimitExceeded(limit),
                    ..
                },
            ..
        } => limit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_table_bomb_ends_at_its_limit() {
    // loop { table.grow(null, 10_000) }
    let code = [
        0x03, 0x40, 0xd0, 0x70, 0x41, 0x90, 0xce, 0x00, 0xfc, 0x0f, 0x00, 0x1a, 0x0c, 0x00, 0x0b,
    ];
    let error = refused(with_module(&module(&code), 1), &behaving("")).await;
    assert_eq!(limit(error), "100000 table elements");
}

#[tokio::test]
async fn a_memory_bomb_of_many_memories_ends_at_its_limit() {
    // memory.grow(200); two of them are over the limit together only.
    let code = [0x41, 0xc8, 0x01, 0x40, 0x00, 0x1a];
    let mut target = behaving("");
    target.limits = Limits {
        memory_mib: 20,
        ..Limits::default()
    };
    let error = refused(with_module(&module(&code), 2), &target).await;
    assert_eq!(limit(error), "memory-mib = 20");
}

#[tokio::test]
async fn a_loop_in_the_start_function_ends_at_the_computing_time() {
    // loop { br 0 }
    let code = [0x03, 0x40, 0x0c, 0x00, 0x0b];
    let error = refused(with_module(&module(&code), 1), &behaving("")).await;
    assert_eq!(limit(error), "cpu-ms = 100");
}

#[tokio::test]
async fn more_instances_than_the_pool_gives_one_component_are_refused() {
    for instances in [100, 5_000] {
        let error = refused(with_module(&module(&[]), instances), &behaving("")).await;
        assert!(
            !matches!(
                &error,
                LoadError::Call {
                    error: CallError {
                        kind: ErrorKind::Busy,
                        ..
                    },
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
