use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

fn engine() -> &'static Engine {
    &crate::engine::runtime().unwrap().engine
}

fn code() -> Vec<u8> {
    crate::engine::for_compiling()
        .unwrap()
        .precompile_component(EMPTY)
        .unwrap()
}

fn open(folder: &Path) -> NativeCache {
    NativeCache::open(folder.join("native"), CodeKey::new(&[1; 32]))
        .unwrap()
        .unwrap()
}

fn path(cache: &NativeCache, digest: &str) -> PathBuf {
    cache.folder.join(NativeCache::name(engine(), digest))
}

#[test]
fn code_of_a_compiling_process_comes_back_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    assert!(cache.get(engine(), "d1").is_none());
    cache.put(engine(), "d1", &code());
    assert!(cache.get(engine(), "d1").is_some());
    assert!(cache.get(engine(), "d2").is_none());
    assert!(open(folder.path()).get(engine(), "d1").is_some());
}

#[test]
fn foreign_files_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    cache.put(engine(), "d1", &code());
    let file = path(&cache, "d1");
    let good = fs::read(&file).unwrap();
    let own = |content: &[u8]| {
        let _ = fs::remove_file(&file);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        cache.get(engine(), "d1").is_some()
    };
    assert!(own(&good), "the same bytes written again");
    // Altered anywhere, cut off anywhere, or longer.
    for at in [0, CHECKSUM_BYTES, good.len() / 2, good.len() - 1] {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert!(!own(&altered), "bit flipped at {at}");
        assert!(!own(&good[..at]), "cut at {at}");
    }
    assert!(!own(&[&good[..], b"x"].concat()));
    assert!(!own(b""));
    // Another host's, whole as it is.
    let foreign = NativeCache::open(folder.path().join("foreign"), CodeKey::new(&[2; 32]))
        .unwrap()
        .unwrap();
    foreign.put(engine(), "d1", &code());
    assert!(!own(&fs::read(path(&foreign, "d1")).unwrap()));
    // Ours, but the code of another component.
    assert!(own(&good));
    fs::copy(&file, path(&cache, "d2")).unwrap();
    assert!(cache.get(engine(), "d2").is_none());
}

#[test]
fn files_others_could_have_written_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    cache.put(engine(), "d1", &code());
    let file = path(&cache, "d1");
    for mode in [0o620, 0o602, 0o640, 0o666] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert!(cache.get(engine(), "d1").is_none(), "{mode:o}");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(cache.get(engine(), "d1").is_some());
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert!(cache.get(engine(), "d1").is_none(), "a symbolic link");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(cache.get(engine(), "d1").is_none(), "a folder");
}

#[test]
fn code_of_another_engine_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(false);
    let other = Engine::new(&config).unwrap();
    let foreign = other.precompile_component(EMPTY).unwrap();
    assert_ne!(NativeCache::name(&other, "d1"), NativeCache::name(engine(), "d1"));
    // Even where it lies under our engine's name, with a checksum that is right.
    cache.put(engine(), "d1", &foreign);
    assert!(cache.get(engine(), "d1").is_none());
}

#[test]
fn the_longest_unused_code_makes_room_and_what_was_never_finished_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut cache = open(folder.path());
    let code = code();
    cache.bytes_max = 2 * (code.len() + CHECKSUM_BYTES) as u64;
    let age = |path: &Path, seconds| {
        let file = File::options().append(true).open(path).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - Duration::from_secs(seconds)).unwrap();
    };
    let unfinished = cache.folder.join(".new-left-behind");
    let under_way = cache.folder.join(".new-under-way");
    fs::write(&unfinished, "").unwrap();
    fs::write(&under_way, "").unwrap();
    age(&unfinished, 7_200);
    for digest in ["d1", "d2"] {
        cache.put(engine(), digest, &code);
        age(&path(&cache, digest), 100);
    }
    // Using it makes it young.
    assert!(cache.get(engine(), "d1").is_some());
    cache.put(engine(), "d3", &code);
    let here = |digest: &str| path(&cache, digest).exists();
    assert_eq!((here("d1"), here("d2"), here("d3")), (true, false, true));
    assert_eq!((unfinished.exists(), under_way.exists()), (false, true));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    fs::remove_dir(&cache.folder).unwrap();
    cache.put(engine(), "d1", &code());
    assert!(cache.warned.load(Ordering::Relaxed));
    assert!(cache.get(engine(), "d1").is_none());
}

#[test]
fn two_that_write_at_once_leave_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other, code) = (open(folder.path()), open(folder.path()), code());
    std::thread::scope(|scope| {
        for cache in [&one, &other] {
            scope.spawn(|| {
                for _ in 0..20 {
                    cache.put(engine(), "d1", &code);
                    assert!(cache.get(engine(), "d1").is_some());
                }
            });
        }
    });
    assert_eq!(fs::read_dir(&one.folder).unwrap().count(), 1);
}

#[test]
fn a_folder_others_can_enter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let key = CodeKey::new(&[1; 32]);
    let error = NativeCache::open(folder.path().to_owned(), key)
        .unwrap_err()
        .to_string();
    assert!(error.contains("chmod 700"), "{error}");
}
