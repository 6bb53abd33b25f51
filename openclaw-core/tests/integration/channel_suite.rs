//! The channel suite passes on the loopback channel and catches each faulty double.

use std::{collections::BTreeSet, time::Duration};

use openclaw_core::{
    channel::Delivery,
    testing::{
        Loopback,
        channel::{Fault, Faulty, suite},
    },
};

const DAY: Duration = Duration::from_secs(86_400);

fn loopback(delivery: Delivery) -> Loopback {
    Loopback::new().with(|capabilities| {
        capabilities.delivery = delivery;
        capabilities.edit = true;
    })
}

#[tokio::test(start_paused = true)]
async fn loopback_conforms_in_each_delivery_mode() {
    for delivery in
        [Delivery::Keyed { window: DAY }, Delivery::Searchable { window: DAY }, Delivery::Blind]
    {
        suite("loopback", move || async move { loopback(delivery) }).assert().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_caught_and_each_case_catches_one() {
    let keyed = Delivery::Keyed { window: DAY };
    let mut useless: BTreeSet<&str> =
        suite("loopback", move || async move { loopback(keyed) }).cases().collect();
    for fault in Fault::ALL {
        let mut caught = false;
        for delivery in [keyed, Delivery::Searchable { window: DAY }] {
            let faulty = move || async move { Faulty::new(loopback(delivery), fault) };
            let report = suite(&format!("{fault:?}"), faulty).run().await;
            for case in report.failed() {
                caught = true;
                useless.remove(case);
            }
        }
        assert!(caught, "no case catches {fault:?}");
    }
    assert!(useless.is_empty(), "no double fails {useless:?}");
}
