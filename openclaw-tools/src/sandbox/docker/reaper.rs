//! Ends what processes left that are dead.
//!
//! A box ends when its process does, by itself: its keeper's input closes. What is looked for here is what
//! a process left that died between making a container and starting it, and boxes that are about to end.

use std::{collections::HashMap, time::Duration};

use bollard::{
    Docker, errors::Error as ApiError, models::ContainerSummaryStateEnum as State,
    query_parameters::ListContainersOptionsBuilder,
};
use futures_util::future::join_all;
use openclaw_core::Result;
use tokio::time::Instant;

use super::{
    container::{LABEL, OWNER_LABEL},
    engine::fault,
    held::remove,
};

/// How long a box of a process that just died may take to end by itself.
const SETTLING: Duration = Duration::from_secs(1);
/// How long a container that its process has made may not be started yet.
pub(super) const STARTING: Duration = Duration::from_secs(3);

/// Ends what other processes than `owner` left of the boxes of a namespace; returns how many boxes that were.
pub(super) async fn reap_abandoned(docker: &Docker, owner: &str, namespace: &str) -> Result<u64> {
    let label = format!("{LABEL}={namespace}");
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await.map_err(fault)?;
    let others = found.into_iter().filter(|one| {
        one.labels.as_ref().and_then(|labels| labels.get(OWNER_LABEL)).is_none_or(|it| it != owner)
    });
    let ends = others.filter_map(|one| Some((one.id?, one.state?)));
    let ended = join_all(ends.map(|(id, state)| settle(docker, id, state))).await;
    let mut count = 0;
    for one in ended {
        count += u64::from(one.map_err(fault)?);
    }
    Ok(count)
}

/// Whether the container was one that nobody has any more; it is gone then.
async fn settle(docker: &Docker, id: String, mut state: State) -> Result<bool, ApiError> {
    let began = Instant::now();
    loop {
        let patience = match state {
            State::RUNNING | State::PAUSED | State::RESTARTING => SETTLING,
            State::CREATED => STARTING,
            _ => Duration::ZERO,
        };
        if began.elapsed() >= patience {
            // What still runs has somebody who holds its input.
            if patience == SETTLING {
                return Ok(false);
            }
            remove(docker, &id).await?;
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        state = match docker.inspect_container(&id, None).await {
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(true),
            seen => {
                let status = seen?.state.and_then(|state| state.status);
                status.and_then(|status| status.to_string().parse().ok()).unwrap_or(State::EMPTY)
            }
        };
    }
}
