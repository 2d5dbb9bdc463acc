//! Files people name on the command line: read whole, with a limit; written whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::failure::Failure;

/// Largest policy or targets document, in bytes: ten thousand roles.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// Largest file of people, in bytes: some five million people with a dozen columns.
pub(crate) const PEOPLE_BYTES_MAX: u64 = 1 << 30;

/// Largest connector read, in bytes: above the sandbox's own limit, which then says why.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// How a file is named in messages and in the records.
pub(crate) fn origin(path: &Path) -> String {
    if is_stdin(path) {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// All bytes of a file; of stdin when it is `-`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::file("read", Path::new(&origin(path)), &error);
    if is_stdin(path) {
        return read_limited(io::stdin().lock(), path, bytes_max);
    }
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Failure::new(
            Exit::BadInput,
            format!("cannot read {}: it is a folder", path.display()),
        ));
    }
    read_limited(file, path, bytes_max)
}

fn read_limited(reader: impl Read, path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::file("read", Path::new(&origin(path)), &error))?;
    if bytes.len() as u64 > bytes_max {
        let message = format!(
            "{} has more than {bytes_max} bytes, the most that is read",
            origin(path)
        );
        return Err(Failure::new(Exit::BadInput, message));
    }
    Ok(bytes)
}

/// All text of a file.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, bytes_max)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Failure::new(Exit::BadInput, format!("{}:{line}: not UTF-8 text", origin(path)))
            .advice("save the file as UTF-8")
    })
}

/// Writes a file that only its owner can read, whole or not at all: plans hold personal data.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // Nothing is lost if this fails too; the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
        Failure::file("write", path, &error)
    })
}

/// Adds a line to a file that only its owner can read, and waits until it is on the disk.
pub(crate) fn append_line(path: &Path, line: &str) -> Result<(), Failure> {
    let append = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    };
    append().map_err(|error| Failure::file("write", path, &error))
}

/// Lines on their way to stdout or into a new file that only its owner can read.
pub(crate) struct Lines {
    out: io::BufWriter<Box<dyn io::Write>>,
    path: Option<PathBuf>,
}

impl Lines {
    /// Into a new file, or to stdout.
    pub(crate) fn to(path: Option<&Path>) -> Result<Self, Failure> {
        let out: Box<dyn io::Write> = match path {
            None => Box::new(io::stdout().lock()),
            Some(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path);
                Box::new(file.map_err(|error| Failure::file("make", path, &error))?)
            }
        };
        Ok(Self {
            out: io::BufWriter::new(out),
            path: path.map(Path::to_owned),
        })
    }

    /// Writes a line. `false`: who reads has seen enough.
    pub(crate) fn write(&mut self, line: &str) -> Result<bool, Failure> {
        let written = self
            .out
            .write_all(line.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"));
        self.told(written)
    }

    /// All of it is out.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.out.flush();
        self.told(flushed).map(|_| ())
    }

    fn told(&self, result: io::Result<()>) -> Result<bool, Failure> {
        match (result, &self.path) {
            (Ok(()), _) => Ok(true),
            (Err(error), None) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            (Err(error), None) => Err(Failure::unexpected(&error)),
            (Err(error), Some(path)) => Err(Failure::file("write", path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_written_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "two");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        assert_eq!(read(&path, 10).unwrap_err().exit(), Exit::BadInput);
        assert_eq!(read(folder.path(), 10).unwrap_err().exit(), Exit::BadInput);
        std::fs::write(&path, b"a\nb\xff").unwrap();
        let failure = read_text(&path, 10).unwrap_err();
        assert_eq!(failure.exit(), Exit::BadInput);
        assert!(
            failure
                .text(&crate::render::ink::Ink::plain())
                .contains("policy.toml:2: not UTF-8")
        );
        assert_eq!(read(&path, 3).unwrap_err().exit(), Exit::BadInput);
    }
}
