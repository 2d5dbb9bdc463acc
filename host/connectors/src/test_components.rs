//! Components for tests, made from the text of interfaces: each function of them traps.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// A component of a world of this repository's `wit/` folder, after `edit` changed the texts of its files.
pub(crate) fn made(world: &str, edit: impl Fn(&str) -> String) -> Vec<u8> {
    let edited = tempfile::tempdir().unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    copy(&original, edited.path(), &edit);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(edited.path()).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

/// With one text in place of another, which must be there.
pub(crate) fn made_with(world: &str, old: &str, new: &str) -> Vec<u8> {
    let found = std::cell::Cell::new(false);
    let bytes = made(world, |text| {
        found.set(found.get() || text.contains(old));
        text.replace(old, new)
    });
    assert!(found.get(), "`{old}` is not in wit/");
    bytes
}

fn copy(from: &Path, to: &Path, edit: &impl Fn(&str) -> String) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to, edit);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(to, edit(&text)).unwrap();
        }
    }
}
