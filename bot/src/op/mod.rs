//! The operations: one file each, with its JSON and its checks, its subject, its answer and its SQL. To add one, write
//! its file, its line in the list below and its method of the typed client (and a migration, where it needs a table).

mod check;
mod client;
mod folds;
mod forgotten;
mod kv;
mod older_files;
pub(crate) mod person;

pub use client::RoseyClient;
use eitherway::operation::{Definition, Migration, Spec};
pub use kv::Kv;
use schemars::{Schema, SchemaGenerator};

/// The tables of the channel's memory: the Python bot's, and what Rosey derives them from.
const MIGRATIONS: &[Migration] = &[
    older_files::FIRST_SEEN,
    older_files::LAST_SEEN,
    older_files::SESSION_START,
    older_files::SAID,
    older_files::COUNTED,
    older_files::ACTED,
    older_files::QUEUED,
    older_files::SENT,
    older_files::MOST_USERS,
    older_files::MOST_CONNECTED,
    older_files::CHANNEL_UPDATED,
    older_files::STATUS_UPDATED,
    older_files::USER_STATS,
    older_files::USER_ACTIONS,
    older_files::CHANNEL_STATS,
    older_files::USER_COUNT_HISTORY,
    older_files::RECENT_CHAT,
    older_files::CURRENT_STATUS,
    older_files::OUTBOUND_MESSAGES,
    older_files::ERROR_MESSAGE,
    older_files::LAST_ERROR,
    older_files::LAST_ERROR_IN_STEP,
    older_files::USERS,
    older_files::CHAT,
    older_files::CHANNEL,
    older_files::STATUS,
    older_files::OUTBOUND,
    Migration::new(12, "origin", include_str!("../../migrations/sqlite/0012_origin.sql")),
    Migration::new(13, "channel", include_str!("../../migrations/sqlite/0013_channel.sql")),
    Migration::new(14, "bounds", include_str!("../../migrations/sqlite/0014_bounds.sql")),
    Migration::new(15, "the channel speaks", include_str!("../../migrations/sqlite/0015_server.sql")),
    Migration::new(16, "append and fold", include_str!("../../migrations/sqlite/0016_append_and_fold.sql")),
    Migration::new(17, "people", include_str!("../../migrations/sqlite/0017_people.sql")),
    Migration::new(18, "forgotten", include_str!("../../migrations/sqlite/0018_forgotten.sql")),
    Migration::new(19, "leases", include_str!("../../migrations/sqlite/0019_leases.sql")),
    Migration::new(20, "names", include_str!("../../migrations/sqlite/0020_names.sql")),
    Migration::new(21, "one person", include_str!("../../migrations/sqlite/0021_one_person.sql"))
        .deriving(person::ON_SQLITE),
];

/// The same tables on PostgreSQL, where there is no file of the Python bot's to take over.
const ON_POSTGRES: &[Migration] = &[
    Migration::new(10, "channel", include_str!("../../migrations/postgres/0010_channel.sql")),
    Migration::new(11, "append and fold", include_str!("../../migrations/postgres/0011_append_and_fold.sql")),
    Migration::new(12, "people", include_str!("../../migrations/postgres/0012_people.sql")),
    Migration::new(13, "forgotten", include_str!("../../migrations/postgres/0013_forgotten.sql")),
    Migration::new(14, "leases", include_str!("../../migrations/postgres/0014_leases.sql")),
    Migration::new(15, "names", include_str!("../../migrations/postgres/0015_names.sql")),
    Migration::new(16, "one person", include_str!("../../migrations/postgres/0016_one_person.sql"))
        .deriving(person::ON_POSTGRES),
];

/// Declares the files and ties their operations together.
macro_rules! files {
    ($($file:ident :: $name:ident),+ $(,)?) => {
        $(
            mod $file;
            pub use $file::*;
        )+

        eitherway::operations! {
            /// Everything that the bot asks of its memory.
            pub enum Op -> Answer in "rosey.db" with MIGRATIONS, postgres ON_POSTGRES { $($name($file::$name)),+ }
        }

        /// Each operation with the schema of its payload and that of its answer.
        pub(crate) fn schemas(of: &mut SchemaGenerator) -> Vec<(Spec, Schema, Schema)> {
            vec![$((
                <$name as Definition>::SPEC,
                of.subschema_for::<$name>(),
                of.subschema_for::<<$name as Definition>::Answer>(),
            )),+]
        }
    };
}

files! {
    user_joined::UserJoined,
    user_left::UserLeft,
    message_log::MessageLog,
    user_count::UserCount,
    high_water::HighWater,
    status_update::StatusUpdate,
    pm_command::PmCommand,
    outbound_enqueue::OutboundEnqueue,
    outbound_get::OutboundGet,
    outbound_mark_sent::OutboundMarkSent,
    outbound_mark_failed::OutboundMarkFailed,
    recent_chat::RecentChat,
    user_stats::GetUserStats,
    channel_stats::GetChannelStats,
    user_count_history::UserCountHistory,
    open_sessions::OpenSessions,
    seen::GetSeen,
    leaderboard::GetLeaderboard,
    chat::SearchChat,
    tell::Tell,
    tell_undo::TellUndo,
    tells::GetTells,
    quote_add::QuoteAdd,
    quote::GetQuote,
    kv_set::KvSet,
    kv_get::KvGet,
    kv_delete::KvDelete,
    kv_list::KvList,
    forget::Forget,
    lead::Lead,
}

/// The error of a stack of these operations.
pub type Error = eitherway::error::Error<Op>;

/// A request of one of these operations.
pub type Request = eitherway::request::Request<Op>;
