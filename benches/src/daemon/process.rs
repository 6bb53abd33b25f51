//! The daemon as a process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use openclaw_benches::Result;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// Builds the daemon as people do, and says where it is.
pub(crate) async fn build() -> Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--release", "-p", "openclaw-examples", "--example", "gateway"]);
    if !build.status().await?.success() {
        return Err("the daemon cannot be built".into());
    }
    // Both are in the folder of the same profile.
    let mut path = std::env::current_exe()?;
    path.set_file_name("examples");
    Ok(path.join("gateway"))
}

pub(crate) fn megabytes(file: &Path) -> Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let bytes = std::fs::metadata(file)?.len() as f64;
    Ok(bytes / 1024.0 / 1024.0)
}

/// A running daemon; it is killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    /// From its start until it said that it is ready.
    pub(crate) ready: Duration,
}

impl Daemon {
    pub(crate) async fn start(
        binary: &Path,
        home: &Path,
        model: &str,
        telegram: &str,
    ) -> Result<Self> {
        std::fs::create_dir_all(home)?;
        let config = json!({
            "store": {"plugin": "sqlite", "config": {"path": home.join("gateway.db")}},
            "plugins": [
                {"plugin": "openai", "config": {"base_url": model}},
                {"plugin": "telegram", "config": {
                    "token": {"env": "BENCH_TOKEN"},
                    "base_url": telegram,
                    "limits": {"rates": {}}
                }}
            ],
            "access": {"telegram:default": {"direct": "open"}},
            "provider_layers": [{"limit": {"concurrency": 64}}]
        });
        let file = home.join("openclaw.json");
        std::fs::write(&file, config.to_string())?;
        let began = Instant::now();
        let mut child = Command::new(binary)
            .arg("--config")
            .arg(file)
            .env("BENCH_TOKEN", "1:x")
            .env("RUST_LOG", "gateway=info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no log")?);
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            if log.read_line(&mut line).await? == 0 {
                return Err("the daemon did not get ready".into());
            }
        }
        let ready = began.elapsed();
        // What it says later is read, so that it never waits for its log.
        tokio::spawn(async move {
            let mut line = String::new();
            while log.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                eprint!("{line}");
                line.clear();
            }
        });
        Ok(Self { child, ready })
    }

    /// The number of the process, as text.
    pub(crate) fn id(&self) -> Result<String> {
        let id = self.child.id().ok_or("the daemon has ended")?;
        Ok(id.to_string())
    }

    /// How often it flushes while `work` is done; `None` if nothing here can count that.
    pub(crate) async fn syncs(
        &self,
        work: impl Future<Output = Result<impl Sized>>,
    ) -> Result<Option<u32>> {
        let id = self.id()?;
        let counting = Command::new("strace")
            .args(["-f", "-q", "-e", "trace=fdatasync,fsync", "-p", &id])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut counting) = counting else { return Ok(None) };
        let lines = BufReader::new(counting.stderr.take().ok_or("no output of strace")?);
        let count = tokio::spawn(async move {
            let (mut lines, mut count) = (lines.lines(), 0);
            while let Ok(Some(line)) = lines.next_line().await {
                // A call that others interrupt has a line for its end, too.
                count += u32::from(line.contains("sync("));
            }
            count
        });
        // It says nothing once it is attached.
        tokio::time::sleep(Duration::from_millis(500)).await;
        work.await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        counting.kill().await?;
        Ok(Some(count.await?))
    }
}
