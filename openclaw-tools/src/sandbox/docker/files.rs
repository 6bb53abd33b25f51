//! Files in and out of a box.
//!
//! A program in the box reads and writes them, as who runs there, so that a path can lead no further than
//! boxed code could go itself. The engine's own copying is not used: it acts as root of the host, follows
//! paths that boxed code may change meanwhile, and does not see folders in memory.

use bytes::Bytes;
use openclaw_core::{Error, ErrorKind, Result, sandbox::SandboxPath};

use super::{
    exec::{self, Whole},
    held::Held,
};

/// What the program says; the codes are in `files.py`.
const PROGRAM: &str = include_str!("files.py");
/// Room for what it says when it fails.
const WORDS: u64 = 1024;

pub(super) async fn read(held: &Held, path: &SandboxPath, max_bytes: u64) -> Result<Bytes> {
    let done = run(held, "read", path, max_bytes, Bytes::new(), max_bytes.saturating_add(WORDS));
    let done = done.await?;
    // Whoever shares the box may have put something in between.
    if done.code == 0 && done.stdout.len() as u64 > max_bytes {
        return Err(too_long(path, max_bytes, ""));
    }
    verdict(&done, path, max_bytes)?;
    Ok(done.stdout)
}

pub(super) async fn write(held: &Held, path: &SandboxPath, bytes: Bytes) -> Result<()> {
    let length = bytes.len() as u64;
    verdict(&run(held, "write", path, length, bytes, WORDS).await?, path, length)
}

async fn run(
    held: &Held,
    what: &str,
    path: &SandboxPath,
    number: u64,
    stdin: Bytes,
    most: u64,
) -> Result<Whole> {
    let number = number.to_string();
    let argv = ["python3", "-I", "-S", "-c", PROGRAM, what, path.as_str(), &number];
    exec::whole(held, argv.map(str::to_owned).to_vec(), stdin, most).await
}

fn verdict(done: &Whole, path: &SandboxPath, number: u64) -> Result<()> {
    let why = String::from_utf8_lossy(&done.stderr);
    let (kind, text) = match done.code {
        0 if !done.cut => return Ok(()),
        10 => (ErrorKind::Denied, format!("{path} cannot be used: {why}")),
        11 => (ErrorKind::NotFound, format!("there is no file {path}: {why}")),
        12 => return Err(too_long(path, number, &why)),
        13 => (ErrorKind::Exhausted, format!("{path} does not fit into the box: {why}")),
        code => {
            let text = format!("the box's own program for files failed with {code}: {why}");
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
    };
    Err(Error::new(kind, text.clone()).with_public(text))
}

fn too_long(path: &SandboxPath, most: u64, why: &str) -> Error {
    let text = format!("{path} is longer than the {most} bytes that are read: {why}");
    Error::new(ErrorKind::Exhausted, text.clone()).with_public(text)
}
