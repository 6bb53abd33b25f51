//! Times and sizes.

use std::{fmt, fs::File, io::Write as _, path::Path, time::Duration};

use crate::Result;

/// How long something took, many times.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds all but the first: that one was not warm.
    pub(crate) fn extend(&mut self, times: Self) {
        self.0.extend(times.0.into_iter().skip(1));
    }

    /// The median in milliseconds.
    pub(crate) fn p50(&self) -> f64 {
        self.quantile(0.50)
    }

    /// What one in a hundred exceeds, in milliseconds.
    pub(crate) fn p99(&self) -> f64 {
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
pub(crate) fn syncs(folder: &Path, count: u32) -> Result<Times> {
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

/// The memory that this process holds, in megabytes.
pub(crate) fn rss_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kb: f64 = line.split_whitespace().nth(1).ok_or("no figure in VmRSS")?.parse()?;
    Ok(kb / 1024.0)
}

/// The processor time that this process took from a moment on: that of the gateway and this driver, on
/// all cores, whatever else the machine does.
pub(crate) struct Cpu(Duration);

impl Cpu {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self(cpu()?))
    }

    /// What each of `turns` took of it.
    pub(crate) fn a_turn(&self, turns: u32) -> Result<String> {
        Ok(format!("CPU {:.2} ms a turn", ((cpu()? - self.0) / turns).as_secs_f64() * 1e3))
    }
}

/// User and system time of this process, which the kernel counts in hundredths of a second.
fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before them may have spaces in it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
