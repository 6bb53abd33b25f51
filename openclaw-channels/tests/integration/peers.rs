//! Other people's software, where it is installed.
//!
//! | variable | is |
//! |---|---|
//! | `OPENCLAW_PEER_COMMONMARK` | the cases of npm's `commonmark-spec` as a JSON file |
//! | `OPENCLAW_PEER_GRAMMY` | a `node_modules` folder with npm's `grammy` and `@grammyjs/auto-retry` |
//! | `OPENCLAW_PEER_PTB` | a Python that has PyPI's `python-telegram-bot` |
//!
//! Without its variable a test says that it was skipped, and adds the line to the file that
//! `OPENCLAW_SKIPS` names.

use std::{env, fs, io::Write as _, path::PathBuf};

/// What the variable names, or a skip that is told.
pub(crate) fn peer(test: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let line = format!("SKIPPED: {test}: {variable} is not set");
    eprintln!("{line}");
    if let Some(path) = env::var_os("OPENCLAW_SKIPS") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    None
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
