//! repro's SQL schema in a real PostgreSQL and a real MariaDB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod cases;
#[path = "../integration/harness/digest.rs"]
#[allow(
    dead_code,
    reason = "what a client can do wrong is for the other tests"
)]
mod digest;
mod legacy;
#[path = "../integration/harness/message.rs"]
#[allow(dead_code, reason = "the other tests look at more of a message")]
mod message;
mod outages;
mod passwords;
#[path = "../integration/harness/ports.rs"]
mod ports;
mod servers;
mod serving;

/// Each case against both.
macro_rules! against_both {
    ($($module:ident::$case:ident,)*) => {
        mod postgresql {
            $(#[test]
            fn $case() {
                crate::$module::$case(sipvouch::store::SqlKind::PostgreSql);
            })*
        }
        mod mariadb {
            $(#[test]
            fn $case() {
                crate::$module::$case(sipvouch::store::SqlKind::MySql);
            })*
        }
    };
}

against_both! {
    cases::every_table_keeps_what_it_is_given,
    cases::a_change_is_made_whole_or_not_at_all,
    cases::kept_messages_come_oldest_first_and_expire,
    cases::values_of_peers_are_never_text,
    cases::queries_of_operators_are_asked,
    cases::a_certificate_may_use_what_the_table_says,
    cases::request_filters_query_with_their_captures,
    cases::a_wrong_password_is_refused_and_not_shown,
    cases::a_missing_table_is_named,
    cases::a_table_may_have_a_prefix_and_a_schema,
    cases::a_socket_serves_as_well,
    cases::tls_checks_whom_it_is_told_to_check,
    legacy::rows_of_repro_are_read_and_written_alike,
    legacy::a_row_that_cannot_be_read_does_not_hide_the_others,
    legacy::hashes_in_narrow_columns_are_told,
    outages::a_slow_query_is_given_up,
    outages::connections_are_no_more_than_the_pool,
    outages::a_server_that_hangs_holds_nobody,
    passwords::whoever_logs_in_is_told_of_an_outage_and_let_in_after_it,
    outages::lookups_recover_from_a_crash_and_are_never_wrong,
    serving::a_server_lives_with_its_data_base_without_it_and_with_it_again,
    serving::filters_that_decide_otherwise_than_meant_are_told,
    serving::a_missing_table_is_told_before_anybody_asks_it,
    serving::a_data_base_is_imported_into_a_store_of_ours,
    serving::what_cannot_be_imported_of_a_data_base_is_told,
}
