use super::{
    ChannelStats, Count, GetChannelStats, GetUserStats, HighWater, Line, MessageLog, Op, OpenSessions,
    OutboundEnqueue, OutboundGet, OutboundMarkFailed, OutboundMarkSent, OutboundMessage, PmCommand,
    RecentChat, Session, StatusUpdate, UserCount, UserCountHistory, UserJoined, UserLeft, UserStats, check,
};

eitherway::client! {
    /// The methods of the typed client, one for each operation, named after it.
    pub trait RoseyClient for Op {
        /// A user joined the channel.
        user_joined(username: impl Into<String>) -> () => UserJoined { username: username.into() }, drop;
        /// A user left the channel.
        user_left(username: impl Into<String>) -> () => UserLeft { username: username.into() }, drop;
        /// A line was said in the channel.
        message_log(username: impl Into<String>, message: impl Into<String>) -> () =>
            MessageLog { username: username.into(), message: message.into() }, drop;
        /// How many are in the chat, and how many are connected.
        user_count(chat_count: u32, connected_count: u32) -> () => UserCount { chat_count, connected_count }, drop;
        /// How many are in the chat, and how many are connected if that is known, for the record.
        high_water(chat_count: u32, connected_count: Option<u32>) -> () =>
            HighWater { chat_count, connected_count }, drop;
        /// What the bot is doing.
        status_update(status: StatusUpdate) -> () => StatusUpdate { ..status }, drop;
        /// A moderator gave the bot a command.
        pm_command(command: PmCommand) -> () => PmCommand { ..command }, drop;
        /// Leaves a message for a user, or for the whole channel. Answers with its number.
        outbound_enqueue(username: Option<&str>, content: impl Into<String>) -> i64 =>
            OutboundEnqueue { username: username.map(str::to_owned), content: content.into() }, |queued| queued.id;
        /// Claims at most `limit` messages that wait for this user.
        outbound_messages(username: impl Into<String>, limit: u32) -> Vec<OutboundMessage> =>
            OutboundGet { username: Some(username.into()), limit, max_retries: check::number::<3>() };
        /// Claims at most `limit` messages that wait for the whole channel.
        outbound_channel_messages(limit: u32) -> Vec<OutboundMessage> =>
            OutboundGet { username: None, limit, max_retries: check::number::<3>() };
        /// A message was delivered.
        outbound_mark_sent(message_id: i64) -> () => OutboundMarkSent { message_id }, drop;
        /// A message could not be delivered; `permanent` gives it up.
        outbound_mark_failed(message_id: i64, error: impl Into<String>, permanent: bool) -> () =>
            OutboundMarkFailed { message_id, error: error.into(), permanent }, drop;
        /// The newest `limit` lines, oldest first.
        recent_chat(limit: u32) -> Vec<Line> => RecentChat { limit };
        /// What is known of a user; nothing about one who was never seen.
        user_stats(username: impl Into<String>) -> Option<UserStats> =>
            GetUserStats { username: username.into() }, |stats| stats.found.then_some(stats);
        /// What is known of the channel.
        channel_stats() -> ChannelStats => GetChannelStats {};
        /// How many were in the channel over the last `hours`.
        user_count_history(hours: u32) -> Vec<Count> => UserCountHistory { hours };
        /// Who is here, as far as the database knows.
        open_sessions() -> Vec<Session> => OpenSessions {};
    }
}
