//! Times and sizes.

use std::{fmt, fs::File, io::Write as _, path::Path, time::Duration};

use crate::Result;

/// How long something took, many times.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds all but the first: that one was not warm.
    pub fn extend(&mut self, times: Self) {
        self.0.extend(times.0.into_iter().skip(1));
    }

    /// The median in milliseconds.
    pub fn p50(&self) -> f64 {
        self.quantile(0.50)
    }

    /// What one in a hundred exceeds, in milliseconds.
    pub fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of at most some thousands"
        )]
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(0.0, |t| t.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms   p99 {:.2} ms", self.p50(), self.p99())
    }
}

/// What a sync of one page costs on the disk that holds `folder`.
///
/// # Errors
/// The disk failed.
pub fn syncs(folder: &Path, count: u32) -> Result<Times> {
    let mut file = File::create(folder.join("sync"))?;
    let mut times = Times::default();
    for _ in 0..count {
        file.write_all(&[7; 4096])?;
        let began = std::time::Instant::now();
        file.sync_data()?;
        times.add(began.elapsed());
    }
    Ok(times)
}

/// This process, for [`rss_mb`] and [`Cpu`].
pub const OURSELVES: &str = "self";

/// The memory that a process holds, in megabytes.
///
/// # Errors
/// There is no such process.
pub fn rss_mb(process: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kb: f64 = line.split_whitespace().nth(1).ok_or("no figure in VmRSS")?.parse()?;
    Ok(kb / 1024.0)
}

/// The processor time that a process took from a moment on, on all cores, whatever else the machine
/// does.
pub struct Cpu {
    process: String,
    before: Duration,
}

impl Cpu {
    /// From now on.
    ///
    /// # Errors
    /// There is no such process.
    pub fn start(process: &str) -> Result<Self> {
        Ok(Self { process: process.to_owned(), before: cpu(process)? })
    }

    /// What each of `turns` took of it.
    ///
    /// # Errors
    /// The process has ended.
    pub fn a_turn(&self, turns: u32) -> Result<String> {
        let each = (cpu(&self.process)? - self.before) / turns;
        Ok(format!("CPU {:.2} ms a turn", each.as_secs_f64() * 1e3))
    }
}

/// User and system time of a process, which the kernel counts in hundredths of a second.
fn cpu(process: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before them may have spaces in it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
