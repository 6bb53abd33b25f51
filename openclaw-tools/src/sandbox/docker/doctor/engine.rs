//! What is known of an engine's version.

use openclaw_core::Result;

use super::{super::engine::fault, DockerSandbox};

/// A fault that was mended in a version.
struct Known {
    component: &'static str,
    /// The first good versions, oldest line first; older lines than the first have no good one.
    mended: &'static [[u32; 3]],
    what: &'static str,
}

const KNOWN: [Known; 4] = [
    Known {
        component: "runc",
        mended: &[[1, 1, 12]],
        what: "CVE-2024-21626: a descriptor of the host leaks into containers by their working directory. \
               Boxes are never given one from outside",
    },
    Known {
        component: "runc",
        mended: &[[1, 2, 8], [1, 3, 3], [1, 4, 0]],
        what: "CVE-2025-31133, -52565, -52881: races while a container is made let its image write below \
               /proc. Boxes have images that the operator chose, and are not root",
    },
    Known {
        component: "Engine",
        mended: &[[25, 0, 6], [26, 1, 5], [27, 1, 1]],
        what: "CVE-2024-41110: authorisation plugins can be gone around. Whoever reaches the engine's socket is \
               root on its host",
    },
    Known {
        component: "Engine",
        mended: &[[29, 4, 3]],
        what: "CVE-2026-31431: kernels without the fix can be attacked by sockets of the family ALG, which \
               boxes cannot make",
    },
];

/// The engine's version, and what is known of it and its parts.
pub(super) async fn warnings(sandbox: &DockerSandbox) -> Result<(String, Vec<String>)> {
    let connected = sandbox.0.engine.connected().await?;
    let version = connected.docker.version().await.map_err(fault)?;
    let engine = version.version.clone().unwrap_or_default();
    let parts = version.components.unwrap_or_default();
    let mut warnings = Vec::new();
    for part in &parts {
        warnings.extend(of(&part.name, &part.version));
    }
    Ok((engine, warnings))
}

fn of(component: &str, version: &str) -> Vec<String> {
    let known = KNOWN.iter().filter(|known| known.component == component);
    let open = known.filter(|known| numbers(version).is_none_or(|it| !is_mended(it, known.mended)));
    open.map(|known| format!("{component} {version} is affected by {}", known.what)).collect()
}

/// The first three numbers of a version.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some([next()?, next()?, next().unwrap_or(0)])
}

fn is_mended(version: [u32; 3], mended: &[[u32; 3]]) -> bool {
    let newest = mended.last().is_some_and(|last| version >= *last);
    newest || mended.iter().any(|one| version.get(..2) == one.get(..2) && version >= *one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_version_is_said() {
        for (component, version, count) in [
            ("runc", "1.1.5+ds1", 2),
            ("runc", "1.1.12", 1),
            ("runc", "1.2.7", 1),
            ("runc", "1.2.8", 0),
            ("runc", "1.3.2", 1),
            ("runc", "v1.3.3", 0),
            ("runc", "1.4.0", 0),
            ("runc", "1.5.1", 0),
            ("runc", "unknown", 2),
            ("Engine", "20.10.24+dfsg1", 2),
            ("Engine", "27.1.1", 1),
            ("Engine", "28.2.2", 1),
            ("Engine", "29.4.3", 0),
            ("containerd", "1.6.20", 0),
        ] {
            assert_eq!(of(component, version).len(), count, "{component} {version}");
        }
    }
}
