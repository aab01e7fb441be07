//! The suite that every reactor must pass, ours and yours.
//!
//! ```ignore
//! #[cfg(test)]
//! reactors::conformance!(MyReactor::new);
//! ```
//!
//! The macro takes what makes a reactor for a number of workers (it may have fewer) and expands to a module
//! `conformance` with one test per scenario. All traffic stays on 127.0.0.1. Every wait is bounded.
//!
//! The scenarios drive small scripted links against scripted peers. The links watch the contract all the
//! while: they panic on a timer that comes too early, on bytes of a closed connection, on more bytes sent
//! than there were, and on any input after the end.

use std::num::NonZeroUsize;

use crate::Reactor;

mod brisk;
mod connections;
mod crew;
mod flow;
mod jobs;
mod time;
mod toy;

pub use brisk::*;
pub use connections::*;
pub use crew::*;
pub use flow::*;
pub use jobs::*;
pub use time::*;

/// Makes a reactor with so many workers, or as many as it can have.
pub type Make = fn(NonZeroUsize) -> Box<dyn Reactor>;

/// Expands to a module of tests, one per scenario of the suite. See [the suite](mod@crate::conformance).
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance! { $make =>
            drains_many_links_and_jobs,
            serves_a_hundred_links,
            reconnects_after_refusals_and_losses,
            an_unresolvable_name_is_an_error,
            connecting_has_a_time_limit,
            stops_while_connecting,
            stops_before_it_began,
            a_link_that_panics_ends_all,
            nothing_of_an_old_socket_arrives,
            never_more_jobs_than_workers,
            jobs_start_in_order,
            a_panic_is_one_last_output,
            a_job_has_room_to_recurse,
            parts_arrive_while_the_job_runs,
            outputs_do_not_wait_for_the_next_job,
            outputs_outlive_their_connection,
            marks_its_sockets,
            quick_jobs_teach_nothing_wrong,
            jobs_that_wait_have_all_workers,
            a_finished_link_frees_its_workers,
            stops_while_a_job_runs,
            beats_while_every_worker_is_busy,
            bytes_come_before_the_clock,
            does_not_read_unasked,
            carries_bulk_both_ways,
            a_slow_peer_slows_the_jobs,
            a_busy_link_leaves_room_for_a_quiet_one,
            stops_reading_between_quick_jobs,
            reconnects_between_quick_jobs,
            keeps_time_between_quick_jobs,
            waits_for_a_peer_between_quick_jobs,
        }
    };
    ($make:expr => $($scenario:ident,)+) => {
        mod conformance {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[test]
                fn $scenario() {
                    $crate::conformance::$scenario(|workers| ::std::boxed::Box::new(($make)(workers)));
                }
            )+
        }
    };
}
